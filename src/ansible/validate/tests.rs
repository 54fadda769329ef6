use super::super::options::{OPTIONS, RULES};
use super::*;
use rstest::rstest;
use serde_json::json;

fn check(options: &Value) -> Result<Valid> {
    validate("qcss_scanner", OPTIONS, RULES, options.as_object().unwrap())
}

#[rstest]
#[case(json!({}), "missing required arguments: name")]
#[case(json!({"name": null}), "missing required arguments: name")]
#[case(json!({"name": "x", "timeout": "abc"}),
    "argument 'timeout' is of type str and we were unable to convert to int: \"'abc'\" cannot be converted to an int")]
#[case(json!({"name": "x", "state": "bogus"}),
    "value of state must be one of: started, present, stopped, absent, got: bogus")]
#[case(json!({"name": "x", "recreate": "maybe"}), "value of recreate must be one of: auto, always, never, got: maybe")]
#[case(json!({"name": "x", "personalization_code": "1", "image": "i"}),
    "missing parameter(s) required by 'personalization_code': qualys_url")]
#[case(json!({"name": "x", "personalization_code": "1", "state": "present"}),
    "missing parameter(s) required by 'personalization_code': qualys_url, image")]
#[case(json!({"name": "x", "personalization_code": "1", "registry_username": "u"}),
    "parameters are required together: registry_username, registry_password")]
#[case(json!({"scanners": [{"name": "x", "personalization_code": "1"}]}),
    "missing parameter(s) required by 'personalization_code': qualys_url, image found in scanners")]
#[case(json!({"name": "a\u{fffd}"}), "`name` holds text that is not valid Unicode; write it in UTF-8")]
#[case(json!({"name": ["x"]}), "argument 'name' is of type list and we were unable to convert to str: \
    '['x']' is not a string and conversion is not allowed")]
// An order of its own: a missing one before a wrong type, a wrong type before a choice, unsupported last.
#[case(json!({"timeout": "abc"}), "missing required arguments: name")]
#[case(json!({"name": "x", "state": "bogus", "settle": "abc"}),
    "argument 'settle' is of type str and we were unable to convert to float: \
    <class 'str'> cannot be converted to a float")]
#[case(json!({"name": "x", "personalization_code": "1", "image": "i", "nope": 1, "state": "started"}),
    "missing parameter(s) required by 'personalization_code': qualys_url")]
#[case(json!({"name": "x", "pull": "often", "image": "i", "state": "bogus"}),
    "value of pull must be one of: missing, always, never, got: often")]
#[case(json!({"name": "x", "purge": "maybe", "restart": "maybe"}),
    "argument 'restart' is of type str and we were unable to convert to bool: The value 'maybe' is not a valid \
    boolean. Valid booleans include: 'y', 'yes', 'on', '1', 'true', 't', 1, 'n', 'no', 'off', '0', 'false', 'f', 0")]
#[case(json!({"name": "x", "labels": "a"}),
    "argument 'labels' is of type str and we were unable to convert to dict: dictionary requested, could not parse \
    JSON or key=value")]
#[case(json!({"name": "x", "state": "bogus", "nope": 1}),
    "value of state must be one of: started, present, stopped, absent, got: bogus")]
fn refuses_in_the_words_of_ansible(#[case] options: Value, #[case] message: &str) {
    assert_eq!(check(&options).unwrap_err(), Error::invalid(message));
}

#[test]
fn unsupported_options_are_listed_sorted_beside_all_that_is_supported() {
    let message = check(&json!({"name": "x", "zeta": 1, "alpha": null})).unwrap_err().message;
    let start =
        "Unsupported parameters for (qcss_scanner) module: alpha, zeta. Supported parameters include: ca_dir, cpus, ";
    assert!(message.starts_with(start) && message.ends_with(", update_interval."), "{message}");
}

#[rstest]
#[case("recreate", json!(true), "always")]
#[case("recreate", json!("yes"), "always")]
#[case("recreate", json!(false), "auto")]
#[case("recreate", json!("never"), "never")]
#[case("restart_policy", json!(false), "no")]
#[case("restart_policy", json!("no"), "no")]
#[case("restart_policy", json!("on-failure:3"), "on-failure:3")]
#[case("memory", json!(1024), "1024")]
fn yaml_truth_values_mean_what_the_user_wrote(#[case] name: &str, #[case] value: Value, #[case] expected: &str) {
    let valid = check(&json!({"name": "x", name: value})).unwrap();
    assert_eq!(valid.values[name], expected);
}

#[test]
fn defaults_are_filled_in_and_only_what_the_task_gave_counts_as_given() {
    let valid = check(&json!({"name": 12, "memory": null})).unwrap();
    assert_eq!(valid.given.iter().copied().collect::<Vec<_>>(), ["name"]);
    assert_eq!(valid.values["name"], "12");
    assert_eq!(valid.values["state"], "started");
    assert_eq!(valid.values["memory"], Value::Null);
    assert_eq!(valid.values.len(), OPTIONS.len());
}
