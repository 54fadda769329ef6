//! Codes, credentials and values of variables are in no answer, wherever they come from; and odd ones do not wreck it.

use std::fs;

use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{Engine, Module, Reply, Scanner};

const PROXY: &str = "canary-user:canary-pass@proxy.example.org:3128";

/// Every secret of the task is a canary (the harness looks for the code, too).
fn secretive(scanner: &Scanner) -> Module {
    scanner.module().args(json!({
        "https_proxy": PROXY, "env": {"TOKEN": "canary-token", "LINES": "canary-one\ncanary-two"},
    }))
}

#[track_caller]
fn assert_silent(scanner: &Scanner, reply: Reply) -> Reply {
    assert!(!reply.line.contains("canary") && !reply.line.contains(&scanner.code), "{}", reply.line);
    reply
}

/// What everybody can read in the image is none, and masking it would wreck names and paths.
#[test]
fn what_an_image_brings_to_the_environment_is_no_secret() {
    let engine = Engine::shared();
    let [scanner, neighbour] = [Scanner::new(engine), Scanner::new(engine)];
    let image = format!("qualys/qcsa:{}", scanner.name);
    engine.derive(&image, &[format!("ENV VERSION={} BASE=/usr/local/qualys", scanner.name)]);
    neighbour.by_hand_from(&image, &[]);

    let module = || scanner.module().arg("image", &*image).arg("settle", 0);
    // Other tests' scanners come and go meanwhile, which it sums up.
    let info = Module::new(engine).without("overcommit").disturbed().args(json!({
        "_ansible_module_name": "qcss_scanner_info", "name": scanner.name,
    }));
    let memory = || module().arg("memory", "64M");
    let by_name = || scanner.run_state().arg("settle", 0);
    let runs = [module().check(), module(), memory(), module(), by_name().arg("state", "stopped"), by_name(), info];
    for run in runs {
        let reply = run.run();
        assert_ne!(reply["failed"], true, "{reply:#?}");
        let container = [&reply["container"], &reply["scanners"][0]["container"]].into_iter().find(|it| it.is_object());
        if let Some(container) = container {
            assert_eq!(container["image"], *image, "{reply:#?}");
        }
        if let Some(command) = reply["command"].as_str() {
            assert!(command.contains(":/usr/local/qualys:z") && command.ends_with(&image), "{command}");
        }
    }
    engine.docker(&["rm", "--force", &scanner.name, &neighbour.name]);
    engine.docker(&["rmi", &image]);
}

#[test]
fn of_the_task_whatever_it_does() {
    let scanner = Scanner::new(Engine::shared());
    let tasks = [
        json!({"_ansible_check_mode": true}),
        json!({}),
        json!({"memory": "64M"}),
        json!({"memory": "96M", "env": {"TOKEN": "canary-other"}}),
        json!({"image": "qualys/qcsa:2"}),
        json!({"recreate": "never"}),
        json!({"state": "stopped", "_ansible_verbosity": 5, "_ansible_debug": true}),
        json!({"state": "absent"}),
        json!({"cpus": 4096}),
        json!({"image": "127.0.0.1:1/x"}),
        json!({"network": "no-such-network"}),
        json!({"shared_dir": "/etc/passwd"}),
        json!({"memory": "much"}),
        json!({"unknown": "x"}),
        json!({"qualys_url": "ftp://x"}),
        json!({"docker_host": "unix:///nonexistent"}),
    ];
    for task in tasks {
        assert_silent(&scanner, secretive(&scanner).args(task.clone()).diff().run());
    }
}

#[rstest]
#[case(json!({"personalization_code": "canary/4711"}))]
#[case(json!({"personalization_code": ["canary-4711"]}))]
#[case(json!({"personalization_code": {"code": "canary-4711"}}))]
#[case(json!({"https_proxy": "canary-4711"}))]
#[case(json!({"https_proxy": ["canary-4711"]}))]
#[case(json!({"env": "TOKEN=canary-4711"}))]
#[case(json!({"env": "{\"TOKEN\": \"canary-4711\"}"}))]
#[case(json!({"env": "canary-4711"}))]
#[case(json!({"env": ["canary-4711"]}))]
#[case(json!({"env": {"TOKEN": ["canary-4711"]}}))]
#[case(json!({"env": {"TOKEN": {"deep": "canary-4711"}}}))]
#[case(json!({"name": "canary-4711/x", "https_proxy": "canary-4711"}))]
fn of_the_wrong_type(#[case] options: Value) {
    let scanner = Scanner::new(Engine::shared());
    // Not the harness's own look: what is given is not what is secret.
    let reply = scanner.module().args(options).check().diff().run();
    assert!(!reply.line.contains("canary"), "{}", reply.line);
}

#[test]
fn of_the_old_container_and_of_neighbours() {
    let scanner = Scanner::new(Engine::shared());
    let neighbour = Scanner::new(Engine::shared());
    neighbour.by_hand(&["-e HTTPS_PROXY=canary-user2:canary-pass2@proxy:3128 -e TOKEN=canary-token2"]);
    scanner.by_hand(&["-e", &format!("HTTPS_PROXY={PROXY}"), "-e TOKEN=canary-token --label a=canary-token"]);
    let other = format!("7{}", scanner.code);
    let silent = |module: Module| {
        let reply = assert_silent(&scanner, module.diff().run());
        assert!(!reply.line.contains(&neighbour.code), "{}", reply.line);
        reply
    };
    silent(scanner.run_state().arg("state", "stopped")).changed();
    silent(scanner.run_state().arg("state", "started")).changed();
    silent(scanner.module().arg("personalization_code", neighbour.code.as_str())).refused("already_in_use");
    silent(scanner.module().arg("personalization_code", other.as_str()).check()).changed();
    silent(scanner.module().args(json!({"personalization_code": other, "env": {"STAND_IN_DIE": "1"}, "settle": 1.5})))
        .refused("start_failed");
    silent(scanner.module().args(json!({"recreate": "never"}))).refused("needs_replacement");
    silent(scanner.module().arg("personalization_code", other.as_str())).changed();
}

#[test]
fn in_the_scanners_last_words() {
    let scanner = Scanner::new(Engine::shared());
    fs::create_dir_all(scanner.store()).unwrap();
    fs::write(scanner.store().join("stand-in.conf"), "STAND_IN_LEAK=1\nSTAND_IN_DIE=1\necho \"$TOKEN $LINES\"\n")
        .unwrap();
    let message = assert_silent(&scanner, secretive(&scanner).arg("settle", 1.5).diff().run()).refused("start_failed");
    assert!(message.contains("code ********, proxy ********"), "{message}");

    // The same of a scanner that somebody else made, and that is only looked at.
    scanner.by_hand(&["--restart always -e TOKEN=canary-token -e", &format!("HTTPS_PROXY={PROXY}")]);
    let flaps = || scanner.inspect()["RestartCount"].as_i64() > Some(1);
    crate::support::eventually("the scanner flaps", flaps);
    let message = assert_silent(&scanner, scanner.run_state().arg("state", "started").run()).refused("start_failed");
    assert!(message.contains("code ********, proxy ********"), "{message}");
}

/// Lines of the log are cut, and half a code is not known as one.
#[test]
fn where_a_line_is_cut() {
    let scanner = Scanner::new(Engine::shared());
    fs::create_dir_all(scanner.store()).unwrap();
    let line = format!("echo \"{}$PERSONALIZATION_CODE\"\nSTAND_IN_DIE=1\n", ".".repeat(195));
    fs::write(scanner.store().join("stand-in.conf"), line).unwrap();
    let message = scanner.module().run().refused("start_failed");
    let (_, after) = message.split_once(&".".repeat(195)).unwrap();
    assert!(after.starts_with("*****"), "{message}");
}

#[rstest]
#[case("a")]
#[case("0")]
#[case("true")]
#[case("name")]
#[case("-")]
fn odd_codes_do_not_wreck_the_answer(#[case] code: &str) {
    let scanner = Scanner::new(Engine::shared());
    let store = scanner.private_dir().join(code);
    // Of a code as short as this more or less is masked, depending on what else a run sees.
    let module = || scanner.module().arg("personalization_code", code).diff().disturbed();
    let predicted = module().check().run().changed();
    let reply = module().run().changed();
    for reply in [&predicted, &reply] {
        assert_eq!(reply.actions(), ["create_directory", "create_directory", "create", "start"], "{reply:#?}");
        assert_eq!(reply["differences"][0]["field"], "shared_dir");
        assert_eq!(reply["scanner"]["category"], "unlimited");
        let command = reply["command"].as_str().unwrap();
        assert!(command.contains("-e PERSONALIZATION_CODE=********"), "{command}");
        assert!(!command.contains(&format!("/{code}:")), "{command}");
        assert_eq!(reply["invocation"]["module_args"]["personalization_code"], "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER");
    }
    let inspect = scanner.inspect();
    assert_eq!(reply["container"]["id"], inspect["Id"]);
    assert_eq!((&reply["container"]["status"], &reply["container"]["running"]), (&json!("running"), &json!(true)));
    assert!(inspect["Config"]["Env"].to_string().contains(&format!("\"PERSONALIZATION_CODE={code}\"")));
    assert!(store.is_dir());
    module().run().unchanged();
    module().args(json!({"state": "absent", "purge": true})).run().changed();
    assert!(!store.exists());
}

#[test]
fn a_code_that_came_as_a_number_is_taken_with_a_warning() {
    let scanner = Scanner::new(Engine::shared());
    scanner.by_hand(&[]);
    let number: u64 = scanner.code.parse().unwrap();
    let reply = assert_silent(&scanner, scanner.module().arg("personalization_code", number).run()).unchanged();
    assert!(reply["warnings"][0].as_str().unwrap().contains("put it in quotes"), "{reply:#?}");
}
