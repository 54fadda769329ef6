//! What is meant: a task's options, parsed once into values that can only be right.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use super::capacity::Capacity;
use super::code::Code;
use super::directory::{Directory, Mode};
use super::environment::{self, Environment};
use super::image::ImageRef;
use super::limits::{Limits, LimitsWish};
use super::name::Name;
use super::proxy::Proxy;
use super::qualys_url::QualysUrl;
use super::restart_policy::RestartPolicy;
use crate::error::{Error, Result};
use crate::protocol::arguments::{Arguments, Overcommit, Pull, Recreate, State};
use crate::secret::{self, Secret};

/// One task for one scanner.
#[derive(Debug)]
pub struct Request {
    /// Whom it is about.
    pub name: Name,
    /// The whole scanner, or `None` when only the run state of an existing one is managed.
    pub desired: Option<Desired>,
    /// What to do with it.
    pub wish: Wish,
    /// Limits of `desired` that are still percentages of a host that was not looked at yet.
    relative_limits: Option<LimitsWish>,
}

/// The scanner as it shall be; one field for each thing that is compared ([`super::compare`]).
#[derive(Debug, Clone)]
pub struct Desired {
    /// Its credential, and the name of its private directory.
    pub code: Code,
    /// Its platform.
    pub url: QualysUrl,
    /// Its image.
    pub image: ImageRef,
    /// Shared by all scanners of the host.
    pub shared_dir: Directory,
    /// Holds one directory for each code.
    pub private_dir: Directory,
    /// Of `<private_dir>/<code>`, when enforced.
    pub private_dir_mode: Option<Mode>,
    /// Memory, swap, CPUs.
    pub limits: Limits,
    /// The proxy to the platform.
    pub proxy: Option<Proxy>,
    /// Seconds between two polls for jobs.
    pub polling_interval: Option<i64>,
    /// Minutes between two looks for updates.
    pub update_interval: Option<i64>,
    /// Minutes between two synchronisations with the platform.
    pub refresh_interval: Option<i64>,
    /// A private root CA.
    pub ca_dir: Option<Directory>,
    /// The network; `None`: whatever it has.
    pub network: Option<String>,
    /// Further variables.
    pub env: Environment,
    /// `None`: whatever it has.
    pub restart_policy: Option<RestartPolicy>,
    /// `None`: whatever it has.
    pub privileged: Option<bool>,
    /// Labels to hold among others.
    pub labels: BTreeMap<String, String>,
}

/// What a task wants done, beside how the scanner shall look.
#[derive(Debug, Clone)]
pub struct Wish {
    /// The state to reach.
    pub state: State,
    /// Whether replacing is allowed, or asked for.
    pub recreate: Recreate,
    /// Restart a running scanner that needs no other change.
    pub restart: bool,
    /// Delete the private directory with the scanner.
    pub purge: bool,
    /// When to pull.
    pub pull: Pull,
    /// Where the image is loaded from when it is not there.
    pub image_archive: Option<PathBuf>,
    /// For pulls; `None`: what the host's docker configuration has.
    pub credentials: Option<Credentials>,
    /// What to do when the host's resources do not suffice.
    pub overcommit: Overcommit,
    /// How long a started scanner must stay up; zero: not looked at.
    pub settle: Duration,
    /// Seconds between SIGTERM and SIGKILL; `None`: the container's own, else the engine's 10.
    pub stop_timeout: Option<i32>,
}

/// A registry's user.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// Not secret.
    pub username: String,
    /// Secret.
    pub password: Secret,
}

impl Credentials {
    fn parse(arguments: &Arguments) -> Option<Self> {
        let (username, password) = (arguments.registry_username.as_ref()?, arguments.registry_password.as_ref()?);
        (!username.is_empty()).then(|| Self { username: username.clone(), password: Secret::new(password) })
    }
}

/// What may be given when only the run state is managed.
const RUN_STATE_OPTIONS: &[&str] =
    &["name", "overcommit", "state", "restart", "purge", "settle", "stop_timeout", "docker_host", "timeout"];

impl Request {
    /// What `arguments` mean.
    pub fn parse(arguments: &Arguments) -> Result<Self> {
        let name = Name::parse(arguments.name.as_deref().unwrap_or_default())?;
        let mut relative_limits = None;
        let desired = if let (Some(code), Some(url), Some(image)) =
            (&arguments.personalization_code, &arguments.qualys_url, &arguments.image)
        {
            let limits = LimitsWish::parse(
                arguments.memory.as_deref(),
                arguments.memory_swap.as_deref(),
                arguments.cpus.as_deref(),
            )?;
            relative_limits = Some(limits).filter(LimitsWish::is_relative);
            let known = if limits.is_relative() { Limits::default() } else { limits.resolve(&Capacity::default())? };
            Some(Desired::parse(arguments, code, url, image, known)?)
        } else {
            refuse_configuration(&arguments.given)?;
            None
        };
        Ok(Self { name, desired, wish: Wish::parse(arguments)?, relative_limits })
    }

    /// Whether [`Self::resolve`] must be called before the limits mean anything.
    pub const fn needs_capacity(&self) -> bool {
        self.relative_limits.is_some()
    }

    /// Turns percentages into the limits that they mean on a host of this `capacity`.
    pub fn resolve(&mut self, capacity: &Capacity) -> Result<()> {
        if let (Some(desired), Some(limits)) = (&mut self.desired, self.relative_limits.take()) {
            desired.limits = limits.resolve(capacity)?;
        }
        Ok(())
    }
}

impl Desired {
    fn parse(arguments: &Arguments, code: &str, url: &str, image: &str, limits: Limits) -> Result<Self> {
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let desired = Self {
            code: Code::parse(code)?,
            url: QualysUrl::parse(url)?,
            image: ImageRef::parse(image)?,
            shared_dir: Directory::parse("shared_dir", &arguments.shared_dir)?,
            private_dir: Directory::parse("private_dir", &arguments.private_dir)?,
            private_dir_mode: given(&arguments.private_dir_mode).map(|mode| Mode::parse(&mode)).transpose()?,
            limits,
            proxy: given(&arguments.https_proxy).map(|proxy| Proxy::parse(&proxy)).transpose()?,
            polling_interval: in_range("polling_interval", arguments.polling_interval, 30, 180, "seconds")?,
            update_interval: in_range("update_interval", arguments.update_interval, 30, 240, "minutes")?,
            refresh_interval: in_range("refresh_interval", arguments.refresh_interval, 10, 360, "minutes")?,
            ca_dir: given(&arguments.ca_dir).map(|path| Directory::parse("ca_dir", &path)).transpose()?,
            network: given(&arguments.network).map(|network| parse_network(&network)).transpose()?,
            env: parse_env(arguments.env.as_ref())?,
            restart_policy: given(&arguments.restart_policy).map(|policy| RestartPolicy::parse(&policy)).transpose()?,
            privileged: arguments.privileged,
            labels: texts("labels", arguments.labels.as_ref())?,
        };
        refuse_shared_in(&desired.identity_dir(), desired.shared_dir.as_str())?;
        Ok(desired)
    }

    /// `<private_dir>/<code>`: the scanner's identity is in it.
    pub fn identity_dir(&self) -> Directory {
        self.private_dir.join(self.code.expose())
    }

    /// The variables that the scanner is run with, beside those of its image.
    pub fn variables(&self) -> Environment {
        let Self {
            code,
            url,
            image: _,
            shared_dir: _,
            private_dir: _,
            private_dir_mode: _,
            limits: _,
            proxy,
            polling_interval,
            update_interval,
            refresh_interval,
            ca_dir: _,
            network: _,
            env,
            restart_policy: _,
            privileged: _,
            labels: _,
        } = self;
        let mut variables = env.clone();
        variables.set(environment::CODE, code.expose());
        variables.set(environment::URL, url.as_str());
        if let Some(proxy) = proxy {
            variables.set(environment::PROXY, proxy.expose());
        }
        for (name, interval) in [
            (environment::POLLING_INTERVAL, polling_interval),
            (environment::UPDATE_INTERVAL, update_interval),
            (environment::REFRESH_INTERVAL, refresh_interval),
        ] {
            if let Some(interval) = interval {
                variables.set(name, interval.to_string());
            }
        }
        variables
    }
}

impl Wish {
    fn parse(arguments: &Arguments) -> Result<Self> {
        let settle = Duration::try_from_secs_f64(arguments.settle)
            .ok()
            .filter(|settle| settle.as_secs() <= 3600)
            .ok_or_else(|| Error::invalid(format!("settle must be 0 to 3600 seconds, got: `{}`", arguments.settle)))?;
        let stop_timeout = in_range("stop_timeout", arguments.stop_timeout, 0, 86_400, "seconds")?;
        Ok(Self {
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
            credentials: Credentials::parse(arguments),
            overcommit: arguments.overcommit,
            settle,
            stop_timeout: stop_timeout.and_then(|seconds| i32::try_from(seconds).ok()),
        })
    }
}

/// Refuses a task of which two scanners claim one name, code or private directory.
pub fn refuse_twins(requests: &[Request]) -> Result<()> {
    for (at, one) in requests.iter().enumerate() {
        for other in requests.iter().skip(at + 1) {
            let both = one.desired.as_ref().zip(other.desired.as_ref());
            let what = if one.name == other.name {
                "name"
            } else if both.is_some_and(|(a, b)| a.code == b.code) {
                "personalization_code"
            } else if both.is_some_and(|(a, b)| a.identity_dir() == b.identity_dir()) {
                "private_dir"
            } else {
                continue;
            };
            return Err(Error::invalid(format!(
                "two entries of scanners have the same {what}; give each its own: `{}` and `{}`",
                one.name, other.name
            )));
        }
    }
    Ok(())
}

/// A purge deletes the identity and never what all scanners share, so that must be elsewhere.
pub fn refuse_shared_in(identity_dir: &Directory, shared_dir: &str) -> Result<()> {
    if !identity_dir.contains(shared_dir) {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "shared_dir must not be the scanner's private directory <private_dir>/<personalization_code> or in it; \
         choose another path, got: `{shared_dir}`"
    )))
}

fn refuse_configuration(given: &BTreeSet<&'static str>) -> Result<()> {
    let refused: Vec<_> = given.iter().filter(|name| !RUN_STATE_OPTIONS.contains(name)).copied().collect();
    if refused.is_empty() {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "without personalization_code, qualys_url and image only the run state of an existing scanner is managed; \
         give all three, or leave out: {}",
        refused.join(", ")
    )))
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
    for (name, value) in texts("env", env)? {
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

/// The entries of a dict option whose values must be texts: YAML would turn `yes`, `010` and `1.10` into something else.
fn texts(option: &str, dict: Option<&BTreeMap<String, Value>>) -> Result<BTreeMap<String, String>> {
    let entries = dict.into_iter().flatten();
    entries
        .map(|(key, value)| match value {
            Value::String(text) => Ok((key.clone(), text.clone())),
            _ => Err(Error::invalid(format!("{option} needs texts as values; put the value in quotes of: `{key}`"))),
        })
        .collect()
}

#[cfg(test)]
pub(crate) mod tests;
