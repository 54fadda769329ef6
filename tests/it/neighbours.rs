//! Containers that are in the way, or are not, on engines that describe them in an odd way.

use serde_json::{Value, json};

use crate::support::{Engine, FakeEngine, Module};

const CODE: &str = "21809999913298";

/// As Podman does before it lists mounts, about which its list says null; Docker lists none as `[]`.
#[test]
fn where_mounts_are_not_listed_each_container_is_looked_at() {
    let engine = engine(vec![listed("scanner", &["/scanner"], &Value::Null), listed("web", &["/web"], &Value::Null)]);
    let info = module(&engine).without("overcommit").arg("_ansible_module_name", "qcss_scanner_info").run().unchanged();
    let names: Vec<_> = info["scanners"].as_array().unwrap().iter().map(|it| it["name"].clone()).collect();
    assert_eq!(names, ["scanner"]);
    assert_eq!(info["host"]["memory"]["allocated"], 64 << 20);
    let message = wanted(&engine).run().refused("already_in_use");
    assert!(message.contains("personalization_code") && message.ends_with("`scanner`"), "{message}");
}

#[test]
fn a_neighbour_goes_by_its_own_name_and_not_by_what_others_call_it() {
    let private = json!([{"Type": "bind", "Source": format!("/p/{CODE}"), "Destination": "/backup", "RW": true}]);
    let engine = engine(vec![listed("web", &["/proxy/upstream", "/web"], &private)]);
    let message = wanted(&engine).run().refused("already_in_use");
    assert!(message.contains("private directory") && message.ends_with("`web`"), "{message}");
}

#[test]
fn a_neighbour_that_goes_away_meanwhile_is_none() {
    let private =
        json!([{"Type": "bind", "Source": format!("/p/{CODE}"), "Destination": "/usr/local/qualys/admin/etc"}]);
    let engine = engine(vec![listed("gone", &["/gone"], &private)]);
    assert_eq!(wanted(&engine).run().changed().actions().last(), Some(&"start"));
}

fn wanted(engine: &FakeEngine) -> Module {
    let directory = engine.directory();
    module(engine)
        .args(json!({"name": "wanted", "personalization_code": CODE, "qualys_url": "US1", "image": "qualys/qcsa:1"}))
        .args(json!({"shared_dir": directory.join("shared"), "private_dir": "/p"}))
        .check()
}

/// The real engine is only there to be asked nothing.
fn module(engine: &FakeEngine) -> Module {
    Module::new(Engine::shared()).arg("docker_host", engine.host())
}

fn listed(id: &str, names: &[&str], mounts: &Value) -> Value {
    json!({"Id": id, "Names": names, "Mounts": mounts})
}

/// An engine with these containers, of which `scanner` is one and `web` is none.
fn engine(containers: Vec<Value>) -> FakeEngine {
    let engine = FakeEngine::new();
    engine.answer(move |_, path| {
        let found = |value: Value| (200, value.to_string().into_bytes());
        match path {
            "/_ping" => found(json!("OK")),
            "/info" => found(json!({"NCPU": 2, "MemTotal": 4_u64 << 30})),
            "/containers/json" => found(json!(containers)),
            "/images/qualys/qcsa:1/json" => found(json!({"Id": "sha256:1111", "Config": {}})),
            "/containers/web/json" => found(json!({"Id": "web", "Name": "/web", "Config": {}, "HostConfig": {}})),
            "/containers/scanner/json" => found(json!({
                "Id": "scanner", "Name": "/scanner", "Image": "sha256:1111",
                "Config": {"Env": [format!("PERSONALIZATION_CODE={CODE}")]},
                "HostConfig": {"Memory": 64 << 20},
                "Mounts": [{"Type": "bind", "Source": "/q/1", "Destination": "/usr/local/qualys/admin/etc", "RW": true}],
            })),
            _ => (404, br#"{"message": "not found"}"#.to_vec()),
        }
    });
    engine
}
