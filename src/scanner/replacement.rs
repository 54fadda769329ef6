//! The way of a replacement, call by call: at no point of it is there no scanner, or do two run.
//!
//! What a kill leaves after any of these calls, and the way back from there, is [`super::recovery`]'s.

use super::observed::Observed;
use super::restart_policy::RestartPolicy;

/// One call; "old" has the scanner's name at first, "new" in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// Make the new one, not running and without a restart policy, under its temporary name, with a note of whom it
    /// replaces.
    CreateNew,
    /// An engine that starts in the middle must not bring the old one back beside the new one.
    SwitchOffOld,
    /// Stop the old one and see that it is down; fine when it was, which nobody can know until it is asked.
    StopOld,
    /// Put the old one aside under its other name. Not while it is up: engines refuse to rename one that is between two
    /// starts, or has no network of its own.
    SetOldAside,
    /// Give the new one its restart policy, now that an engine that restarts cannot bring it back beside the old one.
    SwitchOnNew,
    /// Give the new one the scanner's name.
    NameNew,
    /// Start the new one and see it stay up.
    StartNew,
    /// Remove the old one: the new one is known to work.
    RemoveOld,
}

/// The calls that replace `old`; the new one has the restart policy `policy` in the end, and runs when `start`.
#[must_use]
pub fn calls(old: &Observed, policy: RestartPolicy, start: bool) -> Vec<Call> {
    let switches = |policy: RestartPolicy| policy != RestartPolicy::No && old.is_updatable();
    let all = [
        (true, Call::CreateNew),
        (switches(old.restart_policy), Call::SwitchOffOld),
        (true, Call::StopOld),
        (true, Call::SetOldAside),
        (switches(policy), Call::SwitchOnNew),
        (true, Call::NameNew),
        (start, Call::StartNew),
        (true, Call::RemoveOld),
    ];
    all.into_iter().filter_map(|(applies, call)| applies.then_some(call)).collect()
}
