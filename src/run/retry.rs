//! How often an operation is tried, in one place: three times going forward; in a rollback at least that, and for as long as a
//! call may take, since nothing else would restore the scanner.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::engine::Failure;

/// The most tries of an operation that goes forward.
const TRIES: u32 = 3;
/// The pause before the second try; doubled before each further one, but while the engine is undecided, …
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// … up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The tries of one operation, or of a whole rollback.
#[derive(Debug)]
pub struct Tries {
    failed: u32,
    pause: Duration,
    goes_back: bool,
    /// When to give up.
    deadline: Instant,
}

impl Tries {
    /// For an operation that goes forward; `timeout` bounds the wait for an engine that is already doing it.
    pub fn forward(timeout: Duration) -> Self {
        Self { failed: 0, pause: FIRST_PAUSE, goes_back: false, deadline: Instant::now() + timeout }
    }

    /// For a rollback: it may take `timeout`, and a call that takes all of it is not the last.
    pub fn back(timeout: Duration) -> Self {
        Self { goes_back: true, ..Self::forward(timeout) }
    }

    /// The operation succeeded; the next one has its own tries.
    pub const fn succeeded(&mut self) {
        self.failed = 0;
        self.pause = FIRST_PAUSE;
    }

    /// Whether a call would still end in time.
    fn is_early(&self) -> bool {
        Instant::now() < self.deadline
    }

    /// Whether to try again after `error`; waits until then.
    pub async fn again(&mut self, error: &anyhow::Error) -> bool {
        self.failed += 1;
        let is_early = self.is_early();
        let is_undecided = Failure::of(error).is_some_and(Failure::is_undecided);
        let may = Failure::of(error).is_some_and(|failure| {
            if self.goes_back {
                // The next observation shows what became of a call whose answer was lost, and who has the name or is gone.
                let may_look = failure.leaves_doubt() || failure.is_not_found() || failure.is_conflict();
                (is_early || self.failed < TRIES) && (failure.may_pass() || may_look || is_undecided)
            } else {
                (failure.may_pass() && self.failed < TRIES) || (is_undecided && is_early)
            }
        });
        if may {
            let left = self.deadline.saturating_duration_since(Instant::now());
            sleep(if is_early { self.pause.min(left) } else { self.pause }).await;
            // The engine has answered, and may have decided at any moment. A stop of a scanner that dies at once has to come
            // while it is up: the more there are, the sooner one does.
            if !is_undecided {
                self.pause = (self.pause * 2).min(LONGEST_PAUSE);
            }
        }
        may
    }
}
