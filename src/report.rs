//! What a run found and did, in the words of the result.

use serde::Serialize;
use serde_json::{Value, json};

use crate::apply::Failed;
use crate::protocol::reply::Reply;
use crate::run::Stopped;
use crate::scanner::capacity::Host;
use crate::scanner::command::docker_run;
use crate::scanner::compare::{Comparison, Verdict};
use crate::scanner::desired::{Desired, Request};
use crate::scanner::limits::{Cpus, MemorySwap};
use crate::scanner::observed::{Observed, Status};
use crate::scanner::plan::{Difference, Plan};
use crate::scanner::{environment, mount};

/// Each action's word, what it would be, and what it was.
const ACTIONS: &[(&str, &str, &str)] = &[
    ("create_directory", "create a directory", "created a directory"),
    ("pull_image", "pull the image", "pulled the image"),
    ("load_image", "load the image", "loaded the image"),
    ("create", "create", "created"),
    ("update", "update", "updated"),
    ("replace", "replace", "replaced"),
    ("start", "start", "started"),
    ("stop", "stop", "stopped"),
    ("unpause", "unpause", "unpaused"),
    ("restart", "restart", "restarted"),
    ("remove", "remove", "removed"),
    ("purge_directory", "delete the private directory", "deleted the private directory"),
    ("recover", "recover", "recovered"),
    ("roll_back", "roll back", "rolled back"),
];

/// Collects what the result says of one scanner.
#[derive(Debug, Default)]
pub struct Report {
    /// What was done, or would be in check mode; the stable words.
    pub actions: Vec<&'static str>,
    differences: Vec<Difference>,
    comparisons: Vec<Comparison>,
    container: Option<Container>,
    scanner: Option<Scanner>,
    warnings: Vec<String>,
    /// Whether its turn came and is over, be it with a failure.
    pub finished: bool,
}

/// How the reply shall be.
#[derive(Debug, Clone, Copy)]
pub struct Mode {
    /// Nothing was done, only predicted.
    pub check: bool,
    /// With `diff`.
    pub diff: bool,
}

/// The reply to Ansible of a task for `scanners`: one entry of `results` for each.
#[must_use]
pub fn reply_for_list(
    requests: &[Request],
    reports: Vec<Report>,
    mode: Mode,
    host: Option<Host>,
    outcome: &Result<(), Stopped>,
) -> Reply {
    let (mut results, mut diffs, mut warnings, mut done) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (at, (request, mut report)) in requests.iter().zip(reports).enumerate() {
        let failed = outcome.as_ref().err().filter(|stopped| stopped.at == Some(at)).map(|stopped| &stopped.failed);
        let mut result = report.entry(request, mode, failed);
        if let Some(result) = result.as_object_mut() {
            result.insert("name".to_owned(), request.name.as_str().into());
            if let Some(failed) = failed {
                result.insert("failed".to_owned(), true.into());
                result.insert("msg".to_owned(), failed.error.message.as_str().into());
            } else if !report.finished {
                result.insert("msg".to_owned(), format!("not reached: `{}`", request.name).into());
                // A plan is no action.
                result.insert("actions".to_owned(), json!([]));
                result.insert("changed".to_owned(), false.into());
            } else {
                done.push(format!("`{}`", request.name));
            }
        }
        diffs.push(report.diff(request));
        warnings.append(&mut report.warnings);
        results.push(result);
    }
    let changed = results.iter().filter(|result| result.get("changed") == Some(&Value::Bool(true))).count();
    let would = if mode.check { "would change" } else { "changed" };
    let summary = json!({
        "changed": changed > 0,
        "msg": format!("{would} {changed} of {} scanners", results.len()),
        "results": results,
    });
    let mut reply = Reply::new(&summary);
    if let Some(host) = host {
        reply = reply.with("host", json!(host));
    }
    if mode.diff {
        reply = reply.with("diff", diffs);
    }
    if !warnings.is_empty() {
        reply = reply.with("warnings", warnings);
    }
    if let Err(stopped) = outcome {
        let error = stopped.failed.error.clone();
        let error = match stopped.at.and_then(|at| requests.get(at)) {
            Some(request) => error.of_scanner(&request.name),
            None => error,
        };
        let error = error.and(match (stopped.refused, done.is_empty()) {
            (true, _) => "no scanner was touched".to_owned(),
            (false, true) => "none was done before it".to_owned(),
            (false, false) => format!("done before it: {}", done.join(", ")),
        });
        reply.fail(&error);
        reply = reply.with("rolled_back", stopped.failed.rolled_back);
    }
    reply
}

/// The result's `container`.
#[derive(Debug, Clone, Serialize)]
pub struct Container {
    id: String,
    name: String,
    image: String,
    image_id: String,
    status: &'static str,
    running: bool,
    started_at: Option<String>,
    exit_code: i64,
    restart_count: i64,
}

/// The result's `scanner`; bytes and CPUs, null for no limit.
#[derive(Debug, Clone, Serialize)]
pub struct Scanner {
    category: &'static str,
    memory: Option<u64>,
    swap: Option<u64>,
    cpus: Option<f64>,
    qualys_url: Option<String>,
    shared_dir: Option<String>,
    private_dir: Option<String>,
}

impl Report {
    /// Notes what a plan is about to do, and what is there before it.
    pub fn planned(&mut self, plan: &Plan, observed: Option<&Observed>) {
        if self.differences.is_empty() || !plan.is_empty() {
            self.differences.clone_from(&plan.differences);
            self.comparisons.clone_from(&plan.comparisons);
        }
        self.found(observed);
    }

    /// Notes the container as it is now.
    pub fn found(&mut self, observed: Option<&Observed>) {
        self.container = observed.map(Container::from);
        self.scanner = observed.map(Scanner::from);
    }

    /// Adds a warning, if there is one.
    pub fn warn(&mut self, warning: impl Into<Option<String>>) {
        self.warnings.extend(warning.into());
    }

    /// The reply to Ansible of a task for one scanner.
    #[must_use]
    pub fn into_reply(
        mut self,
        request: &Request,
        mode: Mode,
        host: Option<Host>,
        outcome: &Result<(), Stopped>,
    ) -> Reply {
        let failed = outcome.as_ref().err().map(|stopped| &stopped.failed);
        let mut reply = Reply::new(&self.entry(request, mode, failed));
        if let Some(desired) = &request.desired {
            reply = reply.with("command", docker_run(&request.name, desired));
        }
        if let Some(host) = host {
            reply = reply.with("host", json!(host));
        }
        if mode.diff {
            reply = reply.with("diff", self.diff(request));
        }
        if !self.warnings.is_empty() {
            reply = reply.with("warnings", self.warnings);
        }
        if let Some(failed) = failed {
            reply.fail(&failed.error);
        }
        reply
    }

    /// What the result says of this scanner itself.
    fn entry(&mut self, request: &Request, mode: Mode, failed: Option<&Failed>) -> Value {
        let rolled_back = failed.is_some_and(|failed| failed.rolled_back);
        if rolled_back && !self.actions.contains(&"roll_back") {
            self.actions.push("roll_back");
        }
        if mode.check && self.scanner.is_none() {
            self.scanner = request.desired.as_ref().map(Scanner::from);
        }
        let mut entry = json!({
            "changed": !self.actions.is_empty() && !rolled_back,
            "msg": self.message(request, mode),
            "actions": self.actions,
            "differences": self.differences,
            "container": self.container,
            "scanner": self.scanner,
        });
        if let (Some(_), Some(entry)) = (failed, entry.as_object_mut()) {
            entry.insert("rolled_back".to_owned(), rolled_back.into());
        }
        entry
    }

    fn message(&self, request: &Request, mode: Mode) -> String {
        if self.actions.is_empty() {
            return format!("the scanner is as wanted: `{}`", request.name);
        }
        let mut done: Vec<&str> = Vec::new();
        for action in &self.actions {
            let text = ACTIONS
                .iter()
                .find(|(word, ..)| word == action)
                .map_or(*action, |(_, infinitive, past)| if mode.check { infinitive } else { past });
            if !done.contains(&text) {
                done.push(text);
            }
        }
        let would = if mode.check { "would " } else { "" };
        format!("{would}{}: `{}`", done.join(", "), request.name)
    }

    /// The managed fields before and after, one line each.
    fn diff(&self, request: &Request) -> Value {
        let (mut before, mut after) = (String::new(), String::new());
        let line = |side: &mut String, field: &str, value: &Value| {
            if !value.is_null() && *value != json!({}) {
                let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                side.extend([field, ": ", value.as_str(), "\n"]);
            }
        };
        for field in &self.comparisons {
            // A directory that is missing differs on the host, though its mount is as wanted.
            let on_host = self.differences.iter().find(|it| it.field == field.field && field.verdict == Verdict::Same);
            line(&mut before, field.field, on_host.map_or(&field.before, |difference| &difference.before));
            // A field that is as wanted may be spelled in another way; that is no difference to show.
            let spelled = field.verdict == Verdict::Same && !field.before.is_null() && on_host.is_none();
            line(&mut after, field.field, if spelled { &field.before } else { &field.after });
        }
        let compared = |difference: &&Difference| !self.comparisons.iter().any(|it| it.field == difference.field);
        for difference in self.differences.iter().filter(compared) {
            line(&mut before, difference.field, &difference.before);
            line(&mut after, difference.field, &difference.after);
        }
        json!({"before_header": request.name.as_str(), "after_header": request.name.as_str(), "before": before, "after": after})
    }
}

impl From<&Observed> for Container {
    fn from(observed: &Observed) -> Self {
        Self {
            id: observed.id.clone(),
            name: observed.name.clone(),
            image: observed.image.clone(),
            image_id: observed.image_id.clone(),
            status: observed.status.word(),
            running: observed.status == Status::Running,
            started_at: observed.started_at.clone(),
            exit_code: observed.exit_code,
            restart_count: observed.restart_count,
        }
    }
}

impl From<&Observed> for Scanner {
    fn from(observed: &Observed) -> Self {
        let limits = &observed.limits;
        let parent = |path: &str| path.rsplit_once('/').map(|(parent, _)| parent.to_owned());
        Self {
            category: category(limits.memory, limits.cpus),
            memory: limits.memory,
            swap: swap(limits.memory, limits.memory_swap),
            cpus: limits.cpus.map(Cpus::to_f64),
            qualys_url: observed.env.value(environment::URL).map(str::to_owned),
            shared_dir: observed.mount(mount::SHARED).map(|mount| mount.source.clone()),
            private_dir: observed.mount(mount::PRIVATE).and_then(|mount| parent(&mount.source)),
        }
    }
}

impl From<&Desired> for Scanner {
    fn from(desired: &Desired) -> Self {
        let limits = &desired.limits;
        Self {
            category: category(limits.memory(), limits.cpus),
            memory: limits.memory(),
            swap: swap(limits.memory(), limits.memory_swap()),
            cpus: limits.cpus.map(Cpus::to_f64),
            qualys_url: Some(desired.url.as_str().to_owned()),
            shared_dir: Some(desired.shared_dir.as_str().to_owned()),
            private_dir: Some(desired.private_dir.as_str().to_owned()),
        }
    }
}

/// The vendor's word for a scanner with or without limits.
fn category(memory: Option<u64>, cpus: Option<Cpus>) -> &'static str {
    if memory.is_none() && cpus.is_none() { "unlimited" } else { "limited" }
}

/// Bytes of swap alone.
fn swap(memory: Option<u64>, memory_swap: Option<MemorySwap>) -> Option<u64> {
    match (memory, memory_swap) {
        (Some(memory), Some(MemorySwap::Bytes(both))) => Some(both.saturating_sub(memory)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
