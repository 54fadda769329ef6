//! Everything that the module does to a scanner, as a task that is run when another one has been.

use serde_json::{Value, json};

/// One operation.
#[derive(Debug, Clone, Copy)]
pub struct Operation {
    /// Its name in messages.
    pub name: &'static str,
    /// What there is before, and what is asked for; beyond name, code, URL, directories. Every other time the images, and what
    /// else can be, are the other way round, so that the end of one case is the beginning of the next.
    tasks: fn(Turn) -> (Value, Value),
    /// The task has nothing but the scanner's name and these options.
    pub by_name: bool,
    /// The scanner is frozen before.
    pub paused: bool,
    /// How it must end.
    pub end: End,
}

/// Which of two.
#[derive(Debug, Clone, Copy)]
pub struct Turn(pub bool);

/// A scanner's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Running,
    Stopped,
    Gone,
    Purged,
}

impl Turn {
    fn choose(self, values: [&'static str; 2]) -> [&'static str; 2] {
        let [one, other] = values;
        if self.0 { [other, one] } else { values }
    }

    fn images(self) -> [&'static str; 2] {
        self.choose(["qualys/qcsa:1", "qualys/qcsa:2"])
    }
}

impl Operation {
    const fn new(name: &'static str, end: End, tasks: fn(Turn) -> (Value, Value)) -> Self {
        Self { name, tasks, by_name: false, paused: false, end }
    }

    const fn by_name(self) -> Self {
        Self { by_name: true, ..self }
    }

    /// What there is before, and what is asked for.
    pub fn tasks(&self, turn: Turn) -> (Value, Value) {
        (self.tasks)(turn)
    }

    /// Whether the same task has nothing more to do once it is done; a restart has.
    pub fn is_repeatable(&self) -> bool {
        !self.name.starts_with("restart")
    }
}

/// All of them.
pub const OPERATIONS: &[Operation] = &[
    Operation::new("create", End::Running, |_| (json!({"state": "absent"}), json!({}))),
    Operation::new("create, limited", End::Running, |_| {
        (
            json!({"state": "absent"}),
            json!({"memory": "64M", "cpus": 0.5, "restart_policy": "always", "private_dir_mode": "0700"}),
        )
    }),
    Operation::new("create, present", End::Stopped, |_| (json!({"state": "absent"}), json!({"state": "present"}))),
    Operation::new("update memory", End::Running, |turn| {
        let [from, to] = turn.choose(["64M", "96M"]);
        (json!({"memory": from}), json!({"memory": to}))
    }),
    Operation::new("update cpus", End::Running, |turn| {
        let [from, to] = turn.choose(["0.5", "0.25"]);
        (json!({"cpus": from}), json!({"cpus": to}))
    }),
    Operation::new("update restart policy", End::Running, |turn| {
        let [from, to] = turn.choose(["always", "on-failure:3"]);
        (json!({"restart_policy": from}), json!({"restart_policy": to}))
    }),
    Operation::new("update and start", End::Running, |turn| {
        let [from, to] = turn.choose(["64M", "96M"]);
        (json!({"memory": from, "state": "stopped"}), json!({"memory": to}))
    }),
    Operation::new("replace", End::Running, |turn| {
        let [from, to] = turn.images();
        (json!({"image": from}), json!({"image": to}))
    }),
    Operation::new("replace, restart policy always", End::Running, |turn| {
        let [from, to] = turn.images();
        (json!({"image": from, "restart_policy": "always"}), json!({"image": to}))
    }),
    Operation::new("replace, present", End::Running, |turn| {
        let [from, to] = turn.images();
        (json!({"image": from}), json!({"image": to, "state": "present"}))
    }),
    Operation {
        paused: true,
        ..Operation::new("replace a paused one", End::Running, |turn| {
            let [from, to] = turn.images();
            (json!({"image": from}), json!({"image": to}))
        })
    },
    Operation::new("replace a stopped one, present", End::Stopped, |turn| {
        let [from, to] = turn.images();
        (json!({"image": from, "state": "stopped"}), json!({"image": to, "state": "present"}))
    }),
    Operation::new("replace a stopped one, started", End::Running, |turn| {
        let [from, to] = turn.images();
        (json!({"image": from, "state": "stopped"}), json!({"image": to}))
    }),
    Operation::new("replace, stopped", End::Stopped, |turn| {
        let [from, to] = turn.images();
        (json!({"image": from, "restart_policy": "always"}), json!({"image": to, "state": "stopped"}))
    }),
    Operation::new("start", End::Running, |_| (json!({"state": "stopped"}), json!({}))),
    Operation::new("start by name", End::Running, |_| (json!({"state": "stopped"}), json!({}))).by_name(),
    Operation { paused: true, ..Operation::new("unpause", End::Running, |_| (json!({}), json!({}))) },
    Operation::new("stop", End::Stopped, |_| (json!({}), json!({"state": "stopped"}))),
    Operation::new("stop by name", End::Stopped, |_| {
        (json!({"restart_policy": "always"}), json!({"state": "stopped"}))
    })
    .by_name(),
    Operation::new("restart", End::Running, |_| (json!({}), json!({"restart": true}))),
    Operation::new("restart, present", End::Running, |_| (json!({}), json!({"restart": true, "state": "present"}))),
    Operation::new("absent", End::Gone, |_| (json!({}), json!({"state": "absent"}))),
    Operation::new("absent by name", End::Gone, |_| (json!({"state": "stopped"}), json!({"state": "absent"})))
        .by_name(),
    Operation::new("purge", End::Purged, |_| (json!({}), json!({"state": "absent", "purge": true}))),
    Operation::new("purge by name", End::Purged, |_| (json!({}), json!({"state": "absent", "purge": true}))).by_name(),
    Operation::new("adopt", End::Running, |_| (json!({}), json!({}))),
];
