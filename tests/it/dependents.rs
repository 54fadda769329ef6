//! Containers that a scanner has something of, and containers that have something of a scanner.

use rstest::rstest;
use serde_json::json;

use crate::support::{Engine, Module, Reply, Scanner, foretold, untouched};

#[rstest]
fn a_container_that_a_scanner_has_something_of_must_be_there(
    #[values(
        "--network container:<other>",
        "--ipc container:<other>",
        "--pid container:<other>",
        "--volumes-from <other>",
        "--link <other>:other"
    )]
    made: &str,
    #[values("gone", "down")] other: &str,
    #[values("start", "replacement", "replacement of a stopped one")] task: &str,
) {
    let scanner = Scanner::new(Engine::bridged());
    let beside = other_container(&scanner);
    scanner.by_hand(&[&made.replace("<other>", &beside)]);
    if task != "replacement" {
        scanner.engine.docker(&["stop", "-t", "0", &scanner.name]);
    }
    match other {
        "gone" => scanner.engine.docker(&["rm", "-f", &beside]),
        _ => scanner.engine.docker(&["stop", "-t", "0", &beside]),
    };
    // Whoever shares the processes of another ends with it.
    let module = || match task {
        "start" => scanner.run_state(),
        "replacement" => scanner.module().arg("image", "qualys/qcsa:2"),
        _ => scanner.module().args(json!({"image": "qualys/qcsa:2", "state": "present"})),
    };
    let volumes = made.contains("volumes");
    let is_fine = match (other, task) {
        ("down", "replacement of a stopped one") => true,
        ("down", _) | (_, "start") => volumes,
        _ => false,
    };
    if is_fine {
        foretold(&scanner, module).changed();
        return;
    }
    let message = foretold(&scanner, module).refused("unsupported");
    assert!(message.contains(made.split(' ').next().unwrap()), "{message}");
    if other == "down" {
        assert!(message.ends_with(&format!("start that container first: `{beside}`")), "{message}");
        scanner.engine.docker(&["start", &beside]);
    } else {
        assert!(message.contains("with state=absent"), "{message}");
        scanner.run_state().arg("state", "absent").run().changed();
        scanner.module().run().changed();
    }
    if task != "start" || other == "down" {
        foretold(&scanner, module).changed();
    }
    scanner.engine.docker(&["rm", "-f", &beside]);
}

#[rstest]
fn a_scanner_that_leaves_the_network_of_a_container_that_is_gone_is_replaced(
    #[values("bridge", "none")] network: &str,
    #[values(true, false)] whole: bool,
) {
    let scanner = Scanner::new(Engine::bridged());
    let beside = other_container(&scanner);
    scanner.by_hand(&[&format!("--network container:{beside}")]);
    scanner.engine.docker(&["rm", "-f", &beside]);
    let task = || if whole { scanner.module() } else { scanner.run_state() }.arg("network", network);
    foretold(&scanner, task).changed();
}

#[rstest]
#[case("--network container:<scanner>", "--network")]
#[case("--ipc container:<scanner>", "--ipc")]
#[case("--pid container:<scanner>", "--pid")]
#[case("--volumes-from <scanner>:ro", "--volumes-from")]
#[case("--link <scanner>:scanner", "--link")]
fn a_container_that_has_something_of_a_scanner_is_named_when_that_is_replaced(
    #[case] made: &str,
    #[case] option: &str,
) {
    let scanner = Scanner::new(Engine::bridged());
    scanner.by_hand(&["--ipc shareable"]);
    let sidecar = sidecar(&scanner, made);
    let warnings = |reply: &Reply| reply.warnings();
    let expected = format!("`{sidecar}` ({option}) on `{}`", scanner.name);
    let module = || scanner.module().arg("image", "qualys/qcsa:2");
    let check = untouched(&scanner, || module().check().run());
    let real = module().run().changed();
    assert!(warnings(&check).ends_with(&expected), "{check:#?}");
    assert_eq!(warnings(&check), warnings(&real));
    scanner.engine.docker(&["rm", "-f", &sidecar]);
}

#[test]
fn a_container_with_the_mounts_of_a_scanner_is_none_and_hinders_nothing_but_purge() {
    let scanner = Scanner::new(Engine::bridged());
    scanner.by_hand(&[]);
    let sidecar = sidecar(&scanner, "--volumes-from <scanner>");
    let info = Module::new(scanner.engine).without("overcommit").args(json!({
        "_ansible_module_name": "qcss_scanner_info", "name": sidecar,
    }));
    assert_eq!(info.disturbed().run()["scanners"], json!([]));
    for state in ["started", "stopped", "absent"] {
        let task = || Module::new(scanner.engine).args(json!({"name": sidecar, "state": state}));
        foretold(&scanner, task).refused("not_a_scanner");
    }
    scanner.engine.docker(&["restart", "-t", "0", &scanner.name]);
    foretold(&scanner, || scanner.module().arg("image", "qualys/qcsa:2")).changed();
    foretold(&scanner, || scanner.module().args(json!({"image": "qualys/qcsa:2", "state": "stopped"}))).changed();
    foretold(&scanner, || scanner.module().arg("image", "qualys/qcsa:2")).changed();
    let purge = || scanner.run_state().args(json!({"state": "absent", "purge": true}));
    let message = foretold(&scanner, purge).refused("already_in_use");
    assert!(message.ends_with(&format!("`{sidecar}`")), "{message}");
    scanner.engine.docker(&["rm", "-f", &sidecar]);
    foretold(&scanner, purge).changed();
    assert!(!scanner.store().exists());
}

#[test]
fn a_scanner_that_has_its_mounts_from_a_container_of_data_is_one_all_the_same() {
    let scanner = Scanner::new(Engine::bridged());
    for directory in [scanner.shared_dir(), scanner.store()] {
        std::fs::create_dir_all(directory).unwrap();
    }
    let engine = scanner.engine;
    let data = format!("{}-data", scanner.name);
    let volumes = [
        format!("{}:/usr/local/qualys:z", scanner.shared_dir().display()),
        format!("{}:/usr/local/qualys/admin/etc:z", scanner.store().display()),
    ];
    engine.docker(&["create", "--name", &data, "-v", &volumes[0], "-v", &volumes[1], "qualys/qcsa:1"]);
    let code = format!("PERSONALIZATION_CODE={}", scanner.code);
    let url = "QUALYS_URL=https://qualysguard.qualys.com";
    engine.docker(&[
        "run",
        "-d",
        "--name",
        &scanner.name,
        "--volumes-from",
        &data,
        "-e",
        &code,
        "-e",
        url,
        "qualys/qcsa:1",
    ]);
    scanner.module().run().unchanged();
    engine.docker(&["rm", &data]);
}

/// A container that runs, has a volume, and shares its memory.
fn other_container(scanner: &Scanner) -> String {
    let name = format!("{}-other", scanner.name);
    let command =
        ["run", "-d", "--name", &name, "-v", "/data", "--ipc=shareable", "--entrypoint=sleep", "qualys/qcsa:1", "9999"];
    scanner.engine.docker(&command);
    name
}

/// A container that is made with these options, and runs.
fn sidecar(scanner: &Scanner, made: &str) -> String {
    let name = format!("{}-sidecar", scanner.name);
    let made = made.replace("<scanner>", &scanner.name);
    let mut command = vec!["run", "-d", "--name", &name];
    command.extend(made.split(' '));
    command.extend(["--entrypoint=sleep", "qualys/qcsa:1", "9999"]);
    scanner.engine.docker(&command);
    name
}
