//! What can go wrong between the module and the engine.

use std::fmt;
use std::time::Duration;

use rustix::process::{Pid, Signal};

/// What becomes of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nobody listens; never for one request alone.
    Refused,
    /// The connection breaks before the engine gets the request …
    DroppedBefore,
    /// … or after the engine did it.
    DroppedAfter,
    /// The engine refuses.
    Status(u16),
    /// The engine did it, and the answer is no HTTP …
    Garbage,
    /// … or is HTTP, but not the engine's …
    Nonsense,
    /// … or ends in the middle.
    Truncated,
    /// No answer comes, and the engine does not get the request …
    HangBefore,
    /// … or did it …
    HangAfter,
    /// … or does it this long after the client has given up and does something else.
    Late(Duration),
    /// The module is killed before the engine gets the request …
    KillBefore(Signal),
    /// … or after the engine did it.
    KillAfter(Signal),
    /// The engine itself gets the signal before it gets the request …
    EngineEndsBefore(Signal),
    /// … or after it did it. It comes back by itself.
    EngineEndsAfter(Signal),
}

impl Fault {
    /// Whether the module must give up waiting.
    pub const fn hangs(self) -> bool {
        matches!(self, Self::HangBefore | Self::HangAfter | Self::Late(_))
    }

    /// Whether the engine does it when nobody waits for it.
    pub const fn is_late(self) -> bool {
        matches!(self, Self::Late(_))
    }

    /// Whether the module ends by a signal.
    pub const fn kills(self) -> bool {
        matches!(self, Self::KillBefore(_) | Self::KillAfter(_))
    }

    /// Whether the engine ends, and all that runs on it.
    pub const fn ends_engine(self) -> bool {
        matches!(self, Self::EngineEndsBefore(_) | Self::EngineEndsAfter(_))
    }
}

/// A fault that waits for its request.
#[derive(Debug, Clone, Copy)]
pub struct Trap {
    /// What happens.
    pub fault: Fault,
    /// To which request, counted from 0.
    pub call: usize,
    /// And to all requests after it.
    pub lasting: bool,
    victim: Option<Pid>,
}

impl Trap {
    /// `fault` for one request.
    pub const fn once(fault: Fault, call: usize) -> Self {
        Self { fault, call, lasting: false, victim: None }
    }

    /// `fault` from one request on.
    pub const fn lasting(fault: Fault, call: usize) -> Self {
        Self { fault, call, lasting: true, victim: None }
    }

    pub(super) fn at(&self, number: usize) -> Option<Fault> {
        (number == self.call || (self.lasting && number > self.call)).then_some(self.fault)
    }

    pub(super) fn is_refused(&self, number: usize) -> bool {
        self.fault == Fault::Refused && number >= self.call
    }

    pub(super) const fn victim(&self) -> Option<Pid> {
        self.victim
    }

    pub(super) const fn set_victim(&mut self, pid: Pid) {
        self.victim = Some(pid);
    }
}

/// `Status(500) from call 7 on`
impl fmt::Display for Trap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let on = if self.lasting { " on" } else { "" };
        write!(f, "{:?} {} {}{on}", self.fault, if self.lasting { "from call" } else { "at call" }, self.call)
    }
}
