//! A new container in the place of the old one, without ever losing the scanner.
//!
//! The new one is made first, while the old one runs; the old one is removed last, when the new one is known to work. In
//! between they swap names, and they never run at the same time. Every failure is undone by looking at what is there
//! ([`crate::scanner::recovery`]), not by remembering what was done: a call that failed may have worked all the same.

use std::time::Duration;

use super::{Failed, settle};
use crate::engine::{Engine, Failure};
use crate::error::{Error, Result};
use crate::host::lock::Lock;
use crate::scanner::desired::{Desired, Request};
use crate::scanner::name::Name;
use crate::scanner::observed::Observed;
use crate::scanner::recovery::{Scene, Undo};
use crate::scanner::replacement::{self, Call};
use crate::scanner::restart_policy::RestartPolicy;

/// How often the way back is tried.
const TRIES: u32 = 3;
/// Between two tries; an engine that restarts is back soon.
const PAUSE: Duration = Duration::from_millis(500);

/// Replaces `old` by a container for `desired`, which is started when `start`; `admission` is given back once that
/// container shows on the engine.
///
/// # Errors
/// When the new one could not take over; the old one is back then, unless the error says otherwise.
pub async fn run(
    engine: &Engine,
    request: &Request,
    desired: &Desired,
    old: &Observed,
    start: bool,
    admission: Option<Lock>,
) -> Result<(), Failed> {
    let mut replacement = Replacement { engine, request, desired, old, admission, new: String::new() };
    for call in replacement::calls(old, start) {
        if let Err(error) = replacement.make(call).await {
            return Err(if call == Call::RemoveOld { left_over(error) } else { undo(engine, request, error).await });
        }
    }
    Ok(())
}

/// Removes the `old` one, whose replacement is known to work.
///
/// # Errors
/// When the engine cannot; nothing is undone then, and the next run tries again.
pub async fn dismiss(engine: &Engine, old: &Observed) -> Result<(), Failed> {
    engine.remove(&old.id).await.map_err(|failure| left_over(failure.into_error(engine.host())))
}

fn left_over(error: Error) -> Failed {
    let error = error.and("the new scanner works, and the next run removes the old one");
    Failed { error, rolled_back: false, unfinished: true }
}

struct Replacement<'a> {
    engine: &'a Engine,
    request: &'a Request,
    desired: &'a Desired,
    old: &'a Observed,
    admission: Option<Lock>,
    /// The id of the new one, once it is made.
    new: String,
}

impl Replacement<'_> {
    async fn make(&mut self, call: Call) -> Result<()> {
        let Self { engine, request: Request { name, wish, .. }, desired, old, .. } = *self;
        let done = match call {
            Call::CreateNew => {
                let created = engine.create_successor(name, desired, old).await;
                self.admission = None;
                created.map(|id| self.new = id)
            }
            Call::SwitchOffOld => engine.set_restart_policy(&old.id, RestartPolicy::No).await,
            Call::StopOld => engine.stop(old, wish.stop_timeout).await,
            Call::SetOldAside => engine.rename(&old.id, &name.outgoing()).await,
            Call::NameNew => engine.rename(&self.new, name.as_str()).await,
            Call::StartNew => {
                engine.start(&self.new).await.map_err(|failure| settle::could_not_start(failure, engine))?;
                return settle::stays_up(engine, &self.new, wish.settle).await;
            }
            Call::RemoveOld => engine.remove(&old.id).await,
        };
        done.map_err(|failure| failure.into_error(engine.host()))
    }
}

/// Puts the old scanner back after `error`.
pub async fn undo(engine: &Engine, request: &Request, error: Error) -> Failed {
    let mut outcome = Ok(None);
    for attempt in 0..TRIES {
        if attempt > 0 {
            tokio::time::sleep(PAUSE).await;
        }
        outcome = put_back(engine, &request.name, request.wish.stop_timeout, true).await;
        if outcome.is_ok() {
            break;
        }
    }
    match outcome {
        Ok(back) => {
            let running = back.is_some_and(|back| back.status.is_up());
            let state = if running { "and running" } else { "as it was" };
            Failed { error: error.and(format!("the old scanner is back {state}")), rolled_back: true, unfinished: false }
        }
        Err(failure) => Failed {
            error: error.and(format!(
                "the old scanner is not lost, but could not be put back yet ({failure}); the next run of the task does it"
            )),
            rolled_back: false,
            unfinished: true,
        },
    }
}

/// Goes the way back from an interrupted replacement, if there is one; the scanner as it then is.
///
/// # Errors
/// When the engine does not let it; it can be tried again.
pub async fn put_back(
    engine: &Engine,
    name: &Name,
    grace: Option<i32>,
    may_start: bool,
) -> Result<Option<Observed>, Failure> {
    let scene = scene(engine, name).await?;
    let back = scene.way_back(name, may_start);
    for step in back.steps {
        match step {
            Undo::Stop(id) => {
                if let Some(container) = engine.look_at(&id).await? {
                    engine.stop(&container, grace).await?;
                }
            }
            Undo::Rename(id, name) => rename(engine, &id, &name, grace).await?,
            Undo::SetRestartPolicy(id, policy) => engine.set_restart_policy(&id, policy).await?,
            Undo::Start(id) => engine.start(&id).await?,
            Undo::Remove(id) => engine.remove(&id).await?,
        }
    }
    Ok(back.current)
}

/// Gives the container of `id` another name; an engine refuses that for one that is just between two starts, which is then
/// stopped first.
async fn rename(engine: &Engine, id: &str, name: &str, grace: Option<i32>) -> Result<(), Failure> {
    match (engine.rename(id, name).await, engine.look_at(id).await?) {
        (Err(_), Some(container)) if container.status.is_up() => {
            engine.stop(&container, grace).await?;
            engine.rename(id, name).await
        }
        (answer, _) => answer,
    }
}

/// The containers that a replacement of `name` deals with.
///
/// # Errors
/// When the engine does not answer properly.
pub async fn scene(engine: &Engine, name: &Name) -> Result<Scene, Failure> {
    let mut seen = [None, None, None];
    for (slot, name) in seen.iter_mut().zip([name.as_str(), &name.incoming(), &name.outgoing()]) {
        *slot = match engine.container(name).await? {
            Some(container) => Some(engine.observe(&container, None).await?),
            None => None,
        };
    }
    let [current, incoming, outgoing] = seen;
    Ok(Scene::new(current, incoming, outgoing))
}
