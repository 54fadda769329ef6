//! A container's name.

use std::fmt;

use crate::error::{Error, Result};
use crate::secret;

/// The suffix of a new container that has not taken over yet.
const INCOMING: &str = ".qcss-new";
/// The suffix of an old container whose replacement is not yet known to work.
const OUTGOING: &str = ".qcss-old";

/// `[a-zA-Z0-9][a-zA-Z0-9_.-]+`, Docker's own rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name(String);

impl Name {
    /// Takes `text` as a container's name.
    pub fn parse(text: &str) -> Result<Self> {
        let (first, rest) = text.split_at(text.chars().next().map_or(0, char::len_utf8));
        let valid = first.bytes().all(|b| b.is_ascii_alphanumeric())
            && !rest.is_empty()
            && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
        if !valid {
            return Err(Error::invalid(format!(
                "name must be a container name of two or more of the characters a-z A-Z 0-9 _ . - \
                 that begins with a letter or digit, got: `{text}`"
            )));
        }
        if text.ends_with(INCOMING) || text.ends_with(OUTGOING) {
            return Err(Error::invalid(format!(
                "name must not end with {INCOMING} or {OUTGOING}, which a replacement uses while it is at work, got: `{text}`"
            )));
        }
        secret::publish_name(text);
        Ok(Self(text.to_owned()))
    }

    /// The name itself, without the slash that the engine puts before it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of the new container until it takes over.
    pub fn incoming(&self) -> String {
        format!("{}{INCOMING}", self.0)
    }

    /// The name of the old container until its replacement is known to work.
    pub fn outgoing(&self) -> String {
        format!("{}{OUTGOING}", self.0)
    }
}

/// The name of the scanner that a container called `name` belongs to: its own, unless a replacement gave it another.
pub fn of_scanner(name: &str) -> &str {
    name.strip_suffix(INCOMING).or_else(|| name.strip_suffix(OUTGOING)).unwrap_or(name)
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("ab")]
    #[case("0.")]
    #[case("Qualys_Container-1.2")]
    fn takes_what_docker_takes(#[case] text: &str) {
        assert_eq!(Name::parse(text).unwrap().as_str(), text);
    }

    #[rstest]
    #[case("")]
    #[case("a")]
    #[case("-ab")]
    #[case(".ab")]
    #[case("a b")]
    #[case("a/b")]
    #[case("../ab")]
    #[case("äb")]
    #[case("aä")]
    #[case("ab\n")]
    #[case("a\0b")]
    #[case("ab.qcss-old")]
    #[case("ab.qcss-new")]
    fn refuses_the_rest_and_shows_it(#[case] text: &str) {
        assert!(Name::parse(text).unwrap_err().message.ends_with(&format!("got: `{text}`")));
    }
}
