//! What all scanners of a host may take together.

use std::thread;

use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{Ability, Engine, Module, Proxy, Scanner, foretold};

const GIB: u64 = 1 << 30;

#[rstest]
#[case::memory("memory", "--memory")]
#[case::cpus("cpus", "--cpus")]
fn the_fourth_thirty_percent_is_refused_whoever_made_the_others(#[case] resource: &str, #[case] flag: &str) {
    let engine = Engine::private(Engine::WITHOUT_BRIDGE);
    if engine.lacks_any(&[Ability::LimitsMemory, Ability::LimitsCpus]) {
        return;
    }
    let [by_module, never_started, by_hand, fourth] = [(); 4].map(|()| Scanner::new(&engine));
    let wanted = |scanner: &Scanner| strict(scanner).arg(resource, "30%");
    let host = wanted(&by_module).run().changed()["host"].clone();
    let share = number(&host, resource, "allocated");
    assert!(share > 0.0 && share <= number(&host, resource, "total") * 0.3, "{host}");
    wanted(&never_started).arg("state", "present").run().changed();
    by_hand.by_hand(&[flag, &share.to_string()]);
    engine.docker(&["stop", &by_hand.name]);

    for run in [wanted(&fourth).check(), wanted(&fourth)] {
        let reply = run.run();
        let host = &reply["host"];
        let (total, allocated) = (number(host, resource, "total"), number(host, resource, "allocated"));
        assert!((allocated - share * 3.0).abs() < 1e-9, "{host}");
        assert!((total - allocated - number(host, resource, "available")).abs() < 1e-9, "{host}");
        let message = reply.refused("overcommit");
        for part in [resource, " asked ", ", allocated ", ", total ", "overcommit=warn"] {
            assert!(message.contains(part), "{part}: {message}");
        }
        for holder in [&by_module, &never_started, &by_hand] {
            assert!(message.contains(&format!("`{}`", holder.name)), "{message}");
        }
    }
    assert!(!fourth.store().exists() && !fourth.shared_dir().exists());
    assert!(!engine.docker(&["ps", "--all", "--format", "{{.Names}}"]).contains(&fourth.name));

    let reply = wanted(&fourth).arg("overcommit", "warn").run().changed();
    assert!(reply.warnings().contains(&format!("{resource} asked")), "{reply:#?}");
    wanted(&fourth).arg("state", "absent").run().changed();
    let reply = wanted(&fourth).arg("overcommit", "allow").run().changed();
    assert_eq!(reply["warnings"], Value::Null);
    assert_eq!(reply["host"][resource]["available"].as_f64(), Some(0.0));
}

#[test]
fn of_four_at_the_same_time_who_want_thirty_percent_each_one_is_refused() {
    let engine = Engine::private(Engine::WITHOUT_BRIDGE);
    if engine.lacks_any(&[Ability::LimitsMemory, Ability::LimitsCpus]) {
        return;
    }
    let scanners = [(); 4].map(|()| Scanner::new(&engine));
    let replies = thread::scope(|scope| {
        let runs =
            scanners.each_ref().map(|scanner| scope.spawn(|| strict(scanner).arg("memory", "30%").disturbed().run()));
        runs.map(|run| run.join().unwrap())
    });
    let refused: Vec<_> = replies.iter().filter(|reply| reply["failed"] == true).collect();
    assert_eq!(refused.len(), 1, "{replies:#?}");
    assert_eq!(refused[0]["error"], "overcommit");
    assert_eq!(engine.docker(&["ps", "--all", "--quiet"]).lines().count(), 3);
}

#[test]
fn on_an_overcommitted_host_only_what_asks_for_more_is_judged() {
    let engine = Engine::private(Engine::WITHOUT_BRIDGE);
    if engine.lacks_any(&[Ability::LimitsMemory, Ability::LimitsCpus]) {
        return;
    }
    let (scanner, other) = (Scanner::new(&engine), Scanner::new(&engine));
    let memory = engine.docker(&["info", "--format", "{{.MemTotal}}"]);
    scanner.by_hand(&["--memory", "1000M", "--cpus", "1"]);
    other.by_hand(&["--memory", &memory]);
    let with = |memory: &str, cpus: f64| strict(&scanner).arg("memory", memory).arg("cpus", cpus);

    let proxy = Proxy::new(&engine);
    let reply = with("1000M", 1.0).through(&proxy).run().unchanged();
    assert_eq!((proxy.requests().len(), &reply["host"]), (3, &Value::Null), "{:?}", proxy.requests());

    let message = with("1001M", 1.0).run().refused("overcommit");
    assert!(message.contains("memory asked 1001 MiB") && message.contains(&format!("`{}`", other.name)), "{message}");
    assert_eq!(with("900M", 1.0).run().changed().actions(), [engine.way_of_limits()]);
    // One goes up, which there is enough of; the other, which there is not, goes down.
    assert_eq!(with("800M", 1.5).run().changed().actions(), [engine.way_of_limits()]);
    assert_eq!(with("800M", 1.5).arg("restart", true).run().changed().actions(), ["restart"]);

    let run_state =
        |state: &str| Module::new(&engine).arg("overcommit", "deny").arg("name", &*scanner.name).arg("state", state);
    run_state("stopped").run().changed();
    // It takes what it took: the host is no worse off, and says so.
    let reply = run_state("started").arg("settle", 0).run().changed();
    assert!(reply.warnings().contains("memory asked 800 MiB"), "{reply:#?}");
}

/// Hand-made scanners may exceed a host together; they can be upgraded, stopped and started nevertheless.
#[test]
fn who_exceeds_the_host_already_goes_on_with_a_warning() {
    let engine = Engine::private(Engine::WITHOUT_BRIDGE);
    if engine.lacks_any(&[Ability::LimitsMemory, Ability::LimitsCpus]) {
        return;
    }
    let scanners = [(); 3].map(|()| Scanner::new(&engine));
    let total = engine.get("/info")["MemTotal"].as_u64().unwrap();
    let limits = ["--memory", &total.to_string(), "--cpus", "1.5"];
    for scanner in &scanners[..2] {
        scanner.by_hand(&limits);
    }
    let same = json!({"memory": total, "cpus": 1.5});
    let [one, other, third] = scanners.each_ref();
    let upgrade = |scanner| strict(scanner).args(same.clone()).arg("image", "qualys/qcsa:2");

    let reply = foretold(one, || upgrade(one)).changed();
    assert_eq!(reply.actions(), ["replace"]);
    assert!(reply.warnings().contains("would exceed the host") && reply.warnings().contains(&other.name), "{reply:#?}");
    assert_eq!(
        foretold(one, || upgrade(one).args(json!({"recreate": "always", "overcommit": "allow"}))).changed().warnings(),
        ""
    );
    foretold(one, || upgrade(one).arg("state", "stopped")).changed();
    assert!(foretold(one, || upgrade(one)).changed().warnings().contains("memory asked"));
    let less = json!({"memory": total / 2, "cpus": 1.5});
    assert_eq!(foretold(one, || upgrade(one).args(less.clone())).changed().actions(), [engine.way_of_limits()]);

    // Whoever makes it worse is refused: by more than before, or by being new.
    foretold(one, || upgrade(one)).refused("overcommit");
    foretold(one, || upgrade(one).args(less.clone()).arg("cpus", 2)).refused("overcommit");
    foretold(third, || strict(third).arg("memory", "64M")).refused("overcommit");
    foretold(third, || strict(third)).changed();
    foretold(third, || strict(third).arg("memory", "64M")).refused("overcommit");
}

#[test]
fn swap_is_judged_where_the_task_gives_it_and_the_host_has_some() {
    let engine = Engine::private(Engine::WITHOUT_BRIDGE);
    if engine.lacks_any(&[Ability::LimitsMemory, Ability::LimitsCpus]) {
        return;
    }
    let scanners = [(); 3].map(|()| Scanner::new(&engine));
    let [first, second, third] =
        scanners.each_ref().map(|scanner| move || strict(scanner).arg("memory", "1g").swap(GIB));
    let reply = first().arg("memory_swap", "1800M").run().changed();
    assert_eq!(reply["host"]["swap"], json!({"total": GIB, "allocated": 776 << 20, "available": 248 << 20}));
    assert_eq!(reply["scanner"]["swap"], 776 << 20);

    let message = second().arg("memory_swap", "1400M").run().refused("overcommit");
    assert!(
        message.contains("swap asked 376 MiB, allocated 776 MiB") && message.contains("total 1024 MiB"),
        "{message}"
    );
    assert!(!message.contains("memory asked"), "{message}");
    second().arg("memory_swap", "1272M").run().changed();

    // The engine gives it as much swap as memory, which the task did not ask for.
    assert_eq!(third().run().changed()["host"]["swap"]["available"], 0);
}

#[test]
fn swap_that_the_host_does_not_have_is_a_warning() {
    let engine = Engine::private(Engine::WITHOUT_BRIDGE);
    if engine.lacks_any(&[Ability::LimitsMemory, Ability::LimitsCpus]) {
        return;
    }
    let scanner = Scanner::new(&engine);
    let reply =
        strict(&scanner).args(json!({"memory": "1024M", "memory_swap": "2048M", "cpus": 1})).swap(0).run().changed();
    assert_eq!(reply.warnings(), "memory_swap has no effect: the Docker host has no swap");
    assert_eq!(reply["host"]["swap"]["total"], 0);
}

#[test]
fn the_engines_own_figures_count_even_where_the_host_has_others() {
    let engine = Engine::private(Engine::WITHOUT_BRIDGE);
    if engine.lacks_any(&[Ability::LimitsMemory, Ability::LimitsCpus]) {
        return;
    }
    let small = Proxy::posing(&engine, &json!({"MemTotal": GIB, "NCPU": 1, "SwapLimit": false}));
    let scanner = Scanner::new(&engine);
    let on_small = || strict(&scanner).arg("docker_host", small.host()).swap(GIB);
    let message = on_small().arg("memory", "1025M").run().refused("overcommit");
    assert!(message.contains("total 1024 MiB"), "{message}");
    on_small().arg("cpus", 1.5).arg("overcommit", "allow").run().refused("invalid_arguments");

    let reply = on_small().args(json!({"memory": "50%", "memory_swap": "1500M", "cpus": "50%"})).run().changed();
    assert_eq!(reply.warnings(), "memory_swap has no effect: the engine cannot limit swap on this host");
    assert_eq!(reply["host"]["swap"], Value::Null);
    let config = scanner.inspect()["HostConfig"].clone();
    assert_eq!((&config["Memory"], &config["NanoCpus"]), (&json!(512 << 20), &json!(500_000_000)));
}

/// Swap that an adjusted scanner only keeps is not the task's.
#[test]
fn swap_that_is_kept_is_no_matter_of_the_task() {
    let engine = Engine::private(Engine::WITHOUT_BRIDGE);
    if engine.lacks_any(&[Ability::LimitsMemory, Ability::LimitsCpus]) {
        return;
    }
    let scanner = Scanner::new(&engine);
    scanner.by_hand(&["--memory 64M --memory-swap 96M"]);
    let adjust = |options: Value| scanner.run_state().arg("overcommit", "deny").swap(0).args(options).run().changed();
    assert_eq!(adjust(json!({"env": {"A": "1"}})).warnings(), "");
    let reply = adjust(json!({"memory_swap": "128M"}));
    assert_eq!(reply.warnings(), "memory_swap has no effect: the Docker host has no swap");
}

/// The engine takes such a limit and does not have it afterwards.
#[test]
fn a_limit_that_the_host_discards_is_no_difference() {
    let engine = Engine::private(Engine::WITHOUT_BRIDGE);
    if engine.lacks(Ability::IsQuiet) {
        return;
    }
    let unable = Proxy::posing(&engine, &json!({"MemoryLimit": false, "SwapLimit": false, "CpuCfsQuota": false}));
    let scanner = Scanner::new(&engine);
    scanner.by_hand(&[]);
    let task = || scanner.module().arg("docker_host", unable.host()).arg("memory", "64M");
    assert_eq!(
        task().run().unchanged().warnings(),
        "memory has no effect: the engine cannot limit memory on this host"
    );
    let both = task().arg("memory_swap", "64M").run().unchanged();
    assert!(both.warnings().contains("the engine cannot limit swap on this host"), "{both:#?}");
    let message = task().arg("cpus", 1).run().refused("unsupported");
    assert!(message.contains("leave out cpus"), "{message}");
    let new = Scanner::new(&engine);
    let reply = new.module().arg("docker_host", unable.host()).arg("memory", "64M").run().changed();
    assert_eq!(reply.warnings(), "memory has no effect: the engine cannot limit memory on this host");
}

#[test]
fn a_rootless_engine_is_warned_about() {
    // Where ids are remapped, a rootless engine would not remap them.
    if Engine::shared().lacks(Ability::HostsNamespaces) {
        return;
    }
    let engine = Engine::shared();
    let rootless =
        Proxy::posing(engine, &json!({"SecurityOptions": ["name=seccomp,profile=default", "name=rootless"]}));
    let scanner = Scanner::new(engine);
    let module = || scanner.module().arg("docker_host", rootless.host()).arg("settle", 0);
    let reply = module().check().run().changed();
    assert!(reply.warnings().contains("the engine runs rootless"), "{reply:#?}");
    assert_eq!(module().run().changed()["warnings"].as_array().unwrap().len(), 1);
    assert_eq!(module().run().unchanged()["warnings"], Value::Null);
    let info = Module::new(engine).without("overcommit").arg("_ansible_module_name", "qcss_scanner_info");
    let reply = info.arg("docker_host", rootless.host()).arg("name", &*scanner.name).run().unchanged();
    assert!(reply.warnings().contains("the engine runs rootless"), "{reply:#?}");
}

/// Judged, and quick.
fn strict(scanner: &Scanner) -> Module {
    scanner.module().arg("overcommit", "deny").arg("settle", 0)
}

fn number(host: &Value, resource: &str, what: &str) -> f64 {
    host[resource][what].as_f64().unwrap()
}
