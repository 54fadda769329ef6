//! Files of the host that people name, or that are looked for where somebody else may have put something: regular ones only, and
//! no more of them than is needed.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::io::Errno;

/// What is wrong with anything but a regular file.
pub const IRREGULAR: &str = "it is not a regular file";

/// What is wrong, with the cure, when [`are_too_many`].
pub const TOO_MANY: &str = "too many open files; allow this process, or the host, more of them (ulimit -n)";

/// More bytes than any configuration of the docker command has.
pub const DOCKER_CONFIG: usize = 1 << 20;

/// Where the docker command of this user has its configuration.
pub fn docker_config() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let directory = set("DOCKER_CONFIG").or_else(|| set("HOME").map(|home| home.join(".docker")));
    directory.map(|directory| directory.join("config.json"))
}

/// Opens the regular file at `path`. Anything else is refused without waiting for it: a pipe, a device, a directory.
pub fn open(path: &Path) -> io::Result<File> {
    // Some devices do something when they are opened.
    if !path.metadata()?.is_file() {
        return Err(irregular());
    }
    // There may be another file by now, a pipe that nobody writes into.
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = File::options().read(true).custom_flags(flags.bits().cast_signed()).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(irregular()) }
}

/// The content of the regular file at `path`, which must not have more than `most` bytes.
pub fn read(path: &Path, most: usize) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    let limit = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    open(path)?.take(limit).read_to_end(&mut content)?;
    if content.len() > most { Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is too large")) } else { Ok(content) }
}

/// What the kernel said, without its number.
pub fn reason(error: &io::Error) -> String {
    if are_too_many(error) {
        return TOO_MANY.to_owned();
    }
    let reason = error.to_string();
    reason.split(" (os error").next().unwrap_or(&reason).to_owned()
}

/// Whether this process, or the host, may open no more files: what the C library calls it differs.
pub fn are_too_many(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}

fn irregular() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, IRREGULAR)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    use std::os::unix::net::UnixListener;

    #[test]
    fn only_regular_files_are_opened_and_read_up_to_a_limit() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        std::fs::write(path("file"), "12345").unwrap();
        std::os::unix::fs::symlink(path("file"), path("link")).unwrap();
        mknodat(CWD, path("pipe"), FileType::Fifo, Mode::RUSR, 0).unwrap();
        let _listener = UnixListener::bind(path("socket")).unwrap();
        assert_eq!(read(&path("file"), 5).unwrap(), b"12345");
        assert_eq!(read(&path("link"), 5).unwrap(), b"12345");
        assert_eq!(read(&path("file"), 4).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        for other in [path("pipe"), path("socket"), directory.path().to_owned(), "/dev/zero".into()] {
            assert_eq!(read(&other, 5).unwrap_err().kind(), io::ErrorKind::InvalidInput, "{}", other.display());
        }
        assert_eq!(read(&path("none"), 5).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
