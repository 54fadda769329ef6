//! Locks: one run at a time for one scanner, for the resources of one engine, and for one identity directory.
//!
//! ```text
//! user ─▶ place ─▶ folder, which only its user can enter ─▶ file ─▶ the kernel's lock on it
//! ```
//!
//! A lock is a file that exists while its run works. It says nothing about the scanner: only the containers tell whether a
//! replacement is half done. The kernel releases a lock when its process ends, however it ends; the next run takes over the
//! file that a killed run leaves.

mod folder;
mod place;
#[cfg(test)]
mod tests;

use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{major, minor};
use tokio::time::{Instant, sleep};

use self::folder::{Folder, Opened};
use super::paths::failed;
use crate::error::{Error, Kind, Result};

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(50);
/// The kernel's limit for a file's name is 255 bytes.
const LONGEST: usize = 200;
/// More than the line in a lock file has.
const MOST: u64 = 512;

/// A lock that is held until it is dropped.
#[derive(Debug)]
pub struct Lock {
    /// Held open: the kernel's lock lives as long as it.
    file: File,
    folder: Folder,
    name: String,
}

/// What a lock protects.
#[derive(Debug, Clone)]
pub struct LockKey {
    /// The folder of this user's lock files.
    place: Result<PathBuf>,
    /// The file's name.
    file: String,
    /// What it protects, for people.
    description: String,
}

/// Fails if the user may not lock. For check mode, which locks nothing.
pub fn may_lock() -> Result<()> {
    Folder::may_be_used(&place::of_user()?)
}

impl LockKey {
    /// The scanner `name` of the engine that has `root_dir` as its own directory.
    pub fn scanner(root_dir: &str, name: &str) -> Self {
        Self::of_engine(root_dir, &format!("scanner {name}"), format!("the scanner `{name}`"))
    }

    /// The resources of the engine that has `root_dir` as its own directory, and what each scanner has for itself there.
    pub fn resources(root_dir: &str) -> Self {
        Self::of_engine(root_dir, "resources", "the resources of the engine".to_owned())
    }

    /// The identity directory `path`, whether it exists or not; `None`: nor does its parent. It is known by what its parent is,
    /// through whichever links it is reached. Its last component is the code: the hash is so short that thousands of codes have it.
    pub fn identity(path: &Path) -> Result<Option<Self>> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Ok(None) };
        let found = match parent.metadata() {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("look at", parent, &error)),
        };
        let [_, _, _, _, hash @ ..] = stable_hash(name.as_encoded_bytes()).to_be_bytes();
        let hash = u32::from_be_bytes(hash);
        let (major, minor, inode) = (major(found.dev()), minor(found.dev()), found.ino());
        let file = format!("identity {hash:08x} in {major}:{minor} {inode}");
        Ok(Some(Self::new(file, "the private directory".to_owned())))
    }

    /// `scanner NAME of %var%lib%docker`
    fn of_engine(root_dir: &str, what: &str, description: String) -> Self {
        let root_dir: String = root_dir.chars().map(|c| if c == '/' || c.is_control() { '%' } else { c }).collect();
        Self::new(format!("{what} of {root_dir}"), description)
    }

    fn new(mut file: String, description: String) -> Self {
        if file.len() > LONGEST {
            let hash = stable_hash(file.as_bytes());
            while file.len() > LONGEST {
                file.pop();
            }
            file = format!("{file} {hash:016x}");
        }
        Self { place: place::of_user(), file, description }
    }

    /// Whether there is a file: a run is at work, or was killed.
    pub fn exists(&self) -> bool {
        self.place.as_ref().is_ok_and(|place| place.join(&self.file).symlink_metadata().is_ok())
    }

    /// Takes the lock for a run that changes `scanner`; waits at most `patience` for the run that has it.
    pub async fn lock(&self, scanner: &str, patience: Duration) -> Result<Lock> {
        let place = self.place.clone()?;
        let mut waiting = Waiting::new(self, patience);
        loop {
            let folder = Folder::make(&place)?;
            if let Some(file) = folder.make_file(&self.file)?
                && waiting.is_locked(&file)?
                && folder.is_current(&self.file, &file)?
            {
                let lock = Lock { file, folder, name: self.file.clone() };
                // Only for the message of those who wait: a full disk is no reason to leave a scanner as it is.
                let _ = lock.sign(scanner);
                return Ok(lock);
            }
            waiting.pause().await?;
        }
    }

    /// Waits at most `patience` for the run that has the lock. Makes and changes no file.
    pub async fn wait(&self, patience: Duration) -> Result<()> {
        let place = self.place.clone()?;
        let mut waiting = Waiting::new(self, patience);
        loop {
            let Some(folder) = Folder::existing(&place)? else { return Ok(()) };
            match folder.existing_file(&self.file)? {
                // Nobody holds a lock on anything but a lock file.
                Opened::Missing | Opened::Other => return Ok(()),
                Opened::File(file) if waiting.is_locked(&file)? && folder.is_current(&self.file, &file)? => {
                    return Ok(());
                }
                Opened::File(_) => {}
            }
            waiting.pause().await?;
        }
    }
}

/// A wait for the run that has a lock.
struct Waiting<'a> {
    key: &'a LockKey,
    patience: Duration,
    deadline: Instant,
    /// What the run that has it wrote into its file.
    holder: String,
}

impl<'a> Waiting<'a> {
    fn new(key: &'a LockKey, patience: Duration) -> Self {
        Self { key, patience, deadline: Instant::now() + patience, holder: String::new() }
    }

    /// Whether `file` is locked by us from now on; else it is another run's.
    fn is_locked(&mut self, file: &File) -> Result<bool> {
        match file.try_lock() {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => {
                self.holder.clear();
                if file.take(MOST).read_to_string(&mut self.holder).is_err() {
                    self.holder.clear();
                }
                Ok(false)
            }
            Err(TryLockError::Error(error)) => {
                Err(failed("lock in", self.key.place.as_deref().unwrap_or(Path::new("")), &error))
            }
        }
    }

    /// Waits a moment; fails when the patience is at its end.
    async fn pause(&self) -> Result<()> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(self.timed_out());
        }
        sleep(PAUSE.min(left)).await;
        Ok(())
    }

    fn timed_out(&self) -> Error {
        let holder: String = self.holder.trim().chars().filter(|c| !c.is_control()).collect();
        let holder = if holder.is_empty() { holder } else { format!(" ({holder})") };
        let (seconds, description) = (self.patience.as_secs(), &self.key.description);
        let message = format!(
            "timed out after {seconds} s waiting for another run{holder}; wait for it, or end it if it hangs: {description}"
        );
        Error::new(Kind::Timeout, message)
    }
}

impl Lock {
    /// Writes into the file which process has it, and for which scanner.
    fn sign(&self, scanner: &str) -> io::Result<()> {
        let mut file = &self.file;
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "process {}, scanner `{scanner}`", std::process::id())
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // What is left of a lock that cannot be looked at is taken over by the next run.
        if let Ok(true) = self.folder.is_current(&self.name, &self.file) {
            self.folder.remove(&self.name);
        }
        self.folder.clean_up();
    }
}

/// FNV-1a, which is the same for every build.
pub(super) fn stable_hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
