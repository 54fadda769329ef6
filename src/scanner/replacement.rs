//! A new container in the place of the old one, without ever losing the scanner: which operation comes next.
//!
//! A replacement is a state machine without a memory. Its state is what is observed (names, labels, status of the containers),
//! its goal is to replace or to roll back, and [`next`] returns the next operation. A failure changes the goal; a run after a
//! kill enters the same loop; a call whose answer was lost is seen to have worked, or is made again.
//!
//! ```text
//! going forward         NAME        NAME.qcss-new   NAME.qcss-old
//! create successor      old, up     new
//! policy of old: no     old, up     new
//! stop old              old         new
//! rename old            .           new             old
//! policy of new         .           new             old
//! rename new            new         .               old
//! start, settle         new, up     .               old
//! remove old            new, up
//! ```
//!
//! The new container notes on itself (labels) whom it replaces, whether that one was up, and its restart policy. At most one of
//! the two has a restart policy, and only while the other does not run: an engine that comes back must not bring both with it.
//!
//! Rolling back stops the new one first, gives the old one its name and policy back, starts it, and removes the note last. A
//! start outlives the run that asked for it: a new container that may start at any moment is removed before the old one is
//! started, and another container that is never started carries the note meanwhile. A stop outlives its sender as well: an old
//! one that may be about to end is stopped completely before it is started.

mod containers;

pub use self::containers::{Containers, Halfway};
use super::observed::{Note, Observed, Status};
use super::operation::{Alias, Operation, Role};
use super::values::name::Name;
use super::values::restart_policy::RestartPolicy;

/// The goal of a replacement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Goal {
    /// The new one takes the place of `old`.
    Replace {
        /// The id of the old one.
        old: String,
        /// Whether the new one is to run.
        start: bool,
        /// The restart policy of the new one.
        policy: RestartPolicy,
    },
    /// The new one is known to work: the old one goes.
    Finish {
        /// The id of the old one.
        old: String,
    },
    /// The old one comes back.
    RollBack(RollBack),
}

/// What a rollback knows beside what is observed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "they are facts that do not exclude each other")]
pub struct RollBack {
    /// What was noted about the old one, also where nothing on the engine shows it any more.
    pub note: Option<Note>,
    /// Whether an old one that ran is started again.
    pub may_start: bool,
    /// A stop of the old one may be under way, and its end must be awaited.
    pub stop_under_way: bool,
    /// A start of the new one may be under way.
    pub start_under_way: bool,
    /// The old one was started.
    pub started: bool,
    /// The call for the old one that the engine did not answer. As long as it may still take effect, the note stays for the
    /// next run.
    pub in_doubt: Option<Operation>,
}

impl Alias {
    /// The name that it is for the scanner `name`.
    pub fn of(self, name: &Name) -> String {
        match self {
            Self::Own => name.as_str().to_owned(),
            Self::Incoming => name.incoming(),
            Self::Outgoing => name.outgoing(),
        }
    }
}

impl RollBack {
    /// Notes that the engine did not answer `operation`.
    pub fn doubt(&mut self, operation: &Operation) {
        match operation {
            Operation::Start(Role::New) => self.start_under_way = true,
            Operation::Stop(Role::Old)
            | Operation::Rename(Role::Old, _)
            | Operation::SetRestartPolicy(Role::Old, _) => {
                self.stop_under_way |= *operation == Operation::Stop(Role::Old);
                self.in_doubt = Some(operation.clone());
            }
            _ => {}
        }
    }

    /// Forgets calls without an answer that have taken effect by now, as `containers` show.
    pub fn resolve(&mut self, name: &Name, containers: &Containers) {
        let is_up = |role| containers.role(role).is_some_and(|it| it.status.is_up());
        self.start_under_way &= !is_up(Role::New);
        let Some(old) = containers.role(Role::Old) else { return };
        let has_come_true = match &self.in_doubt {
            Some(Operation::Stop(_)) => self.stop_under_way && !old.status.is_up(),
            Some(Operation::Rename(_, alias)) => old.name == alias.of(name),
            Some(Operation::SetRestartPolicy(_, policy)) => old.restart_policy == *policy,
            _ => false,
        };
        if has_come_true {
            self.in_doubt = None;
        }
        self.stop_under_way &= old.status.is_up();
    }
}

impl Goal {
    /// The goal for a replacement that a run finds half-way. A new one that has its place and may work is finished; else the
    /// old one comes back; where somebody removed it, the new one is all there is. `runs` and `may_start` say whether the task
    /// wants the scanner to run, and whether it allows that.
    pub fn recovery(name: &Name, halfway: Halfway<'_>, runs: bool, may_start: bool) -> Self {
        let Halfway { note, old, new, .. } = halfway;
        let start = runs || (may_start && note.was_up);
        if old.is_none() && new.is_scanner() {
            return Self::Replace { old: note.id.clone(), start, policy: note.restart_policy };
        }
        // Without its restart policy it may be part of a rollback.
        let is_whole = new.restart_policy == note.restart_policy;
        let may_work = new.status == Status::Running || (new.status == Status::Created && start && is_whole);
        // Where it must not run, nobody can watch whether it stays up.
        if may_start && new.name == name.as_str() && may_work {
            let start = start || new.status == Status::Running;
            return Self::Replace { old: note.id.clone(), start, policy: new.restart_policy };
        }
        let note = Some(note.clone());
        Self::RollBack(RollBack { note, may_start, stop_under_way: true, start_under_way: true, ..RollBack::default() })
    }

    /// The goal when `operation` is about to be done: once the old one is being removed, it cannot be rolled back.
    pub fn before(self, operation: &Operation) -> Self {
        match (self, operation) {
            (Self::Replace { old, .. }, Operation::Remove(Role::Old)) => Self::Finish { old },
            (goal, _) => goal,
        }
    }

    /// The goal once `operation` has succeeded.
    pub fn after(self, operation: &Operation) -> Self {
        match (self, operation) {
            (Self::Replace { old, .. }, Operation::Settle(_)) => Self::Finish { old },
            (Self::RollBack(back), Operation::Stop(Role::Old)) => {
                Self::RollBack(RollBack { stop_under_way: false, ..back })
            }
            (Self::RollBack(back), Operation::Start(Role::Old)) => Self::RollBack(RollBack { started: true, ..back }),
            (goal, _) => goal,
        }
    }

    /// Whether `containers`, for which there is no next operation, reach the goal: somebody may have removed one of them
    /// meanwhile, or taken its name.
    pub fn is_reached(&self, containers: &Containers) -> bool {
        match self {
            Self::Replace { old, .. } | Self::Finish { old } => containers.alone(old).is_some(),
            Self::RollBack(_) => true,
        }
    }
}

/// The operation that brings `containers` nearer to `goal`; `None`: nothing is left to do.
pub fn next(name: &Name, containers: &Containers, goal: &Goal) -> Option<Operation> {
    let halfway = containers.halfway();
    match (goal, halfway) {
        (Goal::Replace { old, start, policy }, None) => match containers.alone(old) {
            Some(alone) => forward(name, alone, *start, *policy),
            None => containers.current.as_ref().filter(|it| it.id == *old).map(|_| Operation::CreateSuccessor),
        },
        (Goal::Replace { start, policy, .. }, Some(halfway)) => forward(name, halfway, *start, *policy),
        (Goal::Finish { .. }, halfway) => match halfway? {
            Halfway { spare: Some(_), .. } => Some(Operation::Remove(Role::Note)),
            Halfway { old, .. } => old.map(|_| Operation::Remove(Role::Old)),
        },
        (Goal::RollBack(back), None) => without_new(name, containers, back),
        (Goal::RollBack(back), Some(halfway)) => match halfway.old {
            Some(old) => to_old(name, halfway, old, back),
            None => without_old(name, halfway),
        },
    }
}

/// What the containers will be when every operation up to `goal` succeeds.
pub fn foresee(name: &Name, containers: &Containers, goal: &Goal) -> Containers {
    let (mut containers, mut goal) = (containers.clone(), goal.clone());
    // More operations than any goal takes.
    for _ in 0..32 {
        let Some(operation) = next(name, &containers, &goal) else { break };
        containers.apply(name, &operation);
        goal = goal.after(&operation);
    }
    containers
}

fn forward(name: &Name, halfway: Halfway<'_>, start: bool, policy: RestartPolicy) -> Option<Operation> {
    let Halfway { old, new, spare, .. } = halfway;
    if spare.is_some_and(|it| it.status.is_up()) {
        // Somebody started the container that only carries the note.
        return Some(Operation::Remove(Role::Note));
    }
    if let Some(old) = old {
        if old.restart_policy != RestartPolicy::No && old.is_updatable() {
            return Some(Operation::SetRestartPolicy(Role::Old, RestartPolicy::No));
        }
        if old.status.is_up() {
            return Some(Operation::Stop(Role::Old));
        }
        // Not while it is up: engines refuse to rename one that is between two starts, or has no network of its own.
        if old.name == name.as_str() {
            return Some(Operation::Rename(Role::Old, Alias::Outgoing));
        }
    }
    if new.restart_policy != policy && new.is_updatable() {
        return Some(Operation::SetRestartPolicy(Role::New, policy));
    }
    if new.name != name.as_str() {
        return Some(Operation::Rename(Role::New, Alias::Own));
    }
    match (start, new.started_at) {
        (true, None) => Some(Operation::Start(Role::New)),
        // Also one that has already ended: the operation detects it.
        (true, Some(_)) => Some(Operation::Settle(Role::New)),
        (false, _) => old.map(|_| Operation::Remove(Role::Old)),
    }
}

fn to_old(name: &Name, halfway: Halfway<'_>, old: &Observed, back: &RollBack) -> Option<Operation> {
    let Halfway { note, new, spare, .. } = halfway;
    let never_started = new.started_at.is_none() && !new.status.is_up();
    // In this order: a new one that runs under its name has what it was given, and a run after a kill may go on with it.
    if new.status.is_up() {
        return Some(Operation::Stop(Role::New));
    }
    if new.restart_policy != RestartPolicy::No && new.is_updatable() {
        // An engine that starts in the middle must not bring the new one back beside the old one.
        return Some(Operation::SetRestartPolicy(Role::New, RestartPolicy::No));
    }
    if new.name == name.as_str() {
        return Some(match (never_started && back.start_under_way, spare) {
            (true, None) => Operation::CreateNote,
            (_, Some(_)) => Operation::Remove(Role::New),
            (false, None) => Operation::Rename(Role::New, Alias::Incoming),
        });
    }
    let may_end = matches!(old.status, Status::Running | Status::Restarting) && never_started;
    if back.stop_under_way && may_end && !back.started {
        return Some(Operation::Stop(Role::Old));
    }
    let revival = revive(name, old, note, back);
    // Its note goes with it, so it is the last to go.
    revival.or_else(|| back.in_doubt.is_none().then_some(Operation::Remove(Role::New)))
}

/// Gives the old one its name and restart policy back, and starts it again.
fn revive(name: &Name, old: &Observed, note: &Note, back: &RollBack) -> Option<Operation> {
    if old.name != name.as_str() {
        return Some(Operation::Rename(Role::Old, Alias::Own));
    }
    if old.restart_policy != note.restart_policy && old.is_updatable() {
        return Some(Operation::SetRestartPolicy(Role::Old, note.restart_policy));
    }
    let is_down = note.was_up && !old.status.is_up();
    (is_down && back.may_start && !back.started).then_some(Operation::Start(Role::Old))
}

/// Where the new one is gone with its note, or the old one is: the other one gets what was noted.
fn without_new(name: &Name, containers: &Containers, back: &RollBack) -> Option<Operation> {
    let note = back.note.as_ref()?;
    if let Some(alone) = containers.alone(&note.id) {
        return without_old(name, alone);
    }
    let old = containers.role(Role::Old).filter(|old| old.id == note.id)?;
    revive(name, old, note, back)
}

/// Somebody removed the old one: the new one is the only scanner there is and takes its place.
fn without_old(name: &Name, halfway: Halfway<'_>) -> Option<Operation> {
    let Halfway { note, new, .. } = halfway;
    if new.is_scanner() {
        if new.restart_policy != note.restart_policy && new.is_updatable() {
            return Some(Operation::SetRestartPolicy(Role::New, note.restart_policy));
        }
        return (new.name != name.as_str()).then_some(Operation::Rename(Role::New, Alias::Own));
    }
    Some(if new.status.is_up() { Operation::Stop(Role::New) } else { Operation::Remove(Role::New) })
}

#[cfg(test)]
mod tests;
