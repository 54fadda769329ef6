//! The mounts of this process: what a path leads to, and what is mounted below it. Of a bind mount on the same file system, no
//! other place tells.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::paths::failed;
use crate::error::Result;
use crate::scanner::values::directory::{Directory, is_within, plain};
use crate::scanner::values::place::{Place, Position};

/// proc(5): one line for each mount.
const TABLE: &str = "/proc/self/mountinfo";

/// The mounts of this process.
#[derive(Debug)]
pub struct Mounts(Vec<Mount>);

#[derive(Debug)]
struct Mount {
    id: String,
    /// The mount that it is mounted on.
    parent: String,
    /// The directory of its file system that is mounted.
    root: Position,
    /// Where it is mounted.
    point: String,
}

impl Mounts {
    /// Reads the mounts as they are now.
    pub fn read() -> Result<Self> {
        let table = fs::read(TABLE).map_err(|error| failed("read", Path::new(TABLE), &error))?;
        Ok(Self::parse(&String::from_utf8_lossy(&table)))
    }

    fn parse(table: &str) -> Self {
        Self(table.lines().filter_map(Mount::parse).collect())
    }

    /// What `path` leads to, links followed.
    pub fn place(&self, path: &Path) -> Place {
        self.place_of(&resolved(path))
    }

    /// What `directory` is when its last component is not followed.
    pub fn place_unfollowed(&self, directory: &Directory) -> Place {
        let (parent, name) = directory.split();
        self.place_of(&resolved(parent).join(name))
    }

    /// The first mount point that is `place` or lies below it.
    pub fn at_or_below(&self, place: &Place) -> Option<&str> {
        self.0.iter().map(|mount| mount.point.as_str()).find(|point| is_within(point, &place.path))
    }

    fn place_of(&self, resolved: &Path) -> Place {
        let path = plain(&resolved.to_string_lossy());
        let at = self.position(&path);
        let is_below = |mount: &&Mount| mount.point != path && is_within(&mount.point, &path);
        let mounted = self.0.iter().filter(is_below).map(|mount| mount.root.clone()).collect();
        Place { path, at, mounted }
    }

    /// Walks from mount to mount as the kernel does: of those on one mount, the outermost hides what it covers.
    fn position(&self, path: &str) -> Position {
        let is_top = |mount: &&Mount| mount.point == "/" && !self.0.iter().any(|other| other.id == mount.parent);
        let mut top = self.0.iter().find(is_top);
        while let Some(mount) = top {
            let on_top = |next: &&Mount| next.parent == mount.id && next.id != mount.id && is_within(path, &next.point);
            match self.0.iter().filter(on_top).min_by_key(|next| next.point.len()) {
                Some(next) => top = Some(next),
                None => return mount.position(path),
            }
        }
        Position { device: String::new(), path: path.to_owned() }
    }
}

impl Mount {
    /// `36 35 98:0 /root/in/its/file/system /mount/point rw,noatime …`
    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split(' ');
        let mut next = || fields.next().map(unescaped);
        let (id, parent, device, root, point) = (next()?, next()?, next()?, next()?, next()?);
        Some(Self { id, parent, root: Position { device, path: plain(&root) }, point: plain(&point) })
    }

    fn position(&self, path: &str) -> Position {
        let rest = path.strip_prefix(self.point.as_str()).unwrap_or(path);
        Position { device: self.root.device.clone(), path: plain(&format!("{}/{rest}", self.root.path)) }
    }
}

/// The kernel writes space, tab, newline and backslash as three octal digits.
fn unescaped(field: &str) -> String {
    field.replace(r"\040", " ").replace(r"\011", "\t").replace(r"\012", "\n").replace(r"\134", r"\")
}

/// `path` without links, as far as it exists.
fn resolved(path: &Path) -> PathBuf {
    let real = |ancestor: &Path| -> io::Result<PathBuf> {
        let rest = path.strip_prefix(ancestor).unwrap_or(Path::new(""));
        Ok(fs::canonicalize(ancestor)?.join(rest))
    };
    path.ancestors().find_map(|ancestor| real(ancestor).ok()).unwrap_or_else(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use std::os::unix::fs::symlink;

    const SAMPLE: &str = "\
21 1 8:1 / / rw - ext4 /dev/sda1 rw
22 21 0:5 / /proc rw - proc proc rw
30 21 8:2 / /srv rw - ext4 /dev/sdb1 rw
31 30 8:1 /usr/qualys/private /srv/leak rw - ext4 /dev/sda1 rw
32 21 8:1 /data\\040dir /mnt rw - ext4 /dev/sda1 rw
40 21 8:3 /lower /over/below rw - ext4 /dev/sdc1 rw
41 21 8:4 / /over rw - ext4 /dev/sdd1 rw
50 41 8:5 / /over rw - ext4 /dev/sde1 rw
not a mount
";

    #[rstest]
    #[case("/usr/qualys", "8:1", "/usr/qualys")]
    #[case("/srv", "8:2", "/")]
    #[case("/srv/shared", "8:2", "/shared")]
    #[case("/srv/leak/123", "8:1", "/usr/qualys/private/123")]
    #[case("/srv/leaky", "8:2", "/leaky")]
    #[case("/mnt/x", "8:1", "/data dir/x")]
    #[case::hidden("/over/below/x", "8:5", "/below/x")]
    fn a_position_is_where_the_kernel_ends_up(#[case] path: &str, #[case] device: &str, #[case] within: &str) {
        let at = Mounts::parse(SAMPLE).place_of(Path::new(path)).at;
        assert_eq!((at.device.as_str(), at.path.as_str()), (device, within));
    }

    #[test]
    fn a_bind_mount_below_leads_elsewhere() {
        let mounts = Mounts::parse(SAMPLE);
        let place = |path: &str| mounts.place_of(Path::new(path));
        let identity = place("/usr/qualys/private/123");
        assert!(place("/srv").contains(&identity) && !place("/srv/shared").overlaps(&identity));
        assert_eq!(mounts.at_or_below(&place("/srv/leak")), Some("/srv/leak"));
        assert_eq!(mounts.at_or_below(&place("/srv/shared")), None);
    }

    #[test]
    fn links_are_followed_as_far_as_they_lead() {
        let temp = tempfile::tempdir().unwrap();
        let mounts = Mounts::read().unwrap();
        fs::create_dir(temp.path().join("target")).unwrap();
        symlink("target", temp.path().join("link")).unwrap();
        let path = |name: &str| temp.path().join(name);
        assert!(mounts.place(&path("link")).is(&mounts.place(&path("target"))));
        assert!(mounts.place(&path("link/a/b")).is(&mounts.place(&path("target/a/b"))));
        let link = Directory::parse("private_dir", path("link").to_str().unwrap()).unwrap();
        assert!(!mounts.place_unfollowed(&link).is(&mounts.place(&path("target"))));
        let below = Directory::parse("private_dir", path("link/a").to_str().unwrap()).unwrap();
        assert!(mounts.place_unfollowed(&below).is(&mounts.place(&path("target/a"))));
    }
}
