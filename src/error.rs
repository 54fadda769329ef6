//! The one error that a run can end with: a stable word for programs, a sentence for people.

use std::fmt;

/// The stable words of the result's `error` key (`docs/results.md`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An option, or a combination of options, is not valid.
    InvalidArguments,
    /// Nothing that speaks the Docker API answers at `docker_host`.
    EngineUnreachable,
    /// The user who runs the module may not do this.
    PermissionDenied,
    /// The engine does not have the image and cannot get it.
    ImageNotFound,
    /// The container of that name is not a scanner.
    NotAScanner,
    /// Another container uses the code, the private directory or the name.
    AlreadyInUse,
    /// The limits of all scanners together would exceed the host.
    Overcommit,
    /// `recreate: never`, or a scanner that cannot be replaced safely.
    NeedsReplacement,
    /// This engine, or this container, cannot do it.
    Unsupported,
    /// The scanner did not stay up.
    StartFailed,
    /// The engine, or the host below it, refused.
    EngineError,
    /// A call, or the wait for another run, took too long.
    Timeout,
    /// A signal ended the run.
    Interrupted,
    /// A defect of this program.
    Internal,
}

impl Kind {
    /// All of them, in the order of the documentation.
    pub const ALL: &[Self] = &[
        Self::InvalidArguments,
        Self::EngineUnreachable,
        Self::PermissionDenied,
        Self::ImageNotFound,
        Self::NotAScanner,
        Self::AlreadyInUse,
        Self::Overcommit,
        Self::NeedsReplacement,
        Self::Unsupported,
        Self::StartFailed,
        Self::EngineError,
        Self::Timeout,
        Self::Interrupted,
        Self::Internal,
    ];

    /// The word as users match on it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::InvalidArguments => "invalid_arguments",
            Self::EngineUnreachable => "engine_unreachable",
            Self::PermissionDenied => "permission_denied",
            Self::ImageNotFound => "image_not_found",
            Self::NotAScanner => "not_a_scanner",
            Self::AlreadyInUse => "already_in_use",
            Self::Overcommit => "overcommit",
            Self::NeedsReplacement => "needs_replacement",
            Self::Unsupported => "unsupported",
            Self::StartFailed => "start_failed",
            Self::EngineError => "engine_error",
            Self::Timeout => "timeout",
            Self::Interrupted => "interrupted",
            Self::Internal => "internal",
        }
    }
}

// `Internal` is the last variant: a word that is missing in the list, and so in the documentation's tests, does not compile.
const _: () = assert!(Kind::ALL.len() == Kind::Internal as usize + 1, "Kind::ALL lacks a kind");

/// Why a run failed: cause first, cure last.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Error {
    /// The word for programs.
    pub kind: Kind,
    /// The sentence for people.
    pub message: String,
}

impl Error {
    /// An error of `kind`.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// [`Kind::InvalidArguments`].
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Kind::InvalidArguments, message)
    }

    /// The same error with the scanner that it is about said before it.
    pub fn of_scanner(mut self, name: impl fmt::Display) -> Self {
        self.message = format!("scanner `{name}`: {}", self.message);
        self
    }

    /// The same error with `more` said after it.
    pub fn and(mut self, more: impl fmt::Display) -> Self {
        self.message = format!("{}; {more}", self.message);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// A result whose error ends the run.
pub type Result<T, E = Error> = std::result::Result<T, E>;
