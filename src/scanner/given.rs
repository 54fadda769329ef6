//! The options that a task gives, and the two ways in which they describe a scanner: with a code they are the whole scanner,
//! without one they adjust the scanner that is there.

use std::collections::{BTreeMap, BTreeSet};

use super::desired::Desired;
use super::observed::Observed;
use super::values::capacity::Capacity;
use super::values::code::Code;
use super::values::directory::{Directory, Mode};
use super::values::environment::{self, Environment};
use super::values::image::ImageRef;
use super::values::limits::GivenLimits;
use super::values::mount;
use super::values::proxy::Proxy;
use super::values::qualys_url::QualysUrl;
use super::values::restart_policy::RestartPolicy;
use crate::error::{Error, Result};

/// The options that describe a scanner, each `None` or empty where the task does not give it.
#[derive(Debug, Clone, Default)]
pub struct Given {
    /// `qualys_url`
    pub url: Option<QualysUrl>,
    /// `image`
    pub image: Option<ImageRef>,
    /// `shared_dir`
    pub shared_dir: Option<Directory>,
    /// `private_dir`
    pub private_dir: Option<Directory>,
    /// `private_dir_mode`
    pub private_dir_mode: Option<Mode>,
    /// `memory`, `memory_swap`, `cpus`
    pub limits: GivenLimits,
    /// `https_proxy`
    pub proxy: Option<Proxy>,
    /// `polling_interval`, in seconds
    pub polling_interval: Option<i64>,
    /// `update_interval`, in minutes
    pub update_interval: Option<i64>,
    /// `refresh_interval`, in minutes
    pub refresh_interval: Option<i64>,
    /// `ca_dir`
    pub ca_dir: Option<Directory>,
    /// `network`
    pub network: Option<String>,
    /// `env`
    pub env: Environment,
    /// `restart_policy`
    pub restart_policy: Option<RestartPolicy>,
    /// `privileged`
    pub privileged: Option<bool>,
    /// `labels`
    pub labels: BTreeMap<String, String>,
}

/// The options that an adjusted scanner keeps as they are; none of a scanner that is described as a whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kept(BTreeSet<&'static str>);

impl Kept {
    /// Whether `option` is one of them.
    pub fn contains(&self, option: &str) -> bool {
        self.0.contains(option)
    }

    /// Whether what is mounted at `destination` is.
    pub fn contains_mount(&self, destination: &str) -> bool {
        match destination {
            mount::SHARED => self.contains("shared_dir"),
            mount::PRIVATE => self.contains("private_dir"),
            mount::CA => self.contains("ca_dir"),
            _ => false,
        }
    }
}

impl Given {
    /// The names of what is given, `private_dir` aside: beside no code it changes nothing.
    fn named(&self) -> BTreeSet<&'static str> {
        let Self {
            url,
            image,
            shared_dir,
            private_dir: _,
            private_dir_mode,
            limits,
            proxy,
            polling_interval,
            update_interval,
            refresh_interval,
            ca_dir,
            network,
            env,
            restart_policy,
            privileged,
            labels,
        } = self;
        let all = [
            ("qualys_url", url.is_some()),
            ("image", image.is_some()),
            ("shared_dir", shared_dir.is_some()),
            ("private_dir_mode", private_dir_mode.is_some()),
            ("memory", limits.has_memory()),
            ("memory_swap", limits.has_memory() || limits.has_memory_swap()),
            ("cpus", limits.has_cpus()),
            ("https_proxy", proxy.is_some()),
            ("polling_interval", polling_interval.is_some()),
            ("update_interval", update_interval.is_some()),
            ("refresh_interval", refresh_interval.is_some()),
            ("ca_dir", ca_dir.is_some()),
            ("network", network.is_some()),
            ("env", env.iter().next().is_some()),
            ("restart_policy", restart_policy.is_some()),
            ("privileged", privileged.is_some()),
            ("labels", !labels.is_empty()),
        ];
        all.into_iter().filter(|(_, is_given)| *is_given).map(|(name, _)| name).collect()
    }

    /// Whether the task manages nothing but the run state.
    pub fn is_empty(&self) -> bool {
        self.named().is_empty()
    }

    /// The scanner that these options describe as a whole, for `code` and with these directories, given or not; `None`: there
    /// is no URL or no image, which only one that shall be absent can do without.
    pub fn whole(self, code: Code, shared_dir: Directory, private_dir: Directory) -> Result<Option<Desired>> {
        let Some((url, image)) = self.url.zip(self.image) else { return Ok(None) };
        Ok(Some(Desired {
            code,
            identity_at: None,
            url,
            image,
            shared_dir,
            private_dir,
            private_dir_mode: self.private_dir_mode,
            limits: self.limits.resolve(&Capacity::default())?,
            proxy: self.proxy,
            polling_interval: self.polling_interval,
            update_interval: self.update_interval,
            refresh_interval: self.refresh_interval,
            ca_dir: self.ca_dir,
            network: self.network,
            env: self.env,
            restart_policy: self.restart_policy,
            privileged: self.privileged,
            labels: self.labels,
            kept: Kept::default(),
        }))
    }

    /// What the scanner in the container `observed` is when these options are brought about and everything else is kept.
    pub fn adjusted(&self, observed: &Observed, capacity: &Capacity) -> Result<Desired> {
        let lacks = |what: &str| {
            Error::invalid(format!(
                "the scanner has no {what}, so that it is no whole one and cannot be adjusted; describe it with \
                 personalization_code, qualys_url and image: `{}`",
                observed.name
            ))
        };
        let source = |destination: &str| {
            let mount = observed.mount(destination);
            let parsed = mount.map(|mount| Directory::parse("directory", &mount.source).ok());
            parsed.flatten().ok_or_else(|| lacks(&format!("mount at {destination}")))
        };
        let variable = |name: &str| observed.env.value(name).ok_or_else(|| lacks(name));
        let code = Code::observed(variable(environment::CODE)?);
        let identity = source(mount::PRIVATE)?;
        let mut env = observed.env.beside(observed.image_env.as_ref());
        if observed.podman {
            env = env.without_podmans(&self.env);
        }
        for (name, value) in self.env.iter() {
            env.set(name, value);
        }
        let all = OPTIONS.iter().copied();
        let named = self.named();
        Ok(Desired {
            code,
            private_dir: identity.parent(),
            identity_at: Some(identity),
            url: match &self.url {
                Some(url) => url.clone(),
                None => QualysUrl::observed(variable(environment::URL)?),
            },
            image: self.image.clone().unwrap_or_else(|| ImageRef::observed(&observed.image)),
            shared_dir: self.shared_dir.clone().map_or_else(|| source(mount::SHARED), Ok)?,
            private_dir_mode: self.private_dir_mode,
            limits: self.limits.resolve_over(&observed.limits, capacity)?,
            proxy: self.proxy.clone(),
            polling_interval: self.polling_interval,
            update_interval: self.update_interval,
            refresh_interval: self.refresh_interval,
            ca_dir: self.ca_dir.clone().or_else(|| source(mount::CA).ok()),
            network: self.network.clone(),
            env,
            restart_policy: self.restart_policy,
            privileged: self.privileged,
            labels: self.labels.clone(),
            kept: Kept(all.filter(|option| !named.contains(option)).collect()),
        })
    }
}

/// Every option that describes a scanner.
const OPTIONS: &[&str] = &[
    "personalization_code",
    "qualys_url",
    "image",
    "shared_dir",
    "private_dir",
    "private_dir_mode",
    "memory",
    "memory_swap",
    "cpus",
    "https_proxy",
    "polling_interval",
    "update_interval",
    "refresh_interval",
    "ca_dir",
    "network",
    "env",
    "restart_policy",
    "privileged",
    "labels",
];

#[cfg(test)]
mod tests;
