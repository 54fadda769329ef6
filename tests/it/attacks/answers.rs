//! What an engine answers: too much, too deep, too slowly.

use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use rstest::rstest;
use serde_json::{Value, json};

use super::{MEMORY_OF_ANSWERS, bounded, bounded_by, task};
use crate::support::{Engine, FakeEngine, Module, healthy, healthy_status, kind};

/// A healthy engine, but for what `other` answers to a path.
fn engine(other: impl Fn(&str) -> Option<Vec<u8>> + Send + 'static) -> FakeEngine {
    let engine = FakeEngine::new();
    engine.answer(move |method, path| {
        let kind = kind(method, path);
        match other(path) {
            Some(body) => (200, body),
            None => (healthy_status(kind), healthy(kind).to_string().into_bytes()),
        }
    });
    engine
}

fn info(engine: &FakeEngine) -> Module {
    let args = json!({"_ansible_module_name": "qcss_scanner_info", "docker_host": engine.host(), "timeout": 3});
    Module::new(Engine::shared()).without("overcommit").args(args)
}

/// A list of `count` entries that are like `entry`.
fn list(entry: &str, count: usize) -> Vec<u8> {
    format!("[{}]", vec![entry; count].join(",")).into_bytes()
}

/// A scanner's container with `value` as its `field`.
fn container(field: &str, value: Value) -> Vec<u8> {
    let mut container = healthy("container");
    *container.pointer_mut(field).unwrap() = value;
    container.to_string().into_bytes()
}

const SMALL: &str = r#"{"Id":"1","Names":["/a"],"Mounts":[]}"#;
const MOUNT: &str = r#"{"Source":"/a","Destination":"/b"}"#;

#[rstest]
#[case::a_million_containers(list(SMALL, 1_000_000), "the engine's answer is too large")]
#[case::small_containers(list(SMALL, 100_000), "the engine's answer is too large")]
#[case::mounts(format!("[{{\"Id\":\"1\",\"Mounts\":[{}]}}]", vec![MOUNT; 900_000].join(",")).into_bytes(), "the engine's answer is too large")]
#[case::empty_mounts(format!("[{{\"Id\":\"1\",\"Mounts\":[{}]}}]", vec!["{}"; 10_000_000].join(",")).into_bytes(), "the engine's answer is too large")]
#[case::mounts_of_many(list(&format!("{{\"Id\":\"1\",\"Mounts\":[{}]}}", vec![MOUNT; 1000].join(",")), 900), "the engine's answer is too large")]
#[case::names(format!("[{{\"Id\":\"1\",\"Names\":[{}]}}]", vec!["\"\""; 10_000_000].join(",")).into_bytes(), "the engine's answer is too large")]
#[case::deep([vec![b'['; 1 << 18], vec![b']'; 1 << 18]].concat(), "cannot parse the engine's answer")]
#[case::deep_in_a_field(format!("[{{\"Id\":\"1\",\"X\":{}}}]", "[".repeat(1 << 18) + &"]".repeat(1 << 18)).into_bytes(), "")]
#[case::one_text(format!("[\"{}\"]", "x".repeat(40 << 20)).into_bytes(), "the engine's answer is too large")]
#[case::one_large_text(format!("[{{\"Id\":\"{}\"}}]", "x".repeat(31 << 20)).into_bytes(), "")]
fn a_list_is_bounded(#[case] body: Vec<u8>, #[case] words: &str) {
    let engine = engine(move |path| (path == "/containers/json").then(|| body.clone()));
    for module in [info(&engine), task(&engine).check(), task(&engine)] {
        let reply = bounded(module.arg("timeout", 10));
        let message = reply["msg"].as_str().unwrap();
        assert!(message.contains(words), "{message}");
    }
}

/// As much as any host has is not too much.
#[test]
fn a_long_list_is_read() {
    let entry = format!(r#"{{"Id":"{0}","Names":["/{0}"],"State":"running","Mounts":[{MOUNT}]}}"#, "a".repeat(64));
    let engine = engine(move |path| (path == "/containers/json").then(|| list(&entry, 30_000)));
    bounded(info(&engine)).unchanged();
}

#[rstest]
#[case::too_large("/Config/Cmd", json!("x".repeat(1 << 20)), "the engine's answer is too large")]
#[case::variables("/Config/Env", (0..30_000).map(|at| format!("VARIABLE_{at}=value-{at}")).collect(), "")]
#[case::variables_of_one_value("/Config/Env", vec!["A=canary"; 80_000].into(), "")]
#[case::labels("/Config/Labels", (0..40_000).map(|at| (at.to_string(), json!("x"))).collect(), "the engine's answer is too large")]
#[case::mounts("/Mounts", vec![json!({}); 300_000].into(), "the engine's answer is too large")]
#[case::asked_mounts("/HostConfig/Mounts", vec![json!({}); 300_000].into(), "the engine's answer is too large")]
#[case::anything("/Args", vec![json!(0); 400_000].into(), "")]
#[case::networks("/NetworkSettings/Networks", (0..40_000).map(|at| (at.to_string(), json!({}))).collect(), "the engine's answer is too large")]
fn a_container_is_bounded(#[case] field: &str, #[case] value: Value, #[case] words: &str) {
    let body = container(field, value);
    let engine = engine(move |path| {
        path.ends_with("/json")
            .then(|| body.clone())
            .filter(|_| path.starts_with("/containers/") && path != "/containers/json")
    });
    let task = || task(&engine).arg("name", "rich").arg("image", "qualys/qcsa:rich");
    for module in [info(&engine), task().check(), task()] {
        let reply = bounded_by(MEMORY_OF_ANSWERS, module);
        let message = reply["msg"].as_str().unwrap();
        assert!(message.contains(words), "{message}");
    }
}

/// A container of another kind, as databases have them; and its 8,000 variables.
#[test]
fn a_neighbour_with_many_variables_costs_little() {
    let body = container("/Config/Env", (0..8_000).map(|at| format!("VARIABLE_{at}={at}-{at}-{at}")).collect());
    let engine =
        engine(move |path| (path.starts_with("/containers/") && path != "/containers/json").then(|| body.clone()));
    bounded(info(&engine)).unchanged();
}

#[rstest]
#[case::of_a_head("HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\n", "X: x\r\n")]
#[case::of_one_header("HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nX: ", "xxxxxxxxxxxxxxxx")]
#[case::of_chunks("HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nTransfer-Encoding: chunked\r\n\r\n", "4\r\n[[[[\r\n")]
#[case::of_small_chunks(
    "HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nTransfer-Encoding: chunked\r\n\r\n",
    "1;aaaaaaaaaaaa\r\n \r\n"
)]
#[case::of_no_length("HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\n\r\n", "  ")]
#[case::of_information("", "HTTP/1.1 100 Continue\r\n\r\n")]
fn an_answer_without_an_end_has_one(#[case] head: &'static str, #[case] rest: &'static str) {
    let engine = FakeEngine::endless(head, rest);
    for module in [info(&engine), task(&engine).check(), task(&engine)] {
        // Whether its time is over before it is too large depends on the machine, so check mode cannot foretell it.
        let reply = bounded(module.disturbed());
        assert!(reply.failed(), "{reply:#?}");
    }
}

/// Each is in time; all of them are not.
#[test]
fn slow_neighbours_take_the_time_of_one_call() {
    let entries = list(r#"{"Id":"1","Names":["/a"],"Mounts":null}"#, 300);
    let engine = engine(move |path| {
        if path == "/containers/json" {
            return Some(entries.clone());
        }
        sleep(Duration::from_millis(if path.starts_with("/containers/") { 500 } else { 0 }));
        None
    });
    let message = bounded(info(&engine)).refused("timeout");
    assert!(message.contains("look at all containers of the engine: no answer within 3 s"), "{message}");
}

/// Ten times `timeout`, and then there is a line.
#[rstest]
#[case::pull("/images/create", false)]
#[case::load("/images/load", true)]
fn a_pull_or_load_that_stands_still_ends(#[case] path: &'static str, #[case] load: bool) {
    let engine = FakeEngine::new();
    engine.answer(move |_, asked| {
        if asked == path {
            sleep(Duration::from_secs(60));
        }
        match asked {
            "/containers/json" => (200, b"[]".to_vec()),
            "/info" => (200, b"{}".to_vec()),
            _ => (404, br#"{"message": "no such image"}"#.to_vec()),
        }
    });
    // The registry tells check mode that it has no such image.
    let mut module = task(&engine).arg("timeout", 1).disturbed();
    if load {
        let make = r#"echo '[{"Config": "c", "RepoTags": ["registry.example.com/qcsa:1"]}]' >manifest.json && tar cf x manifest.json"#;
        assert!(Command::new("sh").args(["-c", make]).current_dir(engine.directory()).status().unwrap().success());
        module = module.arg("image_archive", engine.directory().join("x").to_str().unwrap());
    }
    let message = bounded(module).refused("timeout");
    assert!(message.contains("nothing has moved on for 10 s"), "{message}");
}
