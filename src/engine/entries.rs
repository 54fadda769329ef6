//! The entries of a JSON array, as its bytes come: no more of a long list is in memory than one entry, and that is parsed as any
//! other answer is. No reader of JSON does that for bytes that have not all come yet.

use super::failure::Failure;

/// The most bytes of an entry: as many as of any other answer.
const ENTRY: usize = 1 << 20;

/// An array of which the bytes come in pieces.
#[derive(Default)]
pub struct Entries {
    /// What has come of an entry.
    entry: Vec<u8>,
    /// How many brackets and braces are open.
    depth: usize,
    text: Text,
    /// Whether a comma came, so that an entry must.
    has_more: bool,
    has_ended: bool,
}

/// Where in a text.
#[derive(Default, PartialEq, Eq)]
enum Text {
    #[default]
    Outside,
    Inside,
    AfterBackslash,
}

impl Entries {
    /// Gives each entry that ends in `bytes` to `take`.
    pub fn read(&mut self, bytes: &[u8], take: &mut dyn FnMut(&[u8]) -> Result<(), Failure>) -> Result<(), Failure> {
        for byte in bytes {
            let is_between = self.depth == 1 && self.text == Text::Outside;
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' if self.depth == 0 || self.has_ended || self.entry.is_empty() => {}
                _ if self.has_ended => return Err(Failure::Garbled),
                b'[' if self.depth == 0 => self.depth = 1,
                _ if self.depth == 0 => return Err(Failure::Garbled),
                b',' if is_between => {
                    self.has_more = true;
                    self.end(take)?;
                }
                b']' if is_between => {
                    self.has_ended = true;
                    if self.has_more || !self.entry.is_empty() {
                        self.end(take)?;
                    }
                }
                _ => self.add(*byte)?,
            }
        }
        Ok(())
    }

    /// Whether the array was whole.
    pub const fn is_whole(&self) -> bool {
        self.has_ended
    }

    fn add(&mut self, byte: u8) -> Result<(), Failure> {
        if self.entry.len() == ENTRY {
            return Err(Failure::TooLarge);
        }
        self.entry.push(byte);
        match (&self.text, byte) {
            (Text::Outside, b'"') | (Text::AfterBackslash, _) => self.text = Text::Inside,
            (Text::Inside, b'"') => self.text = Text::Outside,
            (Text::Inside, b'\\') => self.text = Text::AfterBackslash,
            (Text::Outside, b'[' | b'{') => self.depth += 1,
            // There is one, or the array's own, which makes no JSON.
            (Text::Outside, b']' | b'}') => self.depth -= 1,
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self, take: &mut dyn FnMut(&[u8]) -> Result<(), Failure>) -> Result<(), Failure> {
        take(&self.entry)?;
        self.entry.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;
    use serde_json::Value;

    use super::*;

    /// The entries of `json`, which comes in pieces of this `size`.
    fn read(json: &str, size: usize) -> Result<Vec<Value>, Failure> {
        let (mut entries, mut all) = (Entries::default(), Vec::new());
        let mut take = |entry: &[u8]| {
            all.push(serde_json::from_slice(entry).map_err(|_| Failure::Garbled)?);
            Ok(())
        };
        json.as_bytes().chunks(size).try_for_each(|piece| entries.read(piece, &mut take))?;
        if entries.is_whole() { Ok(all) } else { Err(Failure::Garbled) }
    }

    #[rstest]
    #[case::nothing("")]
    #[case::no_array("{}")]
    #[case::text("\"[]\"")]
    #[case::half("[{}")]
    #[case::half_text("[\"]")]
    #[case::no_entry("[,1]")]
    #[case::one_comma_too_many("[1,]")]
    #[case::two_arrays("[1][2]")]
    #[case::more("[1] x")]
    #[case::crossed("[{]}]")]
    #[case::one_brace_too_many("[}]")]
    #[case::two_numbers("[1 2]")]
    #[case::escape("[\\\"]")]
    fn what_is_no_array_is_none(#[case] json: &str) {
        assert_eq!(read(json, 1), Err(Failure::Garbled), "{json}");
        assert!(serde_json::from_str::<Vec<Value>>(json).is_err());
    }

    #[test]
    fn an_entry_has_1_mib_at_most() {
        let with = |bytes: usize| format!("[1, \"{}\"]", "x".repeat(bytes - 2));
        assert!(read(&with(ENTRY), 1 << 16).is_ok());
        assert_eq!(read(&with(ENTRY + 1), 1 << 16), Err(Failure::TooLarge));
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            ".{0,6}|[\\[\\]{},\"\\\\]{1,6}".prop_map(Value::from)
        ];
        leaf.prop_recursive(3, 20, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec((".{0,3}", inner), 0..4).prop_map(|all| Value::Object(all.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn every_array_is_read_as_serde_reads_it(all in prop::collection::vec(any_json(), 0..5), size in 1_usize..40, pretty: bool) {
            let json = if pretty { serde_json::to_string_pretty(&all) } else { serde_json::to_string(&all) }.unwrap();
            prop_assert_eq!(read(&json, size), Ok(all));
        }

        #[test]
        fn nothing_else_is(json in "[\\[\\]{},:\"\\\\ 1a]{0,12}", size in 1_usize..4) {
            let theirs = serde_json::from_str::<Vec<Value>>(&json);
            prop_assert_eq!(read(&json, size).ok(), theirs.ok());
        }
    }
}
