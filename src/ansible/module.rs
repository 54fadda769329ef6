//! Answers one call by Ansible: an arguments file in, a reply out, also after a panic.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::runtime::Runtime;

use super::info;
use super::invocation::Invocation;
use super::no_log::masked;
use super::options::{INFO_OPTIONS, NO_RULES, OPTIONS, RULES};
use super::reply::Reply;
use super::request;
use super::result::{self, Mode};
use super::syslog;
use super::validate::{Valid, validate};
use crate::engine::{Docker, DockerHost};
use crate::error::{Error, Kind, Result};
use crate::file;
use crate::run::failure::summary;
use crate::run::interrupt::Interrupt;
use crate::run::{self, Settings, process};
use crate::scanner::desired;
use crate::scanner::values::name::Name;

/// The names by which Ansible knows this program.
const MODULE: &str = "qcss_scanner";
const INFO: &str = "qcss_scanner_info";

/// The longest time that one engine call may be given: a day.
const LONGEST_TIMEOUT: i64 = 86_400;

/// Answers the call whose arguments are in the file at `path`.
pub fn answer(path: &Path) -> Reply {
    guarded(|| {
        let runtime = process::harden().map_err(|error| {
            Error::new(Kind::EngineError, format!("cannot start the runtime: {}", file::reason(&error)))
        })?;
        Invocation::read(path).map(|invocation| call(&runtime, &invocation, Path::new(syslog::SOCKET)))
    })
}

/// The reply of `work`, whatever happens in it.
fn guarded(work: impl FnOnce() -> Result<Reply>) -> Reply {
    // The panic's own message may hold a secret, and stderr can end up in the result.
    std::panic::set_hook(Box::new(|_| {}));
    catch_unwind(AssertUnwindSafe(work)).map_or_else(
        |_| {
            let message =
                "the module has a defect and gave up; run it again with -vvv and report what the task looks like";
            Reply::failure(&Error::new(Kind::Internal, message))
        },
        |answered| answered.unwrap_or_else(|error| Reply::failure(&error)),
    )
}

fn call(runtime: &Runtime, invocation: &Invocation, log: &Path) -> Reply {
    let module = if invocation.module.is_empty() { MODULE } else { &invocation.module };
    let (table, rules) = if module == INFO { (INFO_OPTIONS, NO_RULES) } else { (OPTIONS, RULES) };
    // As the user wrote it, with its collection.
    let named = if invocation.log.module.is_empty() { module } else { &invocation.log.module };
    match validate(named, table, rules, &invocation.options) {
        Ok(valid) => {
            let shown = masked(table, &valid.values);
            invocation.log.tell(log, table, &shown);
            let answered = if module == INFO { tell(runtime, &valid) } else { manage(runtime, invocation, valid) };
            with_invocation(answered.unwrap_or_else(|error| Reply::failure(&error)), &shown)
        }
        Err(error) => with_invocation(Reply::failure(&error), &masked(table, &invocation.options)),
    }
}

fn with_invocation(reply: Reply, options: &Map<String, Value>) -> Reply {
    reply.with("invocation", json!({ "module_args": options }))
}

/// `qcss_scanner`.
fn manage(runtime: &Runtime, invocation: &Invocation, valid: Valid) -> Result<Reply> {
    let is_list = valid.entries.is_some();
    let (engine, settings) = (engine(&valid.values)?, settings(&valid.values, invocation.check_mode)?);
    let entries = match valid.entries {
        Some(entries) => entries,
        None => vec![valid],
    };
    let named = |name: String| move |error: Error| if is_list { error.of_scanner(name) } else { error };
    let parsed = entries.into_iter().map(|entry| {
        let name = entry.values.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
        request::parse(entry).map_err(named(name))
    });
    let mut requests = parsed.collect::<Result<Vec<_>>>()?;
    desired::refuse_duplicates(&requests)?;
    let interrupt = Interrupt::default();
    let running = interrupt.listening(run::run(&engine, settings, &mut requests, &interrupt));
    let mut outcome = runtime.block_on(running);
    outcome.warnings.splice(0..0, number_warning(&invocation.options));
    Ok(result::reply(&requests, &outcome, is_list, Mode { check: invocation.check_mode, diff: invocation.diff }))
}

/// `qcss_scanner_info`.
fn tell(runtime: &Runtime, valid: &Valid) -> Result<Reply> {
    let name = valid.values.get("name").and_then(Value::as_str).filter(|name| !name.is_empty());
    let name = name.map(Name::parse).transpose()?;
    let engine = engine(&valid.values)?;
    let found = runtime.block_on(run::info::info(&engine, name.as_ref()));
    Ok(info::reply(&found.map_err(|error| summary(&error))?))
}

/// The engine that a task addresses; nothing is sent yet.
fn engine(values: &Map<String, Value>) -> Result<Docker> {
    let environment = std::env::var_os("DOCKER_HOST");
    let option = values.get("docker_host").and_then(Value::as_str);
    Ok(Docker::new(DockerHost::parse(option, environment.as_deref())?, settings(values, true)?.timeout))
}

/// A code that is a number in YAML has lost its leading zeros before anyone could see them.
fn number_warning(options: &Map<String, Value>) -> Option<String> {
    let entries = options.get("scanners").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_object);
    let mut codes = std::iter::once(options).chain(entries).filter_map(|options| options.get("personalization_code"));
    let warning = "personalization_code came as a number; put it in quotes, a leading zero is lost otherwise";
    codes.any(Value::is_number).then(|| warning.to_owned())
}

fn settings(values: &Map<String, Value>, check_mode: bool) -> Result<Settings> {
    let given = values.get("timeout").and_then(Value::as_i64).unwrap_or_default();
    let timeout = u64::try_from(given).ok().filter(|_| (1..=LONGEST_TIMEOUT).contains(&given));
    let timeout = timeout
        .ok_or_else(|| Error::invalid(format!("timeout must be 1 to {LONGEST_TIMEOUT} seconds, got: `{given}`")))?;
    Ok(Settings { timeout: Duration::from_secs(timeout), check_mode })
}

#[cfg(test)]
mod tests {
    use super::syslog::Log;
    use super::*;
    use std::os::unix::net::UnixDatagram;

    #[test]
    fn a_defect_says_nothing_of_what_it_met() {
        let reply = guarded(|| panic!("canary in a panic"));
        drop(std::panic::take_hook());
        assert_eq!(reply.exit_code(), 1);
        let line = reply.into_line();
        assert!(line.contains(r#""error": "internal""#) || line.contains(r#""error":"internal""#), "{line}");
        assert!(!line.contains("canary"), "{line}");
    }

    #[test]
    fn the_log_is_told_of_what_is_valid_and_of_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("log");
        let listener = UnixDatagram::bind(&socket).unwrap();
        listener.set_nonblocking(true).unwrap();
        let told = |options: Value| {
            let log = Log { module: MODULE.to_owned(), ..Log::default() };
            let Value::Object(options) = options else { panic!("not an object: {options}") };
            // No engine is asked: its address is refused.
            let runtime = process::harden().unwrap();
            let reply = call(&runtime, &Invocation { log, options, ..Invocation::default() }, &socket);
            assert_eq!(reply.exit_code(), 1);
            let mut buffer = [0; 8192];
            listener.recv(&mut buffer).map(|length| String::from_utf8_lossy(&buffer[..length]).into_owned())
        };
        let line = told(json!({"name": "scanner-1", "docker_host": "tcp://127.0.0.1:2375"})).unwrap();
        assert!(line.starts_with("<14>ansible-qcss_scanner: Invoked with name=scanner-1 "), "{line}");
        told(json!({"name": "scanner-1", "nope": 1})).unwrap_err();
    }
}
