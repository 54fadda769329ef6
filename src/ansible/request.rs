//! From validated options to a request: each value is parsed once, into a type that can only hold valid ones.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use super::arguments::Arguments;
use super::validate::Valid;
use crate::error::{Error, Result};
use crate::scanner::desired::{Identity, Request};
use crate::scanner::given::Given;
use crate::scanner::policy::{Credentials, Policy, State};
use crate::scanner::values::capacity::Capacity;
use crate::scanner::values::code::Code;
use crate::scanner::values::directory::{Directory, Mode};
use crate::scanner::values::environment::{self, Environment};
use crate::scanner::values::image::ImageRef;
use crate::scanner::values::limits::GivenLimits;
use crate::scanner::values::name::Name;
use crate::scanner::values::proxy::Proxy;
use crate::scanner::values::qualys_url::QualysUrl;
use crate::scanner::values::restart_policy::RestartPolicy;
use crate::secret::{self, Secret};

/// The labels that say what a replacement is about.
const RESERVED_LABELS: &str = "qcss_scanner.";

/// The request that the `valid` options of one scanner describe.
pub fn parse(valid: Valid) -> Result<Request> {
    let arguments = &Arguments::new(valid.values, valid.given)?;
    let mut request = Request {
        name: Name::parse(arguments.name.as_deref().unwrap_or_default())?,
        desired: None,
        adjustment: None,
        identity: None,
        policy: parse_policy(arguments)?,
        relative_limits: None,
        capacity: Capacity::default(),
    };
    let mut given = parse_given(arguments)?;
    if let Some(code) = &arguments.personalization_code {
        let code = Code::parse(code)?;
        let private_dir = Directory::parse("private_dir", &arguments.private_dir)?;
        let shared_dir = Directory::parse("shared_dir", &arguments.shared_dir)?;
        let ca_dir = given.ca_dir.iter().map(|path| ("ca_dir", path.clone()));
        request.identity = Some(Identity {
            code: code.clone(),
            directory: private_dir.join(code.expose()),
            spared: ca_dir.chain([("shared_dir", shared_dir.clone())]).collect(),
        });
        let relative = given.limits.is_relative().then(|| std::mem::take(&mut given.limits));
        request.desired = given.whole(code, shared_dir, private_dir)?;
        request.relative_limits = relative.filter(|_| request.desired.is_some());
    } else if request.policy.state != State::Absent {
        request.adjustment = Some(given);
    }
    Ok(request)
}

/// The options that describe the scanner; a default counts as not given.
fn parse_given(arguments: &Arguments) -> Result<Given> {
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let directory = |option: &'static str, text: &str| {
        let is_given = arguments.given.contains(option);
        is_given.then(|| Directory::parse(option, text)).transpose()
    };
    Ok(Given {
        url: arguments.qualys_url.as_deref().map(QualysUrl::parse).transpose()?,
        image: arguments.image.as_deref().map(ImageRef::parse).transpose()?,
        shared_dir: directory("shared_dir", &arguments.shared_dir)?,
        private_dir: directory("private_dir", &arguments.private_dir)?,
        private_dir_mode: given(&arguments.private_dir_mode).map(|mode| Mode::parse(&mode)).transpose()?,
        limits: GivenLimits::parse(
            arguments.memory.as_deref(),
            arguments.memory_swap.as_deref(),
            arguments.cpus.as_deref(),
        )?,
        proxy: given(&arguments.https_proxy).map(|proxy| Proxy::parse(&proxy)).transpose()?,
        polling_interval: in_range("polling_interval", arguments.polling_interval, 30, 180, "seconds")?,
        update_interval: in_range("update_interval", arguments.update_interval, 30, 240, "minutes")?,
        refresh_interval: in_range("refresh_interval", arguments.refresh_interval, 10, 360, "minutes")?,
        ca_dir: given(&arguments.ca_dir).map(|path| Directory::parse("ca_dir", &path)).transpose()?,
        network: given(&arguments.network).map(|network| parse_network(&network)).transpose()?,
        env: parse_env(arguments.env.as_ref())?,
        restart_policy: given(&arguments.restart_policy).map(|policy| RestartPolicy::parse(&policy)).transpose()?,
        privileged: arguments.privileged,
        labels: parse_labels(arguments.labels.as_ref())?,
    })
}

fn parse_policy(arguments: &Arguments) -> Result<Policy> {
    let settle = Duration::try_from_secs_f64(arguments.settle)
        .ok()
        .filter(|settle| settle.as_secs() <= 3600)
        .ok_or_else(|| Error::invalid(format!("settle must be 0 to 3600 seconds, got: `{}`", arguments.settle)))?;
    let stop_timeout = in_range("stop_timeout", arguments.stop_timeout, 0, 86_400, "seconds")?;
    Ok(Policy {
        state: arguments.state,
        recreate: arguments.recreate,
        restart: arguments.restart,
        purge: arguments.purge,
        pull: arguments.pull,
        image_archive: arguments
            .image_archive
            .as_deref()
            .filter(|path| !path.is_empty())
            .map(parse_archive)
            .transpose()?,
        credentials: parse_credentials(arguments),
        overcommit: arguments.overcommit,
        settle,
        stop_timeout: stop_timeout.and_then(|seconds| i32::try_from(seconds).ok()),
    })
}

fn parse_credentials(arguments: &Arguments) -> Option<Credentials> {
    let (username, password) = (arguments.registry_username.as_ref()?, arguments.registry_password.as_ref()?);
    (!username.is_empty()).then(|| Credentials { username: username.clone(), password: Secret::new(password) })
}

fn in_range(option: &str, value: Option<i64>, least: i64, most: i64, unit: &str) -> Result<Option<i64>> {
    match value {
        Some(value) if !(least..=most).contains(&value) => {
            Err(Error::invalid(format!("{option} must be {least} to {most} {unit}, got: `{value}`")))
        }
        value => Ok(value),
    }
}

fn parse_archive(text: &str) -> Result<PathBuf> {
    if text.starts_with('/') && !text.contains('\0') {
        return Ok(PathBuf::from(text));
    }
    Err(Error::invalid(format!("image_archive must be an absolute path on the Docker host, got: `{text}`")))
}

fn parse_network(text: &str) -> Result<String> {
    let valid = text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
    if valid {
        return Ok(text.to_owned());
    }
    Err(Error::invalid(format!("network must be the name of a docker network, got: `{text}`")))
}

fn parse_env(env: Option<&BTreeMap<String, Value>>) -> Result<Environment> {
    let mut parsed = Environment::default();
    for (name, value) in strings("env", env)? {
        if let Some((_, option)) = environment::OWNED.iter().find(|(owned, _)| *owned == name) {
            return Err(Error::invalid(format!(
                "env must not name a variable that an option owns; use {option} instead of `{name}`"
            )));
        }
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            return Err(Error::invalid(format!(
                "env needs names without `=` and names and values without NUL, got: `{name}`"
            )));
        }
        secret::remember_value(&value);
        parsed.set(&name, value);
    }
    Ok(parsed)
}

fn parse_labels(labels: Option<&BTreeMap<String, Value>>) -> Result<BTreeMap<String, String>> {
    let labels = strings("labels", labels)?;
    match labels.keys().find(|label| label.starts_with(RESERVED_LABELS)) {
        Some(reserved) => Err(Error::invalid(format!(
            "labels must not begin with {RESERVED_LABELS}, which this module keeps for its own; choose another name than: \
             `{reserved}`"
        ))),
        None => Ok(labels),
    }
}

/// The entries of a dict option whose values must be strings: YAML would turn `yes`, `010` and `1.10` into something else.
fn strings(option: &str, dict: Option<&BTreeMap<String, Value>>) -> Result<BTreeMap<String, String>> {
    let entries = dict.into_iter().flatten();
    entries
        .map(|(key, value)| match value {
            Value::String(text) => Ok((key.clone(), text.clone())),
            _ => Err(Error::invalid(format!("{option} needs strings as values; put the value in quotes of: `{key}`"))),
        })
        .collect()
}

#[cfg(test)]
mod tests;
