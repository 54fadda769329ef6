//! The one line on stdout, and the exit code.

use std::io;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::error::{Error, Kind};
use crate::secret;

/// The reply to Ansible.
#[derive(Debug)]
pub struct Reply {
    body: Map<String, Value>,
}

impl Reply {
    /// A reply with the keys of `result`, which is a struct or map.
    pub fn new(result: &impl Serialize) -> Self {
        match serde_json::to_value(result) {
            Ok(Value::Object(body)) => Self { body },
            // Cannot happen with the types of this program; if it does, there must still be a line.
            _ => Self::failure(&Error::new(Kind::Internal, "the result is not a JSON object; report this as a defect")),
        }
    }

    /// A reply with nothing but an error.
    pub fn failure(error: &Error) -> Self {
        let mut reply = Self { body: Map::new() };
        reply.body.insert("changed".to_owned(), Value::Bool(false));
        reply.fail(error);
        reply
    }

    /// Makes it a failure.
    pub fn fail(&mut self, error: &Error) {
        self.body.insert("failed".to_owned(), Value::Bool(true));
        self.body.insert("error".to_owned(), Value::from(error.kind.word()));
        self.body.insert("msg".to_owned(), Value::from(error.message.as_str()));
    }

    /// Adds a key.
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.body.insert(key.to_owned(), value.into());
        self
    }

    /// 1 for a failure, else 0; any other code means something else to Ansible or to ssh.
    pub fn exit_code(&self) -> u8 {
        u8::from(self.body.contains_key("failed"))
    }

    /// The line, ASCII only and without any secret of this thread.
    pub fn into_line(mut self) -> String {
        secret::mask().clean(&mut self.body);
        to_ascii(&Value::Object(self.body))
    }
}

fn to_ascii(value: &Value) -> String {
    let mut line = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut line, Ascii);
    match value.serialize(&mut serializer) {
        Ok(()) => String::from_utf8_lossy(&line).into_owned(),
        Err(_) => {
            r#"{"changed": false, "failed": true, "error": "internal", "msg": "cannot write the result"}"#.to_owned()
        }
    }
}

/// Writes every character beyond ASCII as `\uXXXX`: some versions of Ansible stumble over raw U+0085 or U+2028.
struct Ascii;

impl serde_json::ser::Formatter for Ascii {
    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let plain = |c: char| c.is_ascii() && c != '\x7f';
        let mut rest = fragment;
        while let Some(special) = rest.find(|c| !plain(c)) {
            let (before, after) = rest.split_at(special);
            writer.write_all(before.as_bytes())?;
            let mut characters = after.chars();
            if let Some(special) = characters.next() {
                for unit in special.encode_utf16(&mut [0; 2]) {
                    write!(writer, "\\u{unit:04x}")?;
                }
            }
            rest = characters.as_str();
        }
        writer.write_all(rest.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_line_is_ascii_and_means_the_same() {
        let value = json!({"msg": "ä \u{2028} 😀 \n \" \\"});
        let line = Reply::new(&value).into_line();
        assert!(line.bytes().all(|byte| (0x20..0x7f).contains(&byte)), "{line}");
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), value);
    }

    #[test]
    fn a_failure_has_its_word_and_exits_with_1() {
        let reply = Reply::failure(&Error::invalid("no"));
        assert_eq!(reply.exit_code(), 1);
        assert_eq!(
            serde_json::from_str::<Value>(&reply.into_line()).unwrap(),
            json!({"changed": false, "failed": true, "error": "invalid_arguments", "msg": "no"})
        );
    }

    #[test]
    fn what_is_no_object_becomes_a_failure() {
        assert_eq!(Reply::new(&5).exit_code(), 1);
    }
}
