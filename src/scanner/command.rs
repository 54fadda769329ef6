//! The vendor's command line that would give the wanted scanner, for people to read and compare; secrets are masked.

use super::desired::Desired;
use super::environment;
use super::mount;
use super::name::Name;
use crate::secret::MASK;

/// `docker run -d …` for `desired`, in the vendor's order.
#[must_use]
pub fn docker_run(name: &Name, desired: &Desired) -> String {
    let mut words = vec!["docker".to_owned(), "run".to_owned(), "-d".to_owned()];
    let mut option = |flag: &str, value: &str| words.extend([flag.to_owned(), quoted(value)]);
    option("-v", &mount::bind(desired.shared_dir.as_str(), mount::SHARED));
    option("-v", &mount::bind(&format!("{}/{MASK}", desired.private_dir), mount::PRIVATE));
    if let Some(ca_dir) = &desired.ca_dir {
        option("-v", &mount::bind(ca_dir.as_str(), mount::CA));
    }
    option("-e", &format!("{}={MASK}", environment::CODE));
    option("--name", name.as_str());
    if let Some(memory) = desired.limits.memory() {
        option("--memory", &memory.to_string());
    }
    if let Some(swap) = desired.limits.memory_swap_given() {
        option("--memory-swap", &swap.to_api().to_string());
    }
    if let Some(cpus) = desired.limits.cpus {
        option("--cpus", &cpus.to_string());
    }
    if let Some(network) = &desired.network {
        option("--network", network);
    }
    if let Some(policy) = desired.restart_policy {
        option("--restart", &policy.to_string());
    }
    if desired.privileged == Some(true) {
        words.push("--privileged".to_owned());
    }
    let mut option = |flag: &str, value: &str| words.extend([flag.to_owned(), quoted(value)]);
    for (key, value) in &desired.labels {
        option("--label", &format!("{key}={value}"));
    }
    option("-e", &format!("{}={}", environment::URL, desired.url));
    for (variable, value) in desired.variables().iter() {
        match variable {
            environment::CODE | environment::URL => {}
            environment::POLLING_INTERVAL | environment::UPDATE_INTERVAL | environment::REFRESH_INTERVAL => {
                option("-e", &format!("{variable}={value}"));
            }
            _ => option("-e", &format!("{variable}={MASK}")),
        }
    }
    words.push(quoted(desired.image.as_str()));
    words.join(" ")
}

/// `word` as a shell takes it for one word.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@,+%*".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::desired::tests::request;
    use super::*;
    use serde_json::{Value, json};

    fn command(options: &Value) -> String {
        let request = request(options).unwrap();
        docker_run(&request.name, &request.desired.unwrap())
    }

    #[test]
    fn an_unlimited_scanner_is_the_vendors_sample() {
        assert_eq!(
            command(&json!({})),
            "docker run -d -v /usr/qualys/shared:/usr/local/qualys:z \
             -v /usr/qualys/private/********:/usr/local/qualys/admin/etc:z -e PERSONALIZATION_CODE=******** \
             --name scanner -e QUALYS_URL=https://qualysguard.qualys.com qualys/qcsa"
        );
    }

    #[test]
    fn every_option_has_its_flag_and_no_secret_is_shown() {
        let options = json!({
            "memory": "1024M", "memory_swap": "unlimited", "cpus": 1.5, "https_proxy": "user:canary@proxy:3128",
            "polling_interval": 60, "ca_dir": "/root/root cert", "network": "v6", "env": {"A": "canary-2"},
            "restart_policy": "on-failure:3", "privileged": true, "labels": {"team": "it's us"},
        });
        assert_eq!(
            command(&options),
            "docker run -d -v /usr/qualys/shared:/usr/local/qualys:z \
             -v /usr/qualys/private/********:/usr/local/qualys/admin/etc:z -v '/root/root cert:/usr/local/bin:z' \
             -e PERSONALIZATION_CODE=******** --name scanner --memory 1073741824 --memory-swap -1 --cpus 1.5 \
             --network v6 --restart on-failure:3 --privileged --label 'team=it'\\''s us' \
             -e QUALYS_URL=https://qualysguard.qualys.com -e A=******** -e HTTPS_PROXY=******** \
             -e SCAND_POLL_INTERVAL_SEC=60 qualys/qcsa"
        );
    }
}
