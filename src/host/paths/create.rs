//! New directories: each is made, opened and given away by descriptors, so that nobody can put a link in its place, and is
//! never open to more people than in the end.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::{fs, io};

use rustix::fs::{AtFlags, Gid, Mode as Bits, Uid, fchmod, fchown, mkdirat, unlinkat};
use rustix::io::Errno;
use rustix::process::{geteuid, umask};

use super::{failed, open, open_in};
use crate::error::Result;
use crate::scanner::values::directory::{Directory, Mode, Owner};

/// A directory that this run made.
#[derive(Debug)]
pub struct Made {
    parent: OwnedFd,
    name: PathBuf,
}

impl Made {
    /// Removes it when it is empty; whether it is gone.
    pub fn remove_if_empty(&self) -> bool {
        unlinkat(&self.parent, &self.name, AtFlags::REMOVEDIR).is_ok()
    }
}

/// Makes `path` with all its parents for `owner`; the last component gets `mode`, the others, and the last without one, what
/// [`usual`] says. What it makes is added to `new`, the outermost first, also when it fails half-way.
pub fn create(path: &Directory, mode: Option<Mode>, owner: &Owner, new: &mut Vec<Made>) -> Result<()> {
    make(path.as_path(), mode, owner, new).map_err(|error| failed("create", path.as_path(), &error))
}

/// Sets the mode of `path`, which is not followed where it is a link.
pub fn set_mode(path: &Directory, mode: Mode) -> Result<()> {
    let (parent, name) = path.split();
    let set = || fchmod(open_in(&open(parent)?, Path::new(name))?, Bits::from_bits_truncate(mode.bits()));
    set().map_err(|error| failed("set the mode of", path.as_path(), &error.into()))
}

fn make(path: &Path, mode: Option<Mode>, owner: &Owner, new: &mut Vec<Made>) -> io::Result<()> {
    // Not the last component, also where it is there: it is opened below without following it.
    let there = path.ancestors().skip(1).find(|path| path.exists()).unwrap_or(Path::new("/"));
    let owner = owner.resolve()?;
    let mut parent = open(there)?;
    let missing = path.strip_prefix(there).unwrap_or(Path::new(""));
    let mut components = missing.components().peekable();
    while let Some(component) = components.next() {
        let mode = mode.filter(|_| components.peek().is_none());
        let bits = mode.map_or_else(usual, Mode::bits);
        let name = Path::new(component.as_os_str());
        let is_new = match mkdirat(&parent, name, Bits::from_bits_truncate(bits & 0o700)) {
            Ok(()) => true,
            Err(Errno::EXIST) => false, // somebody else was faster
            Err(error) => return Err(error.into()),
        };
        if is_new {
            new.push(Made { parent: parent.try_clone()?, name: name.to_owned() });
        }
        let directory = open_in(&parent, name)?;
        if is_new {
            give(&directory, owner)?;
        }
        if is_new || mode.is_some() {
            fchmod(&directory, Bits::from_bits_truncate(bits))?;
        }
        parent = directory;
    }
    Ok(())
}

/// The mode of a directory for which none is given: what the umask leaves of 0755, and always all for its owner.
fn usual() -> u32 {
    static UMASK: OnceLock<u32> = OnceLock::new();
    let mask = UMASK.get_or_init(|| {
        // There is no other way to read it, on every kernel, than to set it.
        let mask = umask(Bits::from_bits_truncate(0o077));
        umask(mask);
        mask.bits()
    });
    (0o755 & !mask) | 0o700
}

impl Owner {
    /// User and group on this host; `None`: this user makes directories for nobody else.
    fn resolve(&self) -> io::Result<Option<(Uid, Gid)>> {
        if !geteuid().is_root() {
            return Ok(None);
        }
        let (user, group) = match self {
            Self::Root => (0, 0),
            Self::Remapped(user, group) => (*user, *group),
            Self::SameAs(path) => fs::metadata(path).map(|found| (found.uid(), found.gid()))?,
        };
        Ok(Some((Uid::from_raw(user), Gid::from_raw(group))))
    }
}

fn give(directory: impl AsFd, owner: Option<(Uid, Gid)>) -> io::Result<()> {
    let Some((user, group)) = owner else { return Ok(()) };
    Ok(fchown(directory, Some(user), Some(group))?)
}

#[cfg(test)]
mod tests {
    use super::super::tests::directory;
    use super::super::{look, look_unfollowed};
    use super::*;
    use crate::scanner::observation::OnHost;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn create_for_root(path: &Path, mode: Option<&str>, new: &mut Vec<Made>) -> Result<()> {
        create(&directory(path), mode.map(|mode| Mode::parse(mode).unwrap()), &Owner::Root, new)
    }

    fn bits(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn makes_parents_and_gives_the_mode_to_the_last_only() {
        let temp = tempfile::tempdir().unwrap();
        // A directory that hands on its group must not make others setgid.
        fs::set_permissions(temp.path(), fs::Permissions::from_mode(0o2755)).unwrap();
        let path = temp.path().join("a/b");
        assert_eq!(look(&path).unwrap(), OnHost::Missing);
        let mut made = Vec::new();
        create_for_root(&path, Some("0710"), &mut made).unwrap();
        create_for_root(&path, None, &mut made).unwrap();
        assert_eq!(made.len(), 2);
        assert_eq!((bits(&temp.path().join("a")), bits(&path)), (usual(), 0o710));
        assert!(made.iter().rev().all(Made::remove_if_empty) && !temp.path().join("a").exists());
    }

    #[test]
    fn nothing_is_made_where_a_link_or_a_file_is() {
        let temp = tempfile::tempdir().unwrap();
        let (outside, link, file) = (temp.path().join("outside"), temp.path().join("link"), temp.path().join("file"));
        fs::create_dir(&outside).unwrap();
        symlink(temp.path().join("nowhere"), &link).unwrap();
        fs::write(&file, "").unwrap();
        let mut made = Vec::new();
        for path in [&link, &link.join("below"), &file.join("below")] {
            let error = create_for_root(path, Some("0700"), &mut made).unwrap_err();
            assert!(error.message.contains("not a directory"), "{error}");
        }
        assert!(made.is_empty() && !temp.path().join("nowhere").exists());
        fs::remove_file(&link).unwrap();
        symlink(&outside, &link).unwrap();
        let before = bits(&outside);
        set_mode(&directory(&link), Mode::parse("0700").unwrap()).unwrap_err();
        assert_eq!(bits(&outside), before);
        assert_eq!(look_unfollowed(&directory(&link)).unwrap(), OnHost::Other);
        set_mode(&directory(&outside), Mode::parse("0701").unwrap()).unwrap();
        assert_eq!(bits(&outside), 0o701);
    }

    #[test]
    fn what_was_made_is_known_although_it_failed() {
        let temp = tempfile::tempdir().unwrap();
        let mut made = Vec::new();
        assert!(create_for_root(&temp.path().join("new").join("x".repeat(256)), None, &mut made).is_err());
        assert_eq!(made.len(), 1);
    }

    #[test]
    fn a_directory_belongs_to_the_engines_root() {
        let temp = tempfile::tempdir().unwrap();
        let owner = |path: &Path| fs::metadata(path).map(|found| (found.uid(), found.gid())).unwrap();
        let (remapped, rootless) = (temp.path().join("remapped"), temp.path().join("rootless"));
        create(&directory(&remapped), None, &Owner::Remapped(100_000, 200_000), &mut Vec::new()).unwrap();
        assert_eq!(owner(&remapped), (100_000, 200_000));
        let of = Owner::SameAs(remapped.display().to_string());
        create(&directory(&rootless), None, &of, &mut Vec::new()).unwrap();
        assert_eq!(owner(&rootless), (100_000, 200_000));
    }
}
