//! The personalization code.

use crate::error::{Error, Result};
use crate::secret::Secret;

/// The longest code; the vendor's own have 14 characters.
const LONGEST: usize = 64;

/// A single-use credential of the subscription; one path component, `[A-Za-z0-9_-]{1,64}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Code(Secret);

impl Code {
    /// Takes `text` as a code.
    pub fn parse(text: &str) -> Result<Self> {
        let valid = (1..=LONGEST).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
        if !valid {
            return Err(Error::invalid(format!(
                "personalization_code must be 1 to {LONGEST} of the characters A-Z a-z 0-9 _ -; \
                 copy it from the Qualys subscription and put it in quotes"
            )));
        }
        Ok(Self(Secret::new(text)))
    }

    /// The code of an existing scanner, whatever it looks like.
    pub fn observed(text: &str) -> Self {
        Self(Secret::new(text))
    }

    /// The code itself.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_path_components_only_and_never_shows_them() {
        let longest = "x".repeat(LONGEST);
        for text in ["21808056913298", "xxx5xxx1xxx0xx", "a", "-_", longest.as_str()] {
            let code = Code::parse(text).unwrap();
            assert_eq!(code.expose(), text);
            assert_eq!(format!("{code:?}"), "Code(********)");
        }
        let too_long = "canary".repeat(11);
        for text in ["", "canary/x", "..", ".", "canary x", "canary\n", "canäry", "canary:z", too_long.as_str()] {
            let message = Code::parse(text).unwrap_err().message;
            assert!(!message.contains("canary"), "{message}");
        }
    }
}
