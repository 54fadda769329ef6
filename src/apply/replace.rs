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
use crate::scanner::recovery::{Scene, StopOfOld, Undo};
use crate::scanner::replacement::{self, Call};
use crate::scanner::restart_policy::RestartPolicy;

/// How often the way back is tried, and the removal of what is of no use any more.
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
    let policy = desired.restart_policy.unwrap_or(old.restart_policy);
    let stop = StopOfOld::NotSent;
    let mut replacement = Replacement { engine, request, desired, old, policy, admission, stop, new: String::new() };
    for call in replacement::calls(old, policy, start) {
        if let Err(failed) = replacement.make(call).await {
            return Err(match call {
                Call::RemoveOld => left_over(failed.error),
                Call::SwitchOffOld if failed.unfinished => left_noted(failed.error),
                _ => undo(engine, request, old, replacement.stop, failed).await,
            });
        }
    }
    Ok(())
}

/// Removes the `old` one, whose replacement is known to work.
///
/// # Errors
/// When the engine cannot; nothing is undone then, and the next run tries again.
pub async fn dismiss(engine: &Engine, old: &Observed) -> Result<(), Failed> {
    remove(engine, &old.id).await.map_err(|failure| left_over(failure.into_error(engine.host())))
}

/// Removes a container that is of no use any more; not at the first failure is it left behind.
///
/// # Errors
/// The last failure.
pub async fn remove(engine: &Engine, id: &str) -> Result<(), Failure> {
    let mut outcome = engine.remove(id).await;
    for _ in 1..TRIES {
        if outcome.is_ok() {
            break;
        }
        tokio::time::sleep(PAUSE).await;
        outcome = engine.remove(id).await;
    }
    outcome
}

fn left_over(error: Error) -> Failed {
    let error = error.and("the new scanner works, and the next run removes the old one");
    Failed { error, rolled_back: false, unfinished: true }
}

/// Nothing but a restart policy may have been touched, and may still be, behind any way back: the new one stays, on which is
/// noted what the policy was.
fn left_noted(error: Error) -> Failed {
    let error = error.and("the old scanner is as it was, and the next run puts its restart policy in order");
    Failed { error, rolled_back: false, unfinished: true }
}

struct Replacement<'a> {
    engine: &'a Engine,
    request: &'a Request,
    desired: &'a Desired,
    old: &'a Observed,
    /// The new one's.
    policy: RestartPolicy,
    admission: Option<Lock>,
    stop: StopOfOld,
    /// The id of the new one, once it is made.
    new: String,
}

impl Replacement<'_> {
    async fn make(&mut self, call: Call) -> Result<(), Failed> {
        let Self { engine, request: Request { name, wish, .. }, desired, old, policy, .. } = *self;
        let done = match call {
            Call::CreateNew => {
                let created = engine.create_successor(name, desired, old).await;
                self.admission = None;
                created.map(|id| self.new = id)
            }
            Call::SwitchOffOld => engine.set_restart_policy(&old.id, RestartPolicy::No).await,
            Call::StopOld => {
                let ended = engine.end(old, wish.stop_timeout).await;
                let in_doubt = ended.as_ref().is_err_and(Failure::leaves_doubt);
                self.stop = if in_doubt { StopOfOld::Unanswered } else { StopOfOld::MaybeSent };
                ended
            }
            Call::SetOldAside => engine.rename(&old.id, &name.outgoing()).await,
            Call::SwitchOnNew => engine.set_restart_policy(&self.new, policy).await,
            Call::NameNew => engine.rename(&self.new, name.as_str()).await,
            Call::StartNew => {
                engine.start(&self.new).await.map_err(|failure| settle::could_not_start(failure, engine))?;
                return Ok(settle::stays_up(engine, &self.new, wish.settle).await?);
            }
            Call::RemoveOld => remove(engine, &old.id).await,
        };
        done.map_err(|failure| {
            // What is in doubt may come true when nobody looks any more.
            let unfinished = failure.leaves_doubt();
            Failed { error: failure.into_error(engine.host()), rolled_back: false, unfinished }
        })
    }
}

/// Puts the `old` scanner back after a replacement that `failed`.
async fn undo(engine: &Engine, request: &Request, old: &Observed, stop: StopOfOld, failed: Failed) -> Failed {
    let Failed { error, unfinished: in_doubt, .. } = failed;
    let lost = "the old scanner is not lost, but could not be put back yet";
    match put_back(engine, request, true, stop).await {
        Ok(Back { current: Some(back), not_started: None, .. }) if back.id == old.id => {
            let state = if back.status.is_up() { "and running" } else { "as it was" };
            let error = error.and(format!("the old scanner is back {state}"));
            Failed { error, rolled_back: true, unfinished: in_doubt }
        }
        Ok(Back { current: Some(back), not_started: Some(failure), .. }) if back.id == old.id => Failed {
            error: error.and(format!("the old scanner is back, but could not be started again ({failure})")),
            rolled_back: false,
            unfinished: in_doubt,
        },
        Ok(_) => Failed {
            error: error.and(format!("{lost} (the engine does not show it); the next run of the task does it")),
            rolled_back: false,
            unfinished: true,
        },
        Err(failure) => Failed {
            error: error.and(format!("{lost} ({failure}); the next run of the task does it")),
            rolled_back: false,
            unfinished: true,
        },
    }
}

/// Where the way back led.
#[derive(Debug)]
pub struct Back {
    /// The container that has the scanner's name now.
    pub current: Option<Observed>,
    /// The id of the one that was to be started on the way.
    pub started: Option<String>,
    /// Why it does not run again.
    pub not_started: Option<Failure>,
}

/// Goes the way back from an interrupted replacement, if there is one.
///
/// # Errors
/// When the engine does not let it, not even after several tries.
pub async fn put_back(engine: &Engine, request: &Request, may_start: bool, stop: StopOfOld) -> Result<Back, Failure> {
    let mut in_doubt = stop == StopOfOld::Unanswered;
    let mut outcome = go_back(engine, request, may_start, stop, false).await;
    for attempt in 1..TRIES {
        match &outcome {
            Ok(_) => break,
            Err(failure) => in_doubt |= failure.leaves_doubt(),
        }
        tokio::time::sleep(PAUSE).await;
        outcome = go_back(engine, request, may_start, stop, attempt + 1 == TRIES).await;
    }
    if let Ok(Back { started: Some(id), not_started: not_started @ None, .. }) = &mut outcome
        && in_doubt
    {
        *not_started = keep_up(engine, id, request.wish.settle).await;
    }
    outcome
}

/// Watches the container of `id`, which was just started, for as long as `settle`: a stop that the engine did not answer may
/// come true only now. Why it could not be started again then.
async fn keep_up(engine: &Engine, id: &str, settle: Duration) -> Option<Failure> {
    settle::stays_up(engine, id, settle).await.err()?;
    match engine.look_at(id).await {
        Ok(Some(seen)) if !seen.status.is_up() => engine.start(id).await.err(),
        _ => None,
    }
}

/// One try; in the last one an old scanner that can never start again does not block the way.
async fn go_back(
    engine: &Engine,
    Request { name, wish, .. }: &Request,
    may_start: bool,
    stop: StopOfOld,
    last: bool,
) -> Result<Back, Failure> {
    let grace = wish.stop_timeout;
    let back = scene(engine, name).await?.way_back(name, may_start, stop);
    let (mut started, mut not_started) = (None, None);
    for step in back.steps {
        match step {
            Undo::Stop(id) => {
                if let Some(container) = engine.look_at(&id).await? {
                    engine.end(&container, grace).await?;
                }
            }
            Undo::FinishStop(id) => {
                if let Some(container) = engine.look_at(&id).await? {
                    match engine.stop(&container, grace).await {
                        // It goes on running then, which is what it shall do.
                        Err(failure) if failure.is_refusal() => {}
                        answer => answer?,
                    }
                }
            }
            Undo::Rename(id, name) => rename(engine, &id, &name, grace).await?,
            Undo::SetRestartPolicy(id, policy) => engine.set_restart_policy(&id, policy).await?,
            Undo::Start(id) => {
                match engine.start(&id).await {
                    Err(failure) if failure.is_refusal() && last => not_started = Some(failure),
                    answer => answer?,
                }
                started = Some(id);
            }
            Undo::Remove(id) => engine.remove(&id).await?,
        }
    }
    Ok(Back { current: back.current, started, not_started })
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
        *slot = engine.named(name).await?;
    }
    let [current, incoming, outgoing] = seen;
    Ok(Scene::new(current, incoming, outgoing))
}
