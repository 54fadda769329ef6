//! What an engine will refuse, or do so that it cannot be undone, known from what is observed: check mode refuses what the run would.

use super::desired::Desired;
use super::observed::Observed;
use super::operation::{Change, Operation, Update};
use super::refusal;
use super::values::restart_policy::RestartPolicy;
use crate::error::{Error, Kind, Result};

/// Refuses the first of `operations` on the container `observed` that cannot be.
pub(super) fn check(operations: &[Operation], desired: Option<&Desired>, observed: &Observed) -> Result<()> {
    operations.iter().try_for_each(|operation| match operation {
        Operation::Replace { .. } => desired.map_or(Ok(()), |desired| check_reservation(desired, observed)),
        Operation::Stop(_) => check_rm(observed, "a stop would remove it"),
        Operation::Restart => check_rm(observed, "a restart would remove it"),
        Operation::Update(update) if sets_policy(update) => check_rm(observed, "it cannot have a restart policy"),
        _ => Ok(()),
    })
}

/// `why` a container that an engine removes as soon as it stops cannot be as desired.
fn check_rm(observed: &Observed, why: &str) -> Result<()> {
    if observed.auto_remove { Err(refusal::vanishes(observed, why)) } else { Ok(()) }
}

fn sets_policy(update: &Update) -> bool {
    update.changes.iter().any(|it| matches!(it, Change::RestartPolicy(policy) if *policy != RestartPolicy::No))
}

/// Engines look at memory beside the reservation only when they make a container, and not when it is lowered later.
fn check_reservation(desired: &Desired, observed: &Observed) -> Result<()> {
    let limits = desired.limits.memory().zip(observed.limits.memory_reservation);
    let Some((memory, reservation)) = limits.filter(|(memory, reservation)| memory < reservation) else {
        return Ok(());
    };
    let name = &observed.name;
    let message = format!(
        "the scanner must be replaced, and has a reservation of more than memory ({memory} bytes), with which no engine makes \
         a container; lower it with `docker update --memory-reservation {memory} {name}`, got: `{reservation}` bytes"
    );
    Err(Error::new(Kind::Unsupported, message))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::super::example::{by_hand, observation};
    use super::super::plan::Plan;
    use crate::testing::request;

    /// A container may have less memory than it reserves as long as nothing makes it anew with that.
    #[rstest]
    #[case::as_it_is(json!({"memory": "512M"}))]
    #[case::live(json!({"memory": "256M"}))]
    #[case::enough(json!({"memory": "800M", "env": {"A": "1"}}))]
    #[case::unlimited(json!({}))]
    fn a_reservation_stands_in_the_way_of_less_memory_only(#[case] options: Value) {
        let lowered = observation(Some(by_hand().limited(512 << 20, 1 << 30, 0).reserved(800 << 20)));
        Plan::make(&request(&options).unwrap(), &lowered).unwrap();
    }
}
