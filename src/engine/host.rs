//! Where the engine listens.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Docker's own default.
const DEFAULT: &str = "unix:///var/run/docker.sock";

/// The kernel's limit for a socket's path (unix(7), `sun_path`).
const LONGEST: usize = 107;

/// A unix socket of this host: the module makes directories for the engine's mounts, so both must be on one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DockerHost(PathBuf);

impl DockerHost {
    /// The option, else `environment` (`DOCKER_HOST`), else Docker's default; an empty string counts as none.
    pub fn parse(option: Option<&str>, environment: Option<&OsStr>) -> Result<Self> {
        let text = match (option, environment) {
            (Some(option), _) if !option.is_empty() => option,
            (_, Some(variable)) if !variable.is_empty() => variable.to_str().ok_or_else(|| {
                Error::invalid(format!(
                    "DOCKER_HOST must be text in UTF-8; correct it, or give docker_host, got: `{}`",
                    variable.display()
                ))
            })?,
            _ => DEFAULT,
        };
        match text.strip_prefix("unix://") {
            Some(path) if path.len() > LONGEST => Err(Error::invalid(format!(
                "docker_host must name a socket's path of at most {LONGEST} bytes, got: `{text}`"
            ))),
            Some(path) if path.starts_with('/') && !path.contains('\0') => Ok(Self(PathBuf::from(path))),
            Some(_) => {
                Err(Error::invalid(format!("docker_host must name the socket by an absolute path, got: `{text}`")))
            }
            None => Err(Error::invalid(format!(
                "docker_host must be unix:///path/of/socket, since directories are made where the module runs; \
                 delegate the task to the Docker host itself (delegate_to), got: `{text}`"
            ))),
        }
    }

    /// The socket.
    pub fn socket(&self) -> &Path {
        &self.0
    }
}

impl fmt::Display for DockerHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unix://{}", self.0.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use std::os::unix::ffi::OsStrExt;

    #[rstest]
    #[case(None, None, "unix:///var/run/docker.sock")]
    #[case(None, Some("unix:///run/a.sock"), "unix:///run/a.sock")]
    #[case(Some(""), Some(""), "unix:///var/run/docker.sock")]
    #[case(Some("unix:///b.sock"), Some("unix:///a.sock"), "unix:///b.sock")]
    fn the_option_wins_over_the_environment(
        #[case] option: Option<&str>,
        #[case] variable: Option<&str>,
        #[case] host: &str,
    ) {
        assert_eq!(DockerHost::parse(option, variable.map(OsStr::new)).unwrap().to_string(), host);
    }

    #[test]
    fn a_variable_that_is_not_text_is_refused_unless_the_option_is_given() {
        let variable = Some(OsStr::from_bytes(b"unix:///\xff.sock"));
        let message = DockerHost::parse(None, variable).unwrap_err().message;
        assert!(message.starts_with("DOCKER_HOST must be text in UTF-8"), "{message}");
        assert_eq!(DockerHost::parse(Some("unix:///a.sock"), variable).unwrap().to_string(), "unix:///a.sock");
    }

    #[rstest]
    #[case("tcp://10.0.0.1:2375", "delegate_to")]
    #[case("ssh://host", "delegate_to")]
    #[case("/run/docker.sock", "delegate_to")]
    #[case("unix://run/docker.sock", "absolute path")]
    fn any_other_scheme_is_refused_with_the_cure(#[case] text: &str, #[case] cure: &str) {
        let message = DockerHost::parse(None, Some(OsStr::new(text))).unwrap_err().message;
        assert!(message.contains(cure) && message.ends_with(&format!("got: `{text}`")), "{message}");
    }
}
