//! Limits that somebody changed with `docker update`, so that what the engine reports, the kernel enforces and an engine would
//! make anew are not the same.

use rstest::rstest;
use serde_json::{Value, json};

use crate::drift::{by_way, cpus};
use crate::support::{Ability, Engine, Scanner, foretold, four_tasks, untouched};

/// An engine takes such an update and would not make such a container.
#[rstest]
#[case::image(json!({"image": "qualys/qcsa:2"}))]
#[case::env(json!({"env": {"A": "1"}}))]
#[case::asked_for(json!({"recreate": "always"}))]
fn memory_below_the_reservation_is_unsupported_until_the_cure_is_taken(
    #[case] options: Value,
    #[values(true, false)] whole: bool,
) {
    if Engine::shared().lacks(Ability::UpdatesLive) {
        return;
    }
    let scanner = Scanner::new(Engine::shared());
    scanner.by_hand(&["--memory 256M --memory-reservation 192M"]);
    scanner.engine.docker(&["update", "--memory=128M", "--memory-swap=256M", &scanner.name]);
    let task =
        || if whole { scanner.module() } else { scanner.run_state() }.arg("memory", "128M").args(options.clone());
    foretold(&scanner, || scanner.module().arg("memory", "128M")).unchanged();

    let message = untouched(&scanner, || foretold(&scanner, task)).refused("unsupported");
    assert!(message.ends_with("got: `201326592` bytes"), "{message}");
    let cure = message.split('`').nth(1).unwrap().strip_prefix("docker ").unwrap();
    scanner.engine.docker(&cure.split(' ').collect::<Vec<_>>());
    assert_eq!(foretold(&scanner, task).changed().actions(), ["replace"]);

    // Live, and with enough, there is no obstacle.
    let reply = four_tasks(&scanner, || scanner.module().args(options_without_recreate(&options)).arg("memory", "64M"));
    assert_eq!(reply.actions(), ["update"]);
    let more =
        || scanner.module().args(options_without_recreate(&options)).args(json!({"memory": "128M", "network": "none"}));
    assert_eq!(foretold(&scanner, more).changed().actions(), ["replace"]);
}

fn options_without_recreate(options: &Value) -> Value {
    let mut options = options.clone();
    options.as_object_mut().unwrap().remove("recreate");
    options
}

/// The kernel has a limit until the next start, or has none any more, and the engine reports one all the time.
#[rstest]
#[case::until_the_next_start("--cpu-quota=-1", json!({"Cpus": 1}))]
#[case::no_more("--cpus 1", json!({"CpuQuota": -1}))]
fn cpus_beside_a_quota_that_says_no_limit_are_enforced_by_a_replacement(#[case] made: &str, #[case] update: Value) {
    let scanner = Scanner::new(Engine::shared());
    if scanner.engine.lacks(Ability::QuotaBesideCpus) {
        return;
    }
    scanner.by_hand(&[made]);
    if update["Cpus"].is_number() {
        scanner.engine.docker(&["update", "--cpus=1", &scanner.name]);
        assert!((cpus(&scanner) - 1.0).abs() < 1e-9);
    } else {
        scanner.engine.docker(&["update", "--cpu-quota=-1", &scanner.name]);
    }
    scanner.engine.docker(&["restart", "--time=1", &scanner.name]);
    let config = scanner.inspect()["HostConfig"].clone();
    assert_eq!((&config["NanoCpus"], &config["CpuQuota"]), (&json!(1_000_000_000), &json!(-1)));
    assert!(cpus(&scanner) <= 0.0, "the kernel has no limit");

    let reply = four_tasks(&scanner, || scanner.module().arg("cpus", 1));
    assert_eq!(reply.actions(), ["replace"]);
    let before = "1 (not enforced, or only until the next start)";
    assert_eq!(reply["differences"], by_way("replace", &json!([["cpus", before, 1.0]])));
    assert!((cpus(&scanner) - 1.0).abs() < 1e-9);
    scanner.engine.docker(&["restart", "--time=1", &scanner.name]);
    assert!((cpus(&scanner) - 1.0).abs() < 1e-9);
}
