//! What a run brings from one value to another, and how.

use serde_json::Value;

use super::compare::{Comparison, Verdict, Way};

/// The way of a difference that a new directory removes.
pub(super) const CREATE_DIRECTORY: &str = "create_directory";
/// The way of a difference that a new container removes.
pub(super) const REPLACE: &str = "replace";

/// One line of the result's `differences`.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Difference {
    /// The option that it is about.
    pub field: &'static str,
    /// The observed value.
    pub before: Value,
    /// The desired value.
    pub after: Value,
    /// How it is removed: an action's word.
    pub way: &'static str,
}

impl Difference {
    /// That of `field`, if there is one; where a scanner is `replaced`, that takes the live differences with it.
    pub(super) fn of(field: &Comparison, replaced: bool) -> Option<Self> {
        let way = match field.verdict {
            Verdict::Same => return None,
            Verdict::Differs(Way::Update(_)) if !replaced => "update",
            Verdict::Differs(_) => REPLACE,
        };
        Some(Self { field: field.field, before: field.before.clone(), after: field.after.clone(), way })
    }
}
