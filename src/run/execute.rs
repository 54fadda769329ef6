//! The one executor: it carries out the operations of first steps, live updates, replacements and rollbacks.
//!
//! It decides nothing. A plan lists its operations; in a replacement, [`crate::scanner::replacement::next`] derives the next
//! one from what is observed. Here is how an operation is done, how often it is tried, and what is recorded of it.

use std::time::Duration;

use anyhow::{Result, anyhow};
use futures_util::future::LocalBoxFuture;

use super::images::Images;
use super::interrupt::Interrupt;
use super::locks::Claims;
use super::observe;
use super::outcome::Written;
use super::retry::Tries;
use super::settle;
use crate::engine::{Engine, Failure};
use crate::error::{Error, Kind};
use crate::host::lock::Lock;
use crate::host::paths;
use crate::scanner::desired::{Desired, Request};
use crate::scanner::observed::{Note, Observed, Status};
use crate::scanner::operation::{Operation, Role, Update};
use crate::scanner::plan::Plan;
use crate::scanner::replacement::Containers;
use crate::scanner::values::environment::{self, Environment};

/// The engine could not start the scanner; the engine's own failure is the source.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NotStarted(#[source] pub Failure);

/// Carries out operations for one scanner.
pub struct Executor<'a, E> {
    engine: &'a E,
    pub(super) request: &'a Request,
    images: &'a Images<'a, E>,
    pub(super) interrupt: &'a Interrupt,
    pub(super) timeout: Duration,
    /// The containers before the first operation.
    pub(super) before: Containers,
    /// The containers as they were last observed.
    pub(super) seen: Containers,
    /// Keeps other runs from this scanner.
    lock: Option<Lock>,
    /// Held until what is claimed shows, so that the next run observes it.
    pub(super) claims: Claims,
    /// The scanner that the plan leads to.
    pub(super) desired: Option<Desired>,
    /// The id of the scanner's container, where this executor made it.
    pub(super) created: Option<String>,
    /// Variables that a successor has from the old container.
    pub(super) kept_env: Environment,
    /// What the replacement that is under way notes about the old container.
    pub(super) note: Option<Note>,
    /// Whether a scanner that ran before a replacement that is half-way could not be started again.
    pub(super) owes_start: bool,
    /// What was done.
    pub written: Written,
}

impl<'a, E: Engine> Executor<'a, E> {
    /// An executor for `request`, whose containers are `seen`.
    pub fn new(
        engine: &'a E,
        request: &'a Request,
        images: &'a Images<'a, E>,
        interrupt: &'a Interrupt,
        timeout: Duration,
        seen: Containers,
    ) -> Self {
        Self {
            engine,
            request,
            images,
            interrupt,
            timeout,
            before: seen.clone(),
            seen,
            lock: None,
            claims: Claims::default(),
            desired: None,
            created: None,
            kept_env: Environment::default(),
            note: None,
            owes_start: false,
            written: Written::default(),
        }
    }

    /// A replacement that was half-way is finished or rolled back: what comes now begins with the containers `seen`.
    pub fn recovered(&mut self, seen: Containers) {
        self.written.actions.push("recover");
        self.written.lasting = true;
        (self.written.tried, self.written.went_back) = (false, false);
        self.before = seen.clone();
        self.seen = seen;
    }

    /// The old container of a replacement that was half-way is back, but does not start; what comes now may be the cure.
    pub const fn go_on_without_start(&mut self) {
        self.owes_start = true;
    }

    /// Begins to change the scanner, whose containers are those of `seen` while `lock` is held.
    pub fn begin(&mut self, lock: Lock, seen: Containers) {
        self.lock = Some(lock);
        self.before = seen.clone();
        self.seen = seen;
    }

    /// Releases the locks; returns the containers before the first operation, and what was written.
    pub fn end(self) -> (Containers, Written) {
        (self.before, self.written)
    }

    /// The containers as they were last observed.
    pub const fn seen(&self) -> &Containers {
        &self.seen
    }

    /// Keeps other runs from claiming anything until what this scanner claims shows.
    pub fn hold(&mut self, claims: Claims) {
        self.claims = claims;
    }

    /// What this scanner claims shows now: other runs need not wait for a stop, a start or `settle`.
    fn release(&mut self) {
        self.claims = Claims::default();
    }

    /// Carries out every operation of `plan`.
    pub async fn carry_out(&mut self, plan: &Plan) -> Result<()> {
        self.desired.clone_from(&plan.desired);
        let mut operations = plan.operations.iter();
        while let Some(operation) = operations.next() {
            if !operation.claims() && !operations.clone().any(Operation::claims) {
                self.release();
            }
            // A scanner that was stopped only to be started again is not left stopped.
            let is_pause = self.is_down() && (operation.starts() || operations.clone().any(Operation::starts));
            if !is_pause {
                self.interrupt.check()?;
            }
            let done = match operation {
                Operation::Replace { start, policy, env } => self.replace(*start, *policy, env).await,
                operation => self.step(operation).await,
            };
            if let Err(error) = done {
                let is_pause = !operation.starts() && operations.clone().any(Operation::starts);
                return Err(self.clean_up(error, is_pause).await);
            }
            self.written.actions.extend(operation.word());
        }
        Ok(())
    }

    /// Whether the scanner ran before and an operation stopped it.
    pub(super) fn is_down(&self) -> bool {
        let up = |containers: &Containers| containers.current.as_ref().is_some_and(|it| it.status.is_up());
        up(&self.before) && !up(&self.seen)
    }

    /// Does one operation outside of a replacement, with further tries where these may help.
    async fn step(&mut self, operation: &Operation) -> Result<()> {
        let mut tries = Tries::forward(self.timeout);
        let (mut done, mut in_doubt) = (false, false);
        loop {
            let attempt = if done { Ok(()) } else { self.perform(operation).await };
            done |= attempt.is_ok();
            let attempt = match attempt {
                Ok(()) => self.look_after(operation).await,
                failed => failed,
            };
            let Err(error) = attempt else {
                return Ok(());
            };
            let Some(failure) = Failure::of(&error) else {
                return Err(error);
            };
            done &= *failure.root() != Failure::Restarted;
            in_doubt |= failure.leaves_doubt();
            let creates = *operation == Operation::Create;
            // Whether a call whose answer was lost had an effect is unknown; a further call may find it done.
            let may_be_done = in_doubt || failure.is_not_found() || (failure.is_conflict() && !creates);
            if !done && may_be_done && self.look().await.is_ok() && self.shows(operation) {
                if creates {
                    self.created = self.seen.current.as_ref().map(|it| it.id.clone());
                }
                self.written.lasting |= in_doubt && self.before.current.is_some();
                return Ok(());
            }
            // Do not create a second container of this name while the engine may still create the first.
            let once = creates && in_doubt && !done;
            if once || !tries.again(&error).await {
                return Err(error);
            }
        }
    }

    /// Looks after `operation` where the next one must know which container there is, and whether it runs. Podman ignores a stop
    /// that comes between two starts of a flapping scanner.
    async fn look_after(&mut self, operation: &Operation) -> Result<()> {
        if matches!(operation, Operation::Create | Operation::Stop(_) | Operation::Remove(_)) {
            self.look().await?;
        }
        if matches!(operation, Operation::Stop(_)) && !self.shows(operation) {
            return Err(Failure::Restarted.into());
        }
        Ok(())
    }

    /// Whether the containers show that `operation` has worked.
    fn shows(&self, operation: &Operation) -> bool {
        let now = self.seen.current.as_ref();
        match operation {
            Operation::Create => now.is_some_and(|it| self.is_ours(it)),
            Operation::Unpause => now.is_some_and(|it| it.status == Status::Running),
            Operation::Restart => {
                let before = self.before.current.as_ref().and_then(|it| it.started_at);
                now.is_some_and(|it| it.status.is_up() && it.started_at > before)
            }
            Operation::Start(_) => now.is_some_and(|it| it.status.is_up()),
            Operation::Stop(_) => now.is_none_or(|it| !it.status.is_up()),
            Operation::Remove(_) => now.is_none(),
            _ => false,
        }
    }

    /// Whether `container` is the one that the engine was asked to create, when the answer was lost: nobody else has this code,
    /// and nobody has started it yet.
    fn is_ours(&self, container: &Observed) -> bool {
        let code = self.desired.as_ref().map(|desired| desired.code.expose());
        let is_new = container.status == Status::Created && container.started_at.is_none();
        is_new && code.is_some() && container.env.value(environment::CODE) == code
    }

    /// Does `operation` once.
    pub(super) async fn perform(&mut self, operation: &Operation) -> Result<()> {
        let (engine, request) = (self.engine, self.request);
        let (name, grace) = (&request.name, request.policy.stop_timeout);
        self.written.tried |= !operation.fetches() && !matches!(operation, Operation::Settle(_));
        match operation {
            Operation::PullImage | Operation::LoadImage => {
                self.interrupt.guard(self.images.fetch(request, operation)).await??;
                self.written.lasting = true;
                self.images.look_up_fetched(request, operation).await?;
            }
            Operation::CreateDirectory(path, mode) => {
                let owner = engine.info().await?.directory_owner;
                self.lock_new_identity(path, &owner).await?;
                paths::create(path, *mode, &owner, &mut self.written.directories)?;
            }
            Operation::SetMode(path, mode) => {
                paths::set_mode(path, *mode)?;
                self.written.lasting = true;
            }
            Operation::PurgeDirectory(path) => {
                let aside = paths::set_aside(path)?;
                self.written.lasting |= !aside.is_empty();
                // Nobody can begin to use it any more, and many files take long.
                self.release();
                aside.delete()?;
            }
            Operation::Create => {
                self.created = Some(self.interrupt.guard(engine.create(name, self.desired()?)).await??);
            }
            Operation::CreateSuccessor => {
                let old = self.container(Role::Old)?;
                let note = self.note.clone().unwrap_or_else(|| Note::of(old));
                let desired = self.desired()?.clone().with_env(&self.kept_env);
                let created = self.interrupt.guard(engine.create_successor(name, &desired, old, &note)).await;
                created??;
                self.release();
            }
            Operation::CreateNote => drop(engine.create_note(name, self.container(Role::New)?).await?),
            Operation::Update(update) => {
                let there = self.container(Role::Scanner)?.clone();
                if let Err(failure) = engine.update(&there.id, update).await {
                    return Err(settle::not_updated(engine, &there, failure).await);
                }
                self.written.lasting = true;
            }
            Operation::SetRestartPolicy(role, policy) => {
                engine.update(&self.container(*role)?.id, &Update::restart_policy(*policy)).await?;
            }
            Operation::Rename(role, alias) => engine.rename(&self.container(*role)?.id, &alias.of(name)).await?,
            Operation::Reconnect(network) => engine.reconnect(self.container(Role::Scanner)?, network).await?,
            Operation::Start(role) => {
                let started = engine.start(&self.container(*role)?.id).await;
                self.ran(*role, started).map_err(|failure| anyhow!(NotStarted(failure)))?;
            }
            Operation::Restart => {
                let restarted = engine.restart(self.container(Role::Scanner)?, grace).await;
                self.ran(Role::Scanner, restarted).map_err(|failure| anyhow!(NotStarted(failure)))?;
            }
            Operation::Unpause => {
                let unpaused = engine.unpause(&self.container(Role::Scanner)?.id).await;
                self.ran(Role::Scanner, unpaused)?;
            }
            Operation::Stop(role) => {
                let stopped = engine.stop(self.container(*role)?, grace).await;
                self.ran(*role, stopped)?;
            }
            Operation::Settle(role) => {
                let id = self.container(*role)?.id.clone();
                self.interrupt.guard(settle::stays_up(engine, &id, request.policy.settle)).await??;
            }
            Operation::Remove(role) => {
                // A container that was run with --rm went when it was stopped.
                let Some(id) = self.seen.role(*role).map(|it| it.id.clone()) else { return Ok(()) };
                let removed = engine.remove(&id).await;
                self.gone(&id, removed).await?;
            }
            Operation::RemoveVolumes(names) => engine.remove_volumes(names).await?,
            Operation::Replace { .. } => return Err(defect("a replacement is more than one operation")),
        }
        Ok(())
    }

    /// Notes that the container that plays `role` was started or stopped, or may have been.
    fn ran(&mut self, role: Role, answer: Result<(), Failure>) -> Result<(), Failure> {
        let id = self.seen.role(role).map(|it| &it.id);
        let was_there = self.before.iter().any(|it| Some(&it.id) == id);
        match &answer {
            Ok(()) => self.written.lasting |= was_there,
            Err(failure) => self.written.run_state_in_doubt |= was_there && failure.leaves_doubt(),
        }
        answer
    }

    /// A removal has succeeded only when the container is gone: no later run would remove it.
    async fn gone(&self, id: &str, removed: Result<(), Failure>) -> Result<()> {
        match removed {
            Err(failure) if !failure.is_not_found() => Err(failure.into()),
            answer => match (answer, self.engine.inspect(id).await?) {
                (_, None) => Ok(()),
                (Err(failure), Some(_)) => Err(failure.into()),
                (Ok(()), Some(_)) => {
                    let message = "the engine has not removed the container yet; run the task again";
                    Err(Failure::Conflict(message.to_owned()).into())
                }
            },
        }
    }

    /// Observes the containers. Boxed, or the binary would have it once for each call.
    pub(super) fn look(&mut self) -> LocalBoxFuture<'_, Result<()>> {
        Box::pin(async move {
            self.seen = observe::containers(self.engine, &self.request.name, self.timeout).await?;
            Ok(())
        })
    }

    fn desired(&self) -> Result<&Desired> {
        self.desired.as_ref().ok_or_else(|| defect("a plan to create a scanner without what to create"))
    }

    pub(super) fn container(&self, role: Role) -> Result<&Observed> {
        self.seen.role(role).ok_or_else(|| defect("an operation for a container that is not there"))
    }
}

fn defect(what: &str) -> anyhow::Error {
    Error::new(Kind::Internal, format!("{what}; report this as a defect")).into()
}
