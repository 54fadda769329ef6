//! Directories as mkdir -p, chmod and rm -r handle them.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::Access;
use rustix::io::Errno;

use crate::error::{Error, Kind, Result};
use crate::scanner::observation::OnHost;
use crate::scanner::values::directory::{Directory, Mode};

/// What is at `path`, symbolic links followed.
pub fn look(path: &Path) -> Result<OnHost> {
    match fs::metadata(path) {
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

/// Makes `path` with all its parents; the last component gets `mode`, else what the umask leaves. What it makes is added to
/// `new`, the outermost first, also when it fails half-way.
pub fn create(path: &Directory, mode: Option<Mode>, new: &mut Vec<PathBuf>) -> Result<()> {
    let path = path.as_path();
    let missing: Vec<_> = path.ancestors().take_while(|path| !path.exists()).collect();
    for directory in missing.into_iter().rev() {
        match fs::create_dir(directory) {
            Ok(()) => new.push(directory.to_owned()),
            // Somebody else was faster; or it is `a/..`, whose `a` has just been made.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && directory.is_dir() => {}
            Err(error) => return Err(failed("create", path, &error)),
        }
    }
    if let Some(mode) = mode {
        fs::set_permissions(path, Permissions::from_mode(mode.bits()))
            .map_err(|error| failed("set the mode of", path, &error))?;
    }
    Ok(())
}

/// Removes the directory at `path` when it is empty; whether it is gone.
pub fn remove_empty(path: &Path) -> bool {
    fs::remove_dir(path).is_ok()
}

/// Whether the user may make something in `path`, or make `path` itself when it is missing.
pub fn may_write(path: &Path) -> io::Result<()> {
    let there = path.ancestors().find(|path| path.exists()).unwrap_or(path);
    rustix::fs::access(there, Access::WRITE_OK | Access::EXEC_OK).map_err(io::Error::from)
}

/// Sets the mode of `path`.
pub fn set_mode(path: &Directory, mode: Mode) -> Result<()> {
    fs::set_permissions(path.as_path(), Permissions::from_mode(mode.bits()))
        .map_err(|error| failed("set the mode of", path.as_path(), &error))
}

/// A directory could not be deleted.
#[derive(Debug)]
pub struct NotPurged {
    /// The error that ended it.
    pub error: Error,
    /// Whether a part of it is gone.
    pub deleted_some: bool,
}

/// Deletes `path` and all that is in it; where it is a link, what it leads to as well. Fine when it is gone.
pub fn purge(path: &Directory) -> Result<(), NotPurged> {
    let mut deleted_some = false;
    let mut delete = |path: &Path| {
        delete_all(path, &mut deleted_some)
            .map_err(|error| NotPurged { error: failed("delete", path, &error), deleted_some })
    };
    if let Ok(target) = fs::canonicalize(path.as_path()) {
        delete(&target)?;
    }
    delete(path.as_path())
}

/// Like rm -r, which does not follow links; `deleted` becomes true with the first entry that goes.
fn delete_all(path: &Path, deleted: &mut bool) -> io::Result<()> {
    let gone = |error: io::Error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) };
    let is_directory = match fs::symlink_metadata(path) {
        Ok(found) => found.is_dir(),
        Err(error) => return gone(error),
    };
    if is_directory {
        for entry in fs::read_dir(path)? {
            delete_all(&entry?.path(), deleted)?;
        }
    }
    let removed = if is_directory { fs::remove_dir(path) } else { fs::remove_file(path) };
    *deleted |= removed.is_ok();
    removed.or_else(gone)
}

/// A refusal by the host, with the cure.
pub fn failed(what: &str, path: &Path, error: &io::Error) -> Error {
    let (kind, cure) = match error.kind() {
        io::ErrorKind::PermissionDenied => (Kind::PermissionDenied, "; run the task with become: true"),
        io::ErrorKind::ReadOnlyFilesystem => (Kind::EngineError, "; choose a path on a writable file system"),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => (Kind::EngineError, "; free some space"),
        _ => (Kind::EngineError, ""),
    };
    let reason = error.to_string();
    let reason = reason.split(" (os error").next().unwrap_or(&reason).to_lowercase();
    Error::new(kind, format!("cannot {what} a directory: {reason}{cure}: `{}`", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn directory(path: &Path) -> Directory {
        Directory::parse("private_dir", path.to_str().unwrap()).unwrap()
    }

    #[test]
    fn makes_parents_and_gives_the_mode_to_the_last_only() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("a/b");
        assert_eq!(look(&path).unwrap(), OnHost::Missing);
        let mut made = Vec::new();
        create(&directory(&path), Some(Mode::parse("2710").unwrap()), &mut made).unwrap();
        create(&directory(&path), None, &mut made).unwrap();
        assert_eq!(made, [temp.path().join("a"), path.clone()]);
        assert_eq!(look(&path).unwrap(), OnHost::Directory(Mode::parse("2710").unwrap()));
        assert_ne!(look(&temp.path().join("a")).unwrap(), OnHost::Directory(Mode::parse("2710").unwrap()));
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
        }
        assert!(matches!(look(&link).unwrap(), OnHost::Directory(_)));
        let mut made = Vec::new();
        let error = create(&directory(&file.join("below")), None, &mut made).unwrap_err();
        assert!(error.message.contains("not a directory") && made.is_empty(), "{}", error.message);
        let too_long = temp.path().join("new").join("x".repeat(256));
        assert!(create(&directory(&too_long), None, &mut made).is_err());
        assert_eq!(made, [temp.path().join("new")], "what was made is known although it failed");
    }

    #[test]
    fn purge_deletes_what_a_link_leads_to() {
        let temp = tempfile::tempdir().unwrap();
        let (target, link) = (temp.path().join("target"), temp.path().join("link"));
        fs::create_dir_all(target.join("below")).unwrap();
        symlink(&target, &link).unwrap();
        purge(&directory(&link)).unwrap();
        assert!(!target.exists() && fs::symlink_metadata(&link).is_err());
        purge(&directory(&link)).unwrap();
    }
}
