//! The progress of a pull or load: one JSON object a line, for as long as it takes.
//!
//! bollard's reader of such a stream has no limit for a line, takes one apart byte by byte when it is made for that, and loses
//! why a connection broke.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::Value;

use super::DockerHost;
use super::failure::Failure;
use super::standstill::Movement;

/// The most bytes of a line.
const LINE: usize = 64 << 10;

/// More layers than any image has.
const LAYERS: usize = 1 << 10;

/// The error in a line, if there is one, or else how far a layer has come.
#[derive(Deserialize)]
struct Line {
    error: Option<String>,
    #[serde(rename = "errorDetail")]
    detail: Option<Detail>,
    id: Option<Value>,
    status: Option<Value>,
    /// Bytes; for one that is being extracted maybe seconds.
    #[serde(rename = "progressDetail")]
    amount: Option<Value>,
}

#[derive(Deserialize)]
struct Detail {
    message: Option<String>,
}

/// Reads `stream`, which comes from the engine at `host`, to its end; tells `movement` when a layer has come further.
pub async fn read(mut stream: Incoming, host: &DockerHost, movement: &Movement) -> Result<(), Failure> {
    let mut lines = Lines::new(movement);
    while let Some(frame) = stream.frame().await {
        let frame = frame.map_err(|error| Failure::of_connection(&error, host))?;
        if let Some(bytes) = frame.data_ref() {
            lines.take(bytes)?;
        }
    }
    lines.end()
}

struct Lines<'a> {
    movement: &'a Movement,
    /// The beginning of a line whose end has not come yet.
    line: Vec<u8>,
    /// How far each layer has come: a hash for what is said of it, by a hash for its id.
    layers: BTreeMap<u64, u64>,
}

impl<'a> Lines<'a> {
    const fn new(movement: &'a Movement) -> Self {
        Self { movement, line: Vec::new(), layers: BTreeMap::new() }
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.line.len() + piece.len() > LINE {
                return Err(Failure::TooLarge);
            }
            self.line.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                self.end()?;
            }
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), Failure> {
        let line = std::mem::take(&mut self.line);
        if line.trim_ascii().is_empty() {
            return Ok(());
        }
        let line: Line = serde_json::from_slice(&line).map_err(|_| Failure::Garbled)?;
        self.look_at(&line);
        match line.detail.and_then(|detail| detail.message).or(line.error) {
            // The status came before the work was begun.
            Some(message) => Err(Failure::of_status(500, &message)),
            None => Ok(()),
        }
    }

    fn look_at(&mut self, line: &Line) {
        let (id, now) = (hash(&line.id), hash(&(&line.status, &line.amount)));
        let is_known = self.layers.contains_key(&id);
        if (is_known || self.layers.len() < LAYERS) && self.layers.insert(id, now) != Some(now) {
            self.movement.go_on();
        }
    }
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn read(pieces: &[&str]) -> Result<(), Failure> {
        let movement = Movement::new();
        let mut lines = Lines::new(&movement);
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

    #[rstest]
    #[case::layer(r#"{"id": "1", "status": "Waiting"}"#, false)]
    #[case::same_in_other_words(r#"{"id": "1", "status": "Waiting", "progress": "[=>]", "aux": {}}"#, false)]
    #[case::other_layer(r#"{"id": "2", "status": "Waiting"}"#, true)]
    #[case::other_status(r#"{"id": "1", "status": "Downloading"}"#, true)]
    #[case::bytes(r#"{"id": "1", "status": "Waiting", "progressDetail": {"current": 1, "total": 2}}"#, true)]
    #[case::seconds(r#"{"id": "1", "status": "Waiting", "progressDetail": {"current": 1, "units": "s"}}"#, true)]
    #[case::of_another_type(r#"{"id": 7, "status": [], "progressDetail": ""}"#, true)]
    fn what_a_layer_has_come_to_is_movement(#[case] line: &str, #[case] expected: bool) {
        let said = |lines: &mut Lines<'_>, line: &str| lines.take(format!("{line}\n").as_bytes()).unwrap();
        let movement = Movement::new();
        let mut lines = Lines::new(&movement);
        said(&mut lines, r#"{"id": "1", "status": "Waiting"}"#);
        let before = movement.last();
        said(&mut lines, line);
        assert_eq!(movement.last() > before, expected);
    }

    #[test]
    fn ids_without_end_are_no_movement() {
        let movement = Movement::new();
        let mut lines = Lines::new(&movement);
        let mut say = |id: usize| lines.take(format!("{{\"id\": {id}, \"status\": \"x\"}}\n").as_bytes()).unwrap();
        (0..LAYERS).for_each(&mut say);
        let before = movement.last();
        (LAYERS..2 * LAYERS).for_each(say);
        assert_eq!(movement.last(), before);
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
