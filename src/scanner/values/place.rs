//! What a path of the host leads to, so that neither links nor bind mounts count.

use super::directory::is_within;

/// A directory of a file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// The file system, `MAJOR:MINOR`.
    pub device: String,
    /// The path within the file system, in its plainest spelling.
    pub path: String,
}

impl Position {
    fn contains(&self, other: &Self) -> bool {
        self.device == other.device && is_within(&other.path, &self.path)
    }
}

/// What a path of the host leads to. It need not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The path without links.
    pub path: String,
    /// Its position.
    pub at: Position,
    /// The positions of what is mounted below it.
    pub mounted: Vec<Position>,
}

impl Place {
    /// Whether both are the same directory.
    pub fn is(&self, other: &Self) -> bool {
        self.at == other.at
    }

    /// Whether `other` is this directory, or lies in it or in something that is mounted below it.
    pub fn contains(&self, other: &Self) -> bool {
        self.positions().any(|outer| outer.contains(&other.at))
    }

    /// Whether one of the two is the other, contains it, or contains what is mounted below it.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.positions().any(|a| other.positions().any(|b| a.contains(b) || b.contains(a)))
    }

    fn positions(&self) -> impl Iterator<Item = &Position> {
        std::iter::once(&self.at).chain(&self.mounted)
    }

    /// A directory of the host's only file system, with nothing mounted below it.
    #[cfg(test)]
    pub fn plain(path: &str) -> Self {
        let at = Position { device: "8:1".to_owned(), path: path.to_owned() };
        Self { path: path.to_owned(), at, mounted: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn position((device, path): (&str, &str)) -> Position {
        Position { device: device.to_owned(), path: path.to_owned() }
    }

    fn place(at: (&str, &str), mounted: &[(&str, &str)]) -> Place {
        Place { path: String::new(), at: position(at), mounted: mounted.iter().copied().map(position).collect() }
    }

    #[rstest]
    #[case::itself(("8:1", "/a"), &[], ("8:1", "/a"), true, true)]
    #[case::below(("8:1", "/a"), &[], ("8:1", "/a/b/c"), true, true)]
    #[case::above(("8:1", "/a/b"), &[], ("8:1", "/a"), false, true)]
    #[case::beside(("8:1", "/a"), &[], ("8:1", "/ab"), false, false)]
    #[case::the_root(("8:1", "/"), &[], ("8:1", "/a"), true, true)]
    #[case::another_device(("8:1", "/a"), &[], ("8:2", "/a/b"), false, false)]
    #[case::mounted_below(("8:1", "/a"), &[("8:1", "/x")], ("8:1", "/x/y"), true, true)]
    #[case::a_part_mounted_below(("8:1", "/a"), &[("8:1", "/x/y")], ("8:1", "/x"), false, true)]
    fn positions_count_and_what_is_mounted_below(
        #[case] at: (&str, &str),
        #[case] mounted: &[(&str, &str)],
        #[case] other: (&str, &str),
        #[case] contains: bool,
        #[case] overlaps: bool,
    ) {
        let (one, other) = (place(at, mounted), place(other, &[]));
        assert_eq!((one.contains(&other), one.overlaps(&other), other.overlaps(&one)), (contains, overlaps, overlaps));
        assert_eq!(one.is(&other), at == (other.at.device.as_str(), other.at.path.as_str()));
    }
}
