//! Any arguments file is answered. An input is the file.

#![no_main]

mod support;

use std::fs;
use std::sync::LazyLock;

use tempfile::TempDir;

static DIRECTORY: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().unwrap());

libfuzzer_sys::fuzz_target!(|file: &[u8]| {
    // Nothing that could be meant for an engine of this machine; `run` sees to it that there is none by default.
    if !file.windows(4).any(|part| part.eq_ignore_ascii_case(b"sock")) {
        let path = DIRECTORY.path().join("args");
        fs::write(&path, file).unwrap();
        support::answer(&path);
    }
});
