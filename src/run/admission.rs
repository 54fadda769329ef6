//! The admission check: refuses what must not exist beside the other containers of the engine, and sums up the host.

use anyhow::Result;

use super::dependents;
use super::paths::check_paths;
use crate::engine::{Engine, Info};
use crate::error::{Error, Kind};
use crate::host::memory;
use crate::scanner::admission::{Neighbour, check_code_in_use, check_cpus};
use crate::scanner::allocation::{Allocation, Host, allocations, excess};
use crate::scanner::desired::{Desired, Request};
use crate::scanner::engine_traits::SwapLimits;
use crate::scanner::inventory::inventory;
use crate::scanner::observed::Observed;
use crate::scanner::plan::{Plan, ResourceDemand};
use crate::scanner::policy::{Overcommit, State};
use crate::scanner::replacement::Containers;
use crate::scanner::values::capacity::Capacity;
use crate::scanner::values::environment;
use crate::scanner::values::limits::{ActualLimits, Limits};

/// The warning for a rootless engine.
pub const ROOTLESS: &str = "the engine runs rootless, which the vendor advises against (scan performance and results)";

/// One scanner of the task: what is desired, observed and planned.
#[derive(Debug, Clone, Copy)]
pub struct PlannedScanner<'a> {
    /// What is desired.
    pub request: &'a Request,
    /// The container that has its name, or will have it when a replacement that is half-way is finished or rolled back.
    pub observed: Option<&'a Observed>,
    /// All containers that have one of its names.
    pub containers: &'a Containers,
    /// What will be done.
    pub plan: &'a Plan,
}

/// What the admission check found out about the host, also when it refused something.
#[derive(Debug, Default)]
pub struct Admitted {
    /// The host with all scanners of the task on it, or as it is where they were refused; `None`: the host was not needed.
    pub host: Option<Host>,
    /// Warnings for people.
    pub warnings: Vec<String>,
}

impl Admitted {
    /// Adds a warning, once.
    pub fn warn(&mut self, warning: &str) {
        if !self.warnings.iter().any(|other| other == warning) {
            self.warnings.push(warning.to_owned());
        }
    }
}

/// A refusal, before anything is touched.
#[derive(Debug)]
pub struct Refused {
    /// The index of the planned scanner that it is about; `None`: all of them together.
    pub at: Option<usize>,
    /// The error that the run ends with.
    pub error: anyhow::Error,
}

impl<E: Into<anyhow::Error>> From<E> for Refused {
    fn from(error: E) -> Self {
        Self { at: None, error: error.into() }
    }
}

/// The figures of the host as the engine and the host itself report them.
pub fn capacity(info: &Info) -> Capacity {
    let swap = if info.traits.swap == SwapLimits::Discarded { None } else { memory::swap() };
    Capacity { memory: info.memory, swap, cpus: info.cpus }
}

/// Checks those of `planned` that need resources, a network or an identity of their own.
pub async fn admit<E: Engine>(
    engine: &E,
    planned: &[PlannedScanner<'_>],
    admitted: &mut Admitted,
) -> std::result::Result<(), Refused> {
    for (at, planned) in planned.iter().enumerate().filter(|(_, planned)| planned.plan.creates()) {
        if let Some(network) = planned.desired().and_then(|desired| desired.network.as_ref())
            && engine.network(network).await?.is_none()
        {
            let message = format!(
                "network must be the name of a network of this engine; create it first with `docker network create`, \
                 got: `{network}`"
            );
            return Err(Refused { at: Some(at), error: Error::invalid(message).into() });
        }
    }
    if planned.iter().all(|it| !it.plan.uses_paths() && it.plan.demand() == ResourceDemand::Nothing) {
        return Ok(());
    }
    let info = engine.info().await?;
    let neighbours = engine.neighbours().await?;
    let scanners: Vec<_> = neighbours.iter().filter_map(|it| it.scanner.as_ref()).collect();
    let mut scanners = inventory(&scanners);
    let capacity = capacity(&info);
    let before = allocations(&scanners);
    admitted.host = Some(Host::new(&capacity, &before));
    for (at, planned) in planned.iter().enumerate() {
        planned.check(&info, &neighbours).map_err(|error| Refused { at: Some(at), error })?;
    }
    check_paths(planned, &info, &neighbours, admitted)?;
    dependents::check(planned, &neighbours)?;
    dependents::warn(engine, planned, &neighbours, admitted).await?;
    scanners.retain(|it| !planned.iter().any(|own| own.request.name.as_str() == it.name));
    check_resources(&info, &capacity, planned, (&before, allocations(&scanners)), admitted)?;
    Ok(())
}

/// Sums up all scanners, those of the task as they will be; `before` has all of them as they are, `held` those of the others.
fn check_resources(
    info: &Info,
    capacity: &Capacity,
    planned: &[PlannedScanner<'_>],
    (before, mut held): (&[Allocation], Vec<Allocation>),
    admitted: &mut Admitted,
) -> Result<()> {
    let (more, rest): (Vec<_>, Vec<_>) =
        planned.iter().filter(|it| it.stays()).map(PlannedScanner::allocations).unzip();
    held.extend(rest.into_iter().flatten());
    let asked: Vec<_> = more.into_iter().flatten().collect();
    let asking = || planned.iter().filter(|it| it.stays() && it.plan.demand() != ResourceDemand::Nothing);
    let swap_given = asking().any(PlannedScanner::gives_swap);
    if swap_given && capacity.swap == Some(0) {
        admitted.warn("memory_swap has no effect: the Docker host has no swap");
    }
    if info.rootless && asking().next().is_some() {
        admitted.warn(ROOTLESS);
    }
    let excess = excess(capacity, &asked, &held, before, swap_given);
    if !excess.is_empty() {
        let each: Vec<_> = excess.iter().map(|it| it.message.as_str()).collect();
        let message = format!("the limits of all scanners together would exceed the host: {}", each.join("; "));
        // The strictest of the task decides, as it is one sum for all of them.
        let answers = |answer| asking().any(|it| it.request.policy.overcommit == answer);
        let is_denied = answers(Overcommit::Deny);
        // Who goes on with what it has makes nothing worse.
        if is_denied && excess.iter().any(|it| it.grows) {
            let cure = "give less, remove a scanner, or allow it with overcommit=warn";
            return Err(Error::new(Kind::Overcommit, format!("{message}; {cure}")).into());
        }
        if is_denied || answers(Overcommit::Warn) {
            admitted.warn(&message);
        }
    }
    held.extend(asked);
    admitted.host = Some(Host::new(capacity, &held));
    Ok(())
}

impl PlannedScanner<'_> {
    /// The scanner that the plan leads to.
    pub fn desired(&self) -> Option<&Desired> {
        self.plan.desired.as_ref()
    }

    fn limits(&self) -> Option<&Limits> {
        self.desired().map(|desired| &desired.limits)
    }

    /// Whether the task itself says how much swap it has.
    fn gives_swap(&self) -> bool {
        self.desired().is_some_and(|it| it.limits.memory_swap_given().is_some() && !it.kept.contains("memory_swap"))
    }

    /// Whether the scanner exists afterwards.
    fn stays(&self) -> bool {
        self.request.policy.state != State::Absent && (self.desired().is_some() || self.observed.is_some())
    }

    /// The allocation that it asks for, and the one that it keeps.
    fn allocations(&self) -> (Option<Allocation>, Option<Allocation>) {
        let name = self.request.name.as_str();
        let now = || Allocation::new(name, &self.observed.map(|observed| observed.limits).unwrap_or_default());
        let then = self.limits().map_or_else(now, |limits| Allocation::new(name, &ActualLimits::from(limits)));
        match self.plan.demand() {
            ResourceDemand::Nothing => (None, Some(then)),
            ResourceDemand::All => (Some(then), None),
            ResourceDemand::Growth => {
                let (more, rest) = then.growth(&now());
                (Some(more), Some(rest))
            }
        }
    }

    fn check(&self, info: &Info, neighbours: &[Neighbour]) -> Result<()> {
        if self.plan.demand() != ResourceDemand::Nothing {
            check_cpus(self.limits().and_then(|limits| limits.cpus), info.cpus, info.limits_cpus)?;
        }
        if self.plan.claims_identity() {
            let given = self.request.identity.as_ref();
            let code = given
                .map(|identity| identity.code.expose())
                .or_else(|| self.observed.and_then(|observed| observed.env.value(environment::CODE)));
            check_code_in_use(code, neighbours, &self.own_ids(neighbours))?;
        }
        Ok(())
    }

    /// The ids of the scanner's own containers, also of those that another run has made since they were observed.
    pub fn own_ids<'b>(&'b self, neighbours: &'b [Neighbour]) -> Vec<String> {
        let name = &self.request.name;
        let named = |name: &str| neighbours.iter().find(|it| it.name == name).and_then(|it| it.scanner.clone());
        let now = Containers {
            current: named(name.as_str()),
            incoming: named(&name.incoming()),
            outgoing: named(&name.outgoing()),
        };
        own(self.containers).chain(own(&now)).map(str::to_owned).collect()
    }
}

/// The ids of the containers that are the scanner; a container that only has such a name is not.
fn own(containers: &Containers) -> impl Iterator<Item = &str> {
    let stranger = containers.stranger().map(|it| &it.id);
    containers.iter().filter(move |it| Some(&it.id) != stranger).map(|it| it.id.as_str())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::engine::fake::{info, made};
    use crate::scanner::observed::Note;
    use crate::testing::request;

    /// Between the observations of the scanner and of all containers, another run may begin to replace it.
    #[test]
    fn a_scanner_that_is_just_being_replaced_is_no_other_one() {
        let request = request(&json!({})).unwrap();
        let like =
            |id: &str, name: String| Observed { id: id.to_owned(), name, ..made(request.desired.as_ref().unwrap()) };
        let old = like("old", request.name.as_str().to_owned());
        let note = Some(Note::of(&old));
        let new = Observed { replaces: note, ..like("new", request.name.incoming()) };
        let operations = vec![crate::scanner::operation::Operation::Create];
        let plan = Plan { operations, desired: request.desired.clone(), ..Plan::default() };
        let refused = |containers: &Containers, there: &[&Observed]| {
            let neighbour = |it: &&Observed| Neighbour {
                id: it.id.clone(),
                name: it.name.clone(),
                mounts: it.mounts.clone(),
                borrowed: it.borrowed.clone(),
                is_up: it.status.is_up(),
                scanner: Some((*it).clone()),
            };
            let neighbours: Vec<_> = there.iter().map(neighbour).collect();
            let observed = containers.current.as_ref();
            PlannedScanner { request: &request, observed, containers, plan: &plan }.check(&info(), &neighbours).is_err()
        };
        let before = Containers { current: Some(old.clone()), ..Containers::default() };
        let aside = Observed { name: request.name.outgoing(), ..old.clone() };
        let named = Observed { name: request.name.as_str().to_owned(), ..new.clone() };
        for there in [vec![&old], vec![&old, &new], vec![&new], vec![&aside, &new], vec![&aside, &named], vec![&named]]
        {
            assert!(!refused(&before, &there), "{there:?}");
        }
        let without_a_note = Observed { replaces: None, ..new.clone() };
        let elsewhere = Observed { name: "another".to_owned(), ..new };
        for other in [without_a_note, elsewhere] {
            assert!(refused(&before, &[&old, &other]), "{other:?}");
        }
    }
}
