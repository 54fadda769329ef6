//! The vendor's command line for the desired scanner, for people to read and compare. Secrets are masked.

use super::desired::Desired;
use super::values::environment;
use super::values::mount;
use super::values::name::Name;
use crate::secret::MASK;

/// `docker run -d …` for `desired`, in the vendor's order.
pub fn docker_run(name: &Name, desired: &Desired) -> String {
    let Desired {
        code: _, // masked
        identity_at: _,
        url,
        image,
        shared_dir,
        private_dir,
        private_dir_mode: _, // of the host; mkdir and chmod are other commands
        limits,
        proxy: _, // among the variables, as the intervals and env
        polling_interval: _,
        update_interval: _,
        refresh_interval: _,
        ca_dir,
        network,
        env: _,
        restart_policy,
        privileged,
        labels,
        kept: _, // shown as well: it is what the scanner has
    } = desired;
    let mut words = vec!["docker".to_owned(), "run".to_owned(), "-d".to_owned()];
    let mut option = |flag: &str, value: &str| words.extend([flag.to_owned(), quoted(value)]);
    option("-v", &mount::bind(shared_dir.as_str(), mount::SHARED));
    option("-v", &mount::bind(&format!("{private_dir}/{MASK}"), mount::PRIVATE));
    if let Some(ca_dir) = ca_dir {
        option("-v", &mount::bind(ca_dir.as_str(), mount::CA));
    }
    option("-e", &format!("{}={MASK}", environment::CODE));
    option("--name", name.as_str());
    let (memory, memory_swap, cpus) = limits.given();
    if let Some(memory) = memory {
        option("--memory", &memory.to_string());
    }
    if let Some(swap) = memory_swap {
        option("--memory-swap", &swap.to_api().to_string());
    }
    if let Some(cpus) = cpus {
        option("--cpus", &cpus.to_string());
    }
    if let Some(network) = network {
        option("--network", network);
    }
    if let Some(policy) = restart_policy {
        option("--restart", &policy.to_string());
    }
    if *privileged == Some(true) {
        words.push("--privileged".to_owned());
    }
    let mut option = |flag: &str, value: &str| words.extend([flag.to_owned(), quoted(value)]);
    for (key, value) in labels {
        option("--label", &format!("{key}={value}"));
    }
    option("-e", &format!("{}={url}", environment::URL));
    for (variable, value) in desired.variables().iter() {
        match variable {
            environment::CODE | environment::URL => {}
            environment::POLLING_INTERVAL | environment::UPDATE_INTERVAL | environment::REFRESH_INTERVAL => {
                option("-e", &format!("{variable}={value}"));
            }
            _ => option("-e", &format!("{variable}={MASK}")),
        }
    }
    words.push(quoted(image.as_str()));
    words.join(" ")
}

/// `word`, quoted for a shell where needed.
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
    use super::*;
    use crate::testing::request;
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
