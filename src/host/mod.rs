//! The host that the module runs on, which is the engine's host too: directories, locks, image archives, swap.

pub mod archive;
pub mod lock;
pub mod memory;
pub mod mounts;
pub mod paths;
