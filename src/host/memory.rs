//! The host's swap, which the engine does not report.

use sysinfo::{MemoryRefreshKind, RefreshKind, System};

/// Bytes of swap; `None` when the host does not say.
pub fn swap() -> Option<u64> {
    let memory = RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_swap());
    System::new_with_specifics(memory).ok().map(|system| system.total_swap())
}
