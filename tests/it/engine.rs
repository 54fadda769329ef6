//! The throwaway engine keeps its promises: what the other tests stand on.

use std::process::Command;

use crate::support::{Engine, Scanner, eventually, stdout};

#[test]
fn comes_back_with_its_containers_when_killed() {
    let engine = Engine::private(Engine::WITHOUT_BRIDGE);
    let scanner = Scanner::new(&engine);
    let id = scanner.by_hand(&["--restart", "always"]);
    engine.kill();
    eventually("the engine is back", || engine.is_up());
    eventually("the scanner runs", || scanner.inspect()["State"]["Running"] == true);
    assert_eq!(scanner.inspect()["Id"], id);
}

#[test]
fn ends_with_all_it_made_and_touches_no_other_engine() {
    let neighbour = Scanner::new(Engine::shared());
    neighbour.by_hand(&[]);

    let engine = Engine::private(Engine::WITHOUT_BRIDGE);
    let socket = engine.socket();
    let directory = socket.parent().unwrap();
    let id = engine.docker(&["run", "--detach", "--memory=64M", "--entrypoint=sleep", "qualys/qcsa:1", "3600"]);
    engine.docker(&["pause", &id]); // what is paused cannot be killed as it is
    let traces = || {
        // The needles come by a variable, else the search would find itself.
        let search =
            "printf '%s\\n' $NEEDLES | grep -lsFf - /proc/[0-9]*/cmdline /proc/[0-9]*/cgroup /proc/[0-9]*/mounts
                      find /sys/fs/cgroup -name \"*${NEEDLES#* }*\"";
        let needles = format!("{} {id}", directory.display());
        stdout(Command::new("sh").args(["-c", search]).env("NEEDLES", needles))
    };
    let running = traces();
    assert!(
        running.contains("/cmdline") && running.contains("/mounts") && running.contains("/sys/fs/cgroup"),
        "{running}"
    );

    drop(engine);
    assert_eq!(traces(), "");
    assert!(!directory.exists());
    assert_eq!(neighbour.inspect()["State"]["Running"], true);
}
