//! Directories of the host. Of a path, links further up are the administrator's and are followed; an identity directory itself
//! is never followed, since a scanner or another user may have put a link in its place.

mod create;
mod purge;
#[cfg(test)]
mod race;

use std::fs::{self, Metadata};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::fs::{CWD, Mode as Bits, OFlags, openat};
use rustix::io::Errno;

pub use self::create::{Made, create, set_mode};
pub use self::purge::{Aside, is_unfinished, set_aside};
use crate::error::{Error, Kind, Result};
use crate::file;
use crate::scanner::observation::OnHost;
use crate::scanner::values::directory::{Directory, Mode};

/// What is at `path`, symbolic links followed.
pub fn look(path: &Path) -> Result<OnHost> {
    found(path, fs::metadata(path))
}

/// What is at `path`, whose last component is not followed.
pub fn look_unfollowed(path: &Directory) -> Result<OnHost> {
    found(path.as_path(), fs::symlink_metadata(path.as_path()))
}

/// Whether the directory at `path` has nothing in it; `None`: that cannot be known.
pub fn is_empty(path: &Path) -> Option<bool> {
    fs::read_dir(path).ok().map(|mut entries| entries.next().is_none())
}

/// Whether both paths lead to the same directory now.
pub fn is_same(one: &Path, other: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let file = |path| fs::metadata(path).map(|found| (found.dev(), found.ino())).ok();
    one == other || file(one).is_some_and(|one| file(other) == Some(one))
}

fn found(path: &Path, found: io::Result<Metadata>) -> Result<OnHost> {
    match found {
        Ok(found) if found.is_dir() => Ok(OnHost::Directory(Mode::from_bits(found.permissions().mode()))),
        Ok(_) => Ok(OnHost::Other),
        // A link that leads nowhere, here or further up, counts as something else, and so does a file where a parent should be.
        Err(error) if error.kind() == io::ErrorKind::NotFound && is_nothing(path) => Ok(OnHost::Missing),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(OnHost::Other)
        }
        Err(error) if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => Ok(OnHost::Other),
        Err(error) => Err(failed("look at", path, &error)),
    }
}

/// Whether nothing is at `path`, and all that exists above it are directories.
fn is_nothing(path: &Path) -> bool {
    let is_there = |path: &&Path| fs::symlink_metadata(path).is_ok();
    path.ancestors().find(is_there).is_none_or(|nearest| nearest != path && nearest.is_dir())
}

/// Opens the directory at `path`, links followed, to work in it.
fn open(path: &Path) -> rustix::io::Result<OwnedFd> {
    openat(CWD, path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Bits::empty())
}

/// Opens the directory `name` of `parent`, which is not followed.
fn open_in(parent: impl AsFd, name: &Path) -> rustix::io::Result<OwnedFd> {
    openat(parent, name, OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Bits::empty())
}

/// A refusal by the host, with the cure.
pub fn failed(what: &str, path: &Path, error: &io::Error) -> Error {
    let (kind, cure) = match error.kind() {
        io::ErrorKind::PermissionDenied => (Kind::PermissionDenied, "; run the task with become: true"),
        io::ErrorKind::ReadOnlyFilesystem => (Kind::EngineError, "; choose a path on a writable file system"),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => (Kind::EngineError, "; free some space"),
        _ => (Kind::EngineError, ""),
    };
    let reason = file::reason(error).to_lowercase();
    Error::new(kind, format!("cannot {what} a directory: {reason}{cure}: `{}`", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    pub fn directory(path: &Path) -> Directory {
        Directory::parse("private_dir", path.to_str().unwrap()).unwrap()
    }

    #[test]
    fn what_is_no_directory_is_seen_as_such() {
        let temp = tempfile::tempdir().unwrap();
        let (file, dangling, link) = (temp.path().join("file"), temp.path().join("dangling"), temp.path().join("link"));
        fs::write(&file, "").unwrap();
        symlink("/nonexistent/x", &dangling).unwrap();
        symlink(temp.path(), &link).unwrap();
        let circle = temp.path().join("circle");
        symlink(&circle, &circle).unwrap();
        for path in [&file, &file.join("below"), &dangling, &dangling.join("below/it"), &circle, &circle.join("below")]
        {
            assert_eq!(look(path).unwrap(), OnHost::Other, "{}", path.display());
            assert_eq!(look_unfollowed(&directory(path)).unwrap(), OnHost::Other, "{}", path.display());
        }
        assert!(matches!(look(&link).unwrap(), OnHost::Directory(_)));
        assert_eq!(look_unfollowed(&directory(&link)).unwrap(), OnHost::Other);
        assert_eq!(look_unfollowed(&directory(&link.join("missing"))).unwrap(), OnHost::Missing);
    }

    #[test]
    fn two_paths_may_be_one_directory() {
        let temp = tempfile::tempdir().unwrap();
        let (target, link) = (temp.path().join("target"), temp.path().join("link"));
        fs::create_dir(&target).unwrap();
        symlink(&target, &link).unwrap();
        assert!(is_same(&target, &link) && !is_same(&target, temp.path()));
        assert!(!is_same(&temp.path().join("a"), &temp.path().join("b")));
        assert_eq!(
            (is_empty(&link), is_empty(temp.path()), is_empty(&target.join("x"))),
            (Some(true), Some(false), None)
        );
    }
}
