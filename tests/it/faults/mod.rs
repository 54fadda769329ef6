//! Everything that the module does, broken at every call in every way: no scanner is ever lost, none ever runs twice.

mod bed;
mod cases;
mod lab;
mod operations;

use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};

use self::bed::Bed;
use self::cases::{Case, Cases};
use self::lab::Lab;
use self::operations::OPERATIONS;
use crate::support::Engine;

/// The most that one scanner goes through; another thread takes the next ones.
const CHUNK: usize = 8;
/// How often a case is tried until its run comes to the call that is broken.
const TURNS: usize = 6;
/// How many engines work at the same time on a sample, beside other tests …
const ENGINES: usize = 3;
/// … and on what was asked for: a run waits for its engine, or for the end of its patience, as long as it computes.
const ALL_ENGINES: usize = 6;

/// Some of the cases. With `QCSS_FAULTS=all` all of them, with `writes` all of those that break a call that changes something,
/// with `pairs` some in which the next run is broken too, else those whose name, as a failure shows it, has that text.
#[test]
fn no_fault_loses_a_scanner() {
    let wanted = std::env::var("QCSS_FAULTS").ok();
    let (page, count) = (include_str!("../../../docs/reliability.md"), OPERATIONS.len());
    assert!(
        page.contains(&format!("adopt: {count} operations)")),
        "docs/reliability.md does not say: {count} operations"
    );
    let lab = Lab::new(if wanted.is_some() { ALL_ENGINES } else { ENGINES });
    let calls = lab.each(OPERATIONS.to_vec(), |engine, operation| {
        let requests = Bed::new(engine).requests(&operation);
        (operation, requests)
    });
    let all = Cases::of(&calls);
    let cases = all.chosen(wanted.as_deref());
    assert!(!cases.is_empty(), "no case is called {wanted:?}");
    let chunks = cases.chunks(CHUNK).map(<[Case]>::to_vec).collect();
    let outcomes = lab.each(chunks, |engine, chunk| go_through(engine, &chunk)).concat();
    let doubled = lab.doubled();

    let hit: usize = outcomes.iter().map(|outcome| *outcome.as_ref().unwrap_or(&1)).sum();
    let failures: Vec<_> = outcomes.into_iter().filter_map(Result::err).collect();
    let summary = format!("{hit} faults, {} lost, {} doubled", failures.len(), doubled.len());
    // Past the capture of a test that passes: the count is to be seen.
    writeln!(io::stdout(), "{summary} (cases: {} of {})", cases.len(), all.count()).unwrap();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(doubled.is_empty(), "two of one scanner at the same time: {doubled:#?}");
}

/// The number of faults that hit, or what broke, for each case.
fn go_through(engine: &Engine, cases: &[Case]) -> Vec<Result<usize, String>> {
    let mut bed = None;
    let mut outcomes = Vec::new();
    for case in cases {
        let name = case.operation.name;
        let mut used = bed.take().filter(|(of, _)| *of == name).map_or_else(|| Bed::new(engine), |(_, bed)| bed);
        // The other way round an operation may make a call more, and how often it looks whether a scanner stays up varies.
        let run = || (0..TURNS).map(|_| used.run(case)).find(|hits| *hits > 0);
        let outcome = match catch_unwind(AssertUnwindSafe(run)) {
            Ok(hits) => hits.ok_or_else(|| "the run never comes to that call".to_owned()),
            Err(panic) => {
                let reason = panic.downcast_ref::<String>().cloned();
                Err(reason.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default())
            }
        };
        match &outcome {
            Ok(_) => bed = Some((name, used)),
            // Past the capture, as the whole takes long.
            Err(reason) => writeln!(io::stdout(), "{case}: {reason}").unwrap(),
        }
        outcomes.push(outcome.map_err(|reason| format!("{case}: {reason}")));
    }
    outcomes
}
