//! The folder of the lock files. Only its user can enter it, so that nobody else can hold a lock, or put anything in its place.
//!
//! A folder that others could enter is closed to them: 0.1.0 made it readable, and under umask 0 writable. So there may be
//! anything in it; what is no lock file of this user is replaced where its name is needed. Everything is done by descriptor.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{
    Access, AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat, accessat, chmod, chmodat, fchmod, fstat, mkdirat, openat,
    statat, unlinkat,
};
use rustix::io::Errno;
use rustix::process::geteuid;

use crate::error::{Error, Kind, Result};
use crate::host::paths::failed;

/// Of the folder: for its user alone.
const CLOSED: Mode = Mode::RWXU;
/// Of a lock file.
const PRIVATE: Mode = Mode::RUSR.union(Mode::WUSR);
/// Opens nothing that must be waited for, and never what a link leads to.
const SAFELY: OFlags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);
/// Opens what is there without touching it.
const LOOK: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// The lock file beside the folder that a run has while it replaces something in it.
const GUARD: &str = ".qcss_scanner.lock";
/// How often a file that other runs make and remove is opened before there is a pause.
const TRIES: usize = 3;
/// How many files that killed runs left are removed by one run.
const MOST: usize = 64;

/// The folder.
#[derive(Debug)]
pub struct Folder {
    directory: OwnedFd,
    parent: OwnedFd,
    place: PathBuf,
}

/// What has the name of a lock file.
#[derive(Debug)]
pub enum Opened {
    /// Nothing.
    Missing,
    /// A lock file of this user.
    File(File),
    /// Something else.
    Other,
}

impl Folder {
    /// The folder at `place`, which is made where it is missing, and closed to others where it is open.
    pub fn make(place: &Path) -> Result<Self> {
        let trouble = |error| cannot_lock(place, error);
        let (parent, name) = split(place).map_err(trouble)?;
        match mkdirat(&parent, name, CLOSED) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(trouble(error)),
        }
        let directory = openat(&parent, name, LOOK, Mode::empty()).map_err(trouble)?;
        let folder = Self { directory, parent, place: place.to_owned() };
        if folder.check()? != CLOSED {
            folder.close().map_err(trouble)?;
            if folder.check()? != CLOSED {
                return Err(folder.refused("others can enter it, and this file system does not let that be changed"));
            }
        }
        Ok(folder)
    }

    /// The folder at `place` as it is; `None`: there is none.
    pub fn existing(place: &Path) -> Result<Option<Self>> {
        let opened = split(place).and_then(|(parent, name)| Ok((openat(&parent, name, LOOK, Mode::empty())?, parent)));
        let (directory, parent) = match opened {
            Ok(opened) => opened,
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(failed("look into", place, &error.into())),
        };
        let folder = Self { directory, parent, place: place.to_owned() };
        folder.check()?;
        Ok(Some(folder))
    }

    /// Fails if this user cannot lock in a folder at `place`; changes nothing.
    pub fn may_be_used(place: &Path) -> Result<()> {
        let existing = Self::existing(place)?.map(|folder| Ok(folder.directory));
        let directory = existing.unwrap_or_else(|| split(place).map(|(parent, _)| parent));
        let may_make = |directory| accessat(directory, ".", Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS);
        directory.and_then(may_make).map_err(|error| cannot_lock(place, error))
    }

    /// The mode of the folder, which is a directory of this user.
    fn check(&self) -> Result<Mode> {
        let found = fstat(&self.directory).map_err(|error| failed("look at", &self.place, &error.into()))?;
        match FileType::from_raw_mode(found.st_mode) {
            FileType::Directory if found.st_uid == geteuid().as_raw() => Ok(Mode::from_raw_mode(found.st_mode)),
            FileType::Directory => Err(self.refused("it belongs to another user")),
            FileType::Symlink => Err(self.refused("it is a link")),
            _ => Err(self.refused("it is not a directory")),
        }
    }

    fn refused(&self, reason: &str) -> Error {
        let message =
            format!("the directory for lock files cannot be used, since {reason}; remove it, the module makes it anew");
        Error::new(Kind::EngineError, format!("{message}: `{}`", self.place.display()))
    }

    fn close(&self) -> rustix::io::Result<()> {
        match openat(&self.directory, ".", OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()) {
            Ok(directory) => fchmod(directory, CLOSED),
            // Made under a umask that takes everything away from its own user, too. There is no fchmod for what cannot be opened.
            Err(Errno::ACCESS) => chmod(format!("/proc/self/fd/{}", self.directory.as_raw_fd()), CLOSED),
            Err(error) => Err(error),
        }
    }

    /// The lock file `name`, which is made where it is missing, also in the place of something else; `None`: other runs are
    /// making and removing it all the time.
    pub fn make_file(&self, name: &str) -> Result<Option<File>> {
        for _ in 0..TRIES {
            match make_file(&self.directory, name).map_err(|error| cannot_lock(&self.place, error))? {
                Opened::File(file) => return Ok(Some(file)),
                Opened::Missing => {}
                Opened::Other => self.make_room(name)?,
            }
        }
        Ok(None)
    }

    /// What has the name `name`. Changes nothing.
    pub fn existing_file(&self, name: &str) -> Result<Opened> {
        look(&self.directory, name, OFlags::RDONLY).map_err(|error| failed("look into", &self.place, &error.into()))
    }

    /// Removes what is no lock file and has the name of one. Only the run that has the guard removes anything but its own lock
    /// file, so what it sees stays until it is removed; else it might be another run's new lock file by then.
    fn make_room(&self, name: &str) -> Result<()> {
        let trouble = |error| cannot_lock(&self.place, error);
        let guard = match make_file(&self.parent, GUARD).map_err(trouble)? {
            Opened::File(guard) => guard,
            Opened::Missing => return Ok(()),
            Opened::Other => {
                let path = self.place.with_file_name(GUARD);
                let message = format!("a lock file cannot be made; remove what is in its place: `{}`", path.display());
                return Err(Error::new(Kind::EngineError, message));
            }
        };
        if guard.try_lock().is_err() || !is_named(&self.parent, GUARD, &guard).map_err(trouble)? {
            return Ok(()); // another run is at it
        }
        let removed = self.remove_other(name);
        let _ = unlinkat(&self.parent, GUARD, AtFlags::empty());
        removed.map_err(|error| match error {
            Errno::NOTEMPTY | Errno::EXIST => {
                let path = self.place.join(name);
                let message = format!("a directory is in the place of a lock file; remove it: `{}`", path.display());
                Error::new(Kind::EngineError, message)
            }
            error => trouble(error),
        })
    }

    fn remove_other(&self, name: &str) -> rustix::io::Result<()> {
        let found = match statat(&self.directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) if !is_lock_file(&found) => found,
            Ok(_) | Err(Errno::NOENT) => return Ok(()),
            Err(error) => return Err(error),
        };
        let is_directory = FileType::from_raw_mode(found.st_mode) == FileType::Directory;
        unlinkat(&self.directory, name, if is_directory { AtFlags::REMOVEDIR } else { AtFlags::empty() })
    }

    /// Whether `file` is still the one that is called `name` in the folder that is at the place.
    pub fn is_current(&self, name: &str, file: &File) -> Result<bool> {
        let trouble = |error| cannot_lock(&self.place, error);
        match openat(&self.parent, self.place.file_name().unwrap_or_default(), LOOK, Mode::empty()) {
            Ok(directory) => is_named(&directory, name, file).map_err(trouble),
            Err(Errno::NOENT) => Ok(false),
            // Not another run's doing: waiting for one would say so until the patience is at its end.
            Err(error) => Err(trouble(error)),
        }
    }

    /// Removes the file `name`, of a lock that this run holds.
    pub fn remove(&self, name: &str) {
        // A file that is left is taken over by the next run.
        let _ = unlinkat(&self.directory, name, AtFlags::empty());
    }

    /// Removes lock files of runs that were killed.
    pub fn clean_up(&self) {
        let opened = openat(&self.directory, ".", OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
        let Ok(entries) = opened.and_then(Dir::read_from) else { return };
        for entry in entries.map_while(Result::ok).take(MOST) {
            let Ok(name) = entry.file_name().to_str() else { continue };
            if let Ok(Opened::File(file)) = look(&self.directory, name, OFlags::RDONLY)
                && file.try_lock().is_ok()
                && let Ok(true) = self.is_current(name, &file)
            {
                self.remove(name);
            }
        }
    }
}

fn cannot_lock(place: &Path, error: Errno) -> Error {
    // Nobody's home is `/nonexistent`.
    if error == Errno::NOENT && !geteuid().is_root() {
        let message =
            "this user has no home directory for lock files; run the task with become: true, or as a user who has one";
        return Error::new(Kind::PermissionDenied, format!("{message}: `{}`", place.display()));
    }
    failed("lock in", place, &error.into())
}

/// The directory that `place` is in, and its name there. Links above it are the administrator's.
fn split(place: &Path) -> rustix::io::Result<(OwnedFd, &OsStr)> {
    let (Some(parent), Some(name)) = (place.parent(), place.file_name()) else { return Err(Errno::INVAL) };
    let parent = openat(CWD, parent, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    Ok((parent, name))
}

/// The lock file `name`, made where it is missing; [`Opened::Missing`] when another run has just removed it.
fn make_file(directory: &OwnedFd, name: &str) -> rustix::io::Result<Opened> {
    let opened = match openat(directory, name, OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | SAFELY, PRIVATE) {
        Ok(file) => Opened::File(file.into()),
        Err(Errno::EXIST) => match look(directory, name, OFlags::RDWR) {
            // A run under a umask that takes everything away was killed before its fchmod.
            Err(Errno::ACCESS) => {
                chmodat(directory, name, PRIVATE, AtFlags::empty())?;
                Opened::Missing
            }
            found => found?,
        },
        Err(error) => return Err(error),
    };
    if let Opened::File(file) = &opened {
        fchmod(file, PRIVATE)?; // whatever the umask has left of it
    }
    Ok(opened)
}

fn look(directory: &OwnedFd, name: &str, access: OFlags) -> rustix::io::Result<Opened> {
    match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(found) if is_lock_file(&found) => {}
        Ok(_) => return Ok(Opened::Other),
        Err(Errno::NOENT) => return Ok(Opened::Missing),
        Err(error) => return Err(error),
    }
    let file = match openat(directory, name, access | SAFELY, Mode::empty()) {
        Ok(file) => file,
        Err(Errno::NOENT) => return Ok(Opened::Missing),
        // Exchanged meanwhile, in a folder that others can enter.
        Err(Errno::LOOP | Errno::ISDIR | Errno::NXIO) => return Ok(Opened::Other),
        Err(error) => return Err(error),
    };
    Ok(if is_lock_file(&fstat(&file)?) { Opened::File(file.into()) } else { Opened::Other })
}

/// Whether it is a regular file that only this user can open, now and before, and nobody by another name: else somebody else may
/// hold a lock on it, or it is a link to a file with other contents.
fn is_lock_file(found: &Stat) -> bool {
    FileType::from_raw_mode(found.st_mode) == FileType::RegularFile
        && found.st_uid == geteuid().as_raw()
        && found.st_nlink <= 1
        && PRIVATE.contains(Mode::from_raw_mode(found.st_mode))
}

fn is_named(directory: &OwnedFd, name: &str, file: &File) -> rustix::io::Result<bool> {
    let identity = |found: Stat| (found.st_dev, found.st_ino);
    match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(named) => Ok(identity(named) == identity(fstat(file)?)),
        Err(Errno::NOENT) => Ok(false),
        Err(error) => Err(error),
    }
}
