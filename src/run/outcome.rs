//! The outcome of a run, as data; [`crate::ansible::result`] makes the result of it.

use crate::host::paths::Made;
use crate::scanner::allocation::Host;
use crate::scanner::compare::Comparison;
use crate::scanner::desired::Desired;
use crate::scanner::difference::Difference;
use crate::scanner::observed::{Note, Observed};
use crate::scanner::plan::Plan;
use crate::scanner::replacement::{Containers, Halfway};

/// The outcome of a run.
#[derive(Debug, Default)]
pub struct Outcome {
    /// One for each scanner of the task, in its order.
    pub scanners: Vec<ScannerOutcome>,
    /// The host with all scanners of the task on it, or as it is where they were refused; `None`: the host was not needed.
    pub host: Option<Host>,
    /// Warnings for people, about the task as a whole.
    pub warnings: Vec<String>,
    /// The failure that ended the run early.
    pub failure: Option<Failed>,
}

/// The failure that ended a run early.
#[derive(Debug)]
pub struct Failed {
    /// The index of the scanner that it is about; `None`: the task as a whole.
    pub at: Option<usize>,
    /// Whether it was refused before any of them was touched.
    pub refused: bool,
    /// The error, with the first cause innermost.
    pub error: anyhow::Error,
}

/// What was observed last.
#[derive(Debug, Default)]
pub enum LastLook {
    /// The engine could not be asked.
    #[default]
    Unknown,
    /// There is no container.
    Missing,
    /// The scanner's container.
    There(Box<Observed>),
}

impl LastLook {
    /// What `containers` show; `None`: they could not be observed.
    pub fn new(containers: Option<&Containers>) -> Self {
        match containers.map(Containers::shown) {
            None => Self::Unknown,
            Some(None) => Self::Missing,
            Some(Some(container)) => Self::There(Box::new(container.clone())),
        }
    }
}

/// The outcome for one scanner.
#[derive(Debug, Default)]
pub struct ScannerOutcome {
    /// The differences that the actions are for.
    pub differences: Vec<Difference>,
    /// Every managed field, for `diff`.
    pub comparisons: Vec<Comparison>,
    /// Warnings for people.
    pub warnings: Vec<String>,
    /// The scanner that the task leads to, where it is about more than its run state.
    pub desired: Option<Desired>,
    /// The stable words of what was done, or would be in check mode.
    pub actions: Vec<&'static str>,
    /// Whether anything was written that was not undone, or would be in check mode.
    pub changed: bool,
    /// Whether the scanner's container is as it was before; `None` where nothing was tried.
    pub rolled_back: Option<bool>,
    /// The container when the run ended.
    pub container: LastLook,
    /// Whether its turn came.
    pub reached: bool,
}

impl ScannerOutcome {
    /// Takes over what `plan` says.
    pub fn planned(&mut self, plan: &Plan) {
        self.differences.clone_from(&plan.differences);
        self.comparisons.clone_from(&plan.comparisons);
        self.warnings.clone_from(&plan.warnings);
        self.desired.clone_from(&plan.desired);
    }
}

/// What an executor has written so far.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is about another kind of thing that was written")]
pub struct Written {
    /// The words of what succeeded.
    pub actions: Vec<&'static str>,
    /// Whether anything was tried at all.
    pub tried: bool,
    /// Whether something was written that no rollback undoes, even if only a container was stopped and started again.
    pub lasting: bool,
    /// Whether a start or a stop of a container that was there before was not answered.
    pub run_state_in_doubt: bool,
    /// Whether something was undone.
    pub went_back: bool,
    /// Directories that were made, outermost first.
    pub directories: Vec<Made>,
}

impl Written {
    /// Whether anything differs from `before`; `after` is what was observed last, if it could be.
    pub fn changed(&self, before: &Containers, after: Option<&Containers>) -> bool {
        let is_other = || after.is_none_or(|after| is_different(before, after, self.run_state_in_doubt));
        self.lasting || !self.directories.is_empty() || (self.tried && is_other())
    }
}

/// Whether `before` and `after` are the same in what a rollback restores. Where a replacement was half-way before, the scanner
/// is the one that it noted.
pub fn is_restored(before: &Containers, after: &Containers) -> bool {
    if let Some(Halfway { note, .. }) = before.halfway() {
        return after.halfway().is_none() && after.current.as_ref().is_some_and(|now| Note::of(now) == *note);
    }
    match (&before.current, &after.current) {
        (None, None) => after.halfway().is_none(),
        (Some(before), Some(now)) => {
            let runs_as_before = now.status.is_up() == before.status.is_up();
            let is_same = before.id == now.id && before.restart_policy == now.restart_policy;
            is_same && runs_as_before && after.halfway().is_none()
        }
        _ => false,
    }
}

/// Whether containers were created, removed, renamed, or have other limits or another restart policy; or were started or ended,
/// where `run_state` says that this run may have done it.
fn is_different(before: &Containers, after: &Containers, run_state: bool) -> bool {
    let facts = |containers: &Containers| {
        let fact = |it: &Observed| {
            let state = run_state.then(|| (it.status.is_up(), it.started_at));
            (it.id.clone(), it.name.clone(), it.limits, it.restart_policy, state)
        };
        containers.iter().map(fact).collect::<Vec<_>>()
    };
    facts(before) != facts(after)
}
