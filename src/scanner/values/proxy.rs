//! The proxy through which a scanner reaches its platform.

use crate::error::{Error, Result};
use crate::secret::{Secret, remember};

/// `[user:password@]host:port`, a secret as a whole since it may hold credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy(Secret);

impl Proxy {
    /// Takes `text` as a proxy.
    pub fn parse(text: &str) -> Result<Self> {
        let proxy = Secret::new(text);
        remember_credentials(text);
        if is_proxy(text) {
            return Ok(Self(proxy));
        }
        Err(Error::invalid("https_proxy must be [user:password@]host:port, without a scheme such as http:// before it"))
    }

    /// The proxy itself.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

/// Makes the parts of `proxy` that are secret on their own known to the last pass.
pub fn remember_credentials(proxy: &str) {
    let Some((credentials, _)) = proxy.rsplit_once('@') else { return };
    let credentials = credentials.rsplit_once("://").map_or(credentials, |(_, credentials)| credentials);
    remember(credentials);
    if let Some((user, password)) = credentials.split_once(':') {
        remember(user);
        remember(password);
    }
}

fn is_proxy(text: &str) -> bool {
    let (credentials, address) = match text.rsplit_once('@') {
        Some((credentials, address)) => (Some(credentials), address),
        None => (None, text),
    };
    let Some((host, port)) = address.rsplit_once(':') else { return false };
    let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(ipv6) => !ipv6.is_empty() && ipv6.bytes().all(|b| b.is_ascii_hexdigit() || b":.".contains(&b)),
        None => !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)),
    };
    let port = port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port != 0);
    let printable = |text: &str| text.chars().all(|c| !c.is_control() && !c.is_whitespace());
    let credentials = credentials.is_none_or(|credentials| {
        // A password that begins with `//` is a scheme that was not meant to be one.
        let parts = credentials.split_once(':');
        parts.is_some_and(|(user, password)| !user.is_empty() && !user.contains('/') && !password.starts_with("//"))
            && printable(credentials)
    });
    host && port && credentials
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::known;

    #[test]
    fn takes_hosts_with_and_without_credentials() {
        for text in ["proxy:3128", "10.0.0.1:80", "[2001:db8::1]:3128", "user:p@ss:w/rd@proxy.local:3128", "u:@p:1"] {
            assert_eq!(Proxy::parse(text).unwrap().expose(), text);
        }
        assert!(["p@ss:w/rd", "user:p@ss:w/rd"].iter().all(|part| known().iter().any(|text| text == part)));
    }

    #[test]
    fn refuses_the_rest_and_shows_nothing() {
        for text in [
            "",
            "canary",
            "canary:",
            "canary:0",
            "http://canary:80",
            "http://u:canary@h:80",
            "canary@host:80",
            ":canary@host:80",
            "u:c n@h:1",
        ] {
            let message = Proxy::parse(text).unwrap_err().message;
            assert!(!message.contains("canary"), "{message}");
        }
    }
}
