//! From the outcome of a run to the keys of the result.

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::ansible::reply::Reply;
use crate::run::failure::summary;
use crate::run::outcome::{LastLook, Outcome, ScannerOutcome};
use crate::scanner::command::docker_run;
use crate::scanner::compare::Verdict;
use crate::scanner::desired::{Desired, Request};
use crate::scanner::difference::Difference;
use crate::scanner::observed::{Observed, Status};
use crate::scanner::values::limits::{Cpus, MemorySwap};
use crate::scanner::values::{environment, mount};

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

/// Ansible's modes that change the reply.
#[derive(Debug, Clone, Copy)]
pub struct Mode {
    /// Check mode: nothing was done, only predicted.
    pub check: bool,
    /// With `diff`.
    pub diff: bool,
}

/// The reply to Ansible of a task for the scanners of `requests`: with a list (`is_list`) one entry of `results` for each.
pub fn reply(requests: &[Request], outcome: &Outcome, is_list: bool, mode: Mode) -> Reply {
    let Outcome { scanners, host, warnings, failure } = outcome;
    let error = failure.as_ref().map(|failed| summary(&failed.error));
    let failed_at = failure.as_ref().and_then(|failed| failed.at);
    let entries: Vec<_> = requests.iter().zip(scanners).map(|(request, it)| entry(request, it, mode)).collect();
    let diffs = requests.iter().zip(scanners).map(|(request, it)| diff(request, it));
    let mut body = if is_list {
        let mut results = entries;
        for (at, (result, scanner)) in results.iter_mut().zip(scanners).enumerate() {
            let name = requests.get(at).map(|request| request.name.as_str()).unwrap_or_default();
            result.insert("name".to_owned(), name.into());
            if let Some(error) = error.as_ref().filter(|_| failed_at == Some(at)) {
                result.insert("failed".to_owned(), true.into());
                result.insert("msg".to_owned(), error.message.as_str().into());
            } else if !scanner.reached {
                result.insert("msg".to_owned(), format!("not reached: `{name}`").into());
            }
        }
        let changed = scanners.iter().filter(|it| it.changed).count();
        let would = if mode.check { "would change" } else { "changed" };
        let msg = format!("{would} {changed} of {} scanners", results.len());
        Map::from_iter([
            ("changed".to_owned(), Value::from(changed > 0)),
            ("msg".to_owned(), msg.into()),
            ("results".to_owned(), results.into_iter().map(Value::from).collect()),
        ])
    } else {
        entries.into_iter().next().unwrap_or_default()
    };
    if let Some(host) = host {
        body.insert("host".to_owned(), json!(host));
    }
    if mode.diff {
        let diffs: Vec<_> = diffs.collect();
        let diff = if is_list { Value::from(diffs) } else { diffs.into_iter().next().unwrap_or_default() };
        body.insert("diff".to_owned(), diff);
    }
    if !warnings.is_empty() {
        body.insert("warnings".to_owned(), json!(warnings));
    }
    let rolled_back = failed_at.and_then(|at| scanners.get(at)).and_then(|it| it.rolled_back);
    if let Some(rolled_back) = rolled_back {
        body.insert("rolled_back".to_owned(), rolled_back.into());
    }
    let mut reply = Reply::new(&body);
    if let (Some(mut error), Some(failed)) = (error, failure) {
        if is_list {
            if let Some(request) = failed.at.and_then(|at| requests.get(at)) {
                error = error.of_scanner(&request.name);
            }
            let done = requests.iter().zip(scanners).enumerate();
            let done = done.filter(|(at, (_, it))| it.reached && failed.at != Some(*at));
            let done: Vec<_> = done.map(|(_, (request, _))| format!("`{}`", request.name)).collect();
            error = error.and(match (failed.refused, done.is_empty()) {
                (true, _) => "no scanner was touched".to_owned(),
                (false, true) => "none was done before it".to_owned(),
                (false, false) => format!("done before it: {}", done.join(", ")),
            });
        }
        reply.fail(&error);
    }
    reply
}

/// The keys for one scanner.
fn entry(request: &Request, outcome: &ScannerOutcome, mode: Mode) -> Map<String, Value> {
    let ScannerOutcome {
        differences,
        comparisons: _,
        warnings: _,
        desired,
        actions,
        changed,
        rolled_back,
        container,
        reached: _,
    } = outcome;
    let mut entry = Map::from_iter([
        ("changed".to_owned(), Value::from(*changed)),
        ("msg".to_owned(), message(request, actions, mode).into()),
        ("actions".to_owned(), json!(actions)),
        ("differences".to_owned(), json!(differences)),
    ]);
    let would_be = || request.desired.as_ref().filter(|_| mode.check).map(Scanner::from);
    let shown = match container {
        LastLook::Unknown => None,
        LastLook::Missing => Some((None, would_be())),
        LastLook::There(observed) => Some((Some(Container::from(&**observed)), Some(Scanner::from(&**observed)))),
    };
    if let Some((container, scanner)) = shown {
        entry.insert("container".to_owned(), json!(container));
        entry.insert("scanner".to_owned(), json!(scanner));
    }
    if let Some(desired) = desired.as_ref().or(request.desired.as_ref()) {
        entry.insert("command".to_owned(), docker_run(&request.name, desired).into());
    }
    if let Some(rolled_back) = rolled_back {
        entry.insert("rolled_back".to_owned(), (*rolled_back).into());
    }
    entry
}

fn message(request: &Request, actions: &[&str], mode: Mode) -> String {
    if actions.is_empty() {
        return format!("the scanner is already in the desired state: `{}`", request.name);
    }
    let mut done: Vec<&str> = Vec::new();
    for action in actions {
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
fn diff(request: &Request, outcome: &ScannerOutcome) -> Value {
    let ScannerOutcome { differences, comparisons, .. } = outcome;
    let (mut before, mut after) = (String::new(), String::new());
    let line = |side: &mut String, field: &str, value: &Value| {
        if !value.is_null() && *value != json!({}) {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            side.extend([field, ": ", value.as_str(), "\n"]);
        }
    };
    for field in comparisons {
        // A missing directory is a difference on the host, though its mount is in the desired state.
        let on_host = differences.iter().find(|it| it.field == field.field && field.verdict == Verdict::Same);
        line(&mut before, field.field, on_host.map_or(&field.before, |difference| &difference.before));
        // A field in the desired state may be spelled in another way, which `diff` must not show.
        let spelled = field.verdict == Verdict::Same && !field.before.is_null() && on_host.is_none();
        line(&mut after, field.field, if spelled { &field.before } else { &field.after });
    }
    let compared = |difference: &&Difference| !comparisons.iter().any(|it| it.field == difference.field);
    for difference in differences.iter().filter(compared) {
        line(&mut before, difference.field, &difference.before);
        line(&mut after, difference.field, &difference.after);
    }
    json!({"before_header": request.name.as_str(), "after_header": request.name.as_str(), "before": before, "after": after})
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

impl From<&Observed> for Container {
    fn from(observed: &Observed) -> Self {
        Self {
            id: observed.id.clone(),
            name: observed.name.clone(),
            image: observed.image.clone(),
            image_id: observed.image_id.clone(),
            status: observed.status.word(),
            running: observed.status == Status::Running,
            started_at: observed.started_at.as_ref().map(ToString::to_string),
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
