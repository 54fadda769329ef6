//! The host that the module runs on, which is the engine's host too: directories, locks, image archives, swap, the docker
//! command's configuration.

pub mod archive;
pub mod docker_config;
pub mod lock;
pub mod memory;
pub mod mounts;
pub mod paths;
