//! SIGTERM, and kill -9, at any moment of a replacement.

use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use crate::support::{Engine, Events, Module, Scanner, eventually};

/// How many moments are tried by default; with `QCSS_MOMENTS=200` so many of each signal.
const MOMENTS: u64 = 12;

fn moments() -> u64 {
    std::env::var("QCSS_MOMENTS").ok().map_or(MOMENTS, |count| count.parse().unwrap())
}

fn task(scanner: &Scanner, turn: u64) -> Module {
    let image = if turn.is_multiple_of(2) { "qualys/qcsa:2" } else { "qualys/qcsa:1" };
    scanner.module().args(json!({"image": image, "settle": 0.3, "stop_timeout": 1, "timeout": 20}))
}

/// How long a replacement takes here.
fn duration(scanner: &Scanner) -> Duration {
    let begin = Instant::now();
    task(scanner, 0).run().changed();
    task(scanner, 1).run().changed();
    begin.elapsed() / 2
}

fn running(scanner: &Scanner) -> usize {
    scanner.containers().iter().filter(|it| it.running).count()
}

/// Moments are spread evenly over a replacement.
fn each_moment(options: &[&str], signal: Signal, after: impl Fn(&Scanner, Option<crate::support::Reply>)) {
    let engine = Engine::private(Engine::WITHOUT_BRIDGE);
    let events = Events::of(&engine);
    let scanner = Scanner::new(&engine);
    scanner.by_hand(options);
    eventually("the scanner is up", || scanner.log().contains(" is up"));
    let whole = duration(&scanner);
    let count = moments();
    for turn in 0..count {
        let replacing = task(&scanner, turn).start();
        sleep(whole * u32::try_from(turn).unwrap() / u32::try_from(count).unwrap());
        replacing.signal(signal);
        let reply = replacing.finish();
        after(&scanner, reply);
        // The engine may still be at what it was asked for.
        let next = task(&scanner, turn).disturbed().run();
        assert!(!next.failed(), "the next run: {}", next.line);
        assert_eq!((running(&scanner), scanner.containers().len()), (1, 1), "{:#?}", scanner.containers());
        task(&scanner, turn).run().unchanged();
    }
    assert_eq!(events.doubled(), [""; 0]);
}

/// A cancelled job never leaves a host without its scanner, also one that is deaf to SIGTERM itself.
#[test]
fn something_runs_after_each_sigterm() {
    for options in [&[][..], &["-e STAND_IN_DEAF=1"]] {
        each_moment(options, Signal::TERM, |scanner, reply| {
            if let Some(reply) = reply {
                assert!(!reply.failed() || reply["error"] == "interrupted", "{}", reply.line);
                assert_eq!(running(scanner), 1, "{}\n{:#?}", reply.line, scanner.containers());
                assert_eq!(reply["container"]["running"], true, "{}", reply.line);
            }
        });
    }
}

#[test]
fn no_kill_loses_a_scanner() {
    each_moment(&[], Signal::KILL, |scanner, reply| {
        assert!(reply.is_none_or(|reply| !reply.failed()));
        assert!(running(scanner) <= 1 && !scanner.containers().is_empty());
    });
}

#[test]
fn a_pull_is_given_up_and_a_plain_start_as_well() {
    let scanner = Scanner::new(Engine::shared());
    let creating = scanner.module().arg("settle", 60).start();
    eventually("it settles", || running(&scanner) == 1);
    creating.signal(Signal::INT);
    let reply = creating.finish().unwrap();
    assert_eq!((&reply["changed"], &reply["container"]["running"]), (&json!(true), &json!(true)), "{}", reply.line);
    let message = reply.refused("interrupted");
    assert!(message.starts_with("interrupted by SIGINT; run the task again"), "{message}");
    scanner.module().run().unchanged();
}
