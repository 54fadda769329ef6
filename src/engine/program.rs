//! Runs a helper program of the host: for a limited time, and with a limited output.
//!
//! The program may fork: what has ended says no more, whoever else holds its output open, and when its time is over all of its
//! process group is killed.

use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::fs::{Access, access};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::net::unix::pipe::Receiver;
use tokio::time::{sleep, timeout};

/// The most bytes of an output.
const OUTPUT: usize = 1 << 20;
/// How often it is looked whether the program has ended, while it says nothing.
const TICK: Duration = Duration::from_millis(10);
/// How many ticks a program has to end that is killed.
const PATIENCE: usize = 20;

/// The program `name` of `search_path` (`PATH`). Folders that are not absolute are left out: they would be below the directory
/// in which this program happens to run.
pub fn find(name: &str, search_path: &std::ffi::OsStr) -> Option<PathBuf> {
    let folders = std::env::split_paths(search_path).filter(|folder| folder.is_absolute());
    folders.map(|folder| folder.join(name)).find(|path| path.is_file() && access(path, Access::EXEC_OK).is_ok())
}

/// What `program` prints when it is run with `argument` and reads `input`, which is short; `None`: it fails.
pub async fn output(program: &Path, argument: &str, input: &str, limit: Duration) -> io::Result<Option<Vec<u8>>> {
    let mut command = Command::new(program);
    command.arg(argument).process_group(0);
    let mut running = Running(command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?);
    if let Some(mut stdin) = running.0.stdin.take() {
        // It may know without reading.
        let _ = stdin.write_all(input.as_bytes());
    }
    let stdout = running.0.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
    let stdout = Receiver::from_owned_fd(OwnedFd::from(stdout))?;
    timeout(limit, running.read(&stdout)).await?
}

/// A program that does not outlive the run.
struct Running(Child);

impl Running {
    async fn read(&mut self, stdout: &Receiver) -> io::Result<Option<Vec<u8>>> {
        let (mut output, mut piece, mut is_open) = (Vec::new(), [0; 4096], true);
        let mut ended: Option<ExitStatus> = None;
        loop {
            match stdout.try_read(&mut piece) {
                Ok(0) => is_open = false,
                Ok(length) => {
                    output.extend_from_slice(piece.get(..length).unwrap_or_default());
                    if output.len() > OUTPUT {
                        return Err(io::ErrorKind::FileTooLarge.into());
                    }
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
            if let Some(status) = ended {
                return Ok(status.success().then_some(output));
            }
            ended = self.0.try_wait()?;
            if is_open {
                // Whether it says something or ends, both are looked at again; so is what it said last.
                let _ = timeout(TICK, stdout.readable()).await;
            } else if ended.is_none() {
                sleep(TICK).await;
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = kill_process_group(Pid::from_child(&self.0), Signal::KILL);
        for _ in 0..PATIENCE {
            if !matches!(self.0.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(TICK);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use std::time::Instant;

    fn run(script: &str) -> io::Result<Option<String>> {
        let program = tempfile::tempdir().unwrap();
        let path = program.path().join("program");
        // A shell that reads it: no other thread's child can have it open for writing then.
        std::fs::write(&path, script).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let output = output(Path::new("/bin/sh"), path.to_str().unwrap(), "input", Duration::from_millis(800));
        runtime.block_on(output).map(|output| output.map(|output| String::from_utf8(output).unwrap()))
    }

    #[rstest]
    #[case::says("printf \"<$(cat)>\"", Some("<input>"))]
    #[case::does_not_read("printf x", Some("x"))]
    #[case::fails("printf x; exit 1", None)]
    #[case::closes_its_output("exec >&-; sleep 0.1", Some(""))]
    #[case::leaves_a_child("sleep 30 & printf x", Some("x"))]
    #[case::fills_a_pipe(
        "i=0; while [ $i -lt 3000 ]; do printf 0123456789012345678901234567890123456789; i=$((i+1)); done",
        None
    )]
    fn what_a_program_prints_is_read_until_it_ends(#[case] script: &str, #[case] output: Option<&str>) {
        let begin = Instant::now();
        let found = run(script).unwrap();
        if script.contains("3000") {
            assert_eq!(found.map(|output| output.len()), Some(120_000));
        } else {
            assert_eq!(found.as_deref(), output);
        }
        assert!(begin.elapsed() < Duration::from_secs(5));
    }

    #[rstest]
    #[case::hangs("sleep 30", io::ErrorKind::TimedOut)]
    #[case::hangs_deaf("trap '' TERM; sleep 30; sleep 30", io::ErrorKind::TimedOut)]
    #[case::never_stops("while :; do echo 0123456789012345678901234567890123456789; done", io::ErrorKind::FileTooLarge)]
    #[case::never_stops_slowly("while :; do echo x; sleep 0.01; done", io::ErrorKind::TimedOut)]
    fn a_program_has_a_limit(#[case] script: &str, #[case] error: io::ErrorKind) {
        let begin = Instant::now();
        let kind = run(script).unwrap_err().kind();
        // Whichever limit is reached first on a slow host.
        assert!(kind == error || kind == io::ErrorKind::TimedOut, "{kind}");
        assert!(begin.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn a_program_is_found_in_absolute_folders_only() {
        let found = |path: &str| find("sh", std::ffi::OsStr::new(path));
        assert_eq!(found("/nonexistent:/bin"), Some("/bin/sh".into()));
        assert_eq!(found(".:bin::../bin"), None);
        assert_eq!(find("passwd", std::ffi::OsStr::new("/etc")), None);
    }
}
