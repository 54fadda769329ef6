//! The domain: what a scanner is, what is wanted, what is there, and the plan between the two.
//!
//! ```text
//! Arguments ─▶ Desired ┐
//!                      ├─ compare ─▶ Comparison… ─ plan ─▶ Plan (data, nothing left to choose)
//! engine ─▶ Observed ──┘
//! ```
//!
//! Pure and synchronous: nothing here talks to an engine or a disk.

pub mod admission;
pub mod advice;
pub mod capacity;
pub mod census;
pub mod code;
pub mod command;
pub mod compare;
pub mod desired;
pub mod directory;
pub mod environment;
#[cfg(test)]
pub(crate) mod example;
pub mod image;
pub mod limits;
pub mod mount;
pub mod name;
pub mod observed;
pub mod operation;
pub mod plan;
pub mod proxy;
pub mod purge;
pub mod qualys_url;
pub mod refusal;
pub mod replacement;
pub mod restart_policy;
pub mod situation;
pub mod size;
