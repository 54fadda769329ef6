//! The steps of a plan.

use super::compare::{Comparison, Verdict, Way};
use super::desired::Desired;
use super::directory::{Directory, Mode};
use super::limits::{Cpus, MemorySwap};
use super::observed::Observed;
use super::restart_policy::RestartPolicy;

/// One step; each has its word in `actions`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Like mkdir -p; the mode is for the last component.
    CreateDirectory(Directory, Option<Mode>),
    /// Like chmod.
    SetMode(Directory, Mode),
    /// Fetch the image from its registry.
    PullImage,
    /// Fetch the image from its archive.
    LoadImage,
    /// Make the container.
    Create,
    /// Change limits or the restart policy while it runs.
    Update(Update),
    /// Put a new container in the place of the old one.
    Replace {
        /// Whether the new one shall run.
        start: bool,
    },
    /// Start it.
    Start,
    /// Thaw it.
    Unpause,
    /// Stop it.
    Stop,
    /// Stop it and start it.
    Restart,
    /// Remove it, running or not.
    Remove,
    /// Delete the scanner's identity.
    PurgeDirectory(Directory),
}

impl Step {
    pub(super) const CREATE_DIRECTORY: &'static str = "create_directory";

    /// The stable word of the result's `actions`.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::CreateDirectory(..) => Self::CREATE_DIRECTORY,
            Self::SetMode(..) | Self::Update(_) => "update",
            Self::PullImage => "pull_image",
            Self::LoadImage => "load_image",
            Self::Create => "create",
            Self::Replace { .. } => "replace",
            Self::Start => "start",
            Self::Unpause => "unpause",
            Self::Stop => "stop",
            Self::Restart => "restart",
            Self::Remove => "remove",
            Self::PurgeDirectory(_) => "purge_directory",
        }
    }

    /// Whether the scanner's process starts anew, so that it must be seen to stay up.
    #[must_use]
    pub const fn starts(&self) -> bool {
        matches!(self, Self::Start | Self::Restart | Self::Replace { start: true })
    }
}

/// A live update; what is `None` stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Update {
    /// Bytes of memory and the bound of memory and swap, which always travel together.
    pub memory: Option<(u64, MemorySwap)>,
    /// CPUs, and the period where the container has them as quota and period.
    pub cpus: Option<(Cpus, Option<u64>)>,
    /// Restart policy.
    pub restart_policy: Option<RestartPolicy>,
    /// Whether one of the limits goes up, or is newly set and so begins to count.
    pub grows: bool,
}

impl Update {
    pub(super) fn of(desired: &Desired, observed: &Observed, comparisons: &[Comparison]) -> Self {
        let differs = |name: &str| {
            comparisons.iter().any(|field| field.field == name && field.verdict == Verdict::Differs(Way::Update))
        };
        let (has, wants) = (&observed.limits, &desired.limits);
        let memory = wants.memory().zip(wants.memory_swap());
        // To the kernel no limit is the most there is; to the host's bookkeeping it is nothing.
        let swap = |swap| match swap {
            Some(MemorySwap::Bytes(bytes)) => bytes,
            Some(MemorySwap::Unlimited) | None => 0,
        };
        let grows =
            wants.memory() > has.memory || wants.cpus > has.cpus || swap(wants.memory_swap()) > swap(has.memory_swap);
        let cpus = desired.limits.cpus.map(|cpus| (cpus, observed.limits.cpu_period));
        Self {
            memory: memory.filter(|_| differs("memory") || differs("memory_swap")),
            cpus: cpus.filter(|_| differs("cpus")),
            restart_policy: desired.restart_policy.filter(|_| differs("restart_policy")),
            grows,
        }
    }
}
