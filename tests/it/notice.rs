//! `NOTICE` says what is linked into the binary, and under which licences.

use std::path::Path;
use std::process::Command;

#[test]
fn the_notice_is_up_to_date() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/setup/notice");
    let run = Command::new(script).arg("--check").output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
}
