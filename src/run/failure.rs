//! From the chain of errors that ended a run to the one error of the reply. The stable word can be anywhere in the chain, since
//! callers put context around errors.

use super::{Interrupted, NotStarted};
use crate::engine::Failure;
use crate::error::{Error, Kind};

/// The stable word for `error`, and its messages in one sentence: the first cause, then the context around it.
pub fn summary(error: &anyhow::Error) -> Error {
    let kind = if error.downcast_ref::<Interrupted>().is_some() {
        Kind::Interrupted
    } else if let Some(error) = error.downcast_ref::<Error>() {
        error.kind
    } else if let Some(NotStarted(failure)) = error.downcast_ref::<NotStarted>() {
        match failure.kind() {
            Kind::EngineError => Kind::StartFailed,
            kind => kind,
        }
    } else {
        error.downcast_ref::<Failure>().map_or(Kind::Internal, Failure::kind)
    };
    let mut messages: Vec<String> = Vec::new();
    for cause in error.chain() {
        let message = cause.to_string();
        if messages.last() != Some(&message) {
            messages.push(message);
        }
    }
    messages.reverse();
    Error::new(kind, messages.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::of_this_program(anyhow::Error::new(Error::new(Kind::Overcommit, "too much")), "overcommit")]
    #[case::of_the_engine(anyhow::Error::new(Failure::TimedOut(std::time::Duration::from_secs(1))), "timeout")]
    #[case::of_a_start(anyhow::Error::new(NotStarted(Failure::Conflict("no".to_owned()))), "start_failed")]
    #[case::of_a_start_without_an_answer(
        anyhow::Error::new(NotStarted(Failure::TimedOut(std::time::Duration::ZERO))),
        "timeout"
    )]
    #[case::of_a_signal(anyhow::Error::new(Failure::Lost).context(Interrupted).context("more"), "interrupted")]
    #[case::unknown(anyhow::anyhow!("what is this"), "internal")]
    fn the_word_for_an_error_is_found_below_what_was_said_about_it(#[case] error: anyhow::Error, #[case] word: &str) {
        assert_eq!(summary(&error).kind.word(), word);
        assert_eq!(summary(&error.context("the rest")).kind.word(), word);
    }
}
