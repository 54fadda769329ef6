//! The desired state of a scanner.

use std::collections::BTreeMap;

use super::given::{Given, Kept};
use super::observed::Observed;
use super::policy::{Policy, Recreate, State};
use super::values::capacity::Capacity;
use super::values::code::Code;
use super::values::directory::{Directory, Mode};
use super::values::environment::{self, Environment};
use super::values::image::ImageRef;
use super::values::limits::{GivenLimits, Limits};
use super::values::name::Name;
use super::values::proxy::Proxy;
use super::values::qualys_url::QualysUrl;
use super::values::restart_policy::RestartPolicy;
use crate::error::{Error, Result};

/// One task for one scanner.
#[derive(Debug)]
pub struct Request {
    /// The scanner's name.
    pub name: Name,
    /// The scanner, where the task describes it as a whole.
    pub desired: Option<Desired>,
    /// What is to be changed of the scanner that is there, where the task does not describe it as a whole; nothing where only
    /// its run state is managed.
    pub adjustment: Option<Given>,
    /// The identity that the task gives, also for a scanner that shall be absent.
    pub identity: Option<Identity>,
    /// What to do with it.
    pub policy: Policy,
    /// Limits of `desired` that are percentages of a host whose resources are not known yet.
    pub relative_limits: Option<GivenLimits>,
    /// The host's resources, once they are known.
    pub capacity: Capacity,
}

/// The identity of a scanner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Its credential.
    pub code: Code,
    /// `<private_dir>/<code>`
    pub directory: Directory,
    /// The task's shared and CA directory, with the options' names: a purge must spare them.
    pub spared: Vec<(&'static str, Directory)>,
}

/// The desired scanner; one field for each thing that is compared ([`super::compare`]).
#[derive(Debug, Clone, PartialEq)]
pub struct Desired {
    /// Its credential, and the name of its private directory.
    pub code: Code,
    /// The identity directory of an adjusted scanner, whatever it is called; `None`: it is `<private_dir>/<code>`.
    pub identity_at: Option<Directory>,
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
    /// The network; `None`: what it has is kept.
    pub network: Option<String>,
    /// Further variables.
    pub env: Environment,
    /// The restart policy; `None`: what it has is kept.
    pub restart_policy: Option<RestartPolicy>,
    /// Whether it is privileged; `None`: what it has is kept.
    pub privileged: Option<bool>,
    /// Labels that it must have among others.
    pub labels: BTreeMap<String, String>,
    /// What an adjusted scanner keeps as it is.
    pub kept: Kept,
}

impl Request {
    /// Whether [`Self::resolve`] must be called before the limits mean anything.
    pub fn needs_capacity(&self) -> bool {
        self.relative_limits.is_some() || self.adjustment.as_ref().is_some_and(|it| it.limits.is_relative())
    }

    /// The scanner as the task wants it, given the one that is there: `None` where it shall be absent, where only its run state
    /// is managed, and where there is none to adjust.
    pub fn desired_for(&self, observed: Option<&Observed>) -> Result<Option<Desired>> {
        if self.policy.state == State::Absent {
            return Ok(None);
        }
        let is_adjusted = |given: &Given| !given.is_empty() || self.policy.recreate == Recreate::Always;
        match (&self.adjustment, observed.filter(|it| it.is_scanner())) {
            (Some(given), Some(observed)) if is_adjusted(given) => given.adjusted(observed, &self.capacity).map(Some),
            _ => Ok(self.desired.clone()),
        }
    }

    /// The image that the task names.
    pub fn image(&self) -> Option<&ImageRef> {
        let of_whole = self.desired.as_ref().map(|desired| &desired.image);
        of_whole.or_else(|| self.adjustment.as_ref()?.image.as_ref()).filter(|_| self.policy.state != State::Absent)
    }

    /// Turns percentages into the limits that they mean on a host of this `capacity`.
    pub fn resolve(&mut self, capacity: &Capacity) -> Result<()> {
        if let (Some(desired), Some(limits)) = (&mut self.desired, self.relative_limits.take()) {
            desired.limits = limits.resolve(capacity)?;
        }
        self.capacity = *capacity;
        Ok(())
    }
}

impl Desired {
    /// `<private_dir>/<code>`: the scanner's identity is in it.
    pub fn identity_dir(&self) -> Directory {
        self.identity_at.clone().unwrap_or_else(|| self.private_dir.join(self.code.expose()))
    }

    /// With these variables as well.
    pub fn with_env(self, env: &Environment) -> Self {
        Self { env: self.env.overlaid(env), ..self }
    }

    /// The variables that the scanner is run with, beside those of its image.
    pub fn variables(&self) -> Environment {
        let Self {
            code,
            identity_at: _,
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
            kept: _, // among those of `env`
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

/// Refuses a task in which two scanners have the same name or code, or one private directory or one in the other, as far as the
/// spelling tells ([`super::path_rules`]).
pub fn refuse_duplicates(requests: &[Request]) -> Result<()> {
    for (at, one) in requests.iter().enumerate() {
        for other in requests.iter().skip(at + 1) {
            let both = one.desired.as_ref().zip(other.desired.as_ref());
            let what = if one.name == other.name {
                "the same name"
            } else if both.is_some_and(|(a, b)| a.code == b.code) {
                "the same personalization_code"
            } else if both.is_some_and(|(a, b)| is_nested(&a.identity_dir(), &b.identity_dir())) {
                "private directories one inside the other"
            } else {
                continue;
            };
            return Err(Error::invalid(format!(
                "two entries of scanners have {what}; give each its own: `{}` and `{}`",
                one.name, other.name
            )));
        }
    }
    Ok(())
}

fn is_nested(one: &Directory, other: &Directory) -> bool {
    one.contains(other.as_str()) || other.contains(one.as_str())
}
