//! Work without a limit to its whole time, which ends when nothing moves on any more: a pull or a load.

use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::failure::Failure;

/// When it was that something moved on last; clones are the same.
#[derive(Debug, Clone)]
pub struct Movement(Arc<Mutex<Instant>>);

impl Movement {
    /// Of work that begins now.
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }

    /// Something moves on now.
    pub fn go_on(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// When it was last.
    pub fn last(&self) -> Instant {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What `work` comes to, as long as no more than `limit` goes by between two movements.
    pub async fn watch<T>(
        &self,
        limit: Duration,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let mut work = pin!(work);
        loop {
            let deadline = self.last() + limit;
            match timeout_at(deadline, &mut work).await {
                Ok(done) => return done,
                Err(_) if self.last() + limit > deadline => {}
                Err(_) => return Err(Failure::StoodStill(limit)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::wait;
    use tokio::time::sleep;

    #[test]
    fn work_may_take_any_time_while_it_moves_on() {
        wait(async {
            let (movement, limit) = (Movement::new(), Duration::from_secs(10));
            let moving = movement.clone();
            let work = async move {
                for _ in 0..100 {
                    sleep(Duration::from_secs(9)).await;
                    moving.go_on();
                }
                Ok("done")
            };
            assert_eq!(movement.watch(limit, work).await, Ok("done"));
            movement.go_on();
            let begin = Instant::now();
            let work = async {
                sleep(Duration::from_secs(11)).await;
                Ok(())
            };
            assert_eq!(movement.watch(limit, work).await, Err(Failure::StoodStill(limit)));
            assert_eq!(begin.elapsed(), limit);
        });
    }
}
