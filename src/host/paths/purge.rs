//! The deletion of an identity directory: it is renamed aside first, in one step, so that nobody can begin to use what is being
//! deleted; then it is deleted without following links, and with few descriptors however deep it is.

use std::ffi::{CStr, CString, OsStr};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{
    AtFlags, Dir, Mode as Bits, OFlags, RenameFlags, ResolveFlags, openat2, renameat, renameat_with, unlinkat,
};
use rustix::io::Errno;

use super::{failed, open, open_in};
use crate::error::{Error, Result};
use crate::host::lock::stable_hash;
use crate::scanner::values::directory::Directory;

/// More purges of one path that were killed than there are.
const MOST: u32 = 1000;
/// How often a directory is looked through that somebody fills while it is deleted.
const PASSES: u32 = 100;

/// What a purge has yet to delete: directories that were renamed aside, which no container can reach any more.
#[derive(Debug)]
pub struct Aside {
    /// The path that they had, for messages.
    path: Directory,
    parent: OwnedFd,
    names: Vec<CString>,
}

/// Whether an earlier purge of `path` was killed and left something to delete.
pub fn is_unfinished(path: &Directory) -> bool {
    let (parent, name) = path.split();
    open(parent).and_then(|parent| left(&parent, name)).is_ok_and(|names| !names.is_empty())
}

/// Renames `path` aside, which is not followed where it is a link; fine when it is gone. What earlier purges left goes along.
pub fn set_aside(path: &Directory) -> Result<Aside> {
    let (parent, name) = path.split();
    let rename = || -> rustix::io::Result<Aside> {
        let parent = match open(parent) {
            Err(Errno::NOENT) => {
                return Ok(Aside { path: path.clone(), parent: open(Path::new("/"))?, names: Vec::new() });
            }
            opened => opened?,
        };
        let mut names = left(&parent, name)?;
        match open_in(&parent, Path::new(name)) {
            Err(Errno::NOENT) => {}
            opened => {
                drop(opened?);
                names.push(move_aside(&parent, name)?);
            }
        }
        Ok(Aside { path: path.clone(), parent, names })
    };
    rename().map_err(|error| failed("delete", path.as_path(), &error.into()))
}

impl Aside {
    /// Whether there is nothing to delete.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Deletes it.
    pub fn delete(self) -> Result<()> {
        let delete = |name: &CString| delete(&self.parent, name);
        self.names.iter().try_for_each(delete).map_err(|error| self.failed(&error.into()))
    }

    fn failed(&self, error: &io::Error) -> Error {
        failed("delete", self.path.as_path(), error)
    }
}

/// How the names begin that `name` has had when it was renamed aside. They do not show it, since it is a code.
fn prefix(name: &str) -> String {
    format!(".qcss-purged-{:016x}-", stable_hash(name.as_bytes()))
}

/// What earlier purges of `name` left in `parent`.
fn left(parent: impl AsFd, name: &str) -> rustix::io::Result<Vec<CString>> {
    let prefix = prefix(name);
    let entries = entries(parent)?;
    Ok(entries.into_iter().filter(|entry| entry.to_bytes().starts_with(prefix.as_bytes())).collect())
}

fn move_aside(parent: &OwnedFd, name: &str) -> rustix::io::Result<CString> {
    for number in 0..MOST {
        let aside = CString::new(format!("{}{number}", prefix(name))).unwrap_or_default();
        let renamed = match renameat_with(parent, name, parent, &aside, RenameFlags::NOREPLACE) {
            // A file system without this flag: rename replaces nothing but an empty directory.
            Err(Errno::INVAL | Errno::NOSYS) => renameat(parent, name, parent, &aside),
            renamed => renamed,
        };
        match renamed {
            Ok(()) => return Ok(aside),
            Err(Errno::EXIST | Errno::NOTEMPTY | Errno::NOTDIR) => {}
            Err(error) => return Err(error),
        }
    }
    Err(Errno::EXIST)
}

/// Deletes `name` of `parent` and all that is in it. A directory found in a directory is renamed to the top before it is looked
/// into, so that two descriptors are enough for any depth.
fn delete(parent: &OwnedFd, name: &CStr) -> rustix::io::Result<()> {
    if is_deleted(parent, name)? {
        return Ok(());
    }
    let top = open_on_device(parent, name)?;
    let mut count = 0_u64;
    for _ in 0..PASSES {
        let mut found = entries(&top)?;
        if found.is_empty() {
            match unlinkat(parent, name, AtFlags::REMOVEDIR) {
                Err(Errno::NOTEMPTY) => continue,
                done => return done,
            }
        }
        while let Some(entry) = found.pop() {
            if !is_deleted(&top, &entry)? {
                flatten(&top, &entry, &mut count, &mut found)?;
            }
        }
    }
    Err(Errno::NOTEMPTY)
}

/// Deletes the directory `name` of `top`, whose own directories are put into `top` instead, under new names that are added to
/// `found`.
fn flatten(top: &OwnedFd, name: &CStr, count: &mut u64, found: &mut Vec<CString>) -> rustix::io::Result<()> {
    let directory = match open_on_device(top, name) {
        // Somebody exchanged it for something else: the next pass sees what it is now.
        Err(Errno::NOTDIR | Errno::LOOP | Errno::NOENT) => return Ok(()),
        opened => opened?,
    };
    for entry in entries(&directory)? {
        while !is_deleted(&directory, &entry)? {
            *count += 1;
            let moved = CString::new(format!("qcss-{count}")).unwrap_or_default();
            match renameat(&directory, &entry, top, &moved) {
                Ok(()) => {
                    found.push(moved);
                    break;
                }
                Err(Errno::NOENT) => break,
                // That name is taken.
                Err(Errno::EXIST | Errno::NOTEMPTY | Errno::NOTDIR | Errno::ISDIR) => {}
                Err(error) => return Err(error),
            }
        }
    }
    match unlinkat(top, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT | Errno::NOTDIR | Errno::NOTEMPTY) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Opens the directory `name` of `parent`, unless it is a link or something is mounted there.
fn open_on_device(parent: impl AsFd, name: &CStr) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match openat2(&parent, name, flags, Bits::empty(), ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS) {
        // Linux before 5.6, or a filter of system calls that does not know it. The mounts were looked at before.
        Err(Errno::NOSYS | Errno::PERM) => open_in(parent, Path::new(OsStr::from_bytes(name.to_bytes()))),
        opened => opened,
    }
}

/// Deletes `name` of `parent` unless it is a directory; whether it is gone.
fn is_deleted(parent: impl AsFd, name: &CStr) -> rustix::io::Result<bool> {
    match unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(true),
        Err(Errno::ISDIR) => Ok(false),
        Err(error) => Err(error),
    }
}

fn entries(directory: impl AsFd) -> rustix::io::Result<Vec<CString>> {
    let mut names = Vec::new();
    // A descriptor that is only a path cannot be read.
    for entry in Dir::new(open_in(directory, Path::new("."))?)? {
        let name = entry?.file_name().to_owned();
        if !matches!(name.to_bytes(), b"." | b"..") {
            names.push(name);
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::super::tests::directory;
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn purge(path: &Path) -> Result<()> {
        set_aside(&directory(path))?.delete()
    }

    fn count(path: &Path) -> usize {
        fs::read_dir(path).unwrap().count()
    }

    #[test]
    fn what_links_lead_to_stays() {
        let temp = tempfile::tempdir().unwrap();
        let (outside, path) = (temp.path().join("outside"), temp.path().join("code"));
        fs::create_dir_all(outside.join("below")).unwrap();
        fs::create_dir_all(path.join("a/b")).unwrap();
        fs::write(path.join("a/b/file"), "").unwrap();
        symlink(&outside, path.join("link")).unwrap();
        symlink(&outside, path.join("a/link")).unwrap();
        purge(&path).unwrap();
        purge(&path).unwrap();
        symlink(&outside, &path).unwrap();
        purge(&path).unwrap_err();
        fs::remove_file(&path).unwrap();
        assert_eq!((count(temp.path()), count(&outside)), (1, 1));
        purge(&temp.path().join("missing/code")).unwrap();
    }

    #[test]
    fn depth_and_names_do_not_matter() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("code");
        let name = "x".repeat(200);
        fs::create_dir(&path).unwrap();
        let mut deepest = open(&path).unwrap();
        for depth in 0..2000 {
            let name = if depth % 2 == 0 { name.as_str() } else { "qcss-1" };
            rustix::fs::mkdirat(&deepest, name, rustix::fs::Mode::RWXU).unwrap();
            deepest = open_in(&deepest, Path::new(name)).unwrap();
        }
        for taken in ["qcss-2", "qcss-3/full", "qcss-4"] {
            fs::create_dir_all(path.join(taken)).unwrap();
        }
        fs::write(path.join("qcss-5"), "").unwrap();
        purge(&path).unwrap();
        assert_eq!(count(temp.path()), 0);
    }

    #[test]
    fn what_a_killed_purge_left_goes_with_the_next() {
        let temp = tempfile::tempdir().unwrap();
        let (path, other) = (temp.path().join("code"), temp.path().join("other"));
        for path in [&path, &other] {
            for _ in 0..2 {
                fs::create_dir_all(path.join("below")).unwrap();
                drop(set_aside(&directory(path)).unwrap());
            }
        }
        assert!(is_unfinished(&directory(&path)) && !path.exists());
        let shown = format!("{:?}", fs::read_dir(temp.path()).unwrap().collect::<Vec<_>>());
        assert!(!shown.contains("code"), "{shown}");
        purge(&path).unwrap();
        assert!(!is_unfinished(&directory(&path)) && is_unfinished(&directory(&other)));
        assert_eq!(count(temp.path()), 2);
    }
}
