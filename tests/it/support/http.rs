//! Messages of HTTP/1.1, as far as they must be understood to pass them on.

use std::io::{self, BufRead, Read, Write};

/// How a message's end is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    None,
    Length(u64),
    Chunked,
    UntilClose,
}

/// The first line and the headers of a request or an answer, as they came.
pub struct Head(String);

impl Head {
    /// None when the peer closed the connection instead.
    pub fn read(from: &mut impl BufRead) -> io::Result<Option<Self>> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if from.read_line(&mut head)? == 0 {
                return Ok(None);
            }
        }
        Ok(Some(Self(head)))
    }

    pub fn start(&self) -> &str {
        self.0.lines().next().unwrap()
    }

    fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.0.lines().skip(1).filter_map(|line| line.split_once(':'));
        headers.find(|(header, _)| header.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    pub fn body(&self, unsaid: Body) -> Body {
        if self.header("transfer-encoding").is_some() {
            return Body::Chunked;
        }
        self.header("content-length").map_or(unsaid, |length| Body::Length(length.parse().unwrap()))
    }

    pub fn is(&self, method: &str) -> bool {
        self.start().split(' ').next() == Some(method)
    }

    /// The body of this answer to `request`.
    pub fn body_after(&self, request: &Self) -> Body {
        if request.is("HEAD") || self.is_bodiless() { Body::None } else { self.body(Body::UntilClose) }
    }

    fn is_bodiless(&self) -> bool {
        ["204", "304"].contains(&self.start().split(' ').nth(1).unwrap())
    }

    /// Passes the whole message on.
    pub fn pass(&self, from: &mut impl BufRead, to: &mut impl Write, body: Body) -> io::Result<()> {
        to.write_all(self.0.as_bytes())?;
        match body {
            Body::None => Ok(()),
            Body::Length(length) => copy(from.take(length), to),
            Body::UntilClose => copy(from, to),
            Body::Chunked => copy_chunks(from, to),
        }
    }
}

fn copy(mut from: impl Read, to: &mut impl Write) -> io::Result<()> {
    io::copy(&mut from, to).map(drop)
}

/// Each chunk is passed on when it comes: a log or a pull's progress may go on for long.
fn copy_chunks(from: &mut impl BufRead, to: &mut impl Write) -> io::Result<()> {
    loop {
        let mut line = String::new();
        from.read_line(&mut line)?;
        to.write_all(line.as_bytes())?;
        let length = u64::from_str_radix(line.trim_end(), 16).map_err(io::Error::other)?;
        copy(from.take(length + 2), to)?; // the line end after the chunk, or, after the last one, that of no trailers
        if length == 0 {
            return Ok(());
        }
    }
}
