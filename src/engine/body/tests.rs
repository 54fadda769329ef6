use serde_json::{Value, json};

use super::super::fixtures::{container, lines, said};
use super::super::translate::{REPLACES, RESTART_POLICY, WAS_UP};
use super::*;
use crate::scanner::compare::tests::ELSEWHERE;
use crate::scanner::compare::{Verdict, compare};
use crate::scanner::engine_traits::EngineTraits;
use crate::scanner::example::by_hand;
use crate::scanner::values::environment::Environment;
use crate::scanner::values::image::{Brought, WantedImage};
use crate::testing::{option_names, request};

fn desired(options: &Value) -> Desired {
    request(options).unwrap().desired.unwrap()
}

#[test]
fn a_fresh_scanner_is_what_the_vendors_command_makes() {
    insta::assert_snapshot!(lines(&said(&json!(fresh(&desired(&json!({})), false)))), @r#"
    Env: ["PERSONALIZATION_CODE=code-4711","QUALYS_URL=https://qualysguard.qualys.com"]
    Binds: ["/usr/qualys/shared:/usr/local/qualys:z","/usr/qualys/private/code-4711:/usr/local/qualys/admin/etc:z"]
    Image: "qualys/qcsa"
    "#);
}

#[test]
fn on_podman_it_has_the_grace_that_its_own_command_gives() {
    let grace = |podman| fresh(&desired(&json!({})), podman)["StopTimeout"].clone();
    assert_eq!((grace(true), grace(false)), (json!(10), Value::Null));
}

#[test]
fn every_option_reaches_the_engine() {
    let options = json!({
        "memory": "1024M", "memory_swap": "2048M", "cpus": 1.5, "https_proxy": "proxy:3128", "ca_dir": "/root/cert",
        "network": "v6", "env": {"A": "1"}, "restart_policy": "on-failure:3", "privileged": true, "labels": {"a": "1"},
    });
    insta::assert_snapshot!(lines(&said(&json!(fresh(&desired(&options), false)))), @r#"
    Env: ["A=1","HTTPS_PROXY=proxy:3128","PERSONALIZATION_CODE=code-4711","QUALYS_URL=https://qualysguard.qualys.com"]
    Binds: ["/usr/qualys/shared:/usr/local/qualys:z","/usr/qualys/private/code-4711:/usr/local/qualys/admin/etc:z","/root/cert:/usr/local/bin:z"]
    Memory: 1073741824
    MemorySwap: 2147483648
    NanoCpus: 1500000000
    NetworkMode: "v6"
    Privileged: true
    RestartPolicy: {"MaximumRetryCount":3,"Name":"on-failure"}
    Image: "qualys/qcsa"
    Labels: {"a":"1"}
    "#);
}

#[test]
fn a_note_has_the_three_labels_and_nothing_that_a_scanner_has() {
    let successor = by_hand().with_label(REPLACES, "old").with_label(WAS_UP, "true").with_label(RESTART_POLICY, "no");
    insta::assert_snapshot!(lines(&said(&note(&successor))), @r#"
    Cmd: ["true"]
    NetworkMode: "none"
    RestartPolicy: {"Name":"no"}
    Image: "sha256:1111"
    Labels: {"qcss_scanner.replaces":"old","qcss_scanner.restart_policy":"no","qcss_scanner.was_up":"true"}
    "#);
}

#[test]
fn an_update_says_no_more_than_what_changes() {
    let wire = |update: &Update| said(&json!(super::update(update))).to_string();
    let change = |change| Update { changes: vec![change], grows: false };
    let memory = |swap| change(Change::Memory(1 << 30, swap));
    assert_eq!(wire(&memory(MemorySwap::Bytes(2 << 30))), r#"{"Memory":1073741824,"MemorySwap":2147483648}"#);
    assert_eq!(wire(&memory(MemorySwap::Unlimited)), r#"{"Memory":1073741824,"MemorySwap":-1}"#);
    let cpus = |period| change(Change::Cpus(Cpus::from_nano(1_500_000_000), period));
    assert_eq!(wire(&cpus(None)), r#"{"NanoCpus":1500000000}"#);
    assert_eq!(wire(&cpus(Some(50_000))), r#"{"CpuPeriod":50000,"CpuQuota":75000}"#);
    let policy = Update::restart_policy;
    assert_eq!(wire(&policy(RestartPolicy::No)), r#"{"RestartPolicy":{"Name":"no"}}"#);
    assert_eq!(
        wire(&policy(RestartPolicy::OnFailure(3))),
        r#"{"RestartPolicy":{"MaximumRetryCount":3,"Name":"on-failure"}}"#
    );
}

/// What an engine says of a container that was made from `body`, whose image brings one variable.
fn described(body: &Value) -> Value {
    let host_config = &body["HostConfig"];
    let mounts: Vec<_> = host_config["Binds"]
        .as_array()
        .unwrap()
        .iter()
        .map(|bind| {
            let parts: Vec<_> = bind.as_str().unwrap().split(':').collect();
            json!({"Type": "bind", "Source": parts[0], "Destination": parts[1], "Mode": parts[2], "RW": true})
        })
        .collect();
    let env: Vec<_> = [json!("PATH=/bin")].into_iter().chain(body["Env"].as_array().unwrap().clone()).collect();
    let mut described = json!({
        "Id": "1", "Name": "/scanner", "Image": "sha256:1", "State": {"Status": "created"}, "Mounts": mounts,
        "Config": {"Image": body["Image"], "Env": env, "Labels": body["Labels"]}, "HostConfig": host_config,
        "NetworkSettings": {"Networks": {host_config["NetworkMode"].as_str().unwrap_or("bridge"): {}}},
    });
    let config = &mut described["HostConfig"];
    if config["Memory"].is_u64() && config["MemorySwap"].is_null() {
        config["MemorySwap"] = json!(2 * config["Memory"].as_u64().unwrap());
    }
    described
}

/// A value for each option of a scanner.
fn every_option() -> Value {
    json!({
        "personalization_code": "code-4712", "qualys_url": "EU2", "image": "qualys/qcsa:2", "shared_dir": "/srv/shared",
        "private_dir": "/srv/private", "memory": "1.5g", "memory_swap": "unlimited", "cpus": "0.75",
        "https_proxy": "u:p@proxy:3128", "polling_interval": 60, "update_interval": 60, "refresh_interval": 60,
        "ca_dir": "/root/cert", "network": "v6", "env": {"A": "1"}, "restart_policy": "on-failure:3",
        "privileged": true, "labels": {"a": "1"},
    })
}

/// The fields that differ between what is desired and what an engine makes of it.
fn left_to_do(options: &Value) -> Vec<String> {
    let desired = desired(options);
    let env = Environment::from_entries(&["PATH=/bin".to_owned()]);
    let brought = Brought { env, ..Brought::default() };
    let observed = container(described(&fresh(&desired, false))).observe(Some(brought.clone()));
    let image = WantedImage::Local { id: "sha256:1".to_owned(), brought };
    let all = compare(&desired, &observed, &image, EngineTraits::default());
    all.into_iter().filter(|it| it.verdict != Verdict::Same).map(|it| format!("{it:?}")).collect()
}

/// An option that is compared and not sent, or sent and not read back, is replaced or updated at every run.
#[test]
fn nothing_is_left_to_do_for_a_scanner_that_was_just_made() {
    assert_eq!(left_to_do(&every_option()), [""; 0]);
    // A difference that stays unseen would be one that is never removed.
    let all = compare(&desired(&every_option()), &by_hand(), &WantedImage::ToPull, EngineTraits::default());
    let same: Vec<_> = all.iter().filter(|it| it.verdict == Verdict::Same).map(|it| it.field).collect();
    assert_eq!(same, [""; 0], "not set to anything else above");
    let given = every_option();
    let options = option_names().filter(|name| !ELSEWHERE.contains(name));
    let missing: Vec<_> = options.filter(|name| given.get(*name).is_none()).collect();
    assert_eq!(missing, [""; 0], "not given above");
}

proptest::proptest! {
    #[test]
    fn nothing_is_left_to_do_whichever_options_are_given(given in proptest::collection::vec(proptest::bool::ANY, 18)) {
        let every = every_option();
        let kept = every.as_object().unwrap().iter().zip(given).filter(|(_, given)| *given).map(|(entry, _)| entry);
        let mut options: Value = kept.map(|(key, value)| (key.clone(), value.clone())).collect();
        if options["memory"].is_null() {
            options.as_object_mut().unwrap().remove("memory_swap");
        }
        options.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        proptest::prop_assert_eq!(left_to_do(&options), Vec::<String>::new());
    }
}
