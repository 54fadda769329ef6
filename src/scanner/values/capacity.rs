//! The resources of a host.

/// The resources of a host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Capacity {
    /// Bytes.
    pub memory: u64,
    /// Bytes; `None` where the host does not say or the engine cannot limit swap, and then it is not checked.
    pub swap: Option<u64>,
    /// Whole CPUs.
    pub cpus: u32,
}

impl Capacity {
    /// Billionths of CPUs, whose sums are exact.
    pub fn nano_cpus(&self) -> u64 {
        u64::from(self.cpus) * 1_000_000_000
    }
}
