//! Whether a scanner that was started stays up: the engine's start call succeeds for one that ends at once.

use std::time::Duration;

use anyhow::Result;
use tokio::time::{Instant, sleep};

use crate::engine::{Engine, Failure};
use crate::error::{Error, Kind};
use crate::scanner::known_messages;
use crate::scanner::observed::{Observed, Status};
use crate::secret;

/// Between two observations.
const PAUSE: Duration = Duration::from_millis(100);
/// How many lines of the log a failure's message has.
const LINES: usize = 10;
/// How many characters of one line of the log.
const LINE_LENGTH: usize = 200;

/// Observes the container of `id` for as long as `settle`; zero: not at all.
pub async fn stays_up<E: Engine>(engine: &E, id: &str, settle: Duration) -> Result<()> {
    if settle.is_zero() {
        return Ok(());
    }
    let begin = Instant::now();
    let mut first: Option<Observed> = None;
    loop {
        let Some(seen) = engine.inspect(id).await? else {
            let message = "the scanner ended and the engine removed it (--rm); run it without --rm";
            return Err(Error::new(Kind::StartFailed, message).into());
        };
        let restarted = first
            .as_ref()
            .is_some_and(|first| first.restart_count != seen.restart_count || first.started_at != seen.started_at);
        if restarted || seen.status != Status::Running {
            return Err(ended(engine, &seen).await.into());
        }
        first.get_or_insert(seen);
        let left = settle.saturating_sub(begin.elapsed());
        if left.is_zero() {
            return Ok(());
        }
        sleep(left.min(PAUSE)).await;
    }
}

/// The error for a scanner that does not stay up, with the last lines of its log.
pub async fn ended<E: Engine>(engine: &E, seen: &Observed) -> Error {
    // A log that cannot be read (another log driver) must not hide the failure itself.
    let log = engine.last_lines(&seen.id, LINES).await.unwrap_or_default();
    // The engine forgets the code with the next start.
    let code =
        if seen.status == Status::Running { String::new() } else { format!(" with exit code {}", seen.exit_code) };
    let flaps = matches!(seen.status, Status::Restarting | Status::Running);
    let mut message = if flaps {
        format!(
            "the scanner does not stay up: it ended{code} and its restart policy starts it again and again \
             (restart count {})",
            seen.restart_count
        )
    } else {
        format!("the scanner does not stay up: it is {}{code}", seen.status.word())
    };
    if let Some(cure) = known_messages::for_log(&log) {
        message = format!("{message}; {cure}");
    }
    if !log.is_empty() {
        // Before the line is cut: the last pass cannot recognise half a secret.
        let cut = |line: String| line.chars().take(LINE_LENGTH).collect();
        let lines: Vec<String> = secret::mask().clean_log(&log).into_iter().map(cut).collect();
        message = format!("{message}; its last lines: {}", lines.join(" | "));
    }
    Error::new(Kind::StartFailed, message)
}

/// The error for an update that the engine refused: an engine that cannot update a scanner which just ended by itself does not
/// say so in a way that helps.
pub async fn not_updated<E: Engine>(engine: &E, before: &Observed, failure: Failure) -> anyhow::Error {
    match engine.inspect(&before.id).await {
        Ok(Some(now)) if now.status == Status::Restarting || now.restart_count != before.restart_count => {
            ended(engine, &now).await.into()
        }
        _ => failure.into(),
    }
}
