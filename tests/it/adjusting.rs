//! Tasks without a code: they change what they name, and keep everything else of the scanner that is there.

use std::fs;

use rstest::rstest;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Ability, Engine, Module, Proxy, Reply, Scanner, eventually, foretold, four_tasks, untouched};

const MIB: u64 = 1 << 20;

/// The vendor's command with what people add to it; without a limit where the engine has none.
const OPTIONS: &[&str] =
    &["--dns 10.0.0.53", "--restart always", "-e EXTRA=canary-extra", "--memory 64M", "--label a=b"];

fn made(options: &[&str]) -> Scanner<'static> {
    let scanner = Scanner::new(Engine::bridged());
    let limits = scanner.engine.has(Ability::LimitsMemory);
    let options: Vec<_> = options.iter().copied().filter(|it| limits || !it.starts_with("--memory")).collect();
    scanner.by_hand(&options);
    eventually("it has its identity", || scanner.identity().is_some());
    scanner
}

fn adjust(scanner: &Scanner, options: &Value) -> Module {
    scanner.run_state().args(options.clone())
}

/// Nobody needs the code for this, so nobody is shown it.
fn is_without_code(scanner: &Scanner, reply: &Reply) {
    assert!(!reply.line.contains(&scanner.code) && !reply.line.contains("canary"), "{}", reply.line);
}

/// What the engine says of the scanner, without what is another one's for each container.
fn configuration(scanner: &Scanner) -> Value {
    let inspect = scanner.inspect();
    let (mut config, mut host_config) = (inspect["Config"].clone(), inspect["HostConfig"].clone());
    let mut env: Vec<_> = config["Env"].as_array().unwrap().clone();
    // Podman adds those of the container's user and of the container, the latter once it was started.
    env.retain(|it| !["HOME=", "HOSTNAME="].iter().any(|added| it.as_str().unwrap().starts_with(added)));
    env.sort_by_key(Value::to_string);
    config["Env"] = json!(env);
    config["Labels"].as_object_mut().unwrap().retain(|label, _| !label.starts_with("qcss_scanner."));
    config.as_object_mut().unwrap().remove("Hostname");
    if !scanner.engine.has(Ability::LimitsMemory) {
        // Docker forgets it with the first start.
        host_config.as_object_mut().unwrap().remove("OomKillDisable");
    }
    let mut binds: Vec<_> = host_config["Binds"].as_array().unwrap().clone();
    binds.sort_by_key(Value::to_string);
    host_config["Binds"] = json!(binds);
    if scanner.engine.is_podman() {
        // It derives them from other fields.
        for field in ["Annotations", "MemorySwappiness", "CpuPeriod", "CpuQuota", "CapDrop"] {
            host_config.as_object_mut().unwrap().remove(field);
        }
    }
    let networks: Vec<_> = inspect["NetworkSettings"]["Networks"].as_object().unwrap().keys().cloned().collect();
    json!({"config": config, "host_config": host_config, "networks": networks})
}

/// The configuration without the fields at `paths`, such as `/config/Image`.
fn without(mut configuration: Value, paths: &[&str]) -> Value {
    for path in paths {
        let (parent, key) = path.rsplit_once('/').unwrap();
        configuration.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(key);
    }
    configuration
}

#[test]
fn another_image_alone() {
    let scanner = made(OPTIONS);
    let (before, identity) = (configuration(&scanner), scanner.identity());
    let reply = four_tasks(&scanner, || adjust(&scanner, &json!({"image": "qualys/qcsa:2"})));
    is_without_code(&scanner, &reply);
    assert_eq!(reply.actions(), ["replace"]);
    assert_eq!(reply["differences"][0]["field"], "image");
    assert!(reply["command"].as_str().unwrap().ends_with(" qualys/qcsa:2"), "{reply:#?}");
    // Of the environment only what the image brings is another.
    let is_kept = ["/config/Image", "/config/Env", "/config/Labels"];
    assert_eq!(without(configuration(&scanner), &is_kept), without(before, &is_kept));
    let env = scanner.inspect()["Config"]["Env"].to_string();
    assert!(
        env.contains("EXTRA=canary-extra") && env.contains(&scanner.code) && env.contains("QCSA_VERSION=2"),
        "{env}"
    );
    assert_eq!((scanner.identity(), scanner.inspect()["Config"]["Labels"]["a"].as_str()), (identity, Some("b")));
}

#[test]
fn a_replacement_without_a_difference() {
    let scanner = made(OPTIONS);
    let (before, id) = (configuration(&scanner), scanner.inspect()["Id"].clone());
    let reply = foretold(&scanner, || adjust(&scanner, &json!({"recreate": "always"}))).changed();
    let differences = json!([{"field": "recreate", "before": null, "after": "always", "way": "replace"}]);
    assert_eq!((reply.actions(), &reply["differences"]), (vec!["replace"], &differences), "{reply:#?}");
    assert_eq!(configuration(&scanner), before);
    assert_ne!(scanner.inspect()["Id"], id);
    adjust(&scanner, &json!({"recreate": "auto"})).run().unchanged();
}

#[test]
fn an_image_that_dies_is_rolled_back() {
    let scanner = made(OPTIONS);
    let before = scanner.inspect()["Id"].clone();
    let image = format!("dying:{}", scanner.name);
    scanner.engine.derive(&image, &["ENV STAND_IN_DIE=3"]);
    let reply = adjust(&scanner, &json!({"image": image, "settle": 10})).run();
    assert_eq!(reply["rolled_back"], true, "{reply:#?}");
    is_without_code(&scanner, &reply);
    reply.refused("start_failed");
    assert_eq!((&scanner.inspect()["Id"], &scanner.inspect()["State"]["Running"]), (&before, &json!(true)));
    scanner.engine.docker(&["rmi", &image]);
}

/// Whether the engine cannot have what a task has.
fn lacks(options: &Value) -> bool {
    let engine = Engine::bridged();
    (options.to_string().contains("memory") && engine.lacks(Ability::LimitsMemory))
        || (options.get("cpus").is_some() && engine.lacks(Ability::LimitsCpus))
        || (options.get("privileged").is_some() && engine.lacks(Ability::HostsNamespaces))
}

/// One option alone: what is done, and which fields of the engine's answer differ then.
#[rstest]
#[case::memory_taken_away(json!({"memory": 0}), "replace", &["/host_config/Memory", "/host_config/MemorySwap"])]
#[case::memory(json!({"memory": "96M"}), "update", &["/host_config/Memory", "/host_config/MemorySwap"])]
#[case::memory_swap(json!({"memory_swap": "192M"}), "update", &["/host_config/MemorySwap"])]
#[case::cpus(json!({"cpus": 0.5}), "update", &["/host_config/NanoCpus"])]
#[case::restart_policy(json!({"restart_policy": "no"}), "update", &["/host_config/RestartPolicy"])]
#[case::env(json!({"env": {"MORE": "canary-more"}}), "replace", &["/config/Env"])]
#[case::env_that_is_there(json!({"env": {"EXTRA": "canary-other"}}), "replace", &["/config/Env"])]
#[case::qualys_url(json!({"qualys_url": "EU1"}), "replace", &["/config/Env"])]
#[case::https_proxy(json!({"https_proxy": "u:canary@proxy:3128"}), "replace", &["/config/Env"])]
#[case::polling_interval(json!({"polling_interval": 60}), "replace", &["/config/Env"])]
#[case::labels(json!({"labels": {"team": "x"}}), "replace", &["/config/Labels"])]
#[case::privileged(json!({"privileged": true}), "replace",
    &["/host_config/Privileged", "/host_config/MaskedPaths", "/host_config/ReadonlyPaths", "/host_config/SecurityOpt"])]
#[case::network(json!({"network": "adjusted"}), "replace", &["/networks", "/host_config/NetworkMode"])]
#[case::ca_dir(json!({"ca_dir": "<dir>/ca"}), "replace", &["/host_config/Binds"])]
#[case::shared_dir(json!({"shared_dir": "<dir>/ca"}), "replace", &["/host_config/Binds"])]
#[case::mode(json!({"private_dir_mode": "0700"}), "update", &[])]
fn one_option_alone(#[case] options: Value, #[case] action: &str, #[case] differing: &[&str]) {
    if lacks(&options) {
        return;
    }
    let scanner = made(OPTIONS);
    let directory = scanner.shared_dir().parent().unwrap().to_owned();
    fs::create_dir(directory.join("ca")).unwrap();
    if options.get("network").is_some() {
        scanner.engine.docker(&["network", "create", "adjusted"]);
    }
    let options: Value = options.to_string().replace("<dir>", directory.to_str().unwrap()).parse().unwrap();
    let (before, identity) = (configuration(&scanner), scanner.identity());
    // With another shared directory it could not come up, and a container must not have all rights everywhere.
    let stays = options.get("shared_dir").or(options.get("privileged")).is_none();
    let state = if stays { "started" } else { "stopped" };
    let reply = four_tasks(&scanner, || adjust(&scanner, &options).arg("state", state));
    is_without_code(&scanner, &reply);
    let is_of_engine = action == "update" && options.get("private_dir_mode").is_none();
    let is_replaced = is_of_engine && scanner.engine.is_podman() && !scanner.engine.has(Ability::UpdatesLive);
    let action = if is_replaced { "replace" } else { action };
    assert_eq!(reply.actions()[0], action, "{reply:#?}");
    let fields = reply["differences"].as_array().unwrap().iter().map(|it| it["field"].as_str().unwrap().to_owned());
    let named: Vec<_> =
        options.as_object().unwrap().keys().cloned().chain(["memory_swap".to_owned(), "state".to_owned()]).collect();
    assert_eq!(fields.filter(|field| !named.contains(field)).count(), 0, "{reply:#?}");
    let after = configuration(&scanner);
    assert_eq!(without(after.clone(), differing), without(before.clone(), differing));
    // Not in all containers, or not on all engines.
    let may_stay = ["Paths", "SecurityOpt", "NetworkMode"];
    for path in differing.iter().filter(|path| !may_stay.iter().any(|it| path.contains(it))) {
        assert_ne!(after.pointer(path), before.pointer(path), "{path}");
    }
    assert_eq!(scanner.identity(), identity);
    if options.get("network").is_some() {
        scanner.engine.docker(&["rm", "-f", &scanner.name]);
        scanner.engine.docker(&["network", "rm", "adjusted"]);
    }
}

#[test]
fn memory_and_swap_go_by_what_the_scanner_has() {
    if Engine::bridged().lacks(Ability::LimitsMemory) {
        return;
    }
    let scanner = made(&["--memory 64M", "--memory-swap 100M"]);
    let limits = || {
        let host_config = scanner.inspect()["HostConfig"].clone();
        (host_config["Memory"].as_u64().unwrap() / MIB, host_config["MemorySwap"].as_u64().unwrap() / MIB)
    };
    let task = |memory: &'static str| adjust(&scanner, &json!({"memory": memory}));
    foretold(&scanner, || task("80M")).changed();
    assert_eq!(limits(), (80, 100), "another swap limit is kept");
    let message = untouched(&scanner, || foretold(&scanner, || task("128M"))).refused("invalid_arguments");
    assert!(message.starts_with("memory_swap "), "{message}");
    foretold(&scanner, || adjust(&scanner, &json!({"memory_swap": "160M"}))).changed();
    foretold(&scanner, || task("96M")).changed();
    assert_eq!(limits(), (96, 192), "twice the memory follows it");
    four_tasks(&scanner, || adjust(&scanner, &json!({"memory": 0})));
    untouched(&scanner, || adjust(&scanner, &json!({"memory_swap": "1g"})).run()).refused("invalid_arguments");
}

#[rstest]
#[case::tag_has_moved("tag")]
#[case::gone("gone")]
fn the_image_that_it_has_is_kept(#[case] what: &str) {
    let engine = Engine::private(Engine::WITHOUT_BRIDGE);
    let scanner = Scanner::new(&engine);
    scanner.by_hand(&[]);
    let id = scanner.inspect()["Image"].clone();
    engine.docker(&["tag", "qualys/qcsa:2", "qualys/qcsa:1"]);
    engine.docker(&["tag", "qualys/qcsa:2", "qualys/qcsa:latest"]);
    if what == "gone" {
        if engine.lacks_any(&[Ability::ImagesGo, Ability::ForgetsImages, Ability::LimitsMemory]) {
            return;
        }
        engine.docker(&["rm", "-f", &scanner.name]);
        engine.derive("other:1", &["ENV A=b"]);
        scanner.by_hand_from("other:1", &[]);
        engine.docker(&["stop", &scanner.name]);
        engine.docker(&["rmi", "-f", "other:1"]);
        let task = || adjust(&scanner, &json!({"env": {"MORE": "1"}, "state": "present"}));
        let message = untouched(&scanner, || foretold(&scanner, task)).refused("image_not_found");
        assert!(message.contains("give image") && message.ends_with("`other:1`"), "{message}");
        foretold(&scanner, || adjust(&scanner, &json!({"memory": "64M", "state": "present"}))).changed();
        return;
    }
    four_tasks(&scanner, || adjust(&scanner, &json!({"env": {"MORE": "1"}})));
    assert_eq!(scanner.inspect()["Image"], id);
}

#[test]
fn a_private_dir_without_the_code_moves_nothing() {
    if Engine::bridged().lacks(Ability::LimitsMemory) {
        return;
    }
    let scanner = made(&[]);
    let here = scanner.private_dir();
    adjust(&scanner, &json!({"private_dir": here})).run().unchanged();
    foretold(&scanner, || adjust(&scanner, &json!({"private_dir": here, "memory": "64M"}))).changed();
    for options in [json!({"private_dir": "/else/where"}), json!({"private_dir": "/else/where", "memory": "96M"})] {
        let message =
            untouched(&scanner, || foretold(&scanner, || adjust(&scanner, &options))).refused("invalid_arguments");
        assert!(message.starts_with("private_dir without personalization_code"), "{message}");
    }
    // As a default of a list it is for those that have a code.
    let list = json!({"private_dir": "/else/where", "scanners": [{"name": scanner.name, "memory": "96M"}]});
    Module::new(scanner.engine).args(list).run().changed();
    scanner.engine.docker(&["rm", "-f", &scanner.name]);
    let none = json!({"private_dir": "/else/where", "state": "stopped"});
    adjust(&scanner, &none).run().unchanged();
}

#[test]
fn a_scanner_that_is_missing_or_shall_be() {
    let scanner = Scanner::new(Engine::shared());
    for state in ["started", "present"] {
        let task = || adjust(&scanner, &json!({"memory": "64M", "state": state}));
        let message = foretold(&scanner, task).refused("invalid_arguments");
        assert!(message.contains("there is no scanner of this name"), "{message}");
    }
    for state in ["stopped", "absent"] {
        foretold(&scanner, || adjust(&scanner, &json!({"memory": "64M", "image": "none:1", "state": state})))
            .unchanged();
    }
    scanner.by_hand(&[]);
    let absent = json!({"state": "absent", "purge": true, "personalization_code": scanner.code, "memory": "64M"});
    let task = || adjust(&scanner, &absent).arg("private_dir", scanner.private_dir().to_str().unwrap());
    assert_eq!(four_tasks(&scanner, task).actions(), ["purge_directory", "remove"]);
    assert!(!scanner.store().exists());
}

#[test]
fn a_stopped_scanner_stays_stopped_when_it_is_only_present() {
    let scanner = made(OPTIONS);
    scanner.engine.docker(&["stop", &scanner.name]);
    let reply = four_tasks(&scanner, || adjust(&scanner, &json!({"image": "qualys/qcsa:2", "state": "present"})));
    assert_eq!(reply.actions(), ["replace"]);
    assert_eq!(scanner.inspect()["State"]["Running"], false);
    four_tasks(&scanner, || adjust(&scanner, &json!({"image": "qualys/qcsa:2"})));
    assert_eq!(scanner.inspect()["State"]["Running"], true);
}

#[test]
fn whole_and_adjusting_entries_in_one_list() {
    let (there, new) = (made(OPTIONS), Scanner::new(Engine::bridged()));
    let list = || {
        let entries = json!([{"name": there.name}, new.args()]);
        Module::new(there.engine).args(json!({"scanners": entries, "image": "qualys/qcsa:2", "settle": 0.3}))
    };
    let mut own = new.args();
    own.as_object_mut().unwrap().remove("image");
    let list = || list().arg("scanners", json!([{"name": there.name}, own]));
    let reply = foretold(&there, list).changed();
    is_without_code(&there, &reply);
    let actions: Vec<_> = reply["results"].as_array().unwrap().iter().map(|it| it["actions"].to_string()).collect();
    assert!(actions[0].contains("replace") && actions[1].contains("create"), "{actions:?}");
    assert_eq!(there.inspect()["Config"]["Image"], new.inspect()["Config"]["Image"]);
    list().run().unchanged();
}

#[test]
fn eight_at_once() {
    let scanners: Vec<_> = (0..8).map(|_| made(OPTIONS)).collect();
    std::thread::scope(|scope| {
        for scanner in &scanners {
            scope.spawn(|| adjust(scanner, &json!({"image": "qualys/qcsa:2"})).run().changed());
        }
    });
    for scanner in &scanners {
        assert_eq!(scanner.ids().len(), 1);
        adjust(scanner, &json!({"image": "qualys/qcsa:2"})).run().unchanged();
    }
}

#[test]
fn a_run_that_was_killed_goes_on() {
    let scanner = made(OPTIONS);
    let task = |settle: f64| adjust(&scanner, &json!({"image": "qualys/qcsa:2", "settle": settle}));
    let running = task(60.0).start();
    let old = format!("{}.qcss-old", scanner.name);
    eventually("the new one is watched", || {
        scanner.containers().iter().any(|it| it.name == scanner.name && it.running)
            && scanner.containers().iter().any(|it| it.name == old)
    });
    running.signal(Signal::KILL);
    assert!(running.finish().is_none());
    assert_eq!(task(0.3).run().changed().actions(), ["recover"]);
    task(0.3).run().unchanged();
    assert_eq!(scanner.ids().len(), 1);
}

#[test]
fn nothing_to_do_takes_three_requests() {
    if Engine::bridged().lacks(Ability::LimitsMemory) {
        return;
    }
    let scanner = made(OPTIONS);
    let proxy = Proxy::new(scanner.engine);
    adjust(&scanner, &json!({"memory": "64M"})).through(&proxy).run().unchanged();
    assert_eq!(proxy.requests().len(), 3);
}
