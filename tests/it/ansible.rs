//! The module as its users meet it: through Ansible's own commands.

use serde_json::{Value, json};

use crate::support::{Ansible, Engine, Scanner, eventually};

const MASKED: &str = "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER";

#[test]
fn an_ad_hoc_call_manages_the_run_state() {
    let engine = Engine::shared();
    let scanner = Scanner::new(engine);
    scanner.by_hand(&[]);

    let arguments = format!("name={} state=stopped stop_timeout=1 docker_host={}", scanner.name, engine.host());
    let ad_hoc = || Ansible::ad_hoc(engine, &arguments);
    assert!(ad_hoc().option("--check").run().succeeded().output.contains("localhost | CHANGED => {"));
    assert_eq!(scanner.inspect()["State"]["Running"], true);
    let run = ad_hoc().run().succeeded();
    assert!(run.output.contains("localhost | CHANGED => {"), "{}", run.output);
    assert_eq!(run.task("qcss_scanner")["actions"], json!(["stop"]));
    assert_eq!(scanner.inspect()["State"]["Running"], false);
    assert!(ad_hoc().run().succeeded().output.contains("localhost | SUCCESS => {"));
}

#[test]
fn an_ad_hoc_call_creates_a_scanner() {
    let engine = Engine::shared();
    let scanner = Scanner::new(engine);
    let Value::Object(args) = scanner.args() else { unreachable!() };
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let arguments: Vec<_> = args.iter().map(|(name, value)| format!("{name}={}", text(value))).collect();
    // Ansible itself reads a `k=v` that is all digits as a text, so that nothing needs quotes here.
    let arguments = format!("{} memory=64M overcommit=allow docker_host={}", arguments.join(" "), engine.host());
    let run = Ansible::ad_hoc(engine, &arguments).secret(&scanner.code).run().changed();
    assert_eq!(run.task("qcss_scanner")["warnings"], Value::Null, "{}", run.output);
    assert_eq!(scanner.inspect()["HostConfig"]["Memory"], 64 << 20);
}

/// With the example inventory and its vault.
#[test]
fn the_playbooks_create_stop_and_remove() {
    let engine = Engine::shared();
    let directory = engine.temp_dir();
    let path = |name: &str| directory.path().join(name);
    let with = |more: Value| {
        let mut variables = json!({
            "ansible_connection": "local",
            "qualys_docker_host": engine.host(),
            "qualys_image": "qualys/qcsa:1",
            "qualys_shared_dir": path("shared"),
            "qualys_private_dir": path("private"),
            "qualys_overcommit": "allow",
        });
        variables.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        variables
    };
    let playbook = |name, more| Ansible::playbook(engine, name, &with(more));

    let created = playbook("create.yml", json!({})).option("--diff").run().changed();
    assert!(created.output.contains("+memory: 1073741824"), "{}", created.output);
    playbook("create.yml", json!({})).option("--check").run().unchanged();
    let codes: Vec<_> = path("private").read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(codes.len(), 2);
    for code in &codes {
        assert!(!created.output.contains(code.to_str().unwrap()), "a code is shown: {}", created.output);
    }

    playbook("stop.yml", json!({"only": "qualys_limited"})).run().changed();
    assert_eq!(engine.inspect("qualys_limited")["State"]["Running"], false);
    assert_eq!(engine.inspect("qualys_unlimited")["State"]["Running"], true);

    let refused = playbook("remove.yml", json!({"purge": true})).run();
    assert!(!refused.succeeded && refused.output.contains("name the scanners, only=NAME"), "{}", refused.output);
    playbook("remove.yml", json!({"only": "qualys_limited", "purge": true})).run().changed();
    assert_eq!(path("private").read_dir().unwrap().count(), 1);
    playbook("remove.yml", json!({})).run().changed();
    assert_eq!(path("private").read_dir().unwrap().count(), 1, "without purge the private directory stays");
}

#[test]
fn the_idempotence_playbook_passes_and_leaves_what_it_made() {
    let engine = Engine::shared();
    let (one, other) = (Scanner::new(engine), Scanner::new(engine));
    let variables = json!({
        "target_hosts": "localhost",
        "qualys_docker_host": engine.host(),
        "qualys_image": "qualys/qcsa:1",
        "qualys_url": "EU1",
        "qualys_overcommit": "allow",
        "qualys_shared_dir": one.shared_dir(),
        "qualys_private_dir": one.private_dir(),
        "qualys_scanners": [{"name": one.name}, {"name": other.name, "memory": "64M", "cpus": 0.5}],
        "qualys_codes": {&one.name: one.code, &other.name: other.code},
    });
    let idempotence = || Ansible::playbook(engine, "idempotence.yml", &variables).secret(&one.code).secret(&other.code);
    idempotence().run().changed();
    let id = other.inspect()["Id"].take();
    // Somebody doubles a limit: the playbook passes too, and it is a live update.
    engine.docker(&["update", "--memory=128M", "--memory-swap=256M", &other.name]);
    idempotence().run().changed();
    assert_eq!(other.inspect()["Id"], id);
}

#[test]
fn the_scenario_for_a_ci_passes_and_leaves_nothing() {
    let engine = Engine::shared();
    let directory = engine.temp_dir();
    let variables = json!({
        "scenario_engine": engine.host(),
        "scenario_image": "qualys/qcsa:1",
        "scenario_dir": directory.path(),
        "scenario_overcommit": "allow",
    });
    let run = Ansible::playbook(engine, "scenario/scenario.yml", &variables).secret("scenario-code").run().changed();
    assert_eq!(run.task("Assert that none is left")["outcome"], "ok");
    assert_eq!(directory.path().join("private").read_dir().unwrap().count(), 0);
}

#[test]
fn check_and_diff_tell_and_write_nothing() {
    let engine = Engine::shared();
    let (new, drifted) = (Scanner::new(engine), Scanner::new(engine));
    drifted.by_hand(&["--memory", "64M"]);
    let run = Ansible::play(
        engine,
        json!({}),
        &[
            ("new", module(engine, &new, json!({}))),
            ("drifted", module(engine, &drifted, json!({"memory": "128M", "labels": {"team": "blue"}}))),
        ],
    )
    .option("--check")
    .option("--diff")
    .secret(&new.code)
    .secret(&drifted.code)
    .run()
    .changed();
    let result = run.task("new");
    assert_eq!(result["changed"], true);
    assert_eq!(result["scanner"]["category"], "unlimited");
    assert_eq!(run.task("drifted")["actions"], json!(["replace"]));
    for line in [&format!("+++ after: {}", drifted.name), "-memory: 67108864", "+memory: 134217728"] {
        assert!(run.output.contains(line), "{line}: {}", run.output);
    }
    assert!(!new.shared_dir().exists());
    assert_eq!(drifted.inspect()["HostConfig"]["Memory"], 64 << 20);
}

/// The tests run as root, which is how most tasks run too: with `become: true`.
#[test]
fn becoming_a_user_without_rights_is_an_error_that_says_so() {
    let engine = Engine::shared();
    let scanner = Scanner::new(engine);
    let nobody = json!({"become": true, "become_method": "su", "become_user": "nobody", "become_flags": "-s /bin/sh"});
    let task = with(module(engine, &scanner, json!({})), with(nobody, json!({"ignore_errors": true})));
    let as_root = with(module(engine, &scanner, json!({})), json!({"become": true}));
    let run = Ansible::play(engine, json!({}), &[("nobody", task), ("root", as_root)]).secret(&scanner.code).run();
    let result = run.task("nobody");
    assert_eq!((&result["outcome"], &result["error"]), (&json!("ignored"), &json!("permission_denied")), "{result:#}");
    assert!(result["msg"].as_str().unwrap().contains("become: true"), "{result:#}");
    assert_eq!(run.succeeded().task("root")["changed"], true);
}

#[test]
fn codes_come_by_loop_by_number_and_under_no_log() {
    let engine = Engine::shared();
    let (one, other, third) = (Scanner::new(engine), Scanner::new(engine), Scanner::new(engine));
    let entry = |it: &Scanner| json!({"name": it.name, "code": it.code});
    let looped = with(
        module(engine, &one, json!({"name": "{{ item.name }}", "personalization_code": "{{ item.code }}"})),
        json!({"loop": [entry(&one), entry(&other)], "loop_control": {"label": "{{ item.name }}"}}),
    );
    let number: u64 = third.code.parse().unwrap();
    let by_number = module(engine, &third, json!({"personalization_code": number}));
    let hidden = with(module(engine, &third, json!({})), json!({"no_log": true}));
    let run = Ansible::play(engine, json!({}), &[("loop", looped), ("number", by_number), ("hidden", hidden)])
        .secret(&one.code)
        .secret(&other.code)
        .secret(&third.code)
        .run()
        .changed();
    assert_eq!(run.task("loop")["results"].as_array().unwrap().len(), 2);
    for scanner in [&one, &other] {
        assert_eq!(scanner.inspect()["State"]["Running"], true);
    }
    assert!(run.output.contains("put it in quotes, a leading zero is lost otherwise"), "{}", run.output);
    assert_eq!(run.task("hidden")["censored"].as_str().map(|text| text.contains("no_log: true")), Some(true));
    assert_eq!(run.task("hidden")["changed"], false);
}

#[test]
fn module_defaults_environment_and_delegation_reach_the_module() {
    let engine = Engine::shared();
    let scanner = Scanner::new(engine);
    let mut defaults = with(scanner.args(), json!({"overcommit": "allow"}));
    let name = defaults.as_object_mut().unwrap().remove("name");
    let play = json!({
        "hosts": "docker1",
        "module_defaults": {"qcss_scanner": defaults},
        "environment": {"DOCKER_HOST": engine.host()},
    });
    // There is no such host: whatever is not delegated cannot be reached.
    let task = json!({"qcss_scanner": {"name": name}, "delegate_to": "localhost"});
    let run = Ansible::play(engine, play, &[("delegated", task)])
        .option("--inventory=docker1,")
        .secret(&scanner.code)
        .run()
        .changed();
    assert_eq!(run.task("delegated")["container"]["running"], true);
}

#[test]
fn a_task_may_be_asynchronous() {
    let engine = Engine::shared();
    let (polled, forgotten) = (Scanner::new(engine), Scanner::new(engine));
    let asynchronous = |scanner, poll| with(module(engine, scanner, json!({})), json!({"async": 60, "poll": poll}));
    let run = Ansible::play(
        engine,
        json!({}),
        &[("polled", asynchronous(&polled, 1)), ("forgotten", asynchronous(&forgotten, 0))],
    )
    .secret(&polled.code)
    .secret(&forgotten.code)
    .run()
    .changed();
    assert_eq!(run.task("polled")["container"]["name"], *polled.name);
    assert!(run.task("forgotten")["ansible_job_id"].is_string());
    eventually("the forgotten task has made its scanner", || {
        engine.try_docker(&["container", "inspect", &forgotten.name]).status.success()
    });
}

#[test]
fn a_task_may_be_repeated_until_it_is_as_wanted() {
    let engine = Engine::shared();
    let scanner = Scanner::new(engine);
    let until = json!({"register": "made", "until": "made is not changed", "retries": 3, "delay": 0});
    let made = with(module(engine, &scanner, json!({})), until);
    let tell = json!({"ansible.builtin.assert": {"that": ["made.container.running", "made.attempts == 2"]}});
    let run = Ansible::play(engine, json!({}), &[("until", made), ("told", tell)]).run().succeeded();
    assert_eq!(run.task("until")["changed"], false);
}

#[test]
fn the_invocation_is_shown_without_secrets() {
    let engine = Engine::shared();
    let scanner = Scanner::new(engine);
    let secrets =
        json!({"https_proxy": "user:canary-proxy@proxy:3128", "env": {"TOKEN": "canary-token"}, "pull": "never"});
    let task = module(engine, &scanner, secrets);
    let play = || {
        Ansible::play(engine, json!({}), &[("made", task.clone())])
            .option("-vvv")
            .option("--diff")
            .secret(&scanner.code)
            .secret("canary-proxy")
            .secret("canary-token")
    };
    play().option("--check").run().changed();
    let run = play().run().changed();
    let invocation = &run.task("made")["invocation"]["module_args"];
    assert_eq!((&invocation["personalization_code"], &invocation["env"]["TOKEN"]), (&json!(MASKED), &json!(MASKED)));
    assert_eq!((&invocation["pull"], &invocation["memory"]), (&json!("never"), &Value::Null));
    assert!(run.output.contains("\"invocation\": {"), "{}", run.output);
}

/// A task that calls the module for `scanner`, with `more` arguments on top.
fn module(engine: &Engine, scanner: &Scanner, more: Value) -> Value {
    let own = json!({"docker_host": engine.host(), "overcommit": "allow", "stop_timeout": 1});
    json!({"qcss_scanner": with(with(scanner.args(), own), more)})
}

/// `object` with the entries of `more` on top.
fn with(mut object: Value, more: Value) -> Value {
    let Value::Object(more) = more else { panic!("not an object: {more}") };
    object.as_object_mut().unwrap().extend(more);
    object
}
