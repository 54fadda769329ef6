//! Secrets where nobody looks for them, and written in another way than the task has them.

use std::collections::BTreeSet;
use std::fs;

use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{Engine, Module, Scanner, eventually};

/// In no other text of a reply.
const PASSWORD: &str = "Canary/7w";

#[test]
fn a_password_in_the_url_of_a_container_is_not_shown() {
    let scanner = Scanner::new(Engine::shared());
    // The last one of a name counts.
    scanner.by_hand_from(
        "-e QUALYS_URL=https://u:canary-7w@qualysguard.qualys.com qualys/qcsa:1",
        &["--label url=http://v:canary-8w@h"],
    );
    assert!(scanner.inspect()["Config"]["Env"].to_string().contains("canary-7w"));
    // Other tests' scanners come and go meanwhile, which it sums up.
    let info = Module::new(scanner.engine).without("overcommit").disturbed().args(json!({
        "_ansible_module_name": "qcss_scanner_info", "name": scanner.name,
    }));
    let labels = json!({"labels": {"url": "none"}});
    for module in [info, scanner.module().check().diff(), scanner.module().args(labels.clone()).check().diff()] {
        let reply = module.run();
        assert!(!reply.line.contains("canary"), "{}", reply.line);
    }
    let reply = scanner.module().args(labels).check().run().changed();
    let labels = reply["differences"].as_array().unwrap().iter().find(|it| it["field"] == "labels").unwrap();
    assert_eq!(labels["before"], json!({"url": "********"}));
}

#[rstest]
#[case::url_with_user(json!({"qualys_url": "https://u:canary@h"}))]
#[case::url_without_scheme(json!({"qualys_url": "u:canary@h"}))]
#[case::url_with_query(json!({"qualys_url": "https://h/?token=canary"}))]
#[case::image(json!({"image": "u:canary@reg/x"}))]
#[case::image_with_scheme(json!({"image": "https://u:canary@reg/x"}))]
#[case::docker_host(json!({"docker_host": "tcp://u:canary@10.0.0.1:2375"}))]
#[case::network(json!({"network": "http://u:canary@h"}))]
#[case::directory(json!({"ca_dir": "https://u:canary@h/ca"}))]
#[case::entry(json!({"labels": {"http://u:canary@h": 1}}))]
#[case::key_of_env(json!({"env": {"TOKEN=canary": ""}}))]
#[case::key_of_env_with_colon(json!({"env": {"TOKEN: canary": ""}}))]
#[case::env_as_list(json!({"env": ["TOKEN=canary"]}))]
#[case::label_of_a_secret(json!({"env": {"TOKEN": "canary"}, "labels": {"x-canary": "%63anary"}, "cpus": 4096}))]
fn a_password_where_none_belongs_is_not_shown(#[case] options: Value) {
    let scanner = Scanner::new(Engine::shared());
    let reply = scanner.module().args(options).check().diff().run();
    assert!(!reply.line.contains("canary"), "{}", reply.line);
}

#[test]
fn a_password_in_docker_host_of_the_environment_is_not_shown() {
    let scanner = Scanner::new(Engine::shared());
    let module = scanner.module().without("docker_host").env("DOCKER_HOST", "tcp://u:canary@10.0.0.1:2375");
    let reply = module.run();
    assert!(!reply.line.contains("canary"), "{}", reply.line);
    assert!(reply.refused("invalid_arguments").ends_with("got: `tcp://u:********@10.0.0.1:2375`"));
}

/// The environment has another code than the directory.
#[test]
fn a_directory_named_by_a_code_of_letters_is_not_shown() {
    let scanner = Scanner::new(Engine::shared());
    let old = scanner.private_dir().join("canary-code");
    fs::create_dir_all(&old).unwrap();
    fs::create_dir_all(scanner.shared_dir()).unwrap();
    scanner.engine.docker(&[
        "create",
        "--name",
        &scanner.name,
        "-v",
        &format!("{}:/usr/local/qualys:z", scanner.shared_dir().display()),
        "-v",
        &format!("{}:/usr/local/qualys/admin/etc:z", old.display()),
        "-e",
        &format!("PERSONALIZATION_CODE={}", scanner.code),
        "qualys/qcsa:1",
    ]);
    for module in [scanner.module().check().diff(), scanner.run_state().arg("state", "absent").check().diff()] {
        let reply = module.run();
        assert!(!reply.line.contains("canary"), "{}", reply.line);
    }
}

#[rstest]
#[case::upper_case("echo \"$TOKEN\" | awk '{ print toupper($0) }'")]
#[case::percent_encoded("echo 'x Canary%2f7w y'")]
#[case::json(r"echo 'x \u0043anary\/7w y'")]
#[case::shell(r"echo 'x Canary\/7w y'")]
#[case::colours(r"printf 'x Can\033[31mary/\033[0m7w y\n'")]
#[case::cut_and_begun(r"printf '%016380d%s' 0 Can; printf 'ary/7w\n'")]
#[case::over_two_lines(r"printf 'x Cana\nry/7w y\n'")]
#[case::begun_before(
    r"for i in 1 2 3 4 5 6 7 8; do echo; done; echo 'nary/7w'; for i in 1 2 3 4 5 6 7 8 9; do echo .; done"
)]
fn the_last_lines_hide_a_secret_in_disguise(#[case] says: &str) {
    let scanner = Scanner::new(Engine::shared());
    fs::create_dir_all(scanner.store()).unwrap();
    fs::write(scanner.store().join("stand-in.conf"), format!("{says}\nSTAND_IN_DIE=1\n")).unwrap();
    let reply = scanner.module().args(json!({"env": {"TOKEN": PASSWORD}, "settle": 1.5})).run();
    let shown = reply["msg"].as_str().unwrap().to_lowercase();
    for part in ["canary", "nary", "7w", "\u{1b}"] {
        assert!(!shown.contains(part), "{part}: {shown}");
    }
    reply.refused("start_failed");
}

#[test]
fn a_password_is_found_decoded() {
    let scanner = Scanner::new(Engine::shared());
    fs::create_dir_all(scanner.store()).unwrap();
    fs::write(scanner.store().join("stand-in.conf"), "echo 'proxy says p@ss-canary'\nSTAND_IN_DIE=1\n").unwrap();
    let message = scanner.module().args(json!({"https_proxy": "u:p%40ss-canary@h:1", "settle": 1.5})).run();
    let message = message.refused("start_failed");
    // Before or after what it says on the other stream: the engine reads both at once.
    let (_, lines) = message.split_once("its last lines: ").unwrap();
    let lines: BTreeSet<_> = lines.split_once(';').unwrap().0.split(" | ").collect();
    assert_eq!(lines, BTreeSet::from(["proxy says ********", "scanner died"]), "{message}");
}

/// The other way round: what is no secret stays.
#[test]
fn names_words_and_numbers_stay_whatever_is_secret() {
    let scanner = Scanner::new(Engine::shared());
    let env = format!("A={} B=https C=running D=1024", scanner.name);
    let module = || scanner.module().args(json!({"personalization_code": "started", "env": env, "memory": "64M"}));
    let reply = module().diff().run().changed();
    assert_eq!((&reply["container"]["name"], &reply["container"]["status"]), (&json!(scanner.name), &json!("running")));
    assert_eq!(reply["scanner"]["qualys_url"], "https://qualysguard.qualys.com");
    assert_eq!(reply["invocation"]["module_args"]["name"], *scanner.name);
    assert_eq!(reply["invocation"]["module_args"]["state"], "started");
    assert!(reply["msg"].as_str().unwrap().ends_with(&format!("created, started: `{}`", scanner.name)), "{reply:#?}");
    assert!(reply["command"].as_str().unwrap().contains("-e QUALYS_URL=https://"), "{reply:#?}");
    let reply = module().arg("state", "stopped").diff().run().changed();
    let state = reply["differences"].as_array().unwrap().iter().find(|it| it["field"] == "state").unwrap();
    assert_eq!((&state["before"], &state["after"]), (&json!("running"), &json!("stopped")), "{reply:#?}");
    eventually("it stops", || scanner.inspect()["State"]["Running"] == false);
}
