//! Files and texts of others are survived, and show nothing. An input is one byte, which says what it is: an image archive, the
//! docker command's configuration, or what an engine says around a secret in disguise.

#![no_main]

mod support;

use std::fs;
use std::sync::{LazyLock, Mutex};

use serde_json::json;

use support::{FakeEngine, healthy, healthy_status, kind};

/// Letters stay letters in every disguise, and stand for the whole.
const SECRET: &str = "canary/7w p@ss'x\"y";
const LETTERS: &str = "canary";

static ENGINE: LazyLock<Mutex<FakeEngine>> = LazyLock::new(|| {
    let engine = FakeEngine::new();
    assert!(std::env::var("DOCKER_CONFIG").is_ok_and(|it| it.ends_with("/fuzz/config")), "use tests/fuzz/run");
    Mutex::new(engine)
});

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let [what, rest @ ..] = input else { return };
    let engine = ENGINE.lock().unwrap();
    let path = |name: &str| engine.directory().join(name);
    let mut task = json!({
        "docker_host": engine.host(), "name": "scanner-1", "personalization_code": "code-4711", "qualys_url": "US2",
        "image": "reg.example.com/x:1", "env": {"A": SECRET}, "timeout": 2, "settle": 0,
        "shared_dir": path("shared"), "private_dir": path("private"), "_ansible_check_mode": true,
    });
    let mut said = None;
    match what % 3 {
        0 => {
            fs::write(path("archive"), rest).unwrap();
            task["image_archive"] = json!(path("archive"));
        }
        1 => fs::write(std::env::var("DOCKER_CONFIG").unwrap() + "/config.json", rest).unwrap(),
        _ => {
            let Some(text) = disguised(rest) else { return };
            said = Some(text);
            task["_ansible_check_mode"] = json!(false);
        }
    }
    let is_text = said.is_some();
    engine.answer(move |method, path| match (&said, kind(method, path)) {
        (Some(text), "list") => (500, json!({"message": text}).to_string().into_bytes()),
        (_, "list") => (200, b"[]".to_vec()),
        (_, "image") => (404, br#"{"message": "no such image"}"#.to_vec()),
        (_, kind) => (healthy_status(kind), healthy(kind).to_string().into_bytes()),
    });
    fs::write(path("args"), task.to_string()).unwrap();
    let result = support::answer(&path("args"));
    let message = result["msg"].as_str().unwrap().to_lowercase();
    assert!(!is_text || !message.contains(LETTERS), "{LETTERS} is shown: {message}");
});

/// The secret in up to four encodings on top of each other, with something before and after it.
fn disguised(input: &[u8]) -> Option<String> {
    let (encodings, noise) = input.split_at_checked(2)?;
    let noise = String::from_utf8_lossy(noise);
    // A part of the secret is not the secret.
    if noise.to_lowercase().contains("nary") {
        return None;
    }
    let at = noise.char_indices().nth(noise.chars().count() / 2).map_or(0, |(at, _)| at);
    let (before, after) = noise.split_at(at);
    let mut text = SECRET.to_owned();
    for encoding in encodings.iter().flat_map(|byte| [byte & 15, byte >> 4]) {
        text = match encoding {
            0 => text.to_uppercase(),
            1 => text.replace('%', "%25").replace('/', "%2f").replace('@', "%40").replace(' ', "%20"),
            2 => json!(text).to_string().trim_matches('"').to_owned(),
            3 => text.replace('\'', "'\\''"),
            4 => text.replacen("an", "a\u{1b}[1mn", 1),
            5 => text.replace('"', "\\\""),
            _ => continue,
        };
    }
    Some(format!("{before} {text} {after}"))
}
