//! How a user names an image.

use std::collections::BTreeSet;
use std::fmt;

use super::environment::Environment;
use crate::error::{Error, Result};

/// Docker's shortest id on display, which is also the shortest that is taken for one.
const SHORT_ID: usize = 12;
/// The digits of a whole id.
const LONG_ID: usize = 64;

/// Where an engine keeps its images, which decides what their ids are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    /// A graph driver: an image's id is the digest of its configuration.
    Graph,
    /// containerd: it is the digest of its manifest.
    Containerd,
}

impl Store {
    /// The other one.
    pub const fn other(self) -> Self {
        match self {
            Self::Graph => Self::Containerd,
            Self::Containerd => Self::Graph,
        }
    }
}

/// An id (short, long, with or without `sha256:`), `name[:tag]` or `name@digest`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageRef(String);

impl ImageRef {
    /// Takes `text` as the name of an image.
    pub fn parse(text: &str) -> Result<Self> {
        if is_id(text) || is_reference(text) {
            return Ok(Self(text.to_owned()));
        }
        Err(Error::invalid(format!(
            "image must be an image id, name[:tag] or name@sha256:digest as `docker images` shows them, got: `{text}`"
        )))
    }

    /// The image of an existing container, however it was named.
    pub fn observed(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// As the user wrote it, which the engine understands too.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this can only be an image that the engine has: an id names no registry.
    pub fn is_id(&self) -> bool {
        is_id(&self.0)
    }

    /// The registry that has it, as credentials are filed under.
    pub fn registry(&self) -> &str {
        match self.0.split_once('/') {
            Some((domain, _)) if domain.contains(['.', ':']) || domain == "localhost" => domain,
            _ => "docker.io",
        }
    }

    /// In the spelling of `docker images`: the default registry, its library and the default tag made explicit or left out
    /// alike for all spellings of one image.
    pub fn familiar(&self) -> String {
        let (name, tag) = self.name_and_tag();
        let name = name.strip_prefix("docker.io/").or_else(|| name.strip_prefix("index.docker.io/")).unwrap_or(name);
        format!("{}:{tag}", name.strip_prefix("library/").unwrap_or(name))
    }

    /// Name and tag (or digest) for a pull; `latest` where neither is given, as `docker pull` does.
    pub fn name_and_tag(&self) -> (&str, &str) {
        if let Some(parts) = self.0.split_once('@') {
            return parts;
        }
        match self.0.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, tag),
            _ => (&self.0, "latest"),
        }
    }
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What an image brings to its containers, of what matters here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Brought {
    /// Variables.
    pub env: Environment,
    /// The paths of its VOLUMEs, each in its plainest spelling.
    pub volumes: BTreeSet<String>,
}

/// What is known of the desired image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WantedImage {
    /// The engine has it.
    Local {
        /// With `sha256:`.
        id: String,
        /// What it brings.
        brought: Brought,
    },
    /// The one that the scanner has is kept.
    Kept,
    /// It will be pulled; what comes is not known before.
    ToPull,
    /// It will be loaded from an archive; what comes is not known before.
    ToLoad,
}

fn is_id(text: &str) -> bool {
    let digits = text.strip_prefix("sha256:").unwrap_or(text);
    let hex = digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    hex && (SHORT_ID..=LONG_ID).contains(&digits.len())
}

/// Docker's grammar of references, which also keeps the name from being read as an option or as another API path.
fn is_reference(text: &str) -> bool {
    let (rest, digest) = text.split_once('@').map_or((text, None), |(rest, digest)| (rest, Some(digest)));
    let (name, tag) = match rest.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (rest, None),
    };
    let (domain, path) = match name.split_once('/') {
        Some((domain, path)) if domain.contains(['.', ':']) || domain == "localhost" => (Some(domain), path),
        _ => (None, name),
    };
    domain.is_none_or(is_domain)
        && path.len() <= 255
        && path.split('/').all(is_component)
        && tag.is_none_or(is_tag)
        && digest
            .is_none_or(|digest| digest.strip_prefix("sha256:").is_some_and(|hex| hex.len() == LONG_ID && is_id(hex)))
}

fn is_domain(text: &str) -> bool {
    let (host, port) = text.split_once(':').unwrap_or((text, "0"));
    host.split('.').all(|label| !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'))
        && !port.is_empty()
        && port.bytes().all(|b| b.is_ascii_digit())
}

fn is_component(text: &str) -> bool {
    let alphanumeric = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    alphanumeric(text.bytes().next())
        && alphanumeric(text.bytes().next_back())
        && text.bytes().all(|b| alphanumeric(Some(b)) || b"._-".contains(&b))
        && !text.contains("..")
}

fn is_tag(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && !text.starts_with(['.', '-'])
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    const HEX: &str = "6715167e441200000000000000000000000000000000000000000000000000ff";

    #[rstest]
    #[case("6715167e4412", true)]
    #[case("sha256:6715167e4412", true)]
    #[case(HEX, true)]
    #[case("qualys/qcsa", false)]
    #[case("qualys/qcsa:1.0-2", false)]
    #[case("registry.local:5000/qualys/qcsa:1", false)]
    #[case("localhost/qcsa", false)]
    #[case("qcsa", false)]
    #[case("beef", false)]
    fn takes_ids_and_references(#[case] text: &str, #[case] id: bool) {
        let image = ImageRef::parse(text).unwrap();
        assert_eq!((image.as_str(), image.is_id()), (text, id));
    }

    #[rstest]
    #[case("")]
    #[case("--privileged")]
    #[case("-v")]
    #[case("../containers/x")]
    #[case("a/../b")]
    #[case("Qualys/qcsa")]
    #[case("qualys/qcsa:")]
    #[case("qualys/qcsa:-x")]
    #[case("qualys//qcsa")]
    #[case("qualys/qcsa ")]
    #[case("qualys/qcsa?x")]
    #[case("qualys/qcsa@sha256:12")]
    #[case("a\nb")]
    fn refuses_the_rest_and_shows_it(#[case] text: &str) {
        assert!(ImageRef::parse(text).unwrap_err().message.ends_with(&format!("got: `{text}`")));
    }

    #[rstest]
    #[case("qcsa", ("qcsa", "latest"))]
    #[case("host:5000/qcsa", ("host:5000/qcsa", "latest"))]
    #[case("host:5000/qcsa:2", ("host:5000/qcsa", "2"))]
    fn a_pull_asks_for_one_tag(#[case] text: &str, #[case] parts: (&str, &str)) {
        assert_eq!(ImageRef::parse(text).unwrap().name_and_tag(), parts);
    }

    #[test]
    fn a_pull_by_digest_asks_for_the_digest() {
        let image = ImageRef::parse(&format!("qualys/qcsa@sha256:{HEX}")).unwrap();
        assert_eq!(image.name_and_tag(), ("qualys/qcsa", format!("sha256:{HEX}").as_str()));
    }
}
