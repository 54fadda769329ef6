//! What an interrupted replacement left behind, and the way back from it.
//!
//! A replacement keeps the old scanner until the new one works ([`super::replacement`]):
//!
//! ```text
//!              name      name.qcss-new   name.qcss-old
//! create       old, up   new
//! stop         old       new
//! rename               . new             old
//! rename       new       .               old
//! start        new, up   .               old
//! remove       new, up
//! ```
//!
//! The new container notes on itself whom it replaces and whether that one was up, so each row can be told from names and
//! that note alone. The way back is the same from every row, for a failure and for a kill: the new one gets its temporary
//! name again, from where nothing leads forward any more, and is stopped for good; the old one gets its name, its restart
//! policy and its life back; only then is the new one removed.

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
    /// Stop the container of this id.
    Stop(String),
    /// Give it another name.
    Rename(String, String),
    /// Give it back what was switched off.
    SetRestartPolicy(String, RestartPolicy),
    /// Start it.
    Start(String),
    /// Remove it.
    Remove(String),
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

    /// The way back to the old scanner; its life is given back only when `may_start`.
    #[must_use]
    pub fn way_back(&self, name: &Name, may_start: bool) -> WayBack {
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
            Some(old) => back_to(old, new, note, name, may_start),
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

fn back_to(old: &Observed, new: &Observed, note: &Replaces, name: &Name, may_start: bool) -> WayBack {
    let mut steps: Vec<_> = renamed(new, &name.incoming()).into_iter().collect();
    if new.status != Status::Created {
        if new.restart_policy != RestartPolicy::No {
            // An engine that starts in the middle must not bring the new one back beside the old one.
            steps.push(Undo::SetRestartPolicy(new.id.clone(), RestartPolicy::No));
        }
        steps.push(Undo::Stop(new.id.clone()));
    }
    steps.extend(renamed(old, name.as_str()));
    if old.restart_policy != note.restart_policy {
        steps.push(Undo::SetRestartPolicy(old.id.clone(), note.restart_policy));
    }
    let mut current = named(old, name);
    current.restart_policy = note.restart_policy;
    // A paused one is up, but an engine refuses to start it.
    if note.was_up && may_start && old.status != Status::Paused {
        steps.push(Undo::Start(old.id.clone()));
        current.status = Status::Running;
    }
    steps.push(Undo::Remove(new.id.clone()));
    WayBack { steps, current: Some(current) }
}

fn renamed(container: &Observed, name: &str) -> Option<Undo> {
    (container.name != name).then(|| Undo::Rename(container.id.clone(), name.to_owned()))
}

fn named(container: &Observed, name: &Name) -> Observed {
    Observed { name: name.as_str().to_owned(), ..container.clone() }
}

#[cfg(test)]
mod tests;
