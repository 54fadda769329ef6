//! Tasks in a row, as a person runs them who wants to be sure.

use std::thread;

use super::{Module, Proxy, Reply, Scanner};

/// What check mode must foretell; how far a run came that fails is all the same.
const FORETOLD: &[&str] = &["failed", "error", "changed", "actions", "command", "differences", "diff"];
const FORETOLD_OF_A_FAILURE: usize = 5;

/// The block of four by which community.docker tests itself: check, real, again, again in check. The real run changes
/// something, check mode says what and writes nothing, and then there is nothing left to do. Returns the real run's reply.
#[track_caller]
pub fn four_tasks(scanner: &Scanner, task: impl Fn() -> Module) -> Reply {
    let reply = foretold(scanner, &task).changed();
    let after = scanner.everything();
    let proxy = Proxy::new(scanner.engine);
    let again = || task().arg("docker_host", proxy.host()).diff();
    for idle in [again().run(), again().check().run()] {
        let idle = idle.unchanged();
        assert_eq!(idle["differences"], serde_json::json!([]), "{idle:#?}");
        assert_eq!(idle["diff"]["before"], idle["diff"]["after"], "{idle:#?}");
    }
    assert_eq!(proxy.writes(), []);
    assert_eq!(scanner.everything(), after);
    reply
}

/// The first two of the four: a real run does just what check mode says, and check mode writes nothing.
#[track_caller]
pub fn foretold(scanner: &Scanner, task: impl Fn() -> Module) -> Reply {
    let proxy = Proxy::new(scanner.engine);
    let check = untouched(scanner, || task().arg("docker_host", proxy.host()).check().diff().run());
    assert_eq!(proxy.writes(), []);
    let real = task().diff().run();
    let keys = if real["failed"] == true { FORETOLD.get(..FORETOLD_OF_A_FAILURE).unwrap() } else { FORETOLD };
    for key in keys {
        assert_eq!(real[key], check[key], "{key} is not as foretold\nforetold: {check:#?}\nreal: {real:#?}");
    }
    real
}

/// Runs something that must change nothing about the scanner.
#[track_caller]
pub fn untouched(scanner: &Scanner, run: impl FnOnce() -> Reply) -> Reply {
    let before = scanner.everything();
    let reply = run();
    assert_eq!(scanner.everything(), before, "{reply:#?}");
    reply
}

/// Runs all of them at the same time; returns the replies in order.
pub fn at_once<T: Send>(inputs: Vec<T>, run: impl Fn(T) -> Reply + Sync) -> Vec<Reply> {
    let run = &run;
    thread::scope(|scope| {
        let threads: Vec<_> = inputs.into_iter().map(|input| scope.spawn(move || run(input))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}
