//! The seam to the host that the module runs on, which is the engine's host too: directories, the lock, memory.

pub mod archive;
pub mod lock;
pub mod memory;
pub mod paths;
