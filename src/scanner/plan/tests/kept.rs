//! What a replacement keeps of the old container.

use super::super::super::values::environment::Environment;
use super::*;

#[test]
fn the_new_one_of_a_replacement_has_the_policy_that_is_wanted_or_there() {
    for (options, expected) in [
        (json!({"recreate": "always"}), RestartPolicy::Always),
        (json!({"recreate": "always", "restart_policy": "no"}), RestartPolicy::No),
    ] {
        let observed = by_hand().with_policy(RestartPolicy::Always);
        let plan = Plan::make(&request(&options).unwrap(), &observation(Some(observed))).unwrap();
        assert_eq!(
            plan.operations,
            [Operation::Replace { start: true, policy: expected, env: Environment::default() }]
        );
    }
}

/// What the docker command added is nobody's wish, and goes along all the same.
#[test]
fn variables_of_the_docker_command_go_along_in_a_replacement() {
    let mut old = by_hand().with_env("HTTPS_PROXY", "u:p@proxy:1").with_env("no_proxy", "a,b");
    old.client_env = Environment::from_entries(&["HTTPS_PROXY=u:p@proxy:1".to_owned(), "no_proxy=a,b".to_owned()]);
    let plan = |options: &Value| Plan::make(&request(options).unwrap(), &observation(Some(old.clone()))).unwrap();
    assert!(plan(&json!({})).is_empty());
    let replace = Operation::Replace { start: true, policy: RestartPolicy::No, env: old.client_env.clone() };
    assert_eq!(plan(&json!({"recreate": "always"})).operations, [replace]);
}
