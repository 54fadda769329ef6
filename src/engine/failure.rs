//! What can go wrong on the way to the engine and back, sorted by what can be done about it.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use bollard::errors::Error as Bollard;

use super::host::DockerHost;
use crate::error::{Error, Kind};

/// A failed engine call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Nothing listens.
    #[error("nothing listens there")]
    Unreachable,
    /// The socket may not be opened.
    #[error("the user has no right to talk to the engine")]
    Denied,
    /// The connection broke in the middle.
    #[error("the engine closed the connection")]
    Lost,
    /// The answer is not what the API promises.
    #[error("the engine's answer is not understood")]
    Garbled,
    /// No answer in time.
    #[error("no answer within {} s", .0.as_secs())]
    TimedOut(Duration),
    /// 404, with the engine's message.
    #[error("{0}")]
    NotFound(String),
    /// 409, with the engine's message.
    #[error("{0}")]
    Conflict(String),
    /// Any other refusal, with the engine's message.
    #[error("{message}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The engine's message.
        message: String,
    },
    /// Any of these, and what was tried.
    #[error("cannot {what}: {failure}")]
    During {
        /// "start the scanner".
        what: String,
        /// Why not.
        failure: Box<Failure>,
    },
}

impl Failure {
    /// Sorts bollard's error. Texts of answers that did not parse are left out: they may hold anything.
    #[must_use]
    pub fn new(error: &Bollard) -> Self {
        match error {
            Bollard::DockerResponseServerError { status_code, message } => Self::of_status(*status_code, message),
            Bollard::DockerStreamError { error } => Self::Refused { status: 500, message: error.trim().to_owned() },
            Bollard::SocketNotFoundError(_) => Self::Unreachable,
            other => Self::of_connection(other),
        }
    }

    /// A refusal by the engine.
    #[must_use]
    pub fn of_status(status: u16, message: &str) -> Self {
        let message = message.trim().to_owned();
        match status {
            404 => Self::NotFound(message),
            409 => Self::Conflict(message),
            status => Self::Refused { status, message },
        }
    }

    /// Sorts what broke below HTTP.
    #[must_use]
    pub fn of_connection(error: &(dyn StdError + 'static)) -> Self {
        let mut source: Option<&(dyn StdError + 'static)> = Some(error);
        while let Some(cause) = source {
            if let Some(cause) = cause.downcast_ref::<io::Error>() {
                return match cause.kind() {
                    io::ErrorKind::PermissionDenied => Self::Denied,
                    io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused | io::ErrorKind::NotADirectory => {
                        Self::Unreachable
                    }
                    _ => Self::Lost,
                };
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

    /// Says what was tried.
    #[must_use]
    pub fn during(self, what: &str) -> Self {
        Self::During { what: what.to_owned(), failure: Box::new(self) }
    }

    /// Without what was tried.
    #[must_use]
    pub fn root(&self) -> &Self {
        match self {
            Self::During { failure, .. } => failure.root(),
            cause => cause,
        }
    }

    /// Whether the thing asked for is not there.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self.root(), Self::NotFound(_))
    }

    /// Whether the engine cannot do it in the state that the thing is in.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        matches!(self.root(), Self::Conflict(_))
    }

    /// Whether the engine is already doing what it was asked: removing a container.
    #[must_use]
    pub fn is_removal_in_progress(&self) -> bool {
        matches!(self.root(), Self::Conflict(message) if message.contains("is already in progress"))
    }

    /// Whether the engine said no, so that it did not do it and will not.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(self.root(), Self::NotFound(_) | Self::Conflict(_) | Self::Refused { .. })
    }

    /// Whether the engine may have done it all the same, or may still do it.
    #[must_use]
    pub fn leaves_doubt(&self) -> bool {
        matches!(self.root(), Self::Lost | Self::Garbled | Self::TimedOut(_))
    }

    /// The error of a run that could not even talk to the engine at `host`.
    #[must_use]
    pub fn on_connect(self, host: &DockerHost) -> Error {
        match self.root() {
            Self::Denied => denied(host),
            Self::Unreachable => Error::new(
                Kind::EngineUnreachable,
                format!("no Docker engine answers; start it, or give docker_host: `{host}`"),
            ),
            Self::TimedOut(_) => Error::new(
                Kind::EngineUnreachable,
                format!(
                    "the Docker engine does not answer in time; see whether it hangs, or give more timeout: `{host}`"
                ),
            ),
            _ => Error::new(
                Kind::EngineUnreachable,
                format!("what answers is no Docker engine (or one that is going down); check docker_host: `{host}`"),
            ),
        }
    }

    /// The error of a run.
    #[must_use]
    pub fn into_error(self, host: &DockerHost) -> Error {
        let kind = match self.root() {
            Self::Denied => return denied(host),
            Self::Refused { status: 401 | 403, .. } => Kind::PermissionDenied,
            Self::Unreachable => Kind::EngineUnreachable,
            Self::TimedOut(_) => Kind::Timeout,
            Self::Conflict(message) if message.contains("is already in use by container") => Kind::AlreadyInUse,
            _ => Kind::EngineError,
        };
        let cure = match kind {
            Kind::Timeout => "; see whether the engine hangs, or give more timeout",
            Kind::AlreadyInUse => "; remove or rename that container",
            _ => match self.root() {
                Self::Lost => "; see whether the engine is up and run the task again",
                _ => "",
            },
        };
        Error::new(kind, format!("{self}{cure}"))
    }
}

fn denied(host: &DockerHost) -> Error {
    let message = format!("no right to talk to the Docker engine; run the task with become: true: `{host}`");
    Error::new(Kind::PermissionDenied, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_is_found_below_what_was_tried() {
        let refused =
            Bollard::DockerResponseServerError { status_code: 404, message: "No such container: x\n".to_owned() };
        let failure = Failure::new(&refused).during("start the scanner");
        assert!(failure.is_not_found());
        assert_eq!(failure.to_string(), "cannot start the scanner: No such container: x");
    }

    #[test]
    fn a_text_that_did_not_parse_is_not_shown() {
        let garbled = Bollard::JsonDataError { message: "invalid type: string \"canary\"".to_owned(), column: 7 };
        assert_eq!(Failure::new(&garbled), Failure::Garbled);
    }
}
