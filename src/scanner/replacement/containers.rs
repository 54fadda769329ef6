//! The containers of one scanner: its own, and those that a replacement has beside it.

use super::super::observed::{Note, Observed, Status};
use super::super::operation::{Alias, Operation, Role};
use super::super::values::name::Name;
use super::super::values::restart_policy::RestartPolicy;

/// The containers that have one of the names of a scanner.
#[derive(Debug, Clone, Default)]
pub struct Containers {
    /// The one that has the scanner's name.
    pub current: Option<Observed>,
    /// `NAME.qcss-new`.
    pub incoming: Option<Observed>,
    /// `NAME.qcss-old`.
    pub outgoing: Option<Observed>,
}

/// A replacement that was begun and is not complete.
#[derive(Debug, Clone, Copy)]
pub struct Halfway<'a> {
    /// What the new one notes about the old one.
    pub note: &'a Note,
    /// The old one; `None`: somebody removed it.
    pub old: Option<&'a Observed>,
    /// The new one.
    pub new: &'a Observed,
    /// The one that only carries the note, where there is one.
    pub spare: Option<&'a Observed>,
}

impl Containers {
    /// The replacement that is half-way here, if one is. A container that only has such a name is not part of it.
    pub fn halfway(&self) -> Option<Halfway<'_>> {
        let note = |container: &'_ Option<Observed>| container.as_ref().and_then(|it| it.replaces.clone());
        let incoming = self.incoming.as_ref().filter(|it| it.replaces.is_some());
        if let (Some(new), Some(old)) = (&self.current, &self.outgoing)
            && let Some(noted) = new.replaces.as_ref().filter(|noted| noted.id == old.id)
        {
            let spare = incoming.filter(|_| note(&self.incoming).is_some_and(|other| other.id == noted.id));
            return Some(Halfway { note: noted, old: Some(old), new, spare });
        }
        let new = incoming?;
        let noted = new.replaces.as_ref()?;
        let old = [&self.current, &self.outgoing].into_iter().flatten().find(|container| container.id == noted.id);
        Some(Halfway { note: noted, old, new, spare: None })
    }

    /// Another's container that has one of the two temporary names and is not part of a replacement; or the scanner's own name,
    /// while a replacement that is half-way needs it.
    pub fn stranger(&self) -> Option<&Observed> {
        let ours: Vec<_> =
            self.halfway().into_iter().flat_map(|it| [Some(it.new), it.old, it.spare]).flatten().collect();
        // A note alone, which came late, needs no name.
        let needs_name = self.halfway().is_some_and(|it| it.old.is_some() || it.new.is_scanner());
        let current = self.current.as_ref().filter(|_| needs_name);
        let others = [&self.incoming, &self.outgoing].into_iter().flatten();
        current.into_iter().chain(others).find(|it| !ours.iter().any(|our| our.id == it.id))
    }

    /// The new one, at its place, where somebody removed the `old` one.
    pub(super) fn alone(&self, old: &str) -> Option<Halfway<'_>> {
        let new = self.current.as_ref().filter(|_| self.halfway().is_none())?;
        // A note about its own container is none of this module's.
        let note = new.replaces.as_ref().filter(|note| note.id == old && new.id != old)?;
        Some(Halfway { note, old: None, new, spare: None })
    }

    /// The container that plays `role` now.
    pub fn role(&self, role: Role) -> Option<&Observed> {
        let halfway = self.halfway();
        match role {
            Role::Scanner => self.current.as_ref(),
            Role::Old => halfway.map_or(self.current.as_ref().or(self.outgoing.as_ref()), |it| it.old),
            Role::New => halfway.map_or(self.current.as_ref().filter(|it| it.replaces.is_some()), |it| Some(it.new)),
            Role::Note => halfway.and_then(|it| it.spare),
        }
    }

    /// The one that is the scanner to a user: of two the one that is up, else the one that was there before.
    pub fn shown(&self) -> Option<&Observed> {
        match self.halfway() {
            Some(Halfway { old: Some(old), new, .. }) if !new.status.is_up() => Some(old),
            Some(Halfway { new, .. }) if self.current.is_none() || new.status.is_up() => Some(new),
            _ => self.current.as_ref(),
        }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Observed> {
        [&self.current, &self.incoming, &self.outgoing].into_iter().flatten()
    }

    /// The same when `operation` has succeeded; what is created is like the old one.
    pub(super) fn apply(&mut self, name: &Name, operation: &Operation) {
        let id = |containers: &Self, role| containers.role(role).map(|it| it.id.clone());
        match *operation {
            Operation::SetRestartPolicy(role, policy) => {
                let id = id(self, role);
                self.change(id.as_deref(), |it| it.restart_policy = policy);
            }
            Operation::Stop(role) => {
                let id = id(self, role);
                self.change(id.as_deref(), |it| it.status = if it.status.is_up() { Status::Exited } else { it.status });
            }
            Operation::Start(role) => {
                let id = id(self, role);
                self.change(id.as_deref(), |it| {
                    it.status = Status::Running;
                    // The time is not known yet.
                    it.started_at.get_or_insert_default();
                });
            }
            Operation::Rename(role, alias) => {
                let Some(id) = id(self, role) else { return };
                let mut moved = [&mut self.current, &mut self.incoming, &mut self.outgoing]
                    .into_iter()
                    .find_map(|slot| slot.take_if(|it| it.id == id));
                if let Some(container) = &mut moved {
                    container.name = alias.of(name);
                }
                *self.slot(alias) = moved;
            }
            Operation::Remove(role) => {
                let Some(id) = id(self, role) else { return };
                for slot in [&mut self.current, &mut self.incoming, &mut self.outgoing] {
                    slot.take_if(|it| it.id == id);
                }
            }
            Operation::CreateNote | Operation::CreateSuccessor => {
                let model = self.role(Role::New).or(self.role(Role::Old)).cloned().unwrap_or_default();
                let note = Note::of(&model);
                self.incoming = Some(Observed {
                    id: format!("successor of {}", model.id),
                    name: name.incoming(),
                    status: Status::Created,
                    started_at: None,
                    restart_policy: RestartPolicy::No,
                    replaces: model.replaces.clone().filter(|_| *operation == Operation::CreateNote).or(Some(note)),
                    ..model
                });
            }
            _ => {}
        }
    }

    pub(super) fn slot(&mut self, alias: Alias) -> &mut Option<Observed> {
        match alias {
            Alias::Own => &mut self.current,
            Alias::Incoming => &mut self.incoming,
            Alias::Outgoing => &mut self.outgoing,
        }
    }

    fn change(&mut self, id: Option<&str>, change: impl Fn(&mut Observed)) {
        let all = [&mut self.current, &mut self.incoming, &mut self.outgoing].into_iter().flatten();
        all.filter(|it| Some(it.id.as_str()) == id).for_each(change);
    }
}
