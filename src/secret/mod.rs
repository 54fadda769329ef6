//! Text that must never be seen: the personalization code, proxy credentials, passwords, values of environment variables.
//!
//! There are two defences. By type: a [`Secret`] prints as asterisks, so that nothing shows it by accident. And every secret
//! is remembered in its thread (the program has one), so that the last pass over the output ([`mask`]) masks it wherever it
//! came from: an option, an old container, another scanner.

pub mod mask;

use std::cell::RefCell;
use std::fmt;

thread_local! {
    static KNOWN: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// What replaces a secret in a message; `AnsibleModule`'s own mask.
pub const MASK: &str = "********";

/// What replaces a value that is a secret as a whole; `AnsibleModule`'s own word.
pub const HIDDEN: &str = "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER";

/// A string that prints as [`MASK`].
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Secret(String);

impl Secret {
    /// Takes `text` as a secret and remembers it for the last pass.
    pub fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        remember(&text);
        Self(text)
    }

    /// The secret itself, for the engine and for comparisons.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

/// Makes `text` known to the last pass, and each line of it, since logs come back line by line.
pub fn remember(text: &str) {
    KNOWN.with_borrow_mut(|known| {
        for part in std::iter::once(text).chain(text.lines()) {
            let part = part.trim();
            if !part.is_empty() && !known.iter().any(|other| other == part) {
                known.push(part.to_owned());
            }
        }
    });
}

/// Makes the value of an environment variable known to the last pass, unless it is as short as a flag (`1`, `yes`): masking
/// those would make every message unreadable, and by type they are not shown anyway.
pub fn remember_value(text: &str) {
    if text.len() >= 4 {
        remember(text);
    }
}

/// All secrets of this thread.
pub fn known() -> Vec<String> {
    KNOWN.with_borrow(Clone::clone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_prints_as_asterisks_and_is_remembered() {
        let secret = Secret::new("canary-1\nline two");
        assert_eq!(format!("{secret} {secret:?}"), "******** ********");
        for part in ["canary-1\nline two", "canary-1", "line two"] {
            assert!(known().iter().any(|text| text == part), "{part}");
        }
    }
}
