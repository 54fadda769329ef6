//! A replacement that an earlier run left half-way is finished or rolled back, also where the task itself is refused.

use anyhow::Result;

use super::Run;
use super::execute::Executor;
use super::outcome::{Failed, ScannerOutcome};
use crate::engine::{Engine, Listed};
use crate::scanner::policy::State;
use crate::scanner::replacement::{Containers, Goal};

/// Recovers what an earlier run left half-way, although the task was `refused`: the scanner may be down because of it.
/// `listed` are the containers when the run began: without one that has a temporary name, the engine is not asked again.
pub async fn recover_all<E: Engine>(
    runs: &[Run<'_, E>],
    listed: &[Listed],
    outcomes: &mut [ScannerOutcome],
    mut refused: Failed,
) -> Failed {
    let is_listed = |name: &str| listed.iter().any(|it| it.name == name);
    for (at, (run, outcome)) in runs.iter().zip(outcomes).enumerate() {
        let name = &run.request.name;
        if !is_listed(&name.incoming()) && !is_listed(&name.outgoing()) {
            continue;
        }
        match run.recover_only(outcome).await {
            Ok(false) => {}
            Ok(true) => refused.refused = false,
            Err(error) => return Failed { at: Some(at), refused: false, error },
        }
    }
    refused
}

impl<E: Engine> Run<'_, E> {
    /// The goal for a replacement that is half-way.
    pub(super) fn recovery(&self, containers: &Containers) -> Option<Goal> {
        let runs = self.request.policy.state == State::Started;
        let goal = |halfway| Goal::recovery(&self.request.name, halfway, runs, self.may_start());
        containers.halfway().map(goal)
    }

    /// Finishes or rolls back a replacement that is half-way and does no more; whether there was one.
    async fn recover_only(&self, outcome: &mut ScannerOutcome) -> Result<bool> {
        let containers = self.containers().await?;
        if containers.halfway().is_none() || containers.stranger().is_some() {
            return Ok(false);
        }
        outcome.reached = true;
        let timeout = self.settings.timeout;
        let mut executor = Executor::new(self.engine, self.request, self.images, self.interrupt, timeout, containers);
        let recovered = self.recover(&mut executor).await;
        self.conclude(executor, recovered, outcome).await.1.map(|()| true)
    }

    /// Waits for other runs, and recovers what is half-way then.
    async fn recover(&self, executor: &mut Executor<'_, E>) -> Result<()> {
        executor.begin(self.locksmith().lock(&self.lock_key().await?).await?, self.containers().await?);
        let Some(goal) = self.recovery(executor.seen()) else { return Ok(()) };
        executor.recover(goal, self.may_start()).await?;
        executor.recovered(self.containers().await?);
        Ok(())
    }
}
