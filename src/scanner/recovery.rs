//! What an interrupted replacement left behind, and the way back from it.
//!
//! A replacement keeps the old scanner until the new one works ([`super::replacement`]):
//!
//! ```text
//!              name      name.qcss-new   name.qcss-old
//! create       old, up   new
//! stop         old       new
//! rename       .         new             old
//! rename       new       .               old
//! start        new, up   .               old
//! remove       new, up
//! ```
//!
//! The new container notes on itself whom it replaces and whether that one was up, so each row can be told from names and
//! that note alone. But a stop takes its time and outlives the one who sent it: an old one that is up beside a new one may be
//! about to end, and is stopped to its end before it is taken for a running one. At most one of the two has a restart policy,
//! and only while the other does not run: an engine that comes back must not bring both with it.
//!
//! The way back is the same from every row, for a failure and for a kill: the new one gets its temporary
//! name again, from where nothing leads forward any more, and is stopped for good; the old one gets its name, its restart
//! policy and its life back; only then is the new one removed. Only one that may come to life at any moment, since a start
//! outlives its sender as well, is removed before the old one is started.

use super::name::Name;
use super::observed::{Observed, Replaces, Status};
use super::restart_policy::RestartPolicy;

/// The containers that a replacement deals with, by name.
#[derive(Debug, Clone, Default)]
pub struct Scene {
    /// The one that has the scanner's name.
    pub current: Option<Observed>,
    /// `name.qcss-new`.
    pub incoming: Option<Observed>,
    /// `name.qcss-old`.
    pub outgoing: Option<Observed>,
}

/// One call on the way back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Undo {
    /// Stop the container of this id, and make sure of it.
    Stop(String),
    /// Stop the container of this id, which may be on its way out already; or let it run when it cannot be stopped.
    FinishStop(String),
    /// Give it another name.
    Rename(String, String),
    /// Give it back what was switched off.
    SetRestartPolicy(String, RestartPolicy),
    /// Start it.
    Start(String),
    /// Remove it.
    Remove(String),
}

/// What is known of the stop of the old scanner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopOfOld {
    /// Nobody asked for it.
    NotSent,
    /// It may have been asked for, and may still be under way.
    MaybeSent,
    /// It was asked for and the engine did not say what became of it: it may come true at any time.
    Unanswered,
}

/// Where the old scanner is, when the way back has been gone.
#[derive(Debug, Clone)]
pub struct WayBack {
    /// The calls, in order.
    pub steps: Vec<Undo>,
    /// The container that has the scanner's name afterwards.
    pub current: Option<Observed>,
}

impl Scene {
    /// The scene of `name`; what only happens to bear one of the names of a replacement is not part of it.
    #[must_use]
    pub fn new(current: Option<Observed>, incoming: Option<Observed>, outgoing: Option<Observed>) -> Self {
        Self {
            current,
            incoming: incoming.filter(|container| container.replaces.is_some()),
            outgoing: outgoing.filter(Observed::is_scanner),
        }
    }

    /// Whether a replacement was interrupted here.
    #[must_use]
    pub fn is_interrupted(&self) -> bool {
        self.incoming.is_some() || self.unconfirmed().is_some() || (self.current.is_none() && self.outgoing.is_some())
    }

    /// A replacement that has its place but whose predecessor is still there: it may be working, which nobody confirmed.
    #[must_use]
    pub fn unconfirmed(&self) -> Option<(&Observed, &Observed)> {
        let (current, outgoing) = (self.current.as_ref()?, self.outgoing.as_ref()?);
        (current.replaces.as_ref()?.id == outgoing.id).then_some((current, outgoing))
    }

    /// The same where nothing has been taken from the new one yet, so that it may still become the scanner; its restart policy
    /// is the old one's, or `manages_policy`, so that the task gives it the right one.
    #[must_use]
    pub fn finishable(&self, manages_policy: bool) -> Option<(&Observed, &Observed)> {
        let is_whole =
            |new: &Observed| new.replaces.as_ref().is_some_and(|old| old.restart_policy == new.restart_policy);
        self.unconfirmed().filter(|(new, _)| manages_policy || is_whole(new))
    }

    /// The way back to the old scanner; its life is given back only when `may_start`.
    #[must_use]
    pub fn way_back(&self, name: &Name, may_start: bool, stop: StopOfOld) -> WayBack {
        let new = match (&self.incoming, self.unconfirmed()) {
            (Some(incoming), _) => Some(incoming),
            (None, Some((current, _))) => Some(current),
            (None, None) => None,
        };
        let Some((new, note)) = new.and_then(|new| Some((new, new.replaces.as_ref()?))) else {
            return self.without_note(name);
        };
        let old = [&self.current, &self.outgoing].into_iter().flatten().find(|container| container.id == note.id);
        match old {
            Some(old) => back_to(old, new, note, name, may_start, stop),
            None => self.forward(new, name),
        }
    }

    /// The old one is gone (someone removed it): the new one is the only scanner there is, and takes its place.
    fn forward(&self, new: &Observed, name: &Name) -> WayBack {
        match &self.current {
            // Another scanner has the name: the new one was never started and is left over.
            Some(current) if current.id != new.id => {
                WayBack { steps: vec![Undo::Remove(new.id.clone())], current: Some(current.clone()) }
            }
            _ => WayBack { steps: renamed(new, name.as_str()).into_iter().collect(), current: Some(named(new, name)) },
        }
    }

    /// No note is left: a scanner that lost its name gets it back.
    fn without_note(&self, name: &Name) -> WayBack {
        match (&self.current, &self.outgoing) {
            (None, Some(old)) => {
                WayBack { steps: renamed(old, name.as_str()).into_iter().collect(), current: Some(named(old, name)) }
            }
            (current, _) => WayBack { steps: Vec::new(), current: current.clone() },
        }
    }
}

fn back_to(old: &Observed, new: &Observed, note: &Replaces, name: &Name, may_start: bool, stop: StopOfOld) -> WayBack {
    let mut steps = Vec::new();
    // A start outlives its sender too: nothing but its absence keeps this one from coming to life beside the old one.
    let may_be_starting = new.status == Status::Created && new.name == name.as_str();
    if !may_be_starting {
        steps.extend(renamed(new, &name.incoming()));
    }
    if new.restart_policy != RestartPolicy::No && new.is_updatable() {
        // An engine that starts in the middle must not bring the new one back beside the old one.
        steps.push(Undo::SetRestartPolicy(new.id.clone(), RestartPolicy::No));
    }
    if new.status != Status::Created {
        steps.push(Undo::Stop(new.id.clone()));
    }
    let may_be_stopping = stop != StopOfOld::NotSent
        && new.status == Status::Created
        && matches!(old.status, Status::Running | Status::Restarting);
    if may_be_stopping {
        steps.push(Undo::FinishStop(old.id.clone()));
    }
    let set_policy = Undo::SetRestartPolicy(old.id.clone(), note.restart_policy);
    let set_policy = Some(set_policy).filter(|_| old.restart_policy != note.restart_policy);
    let remove = Undo::Remove(new.id.clone());
    let mut current = named(old, name);
    current.restart_policy = note.restart_policy;
    // A paused one is up, but an engine refuses to start it.
    let start = Some(Undo::Start(old.id.clone())).filter(|_| note.was_up && may_start && old.status != Status::Paused);
    if start.is_some() {
        current.status = Status::Running;
    } else if may_be_stopping {
        current.status = Status::Exited;
    }
    if may_be_starting {
        steps.extend(set_policy.into_iter().chain([remove]).chain(renamed(old, name.as_str())).chain(start));
    } else {
        // The note goes with the new one, so it is the last to go.
        steps.extend(renamed(old, name.as_str()).into_iter().chain(set_policy).chain(start).chain([remove]));
    }
    WayBack { steps, current: Some(current) }
}

fn renamed(container: &Observed, name: &str) -> Option<Undo> {
    (container.name != name).then(|| Undo::Rename(container.id.clone(), name.to_owned()))
}

fn named(container: &Observed, name: &Name) -> Observed {
    Observed { name: name.as_str().to_owned(), ..container.clone() }
}

#[cfg(test)]
mod explorer;
#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
