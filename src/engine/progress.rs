//! The progress of a pull or load: one JSON object a line, for as long as it takes.
//!
//! bollard's reader of such a stream has no limit for a line, takes one apart byte by byte when it is made for that, and loses
//! why a connection broke.

use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde::Deserialize;

use super::DockerHost;
use super::failure::Failure;

/// The most bytes of a line.
const LINE: usize = 64 << 10;

/// The error in a line, if there is one.
#[derive(Deserialize)]
struct Line {
    error: Option<String>,
    #[serde(rename = "errorDetail")]
    detail: Option<Detail>,
}

#[derive(Deserialize)]
struct Detail {
    message: Option<String>,
}

/// Reads `stream`, which comes from the engine at `host`, to its end.
pub async fn read(mut stream: Incoming, host: &DockerHost) -> Result<(), Failure> {
    let mut lines = Lines::default();
    while let Some(frame) = stream.frame().await {
        let frame = frame.map_err(|error| Failure::of_connection(&error, host))?;
        if let Some(bytes) = frame.data_ref() {
            lines.take(bytes)?;
        }
    }
    lines.end()
}

/// The beginning of a line whose end has not come yet.
#[derive(Default)]
struct Lines(Vec<u8>);

impl Lines {
    fn take(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.0.len() + piece.len() > LINE {
                return Err(Failure::TooLarge);
            }
            self.0.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                self.end()?;
            }
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), Failure> {
        let line = std::mem::take(&mut self.0);
        if line.trim_ascii().is_empty() {
            return Ok(());
        }
        let line: Line = serde_json::from_slice(&line).map_err(|_| Failure::Garbled)?;
        match line.detail.and_then(|detail| detail.message).or(line.error) {
            // The status came before the work was begun.
            Some(message) => Err(Failure::of_status(500, &message)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn read(pieces: &[&str]) -> Result<(), Failure> {
        let mut lines = Lines::default();
        pieces.iter().try_for_each(|piece| lines.take(piece.as_bytes()))?;
        lines.end()
    }

    #[rstest]
    #[case::nothing(&[], None)]
    #[case::pieces(&["{\"status\": ", "\"Downloading\"}\r", "\n\r\n{\"id\": \"1\", \"progressDetail\": {}}"], None)]
    #[case::detail(&["{\"errorDetail\": {\"message\": \"denied\"}, \"error\": \"no\"}\n"], Some("denied"))]
    #[case::error(&["{\"stream\": \"x\"}\n{\"error\": \"no\"}"], Some("no"))]
    #[case::garbled(&["{\n\"status\": 1}"], Some("cannot parse the engine's answer"))]
    fn each_line_is_understood(#[case] pieces: &[&str], #[case] failure: Option<&str>) {
        assert_eq!(read(pieces).err().map(|failure| failure.to_string()).as_deref(), failure);
    }

    #[test]
    fn a_line_has_64_kib_at_most() {
        let line = |bytes: usize| format!("{{\"status\": \"{}\"}}\n", "x".repeat(bytes - 15));
        assert_eq!(line(LINE).len(), LINE);
        assert_eq!(read(&[&line(LINE), &line(LINE)]), Ok(()));
        assert_eq!(read(&[&line(LINE + 1)]), Err(Failure::TooLarge));
        assert_eq!(read(&vec![" "; LINE + 1]), Err(Failure::TooLarge));
    }
}
