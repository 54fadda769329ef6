//! How an image archive is compressed.

use std::fmt;

/// The longest beginning that tells a compression.
pub const LONGEST_MAGIC: u64 = 6;

/// The compressions that `docker load` takes, engine by engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// None of the others: a plain tar, or no archive at all.
    None,
    /// RFC 1952.
    Gzip,
    /// bzip2.
    Bzip2,
    /// xz, which Docker leaves to the program of this name.
    Xz,
    /// RFC 8878.
    Zstd,
}

impl Compression {
    /// The compression of a file with this `beginning`.
    pub fn of(beginning: &[u8]) -> Self {
        match beginning {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [b'B', b'Z', b'h', ..] => Self::Bzip2,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            // The second is of a frame that a reader skips, which may come first.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            _ => Self::None,
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "nothing",
            Self::Gzip => "gzip",
            Self::Bzip2 => "bzip2",
            Self::Xz => "xz",
            Self::Zstd => "zstd",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(b"\x1f\x8b\x08\x00\x00\x00", Compression::Gzip)]
    #[case(b"BZh91A", Compression::Bzip2)]
    #[case(b"\xfd7zXZ\x00", Compression::Xz)]
    #[case(b"\x28\xb5\x2f\xfd\x00\x58", Compression::Zstd)]
    #[case(b"\x5a\x2a\x4d\x18\x00\x00", Compression::Zstd)]
    #[case(b"manife", Compression::None)]
    #[case(b"\x1f", Compression::None)]
    #[case(b"", Compression::None)]
    fn is_told_by_its_first_bytes(#[case] beginning: &[u8], #[case] compression: Compression) {
        assert_eq!(Compression::of(beginning), compression);
        assert!(beginning.len() as u64 <= LONGEST_MAGIC);
    }
}
