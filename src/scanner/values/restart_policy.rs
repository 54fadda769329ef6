//! What the engine does when the scanner ends by itself.

use std::fmt;

use crate::error::{Error, Result};

/// Docker's restart policies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RestartPolicy {
    /// Nothing.
    #[default]
    No,
    /// Start it again when it failed, at most this many times; 0 is without limit.
    OnFailure(u64),
    /// Start it again, also when the engine starts.
    Always,
    /// Likewise, but not when someone stopped it.
    UnlessStopped,
}

impl RestartPolicy {
    /// Takes `text` as `docker run --restart` does.
    pub fn parse(text: &str) -> Result<Self> {
        let known = match text {
            "no" => Some(Self::No),
            "always" => Some(Self::Always),
            "unless-stopped" => Some(Self::UnlessStopped),
            "on-failure" => Some(Self::OnFailure(0)),
            _ => text
                .strip_prefix("on-failure:")
                .filter(|count| count.bytes().all(|b| b.is_ascii_digit()))
                .and_then(|count| count.parse().ok())
                .filter(|count| i64::try_from(*count).is_ok())
                .map(Self::OnFailure),
        };
        known.ok_or_else(|| {
            Error::invalid(format!(
                "value of restart_policy must be one of: no, on-failure, on-failure:N, always, unless-stopped, got: {text}"
            ))
        })
    }
}

impl fmt::Display for RestartPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::No => f.write_str("no"),
            Self::OnFailure(0) => f.write_str("on-failure"),
            Self::OnFailure(count) => write!(f, "on-failure:{count}"),
            Self::Always => f.write_str("always"),
            Self::UnlessStopped => f.write_str("unless-stopped"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_prints_and_nothing_else() {
        for text in ["no", "always", "unless-stopped", "on-failure", "on-failure:3", "on-failure:9223372036854775807"] {
            assert_eq!(RestartPolicy::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(RestartPolicy::parse("on-failure:0").unwrap(), RestartPolicy::OnFailure(0));
        for text in [
            "",
            "No",
            "True",
            "never",
            "on-failure:",
            "on-failure:x",
            "on-failure:+1",
            "on-failure:9223372036854775808",
            "always:1",
        ] {
            assert!(RestartPolicy::parse(text).unwrap_err().message.ends_with(&format!("got: {text}")));
        }
    }
}
