//! The ways in which an engine call can fail, by what can be done about them.
//!
//! The message of a failure has the cause and the cure, so that it can be the end of a chain of contexts.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use bollard::errors::Error as Bollard;

use super::host::DockerHost;
use crate::error::{Error, Kind};
use crate::file::{TOO_MANY, are_too_many};
use crate::secret::printable;

/// The most characters of an engine's message: more than are shown in the end, so that no secret is cut before it is masked.
const LONGEST: usize = 32 << 10;

/// A failed engine call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Nothing listens on the socket.
    #[error("no Docker engine answers; start it, or give docker_host: `{0}`")]
    Unreachable(DockerHost),
    /// The user may not open the socket.
    #[error("no permission to use the Docker engine's socket; run the task with become: true: `{0}`")]
    Denied(DockerHost),
    /// The first answer is not an engine's.
    #[error("the socket is not that of a Docker engine, or the engine is shutting down; check docker_host: `{0}`")]
    NotAnEngine(DockerHost),
    /// The first request is not answered in time.
    #[error("the Docker engine does not answer in time; see whether it hangs, or give more timeout: `{0}`")]
    Silent(DockerHost),
    /// The connection broke after the request was sent.
    #[error("the engine closed the connection; see whether the engine is up and run the task again")]
    Lost,
    /// This process, or the host, may open no more files.
    #[error("cannot connect to the engine: {TOO_MANY}")]
    NoDescriptor,
    /// The answer does not follow the API.
    #[error("cannot parse the engine's answer")]
    Garbled,
    /// The answer, or a line of it, has more bytes than any engine needs.
    #[error(
        "the engine's answer is too large; see whether a container of it has thousands of mounts, labels or networks"
    )]
    TooLarge,
    /// The answer did not come within this time.
    #[error("no answer within {} s; see whether the engine hangs, or give more timeout", .0.as_secs())]
    TimedOut(Duration),
    /// A pull or load has not moved on for this time.
    #[error(
        "nothing has moved on for {} s, ten times timeout; see whether the registry or the engine hangs, or give more timeout",
        .0.as_secs()
    )]
    StoodStill(Duration),
    /// Status 404, with the engine's message.
    #[error("{0}")]
    NotFound(String),
    /// Status 409, with the engine's message.
    #[error("{message}{}", if is_name_in_use(.0) { "; remove or rename that container" } else { "" }, message = .0)]
    Conflict(String),
    /// The scanner was stopped and is up.
    #[error("the scanner is up again after each stop; see what starts it and run the task again")]
    Restarted,
    /// Any other refusal, with the engine's message.
    #[error("{message}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The engine's message.
        message: String,
    },
    /// The host's configuration of the docker command cannot be used to find a registry's user.
    #[error("{0}")]
    Credentials(String),
    /// A credential helper did not end within this time.
    #[error(
        "the credential helper does not end within {} s; see whether it hangs, or give registry_username: `{name}`",
        .limit.as_secs()
    )]
    SilentHelper {
        /// The program's name.
        name: String,
        /// This time.
        limit: Duration,
    },
    /// Any of these, and what was tried.
    #[error("cannot {what}: {failure}")]
    During {
        /// "start the scanner".
        what: String,
        /// The failure without what was tried.
        failure: Box<Failure>,
    },
}

impl Failure {
    /// Sorts an error of bollard's that came from the engine at `host`. The text of an answer that did not parse is left
    /// out: it may contain secrets.
    pub fn new(error: &Bollard, host: &DockerHost) -> Self {
        match error {
            Bollard::DockerResponseServerError { status_code, message } => Self::of_status(*status_code, message),
            Bollard::DockerStreamError { error } => Self::of_status(500, error),
            Bollard::SocketNotFoundError(_) => Self::Unreachable(host.clone()),
            // These two are transparent: the error in them is not among their sources.
            Bollard::IOError { err } => Self::of_connection(err, host),
            Bollard::HyperResponseError { err } => Self::of_connection(err, host),
            other => Self::of_connection(other, host),
        }
    }

    /// A refusal by the engine.
    pub fn of_status(status: u16, message: &str) -> Self {
        let message = said(status, message);
        match status {
            404 => Self::NotFound(message),
            409 => Self::Conflict(message),
            status => Self::Refused { status, message },
        }
    }

    /// Sorts what broke below HTTP on the way to `host`.
    pub fn of_connection(error: &(dyn StdError + 'static), host: &DockerHost) -> Self {
        let mut source: Option<&(dyn StdError + 'static)> = Some(error);
        while let Some(cause) = source {
            if let Some(cause) = cause.downcast_ref::<io::Error>() {
                return Self::of_io(cause, host);
            }
            if let Some(cause) = cause.downcast_ref::<hyper::Error>() {
                if cause.is_parse() {
                    return Self::Garbled;
                }
                if cause.is_incomplete_message()
                    || cause.is_canceled()
                    || cause.is_closed()
                    || cause.is_body_write_aborted()
                {
                    return Self::Lost;
                }
            }
            source = cause.source();
        }
        Self::Garbled
    }

    fn of_io(error: &io::Error, host: &DockerHost) -> Self {
        let inner = error.get_ref();
        if let Some(failure) = inner.and_then(|inner| inner.downcast_ref::<Self>()) {
            return failure.clone();
        }
        if let Some(inner) = inner.and_then(|inner| inner.downcast_ref::<hyper::Error>()) {
            return Self::of_connection(inner, host);
        }
        match error.kind() {
            _ if are_too_many(error) => Self::NoDescriptor,
            io::ErrorKind::PermissionDenied => Self::Denied(host.clone()),
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused | io::ErrorKind::NotADirectory => {
                Self::Unreachable(host.clone())
            }
            _ => Self::Lost,
        }
    }

    /// The failed engine call that an error came from, if one did.
    pub fn of(error: &anyhow::Error) -> Option<&Self> {
        error.chain().find_map(|cause| cause.downcast_ref())
    }

    /// Says what was tried.
    pub fn during(self, what: &str) -> Self {
        Self::During { what: what.to_owned(), failure: Box::new(self) }
    }

    /// The failure without what was tried.
    pub fn root(&self) -> &Self {
        match self {
            Self::During { failure, .. } => failure.root(),
            cause => cause,
        }
    }

    /// The stable word for it.
    pub fn kind(&self) -> Kind {
        match self.root() {
            Self::Denied(_) | Self::Refused { status: 401 | 403, .. } => Kind::PermissionDenied,
            Self::Unreachable(_) | Self::NotAnEngine(_) | Self::Silent(_) => Kind::EngineUnreachable,
            Self::TimedOut(_) | Self::StoodStill(_) | Self::SilentHelper { .. } => Kind::Timeout,
            Self::Conflict(message) if is_name_in_use(message) => Kind::AlreadyInUse,
            _ => Kind::EngineError,
        }
    }

    /// Whether the thing asked for is not there.
    pub fn is_not_found(&self) -> bool {
        matches!(self.root(), Self::NotFound(_))
    }

    /// Whether the engine cannot do it in the state that the thing is in.
    pub fn is_conflict(&self) -> bool {
        matches!(self.root(), Self::Conflict(_))
    }

    /// Whether the engine is still at what it was asked: it is already removing a container, or has started it again.
    pub fn is_undecided(&self) -> bool {
        match self.root() {
            Self::Conflict(message) => message.contains("is already in progress"),
            cause => *cause == Self::Restarted,
        }
    }

    /// Whether the engine may have done it in spite of the failure, or may still do it.
    pub fn leaves_doubt(&self) -> bool {
        matches!(self.root(), Self::Lost | Self::Garbled | Self::TooLarge | Self::TimedOut(_))
    }

    /// Whether the same call may succeed a little later: an engine that is just starting, or a container that is just ending.
    pub fn may_pass(&self) -> bool {
        match self.root() {
            Self::Unreachable(_) | Self::Lost => true,
            Self::Refused { status, .. } => *status >= 500,
            Self::Conflict(message) => !is_name_in_use(message),
            _ => false,
        }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Self::new(failure.kind(), failure.to_string())
    }
}

fn is_name_in_use(message: &str) -> bool {
    message.contains("is already in use by container")
}

/// The engine's message on one line; a page of HTML comes from a proxy, and is left out.
fn said(status: u16, message: &str) -> String {
    // Without the full stop, since a cure may follow it.
    let message = message.trim().trim_end_matches('.');
    if message.is_empty() || message.starts_with('<') {
        return format!("HTTP status {status}");
    }
    printable(message).chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn host() -> DockerHost {
        DockerHost::parse(None, None).unwrap()
    }

    #[test]
    fn the_cause_is_found_below_what_was_tried() {
        let refused =
            Bollard::DockerResponseServerError { status_code: 404, message: "No such container: x\n".to_owned() };
        let failure = Failure::new(&refused, &host()).during("start the scanner");
        assert!(failure.is_not_found());
        assert_eq!(failure.to_string(), "cannot start the scanner: No such container: x");
    }

    #[test]
    fn a_text_that_did_not_parse_is_not_shown() {
        let garbled = Bollard::JsonDataError { message: "invalid type: string \"canary\"".to_owned(), column: 7 };
        assert_eq!(Failure::new(&garbled, &host()), Failure::Garbled);
    }

    #[rstest]
    #[case::page("<html>canary</html>", "HTTP status 502")]
    #[case::nothing(" \n", "HTTP status 502")]
    #[case::control("two\nlines\u{1b}[0m", "two lines")]
    fn pages_and_control_characters_are_not_shown(#[case] message: &str, #[case] shown: &str) {
        assert_eq!(Failure::of_status(502, message).to_string(), shown);
    }

    #[rstest]
    #[case(Failure::Unreachable(host()), Kind::EngineUnreachable, true)]
    #[case(Failure::NotAnEngine(host()), Kind::EngineUnreachable, false)]
    #[case(Failure::Silent(host()), Kind::EngineUnreachable, false)]
    #[case(Failure::Denied(host()), Kind::PermissionDenied, false)]
    #[case(Failure::Lost, Kind::EngineError, true)]
    #[case(Failure::NoDescriptor, Kind::EngineError, false)]
    #[case(Failure::Garbled, Kind::EngineError, false)]
    #[case(Failure::TooLarge, Kind::EngineError, false)]
    #[case(Failure::TimedOut(Duration::from_secs(60)), Kind::Timeout, false)]
    #[case(Failure::StoodStill(Duration::from_secs(600)), Kind::Timeout, false)]
    #[case(Failure::Credentials("x".to_owned()), Kind::EngineError, false)]
    #[case(Failure::SilentHelper { name: "x".to_owned(), limit: Duration::from_secs(1) }, Kind::Timeout, false)]
    #[case(Failure::of_status(400, "bad parameter"), Kind::EngineError, false)]
    #[case(Failure::of_status(401, "unauthorized"), Kind::PermissionDenied, false)]
    #[case(Failure::of_status(403, "denied by plugin"), Kind::PermissionDenied, false)]
    #[case(Failure::of_status(404, "No such container"), Kind::EngineError, false)]
    #[case(Failure::of_status(409, "removal of container x is already in progress"), Kind::EngineError, true)]
    #[case(Failure::of_status(409, "The name \"/x\" is already in use by container \"1\""), Kind::AlreadyInUse, false)]
    #[case(Failure::of_status(500, "port is already allocated"), Kind::EngineError, true)]
    #[case(Failure::of_status(503, "starting"), Kind::EngineError, true)]
    fn each_has_its_word_and_may_pass_or_not(#[case] failure: Failure, #[case] kind: Kind, #[case] may_pass: bool) {
        let failure = failure.during("try it");
        assert_eq!((failure.kind(), failure.may_pass()), (kind, may_pass));
    }
}
