//! `qcss_scanner`, an Ansible module: creates Qualys containerized scanners on a Docker host and keeps them as wanted.
//!
//! ```text
//! main ─▶ protocol (Ansible's arguments in, one JSON line out)
//!           └▶ run: observe ─▶ plan ─▶ (check mode stops here) ─▶ lock ─▶ observe again ─▶ apply ─▶ settle ─▶ report
//!                    │          └ scanner: pure                                └ apply
//!                    └ engine (Docker API), host (directories, lock)
//! ```

mod engine;
pub mod error;
pub mod host;
pub mod module;
pub mod protocol;
mod report;
mod run;
mod scanner;
mod secret;
