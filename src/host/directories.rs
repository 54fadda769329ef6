//! Directories as mkdir -p, chmod and rm -r handle them.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::fs::Access;
use rustix::io::Errno;

use crate::error::{Error, Kind, Result};
use crate::scanner::directory::{Directory, Mode};
use crate::scanner::situation::OnHost;

/// What is at `path`, seen through symbolic links.
///
/// # Errors
/// When the user may not look, or the disk fails.
pub fn look(path: &Path) -> Result<OnHost> {
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => Ok(OnHost::Directory(Mode::from_bits(found.permissions().mode()))),
        Ok(_) => Ok(OnHost::Other),
        // A link that leads nowhere is in the way as well, be it on the way there, and so is a file where a parent should be.
        Err(error) if error.kind() == io::ErrorKind::NotFound && is_nothing(path) => Ok(OnHost::Missing),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(OnHost::Other)
        }
        Err(error) if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => Ok(OnHost::Other),
        Err(error) => Err(failed("look at", path, &error)),
    }
}

/// Whether nothing is at `path`, which is not found, and all that there is above it are directories.
fn is_nothing(path: &Path) -> bool {
    let is_there = |path: &&Path| fs::symlink_metadata(path).is_ok();
    path.ancestors().find(is_there).is_none_or(|nearest| nearest != path && nearest.is_dir())
}

/// Makes `path` with all its parents; the last component gets `mode`, else what the umask leaves.
///
/// # Errors
/// When the host does not allow it.
pub fn create(path: &Directory, mode: Option<Mode>) -> Result<()> {
    fs::create_dir_all(path.as_path()).map_err(|error| failed("create", path.as_path(), &error))?;
    mode.map_or(Ok(()), |mode| set_mode(path, mode))
}

/// Whether the user may make something in `path`, or make `path` itself when it is missing.
///
/// # Errors
/// When not, as the host would say it.
pub fn may_write(path: &Path) -> io::Result<()> {
    let there = path.ancestors().find(|path| path.exists()).unwrap_or(path);
    rustix::fs::access(there, Access::WRITE_OK | Access::EXEC_OK).map_err(io::Error::from)
}

/// Sets the mode of `path`.
///
/// # Errors
/// When the host does not allow it.
pub fn set_mode(path: &Directory, mode: Mode) -> Result<()> {
    fs::set_permissions(path.as_path(), Permissions::from_mode(mode.bits()))
        .map_err(|error| failed("set the mode of", path.as_path(), &error))
}

/// Deletes `path` and all that is in it; where it is a link, what it leads to as well. Fine when it is gone.
///
/// # Errors
/// When the host does not allow it.
pub fn purge(path: &Directory) -> Result<()> {
    let delete = |path: &Path| match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("delete", path, &error)),
        _ => Ok(()),
    };
    if let Ok(target) = fs::canonicalize(path.as_path()) {
        delete(&target)?;
    }
    delete(path.as_path())
}

/// A refusal by the host, with the cure.
#[must_use]
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
        create(&directory(&path), Some(Mode::parse("2710").unwrap())).unwrap();
        create(&directory(&path), None).unwrap();
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
        assert!(create(&directory(&file.join("below")), None).unwrap_err().message.contains("not a directory"));
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
