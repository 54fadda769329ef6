//! Which call of which operation is broken, and how.

use std::fmt;
use std::iter;
use std::time::Duration;

use rustix::process::Signal;

use super::operations::Operation;
use crate::support::{Fault, Request, Trap};

/// While the module rolls back.
const LATENESS: Duration = Duration::from_millis(100);
/// What can happen to one call.
const ONCE: &[Fault] = &[
    Fault::DroppedBefore,
    Fault::KillAfter(Signal::KILL),
    Fault::Status(500),
    Fault::DroppedAfter,
    Fault::Late(LATENESS),
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
/// By default each how many-th is tried of the cases that break a call that changes something, of those that break one that
/// only asks, and of those that end the engine. Prime, so that each time it is another fault's turn.
const STRIDES: [usize; 3] = [61, 503, 127];
/// Of the cases that break a call that changes something, each how many-th is the first of a pair.
const PAIR_STRIDE: usize = 3;
/// The most calls that a run makes to recover from the fault before.
const CALLS: usize = 30;

/// An operation, and what goes wrong in each of the runs before the one in which nothing does.
#[derive(Debug, Clone)]
pub struct Case {
    pub operation: Operation,
    pub traps: Vec<Trap>,
}

/// All of them.
pub struct Cases {
    writes: Vec<Case>,
    reads: Vec<Case>,
    ends: Vec<Case>,
}

impl Cases {
    /// Those of operations that make these `calls`.
    pub fn of(calls: &[(Operation, Vec<Request>)]) -> Self {
        let mut all = Self { writes: Vec::new(), reads: Vec::new(), ends: Vec::new() };
        for &(operation, ref requests) in calls {
            let case = |trap| Case { operation, traps: vec![trap] };
            for (call, request) in requests.iter().enumerate() {
                let once = ONCE.iter().map(|fault| Trap::once(*fault, call));
                let lasting = LASTING.iter().map(|fault| Trap::lasting(*fault, call));
                let kind = if request.is_write() { &mut all.writes } else { &mut all.reads };
                kind.extend(once.chain(lasting).map(case));
                if request.is_write() {
                    all.ends.extend(ENDS.iter().map(|fault| case(Trap::once(*fault, call))));
                }
            }
        }
        all
    }

    pub fn count(&self) -> usize {
        self.writes.len() + self.reads.len() + self.ends.len()
    }

    /// Those that `QCSS_FAULTS` asks for: a sample, `all`, `writes`, `pairs`, or those whose name has that text.
    pub fn chosen(&self, wanted: Option<&str>) -> Vec<Case> {
        let [_, few_reads, _] = STRIDES;
        match wanted {
            None => self.each(STRIDES).collect(),
            Some("all") => self.each([1, 1, 1]).collect(),
            Some("writes") => self.each([1, few_reads, 1]).collect(),
            Some("pairs") => self.pairs().collect(),
            Some(like) => {
                let all = self.each([1, 1, 1]).chain(self.pairs());
                all.filter(|case| case.to_string().contains(like)).collect()
            }
        }
    }

    fn each(&self, [writes, reads, ends]: [usize; 3]) -> impl Iterator<Item = Case> {
        let all = self.writes.iter().step_by(writes).chain(self.reads.iter().step_by(reads));
        all.chain(self.ends.iter().step_by(ends)).cloned()
    }

    /// A fault, and another one in the run that finds what the first one left.
    fn pairs(&self) -> impl Iterator<Item = Case> {
        let faults = iter::repeat(ONCE.iter().chain(ENDS)).flatten();
        let seconds = faults.zip((0..CALLS).cycle()).map(|(fault, call)| Trap::once(*fault, call));
        self.writes.iter().step_by(PAIR_STRIDE).zip(seconds).map(|(first, second)| {
            let traps = first.traps.iter().copied().chain([second]).collect();
            Case { traps, ..*first }
        })
    }
}

/// `replace, present: Status(500) at call 17`
impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let traps: Vec<_> = self.traps.iter().map(ToString::to_string).collect();
        write!(f, "{}: {}", self.operation.name, traps.join(", then "))
    }
}
