//! The values that describe a scanner, each parsed once into something that can only be right.

pub mod capacity;
pub mod code;
pub mod compression;
pub mod directory;
pub mod environment;
pub mod image;
pub mod limits;
pub mod mount;
pub mod name;
pub mod place;
pub mod proxy;
pub mod qualys_url;
pub mod restart_policy;
pub mod size;
