//! What tests are written with: an engine, a scanner on it, the module, and a proxy that listens in between.

mod ability;
mod ansible;
mod answers;
mod checked;
mod engine;
mod events;
mod fake_engine;
mod fault;
mod http;
mod module;
mod proxy;
mod registry;
mod scanner;
mod tasks;

pub use ability::Ability;
pub use ansible::Ansible;
pub use answers::{ANSWERS, healthy, healthy_status, kind};
pub use checked::{checked, shows, without_empty};
pub use engine::{Engine, stdout};
pub use events::Events;
pub use fake_engine::{Answer, FakeEngine};
pub use fault::{Fault, Trap};
pub use module::{Module, NOBODY, Reply, execute};
pub use proxy::{Proxy, Request};
pub use registry::{PASSWORD, Registry, USER};
pub use scanner::{Container, Scanner};
pub use tasks::{at_once, foretold, four_tasks, untouched};

use std::thread::sleep;
use std::time::{Duration, Instant};

/// Waits until something holds; panics with `what` when it does not within thirty seconds: an engine that is told to end gives
/// its containers ten. An emulated processor takes its time, and `tests/engine/virtual-machine-init` gives it more.
pub fn eventually(what: &str, holds: impl Fn() -> bool) {
    let patience = std::env::var("QCSS_PATIENCE").map_or(30, |seconds| seconds.parse().unwrap());
    let deadline = Instant::now() + Duration::from_secs(patience);
    while !holds() {
        assert!(Instant::now() < deadline, "still not after {patience} seconds: {what}");
        sleep(Duration::from_millis(20));
    }
}
