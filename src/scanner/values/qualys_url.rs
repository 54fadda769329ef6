//! The platform that a scanner registers with.

use std::fmt;

use crate::error::{Error, Result};

/// The vendor's platforms by name (<https://www.qualys.com/platform-identification/>).
const PLATFORMS: &[(&str, &str)] = &[
    ("US1", "https://qualysguard.qualys.com"),
    ("US2", "https://qualysguard.qg2.apps.qualys.com"),
    ("US3", "https://qualysguard.qg3.apps.qualys.com"),
    ("US4", "https://qualysguard.qg4.apps.qualys.com"),
    ("EU1", "https://qualysguard.qualys.eu"),
    ("EU2", "https://qualysguard.qg2.apps.qualys.eu"),
    ("EU3", "https://qualysguard.qg3.apps.qualys.it"),
    ("IN1", "https://qualysguard.qg1.apps.qualys.in"),
    ("CA1", "https://qualysguard.qg1.apps.qualys.ca"),
    ("AE1", "https://qualysguard.qg1.apps.qualys.ae"),
    ("UK1", "https://qualysguard.qg1.apps.qualys.co.uk"),
    ("AU1", "https://qualysguard.qg1.apps.qualys.com.au"),
    ("KSA1", "https://qualysguard.qg1.apps.qualysksa.com"),
];

/// `https://host[:port][/path]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QualysUrl(String);

impl QualysUrl {
    /// Takes `text` as a platform's name, in any case, or as its URL.
    pub fn parse(text: &str) -> Result<Self> {
        if let Some((_, url)) = PLATFORMS.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)) {
            return Ok(Self((*url).to_owned()));
        }
        if is_https_url(text) {
            return Ok(Self(text.to_owned()));
        }
        let names: Vec<_> = PLATFORMS.iter().map(|(name, _)| *name).collect();
        Err(Error::invalid(format!(
            "qualys_url must be https://host[:port][/path] or one of the platforms {}, got: `{text}`",
            names.join(", ")
        )))
    }

    /// The URL of an existing scanner, whatever it looks like.
    pub fn observed(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The URL as the scanner gets it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `other` leads to the same place: the host's case and a slash at the end do not count.
    pub fn means(&self, other: &str) -> bool {
        normal(&self.0) == normal(other)
    }
}

impl fmt::Display for QualysUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_https_url(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("https://") else { return false };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (host, port) = authority.split_once(':').unwrap_or((authority, "443"));
    let label = |label: &str| !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    host.split('.').all(label)
        && port.bytes().all(|b| b.is_ascii_digit())
        && port.parse::<u16>().is_ok_and(|port| port != 0)
        && path.bytes().all(|b| b.is_ascii_graphic() && !b"?#\\\"'`<>".contains(&b))
}

fn normal(url: &str) -> String {
    let url = url.trim_end_matches('/');
    let host_end =
        url.strip_prefix("https://").and_then(|rest| rest.find('/')).map_or(url.len(), |at| at + "https://".len());
    let (host, path) = url.split_at(host_end);
    format!("{}{path}", host.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("US2", "https://qualysguard.qg2.apps.qualys.com")]
    #[case("ksa1", "https://qualysguard.qg1.apps.qualysksa.com")]
    #[case("https://qualysxxx.xxx.xxx.xxx.qualys.com", "https://qualysxxx.xxx.xxx.xxx.qualys.com")]
    #[case("https://host:8443/a/b", "https://host:8443/a/b")]
    fn takes_names_and_urls(#[case] text: &str, #[case] url: &str) {
        assert_eq!(QualysUrl::parse(text).unwrap().as_str(), url);
    }

    #[rstest]
    #[case("")]
    #[case("US9")]
    #[case("http://host")]
    #[case("https://")]
    #[case("https://ho st")]
    #[case("https://user@host")]
    #[case("https://host:0")]
    #[case("https://host:99999")]
    #[case("https://host:+80")]
    #[case("https://host/?a=b")]
    #[case("https://host\n")]
    #[case("https://.host")]
    fn refuses_the_rest_and_shows_it(#[case] text: &str) {
        assert!(QualysUrl::parse(text).unwrap_err().message.ends_with(&format!("got: `{text}`")));
    }

    #[rstest]
    #[case("https://host", "https://host/", true)]
    #[case("https://HOST/Path", "https://host/Path", true)]
    #[case("https://host/Path", "https://host/path", false)]
    #[case("https://host", "https://host:443", false)]
    #[case("https://host", "", false)]
    fn spelling_does_not_count(#[case] url: &str, #[case] other: &str, #[case] same: bool) {
        assert_eq!(QualysUrl::parse(url).unwrap().means(other), same);
    }
}
