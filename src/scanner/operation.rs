//! One change to the engine or the host: of a plan, of a replacement, and of a rollback.
//!
//! There is one kind of operation and one executor for it, `crate::run::execute`. An operation names containers by their role,
//! so that a plan can be made, shown and compared before any of its containers exists.

use super::values::directory::{Directory, Mode};
use super::values::environment::Environment;
use super::values::limits::{Cpus, MemorySwap};
use super::values::restart_policy::RestartPolicy;

/// A container of the scanner, by its role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The one that has the scanner's name.
    Scanner,
    /// The one that is being replaced.
    Old,
    /// The one that takes its place.
    New,
    /// The one that only carries the labels of a replacement ([`Operation::CreateNote`]).
    Note,
}

/// One of the names of a scanner's containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alias {
    /// The scanner's own.
    Own,
    /// `NAME.qcss-new`, of a container that has not taken over yet.
    Incoming,
    /// `NAME.qcss-old`, of a container whose replacement is being tried.
    Outgoing,
}

/// One operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Fetch the image from its registry.
    PullImage,
    /// Fetch the image from its archive.
    LoadImage,
    /// Like mkdir -p; the mode is for the last component.
    CreateDirectory(Directory, Option<Mode>),
    /// Like chmod.
    SetMode(Directory, Mode),
    /// Delete the scanner's identity.
    PurgeDirectory(Directory),
    /// Create the container, not running.
    Create,
    /// Change limits or the restart policy while it runs.
    Update(Update),
    /// Put a new container in the place of the old one: every operation that [`super::replacement::next`] gives.
    Replace {
        /// Whether the new one must run.
        start: bool,
        /// The restart policy of the new one.
        policy: RestartPolicy,
        /// Variables of the old one that the task does not manage.
        env: Environment,
    },
    /// Create the new container of a replacement: not running, without a restart policy, under its temporary name, with labels
    /// that say which container it replaces.
    CreateSuccessor,
    /// Create a container that is never started and only carries the labels of the new one.
    CreateNote,
    /// Change nothing but the restart policy.
    SetRestartPolicy(Role, RestartPolicy),
    /// Give another name.
    Rename(Role, Alias),
    /// Connect the scanner, which is down, to the network that has this name now.
    Reconnect(String),
    /// Start.
    Start(Role),
    /// Watch whether it stays up.
    Settle(Role),
    /// Unpause the scanner.
    Unpause,
    /// Stop; fine when it does not run.
    Stop(Role),
    /// Stop the scanner and start it again.
    Restart,
    /// Remove, whether it runs or not.
    Remove(Role),
    /// Remove the volumes of these names that no container has.
    RemoveVolumes(Vec<String>),
}

impl Operation {
    /// The stable word of the result's `actions`; what is only a part of an action, or changes nothing, has none.
    pub const fn word(&self) -> Option<&'static str> {
        match self {
            Self::CreateDirectory(..) => Some("create_directory"),
            Self::SetMode(..) | Self::Update(_) => Some("update"),
            Self::PullImage => Some("pull_image"),
            Self::LoadImage => Some("load_image"),
            Self::Create => Some("create"),
            Self::Replace { .. } => Some("replace"),
            Self::Start(Role::Scanner) => Some("start"),
            Self::Unpause => Some("unpause"),
            Self::Stop(Role::Scanner) => Some("stop"),
            Self::Restart => Some("restart"),
            Self::Remove(Role::Scanner) => Some("remove"),
            Self::PurgeDirectory(_) => Some("purge_directory"),
            Self::CreateSuccessor
            | Self::CreateNote
            | Self::SetRestartPolicy(..)
            | Self::Rename(..)
            | Self::Reconnect(_)
            | Self::RemoveVolumes(_)
            | Self::Start(_)
            | Self::Settle(_)
            | Self::Stop(_)
            | Self::Remove(_) => None,
        }
    }

    /// Whether the scanner's process starts anew.
    pub const fn starts(&self) -> bool {
        matches!(self, Self::Start(_) | Self::Restart | Self::Replace { start: true, .. })
    }

    /// Whether it takes something that other scanners might take at the same time: resources, a code, a directory.
    pub const fn claims(&self) -> bool {
        matches!(
            self,
            Self::CreateDirectory(..)
                | Self::SetMode(..)
                | Self::PurgeDirectory(_)
                | Self::Create
                | Self::CreateSuccessor
                | Self::Replace { .. }
                | Self::Update(Update { grows: true, .. })
        )
    }

    /// Whether it fetches an image, which may take long and needs no lock.
    pub const fn fetches(&self) -> bool {
        matches!(self, Self::PullImage | Self::LoadImage)
    }
}

/// One setting that a live update changes, with the value to send ([`super::compare`] makes it).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Bytes of memory and the bound of memory and swap, which always travel together.
    Memory(u64, MemorySwap),
    /// CPUs, and the period in microseconds where the container has them as quota and period.
    Cpus(Cpus, Option<u64>),
    /// The restart policy.
    RestartPolicy(RestartPolicy),
}

/// A live update; settings that are not in it stay.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Update {
    /// What changes, in the order of the comparison.
    pub changes: Vec<Change>,
    /// Whether one of the limits goes up, or is newly set and so begins to count.
    pub grows: bool,
}

impl Update {
    /// The restart policy alone.
    pub fn restart_policy(policy: RestartPolicy) -> Self {
        Self { changes: vec![Change::RestartPolicy(policy)], grows: false }
    }
}
