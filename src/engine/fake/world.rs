//! The state of the engine in memory, and how calls change it.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

use super::super::Failure;
use crate::scanner::observed::{Observed, Status};
use crate::scanner::operation::{Change, Update};
use crate::scanner::values::restart_policy::RestartPolicy;

/// How long a scanner that dies is up after its start.
const LIFE: Duration = Duration::from_millis(50);
/// When a test's time begins.
const BIRTH: jiff::Timestamp = jiff::Timestamp::UNIX_EPOCH;

/// The id of a container that somebody else makes.
pub const FOREIGN: &str = "foreign";

/// One call that changes something.
#[derive(Debug, Clone)]
pub enum Call {
    Create(String, Box<Observed>),
    Connect(String),
    Start(String),
    Stop(String),
    Restart(String),
    Unpause(String),
    Remove(String),
    Rename(String, String),
    Update(String, Update),
}

/// The state, and what happened to it.
#[derive(Debug, Clone, Default)]
pub struct World {
    /// All containers.
    pub containers: Vec<Observed>,
    /// Ids of images whose containers end soon after their start, and of those that cannot be started.
    pub dying: BTreeSet<String>,
    /// Ids of successors that lack a network.
    pub unconnected: BTreeSet<String>,
    /// Whether one of these was started.
    pub incomplete: bool,
    /// How many stops come between two starts of a flapping scanner, where Podman ignores them.
    pub ignored_stops: usize,
    /// Somebody left nothing of what there was.
    pub emptied: bool,
    stopped_by_hand: BTreeSet<String>,
    dies_at: Vec<(String, Instant)>,
    born: usize,
    starts: i64,
    /// What happened, for a failure's message.
    pub log: Vec<String>,
    /// Whether two containers ran at the same time.
    pub doubled: bool,
}

impl Call {
    /// The kind of call, as in the log.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Create(..) => "create",
            Self::Connect(_) => "connect",
            Self::Start(_) => "start",
            Self::Stop(_) => "stop",
            Self::Restart(_) => "restart",
            Self::Unpause(_) => "unpause",
            Self::Remove(_) => "remove",
            Self::Rename(..) => "rename",
            Self::Update(..) => "update",
        }
    }
}

impl World {
    /// A world that has `containers`.
    pub fn new(containers: Vec<Observed>) -> Self {
        Self { containers, ..Self::default() }
    }

    pub fn carry_out(&mut self, call: &Call) -> Result<(), Failure> {
        self.age();
        let done = self.do_it(call);
        self.log.push(format!("{} {}: {}", call.kind(), call.about(), if done.is_ok() { "done" } else { "refused" }));
        let up = self.containers.iter().filter(|it| it.status.is_up() && it.id != FOREIGN).count();
        if up > 1 && !self.doubled {
            self.doubled = true;
            self.log.push("two run".to_owned());
        }
        done
    }

    fn do_it(&mut self, call: &Call) -> Result<(), Failure> {
        match call {
            Call::Create(name, container) => {
                self.free(name, "")?;
                self.born += 1;
                let id = format!("made-{}", self.born);
                if container.replaces.is_some() && container.is_scanner() {
                    self.unconnected.insert(id.clone());
                }
                self.containers.push(Observed { id, name: name.clone(), ..(**container).clone() });
            }
            Call::Connect(id) => {
                self.get(id)?;
                self.unconnected.remove(id);
            }
            Call::Start(id) => {
                let status = self.get(id)?.status;
                if status == Status::Paused {
                    return Err(Failure::Conflict("cannot start a paused container".to_owned()));
                }
                if !status.is_up() {
                    self.starts(id)?;
                }
            }
            Call::Stop(id) if !self.get(id)?.status.is_up() => {}
            Call::Stop(id) if self.ignored_stops > 0 => {
                self.ignored_stops -= 1;
                self.get(id)?.restart_count += 1;
            }
            Call::Stop(id) => {
                self.get(id)?.status = Status::Exited;
                self.ended(id);
            }
            Call::Restart(id) => {
                self.get(id)?.status = Status::Exited;
                self.starts(id)?;
            }
            Call::Unpause(id) => self.get(id)?.status = Status::Running,
            Call::Remove(id) => {
                self.get(id)?;
                self.containers.retain(|it| it.id != *id);
            }
            Call::Rename(id, name) => {
                self.get(id)?;
                self.free(name, id)?;
                self.get(id)?.name.clone_from(name);
            }
            Call::Update(id, update) => {
                let container = self.get(id)?;
                if !container.is_updatable() {
                    return Err(Failure::NotFound("page not found".to_owned()));
                }
                for change in &update.changes {
                    match *change {
                        Change::Memory(memory, swap) => {
                            (container.limits.memory, container.limits.memory_swap) = (Some(memory), Some(swap));
                        }
                        Change::Cpus(cpus, period) => {
                            (container.limits.cpus, container.limits.cpu_period) = (Some(cpus), period);
                        }
                        Change::RestartPolicy(policy) => container.restart_policy = policy,
                    }
                }
            }
        }
        Ok(())
    }

    fn get(&mut self, id: &str) -> Result<&mut Observed, Failure> {
        let gone = || Failure::NotFound(format!("No such container: {id}"));
        self.containers.iter_mut().find(|it| it.id == id).ok_or_else(gone)
    }

    fn free(&self, name: &str, id: &str) -> Result<(), Failure> {
        if self.containers.iter().all(|it| it.name != name || it.id == id) {
            return Ok(());
        }
        Err(Failure::Conflict(format!("The container name \"/{name}\" is already in use by container")))
    }

    /// Somebody removes every container that does not run.
    pub fn prune(&mut self) {
        self.log.push("somebody removes what does not run".to_owned());
        self.age();
        self.containers.retain(|it| it.status.is_up());
        self.emptied |= self.containers.is_empty();
    }

    /// Somebody makes another container with the scanner's name, if nobody has it.
    pub fn take_name(&mut self) {
        let name = "scanner".to_owned();
        if self.free(&name, "").is_ok() {
            self.log.push("somebody takes the name".to_owned());
            let (id, image) = (FOREIGN.to_owned(), "nginx".to_owned());
            self.containers.push(Observed { id, name, image, status: Status::Running, ..Observed::default() });
        }
    }

    fn starts(&mut self, id: &str) -> Result<(), Failure> {
        self.starts += 1;
        if self.unconnected.contains(id) {
            self.incomplete = true;
            self.log.push("it lacks a network".to_owned());
        }
        let at = BIRTH + jiff::SignedDuration::from_secs(self.starts);
        let container = self.get(id)?;
        container.status = Status::Running;
        container.started_at = Some(at);
        let dies = container.image_id.clone();
        self.stopped_by_hand.remove(id);
        if self.dying.contains(&dies) {
            self.dies_at.push((id.to_owned(), Instant::now() + LIFE));
        }
        Ok(())
    }

    fn ended(&mut self, id: &str) {
        self.stopped_by_hand.insert(id.to_owned());
        self.dies_at.retain(|(it, _)| it != id);
    }

    /// What ends by itself has ended by now.
    pub fn age(&mut self) {
        let now = Instant::now();
        for (id, _) in self.dies_at.extract_if(.., |(_, at)| *at <= now).collect::<Vec<_>>() {
            if let Ok(container) = self.get(&id) {
                let again = container.restart_policy != RestartPolicy::No;
                container.status = if again { Status::Restarting } else { Status::Exited };
                container.exit_code = 3;
            }
        }
    }

    /// dockerd ends and starts again: policies are at work, for the stopped ones too (seen on 20.10), not for the created ones.
    pub fn restart(&mut self) {
        self.log.push("the engine restarts".to_owned());
        for container in &mut self.containers {
            let by_hand = self.stopped_by_hand.contains(&container.id);
            let comes_back = match container.restart_policy {
                RestartPolicy::No => false,
                RestartPolicy::Always => true,
                RestartPolicy::OnFailure(_) | RestartPolicy::UnlessStopped => !by_hand,
            };
            if container.status != Status::Created && !container.podman {
                container.status = if comes_back { Status::Running } else { Status::Exited };
            }
        }
        self.doubled |= self.containers.iter().filter(|it| it.status.is_up()).count() > 1;
    }
}

impl Call {
    /// What it is about, as in the log.
    pub fn about(&self) -> String {
        match self {
            Self::Create(name, _) => name.clone(),
            Self::Rename(id, name) => format!("{id} to {name}"),
            Self::Update(id, update) => format!("{id} {:?}", update.changes),
            Self::Connect(id)
            | Self::Start(id)
            | Self::Stop(id)
            | Self::Restart(id)
            | Self::Unpause(id)
            | Self::Remove(id) => id.clone(),
        }
    }
}
