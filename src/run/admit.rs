//! What must not come to life beside the rest of the host is refused, and what the host looks like with it.

use super::view::View;
use crate::engine::{Engine, Failure, Info};
use crate::error::{Error, Kind, Result};
use crate::host::swap;
use crate::protocol::arguments::Overcommit;
use crate::scanner::admission::{Claim, Neighbour, check_claim, check_cpus};
use crate::scanner::capacity::{Capacity, Host, Share, excess};
use crate::scanner::desired::{Desired, Request};
use crate::scanner::directory::Directory;
use crate::scanner::limits::{ActualLimits, Limits};
use crate::scanner::plan::Plan;
use crate::scanner::{environment, mount};

/// One scanner of the task: what is wanted, seen and planned.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// What is wanted.
    pub request: &'a Request,
    /// What is there.
    pub view: &'a View,
    /// What will be done.
    pub plan: &'a Plan,
}

/// What came out of a look at the host.
#[derive(Debug, Default)]
pub struct Admitted {
    /// The host with all scanners of the task on it; `None`: there was no need to look.
    pub host: Option<Host>,
    /// For people.
    pub warnings: Vec<String>,
}

/// The figures of the host as the engine and the host itself report them.
#[must_use]
pub fn capacity(info: &Info) -> Capacity {
    let swap = if info.swap_accounting { swap::total() } else { None };
    Capacity { memory: info.memory, swap, cpus: info.cpus }
}

/// Looks at the host for those of `candidates` that need something of it.
///
/// # Errors
/// When one of them may not have what it needs, before anything is touched.
pub async fn admit(engine: &Engine, candidates: &[Candidate<'_>]) -> Result<Admitted> {
    let failed = |failure: Failure| failure.into_error(engine.host());
    for candidate in candidates.iter().filter(|candidate| candidate.plan.creates()) {
        if let Some(network) = candidate.desired().and_then(|desired| desired.network.as_ref())
            && !engine.has_network(network).await.map_err(failed)?
        {
            return Err(Error::invalid(format!(
                "network must be the name of a network of this engine; create it first with `docker network create`, \
                 got: `{network}`"
            )));
        }
    }
    if !candidates.iter().any(|it| it.plan.claims_identity() || it.plan.claims_resources()) {
        return Ok(Admitted::default());
    }
    let info = engine.info().await.map_err(failed)?;
    let neighbours = engine.neighbours().await.map_err(failed)?;
    for candidate in candidates {
        if candidate.plan.claims_resources() {
            check_cpus(candidate.desired().and_then(|desired| desired.limits.cpus), info.cpus)?;
        }
        if candidate.plan.claims_identity() {
            candidate.check_identity(&neighbours)?;
        }
    }
    judge(&info, candidates, &neighbours)
}

/// Sums up all scanners, those of the task as they will be.
fn judge(info: &Info, candidates: &[Candidate<'_>], neighbours: &[Neighbour]) -> Result<Admitted> {
    let capacity = capacity(info);
    let own: Vec<&str> = candidates.iter().flat_map(|candidate| candidate.view.own_ids()).collect();
    let others = neighbours.iter().filter(|it| !own.contains(&it.id.as_str()));
    let mut held: Vec<Share> =
        others.filter_map(|it| Some(Share::new(&it.name, &it.scanner.as_ref()?.limits))).collect();
    let (asking, keeping): (Vec<&Candidate<'_>>, Vec<&Candidate<'_>>) =
        candidates.iter().filter(|it| it.stays()).partition(|it| it.plan.claims_resources());
    held.extend(keeping.iter().map(|candidate| candidate.share()));
    let asked: Vec<Share> = asking.iter().map(|candidate| candidate.share()).collect();
    let mut warnings = Vec::new();
    let swap_given = asking.iter().any(|it| it.limits().is_some_and(|limits| limits.memory_swap_given().is_some()));
    if swap_given && capacity.swap.is_none() && !info.swap_accounting {
        warnings.push("memory_swap has no effect: the engine cannot limit swap on this host".to_owned());
    } else if swap_given && capacity.swap == Some(0) {
        warnings.push("memory_swap has no effect: the Docker host has no swap".to_owned());
    }
    if info.rootless && !asking.is_empty() {
        warnings.push(
            "the engine runs rootless, which the vendor advises against (scan performance and results)".to_owned(),
        );
    }
    let excess = excess(&capacity, &asked, &held, swap_given).join("; ");
    if !excess.is_empty() {
        let message = format!("the limits of all scanners together would exceed the host: {excess}");
        // The strictest of the task decides, as it is one sum for all of them.
        let answers = || asking.iter().map(|it| it.request.wish.overcommit);
        if answers().any(|answer| answer == Overcommit::Deny) {
            let cure = "give less, remove a scanner, or allow it with overcommit=warn";
            return Err(Error::new(Kind::Overcommit, format!("{message}; {cure}")));
        }
        if answers().any(|answer| answer == Overcommit::Warn) {
            warnings.push(message);
        }
    }
    held.extend(asked);
    Ok(Admitted { host: Some(Host::new(&capacity, &held)), warnings })
}

impl Candidate<'_> {
    fn desired(&self) -> Option<&Desired> {
        self.request.desired.as_ref()
    }

    fn limits(&self) -> Option<&Limits> {
        self.desired().map(|desired| &desired.limits)
    }

    /// Whether there will be a scanner afterwards.
    fn stays(&self) -> bool {
        self.request.wish.state != crate::protocol::arguments::State::Absent
            && (self.desired().is_some() || self.view.situation.observed.is_some())
    }

    /// What it will hold: what is wanted, else what it has.
    fn share(&self) -> Share {
        let wanted = self.limits().map(ActualLimits::from);
        let has = || self.view.situation.observed.as_ref().map(|observed| observed.limits).unwrap_or_default();
        Share::new(self.request.name.as_str(), &wanted.unwrap_or_else(has))
    }

    fn check_identity(&self, neighbours: &[Neighbour]) -> Result<()> {
        let observed = self.view.situation.observed.as_ref();
        let identity_dir = self.desired().map(Desired::identity_dir);
        let claim = Claim {
            code: self
                .desired()
                .map(|desired| desired.code.expose())
                .or_else(|| observed.and_then(|observed| observed.env.value(environment::CODE))),
            identity_dir: identity_dir
                .as_ref()
                .map(Directory::as_str)
                .or_else(|| observed.and_then(|it| it.mount(mount::PRIVATE)).map(|mount| mount.source.as_str())),
        };
        check_claim(claim, neighbours, &self.view.own_ids().collect::<Vec<_>>())
    }
}
