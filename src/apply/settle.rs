//! Whether a scanner that was started stays up: the engine's start call succeeds for one that ends at once.

use std::time::{Duration, Instant};

use crate::engine::{Engine, Failure};
use crate::error::{Error, Kind, Result};
use crate::protocol::redact::Redactor;
use crate::scanner::advice;
use crate::scanner::observed::{Observed, Status};
use crate::secret;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(100);
/// Of the log, in a failure's message.
const LINES: usize = 10;
/// Of one line of the log.
const LINE_LENGTH: usize = 200;

/// Looks at the container of `id` for as long as `settle`; zero: not at all.
///
/// # Errors
/// When it ends or is started again by its restart policy, with the reason that it gave.
pub async fn stays_up(engine: &Engine, id: &str, settle: Duration) -> Result<()> {
    if settle.is_zero() {
        return Ok(());
    }
    let begin = Instant::now();
    let mut first: Option<Observed> = None;
    loop {
        let seen = engine.look_at(id).await.map_err(|failure| failure.into_error(engine.host()))?;
        let Some(seen) = seen else {
            return Err(Error::new(
                Kind::StartFailed,
                "the scanner ended and the engine removed it (--rm); run it without --rm",
            ));
        };
        let restarted = first
            .as_ref()
            .is_some_and(|first| first.restart_count != seen.restart_count || first.started_at != seen.started_at);
        if restarted || seen.status != Status::Running {
            return Err(ended(engine, &seen).await);
        }
        first.get_or_insert(seen);
        let left = settle.saturating_sub(begin.elapsed());
        if left.is_zero() {
            return Ok(());
        }
        tokio::time::sleep(left.min(PAUSE)).await;
    }
}

/// The error for a scanner that is not up as it should be, with its own last words.
pub async fn ended(engine: &Engine, seen: &Observed) -> Error {
    // A log that cannot be read (another log driver) must not hide the failure itself.
    let log = engine.last_lines(&seen.id, LINES).await.unwrap_or_default();
    // The engine forgets the code with the next start.
    let code =
        if seen.status == Status::Running { String::new() } else { format!(" with exit code {}", seen.exit_code) };
    let mut message = match seen.status {
        Status::Restarting | Status::Running => format!(
            "the scanner does not stay up: it ended{code} and its restart policy starts it again and again \
             (restart count {})",
            seen.restart_count
        ),
        status => format!("the scanner does not stay up: it is {}{code}", status.word()),
    };
    if let Some(cure) = advice::for_log(&log) {
        message = format!("{message}; {cure}");
    }
    if !log.is_empty() {
        // Before it is cut: of half a secret the last pass would not know that it is one.
        let redactor = Redactor::new(secret::known());
        let shown = |line: &String| redactor.clean_text(line).chars().take(LINE_LENGTH).collect();
        let lines: Vec<String> = log.iter().map(shown).collect();
        message = format!("{message}; its last lines: {}", lines.join(" | "));
    }
    Error::new(Kind::StartFailed, message)
}

/// The error for a start that the engine itself refused.
#[must_use]
pub fn could_not_start(failure: Failure, engine: &Engine) -> Error {
    let error = failure.into_error(engine.host());
    match error.kind {
        Kind::EngineError => Error::new(Kind::StartFailed, error.message),
        _ => error,
    }
}
