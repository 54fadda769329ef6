//! What must not come to life beside the rest of the host is refused, and what the host looks like with it.

use anyhow::Result;

use crate::engine::{Engine, Info};
use crate::error::{Error, Kind};
use crate::host::swap;
use crate::protocol::arguments::{Overcommit, State};
use crate::scanner::admission::{Claim, Neighbour, check_claim, check_cpus};
use crate::scanner::capacity::{Capacity, Host, Share, excess, shares};
use crate::scanner::census::census;
use crate::scanner::desired::{Desired, Request};
use crate::scanner::directory::Directory;
use crate::scanner::limits::{ActualLimits, Limits};
use crate::scanner::observed::Observed;
use crate::scanner::plan::{Asks, Plan};
use crate::scanner::replacement::Containers;
use crate::scanner::{environment, mount};

/// Whoever sees scanners on such an engine says this.
pub const ROOTLESS: &str = "the engine runs rootless, which the vendor advises against (scan performance and results)";

/// One scanner of the task: what is wanted, seen and planned.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// What is wanted.
    pub request: &'a Request,
    /// The container that has its name, or will have it when a replacement that is half-way is in order.
    pub observed: Option<&'a Observed>,
    /// All containers that have one of its names.
    pub containers: &'a Containers,
    /// What will be done.
    pub plan: &'a Plan,
}

/// What came out of looking at the host, also when something was refused.
#[derive(Debug, Default)]
pub struct Admitted {
    /// The host with all scanners of the task on it, or as it is where they were refused; `None`: there was no need to look.
    pub host: Option<Host>,
    /// For people.
    pub warnings: Vec<String>,
}

impl Admitted {
    fn warn(&mut self, warning: &str) {
        if !self.warnings.iter().any(|other| other == warning) {
            self.warnings.push(warning.to_owned());
        }
    }
}

/// What must not be, before anything is touched.
#[derive(Debug)]
pub struct Refused {
    /// Which of the candidates it is about; `None`: all of them together.
    pub at: Option<usize>,
    /// Why.
    pub error: anyhow::Error,
}

impl<E: Into<anyhow::Error>> From<E> for Refused {
    fn from(error: E) -> Self {
        Self { at: None, error: error.into() }
    }
}

/// The figures of the host as the engine and the host itself report them.
pub fn capacity(info: &Info) -> Capacity {
    let swap = if info.swap_accounting { swap::total() } else { None };
    Capacity { memory: info.memory, swap, cpus: info.cpus }
}

/// Looks at the host for those of `candidates` that need something of it.
pub async fn admit<E: Engine>(
    engine: &E,
    candidates: &[Candidate<'_>],
    admitted: &mut Admitted,
) -> std::result::Result<(), Refused> {
    for (at, candidate) in candidates.iter().enumerate().filter(|(_, candidate)| candidate.plan.creates()) {
        if let Some(network) = candidate.desired().and_then(|desired| desired.network.as_ref())
            && !engine.has_network(network).await?
        {
            let message = format!(
                "network must be the name of a network of this engine; create it first with `docker network create`, \
                 got: `{network}`"
            );
            return Err(Refused { at: Some(at), error: Error::invalid(message).into() });
        }
    }
    if candidates.iter().all(|it| !it.plan.claims_identity() && it.plan.asks() == Asks::Nothing) {
        return Ok(());
    }
    let info = engine.info().await?;
    let neighbours = engine.neighbours().await?;
    let scanners: Vec<_> = neighbours.iter().filter_map(|it| it.scanner.as_ref()).collect();
    let mut scanners = census(&scanners);
    let capacity = capacity(&info);
    admitted.host = Some(Host::new(&capacity, &shares(&scanners)));
    for (at, candidate) in candidates.iter().enumerate() {
        candidate.check(&info, &neighbours).map_err(|error| Refused { at: Some(at), error })?;
    }
    scanners.retain(|it| !candidates.iter().any(|own| own.request.name.as_str() == it.name));
    judge(&info, &capacity, candidates, shares(&scanners), admitted)?;
    Ok(())
}

/// Sums up all scanners, those of the task as they will be; `held` has those of the others.
fn judge(
    info: &Info,
    capacity: &Capacity,
    candidates: &[Candidate<'_>],
    mut held: Vec<Share>,
    admitted: &mut Admitted,
) -> Result<()> {
    let (more, rest): (Vec<_>, Vec<_>) = candidates.iter().filter(|it| it.stays()).map(Candidate::shares).unzip();
    held.extend(rest.into_iter().flatten());
    let asked: Vec<_> = more.into_iter().flatten().collect();
    let asking = || candidates.iter().filter(|it| it.stays() && it.plan.asks() != Asks::Nothing);
    let swap_given = asking().any(|it| it.limits().is_some_and(|limits| limits.memory_swap_given().is_some()));
    if swap_given && !info.swap_accounting {
        admitted.warn("memory_swap has no effect: the engine cannot limit swap on this host");
    } else if swap_given && capacity.swap == Some(0) {
        admitted.warn("memory_swap has no effect: the Docker host has no swap");
    }
    if info.rootless && asking().next().is_some() {
        admitted.warn(ROOTLESS);
    }
    let excess = excess(capacity, &asked, &held, swap_given).join("; ");
    if !excess.is_empty() {
        let message = format!("the limits of all scanners together would exceed the host: {excess}");
        // The strictest of the task decides, as it is one sum for all of them.
        let answers = |answer| asking().any(|it| it.request.wish.overcommit == answer);
        if answers(Overcommit::Deny) {
            let cure = "give less, remove a scanner, or allow it with overcommit=warn";
            return Err(Error::new(Kind::Overcommit, format!("{message}; {cure}")).into());
        }
        if answers(Overcommit::Warn) {
            admitted.warn(&message);
        }
    }
    held.extend(asked);
    admitted.host = Some(Host::new(capacity, &held));
    Ok(())
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
        self.request.wish.state != State::Absent && (self.desired().is_some() || self.observed.is_some())
    }

    /// What it asks for, and what it only keeps.
    fn shares(&self) -> (Option<Share>, Option<Share>) {
        let name = self.request.name.as_str();
        let now = || Share::new(name, &self.observed.map(|observed| observed.limits).unwrap_or_default());
        let then = self.limits().map_or_else(now, |limits| Share::new(name, &ActualLimits::from(limits)));
        match self.plan.asks() {
            Asks::Nothing => (None, Some(then)),
            Asks::All => (Some(then), None),
            Asks::Growth => {
                let (more, rest) = then.growth(&now());
                (Some(more), Some(rest))
            }
        }
    }

    fn check(&self, info: &Info, neighbours: &[Neighbour]) -> Result<()> {
        if self.plan.asks() != Asks::Nothing {
            check_cpus(self.limits().and_then(|limits| limits.cpus), info.cpus)?;
        }
        if self.plan.claims_identity() {
            self.check_identity(neighbours)?;
        }
        Ok(())
    }

    fn check_identity(&self, neighbours: &[Neighbour]) -> Result<()> {
        let observed = self.observed;
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
        // One that only bears such a name is a stranger like any other.
        let stranger = self.containers.stranger().map(|it| &it.id);
        let known = self.containers.iter().filter(|it| Some(&it.id) != stranger).map(|it| it.id.as_str());
        // Another of the task may have been made since it was looked at.
        let name = self.request.name.as_str();
        let own = neighbours.iter().filter(|it| it.name == name).map(|it| it.id.as_str()).chain(known);
        Ok(check_claim(claim, neighbours, &own.collect::<Vec<_>>())?)
    }
}
