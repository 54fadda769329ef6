//! How a task wants its scanner brought into the desired state: the options that do not describe the scanner itself.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use crate::secret::Secret;

/// The options of a task that do not describe the scanner itself.
#[derive(Debug, Clone)]
pub struct Policy {
    /// The state to reach.
    pub state: State,
    /// Whether replacing is allowed, or asked for.
    pub recreate: Recreate,
    /// Restart a running scanner that needs no other change.
    pub restart: bool,
    /// Delete the private directory with the scanner.
    pub purge: bool,
    /// When to pull.
    pub pull: Pull,
    /// The archive to load the image from when the engine does not have it.
    pub image_archive: Option<PathBuf>,
    /// For pulls; `None`: what the host's docker configuration has.
    pub credentials: Option<Credentials>,
    /// What to do when the limits of all scanners together exceed the host.
    pub overcommit: Overcommit,
    /// How long a started scanner must stay up; zero: not looked at.
    pub settle: Duration,
    /// Seconds between SIGTERM and SIGKILL; `None`: the container's own, else the engine's 10.
    pub stop_timeout: Option<i32>,
}

/// A registry's user.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// Not secret.
    pub username: String,
    /// Secret.
    pub password: Secret,
}

/// What to do when the limits of all scanners together would exceed the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Overcommit {
    /// Refuse.
    Deny,
    /// Warn.
    Warn,
    /// Nothing.
    Allow,
}

/// When to pull the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pull {
    /// When the engine does not have it.
    Missing,
    /// Each time, to have the newest.
    Always,
    /// Not at all.
    Never,
}

/// The desired run state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It exists and runs.
    Started,
    /// It exists, running or not.
    Present,
    /// It exists and does not run.
    Stopped,
    /// It does not exist.
    Absent,
}

impl State {
    /// The user's word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Present => "present",
            Self::Stopped => "stopped",
            Self::Absent => "absent",
        }
    }
}

/// Whether a scanner may be, or must be, replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Recreate {
    /// When a difference needs it.
    Auto,
    /// Also without a difference.
    Always,
    /// Not at all: fail instead.
    Never,
}
