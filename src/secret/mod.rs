//! Text that must never be seen: the personalization code, proxy credentials, passwords, values of environment variables.
//!
//! There are two defences. By type: a [`Secret`] prints as asterisks, so that nothing shows it by accident. And every secret
//! is remembered in its thread (the program has one), so that the last pass over the output ([`mask`]) masks it wherever it
//! came from: an option, an old container, another scanner.

mod forms;
pub mod mask;
pub mod url;
mod view;
mod words;

use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt;

use mask::Mask;
pub use view::printable;

#[derive(Default)]
struct Known {
    secrets: HashSet<String>,
    names: HashSet<String>,
}

thread_local! {
    static KNOWN: RefCell<Known> = RefCell::default();
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
        for part in std::iter::once(text).chain(text.lines().filter(|line| line.len() < text.len())) {
            let part = part.trim();
            if !part.is_empty() && !known.secrets.contains(part) {
                known.secrets.insert(part.to_owned());
            }
        }
    });
}

/// Makes the value of an environment variable known to the last pass, unless it is a short number (`1`), `yes` or `no`: such
/// are flags, and by type they are not shown anyway.
pub fn remember_value(text: &str) {
    let is_flag =
        text.len() < 4 && (["yes", "no", "on", "off"].contains(&text) || text.bytes().all(|b| b.is_ascii_digit()));
    if !is_flag {
        remember(text);
        remember_passwords(text);
    }
}

/// Makes the passwords of URLs in `text` known to the last pass, which would find them by their place only.
pub fn remember_passwords(text: &str) {
    url::passwords(text).into_iter().filter_map(|range| text.get(range)).for_each(remember);
}

/// Makes the name of a scanner known, which is never masked, whatever else has the same text.
pub fn publish_name(name: &str) {
    KNOWN.with_borrow_mut(|known| known.names.insert(name.to_owned()));
}

/// A mask for all secrets of this thread.
pub fn mask() -> Mask {
    KNOWN.with_borrow(|known| Mask::new(known.secrets.iter().map(String::as_str), &known.names))
}

/// Whether `text` is known as a secret of this thread.
#[cfg(test)]
pub fn is_known(text: &str) -> bool {
    KNOWN.with_borrow(|known| known.secrets.contains(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_prints_as_asterisks_and_is_remembered() {
        let secret = Secret::new("canary-1\nline two");
        assert_eq!(format!("{secret} {secret:?}"), "******** ********");
        for part in ["canary-1\nline two", "canary-1", "line two"] {
            assert!(is_known(part), "{part}");
        }
    }
}
