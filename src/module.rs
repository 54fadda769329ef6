//! The module as Ansible calls it: an arguments file in, a reply out, whatever happens in between.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use serde_json::{Map, Value, json};

use crate::engine::DockerHost;
use crate::error::{Error, Kind, Result};
use crate::protocol::arguments::Arguments;
use crate::protocol::invocation::Invocation;
use crate::protocol::options::{OPTIONS, TOGETHER};
use crate::protocol::reply::Reply;
use crate::protocol::validate::{Valid, masked, validate};
use crate::report::Report;
use crate::run::{self, Settings};
use crate::scanner::desired::Request;

/// The longest time that one engine call may be given: a day.
const LONGEST_TIMEOUT: i64 = 86_400;

/// Answers the call whose arguments are in the file at `path`.
#[must_use]
pub fn answer(path: &Path) -> Reply {
    // The panic's own message would end up in the result, and it may hold anything.
    std::panic::set_hook(Box::new(|_| {}));
    catch_unwind(AssertUnwindSafe(|| Invocation::read(path).map(|invocation| call(&invocation)))).map_or_else(
        |_| {
            let message =
                "the module has a defect and gave up; run it again with -vvv and report what the task looks like";
            Reply::failure(&Error::new(Kind::Internal, message))
        },
        |answered| answered.unwrap_or_else(|error| Reply::failure(&error)),
    )
}

fn call(invocation: &Invocation) -> Reply {
    let module = if invocation.module.is_empty() { "qcss_scanner" } else { &invocation.module };
    match validate(module, OPTIONS, TOGETHER, &invocation.options) {
        Ok(valid) => {
            let shown = masked(OPTIONS, &valid.values);
            with_invocation(manage(invocation, valid), &shown)
        }
        Err(error) => with_invocation(Reply::failure(&error), &masked(OPTIONS, &invocation.options)),
    }
}

fn with_invocation(reply: Reply, options: &Map<String, Value>) -> Reply {
    reply.with("invocation", json!({ "module_args": options }))
}

fn manage(invocation: &Invocation, valid: Valid) -> Reply {
    let parsed = Arguments::new(valid.values, valid.given)
        .and_then(|arguments| Ok((Request::parse(&arguments)?, settings(invocation, &arguments)?)));
    let (request, settings) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => return Reply::failure(&error),
    };
    let mut report = Report::default();
    if invocation.options.get("personalization_code").is_some_and(Value::is_number) {
        let warning = "personalization_code came as a number; put it in quotes, a leading zero is lost otherwise";
        report.warn(warning.to_owned());
    }
    let outcome = match runtime() {
        Ok(runtime) => runtime.block_on(run::run(&settings, &request, &mut report)),
        Err(error) => Err(Error::new(Kind::Internal, format!("{error:#}")).into()),
    };
    report.into_reply(&request, settings.check_mode, invocation.diff, &outcome)
}

fn settings(invocation: &Invocation, arguments: &Arguments) -> Result<Settings> {
    let environment = std::env::var("DOCKER_HOST").ok();
    let timeout = u64::try_from(arguments.timeout).ok().filter(|_| (1..=LONGEST_TIMEOUT).contains(&arguments.timeout));
    let timeout = timeout.ok_or_else(|| {
        Error::invalid(format!("timeout must be 1 to {LONGEST_TIMEOUT} seconds, got: `{}`", arguments.timeout))
    })?;
    Ok(Settings {
        docker_host: DockerHost::parse(arguments.docker_host.as_deref(), environment.as_deref())?,
        timeout: Duration::from_secs(timeout),
        check_mode: invocation.check_mode,
    })
}

/// One thread: every engine call waits for the one before it.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start the runtime")
}
