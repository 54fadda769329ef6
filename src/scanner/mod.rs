//! The domain: the desired scanner, the observed one, and the plan that turns one into the other.
//!
//! ```text
//! Request ──▶ Desired ─┐
//!                      ├─ compare ─▶ Comparison… ─ plan ─▶ Plan (data, nothing left to choose)
//! engine ─▶ Observed ──┘
//! ```
//!
//! Pure and synchronous: no I/O here.

pub mod admission;
pub mod allocation;
pub mod attachment;
pub mod command;
pub mod compare;
pub mod dependency;
pub mod desired;
pub mod difference;
pub mod engine_traits;
#[cfg(test)]
pub(crate) mod example;
mod feasibility;
pub mod given;
pub mod inventory;
pub mod known_messages;
pub mod observation;
pub mod observed;
pub mod operation;
pub mod path_rules;
pub mod plan;
pub mod policy;
pub mod purge;
pub mod refusal;
pub mod replacement;
pub mod values;
pub mod volume;
