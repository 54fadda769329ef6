//! `qcss_scanner_info`: what there is, and what is left of the host.

use serde_json::{Value, json};

use crate::support::{Ability, Engine, Module, Proxy, Scanner, eventually};

#[test]
fn tells_of_every_scanner_whoever_made_it_and_changes_nothing() {
    let engine = Engine::private(Engine::WITHOUT_BRIDGE);
    if engine.lacks_any(&[Ability::LimitsMemory, Ability::LimitsCpus]) || engine.lacks(Ability::IsQuiet) {
        return;
    }
    let [limited, unlimited, ended] = [(); 3].map(|()| Scanner::new(&engine));
    limited.by_hand(&["--memory 1024M --memory-swap 1536M --cpus 0.5 -e TOKEN=canary-token-1"]);
    unlimited.module().arg("settle", 0).run().changed();
    ended.by_hand(&["--memory 64M -e STAND_IN_DIE=3"]);
    engine.docker(&["create", "--name", "foreign", "qualys/qcsa:1"]);
    eventually("the scanner has ended", || ended.inspect()["State"]["Status"] == "exited");

    let proxy = Proxy::new(&engine);
    let info = |name: &str| info(&engine).arg("_ansible_module_name", name).through(&proxy);
    let reply = info("qcss_scanner_info").run().unchanged();
    for name in ["ansible.legacy.qcss_scanner_info", "ns.coll.qcss_scanner_info"] {
        assert_eq!(info(name).run().unchanged().line, reply.line);
        assert_eq!(info(name).check().diff().run().unchanged().line, reply.line);
    }
    assert_eq!(proxy.writes(), []);
    for secret in [&limited.code, &unlimited.code, &ended.code, "canary-token-1"] {
        assert!(!reply.line.contains(secret), "{}", reply.line);
    }

    assert_eq!(
        (&reply["msg"], &reply["unlimited"], &reply["overcommitted"]),
        (&json!("3 of 3 scanners"), &json!(1), &json!(false))
    );
    let scanners = reply["scanners"].as_array().unwrap();
    let names: Vec<_> = scanners.iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert_eq!(names, [&*limited.name, &unlimited.name, &ended.name]);
    let inspect = limited.inspect();
    assert_eq!(
        scanners[0],
        json!({
            "name": limited.name,
            "container": {
                "id": inspect["Id"], "name": limited.name, "image": inspect["Config"]["Image"], "image_id": inspect["Image"],
                "status": "running", "running": true, "started_at": inspect["State"]["StartedAt"], "exit_code": 0,
                "restart_count": 0,
            },
            "scanner": {
                "category": "limited", "memory": 1 << 30, "swap": 512 << 20, "cpus": 0.5,
                "qualys_url": "https://qualysguard.qualys.com",
                "shared_dir": limited.shared_dir(), "private_dir": limited.private_dir(),
            },
        })
    );
    assert_eq!(
        (&scanners[1]["scanner"]["category"], &scanners[1]["scanner"]["memory"]),
        (&json!("unlimited"), &Value::Null)
    );
    assert_eq!(
        (&scanners[2]["container"]["status"], &scanners[2]["container"]["exit_code"]),
        (&json!("exited"), &json!(3))
    );
    let host = &reply["host"];
    assert_eq!(host["memory"]["allocated"], 1088 << 20);
    assert_eq!(
        host["memory"]["available"].as_u64(),
        host["memory"]["total"].as_u64().map(|total| total - (1088 << 20))
    );
    assert_eq!(host["cpus"]["allocated"], 0.5);
}

#[test]
fn tells_of_one_by_its_exact_name_beside_the_whole_host() {
    let engine = Engine::private(Engine::WITHOUT_BRIDGE);
    if engine.lacks_any(&[Ability::LimitsMemory, Ability::LimitsCpus]) || engine.lacks(Ability::IsQuiet) {
        return;
    }
    let (one, other) = (Scanner::new(&engine), Scanner::new(&engine));
    one.by_hand(&["--memory 64M"]);
    other.by_hand(&["--memory 1024G"]);
    let named = |name: &str| info(&engine).arg("name", name).run().unchanged();
    let reply = named(&one.name);
    assert_eq!((&reply["msg"], &reply["scanners"][0]["name"]), (&json!("1 of 2 scanners"), &json!(one.name)));
    assert_eq!((&reply["host"]["memory"]["available"], &reply["overcommitted"]), (&json!(0), &json!(true)));
    assert_eq!(named(&one.name[..one.name.len() - 1])["scanners"], json!([]));
    assert_eq!(named("")["scanners"].as_array().unwrap().len(), 2);
}

#[test]
fn a_scanner_that_is_just_being_replaced_is_one_scanner() {
    let engine = Engine::private(Engine::WITHOUT_BRIDGE);
    if engine.lacks_any(&[Ability::LimitsMemory, Ability::LimitsCpus]) || engine.lacks(Ability::IsQuiet) {
        return;
    }
    let scanner = Scanner::new(&engine);
    let old = scanner.by_hand(&["--memory 64M"]);
    let [incoming, outgoing] = ["new", "old"].map(|end| format!("{}.qcss-{end}", scanner.name));
    let [volume, note] = [
        format!("{}:/usr/local/qualys/admin/etc:z", scanner.store().display()),
        format!("qcss_scanner.replaces={old}"),
    ];
    // An unlimited one takes its place.
    let create = ["create", "--name", &incoming, "--volume", &volume, "--label", &note, "--entrypoint=sleep"];
    let new = engine.docker(&[&create[..], &["qualys/qcsa:1", "600"]].concat());

    let told = |id: &str, status: &str, unlimited: usize| {
        let reply = info(&engine).run().unchanged();
        assert_eq!((&reply["msg"], &reply["unlimited"]), (&json!("1 of 1 scanners"), &json!(unlimited)));
        let entry = &reply["scanners"][0];
        assert_eq!(entry["name"], *scanner.name);
        assert_eq!((&entry["container"]["id"], &entry["container"]["status"]), (&json!(id), &json!(status)));
        // The larger of both.
        assert_eq!(reply["host"]["memory"]["allocated"], 64 << 20);
        assert!(reply.warnings().contains("replacement") && reply.warnings().ends_with(&format!("`{}`", scanner.name)));
        assert_eq!(info(&engine).arg("name", &*scanner.name).run().unchanged()["scanners"], reply["scanners"]);
    };
    told(&old, "running", 0);
    engine.docker(&["stop", "--time=1", &scanner.name]);
    told(&old, "exited", 0);
    engine.docker(&["rename", &scanner.name, &outgoing]);
    told(&old, "exited", 0);
    engine.docker(&["rename", &incoming, &scanner.name]);
    told(&old, "exited", 0);
    engine.docker(&["start", &scanner.name]);
    told(&new, "running", 1);

    engine.docker(&["rm", &outgoing]);
    let reply = info(&engine).run().unchanged();
    assert_eq!((&reply["unlimited"], &reply["warnings"]), (&json!(1), &Value::Null));
    assert_eq!(reply["host"]["memory"]["allocated"], 0);
}

#[test]
fn a_host_without_scanners_is_free() {
    let reply = info(&Engine::private(Engine::WITHOUT_BRIDGE)).run().unchanged();
    assert_eq!((&reply["scanners"], &reply["unlimited"]), (&json!([]), &json!(0)));
    assert_eq!((&reply["host"]["memory"]["allocated"], &reply["host"]["cpus"]["allocated"]), (&json!(0), &json!(0.0)));
    assert_eq!(reply["host"]["memory"]["available"], reply["host"]["memory"]["total"]);
}

#[test]
fn takes_its_own_options_only() {
    let engine = Engine::shared();
    let message = info(engine).arg("image", "x").arg("state", "absent").run().refused("invalid_arguments");
    assert_eq!(
        message,
        "Unsupported parameters for (qcss_scanner_info) module: image, state. \
         Supported parameters include: docker_host, name, timeout."
    );
    assert!(info(engine).arg("name", "a/b").run().refused("invalid_arguments").ends_with("got: `a/b`"));
    info(engine).arg("docker_host", "unix:///nonexistent.sock").run().refused("engine_unreachable");
}

fn info(engine: &Engine) -> Module {
    Module::new(engine).without("overcommit").arg("_ansible_module_name", "qcss_scanner_info")
}
