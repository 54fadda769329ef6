use super::*;
use crate::testing::{parse, request};
use rstest::rstest;
use serde_json::json;

#[test]
fn options_reach_the_environment_as_the_vendor_names_them() {
    let request = request(&json!({
        "https_proxy": "u:p@proxy:3128", "polling_interval": 30, "update_interval": "240", "refresh_interval": 10,
        "env": {"DISREGARD_PID_LIMIT": "yes"},
    }));
    assert_eq!(
        request.unwrap().desired.unwrap().variables().to_entries(),
        [
            "DISREGARD_PID_LIMIT=yes",
            "HTTPS_PROXY=u:p@proxy:3128",
            "PERSONALIZATION_CODE=code-4711",
            "QUALYS_URL=https://qualysguard.qualys.com",
            "REFRESH_INTERVAL_MIN=10",
            "SCAND_POLL_INTERVAL_SEC=30",
            "UPDATE_INTERVAL_MIN=240",
        ]
    );
}

#[rstest]
#[case(json!({"polling_interval": 29}), "polling_interval must be 30 to 180 seconds, got: `29`")]
#[case(json!({"update_interval": 241}), "update_interval must be 30 to 240 minutes, got: `241`")]
#[case(json!({"refresh_interval": -1}), "refresh_interval must be 10 to 360 minutes, got: `-1`")]
#[case(json!({"settle": -1}), "settle must be 0 to 3600 seconds, got: `-1`")]
#[case(json!({"stop_timeout": -1}), "stop_timeout must be 0 to 86400 seconds, got: `-1`")]
#[case(json!({"network": "--ip"}), "network must be the name of a docker network, got: `--ip`")]
#[case(json!({"env": {"QUALYS_URL": "x"}}),
    "env must not name a variable that an option owns; use qualys_url instead of `QUALYS_URL`")]
#[case(json!({"env": {"A=B": "x"}}), "env needs names without `=` and names and values without NUL, got: `A=B`")]
#[case(json!({"env": {"A": true}}), "env needs strings as values; put the value in quotes of: `A`")]
#[case(json!({"memory": ""}), "memory must be a size such as 1024M, 1.5g or plain bytes, or a percentage of the host's \
    memory such as 25%; for no limit give 0, or leave it out, got: ``")]
#[case(json!({"memory": "1g", "memory_swap": " "}), "memory_swap must be a size such as 2048M, a percentage of the host's \
    memory such as 50%, or unlimited; for no limit give 0, or leave it out, got: ``")]
#[case(json!({"cpus": "0%"}), "cpus must be a number of CPUs from 0.01 up to those of the host, or a percentage of them \
    such as 50%; for no limit give 0, or leave it out, got: `0%`")]
#[case(json!({"labels": {"team": "a", "qcss_scanner.replaces": "x"}}), "labels must not begin with qcss_scanner., which this \
    module keeps for its own; choose another name than: `qcss_scanner.replaces`")]
#[case(json!({"labels": {"a": 1}}), "labels needs strings as values; put the value in quotes of: `a`")]
#[case(json!({"shared_dir": "relative"}), "shared_dir must be an absolute path, got: `relative`")]
fn refuses_by_name_value_and_cure(#[case] options: Value, #[case] message: &str) {
    assert_eq!(request(&options).unwrap_err(), Error::invalid(message));
}

#[test]
fn without_the_code_a_scanner_is_adjusted() {
    let adjustment = |options: Value| parse(&options).unwrap().adjustment;
    let run_state = adjustment(json!({"name": "ab", "state": "stopped", "stop_timeout": 5})).unwrap();
    assert!(run_state.is_empty() && run_state.shared_dir.is_none() && run_state.private_dir.is_none());
    assert!(adjustment(json!({"name": "ab", "private_dir": "/p"})).unwrap().is_empty(), "it changes nothing");
    assert!(!adjustment(json!({"name": "ab", "memory": 0})).unwrap().is_empty());
    assert!(adjustment(json!({"name": "ab", "state": "absent", "memory": "1g"})).is_none());
    let error = parse(&json!({"name": "ab", "image": "/"})).unwrap_err();
    assert!(error.message.starts_with("image must be "), "{error}");
}

#[test]
fn a_scanner_that_shall_be_absent_needs_its_code_alone() {
    let request =
        parse(&json!({"name": "ab", "state": "absent", "personalization_code": "1", "private_dir": "/p"})).unwrap();
    assert!(request.desired.is_none() && request.adjustment.is_none());
    assert_eq!(request.identity.unwrap().directory.as_str(), "/p/1");
}

#[test]
fn empty_texts_of_optional_options_are_as_good_as_left_out() {
    let options = json!({"https_proxy": "", "ca_dir": "", "network": "", "restart_policy": "", "private_dir_mode": ""});
    let desired = request(&options).unwrap().desired.unwrap();
    assert!(desired.proxy.is_none() && desired.ca_dir.is_none() && desired.network.is_none());
    assert!(desired.restart_policy.is_none() && desired.private_dir_mode.is_none());
}
