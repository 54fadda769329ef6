//! Any arguments file is answered. An input is the file.

#![no_main]

mod support;

use std::fs;
use std::sync::LazyLock;

use qcss_scanner::ansible::json;
use tempfile::TempDir;

/// Where no engine is; `run` says so in the environment, which counts where a task says nothing.
const NOBODY: &str = "/nonexistent/";

static DIRECTORY: LazyLock<TempDir> = LazyLock::new(|| {
    assert!(std::env::var("DOCKER_HOST").is_ok_and(|host| host.contains(NOBODY)), "use tests/fuzz/run");
    tempfile::tempdir().unwrap()
});

libfuzzer_sys::fuzz_target!(|file: &[u8]| {
    // Nothing that could be meant for an engine of this machine.
    let host = json::parse(file).ok().and_then(|task| Some(task.get("docker_host")?.as_str()?.to_owned()));
    if host.is_none_or(|host| host.is_empty() || host.contains(NOBODY)) {
        let path = DIRECTORY.path().join("args");
        fs::write(&path, file).unwrap();
        support::answer(&path);
    }
});
