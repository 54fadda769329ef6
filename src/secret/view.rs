//! The ways to read a text: as it is, and with one or more encodings taken off it.
//!
//! A view is in lower case, and each of its bytes knows where in the text it comes from, so that what is found in a view can be
//! masked there.

use std::ops::Range;

/// The most views of one text: whoever encodes a secret more often than that can read it from anything.
const MOST: usize = 16;

/// One way to read a text.
#[derive(Debug, Default, Clone)]
pub struct View {
    /// What is read.
    pub bytes: Vec<u8>,
    /// For each byte, where in the text it comes from.
    origins: Vec<(u32, u32)>,
}

/// All views of `text`, the plain one first.
pub fn views(text: &str) -> Vec<View> {
    let mut views = vec![View::plain(text)];
    let mut at = 0;
    while let Some(view) = views.get(at) {
        let others =
            [view.without_controls(), view.without_percents(), view.without_backslashes(), view.without_quotes()];
        for decoded in others.into_iter().flatten() {
            if views.len() < MOST && !views.iter().any(|other| other.bytes == decoded.bytes) {
                views.push(decoded);
            }
        }
        at += 1;
    }
    views
}

/// Whether [`views`] has but one of `text`, in which each byte comes from where it is.
pub fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_control() && !b"%\\'".contains(&byte))
}

impl View {
    /// The view with nothing taken off.
    fn plain(text: &str) -> Self {
        let mut view = Self::with_capacity(text.len());
        for (at, c) in text.char_indices() {
            view.push_lower(c, (origin(at), origin(at + c.len_utf8())));
        }
        view
    }

    /// What a terminal shows of `text`.
    pub fn shown(text: &str) -> Self {
        let view = Self::plain(text);
        view.without_controls().unwrap_or(view)
    }

    fn with_capacity(capacity: usize) -> Self {
        Self { bytes: Vec::with_capacity(capacity), origins: Vec::with_capacity(capacity) }
    }

    /// Where the bytes of `range` come from in the text.
    pub fn origin(&self, range: Range<usize>) -> Option<Range<usize>> {
        let (first, last) = (self.origins.get(range.start)?, self.origins.get(range.end.checked_sub(1)?)?);
        Some(usize::try_from(first.0).ok()?..usize::try_from(last.1).ok()?)
    }

    /// Without what tells a terminal something, and without line ends; `None` where there is nothing of the kind.
    fn without_controls(&self) -> Option<Self> {
        // 0x9b is in the characters U+0080 to U+009F, and in others.
        if !self.bytes.iter().any(|byte| byte.is_ascii_control() || *byte == 0xc2) {
            return None;
        }
        let view = self.read_again(true);
        (view.bytes.len() < self.bytes.len()).then_some(view)
    }

    /// With `%40` read as `@`; `None` where there is no such thing.
    fn without_percents(&self) -> Option<Self> {
        let escape = |rest: &[u8]| match rest {
            [b'%', high, low, ..] => Some((3, hex(&[*high, *low])?)),
            _ => None,
        };
        self.bytes
            .contains(&b'%')
            .then(|| self.decoded(|rest| escape(rest).map(|(length, code)| (length, Read::Byte(code)))))?
    }

    /// With `\n`, `\u0041`, `\x41` and `\"` read as JSON, Python, C and a shell read them.
    fn without_backslashes(&self) -> Option<Self> {
        self.bytes.contains(&b'\\').then(|| self.decoded(backslash))?
    }

    /// With a quote that a shell takes out of quotes, `'\''` or `'"'"'`, read as one.
    fn without_quotes(&self) -> Option<Self> {
        let quote = |rest: &[u8]| match rest {
            [b'\'', b'\\', b'\'', b'\'', ..] => Some((4, Read::Byte(b'\''))),
            [b'\'', b'"', b'\'', b'"', b'\'', ..] => Some((5, Read::Byte(b'\''))),
            _ => None,
        };
        self.bytes.contains(&b'\'').then(|| self.decoded(quote))?
    }

    /// With each escape read that `read` finds at the start of the rest; `None` where there is none.
    fn decoded(&self, read: impl Fn(&[u8]) -> Option<(usize, Read)>) -> Option<Self> {
        let mut view = Self::with_capacity(self.bytes.len());
        let (mut at, mut decoded, mut unfolded) = (0, false, false);
        while let Some((rest, &byte)) = self.bytes.get(at..).and_then(|rest| Some((rest, rest.first()?))) {
            let escape = read(rest);
            decoded |= escape.is_some();
            let (length, meant) = escape.unwrap_or((1, Read::Byte(byte)));
            let (start, end) = (self.origins.get(at), self.origins.get(at + length - 1));
            let origin = start.zip(end).map(|((start, _), (_, end))| (*start, *end)).unwrap_or_default();
            match meant {
                Read::Byte(code) => {
                    unfolded |= length > 1 && !code.is_ascii();
                    view.push(code.to_ascii_lowercase(), origin);
                }
                Read::Char(c) => view.push_lower(c, origin),
            }
            at += length;
        }
        if unfolded {
            view = view.read_again(false);
        }
        decoded.then_some(view)
    }

    fn push(&mut self, byte: u8, origin: (u32, u32)) {
        self.bytes.push(byte);
        self.origins.push(origin);
    }

    fn push_lower(&mut self, c: char, origin: (u32, u32)) {
        if let Ok(byte) = u8::try_from(c)
            && byte.is_ascii()
        {
            self.push(byte.to_ascii_lowercase(), origin);
        } else {
            // By way of the upper case: only there, `ß` is two letters.
            for c in c.to_uppercase().flat_map(char::to_lowercase) {
                c.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| self.push(byte, origin));
            }
        }
    }

    /// Each character in lower case, also where its bytes were decoded one by one; without controls if these are `left_out`.
    fn read_again(&self, left_out: bool) -> Self {
        let mut view = Self::with_capacity(self.bytes.len());
        let mut at = 0;
        for chunk in self.bytes.utf8_chunks() {
            let mut rest = chunk.valid();
            while let Some(c) = rest.chars().next() {
                let length = sequence(rest).filter(|_| left_out).unwrap_or(c.len_utf8());
                if let (Some((start, _)), Some((_, end))) = (self.origins.get(at), self.origins.get(at + length - 1))
                    && !(left_out && c.is_control())
                {
                    view.push_lower(c, (*start, *end));
                }
                rest = rest.get(length..).unwrap_or_default();
                at += length;
            }
            for byte in chunk.invalid() {
                view.push(*byte, self.origins.get(at).copied().unwrap_or_default());
                at += 1;
            }
        }
        view
    }
}

/// `text` without the sequences and characters that tell a terminal what to do; line ends and tabs stay.
pub fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let length = sequence(rest).unwrap_or(c.len_utf8());
        if !c.is_control() || c == '\n' || c == '\t' {
            shown.push(c);
        }
        rest = rest.get(length..).unwrap_or_default();
    }
    shown
}

/// The length of the sequence at the start of `text` that tells a terminal what to do (ECMA-48); `None`: there is none.
fn sequence(text: &str) -> Option<usize> {
    let introduced = text.strip_prefix('\u{9b}').or_else(|| text.strip_prefix("\u{1b}["));
    let string = || {
        let rest = text.strip_prefix('\u{1b}')?;
        rest.strip_prefix([']', 'P', 'X', '^', '_'])
    };
    let length = |rest: &str, last: Option<usize>| text.len() - rest.len() + last.unwrap_or(rest.len());
    if let Some(rest) = introduced {
        let last = rest.char_indices().find(|(_, c)| !('\u{20}'..='\u{3f}').contains(c));
        // What is no part of a sequence breaks it off.
        let last = last.map(|(at, c)| if ('\u{40}'..='\u{7e}').contains(&c) { at + 1 } else { at });
        return Some(length(rest, last));
    }
    if let Some(rest) = string() {
        let last = rest.find(['\u{7}', '\u{1b}', '\u{9c}', '\n']);
        let ended = last
            .and_then(|at| rest.get(at..))
            .map_or(0, |end| if end.starts_with("\u{1b}\\") { 2 } else { usize::from(end.starts_with('\u{7}')) });
        return Some(length(rest, last.map(|at| at + ended)));
    }
    let kind = text.strip_prefix('\u{1b}')?.chars().next().filter(|c| ('\u{30}'..='\u{7e}').contains(c));
    Some(1 + kind.map_or(0, char::len_utf8))
}

/// What an escape stands for.
enum Read {
    /// One byte of a character.
    Byte(u8),
    /// A whole one.
    Char(char),
}

/// The escape at the start of `rest` and its length.
fn backslash(rest: &[u8]) -> Option<(usize, Read)> {
    let unit = |at: usize| u16::from_str_radix(std::str::from_utf8(rest.get(at..at + 4)?).ok()?, 16).ok();
    let is_unit = |at: usize| rest.get(at..at + 2) == Some(b"\\u");
    match rest {
        [b'\\', b'u', ..] => {
            let pair = unit(2).zip(is_unit(6).then(|| unit(8)).flatten());
            let pair = pair
                .and_then(|(high, low)| char::decode_utf16([high, low]).next()?.ok().filter(|c| c.len_utf16() == 2));
            match pair {
                Some(c) => Some((12, Read::Char(c))),
                None => Some((6, Read::Char(char::from_u32(u32::from(unit(2)?))?))),
            }
        }
        [b'\\', b'x', high, low, ..] => Some((4, Read::Byte(hex(&[*high, *low])?))),
        [b'\\', b'0', b'3', b'3', ..] => Some((4, Read::Byte(0x1b))),
        [b'\\', b'e', ..] => Some((2, Read::Byte(0x1b))),
        [b'\\', b'n' | b'r' | b't' | b'b' | b'f' | b'v' | b'a' | b'0', ..] => Some((2, Read::Byte(b'\n'))),
        [b'\\', c, ..] if c.is_ascii() => Some((2, Read::Byte(*c))),
        _ => None,
    }
}

fn hex(digits: &[u8]) -> Option<u8> {
    u8::from_str_radix(std::str::from_utf8(digits).ok().filter(|it| !it.starts_with('+'))?, 16).ok()
}

/// No text is as long as 4 GiB: the engine's answers are bounded.
fn origin(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn of_a_plain_text_there_is_one_view(text in "[ -~]{0,12}|\\PC{0,4}|[a'%\\\\]{0,9}") {
            if is_plain(&text) {
                let views = views(&text);
                proptest::prop_assert_eq!(views.len(), 1);
                proptest::prop_assert_eq!(&views[0].bytes, &text.to_ascii_lowercase().into_bytes());
                let own: Vec<_> = (0..text.len()).map(|at| (origin(at), origin(at + 1))).collect();
                proptest::prop_assert_eq!(&views[0].origins, &own);
            }
        }
    }
}
