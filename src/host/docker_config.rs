//! The `proxies` of the docker command's configuration on this host.
//!
//! The docker command sets the variables of a proxy in every container that it makes, the scanners among them. Nobody asked for
//! these by hand, so that a task need not name them.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use serde::Deserialize;

use crate::file;
use crate::scanner::values::environment::Environment;

/// The entry for every engine that has none of its own.
const DEFAULT: &str = "default";

#[derive(Default, Deserialize)]
struct Config {
    proxies: Option<BTreeMap<String, Proxies>>,
}

#[derive(Default, Deserialize)]
struct Proxies {
    #[serde(rename = "httpProxy")]
    http: Option<String>,
    #[serde(rename = "httpsProxy")]
    https: Option<String>,
    #[serde(rename = "ftpProxy")]
    ftp: Option<String>,
    #[serde(rename = "noProxy")]
    no: Option<String>,
    #[serde(rename = "allProxy")]
    all: Option<String>,
}

/// The variables that the docker command of this user gives to containers of the engine at `docker_host`, unless they are given
/// otherwise. None where there is no configuration, or none that can be read.
pub fn proxies(docker_host: &str) -> Environment {
    let config = file::docker_config().and_then(|path| read(&path).ok()).unwrap_or_default();
    of(config, docker_host)
}

fn read(path: &Path) -> io::Result<Config> {
    Ok(serde_json::from_slice(&file::read(path, file::DOCKER_CONFIG)?)?)
}

fn of(config: Config, docker_host: &str) -> Environment {
    let mut entries = config.proxies.unwrap_or_default();
    let entry = entries.remove(docker_host).or_else(|| entries.remove(DEFAULT));
    let Proxies { http, https, ftp, no, all } = entry.unwrap_or_default();
    let mut variables = Environment::default();
    for (name, value) in
        [("HTTP_PROXY", http), ("HTTPS_PROXY", https), ("FTP_PROXY", ftp), ("NO_PROXY", no), ("ALL_PROXY", all)]
    {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            variables.set(&name.to_ascii_lowercase(), value.as_str());
            variables.set(name, value);
        }
    }
    variables
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    const CONFIG: &str = r#"{
        "auths": {},
        "proxies": {
            "default": {"httpProxy": "http://a:1", "httpsProxy": "http://u:p@b:1", "noProxy": "c,d", "ftpProxy": ""},
            "unix:///run/other.sock": {"allProxy": "e:1"}
        }
    }"#;

    #[rstest]
    #[case("unix:///run/other.sock", "ALL_PROXY=e:1 all_proxy=e:1")]
    #[case(
        "unix:///var/run/docker.sock",
        "HTTPS_PROXY=http://u:p@b:1 HTTP_PROXY=http://a:1 NO_PROXY=c,d \
         http_proxy=http://a:1 https_proxy=http://u:p@b:1 no_proxy=c,d"
    )]
    fn each_proxy_is_two_variables(#[case] docker_host: &str, #[case] variables: &str) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), CONFIG).unwrap();
        assert_eq!(of(read(file.path()).unwrap(), docker_host).to_entries().join(" "), variables);
    }

    #[rstest]
    #[case("{}")]
    #[case(r#"{"proxies": null}"#)]
    #[case(r#"{"proxies": {"unix:///run/other.sock": {"httpProxy": "a"}}}"#)]
    fn there_may_be_none(#[case] config: &str) {
        assert!(of(serde_json::from_str(config).unwrap(), "unix:///var/run/docker.sock").is_empty());
    }

    #[test]
    fn what_is_no_file_or_no_configuration_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        let garbage = directory.path().join("garbage");
        std::fs::write(&garbage, "{").unwrap();
        for path in [&pipe, &garbage, &directory.path().join("missing"), &directory.path().to_owned()] {
            assert!(read(path).is_err(), "{path:?}");
        }
    }
}
