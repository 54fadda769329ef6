//! What is undone when a plan outside of a replacement fails. A replacement rolls back by [`super::reach`].

use anyhow::Result;

use super::execute::Executor;
use super::retry::Tries;
use crate::engine::Engine;
use crate::error::{Error, Kind};
use crate::host::paths::Made;
use crate::scanner::observed::Observed;
use crate::scanner::operation::{Operation, Role};
use crate::scanner::replacement::Containers;

impl<E: Engine> Executor<'_, E> {
    /// Removes what a failed plan has created and nobody uses: a container that does not work, whose restart policy would start
    /// it again and again, and empty directories.
    pub(super) async fn clean_up(&mut self, mut error: anyhow::Error, is_pause: bool) -> anyhow::Error {
        let is_interrupted = error.downcast_ref::<Error>().is_some_and(|error| error.kind == Kind::Interrupted);
        if let Some(id) = self.created.take().filter(|_| !is_interrupted) {
            error = match self.back(&Operation::Remove(Role::Scanner), |now| now.is_none_or(|it| it.id != id)).await {
                Ok(()) => error.context("the new container was removed again"),
                Err(left) => error.context(format!("and the new container could not be removed again ({left})")),
            };
        } else if is_pause && self.is_down() {
            let start = Operation::Start(Role::Scanner);
            if let Err(left) = self.back(&start, |now| now.is_none_or(|it| it.status.is_up())).await {
                error = error.context(format!("and the scanner could not be started again ({left})"));
            }
        }
        let looked = self.look().await;
        let id = |containers: &Containers| containers.current.as_ref().map(|it| it.id.clone());
        let is_undone = id(&self.before) == id(&self.seen) && self.seen.halfway().is_none() && looked.is_ok();
        if is_undone && !is_interrupted {
            // The innermost first.
            while self.written.directories.last().is_some_and(Made::remove_if_empty) {
                self.written.directories.pop();
            }
        }
        error
    }

    /// Repeats `operation`, which undoes an earlier one, until the scanner's container shows that it `is_done`.
    async fn back(&mut self, operation: &Operation, is_done: impl Fn(Option<&Observed>) -> bool) -> Result<()> {
        let mut tries = Tries::back(self.timeout);
        loop {
            let attempt = match self.look().await {
                Ok(()) if is_done(self.seen.current.as_ref()) => return Ok(()),
                Ok(()) => self.perform(operation).await,
                looked => looked,
            };
            match attempt {
                Ok(()) => self.written.went_back = true,
                Err(error) if tries.again(&error).await => {}
                Err(error) => return Err(error),
            }
        }
    }
}
