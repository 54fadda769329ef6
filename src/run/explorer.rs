//! Every fault at every call, with the real executor on the engine in memory: no scanner is lost, none runs twice, and the
//! result is true.

mod scenario;
mod truth;

use std::fmt::Write as _;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::{Either, select};

use self::scenario::Scenario;
pub use self::scenario::{DYING, engine, old, with_directories};
use self::truth::{aftermath, doubled, lies, was_pruned};
use super::failure::summary;
use super::interrupt::Interrupt;
use super::outcome::{Outcome, ScannerOutcome};
use super::{Settings, run};
use crate::engine::fake::{FOREIGN, Fake, Fault, World};
use crate::scanner::desired::Request;
use crate::scanner::observed::Observed;
use crate::testing::wait;

/// For each call; no time passes but that of the runtime's own clock.
const TIMEOUT: Duration = Duration::from_secs(5);
/// What can happen to one call.
const FAULTS: &[Fault] = &[
    Fault::Refused,
    Fault::RefusedForGood,
    Fault::LostBefore,
    Fault::LostAfter,
    Fault::Late(1),
    Fault::Late(2),
    Fault::Late(4),
    Fault::Late(usize::MAX),
    Fault::KillBefore,
    Fault::KillAfter,
    Fault::RestartBefore,
    Fault::RestartAfter,
    Fault::Prune,
    Fault::TakeName,
    Fault::TermBefore,
    Fault::TermAfter,
];
/// The same engine some time later.
fn later(world: &World) -> Fake {
    let fake = Fake::new(Vec::new(), TIMEOUT);
    fake.with(|now| now.clone_from(world));
    fake
}

/// The outcome of a run; `None`: it was killed.
pub(super) async fn outcome(fake: &Fake, request: Request, check_mode: bool) -> Option<ScannerRun> {
    let interrupt = Rc::new(Interrupt::default());
    let raise = Rc::clone(&interrupt);
    *fake.on_term.borrow_mut() = Box::new(move || raise.raise("SIGTERM"));
    let mut requests = [request];
    let running = run(fake, Settings { timeout: TIMEOUT, check_mode }, &mut requests, &interrupt);
    let ended = match select(pin!(running), pin!(fake.killed.notified())).await {
        Either::Left((outcome, _)) => Some(outcome),
        Either::Right(_) => None,
    }?;
    Some(ScannerRun::new(ended))
}

pub(super) struct ScannerRun {
    pub(super) scanner: ScannerOutcome,
    /// The message and the stable word of a failure.
    pub(super) failure: Option<(String, &'static str)>,
}

impl ScannerRun {
    fn new(mut outcome: Outcome) -> Self {
        let failure = outcome.failure.map(|failed| summary(&failed.error));
        Self {
            scanner: outcome.scanners.pop().unwrap(),
            failure: failure.map(|error| (error.message.clone(), error.kind.word())),
        }
    }

    pub(super) fn msg(&self) -> &str {
        self.failure.as_ref().map_or("", |(message, _)| message)
    }
}

/// How many calls a run of `scenario` takes that nothing happens to.
fn calls(scenario: &Scenario) -> usize {
    wait(async {
        let fake = scenario.engine();
        outcome(&fake, scenario.request(), false).await;
        fake.calls()
    })
}

/// Runs one scenario with one fault, and maybe a `second` one in the run after it; returns what is wrong, or `None` when the
/// second run never reaches that call.
fn explore(scenario: &Scenario, (call, fault): (usize, Fault), second: Option<(usize, Fault)>) -> Option<Vec<String>> {
    wait(async {
        let fake = scenario.engine();
        let before = fake.world();
        fake.set(Some((call, fault)));
        let run = outcome(&fake, scenario.request(), false).await;
        if !fake.hit() {
            let ended = run.as_ref().map_or("it was killed", |run| run.msg());
            return Some(vec![format!("the run ended before that call ({ended})")]);
        }
        let mut wrong = Vec::new();
        let after = fake.world();
        if let Some(run) = &run {
            wrong.extend(lies(scenario, &before, &after, run).into_iter().map(|lie| format!("{lie} ({})", run.msg())));
            if matches!(fault, Fault::TermBefore | Fault::TermAfter) {
                let runs = after.containers.iter().any(|it| it.status.is_up());
                if scenario.ran() && scenario.runs() && !scenario.dies() && !runs {
                    wrong.push(format!("nothing runs after SIGTERM ({})", run.msg()));
                }
            }
        }
        fake.settle();
        let after = fake.world();
        doubled(&after, &mut wrong);
        let exists = |world: &World| world.containers.iter().any(Observed::is_scanner);
        if fault == Fault::TakeName && after.log.iter().any(|line| line.starts_with("somebody takes")) {
            let foreign = after.containers.iter().find(|it| it.id == FOREIGN);
            if foreign.is_none_or(|it| it.name != "scanner" || !it.status.is_up()) {
                wrong.push(format!("another's container was touched: {foreign:?}"));
            }
            if run.as_ref().is_some_and(|run| run.failure.is_none()) && scenario.option("state") != "absent" {
                wrong.push("another has the name, and the result is no failure".to_owned());
            }
        }
        if scenario.option("state") != "absent" && exists(&before) && !exists(&after) && !was_pruned(&after) {
            wrong.push("it is lost".to_owned());
        }
        let mut after = after;
        if let Some(second) = second {
            let fake = later(&after);
            fake.set(Some(second));
            let run = outcome(&fake, scenario.request(), false).await;
            if !fake.hit() {
                return None;
            }
            if let Some(run) = &run {
                let lies = lies(scenario, &after, &fake.world(), run);
                wrong.extend(lies.into_iter().map(|lie| format!("the second run: {lie} ({})", run.msg())));
            }
            fake.settle();
            after = fake.world();
            doubled(&after, &mut wrong);
        }
        aftermath(scenario, &after, call, &mut wrong).await;
        if !wrong.is_empty() {
            let mut told = String::new();
            let _ = write!(told, "    {}", after.log.join("\n    "));
            wrong.push(told);
        }
        Some(wrong)
    })
}

/// What is explored of each scenario.
#[derive(Debug, Clone, Copy)]
enum Faults {
    /// One.
    One,
    /// One in each of two runs; of all such pairs one in so many.
    Two(usize),
}

/// Whether the pair `number` is one of each `stride`; not each so many-th, which might always be at the same call.
const fn is_one_of(number: usize, stride: usize) -> bool {
    (number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32).is_multiple_of(stride)
}

/// How many runs of `scenarios` were explored, and those that end wrong.
fn explore_all(scenarios: Vec<&Scenario>, faults: Faults) -> (usize, Vec<String>) {
    let (mut ends, mut wrong, mut pairs) = (0, Vec::new(), 0);
    let mut note = |found: Vec<String>, name: String| {
        ends += 1;
        if !found.is_empty() {
            wrong.push(format!("{name}\n  {}", found.join("\n  ")));
        }
    };
    for scenario in scenarios {
        // Up to the fault, a run is the one without a fault.
        let calls = calls(scenario);
        for fault in FAULTS {
            for call in 0..calls {
                let first = (call, *fault);
                let name = format!("{scenario}: {fault:?} at call {call}");
                let Faults::Two(stride) = faults else {
                    note(explore(scenario, first, None).unwrap_or_default(), name);
                    continue;
                };
                for fault in FAULTS {
                    for call in 0..20 {
                        pairs += 1;
                        if is_one_of(pairs, stride)
                            && let Some(found) = explore(scenario, first, Some((call, *fault)))
                        {
                            note(found, format!("{name}, then {fault:?} at call {call}"));
                        }
                    }
                }
            }
        }
    }
    (ends, wrong)
}

/// With `QCSS_EXPLORE=2` two faults, one in each of two runs; with a number after it (`2/50`) one in 50 of these pairs.
#[test]
#[expect(clippy::print_stdout, reason = "the count is a figure of the test")]
fn no_fault_loses_a_scanner_or_makes_the_result_lie() {
    let wanted = std::env::var("QCSS_EXPLORE").unwrap_or_default();
    let faults = match wanted.split_once('/') {
        Some(("2", stride)) => Faults::Two(stride.parse().unwrap()),
        _ if wanted == "2" => Faults::Two(1),
        _ => Faults::One,
    };
    let (mut ends, mut wrong) = (0, Vec::new());
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    // Each has its own directories: nobody waits for a lock while no time passes.
    let explore = |at| {
        let directories = tempfile::tempdir().unwrap();
        for name in ["shared", "private/code-4711"] {
            std::fs::create_dir_all(directories.path().join(name)).unwrap();
        }
        let scenarios = Scenario::all(&directories);
        explore_all(scenarios.iter().skip(at).step_by(threads).collect(), faults)
    };
    std::thread::scope(|scope| {
        let exploring: Vec<_> = (0..threads).map(|at| scope.spawn(move || explore(at))).collect();
        for explored in exploring {
            let (count, found) = explored.join().unwrap();
            ends += count;
            wrong.extend(found);
        }
    });
    println!("{ends} ends of runs with {faults:?} fault, {} wrong", wrong.len());
    let shown: Vec<_> = wrong.iter().take(400).cloned().collect();
    assert!(wrong.is_empty(), "{} of {ends}:\n{}", wrong.len(), shown.join("\n"));
    if matches!(faults, Faults::One) {
        let page = include_str!("../../docs/reliability.md");
        let counted = format!("| {} {:03} | 0 lost, 0 doubled, 0 lies |", ends / 1000, ends % 1000);
        assert!(page.contains(&counted), "docs/reliability.md does not say: {counted}");
    }
}
