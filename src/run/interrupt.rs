//! SIGTERM, SIGINT and SIGHUP: a job that is cancelled, a terminal that goes away.
//!
//! A signal only raises a flag here. Code that waits for something that may be given up checks it; a replacement does not while
//! nothing runs ([`super::execute`]).

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use futures_util::future::{Either, select};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

use crate::error::{Error, Kind};

/// Whether a signal asked the run to end early.
#[derive(Debug, Default)]
pub struct Interrupt {
    by: Cell<Option<&'static str>>,
    raised: Notify,
}

impl Interrupt {
    /// Makes the run end as soon as it may.
    pub fn raise(&self, signal: &'static str) {
        self.by.set(Some(signal));
        self.raised.notify_waiters();
    }

    /// The error of a run that was interrupted.
    pub fn check(&self) -> Result<(), Error> {
        self.by.get().map_or(Ok(()), |signal| {
            let message = format!("interrupted by {signal}; run the task again, it goes on where this run ended");
            Err(Error::new(Kind::Interrupted, message))
        })
    }

    /// Waits for `work`, which is given up when a signal comes.
    pub async fn guard<T>(&self, work: impl Future<Output = T>) -> Result<T, Error> {
        let raised = pin!(async {
            while self.by.get().is_none() {
                self.raised.notified().await;
            }
        });
        match select(raised, pin!(work)).await {
            Either::Left(_) => Err(self.check().err().unwrap_or_else(|| Error::new(Kind::Interrupted, "interrupted"))),
            Either::Right((done, _)) => Ok(done),
        }
    }

    /// Does `work` and listens for signals meanwhile.
    pub async fn listening<T>(&self, work: impl Future<Output = T>) -> T {
        let kinds = [
            ("SIGTERM", SignalKind::terminate()),
            ("SIGINT", SignalKind::interrupt()),
            ("SIGHUP", SignalKind::hangup()),
        ];
        // Where a signal cannot be handled, it ends the run as it ends any other program.
        let mut signals: Vec<_> =
            kinds.into_iter().filter_map(|(name, kind)| Some((name, signal(kind).ok()?))).collect();
        let mut work = pin!(work);
        poll_fn(|context| {
            for (name, signal) in &mut signals {
                while let Poll::Ready(Some(())) = signal.poll_recv(context) {
                    self.raise(name);
                }
            }
            work.as_mut().poll(context)
        })
        .await
    }
}
