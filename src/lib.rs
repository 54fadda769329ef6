//! `qcss_scanner`, an Ansible module: creates Qualys containerized scanners on a Docker host and keeps them in the desired
//! state. `docs/development.md` explains how it works inside.
//!
//! ```text
//! main ─▶ ansible (arguments in, one JSON line out)
//!           └▶ run: observe ─▶ plan ─▶ (check mode stops here) ─▶ lock ─▶ observe again ─▶ execute ─▶ settle
//!                ├▶ engine (Docker API) ┐
//!                ├▶ host (paths, locks) ┴▶ scanner: the domain, pure ─▶ error, secret
//! ```

pub mod ansible;
mod engine;
pub mod error;
mod file;
pub mod host;
mod run;
mod scanner;
mod secret;
#[cfg(test)]
mod testing;
