//! The directories that are mounted into a scanner, and when two spellings of a mount mean the same.

use super::directory::plain;

/// Where the shared directory is mounted.
pub const SHARED: &str = "/usr/local/qualys";
/// Where `<private_dir>/<code>` is mounted; whatever has a mount here is a scanner.
pub const PRIVATE: &str = "/usr/local/qualys/admin/etc";
/// Where the private root CA is mounted.
pub const CA: &str = "/usr/local/bin";

/// A mount as the engine reports it, by its meaning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// The host's path in its plainest spelling; of a volume, the path of its data; empty for one in memory.
    pub source: String,
    /// The container's path in its plainest spelling.
    pub destination: String,
    /// Whether the container may write.
    pub read_write: bool,
    /// Whether it was asked for with `z` or `Z`.
    pub relabel: bool,
}

impl Mount {
    /// From what the engine reports, with `mode` such as `z` or `rw,Z`.
    pub fn new(source: &str, destination: &str, read_write: bool, mode: &str) -> Self {
        let relabel = mode.split(',').any(|flag| flag.eq_ignore_ascii_case("z"));
        let source = if source.is_empty() { String::new() } else { plain(source) };
        Self { source, destination: plain(destination), read_write, relabel }
    }

    /// Whether this is the mount of `source` that a scanner needs; a missing `z` matters only where the engine enforces labels.
    pub fn serves(&self, source: &str, labels_enforced: bool) -> bool {
        self.source == source && self.read_write && (self.relabel || !labels_enforced)
    }
}

/// `source:destination:z`, as the vendor's command has it.
pub fn bind(source: &str, destination: &str) -> String {
    format!("{source}:{destination}:z")
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("/shared", true, "z", true, true)]
    #[case("/shared/", true, "rw,z", true, true)]
    #[case("/shared", true, "Z,rw", true, true)]
    #[case("/shared", true, "", false, true)]
    #[case("/shared", true, "", true, false)]
    #[case("/shared", false, "ro,z", false, false)]
    #[case("/other", true, "z", false, false)]
    fn mounts_are_compared_by_meaning(
        #[case] source: &str,
        #[case] read_write: bool,
        #[case] mode: &str,
        #[case] labels_enforced: bool,
        #[case] serves: bool,
    ) {
        let mount = Mount::new(source, "/usr/local/qualys/", read_write, mode);
        assert_eq!(mount.destination, SHARED);
        assert_eq!(mount.serves("/shared", labels_enforced), serves);
    }
}
