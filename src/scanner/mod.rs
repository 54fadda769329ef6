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
pub mod allocation;
pub mod command;
pub mod compare;
pub mod desired;
#[cfg(test)]
pub(crate) mod example;
pub mod inventory;
pub mod known_messages;
pub mod observation;
pub mod observed;
pub mod operation;
pub mod plan;
pub mod policy;
pub mod purge;
pub mod refusal;
pub mod replacement;
pub mod values;
