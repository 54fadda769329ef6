//! How often something is tried, in one place: three times going forward; at least that on the way back, and for as long as a
//! call may take, since nothing else would ever come back for the scanner.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::engine::Failure;

/// Going forward.
const TRIES: u32 = 3;
/// Before the second try; doubled before each further one …
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// … up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The tries of one operation, or of a whole way back.
#[derive(Debug)]
pub struct Tries {
    failed: u32,
    pause: Duration,
    goes_back: bool,
    /// When to give up.
    deadline: Instant,
}

impl Tries {
    /// For an operation that goes forward; `timeout` bounds the wait for an engine that is at it already.
    pub fn forward(timeout: Duration) -> Self {
        Self { failed: 0, pause: FIRST_PAUSE, goes_back: false, deadline: Instant::now() + timeout }
    }

    /// For a way back: it may take `timeout`, and one call that takes all of this is not the last.
    pub fn back(timeout: Duration) -> Self {
        Self { goes_back: true, ..Self::forward(timeout) }
    }

    /// The operation succeeded; the next one has its own tries.
    pub const fn succeeded(&mut self) {
        self.failed = 0;
        self.pause = FIRST_PAUSE;
    }

    /// Whether to try again after `error`; waits until then.
    pub async fn again(&mut self, error: &anyhow::Error) -> bool {
        self.failed += 1;
        let is_early = Instant::now() < self.deadline;
        let may = Failure::of(error).is_some_and(|failure| {
            if self.goes_back {
                // The next look finds out what became of a call whose answer was lost, and who has the name or is gone.
                let may_look = failure.leaves_doubt() || failure.is_not_found() || failure.is_conflict();
                (is_early || self.failed < TRIES) && (failure.may_pass() || may_look)
            } else {
                (failure.may_pass() && self.failed < TRIES) || (failure.is_removal_in_progress() && is_early)
            }
        });
        if may {
            let left = self.deadline.saturating_duration_since(Instant::now());
            sleep(if is_early { self.pause.min(left) } else { self.pause }).await;
            self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        }
        may
    }
}
