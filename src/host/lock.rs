//! One run at a time: for one scanner, and for the moment in which a host's resources are given away.
//!
//! A lock is a file that exists only while its run is at work, so that a run which finds nothing to do need not lock: no
//! file, nobody is half-way. A file that nobody holds was left by a run that was killed; it says "look closer" to the next.
//! The kernel lets go of the lock when its holder ends, however it ends.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::directories::{self, failed};
use crate::error::{Error, Kind, Result};

/// Survives a restart of the host, since an interrupted replacement does too.
const FOLDER: &str = "/var/lib/qcss_scanner";
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(50);

/// A lock that is held until it is dropped.
#[derive(Debug)]
pub struct Lock {
    /// Held open: the kernel's lock lives as long as it.
    _file: File,
    path: PathBuf,
    keeps_mark: bool,
}

/// What a lock is about.
#[derive(Debug, Clone)]
pub struct Subject {
    path: PathBuf,
    description: String,
}

impl Subject {
    /// The scanner `name` of the engine at `socket`.
    #[must_use]
    pub fn scanner(socket: &Path, name: &str) -> Self {
        Self::new(socket, name, format!("scanner `{name}`"))
    }

    /// The resources of the engine at `socket`.
    #[must_use]
    pub fn engine(socket: &Path) -> Self {
        Self::new(socket, "", "the engine's resources".to_owned())
    }

    fn new(socket: &Path, name: &str, description: String) -> Self {
        // Two ways to the same socket are one engine.
        let socket = fs::canonicalize(socket).unwrap_or_else(|_| socket.to_owned());
        let mut hasher = DefaultHasher::new();
        (socket, name).hash(&mut hasher);
        Self { path: Path::new(FOLDER).join(format!("{:016x}", hasher.finish())), description }
    }

    /// Whether a run is at work on it, or was killed while it was.
    #[must_use]
    pub fn is_marked(&self) -> bool {
        fs::symlink_metadata(&self.path).is_ok()
    }

    /// Takes the lock; waits at most `patience` for the run that has it.
    ///
    /// # Errors
    /// When the wait was too long, with the holder, or the host does not allow the file.
    pub async fn lock(&self, patience: Duration) -> Result<Lock> {
        let trouble = |error| failed("lock in", Path::new(FOLDER), &error);
        let deadline = Instant::now() + patience;
        loop {
            let file = self.open().map_err(trouble)?;
            if let Some(mut file) = self.held(file, deadline, patience).await? {
                self.sign(&mut file).map_err(trouble)?;
                return Ok(Lock { _file: file, path: self.path.clone(), keeps_mark: false });
            }
        }
    }

    /// Waits at most `patience` for the run that is at work on it, and keeps others out for as long as one looks. Makes and
    /// deletes no file: `None` when there is none, so that nobody is at work.
    ///
    /// # Errors
    /// When the wait was too long, with the holder, or the host does not allow the file to be read.
    pub async fn quiet(&self, patience: Duration) -> Result<Option<Lock>> {
        let deadline = Instant::now() + patience;
        loop {
            let file = match File::open(&self.path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                opened => opened.map_err(|error| failed("look into", Path::new(FOLDER), &error))?,
            };
            if let Some(file) = self.held(file, deadline, patience).await? {
                return Ok(Some(Lock { _file: file, path: self.path.clone(), keeps_mark: true }));
            }
        }
    }

    /// The file once its lock is ours; `None` when the holder finished and took the file away, so that it is no good.
    async fn held(&self, mut file: File, deadline: Instant, patience: Duration) -> Result<Option<File>> {
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(is_at(&file, &self.path).then_some(file)),
                Err(TryLockError::WouldBlock) if Instant::now() >= deadline => {
                    return Err(self.busy(&mut file, patience));
                }
                Err(TryLockError::WouldBlock) => tokio::time::sleep(PAUSE).await,
                Err(TryLockError::Error(error)) => return Err(failed("lock in", Path::new(FOLDER), &error)),
            }
        }
    }

    /// Whether [`Self::lock`] would be allowed, for check mode, which locks nothing.
    ///
    /// # Errors
    /// When the user has no right to.
    pub fn may_lock(&self) -> Result<()> {
        directories::may_write(Path::new(FOLDER)).map_err(|error| failed("lock in", Path::new(FOLDER), &error))
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

    /// Writes into the file who holds it, for those who wait.
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
                "another run is at work and did not finish within {} s; wait for it, or end it if it hangs: {holder}",
                patience.as_secs()
            ),
        )
    }
}

impl Lock {
    /// Lets go, but leaves the file: something is half-way, and the next run must look closer.
    pub fn leave_mark(mut self) {
        self.keeps_mark = true;
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if !self.keeps_mark && !std::thread::panicking() {
            // Failing to delete only makes the next run look closer than needed.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Whether `file` is still what `path` names.
fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(held), Ok(named)) => (held.dev(), held.ino()) == (named.dev(), named.ino()),
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
    fn a_lock_excludes_marks_and_leaves_nothing() {
        let temp = tempfile::tempdir().unwrap();
        let subject = Subject::scanner(&temp.path().join("a.sock"), "scanner");
        let other = Subject::scanner(&temp.path().join("b.sock"), "scanner");
        runtime().block_on(async {
            assert!(!subject.is_marked());
            let lock = subject.lock(Duration::ZERO).await.unwrap();
            assert!(subject.is_marked() && !other.is_marked());
            drop(other.lock(Duration::ZERO).await.unwrap());
            let error = subject.lock(Duration::ZERO).await.unwrap_err();
            let holder = format!("process {} on scanner `scanner`", std::process::id());
            assert_eq!((error.kind, error.message.ends_with(&holder)), (Kind::Timeout, true), "{error}");
            drop(lock);
            assert!(!subject.is_marked());
        });
    }

    #[test]
    fn who_only_looks_waits_and_leaves_everything_as_it_was() {
        let temp = tempfile::tempdir().unwrap();
        let subject = Subject::scanner(&temp.path().join("a.sock"), "scanner");
        runtime().block_on(async {
            assert!(subject.quiet(Duration::ZERO).await.unwrap().is_none() && !subject.is_marked());
            let lock = subject.lock(Duration::ZERO).await.unwrap();
            assert_eq!(subject.quiet(Duration::ZERO).await.unwrap_err().kind, Kind::Timeout);
            lock.leave_mark();
            let quiet = subject.quiet(Duration::ZERO).await.unwrap().unwrap();
            assert_eq!(subject.lock(Duration::ZERO).await.unwrap_err().kind, Kind::Timeout);
            drop(quiet);
            assert!(subject.is_marked());
            drop(subject.lock(Duration::ZERO).await.unwrap());
        });
    }

    #[test]
    fn a_mark_says_look_closer_and_does_not_keep_anyone_out() {
        let temp = tempfile::tempdir().unwrap();
        let subject = Subject::engine(&temp.path().join("a.sock"));
        runtime().block_on(async {
            subject.lock(Duration::ZERO).await.unwrap().leave_mark();
            assert!(subject.is_marked());
            drop(subject.lock(Duration::ZERO).await.unwrap());
            assert!(!subject.is_marked());
        });
    }

    #[test]
    fn many_take_turns() {
        let temp = tempfile::tempdir().unwrap();
        let inside = std::sync::atomic::AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let subject = Subject::scanner(&temp.path().join("a.sock"), "scanner");
                    runtime().block_on(async {
                        let lock = subject.lock(Duration::from_secs(60)).await.unwrap();
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
