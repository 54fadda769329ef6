//! Everything that the module does, broken at every call in every way: no scanner is ever lost, none ever runs twice.

mod bed;
mod operations;

use std::collections::VecDeque;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::thread;

use rustix::process::Signal;

use self::bed::Bed;
use self::operations::{OPERATIONS, Operation};
use crate::support::{Engine, Events, Fault, Trap};

/// What can happen to one call.
const ONCE: &[Fault] = &[
    Fault::DroppedBefore,
    Fault::KillAfter(Signal::KILL),
    Fault::Status(500),
    Fault::DroppedAfter,
    Fault::Late,
    Fault::KillBefore(Signal::TERM),
    Fault::Status(404),
    Fault::Garbage,
    Fault::HangAfter,
    Fault::KillAfter(Signal::TERM),
    Fault::Status(409),
    Fault::Truncated,
    Fault::HangBefore,
    Fault::KillBefore(Signal::KILL),
    Fault::Nonsense,
];
/// What can happen from one call on.
const LASTING: &[Fault] = &[Fault::Refused, Fault::Status(500), Fault::DroppedBefore, Fault::HangBefore];
/// What can happen to the engine itself at a call that changes something; each takes it a second or more.
const ENDS: &[Fault] = &[
    Fault::EngineEndsAfter(Signal::KILL),
    Fault::EngineEndsBefore(Signal::KILL),
    Fault::EngineEndsAfter(Signal::TERM),
    Fault::EngineEndsBefore(Signal::TERM),
];
/// The most that one scanner goes through; another thread takes the next ones.
const CHUNK: usize = 8;
/// Of the faults at a call that changes something, each how many-th is tried by default …
const WRITE_STRIDE: usize = 31;
/// … and at a call that only asks.
const READ_STRIDE: usize = 307;
/// … and of those that end the engine.
const END_STRIDE: usize = 61;
const THREADS: usize = 6;

/// Some of the cases. With `QCSS_FAULTS=all` all of them, with `writes` all of those that break a call that changes something,
/// with a part of an operation's name all of those operations.
#[test]
fn no_fault_loses_a_scanner() {
    let wanted = std::env::var("QCSS_FAULTS").ok();
    let (cases, of) = cases(wanted.as_deref());
    let jobs: Mutex<VecDeque<_>> = Mutex::new(cases.chunks(CHUNK).map(<[Case]>::to_vec).collect());
    let outcomes = Mutex::new(Vec::new());
    let doubled = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                // With neighbours on its engine a run would make more calls, and one could not tell which is the next.
                let engine = Engine::private(Engine::WITHOUT_BRIDGE);
                let events = Events::of(&engine);
                while let Some(chunk) = { jobs.lock().unwrap().pop_front() } {
                    outcomes.lock().unwrap().extend(go_through(&engine, &chunk));
                }
                assert!(events.starts() > 0, "the events are not heard");
                doubled.lock().unwrap().extend(events.doubled());
            });
        }
    });

    let (outcomes, doubled) = (outcomes.into_inner().unwrap(), doubled.into_inner().unwrap());
    let hit: usize = outcomes.iter().map(|outcome| *outcome.as_ref().unwrap_or(&1)).sum();
    let failures: Vec<_> = outcomes.into_iter().filter_map(Result::err).collect();
    let count = format!("{hit} faults, {} lost, {} doubled", failures.len(), doubled.len());
    // Past the capture of a test that passes: the count is to be seen.
    writeln!(io::stdout(), "{count} (cases: {} of {of})", cases.len()).unwrap();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(doubled.is_empty(), "two of one scanner at the same time: {doubled:#?}");
}

/// An operation, and what goes wrong in each of the runs before the one in which nothing does.
type Case = (Operation, Vec<Trap>);

/// The cases to go through, of how many there are.
fn cases(wanted: Option<&str>) -> (Vec<Case>, usize) {
    let engine = Engine::private(Engine::WITHOUT_BRIDGE);
    let (mut chosen, mut of) = (Vec::new(), 0);
    for operation in OPERATIONS {
        let requests = Bed::new(&engine).requests(operation);
        of += requests.len() * traps(0).count();
        of += requests.iter().filter(|request| request.is_write()).count() * ENDS.len();
        for (call, request) in requests.iter().enumerate() {
            let stride = match (wanted, request.is_write()) {
                (None, true) | (Some("writes"), false) => WRITE_STRIDE,
                (None, false) => READ_STRIDE,
                (Some("all"), _) | (Some("writes"), true) => 1,
                (Some(wanted), _) if operation.name.contains(wanted) => 1,
                (Some(_), _) => continue,
            };
            // From call to call and from operation to operation it begins with another fault.
            let begin = (chosen.len() + call) % stride;
            chosen.extend(traps(call).skip(begin).step_by(stride).map(|trap| (*operation, vec![trap])));
            if request.is_write() {
                let stride = if wanted.is_none() { END_STRIDE } else { 1 };
                let ends = ENDS.iter().skip((chosen.len() + call) % stride).step_by(stride);
                chosen.extend(ends.map(|fault| (*operation, vec![Trap::once(*fault, call)])));
            }
        }
    }
    (chosen, of)
}

fn traps(call: usize) -> impl Iterator<Item = Trap> {
    let once = ONCE.iter().map(move |fault| Trap::once(*fault, call));
    once.chain(LASTING.iter().map(move |fault| Trap::lasting(*fault, call)))
}

/// The number of faults that hit, or what broke, for each case.
fn go_through(engine: &Engine, cases: &[Case]) -> Vec<Result<usize, String>> {
    let mut bed = None;
    let mut outcomes = Vec::new();
    for (operation, traps) in cases {
        let mut used =
            bed.take().filter(|(name, _)| *name == operation.name).map_or_else(|| Bed::new(engine), |(_, bed)| bed);
        match catch_unwind(AssertUnwindSafe(|| used.run(operation, traps))) {
            Ok(hits) => {
                bed = Some((operation.name, used));
                outcomes.push(Ok(hits.len()));
            }
            Err(panic) => {
                let reason = panic.downcast_ref::<String>().cloned();
                let reason = reason.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
                let traps: Vec<_> = traps.iter().map(ToString::to_string).collect();
                outcomes.push(Err(format!("{}: {}: {}", operation.name, traps.join(", "), reason.unwrap_or_default())));
            }
        }
    }
    outcomes
}
