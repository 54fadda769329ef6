//! `qcss_scanner ARGUMENTS_FILE`, as Ansible runs it; the one place that prints and exits.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use qcss_scanner::ansible::module;
use qcss_scanner::ansible::reply::Reply;
use qcss_scanner::error::Error;

/// musl's own asks the kernel for nearly every allocation that is larger than a line of text, and gives it back at once.
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

const HELP: &str = "\
qcss_scanner is an Ansible module that creates Qualys containerized scanners on Docker hosts.
Ansible runs it as: qcss_scanner ARGUMENTS_FILE (one JSON object), and reads one JSON line from it.
In a playbook, or ad hoc:
  ansible HOST --become -m qcss_scanner -a 'name=scanner-1 personalization_code=CODE qualys_url=US2 image=qualys/qcsa'
Documentation: ansible-doc -t module -M library qcss_scanner";

fn main() -> ExitCode {
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

/// Writes `text` and a line feed; errors are ignored, since nobody reads a closed stdout.
fn print(text: &str, exit_code: u8) -> ExitCode {
    let mut stdout = std::io::stdout().lock();
    let _ = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
    ExitCode::from(exit_code)
}
