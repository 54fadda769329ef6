//! A host directory that is mounted into the scanner.

use std::fmt;
use std::path::Path;

use crate::error::{Error, Result};

/// An absolute path in its plainest spelling: no `.`, no doubled or trailing slash; no `..` and no `:` at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory(String);

impl Directory {
    /// Takes the value `text` of `option` as a directory.
    pub fn parse(option: &str, text: &str) -> Result<Self> {
        let refuse = |rule| Err(Error::invalid(format!("{option} {rule}, got: `{text}`")));
        if !text.starts_with('/') {
            return refuse("must be an absolute path");
        }
        if text.contains(':') || text.contains(char::is_control) {
            return refuse("must have no `:` and no control characters, which a bind mount cannot carry");
        }
        if text.split('/').any(|part| part == "..") {
            return refuse("must have no `..`");
        }
        let plain = plain(text);
        if plain == "/" {
            return refuse("must not be the root of the host");
        }
        Ok(Self(plain))
    }

    /// The path as a text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path as a path.
    pub fn as_path(&self) -> &Path {
        Path::new(&self.0)
    }

    /// The directory `component` in this one.
    pub fn join(&self, component: &str) -> Self {
        Self(format!("{}/{component}", self.0))
    }

    /// Whether `path`, in its plainest spelling, is this one or below it.
    pub fn contains(&self, path: &str) -> bool {
        is_within(path, &self.0)
    }

    /// The directory that it is in.
    pub fn parent(&self) -> Self {
        Self(self.split().0.to_string_lossy().into_owned())
    }

    /// The directory that it is in, and its name there.
    pub fn split(&self) -> (&Path, &str) {
        let (parent, name) = self.0.rsplit_once('/').unwrap_or(("", &self.0));
        (Path::new(if parent.is_empty() { "/" } else { parent }), name)
    }
}

impl fmt::Display for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `path` without what does not change its meaning.
pub fn plain(path: &str) -> String {
    let parts: Vec<_> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    format!("/{}", parts.join("/"))
}

/// Whether the path `inner` is `outer` or below it, both in their plainest spelling.
pub fn is_within(inner: &str, outer: &str) -> bool {
    let rest = inner.strip_prefix(outer);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || outer == "/")
}

/// Whom a new directory belongs to: the root user of the engine's containers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// The host's root.
    Root,
    /// The root of remapped user namespaces: user and group.
    Remapped(u32, u32),
    /// The user of a rootless engine, who owns this directory.
    SameAs(String),
}

/// The permission bits of a directory, as `chmod` takes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mode(u32);

impl Mode {
    /// Takes `text` as three or four octal digits, at most 0777.
    pub fn parse(text: &str) -> Result<Self> {
        let octal = (3..=4).contains(&text.len()) && text.bytes().all(|b| (b'0'..=b'7').contains(&b));
        let bits = u32::from_str_radix(text, 8).ok().filter(|bits| octal && *bits <= 0o777);
        bits.map(Self).ok_or_else(|| {
            Error::invalid(format!(
                "private_dir_mode must be three or four octal digits in quotes, at most '0777', such as '0700', \
                 got: `{text}`"
            ))
        })
    }

    /// The bits that `stat` reported.
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits & 0o7777)
    }

    /// The bits.
    pub const fn bits(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("/usr/qualys/shared", "/usr/qualys/shared")]
    #[case("//usr/./qualys//shared/", "/usr/qualys/shared")]
    #[case("/with space", "/with space")]
    fn spelling_does_not_count(#[case] text: &str, #[case] path: &str) {
        assert_eq!(Directory::parse("shared_dir", text).unwrap().as_str(), path);
    }

    #[rstest]
    #[case("")]
    #[case("usr/qualys")]
    #[case("~/qualys")]
    #[case("/usr/../qualys")]
    #[case("/usr:/qualys")]
    #[case("/usr\n")]
    #[case("/usr\0")]
    #[case("/")]
    #[case("//.")]
    fn refuses_the_rest_and_names_the_option(#[case] text: &str) {
        let message = Directory::parse("ca_dir", text).unwrap_err().message;
        assert!(message.starts_with("ca_dir must ") && message.ends_with(&format!("got: `{text}`")), "{message}");
    }

    #[rstest]
    #[case("0700", Some("0700"))]
    #[case("755", Some("0755"))]
    #[case("0777", Some("0777"))]
    #[case("1777", None)]
    #[case("4755", None)]
    #[case("448", None)]
    #[case("07", None)]
    #[case("u=rwx", None)]
    #[case("+700", None)]
    fn a_mode_is_octal(#[case] text: &str, #[case] shown: Option<&str>) {
        assert_eq!(Mode::parse(text).ok().map(|mode| mode.to_string()).as_deref(), shown);
    }
}
