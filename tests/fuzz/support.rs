//! What both targets need, some of it the tests' own.

// Each target takes what it needs.
#![allow(dead_code, unused_imports)]

#[path = "../it/support/answers.rs"]
mod answers;
#[path = "../it/support/checked.rs"]
mod checked;
#[path = "../it/support/fake_engine.rs"]
mod fake_engine;

use std::path::Path;
use std::thread;

use qcss_scanner::ansible::module;
use serde_json::Value;

pub use answers::{ANSWERS, healthy, healthy_status, kind};
pub use checked::shows;
pub use fake_engine::FakeEngine;

/// What answers the arguments file at `path`; panics when something is wrong with it.
pub fn answer(path: &Path) -> Value {
    let path = path.to_owned();
    // A thread of its own: secrets are remembered by thread, and one input must not hide for another.
    let answering = thread::spawn(move || {
        let reply = module::answer(&path);
        (reply.exit_code(), reply.into_line())
    });
    let (code, line) = answering.join().unwrap();
    // The module silences panics, which the fuzzer needs.
    drop(std::panic::take_hook());
    checked::checked(code, &line).unwrap_or_else(|reason| panic!("{reason}"))
}
