//! The loop of a replacement and of the way back: look, ask [`replacement::next`] what comes next, do it.
//!
//! It has no memory of where it is. What it remembers is what no look could show: the first cause of a failure, and what the
//! engine was asked to do and did not answer.

use anyhow::Result;

use super::execute::Executor;
use super::retry::Tries;
use crate::engine::{Engine, Failure};
use crate::error::{Error, Kind};
use crate::protocol::arguments::State;
use crate::scanner::operation::{Operation, Role};
use crate::scanner::replacement::{self, Goal, RollBack};

/// Said after what made a replacement fail.
#[derive(Debug, thiserror::Error)]
#[error("interrupted by a signal")]
pub struct Interrupted;

/// A way to a goal.
struct Way {
    goal: Goal,
    tries: Tries,
    /// What the way back must know, should it come to that.
    back: RollBack,
    /// Why the old one comes back.
    cause: Option<anyhow::Error>,
    /// Whether a run before this one left the replacement half-way, and it is rolled back.
    recovers: bool,
}

/// An operation that failed; `None`: nobody could look.
struct Stuck {
    operation: Option<Operation>,
    error: anyhow::Error,
}

impl<E: Engine> Executor<'_, E> {
    /// Goes from what is there to `goal`, operation by operation.
    pub async fn reach(&mut self, goal: Goal) -> Result<()> {
        let recovers = matches!(goal, Goal::RollBack(_));
        let tries = if recovers { Tries::back(self.timeout) } else { Tries::forward(self.timeout) };
        let back = RollBack { may_start: true, ..RollBack::default() };
        let mut way = Way { goal, tries, back, cause: None, recovers };
        loop {
            match self.advance(&mut way).await {
                Ok(None) => break,
                Ok(Some(operation)) => {
                    way.goal = way.goal.after(&operation);
                    way.tries.succeeded();
                }
                Err(stuck) => way = self.try_again(way, stuck).await?,
            }
        }
        match way.cause {
            None => Ok(()),
            Some(cause) if self.interrupt.check().is_err() => Err(cause.context(Interrupted)),
            Some(cause) => Err(cause),
        }
    }

    /// Looks, and does what comes next; `None`: there is no more to do.
    async fn advance(&mut self, way: &mut Way) -> Result<Option<Operation>, Stuck> {
        self.look().await.map_err(|error| Stuck { operation: None, error })?;
        let name = &self.request.name;
        way.back.resolve(name, &self.seen);
        if let Goal::RollBack(back) = &mut way.goal {
            back.resolve(name, &self.seen);
        }
        let Some(operation) = replacement::next(name, &self.seen, &way.goal) else { return Ok(None) };
        if !self.nothing_runs() {
            self.interrupt.check().map_err(|error| Stuck { operation: None, error: error.into() })?;
        }
        way.goal = way.goal.clone().before(&operation);
        self.written.went_back |= matches!(way.goal, Goal::RollBack(_));
        match self.perform(&operation).await {
            Ok(()) => Ok(Some(operation)),
            Err(error) => Err(Stuck { operation: Some(operation), error }),
        }
    }

    /// Whether a scanner that ran before does not run for the sake of its replacement.
    fn nothing_runs(&self) -> bool {
        self.seen.halfway().is_some_and(|it| it.note.was_up) && !self.seen.iter().any(|it| it.status.is_up())
    }

    /// The way to go on after a failure: the same once more, or another goal.
    async fn try_again(&self, mut way: Way, Stuck { operation, error }: Stuck) -> Result<Way> {
        if error.downcast_ref::<Error>().is_some_and(|error| error.kind == Kind::Interrupted) {
            return Err(way.cause.map_or(error, |cause| cause.context(Interrupted)));
        }
        let leaves_doubt = Failure::of(&error).is_some_and(Failure::leaves_doubt);
        if let Some(operation) = operation.as_ref().filter(|_| leaves_doubt) {
            way.back.doubt(operation);
        }
        if way.tries.again(&error).await {
            return Ok(way);
        }
        let wants_running = self.request.wish.state == State::Started;
        match (way.goal, &operation) {
            (Goal::Replace { .. }, _) => Ok(Way {
                goal: Goal::RollBack(way.back.clone()),
                tries: Tries::back(self.timeout),
                cause: Some(error),
                ..way
            }),
            // It goes on running then, which is what it shall do.
            (Goal::RollBack(back), Some(stop @ Operation::Stop(Role::Old))) => {
                let back = RollBack { stop_under_way: false, in_doubt: Some(stop.clone()), ..back };
                Ok(Way { goal: Goal::RollBack(back), ..way })
            }
            // What the task wants may be the cure, so it goes on; it asks for a running scanner anyway.
            (Goal::RollBack(back), Some(Operation::Start(Role::Old))) if way.recovers && wants_running => {
                Ok(Way { goal: Goal::RollBack(RollBack { started: true, ..back }), ..way })
            }
            (Goal::Finish, _) => Err(error.context("the new scanner works, and the next run removes the old one")),
            (Goal::RollBack(_), _) => Err(not_back(way.cause, error, operation.as_ref())),
        }
    }
}

/// The error of a way back that did not come to its end because of `error`.
fn not_back(cause: Option<anyhow::Error>, error: anyhow::Error, operation: Option<&Operation>) -> anyhow::Error {
    let what = match operation {
        Some(Operation::Start(Role::Old)) => "the old scanner is back under its name, but could not be started again",
        Some(Operation::Remove(_)) => "the old scanner is back, but the new container could not be removed",
        _ => "the old scanner is not lost, but could not be put back yet",
    };
    let next = "the next run of the task tries again";
    match cause {
        Some(cause) => cause.context(format!("{what} ({error}); {next}")),
        None => error.context(format!("an interrupted replacement could not be put in order: {what}; {next}")),
    }
}
