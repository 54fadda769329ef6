//! What this process is to the rest of the host, and the runtime in which it works.

use std::io;
use std::os::fd::AsFd;

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};

use crate::file::are_too_many;

/// The signal for a file that would become larger than the process's limit (signal(7), the same on every architecture but MIPS).
const SIGXFSZ: i32 = 25;

/// As many descriptors as the runtime needs for itself.
const DESCRIPTORS: usize = 8;

/// Makes the process one that holds secrets: no other process of its user may look into its memory, and nothing dumps it. A file
/// that must not grow becomes an error instead of the end. Returns the runtime: one thread, since every engine call waits for
/// the one before it.
pub fn harden() -> io::Result<Runtime> {
    // Where the kernel refuses, there is nothing better to do than the task.
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    // tokio panics where it gets none of its own.
    let spare: io::Result<Vec<_>> = (0..DESCRIPTORS).map(|_| io::stdin().as_fd().try_clone_to_owned()).collect();
    if let Some(error) = spare.err().filter(are_too_many) {
        return Err(error);
    }
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let entered = runtime.enter();
    // Nobody waits for it: that it is handled is enough.
    drop(signal(SignalKind::from_raw(SIGXFSZ)));
    drop(entered);
    Ok(runtime)
}
