//! The user of a registry: whom the task names, else whom the configuration of the docker command on this host has, in its file
//! or in a credential helper.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, URL_SAFE};
use serde::Deserialize;
use serde_json::json;

use super::{Failure, program};
use crate::file;
use crate::scanner::policy::Credentials;
use crate::secret;

/// The name under which docker login files the default registry.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";

/// What a helper says instead of a user's name.
const TOKEN: &str = "<token>";

/// What is read of `config.json`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Config {
    auths: Option<BTreeMap<String, Entry>>,
    creds_store: Option<String>,
    cred_helpers: Option<BTreeMap<String, String>>,
}

/// The user of one registry.
#[derive(Debug, Deserialize)]
struct Entry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
}

/// The answer of a helper.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: String,
}

/// What a configuration has for a registry.
#[derive(Debug, PartialEq, Eq)]
enum Source {
    User(String, String),
    Token(String),
    Helper(String),
}

/// The header with the user for `registry`; a helper has as long as `limit`.
pub async fn header(registry: &str, user: Option<&Credentials>, limit: Duration) -> Result<Option<String>, Failure> {
    let encoded = |user: serde_json::Value| Ok(Some(URL_SAFE.encode(user.to_string())));
    if let Some(Credentials { username, password }) = user {
        return encoded(json!({"username": username, "password": password.expose(), "serveraddress": registry}));
    }
    let server = if registry == "docker.io" { DOCKER_HUB } else { registry };
    let mut source = config()?.source(server);
    if let Some(Source::Helper(helper)) = &source {
        source = ask(helper, server, limit).await?;
    }
    match source {
        // A registry that needs a user says so.
        None | Some(Source::Helper(_)) => Ok(None),
        Some(Source::User(username, password)) => {
            secret::remember(&password);
            encoded(json!({"username": username, "password": password, "serveraddress": registry}))
        }
        Some(Source::Token(token)) => {
            secret::remember(&token);
            encoded(json!({"identitytoken": token, "serveraddress": registry}))
        }
    }
}

/// None of these is an error: no configuration, or one that is not JSON.
fn config() -> Result<Config, Failure> {
    file::docker_config().map_or_else(|| Ok(Config::default()), |path| read(&path))
}

fn read(path: &Path) -> Result<Config, Failure> {
    use std::io::ErrorKind::{FileTooLarge, InvalidInput};
    match file::read(path, file::DOCKER_CONFIG) {
        Ok(content) => Ok(serde_json::from_slice(&content).unwrap_or_default()),
        Err(error) if [FileTooLarge, InvalidInput].contains(&error.kind()) => Err(Failure::Credentials(format!(
            "the docker configuration must be a regular file of at most 1 MiB; replace it, or give registry_username: `{}`",
            path.display()
        ))),
        Err(_) => Ok(Config::default()),
    }
}

/// Asks a credential helper; `None`: it knows no user, or does not work.
async fn ask(helper: &str, server: &str, limit: Duration) -> Result<Option<Source>, Failure> {
    if helper.is_empty() || helper.contains(['/', '\0']) {
        return Err(Failure::Credentials(format!(
            "the docker configuration must name a credential helper without its folder; correct it: `{helper}`"
        )));
    }
    let name = format!("docker-credential-{helper}");
    let search_path = std::env::var_os("PATH").unwrap_or_default();
    let Some(path) = program::find(&name, &search_path) else { return Ok(None) };
    match program::output(&path, "get", server, limit).await {
        Ok(output) => Ok(output.and_then(|output| serde_json::from_slice::<Answer>(&output).ok()).map(Source::from)),
        Err(error) if error.kind() == std::io::ErrorKind::TimedOut => Err(Failure::SilentHelper { name, limit }),
        Err(error) if error.kind() == std::io::ErrorKind::FileTooLarge => Err(Failure::Credentials(format!(
            "the credential helper prints more than 1 MiB; see what it is, or give registry_username: `{name}`"
        ))),
        Err(_) => Ok(None),
    }
}

impl From<Answer> for Source {
    fn from(Answer { username, secret }: Answer) -> Self {
        if username == TOKEN { Self::Token(secret) } else { Self::User(username, secret) }
    }
}

impl Config {
    /// As the docker command looks it up.
    fn source(&self, server: &str) -> Option<Source> {
        let named = self.cred_helpers.as_ref().and_then(|helpers| helpers.get(server)).filter(|name| !name.is_empty());
        if let Some(helper) = named {
            return Some(Source::Helper(helper.clone()));
        }
        let of_registry = |auths: &'_ BTreeMap<String, Entry>| {
            let same = auths.iter().find(|(key, _)| host(key) == host(server)).map(|(_, entry)| entry.source());
            auths.get(server).map(Entry::source).or(same)
        };
        let filed = self.auths.as_ref().and_then(of_registry).flatten();
        filed.or_else(|| self.creds_store.clone().filter(|name| !name.is_empty()).map(Source::Helper))
    }
}

impl Entry {
    fn source(&self) -> Option<Source> {
        if let Some(token) = self.identitytoken.clone().filter(|token| !token.is_empty()) {
            return Some(Source::Token(token));
        }
        if let Some(auth) = self.auth.as_ref().filter(|auth| !auth.is_empty()) {
            let padding = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
            let decoded = GeneralPurpose::new(&alphabet::STANDARD, padding).decode(auth).ok()?;
            let decoded = String::from_utf8(decoded).ok()?;
            let (username, password) = decoded.split_once(':')?;
            return Some(Source::User(username.to_owned(), password.to_owned()));
        }
        Some(Source::User(self.username.clone()?, self.password.clone()?))
    }
}

/// `https://host/v1/` and `host` are one registry.
fn host(key: &str) -> &str {
    let host = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://"));
    match host.map_or(key, |rest| rest.split('/').next().unwrap_or(rest)) {
        "registry-1.docker.io" | "docker.io" => "index.docker.io",
        host => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::Value;

    fn user(name: &str, password: &str) -> Source {
        Source::User(name.to_owned(), password.to_owned())
    }

    #[rstest]
    #[case::nothing(json!({}), None)]
    #[case::auth(json!({"auths": {"r:5000": {"auth": "dTpwOnc="}}}), Some(user("u", "p:w")))]
    #[case::without_padding(json!({"auths": {"r:5000": {"auth": "dTpwOnc"}}}), Some(user("u", "p:w")))]
    #[case::by_url(json!({"auths": {"https://r:5000/v1/": {"auth": "dTpwOnc="}}}), Some(user("u", "p:w")))]
    #[case::plain(json!({"auths": {"r:5000": {"username": "u", "password": "p"}}}), Some(user("u", "p")))]
    #[case::token(json!({"auths": {"r:5000": {"auth": "dTo=", "identitytoken": "t"}}}), Some(Source::Token("t".to_owned())))]
    #[case::of_another(json!({"auths": {"other": {"auth": "dTpwOnc="}}}), None)]
    #[case::garbled(json!({"auths": {"r:5000": {"auth": "%"}}}), None)]
    #[case::store(json!({"credsStore": "store"}), Some(Source::Helper("store".to_owned())))]
    #[case::entry_in_a_store(json!({"auths": {"r:5000": {}}, "credsStore": "store"}), Some(Source::Helper("store".to_owned())))]
    #[case::helper(json!({"credHelpers": {"r:5000": "own"}, "credsStore": "store"}), Some(Source::Helper("own".to_owned())))]
    #[case::helper_of_another(json!({"credHelpers": {"other": "own"}}), None)]
    fn a_user_is_found_as_docker_finds_it(#[case] config: Value, #[case] expected: Option<Source>) {
        let config: Config = serde_json::from_value(config).unwrap();
        assert_eq!(config.source("r:5000"), expected);
    }

    #[rstest]
    #[case("https://index.docker.io/v1/", "index.docker.io")]
    #[case("docker.io", "index.docker.io")]
    #[case("http://quay.io", "quay.io")]
    fn a_registry_has_one_name(#[case] key: &str, #[case] expected: &str) {
        assert_eq!(host(key), expected);
    }
}
