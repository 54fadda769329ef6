//! What a healthy engine answers, by the kind of request.

use serde_json::{Value, json};

/// The kinds of requests.
pub const ANSWERS: &[&str] =
    &["ping", "container", "image", "info", "list", "network", "distribution", "created", "done"];

/// The body of the answer to a request of this `kind`.
pub fn healthy(kind: &str) -> Value {
    let parse = |text| serde_json::from_str(text).unwrap();
    match kind {
        "ping" => json!("OK"),
        "container" => parse(include_str!("../../../src/engine/fixtures/rich.json")),
        "image" => parse(include_str!("../../../src/engine/fixtures/image-rich.json")),
        "info" => parse(include_str!("../answers/info.json")),
        "list" => parse(include_str!("../answers/list.json")),
        "network" => json!({"Name": "back", "Id": "ff943c4e9c7d", "Driver": "bridge", "Containers": {}}),
        "distribution" => json!({"Descriptor": {"mediaType": "x", "digest": "sha256:12", "size": 1}, "Platforms": []}),
        "created" => json!({"Id": "2e6a4c0c0479", "Warnings": []}),
        _ => json!({"status": "done"}),
    }
}

/// Its status.
pub fn healthy_status(kind: &str) -> u16 {
    if kind == "done" { 204 } else { 200 }
}

/// The kind of a request, by its method and its path without API version and query.
pub fn kind(method: &str, path: &str) -> &'static str {
    match (method, path) {
        ("GET", "/_ping") => "ping",
        ("GET", "/info") => "info",
        ("GET", "/containers/json") => "list",
        ("POST", "/containers/create") => "created",
        ("GET", path) if path.starts_with("/containers/") && path.ends_with("/json") => "container",
        ("GET", path) if path.starts_with("/images/") => "image",
        ("GET", path) if path.starts_with("/networks/") => "network",
        ("GET", path) if path.starts_with("/distribution/") => "distribution",
        _ => "done",
    }
}
