//! The proxy through which a scanner reaches its platform.

use crate::error::{Error, Result};
use crate::secret::{Secret, remember};

/// The only scheme that a proxy for the scanner has.
const SCHEME: &str = "http://";

/// `[http://][user[:password]@]host[:port]`, a secret as a whole since it may hold credentials.
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
        Err(Error::invalid(
            "https_proxy must be [http://][user[:password]@]host[:port], with no other scheme and no path",
        ))
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
    let text = text.strip_prefix(SCHEME).unwrap_or(text);
    match text.rsplit_once('@') {
        Some((credentials, address)) => are_credentials(credentials) && is_address(address),
        None => is_address(text),
    }
}

/// `user[:password]`; a lone `:` is what the vendor's template leaves of a user and a password that are empty.
fn are_credentials(text: &str) -> bool {
    let (user, password) = text.split_once(':').unwrap_or((text, ""));
    // A password that begins with `//` is a scheme that was not meant to be one.
    let parts = !user.is_empty() && !user.contains('/') && !password.starts_with("//");
    (parts || text == ":") && text.chars().all(|c| !c.is_control() && !c.is_whitespace())
}

/// `host[:port]`
fn is_address(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let is_host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(ipv6) => !ipv6.is_empty() && ipv6.bytes().all(|b| b.is_ascii_hexdigit() || b":.".contains(&b)),
        None => !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)),
    };
    let is_port = |port: &str| port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|it| it != 0);
    is_host && port.is_none_or(is_port)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::is_known;

    #[test]
    fn takes_every_form_in_use() {
        for text in [
            "proxy:3128",
            "proxy",
            "10.0.0.1:80",
            "[2001:db8::1]:3128",
            "[2001:db8::1]",
            "user:p@ss:w/rd@proxy.local:3128",
            "u:@p:1",
            "u@p:1",
            "u:p@h",
            ":@h:1",
            ":@h",
            "http://h:1",
            "http://h",
            "http://u:p@h:1",
            "http://:@h:1",
        ] {
            assert_eq!(Proxy::parse(text).unwrap().expose(), text);
        }
        Proxy::parse("http://usr:p@ss:w/rd@proxy").unwrap();
        assert!(["p@ss:w/rd", "user:p@ss:w/rd", "usr:p@ss:w/rd"].into_iter().all(is_known));
    }

    #[test]
    fn refuses_the_rest_and_shows_nothing() {
        for text in [
            "",
            "canary:",
            "canary:0",
            "canary:65536",
            "canary host",
            "http://",
            "http://canary:80/",
            "https://canary:80",
            "https://u:canary@h:80",
            "http://http://canary:80",
            "socks5://canary:80",
            "2001:db8::1",
            "[canary]:1",
            "@canary:80",
            ":canary@host:80",
            "u:c n@h:1",
            "u:canary@",
        ] {
            let message = Proxy::parse(text).unwrap_err().message;
            assert!(!message.contains("canary"), "{message}");
        }
    }
}
