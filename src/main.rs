//! `qcss_scanner ARGUMENTS_FILE`, as Ansible runs it; the one place that prints and exits.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::ExitCode;
use std::thread;

use qcss_scanner::ansible::module;
use qcss_scanner::ansible::reply::Reply;
use qcss_scanner::error::Error;
use rustix::fs::{OFlags, fcntl_getfl};

/// musl's own asks the kernel for nearly every allocation that is larger than a line of text, and gives it back at once.
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

const HELP: &str = "\
qcss_scanner is an Ansible module that creates Qualys containerized scanners on Docker hosts.
Ansible runs it as: qcss_scanner ARGUMENTS_FILE (one JSON object), and reads one JSON line from it.
In a playbook, or ad hoc:
  ansible HOST --become -m qcss_scanner -a 'name=scanner-1 personalization_code=CODE qualys_url=US2 image=qualys/qcsa'
Documentation: ansible-doc -t module -M library qcss_scanner";

/// The stack for the work; what the caller allows to the first thread may be too little.
const STACK: usize = 4 << 20;

/// The device number of `/dev/null`.
const NULL: u64 = 0x103;

fn main() -> ExitCode {
    match thread::Builder::new().stack_size(STACK).spawn(run) {
        Ok(worker) => worker.join().unwrap_or(ExitCode::FAILURE),
        Err(_) => run(),
    }
}

fn run() -> ExitCode {
    let argument = std::env::args_os().nth(1);
    match argument.as_deref().and_then(|argument| argument.to_str()) {
        Some("--help" | "-h") => print(HELP, 0),
        Some("--version" | "-V") => print(concat!("qcss_scanner ", env!("CARGO_PKG_VERSION")), 0),
        _ => {
            let reply = argument.map_or_else(
                || Reply::failure(&Error::invalid(HELP.replace('\n', " "))),
                |path| module::answer(Path::new(&path)),
            );
            let exit_code = reply.exit_code();
            print(&reply.into_line(), exit_code)
        }
    }
}

/// Writes `text` and a line feed. Whoever does not get it learns that from the exit code.
fn print(text: &str, exit_code: u8) -> ExitCode {
    let written = io::stdout().as_fd().try_clone_to_owned().map(File::from).and_then(|mut stdout| {
        if was_closed(&stdout) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        // Not by `Stdout`, which takes a stream that it cannot write to for one that nobody reads.
        stdout.write_all(format!("{text}\n").as_bytes())
    });
    if written.is_ok() { ExitCode::from(exit_code) } else { ExitCode::FAILURE }
}

/// Whether stdout was closed when the program began: Rust opens `/dev/null` in its place, for reading as well.
fn was_closed(stdout: &File) -> bool {
    let is_null = stdout.metadata().is_ok_and(|found| found.rdev() == NULL);
    is_null && fcntl_getfl(stdout).is_ok_and(|flags| flags & OFlags::RWMODE == OFlags::RDWR)
}
