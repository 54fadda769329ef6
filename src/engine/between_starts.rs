//! A scanner that its restart policy is about to start again. Docker calls it `restarting`. Podman's answers to Docker's API
//! have no word for that: `stopped` up to 5.4, and `exited` in 5.8, which a scanner that has ended for good is as well. Its own
//! API tells them apart: `stopped` is what has ended and is not cleaned up, and a restart comes before the cleaning up.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use super::{Docker, Failure};
use crate::scanner::observed::{Observed, Status};
use crate::scanner::values::restart_policy::RestartPolicy;

/// Much longer than Podman needs to start what has ended: a tenth of a second, and more than three on a busy host. What is
/// `stopped` for longer was never cleaned up, and stays so.
const LONGEST: Duration = Duration::from_secs(30);

impl Docker {
    /// The status of `observed` that Docker would say.
    pub(super) async fn dockers_status(&self, observed: &Observed) -> Result<Status, Failure> {
        if !may_start_again(observed) {
            return Ok(observed.status);
        }
        let path = format!("/libpod/containers/{}/json", observed.id);
        Ok(status(self.inspect_at(&observed.id, &path).await?.as_ref()))
    }
}

/// Whether its restart policy may start it again, as far as Docker's API tells.
fn may_start_again(ended: &Observed) -> bool {
    let restarts = u64::try_from(ended.restart_count).unwrap_or_default();
    let wants = match ended.restart_policy {
        RestartPolicy::No => false,
        RestartPolicy::OnFailure(most) => ended.exit_code != 0 && (most == 0 || restarts < most),
        RestartPolicy::Always | RestartPolicy::UnlessStopped => true,
    };
    // A clock that was set says nothing.
    let ago = ended.finished_at.and_then(|at| Duration::try_from(Timestamp::now().duration_since(at)).ok());
    ended.podman && ended.status == Status::Exited && wants && ago.is_none_or(|ago| ago < LONGEST)
}

/// The status of what Podman's own API has `inspected`, which had ended a moment before.
fn status(inspected: Option<&Value>) -> Status {
    match inspected.and_then(|it| it.get("State")?.get("Status")?.as_str()) {
        // The last ones: somebody removes it, or has removed it.
        Some("exited" | "removing") | None => Status::Exited,
        // Or it has been started by now, and will end again.
        Some(_) => Status::Restarting,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn ended(policy: &str, restart_count: i64, exit_code: i64) -> Observed {
        let restart_policy = RestartPolicy::parse(policy).unwrap();
        Observed {
            podman: true,
            status: Status::Exited,
            restart_policy,
            restart_count,
            exit_code,
            ..Observed::default()
        }
    }

    #[rstest]
    #[case::always("always", 1, 0, true)]
    #[case::at_its_first_end("always", 0, 7, true)]
    #[case::no("no", 1, 7, false)]
    #[case::without_limit("on-failure", 9, 7, true)]
    #[case::once_more("on-failure:3", 2, 7, true)]
    #[case::given_up("on-failure:3", 3, 7, false)]
    #[case::no_failure("on-failure", 1, 0, false)]
    fn a_policy_starts_it_again(
        #[case] policy: &str,
        #[case] restart_count: i64,
        #[case] exit_code: i64,
        #[case] may: bool,
    ) {
        let ended = ended(policy, restart_count, exit_code);
        assert_eq!(may_start_again(&ended), may);
        assert!(!may_start_again(&Observed { status: Status::Running, ..ended.clone() }));
        assert!(!may_start_again(&Observed { podman: false, ..ended }), "Docker has a word for it");
    }

    #[rstest]
    #[case::just_now(0, true)]
    #[case::on_a_busy_host(6, true)]
    #[case::never_cleaned_up(60, false)]
    #[case::by_a_clock_that_was_set(-60, true)]
    fn podman_starts_it_again_soon(#[case] seconds: i64, #[case] may: bool) {
        let finished_at = Timestamp::now() - jiff::SignedDuration::from_secs(seconds);
        assert_eq!(may_start_again(&Observed { finished_at: Some(finished_at), ..ended("always", 1, 7) }), may);
    }

    #[rstest]
    #[case::between_starts(json!({"State": {"Status": "stopped"}}), Status::Restarting)]
    #[case::started_meanwhile(json!({"State": {"Status": "running"}}), Status::Restarting)]
    #[case::about_to_be_started(json!({"State": {"Status": "initialized"}}), Status::Restarting)]
    #[case::for_good(json!({"State": {"Status": "exited"}}), Status::Exited)]
    #[case::being_removed(json!({"State": {"Status": "removing"}}), Status::Exited)]
    #[case::of_no_podman(json!({}), Status::Exited)]
    fn podmans_own_api_tells(#[case] inspected: Value, #[case] expected: Status) {
        assert_eq!(status(Some(&inspected)), expected);
        assert_eq!(status(None), Status::Exited, "it is gone");
    }
}
