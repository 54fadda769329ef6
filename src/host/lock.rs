//! Locks: one run at a time for one scanner, and one run at a time that takes resources of the host.
//!
//! A lock is a file that exists while its run works. It says nothing about the scanner: only the containers tell whether a
//! replacement is half done. The kernel releases a lock when its process ends, however it ends; the next run takes over the
//! file that a killed run leaves.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::paths::{self, failed};
use crate::error::{Error, Kind, Result};

/// Where the files are.
const FOLDER: &str = "/var/lib/qcss_scanner";
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(50);
/// The kernel's limit for a file's name is 255 bytes.
const LONGEST: usize = 200;

/// A lock that is held until it is dropped.
#[derive(Debug)]
pub struct Lock {
    /// Held open: the kernel's lock lives as long as it.
    _file: File,
    path: PathBuf,
}

/// What a lock protects.
#[derive(Debug, Clone)]
pub struct LockKey {
    path: PathBuf,
    description: String,
}

/// Fails if the user may not lock. For check mode, which locks nothing.
pub fn may_lock() -> Result<()> {
    paths::may_write(Path::new(FOLDER)).map_err(|error| failed("lock in", Path::new(FOLDER), &error))
}

impl LockKey {
    /// The scanner `name` of the engine that has `root_dir` as its own directory.
    pub fn scanner(root_dir: &str, name: &str) -> Self {
        Self::new(root_dir, &format!("scanner {name}"), format!("scanner `{name}`"))
    }

    /// The resources of the engine that has `root_dir` as its own directory.
    pub fn resources(root_dir: &str) -> Self {
        Self::new(root_dir, "resources", "the engine's resources".to_owned())
    }

    /// `scanner NAME of %var%lib%docker`
    fn new(root_dir: &str, what: &str, description: String) -> Self {
        let mut file = format!("{what} of {}", root_dir.replace('/', "%"));
        if file.len() > LONGEST {
            let hash = stable_hash(file.as_bytes());
            while file.len() > LONGEST {
                file.pop();
            }
            file = format!("{file} {hash:016x}");
        }
        Self { path: Path::new(FOLDER).join(file), description }
    }

    /// Whether there is a file: a run is at work, or was killed.
    pub fn exists(&self) -> bool {
        fs::symlink_metadata(&self.path).is_ok()
    }

    /// Takes the lock; waits at most `patience` for the run that has it.
    pub async fn lock(&self, patience: Duration) -> Result<Lock> {
        let trouble = |error| failed("lock in", Path::new(FOLDER), &error);
        let deadline = Instant::now() + patience;
        loop {
            let file = self.open().map_err(trouble)?;
            if let Some(mut file) = self.locked(file, deadline, patience).await? {
                self.sign(&mut file).map_err(trouble)?;
                return Ok(Lock { _file: file, path: self.path.clone() });
            }
        }
    }

    /// Waits at most `patience` for the run that has the lock. Makes and deletes no file.
    pub async fn wait(&self, patience: Duration) -> Result<()> {
        let deadline = Instant::now() + patience;
        loop {
            let file = match File::open(&self.path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                opened => opened.map_err(|error| failed("look into", Path::new(FOLDER), &error))?,
            };
            if self.locked(file, deadline, patience).await?.is_some() {
                return Ok(());
            }
        }
    }

    /// The file once it is locked; `None` when the run that had it has deleted the file meanwhile.
    async fn locked(&self, mut file: File, deadline: Instant, patience: Duration) -> Result<Option<File>> {
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(is_at(&file, &self.path).then_some(file)),
                Err(TryLockError::WouldBlock) if Instant::now() >= deadline => {
                    return Err(self.busy(&mut file, patience));
                }
                Err(TryLockError::WouldBlock) => sleep(PAUSE).await,
                Err(TryLockError::Error(error)) => return Err(failed("lock in", Path::new(FOLDER), &error)),
            }
        }
    }

    fn open(&self) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o644);
        match options.open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::create_dir_all(FOLDER)?;
                options.open(&self.path)
            }
            opened => opened,
        }
    }

    /// Writes into the file which process has it, for the message of those who wait.
    fn sign(&self, file: &mut File) -> io::Result<()> {
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "process {} on {}", std::process::id(), self.description)
    }

    fn busy(&self, file: &mut File, patience: Duration) -> Error {
        let mut holder = String::new();
        let read = file.read_to_string(&mut holder);
        let holder = if read.is_ok() && !holder.trim().is_empty() { holder.trim() } else { &self.description };
        Error::new(
            Kind::Timeout,
            format!(
                "timed out after {} s waiting for another run; wait for it, or end it if it hangs: {holder}",
                patience.as_secs()
            ),
        )
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // A file that is left is taken over by the next run.
        let _ = fs::remove_file(&self.path);
    }
}

/// FNV-1a, which is the same for every build.
fn stable_hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Whether `file` is still what `path` names.
fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(locked), Ok(named)) => (locked.dev(), locked.ino()) == (named.dev(), named.ino()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
    }

    #[test]
    fn a_lock_excludes_and_leaves_nothing() {
        let temp = tempfile::tempdir().unwrap();
        let root = |name: &str| temp.path().join(name).display().to_string();
        let lock_key = LockKey::scanner(&root("a"), "scanner");
        let other = LockKey::scanner(&root("b"), "scanner");
        runtime().block_on(async {
            assert!(!lock_key.exists());
            let lock = lock_key.lock(Duration::ZERO).await.unwrap();
            assert!(lock_key.exists() && !other.exists());
            drop(other.lock(Duration::ZERO).await.unwrap());
            let error = lock_key.lock(Duration::ZERO).await.unwrap_err();
            let holder = format!("process {} on scanner `scanner`", std::process::id());
            assert_eq!((error.kind, error.message.ends_with(&holder)), (Kind::Timeout, true), "{error}");
            assert_eq!(lock_key.wait(Duration::ZERO).await.unwrap_err().kind, Kind::Timeout);
            drop(lock);
            assert!(!lock_key.exists());
            lock_key.wait(Duration::ZERO).await.unwrap();
            assert!(!lock_key.exists());
        });
    }

    #[test]
    fn a_file_that_a_killed_run_left_keeps_nobody_out() {
        let temp = tempfile::tempdir().unwrap();
        let lock_key = LockKey::resources(&temp.path().display().to_string());
        runtime().block_on(async {
            drop(lock_key.lock(Duration::ZERO).await.unwrap());
            File::create(&lock_key.path).unwrap();
            lock_key.wait(Duration::ZERO).await.unwrap();
            assert!(lock_key.exists());
            drop(lock_key.lock(Duration::ZERO).await.unwrap());
            assert!(!lock_key.exists());
        });
    }

    #[test]
    fn a_name_says_what_it_is_about_and_is_never_too_long() {
        let file = |root: &str, name: &str| LockKey::scanner(root, name).path.display().to_string();
        assert_eq!(file("/var/lib/docker", "ab"), "/var/lib/qcss_scanner/scanner ab of %var%lib%docker");
        let long = "x".repeat(300);
        assert!(file(&long, "ab").len() < 255 && file(&long, "ab") != file(&format!("{long}y"), "ab"));
    }

    #[test]
    fn many_take_turns() {
        let temp = tempfile::tempdir().unwrap();
        let inside = std::sync::atomic::AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let lock_key = LockKey::scanner(&temp.path().display().to_string(), "scanner");
                    runtime().block_on(async {
                        let lock = lock_key.lock(Duration::from_secs(60)).await.unwrap();
                        assert_eq!(inside.fetch_add(1, std::sync::atomic::Ordering::SeqCst), 0);
                        tokio::time::sleep(Duration::from_millis(5)).await;
                        inside.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                        drop(lock);
                    });
                });
            }
        });
    }
}
