//! Several scanners in one task.

use std::fs;

use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{Engine, Module, Proxy, Reply, Scanner};

#[test]
fn the_tasks_options_are_defaults_and_an_entrys_own_win() {
    let engine = Engine::shared();
    let scanners = [(); 3].map(|()| Scanner::new(engine));
    let entries = [json!({"memory": "48M"}), json!({"memory": null, "settle": 0.1}), json!({})];
    let module = || task(engine, &scanners, &entries).arg("memory", "64M").diff();

    let predicted = module().check().run().changed();
    assert_eq!(predicted["msg"], "would change 3 of 3 scanners");
    assert!(scanners.iter().all(|scanner| !scanner.exists()));
    let reply = module().run().changed();
    assert_eq!(reply["msg"], "changed 3 of 3 scanners");
    for (at, scanner) in scanners.iter().enumerate() {
        let (result, before) = (&reply["results"][at], &predicted["results"][at]);
        assert_eq!((&result["name"], &result["changed"]), (&json!(scanner.name), &json!(true)));
        assert_eq!(result["container"]["id"], scanner.inspect()["Id"]);
        assert_eq!((&result["scanner"], &result["differences"]), (&before["scanner"], &before["differences"]));
        // The directory that they share is the first one's to make.
        let made = if at == 0 { 2 } else { 1 };
        let actions: Vec<_> = std::iter::repeat_n("create_directory", made).chain(["create", "start"]).collect();
        assert_eq!((&result["actions"], &before["actions"]), (&json!(actions), &json!(actions)));
        assert_eq!(reply["diff"][at]["before_header"], *scanner.name);
        let memory = if at == 0 { 48 << 20 } else { 64 << 20 };
        assert_eq!(scanner.inspect()["HostConfig"]["Memory"], memory);
        assert!(reply["diff"][at]["after"].as_str().unwrap().contains(&format!("memory: {memory}\n")), "{reply:#?}");
    }

    let proxy = Proxy::new(engine);
    let reply = module().through(&proxy).run().unchanged();
    assert_eq!(reply["msg"], "changed 0 of 3 scanners");
    assert_eq!((proxy.requests().len(), proxy.writes().len()), (1 + 1 + 3, 0), "{:?}", proxy.requests());
    module().check().run().unchanged();

    engine.docker(&["stop", "--time=1", &scanners[1].name]);
    let reply = module().run().changed();
    assert_eq!(reply["msg"], "changed 1 of 3 scanners");
    assert_eq!(changed(&reply), [false, true, false]);
}

#[rstest]
#[case::missing(json!([{"state": "absent"}]), "missing required arguments: name found in scanners")]
#[case::int(json!([{"name": "ab", "polling_interval": "x"}]), "argument 'polling_interval' is of type str found in 'scanners'. and we were unable to convert to int: \"'x'\" cannot be converted to an int")]
#[case::choice(json!([{"name": "ab", "state": "x"}]), "value of state must be one of: started, present, stopped, absent, got: x found in scanners")]
#[case::required_by(json!([{"name": "ab", "personalization_code": "1", "image": "x"}]), "missing parameter(s) required by 'personalization_code': qualys_url found in scanners")]
#[case::unsupported(json!([{"name": "ab", "bad": 1}, {"name": "cd", "docker_host": "unix:///x"}]), "Unsupported parameters for (qcss_scanner) module: scanners.bad, scanners.docker_host. Supported parameters include: ca_dir, ")]
#[case::no_dict(json!(["ab"]), "Elements value for option 'scanners' is of type str and we were unable to convert to dict: dictionary requested, could not parse JSON or key=value")]
#[case::value(json!([{"name": "ab", "state": "absent"}, {"name": "a/b", "state": "absent"}]), "scanner `a/b`: ")]
#[case::percentage(json!([{"name": "ab", "personalization_code": "1234567", "qualys_url": "US1", "image": "x", "memory": "200%"}]), "scanner `ab`: memory must be ")]
#[case::same_name(json!([{"name": "ab", "state": "absent"}, {"name": "ab", "state": "stopped"}]), "two entries of scanners have the same name; give each its own: `ab` and `ab`")]
#[case::same_code(json!([
    {"name": "ab", "personalization_code": "1234567", "qualys_url": "US1", "image": "x"},
    {"name": "cd", "personalization_code": 1_234_567, "qualys_url": "US1", "image": "x", "private_dir": "/else/where"}
]), "two entries of scanners have the same personalization_code; give each its own: `ab` and `cd`")]
fn entries_are_validated_in_the_words_of_ansible(#[case] entries: Value, #[case] message: &str) {
    let said = Module::new(Engine::shared()).arg("scanners", entries).run().refused("invalid_arguments");
    assert!(said.starts_with(message), "{said}");
}

#[test]
fn a_task_is_for_one_scanner_or_for_a_list_of_them() {
    let module = || Module::new(Engine::shared()).arg("scanners", json!([{"name": "ab", "state": "absent"}]));
    let said = module().arg("name", "ab").run().refused("invalid_arguments");
    assert_eq!(said, "parameters are mutually exclusive: name|scanners");
    assert_eq!(module().run().unchanged()["results"][0]["name"], "ab");
    let reply = module().arg("scanners", json!([])).run().unchanged();
    assert_eq!(reply["results"], json!([]));
}

#[rstest]
#[case::list(json!([{"name": "ab", "personalization_code": "canary-code-1"}]))]
#[case::text(json!("[{\"name\": \"ab\", \"personalization_code\": \"canary-code-1\"}]"))]
#[case::texts(json!(["name=ab personalization_code=canary-code-1 bad=1"]))]
#[case::text_of_pairs(json!("name=ab personalization_code=canary-code-1 bad=1"))]
#[case::dict(json!({"name": "ab", "personalization_code": "canary-code-1"}))]
fn a_code_in_a_list_of_any_form_is_not_shown(#[case] scanners: Value) {
    let reply = Module::new(Engine::shared()).arg("scanners", scanners).run();
    assert!(!reply.line.contains("canary-code-1"), "{}", reply.line);
    reply.refused("invalid_arguments");
}

#[rstest]
#[case::image(json!({"image": "qualys/none", "pull": "never"}), "image_not_found")]
#[case::network(json!({"network": "nonexistent"}), "invalid_arguments")]
#[case::ca_dir(json!({"ca_dir": "/nonexistent"}), "invalid_arguments")]
#[case::code(json!("code"), "already_in_use")]
#[case::no_scanner(json!("foreign"), "not_a_scanner")]
#[case::replacement(json!({"recreate": "never", "labels": {"a": "b"}}), "needs_replacement")]
fn what_is_refused_for_one_is_refused_for_all(#[case] mut second: Value, #[case] error: &str) {
    let engine = Engine::shared();
    let [first, last, other] = [(); 3].map(|()| Scanner::new(engine));
    let scanners = [first, Scanner::new(engine), last];
    if second == "code" {
        other.by_hand(&[]);
        second = json!({"personalization_code": other.code});
    } else if second == "foreign" {
        engine.docker(&["create", "--name", &scanners[1].name, "--entrypoint=sleep", "qualys/qcsa:1", "9"]);
        second = json!({});
    } else if error == "needs_replacement" {
        scanners[1].by_hand(&[]);
    }
    let module = || task(engine, &scanners, &[json!({}), second.clone(), json!({})]);
    for run in [module().check(), module()] {
        let reply = run.run();
        let named = format!("scanner `{}`: ", scanners[1].name);
        assert_eq!(reply["results"][0]["changed"], false);
        let message = reply.refused(error);
        assert!(message.starts_with(&named) && message.ends_with("; no scanner was touched"), "{message}");
        assert!(!scanners[0].exists() && !scanners[2].exists() && !scanners[0].private_dir().exists());
    }
}

#[test]
fn a_failure_stops_there_and_says_which_were_done() {
    let engine = Engine::shared();
    let scanners = [(); 4].map(|()| Scanner::new(engine));
    scanners[1].by_hand(&[]);
    let dying = json!({"env": {"STAND_IN_DIE": "3"}});
    let own = json!({"shared_dir": scanners[1].shared_dir(), "private_dir": scanners[1].private_dir()});
    let reply = task(engine, &scanners, &[json!({}), own, dying, json!({})]).run();
    // The directories of the third one stay, with what it wrote there.
    assert_eq!(changed(&reply), [true, false, true, false]);
    assert_eq!(reply["changed"], true);
    assert_eq!(reply["rolled_back"], true);
    assert_eq!(reply["results"][2]["failed"], true);
    assert_eq!(reply["results"][3]["msg"], format!("not reached: `{}`", scanners[3].name));
    assert_eq!(reply["results"][3]["actions"], json!([]));
    let message = reply.refused("start_failed");
    assert!(message.starts_with(&format!("scanner `{}`: ", scanners[2].name)), "{message}");
    assert!(
        message.ends_with(&format!("; done before it: `{}`, `{}`", scanners[0].name, scanners[1].name)),
        "{message}"
    );
    assert!(scanners[0].exists() && !scanners[2].exists() && !scanners[3].exists());
}

#[test]
fn a_host_is_divided_as_a_whole() {
    let engine = Engine::private(Engine::WITHOUT_BRIDGE);
    let scanners = [(); 4].map(|()| Scanner::new(&engine));
    let limits = |memory: [&str; 4]| memory.map(|memory| json!({"memory": memory, "cpus": "25%"}));
    let module = |memory| task(&engine, &scanners, &limits(memory)).arg("overcommit", "deny");

    let reply = module(["30%"; 4]).run();
    assert!(reply["host"]["memory"]["total"].is_u64(), "{reply:#?}");
    let message = reply.refused("overcommit");
    assert!(message.ends_with("; no scanner was touched"), "{message}");
    assert!(!scanners[0].shared_dir().exists());

    let reply = module(["25%"; 4]).run().changed();
    assert_eq!(changed(&reply), [true; 4]);
    assert_eq!(reply["host"]["cpus"]["available"], 0.0);
    module(["25%"; 4]).run().unchanged();

    // Full. The first grows before the last one shrinks.
    let reply = module(["40%", "25%", "25%", "10%"]).run().changed();
    assert_eq!(changed(&reply), [true, false, false, true]);
    module(["40%", "25%", "26%", "10%"]).run().refused("overcommit");

    // One that goes makes room for one that comes.
    let fifth = Scanner::new(&engine);
    let gone =
        json!({"name": scanners[0].name, "personalization_code": scanners[0].code, "state": "absent", "purge": true});
    let entries =
        json!([{"name": fifth.name, "personalization_code": fifth.code, "memory": "40%", "cpus": "25%"}, gone]);
    let reply = task(&engine, &scanners, &[]).arg("overcommit", "deny").arg("scanners", entries).run();
    let reply = reply.changed();
    assert_eq!(reply["results"][1]["actions"], json!(["purge_directory", "remove"]));
    assert!(fifth.exists() && !scanners[0].exists());
    assert_eq!(reply["host"]["cpus"]["available"], 0.0);
}

#[test]
fn each_has_its_own_state_and_those_that_are_not_listed_are_left_alone() {
    let engine = Engine::shared();
    let scanners = [(); 5].map(|()| Scanner::new(engine));
    task(engine, &scanners, &[(); 5].map(|()| json!({}))).run().changed();
    let store = scanners[0].private_dir().join(&scanners[1].code);
    assert!(store.exists());

    let listed = &scanners[..4];
    let states = [
        json!({"state": "absent"}),
        json!({"state": "absent", "purge": true}),
        json!({"state": "stopped"}),
        json!({"state": "present"}),
    ];
    let module = || task(engine, listed, &states);
    assert_eq!(changed(&module().check().run().changed()), [true, true, true, false]);
    let reply = module().run().changed();
    let actions: Vec<_> = reply["results"].as_array().unwrap().iter().map(|it| it["actions"].clone()).collect();
    assert_eq!(actions, [json!(["remove"]), json!(["purge_directory", "remove"]), json!(["stop"]), json!([])]);
    assert!(scanners[0].store().exists() && !store.exists());
    assert_eq!(scanners[2].inspect()["State"]["Running"], false);
    assert_eq!(scanners[4].inspect()["State"]["Running"], true);
    module().run().unchanged();

    // By name alone.
    let names: Vec<_> = listed[2..].iter().map(|scanner| json!({"name": scanner.name})).collect();
    let reply = Module::new(engine).arg("state", "started").arg("settle", 0).arg("scanners", names).run().changed();
    assert_eq!(changed(&reply), [true, false]);
}

#[test]
fn the_invocation_has_every_entry_without_its_secrets() {
    let engine = Engine::shared();
    let scanners = [(); 2].map(|()| Scanner::new(engine));
    let entries = [
        json!({"env": {"TOKEN": "canary-token"}}),
        json!({"registry_username": "u", "registry_password": "canary-word", "https_proxy": "u:canary-proxy@h:1"}),
    ];
    let reply = task(engine, &scanners, &entries).check().run().changed();
    let shown = &reply["invocation"]["module_args"]["scanners"];
    assert_eq!(shown[0]["name"], *scanners[0].name);
    assert_eq!(shown[0]["env"]["TOKEN"], "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER");
    assert_eq!(shown[1]["registry_password"], "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER");
    for secret in [&scanners[0].code, &scanners[1].code, "canary-token", "canary-word", "canary-proxy"] {
        assert!(!reply.line.contains(secret), "{secret}: {}", reply.line);
    }
    fs::metadata(scanners[0].shared_dir()).unwrap_err();
}

/// A task for `scanners`, all of them in the first one's directories, each with further options.
fn task(engine: &Engine, scanners: &[Scanner], options: &[Value]) -> Module {
    let entry = |(scanner, options): (&Scanner, &Value)| {
        let mut entry = json!({"name": scanner.name, "personalization_code": scanner.code});
        entry.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
        entry
    };
    let entries: Vec<_> = scanners.iter().zip(options).map(entry).collect();
    let Value::Object(mut defaults) = scanners[0].args() else { unreachable!() };
    defaults.retain(|name, _| !["name", "personalization_code"].contains(&name.as_str()));
    Module::new(engine).args(defaults.into()).arg("settle", 0.3).arg("scanners", entries)
}

fn changed(reply: &Reply) -> Vec<bool> {
    reply["results"].as_array().unwrap().iter().map(|result| result["changed"].as_bool().unwrap()).collect()
}
