//! An engine in memory, for tests: it can refuse, lose answers, answer late or never, carry out a call after its client gave
//! up, end and come back; and tests can read its real state.

mod made;
mod world;

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::io;
use std::time::Duration;

use futures_util::Stream;
use hyper::body::Bytes;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use self::made::image_of;
pub use self::made::made;
use self::world::Call;
pub use self::world::{FOREIGN, World};
use super::{DockerHost, Engine, Failure, Info, Listed, LocalImage};
use crate::scanner::admission::Neighbour;
use crate::scanner::dependency::Dependency;
use crate::scanner::desired::Desired;
use crate::scanner::engine_traits::EngineTraits;
use crate::scanner::observed::{Note, Observed};
use crate::scanner::operation::Update;
use crate::scanner::policy::Credentials;
use crate::scanner::values::compression::Compression;
use crate::scanner::values::directory::Owner;
use crate::scanner::values::image::{ImageRef, Store};
use crate::scanner::values::mount;
use crate::scanner::values::name::Name;
use crate::scanner::values::restart_policy::RestartPolicy;

/// How long an engine that ended stays down.
const AWAY: Duration = Duration::from_secs(1);
/// What happens to one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The engine refuses, once.
    Refused,
    /// It refuses this and every further call of the kind, as long as the run lasts.
    RefusedForGood,
    /// The connection breaks before the engine has the call …
    LostBefore,
    /// … or after it did what was asked.
    LostAfter,
    /// No answer comes in time; the engine does it before so many further calls that change something, or when the run is over.
    Late(usize),
    /// The run is killed before …
    KillBefore,
    /// … or after the engine did what was asked.
    KillAfter,
    /// The engine ends and comes back before …
    RestartBefore,
    /// … or after it did what was asked.
    RestartAfter,
    /// Somebody removes every container that does not run before the engine has the call.
    Prune,
    /// Somebody makes another container with the scanner's name before, if nobody has it.
    TakeName,
    /// The run is told to end before …
    TermBefore,
    /// … or after the engine did what was asked.
    TermAfter,
}

/// The engine.
pub struct Fake {
    world: RefCell<World>,
    /// Which call that changes something goes wrong, counted from 0, and how.
    fault: Cell<Option<(usize, Fault)>>,
    calls: Cell<usize>,
    /// How often it was asked anything.
    pub requests: Cell<usize>,
    timeout: Duration,
    away_until: Cell<Option<Instant>>,
    refused: RefCell<Option<&'static str>>,
    late: RefCell<Vec<(usize, Call)>>,
    /// A run that was killed waits for ever; the test waits here and drops it.
    pub killed: Notify,
    /// What a fault that sends SIGTERM does.
    pub on_term: RefCell<Box<dyn Fn()>>,
    /// Called before each call, with its text as in the log: it may change the state, and let the call fail.
    pub before_call: RefCell<Box<BeforeCall>>,
}

/// The type of [`Fake::before_call`].
pub type BeforeCall = dyn Fn(&str, &mut World) -> Result<(), Failure>;

impl Fake {
    /// An engine that has `containers`.
    pub fn new(containers: Vec<Observed>, timeout: Duration) -> Self {
        Self {
            world: RefCell::new(World::new(containers)),
            fault: Cell::new(None),
            calls: Cell::new(0),
            requests: Cell::new(0),
            timeout,
            away_until: Cell::new(None),
            refused: RefCell::new(None),
            late: RefCell::default(),
            killed: Notify::new(),
            on_term: RefCell::new(Box::new(|| {})),
            before_call: RefCell::new(Box::new(|_, _| Ok(()))),
        }
    }

    /// Injects `fault` into a call; calls are counted from 0 again.
    pub fn set(&self, fault: Option<(usize, Fault)>) {
        self.fault.set(fault);
        self.calls.set(0);
    }

    /// How many calls there were that change something.
    pub fn calls(&self) -> usize {
        self.calls.get()
    }

    /// Whether the fault has hit.
    pub fn hit(&self) -> bool {
        self.fault.get().is_none_or(|(at, _)| self.calls.get() > at)
    }

    /// The run is over: late calls are carried out now, and nothing is refused any more.
    pub fn settle(&self) {
        self.refused.take();
        self.fault.set(None);
        self.away_until.set(None);
        for (_, call) in self.late.take() {
            let _ = self.world.borrow_mut().carry_out(&call);
        }
    }

    /// The state now.
    pub fn world(&self) -> World {
        let mut world = self.world.borrow_mut();
        world.age();
        world.clone()
    }

    /// Calls `look` with the containers as they are now.
    fn look<T>(&self, look: impl FnOnce(&[Observed]) -> T) -> T {
        let mut world = self.world.borrow_mut();
        world.age();
        look(&world.containers)
    }

    /// Changes the state.
    pub fn with<T>(&self, change: impl FnOnce(&mut World) -> T) -> T {
        change(&mut self.world.borrow_mut())
    }

    fn reachable(&self) -> Result<(), Failure> {
        self.requests.set(self.requests.get() + 1);
        match self.away_until.get() {
            Some(until) if Instant::now() < until => Err(Failure::Unreachable(DockerHost::parse(None, None).unwrap())),
            _ => Ok(()),
        }
    }

    fn restart(&self) {
        self.world.borrow_mut().restart();
        self.late.take();
        self.away_until.set(Some(Instant::now() + AWAY));
    }

    async fn call(&self, call: Call) -> Result<(), Failure> {
        self.reachable()?;
        let number = self.calls.replace(self.calls.get() + 1);
        let told = format!("{} {}", call.kind(), call.about());
        (self.before_call.borrow())(&told, &mut self.world.borrow_mut())?;
        let due: Vec<_> = {
            let mut late = self.late.borrow_mut();
            late.iter_mut().for_each(|(left, _)| *left = left.saturating_sub(1));
            late.extract_if(.., |(left, _)| *left == 0).collect()
        };
        for (_, call) in due {
            let _ = self.world.borrow_mut().carry_out(&call);
        }
        if *self.refused.borrow() == Some(call.kind()) {
            return Err(refusal());
        }
        let fault = self.fault.get().filter(|(at, _)| *at == number).map(|(_, fault)| fault);
        match fault {
            Some(Fault::Refused) => return Err(refusal()),
            Some(Fault::RefusedForGood) => {
                *self.refused.borrow_mut() = Some(call.kind());
                return Err(refusal());
            }
            Some(Fault::LostBefore) => return Err(Failure::Lost),
            Some(Fault::Late(by)) => {
                self.late.borrow_mut().push((by, call));
                sleep(self.timeout).await;
                return Err(Failure::TimedOut(self.timeout));
            }
            Some(Fault::KillBefore) => self.kill().await,
            Some(Fault::RestartBefore) => {
                self.restart();
                return Err(Failure::Lost);
            }
            Some(Fault::TermBefore) => (self.on_term.borrow())(),
            Some(Fault::Prune) => self.world.borrow_mut().prune(),
            Some(Fault::TakeName) => self.world.borrow_mut().take_name(),
            _ => {}
        }
        let done = self.world.borrow_mut().carry_out(&call);
        match fault {
            Some(Fault::LostAfter) => return Err(Failure::Lost),
            Some(Fault::KillAfter) => self.kill().await,
            Some(Fault::RestartAfter) => {
                self.restart();
                return Err(Failure::Lost);
            }
            Some(Fault::TermAfter) => (self.on_term.borrow())(),
            _ => {}
        }
        done
    }

    async fn kill(&self) {
        self.killed.notify_one();
        pending::<()>().await;
    }
}

fn refusal() -> Failure {
    Failure::Refused { status: 500, message: "a fault on purpose".to_owned() }
}

/// What an engine says of itself; each test has one of its own.
pub fn info() -> Info {
    Info {
        traits: EngineTraits::default(),
        limits_cpus: true,
        store: Store::Graph,
        cpus: 64,
        memory: 1 << 40,
        rootless: false,
        directory_owner: Owner::Root,
        host_name: "host".to_owned(),
        root_dir: format!("/fake/{}/{:?}", std::process::id(), std::thread::current().id()),
        socket: "/fake/docker.sock".into(),
    }
}

impl Engine for Fake {
    fn docker_host(&self) -> String {
        "unix:///run/fake.sock".to_owned()
    }

    async fn containers(&self, names: &[&Name]) -> Result<Vec<Listed>, Failure> {
        self.reachable()?;
        let wanted: Vec<_> =
            names.iter().flat_map(|name| [name.as_str().to_owned(), name.incoming(), name.outgoing()]).collect();
        self.look(|all| {
            let listed = all.iter().filter(|it| wanted.contains(&it.name));
            Ok(listed.map(|it| Listed { id: it.id.clone(), name: it.name.clone() }).collect())
        })
    }

    async fn inspect(&self, id: &str) -> Result<Option<Observed>, Failure> {
        self.reachable()?;
        self.look(|all| Ok(all.iter().find(|it| it.id == id).cloned()))
    }

    async fn image(&self, name: &str) -> Result<Option<LocalImage>, Failure> {
        self.reachable()?;
        Ok(Some(image_of(name)))
    }

    async fn registry_digest(&self, _: &ImageRef, _: Option<&Credentials>) -> Result<Option<String>, Failure> {
        self.reachable()?;
        Ok(Some("sha256:newest".to_owned()))
    }

    async fn network(&self, _: &str) -> Result<Option<String>, Failure> {
        self.reachable()?;
        Ok(Some(String::new()))
    }

    async fn info(&self) -> Result<Info, Failure> {
        self.reachable()?;
        Ok(info())
    }

    async fn neighbours(&self) -> Result<Vec<Neighbour>, Failure> {
        self.reachable()?;
        let neighbour = |it: Observed| Neighbour {
            id: it.id.clone(),
            name: it.name.clone(),
            mounts: it.mounts.clone(),
            borrowed: it.borrowed.clone(),
            is_up: it.status.is_up(),
            scanner: it.mount(mount::PRIVATE).is_some().then_some(it),
        };
        Ok(self.world().containers.into_iter().map(neighbour).collect())
    }

    async fn updates(&self) -> Result<bool, Failure> {
        self.reachable()?;
        Ok(false)
    }

    async fn dependencies(&self, ids: &[&str]) -> Result<Vec<Vec<Dependency>>, Failure> {
        self.reachable()?;
        Ok(vec![Vec::new(); ids.len()])
    }

    async fn last_lines(&self, _: &str, _: usize) -> Result<Vec<String>, Failure> {
        self.reachable()?;
        Ok(vec!["scanner died".to_owned()])
    }

    async fn pull(&self, _: &ImageRef, _: Option<&Credentials>) -> Result<(), Failure> {
        self.reachable()
    }

    async fn can_load(&self, _: Compression) -> Result<bool, Failure> {
        self.reachable().map(|()| true)
    }

    async fn load(&self, _: impl Stream<Item = io::Result<Bytes>> + Send + 'static) -> Result<(), Failure> {
        self.reachable()
    }

    async fn create(&self, name: &Name, desired: &Desired) -> Result<String, Failure> {
        self.call(Call::Create(name.as_str().to_owned(), Box::new(made(desired)))).await?;
        Ok(self.world().containers.last().map(|it| it.id.clone()).unwrap_or_default())
    }

    async fn create_successor(
        &self,
        name: &Name,
        desired: &Desired,
        old: &Observed,
        note: &Note,
    ) -> Result<String, Failure> {
        let mut new = made(desired);
        if desired.network.as_ref().is_none_or(|network| old.is_on(network)) {
            new.network = old.network.clone();
        }
        new.privileged = desired.privileged.unwrap_or(old.privileged);
        new.labels = old.labels.clone().into_iter().chain(desired.labels.clone()).collect();
        let policy = desired.restart_policy.unwrap_or(old.restart_policy);
        new.restart_policy = if old.is_updatable() { RestartPolicy::No } else { policy };
        (new.podman, new.replaces) = (old.podman, Some(note.clone()));
        self.call(Call::Create(name.incoming(), Box::new(new))).await?;
        // As with more than one network.
        let id = self.world().containers.last().map(|it| it.id.clone()).unwrap_or_default();
        self.call(Call::Connect(id.clone())).await?;
        Ok(id)
    }

    async fn create_note(&self, name: &Name, successor: &Observed) -> Result<String, Failure> {
        let replaces = successor.replaces.clone();
        let note = Observed { replaces, podman: successor.podman, ..Observed::default() };
        self.call(Call::Create(name.incoming(), Box::new(note))).await?;
        Ok(String::new())
    }

    async fn start(&self, id: &str) -> Result<(), Failure> {
        self.call(Call::Start(id.to_owned())).await
    }

    async fn stop(&self, container: &Observed, _: Option<i32>) -> Result<(), Failure> {
        self.call(Call::Stop(container.id.clone())).await
    }

    async fn restart(&self, container: &Observed, _: Option<i32>) -> Result<(), Failure> {
        self.call(Call::Restart(container.id.clone())).await
    }

    async fn reconnect(&self, container: &Observed, _: &str) -> Result<(), Failure> {
        self.call(Call::Connect(container.id.clone())).await
    }

    async fn unpause(&self, id: &str) -> Result<(), Failure> {
        self.call(Call::Unpause(id.to_owned())).await
    }

    async fn remove(&self, id: &str) -> Result<(), Failure> {
        self.call(Call::Remove(id.to_owned())).await
    }

    async fn remove_volumes(&self, _: &[String]) -> Result<(), Failure> {
        self.reachable()
    }

    async fn rename(&self, id: &str, name: &str) -> Result<(), Failure> {
        self.call(Call::Rename(id.to_owned(), name.to_owned())).await
    }

    async fn update(&self, id: &str, update: &Update) -> Result<(), Failure> {
        self.call(Call::Update(id.to_owned(), update.clone())).await
    }
}
