//! An engine in memory, for [`super::explorer`].

use std::collections::BTreeSet;

use super::super::example::by_hand;
use super::super::replacement::Call;
use super::*;

pub fn name() -> Name {
    Name::parse("scanner").unwrap()
}

/// What outlives the one who asked for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnItsWay {
    StopOfOld,
    StartOfNew,
}

/// An engine in memory, which never lets two scanners run and never loses one.
#[derive(Debug, Clone)]
pub struct Engine {
    pub containers: Vec<Observed>,
    /// Ids of those that were stopped and not started since, which an engine remembers.
    stopped_by_hand: BTreeSet<String>,
    /// Asked for by a run that did not live to see it.
    pub on_its_way: Option<OnItsWay>,
    /// The new one, and with it the note whether the old one ran, had to go before the old one could be started.
    pub forgot: bool,
    /// What the new one does after its start.
    pub new_becomes: Status,
    /// Whether the new one was seen to work, or need not.
    new_works: bool,
    /// What happened, for a failure's message.
    pub log: Vec<String>,
}

impl Engine {
    pub fn new(old: Observed, start: bool, new_becomes: Status) -> Self {
        let stopped_by_hand = (old.status == Status::Exited).then(|| old.id.clone()).into_iter().collect();
        let containers = vec![old];
        Self {
            containers,
            stopped_by_hand,
            on_its_way: None,
            forgot: false,
            new_becomes,
            new_works: !start,
            log: Vec::new(),
        }
    }

    pub fn get(&mut self, id: &str) -> &mut Observed {
        self.containers.iter_mut().find(|container| container.id == id).unwrap()
    }

    /// The same with something asked for that nobody waits for.
    pub fn with_on_its_way(&self, on_its_way: OnItsWay) -> Self {
        Self { on_its_way: Some(on_its_way), ..self.clone() }
    }

    pub fn look(&self) -> Scene {
        let called = |name: &str| self.containers.iter().find(|container| container.name == name).cloned();
        Scene::new(called("scanner"), called("scanner.qcss-new"), called("scanner.qcss-old"))
    }

    /// A call on the way forward, from `old` as it was when the run began.
    pub fn forward(&mut self, call: Call, old: &Observed) {
        self.log.push(format!("{call:?}"));
        match call {
            Call::CreateNew => {
                let restart_policy = old.restart_policy;
                let note = Replaces { id: old.id.clone(), was_up: old.status.is_up(), restart_policy };
                let podman = old.podman;
                let new = Observed {
                    id: "new".to_owned(),
                    name: name().incoming(),
                    replaces: Some(note),
                    podman,
                    ..by_hand()
                };
                let policy = if podman { old.restart_policy } else { RestartPolicy::No };
                self.containers.push(new.with_status(Status::Created).with_policy(policy));
            }
            Call::SwitchOffOld => self.set_policy("old", RestartPolicy::No),
            Call::StopOld => self.stop("old"),
            Call::SetOldAside => self.rename("old", &name().outgoing()),
            Call::SwitchOnNew => self.set_policy("new", old.restart_policy),
            Call::NameNew => self.rename("new", "scanner"),
            Call::StartNew => self.start("new"),
            Call::RemoveOld => self.remove("old"),
        }
        self.check();
    }

    pub fn back(&mut self, call: &Undo) {
        self.log.push(format!("{call:?}"));
        match call {
            Undo::Stop(id) | Undo::FinishStop(id) => self.stop(id),
            Undo::Rename(id, name) => self.rename(id, name),
            Undo::SetRestartPolicy(id, policy) => self.set_policy(id, *policy),
            Undo::Start(id) => self.start(id),
            Undo::Remove(id) => self.remove(id),
        }
        self.check();
    }

    fn set_policy(&mut self, id: &str, policy: RestartPolicy) {
        assert!(self.get(id).is_updatable(), "Podman cannot: {:#?}", self.log);
        self.get(id).restart_policy = policy;
    }

    /// A stop ends with the container's end; one that is sent while another is under way waits for the same.
    fn stop(&mut self, id: &str) {
        self.on_its_way = self.on_its_way.filter(|it| (id, *it) != ("old", OnItsWay::StopOfOld));
        if self.get(id).status != Status::Created {
            self.get(id).status = Status::Exited;
            self.stopped_by_hand.insert(id.to_owned());
        }
    }

    /// What a run asked for that did not live to see it.
    pub fn come_true(&mut self) {
        let Some(it) = self.on_its_way.take() else { return };
        self.log.push(format!("{it:?} comes true"));
        match it {
            OnItsWay::StopOfOld => self.stop("old"),
            OnItsWay::StartOfNew => self.start("new"),
        }
        self.check();
    }

    fn rename(&mut self, id: &str, name: &str) {
        assert!(self.containers.iter().all(|it| it.name != name || it.id == id), "{name} is taken: {:#?}", self.log);
        name.clone_into(&mut self.get(id).name);
    }

    fn start(&mut self, id: &str) {
        let before = self.get(id).status;
        assert_ne!(before, Status::Paused, "an engine refuses this: {:#?}", self.log);
        self.get(id).status = if id == "new" { self.new_becomes } else { Status::Running };
        self.on_its_way = self.on_its_way.filter(|it| (id, *it) != ("new", OnItsWay::StartOfNew));
        self.forgot &= id != "old";
        self.new_works |= id == "new" && self.new_becomes == Status::Running;
        self.stopped_by_hand.remove(id);
    }

    fn remove(&mut self, id: &str) {
        self.forgot = id == "new" && self.get(id).status == Status::Created;
        self.on_its_way = self.on_its_way.filter(|it| (id, *it) != ("new", OnItsWay::StartOfNew));
        self.containers.retain(|container| container.id != id);
    }

    /// dockerd ends and starts again: policies are at work, for the stopped ones too (seen on 20.10), not for the created ones.
    pub fn restart(&mut self) {
        if self.containers.iter().any(|container| container.podman) {
            return; // it has no daemon
        }
        self.log.push("the engine restarts".to_owned());
        self.on_its_way = None;
        for container in &mut self.containers {
            let by_hand = self.stopped_by_hand.contains(&container.id);
            let comes_back = match container.restart_policy {
                RestartPolicy::No => false,
                RestartPolicy::Always => true,
                RestartPolicy::OnFailure(_) | RestartPolicy::UnlessStopped => !by_hand,
            };
            if container.status != Status::Created {
                container.status = if comes_back { Status::Running } else { Status::Exited };
            }
        }
        self.check();
    }

    /// Without the history that led here.
    pub fn state(&self) -> String {
        let containers: Vec<_> =
            self.containers.iter().map(|it| (&it.id, &it.name, it.status, it.restart_policy)).collect();
        let Self { stopped_by_hand, on_its_way, forgot, new_becomes, new_works, .. } = self;
        format!("{containers:?} {stopped_by_hand:?} {on_its_way:?} {forgot} {new_becomes:?} {new_works}")
    }

    fn check(&self) {
        let up = self.containers.iter().filter(|container| container.status.is_up()).count();
        assert!(up <= 1, "two run: {:#?}", self.log);
        let safe = |it: &Observed| it.id == "old" || (it.name == "scanner" && self.new_works);
        assert!(self.containers.iter().any(safe), "the scanner is lost: {:#?}", self.log);
    }
}
