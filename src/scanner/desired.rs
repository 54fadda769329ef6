//! The desired state of a scanner.

use std::collections::BTreeMap;

use super::policy::Policy;
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
    /// The whole scanner, or `None` when only the run state of an existing one is managed.
    pub desired: Option<Desired>,
    /// What to do with it.
    pub policy: Policy,
    /// Limits of `desired` that are percentages of a host whose resources are not known yet.
    pub relative_limits: Option<GivenLimits>,
}

/// The desired scanner; one field for each thing that is compared ([`super::compare`]).
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
}

impl Request {
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
    /// `<private_dir>/<code>`: the scanner's identity is in it.
    pub fn identity_dir(&self) -> Directory {
        self.private_dir.join(self.code.expose())
    }

    /// With these variables as well.
    pub fn with_env(self, env: &Environment) -> Self {
        Self { env: self.env.overlaid(env), ..self }
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
