//! From the desired and the observed state to the operations. A plan is data and leaves nothing to decide: check mode is a plan
//! that is not carried out.

use serde_json::{Value, json};

use super::compare::{Comparison, Verdict, Way, compare, describe, live_update};
use super::desired::{Desired, Request};
use super::difference::{CREATE_DIRECTORY, Difference, REPLACE};
use super::feasibility;
use super::observation::{Observation, OnHost};
use super::observed::{Observed, Status};
use super::operation::{Operation, Role, Update};
use super::policy::Policy;
use super::purge::purged;
use super::refusal::{self, no_directory};
use super::values::directory::Directory;
use super::values::image::WantedImage;
use super::volume::lost;
use crate::error::{Error, Kind, Result};
use crate::scanner::policy::{Recreate, State};

/// How much of a scanner's limits is checked against the host's resources.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ResourceDemand {
    /// None: the scanner takes no more than before.
    Nothing,
    /// What it takes more than before.
    Growth,
    /// All: it is created or started.
    All,
}

/// The operations of a run, and the reasons for them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// The reasons: the result's `differences`.
    pub differences: Vec<Difference>,
    /// Every managed field, also those in the desired state, for `diff`.
    pub comparisons: Vec<Comparison>,
    /// The operations, in order.
    pub operations: Vec<Operation>,
    /// Warnings for people: what a replacement does not keep.
    pub warnings: Vec<String>,
    /// The scanner that they lead to, where it is not only about its run state.
    pub desired: Option<Desired>,
}

impl Plan {
    /// The plan for `request` in `observation`.
    pub fn make(request: &Request, observation: &Observation) -> Result<Self> {
        if let Some(observed) = &observation.observed {
            refusal::refuse_others(observed)?;
        }
        let desired = request.desired_for(observation.observed.as_ref())?;
        let mut plan = Self { desired: desired.clone(), ..Self::default() };
        let policy = &request.policy;
        match (policy.state, &observation.observed, &desired) {
            (State::Absent, observed, _) => plan.absent(request, observed.as_ref(), observation)?,
            (_, Some(observed), Some(desired)) => {
                plan.fetch_first(observation);
                plan.directories(desired, observation)?;
                plan.existing(policy, desired, observed, observation)?;
            }
            (_, None, Some(desired)) => {
                plan.fetch_first(observation);
                plan.directories(desired, observation)?;
                plan.missing(policy, desired);
            }
            (_, Some(observed), None) => {
                plan.run_state(policy, observed, observation)?;
                if plan.starts() && observation.identity_dir == OnHost::Other {
                    return Err(refusal::identity_is_no_directory(observed));
                }
            }
            (State::Stopped, None, None) => {}
            (State::Started | State::Present, None, None) if observation.stranger.is_some() => {}
            (State::Started | State::Present, None, None) => return Err(refusal::no_such_scanner(request)),
        }
        if let Some(observed) = observation.observed.as_ref().filter(|_| policy.state != State::Absent) {
            feasibility::check(&plan.operations, plan.desired.as_ref(), observed)?;
        }
        plan.say_each_field_once();
        plan.warnings.extend(plan.desired.iter().flat_map(|desired| observation.engine.discarded(desired)));
        let is_missing = observation.observed.is_none() && policy.state != State::Absent;
        if let Some(stranger) = observation.stranger.as_ref().filter(|_| plan.replaces() || is_missing) {
            return Err(refusal::stranger(stranger));
        }
        Ok(plan)
    }

    /// Leaves out the directories in `made`, which other plans make before this one, and adds its own.
    pub fn leave_out_made(&mut self, made: &mut Vec<Directory>) {
        let earlier = made.len();
        for operation in &self.operations {
            if let Operation::CreateDirectory(path, _) = operation {
                made.push(path.clone());
            }
        }
        let there = made.get(..earlier).unwrap_or_default();
        self.operations.retain(|it| !matches!(it, Operation::CreateDirectory(path, _) if there.contains(path)));
        let is_there = |value: &Value| there.iter().any(|path| value == path.as_str());
        let way = CREATE_DIRECTORY;
        self.differences.retain(|difference| difference.way != way || !is_there(&difference.after));
    }

    /// Whether the container is replaced by one with the same image.
    pub fn keeps_image(&self) -> bool {
        self.replaces() && self.desired.as_ref().is_some_and(|desired| desired.kept.contains("image"))
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    /// Whether a scanner begins to use its code and its private directory, or these are deleted.
    pub fn claims_identity(&self) -> bool {
        let claims = |it: &Operation| {
            it.starts() || matches!(it, Operation::Create | Operation::Replace { .. } | Operation::PurgeDirectory(_))
        };
        self.operations.iter().any(claims)
    }

    /// The identity directory that is made, changed, deleted, or used by a new container.
    pub fn identity_dir(&self) -> Option<Directory> {
        let own = || self.desired.as_ref().map(Desired::identity_dir);
        self.operations.iter().find_map(|operation| match operation {
            Operation::PurgeDirectory(path) | Operation::SetMode(path, _) => Some(path.clone()),
            Operation::Create | Operation::Replace { .. } => own(),
            Operation::CreateDirectory(path, _) => own().filter(|own| own == path),
            _ => None,
        })
    }

    /// Whether a directory is made, changed or deleted, or a container is made or started with it.
    pub fn uses_paths(&self) -> bool {
        let changes = |it: &Operation| matches!(it, Operation::CreateDirectory(..) | Operation::SetMode(..));
        self.claims_identity() || self.operations.iter().any(changes)
    }

    /// Whether a container is made.
    pub fn creates(&self) -> bool {
        self.operations.iter().any(|it| matches!(it, Operation::Create | Operation::Replace { .. }))
    }

    /// Whether the scanner is replaced.
    pub fn replaces(&self) -> bool {
        self.operations.iter().any(|it| matches!(it, Operation::Replace { .. }))
    }

    /// What the plan demands of the host's resources. A restart demands nothing: the scanner takes what it took.
    pub fn demand(&self) -> ResourceDemand {
        let demand = |it: &Operation| match it {
            Operation::Create | Operation::Replace { .. } | Operation::Start(_) => ResourceDemand::All,
            Operation::Update(Update { grows: true, .. }) => ResourceDemand::Growth,
            _ => ResourceDemand::Nothing,
        };
        self.operations.iter().map(demand).max().unwrap_or(ResourceDemand::Nothing)
    }

    /// Whether a start is among the operations.
    pub fn starts(&self) -> bool {
        self.operations.iter().any(Operation::starts)
    }

    fn add(&mut self, operation: Operation, field: &'static str, before: impl Into<Value>, after: impl Into<Value>) {
        let way = operation.word().unwrap_or_default();
        self.differs(field, before, after, way);
        self.operations.push(operation);
    }

    fn differs(&mut self, field: &'static str, before: impl Into<Value>, after: impl Into<Value>, way: &'static str) {
        self.differences.push(Difference { field, before: before.into(), after: after.into(), way });
    }

    /// A start has succeeded only when the scanner stays up.
    fn settle(&mut self, policy: &Policy) {
        if !policy.settle.is_zero() {
            self.operations.push(Operation::Settle(Role::Scanner));
        }
    }

    /// A directory that is missing, and mounted from elsewhere until now, is one difference.
    fn say_each_field_once(&mut self) {
        let others: Vec<_> =
            self.differences.iter().filter(|it| it.way != CREATE_DIRECTORY).map(|it| it.field).collect();
        self.differences.retain(|it| it.way != CREATE_DIRECTORY || !others.contains(&it.field));
    }

    fn directories(&mut self, desired: &Desired, observation: &Observation) -> Result<()> {
        let identity_dir = desired.identity_dir();
        match observation.shared_dir {
            OnHost::Directory(_) => {}
            _ if desired.kept.contains("shared_dir") => {}
            OnHost::Missing | OnHost::HalfPurged => {
                let operation = Operation::CreateDirectory(desired.shared_dir.clone(), None);
                self.add(operation, "shared_dir", Value::Null, desired.shared_dir.as_str());
            }
            OnHost::Other => return Err(no_directory("shared_dir", &desired.shared_dir)),
        }
        match (observation.identity_dir, desired.private_dir_mode) {
            (OnHost::Directory(actual), Some(mode)) if actual != mode => {
                let operation = Operation::SetMode(identity_dir, mode);
                self.add(operation, "private_dir_mode", actual.to_string(), mode.to_string());
            }
            (OnHost::Directory(_), _) => {}
            (OnHost::Missing | OnHost::HalfPurged, None) if desired.kept.contains("private_dir") => {}
            (OnHost::Missing | OnHost::HalfPurged, mode) => {
                let operation = Operation::CreateDirectory(identity_dir.clone(), mode);
                self.add(operation, "private_dir", Value::Null, identity_dir.as_str());
            }
            (OnHost::Other, _) => return Err(no_directory("private_dir", &identity_dir)),
        }
        match (desired.ca_dir.as_ref().filter(|_| !desired.kept.contains("ca_dir")), observation.ca_dir) {
            (Some(ca_dir), OnHost::Missing | OnHost::HalfPurged | OnHost::Other) => Err(no_directory("ca_dir", ca_dir)),
            _ => Ok(()),
        }
    }

    fn missing(&mut self, policy: &Policy, desired: &Desired) {
        self.add(Operation::Create, "state", "absent", policy.state.word());
        if policy.state == State::Started {
            self.operations.push(Operation::Start(Role::Scanner));
            self.settle(policy);
        }
        self.comparisons = describe(desired);
    }

    fn existing(
        &mut self,
        policy: &Policy,
        desired: &Desired,
        observed: &Observed,
        observation: &Observation,
    ) -> Result<()> {
        let Some(image) = &observation.image else {
            return Err(Error::new(Kind::Internal, "the image was not looked up; report this as a defect"));
        };
        self.comparisons = compare(desired, observed, image, observation.engine);
        let by_replacement = |it: &&Comparison| it.verdict == Verdict::Differs(Way::Replace);
        let mut for_replacement: Vec<_> =
            self.comparisons.iter().filter(by_replacement).map(|field| field.field).collect();
        if is_beyond_a_start(policy, observed) {
            for_replacement.push("state");
        }
        let replace = !for_replacement.is_empty() || policy.recreate == Recreate::Always;
        let update = live_update(desired, observed, &self.comparisons);
        self.differences.extend(self.comparisons.iter().filter_map(|field| Difference::of(field, replace)));
        if replace {
            refusal::refuse_replacement(policy, observed, &for_replacement)?;
            refusal::refuse_successor(desired, observed, observation)?;
            if for_replacement.is_empty() {
                self.differs("recreate", Value::Null, json!("always"), REPLACE);
            }
            self.replace(policy, desired, observed);
            self.warnings.extend(lost(&observed.volumes, image));
            return Ok(());
        }
        if !update.changes.is_empty() {
            let update = Operation::Update(update);
            if observed.status == Status::Restarting {
                self.update_flapping(policy, observed, update);
                return Ok(());
            }
            self.operations.push(update);
        }
        self.run_state(policy, observed, observation)
    }

    /// A restarting container can end at any moment, and engines cannot update it then. So it is stopped, updated and started.
    fn update_flapping(&mut self, policy: &Policy, observed: &Observed, update: Operation) {
        let stop = Operation::Stop(Role::Scanner);
        let before = observed.status.word();
        if matches!(policy.state, State::Started | State::Present) {
            self.operations.extend([stop, update]);
            self.add(Operation::Start(Role::Scanner), "state", before, State::Started.word());
            self.settle(policy);
        } else {
            self.add(stop, "state", before, State::Stopped.word());
            self.operations.push(update);
        }
    }

    fn replace(&mut self, policy: &Policy, desired: &Desired, observed: &Observed) {
        let start = match policy.state {
            State::Started => true,
            State::Present => observed.status.is_up(),
            State::Stopped | State::Absent => false,
        };
        let policy = desired.restart_policy.unwrap_or(observed.restart_policy);
        self.operations.push(Operation::Replace { start, policy, env: observed.client_env.clone() });
        if start != observed.status.is_up() || observed.status == Status::Paused {
            let (state, way) = if start { (State::Started, "start") } else { (State::Stopped, "stop") };
            self.differs("state", observed.status.word(), state.word(), way);
        }
    }

    fn run_state(&mut self, policy: &Policy, observed: &Observed, observation: &Observation) -> Result<()> {
        let before = observed.status.word();
        let unchanged = self
            .operations
            .iter()
            .all(|it| it.fetches() || matches!(it, Operation::CreateDirectory(..) | Operation::SetMode(..)));
        match (policy.state, observed.status) {
            (State::Started, Status::Dead) => return Err(refusal::dead(observed)),
            (State::Started, Status::Created | Status::Exited) => {
                self.reconnect(observed, observation)?;
                self.add(Operation::Start(Role::Scanner), "state", before, State::Started.word());
                self.settle(policy);
            }
            (State::Started, Status::Paused) => self.add(Operation::Unpause, "state", before, State::Started.word()),
            (State::Stopped, status) if status.is_up() => {
                self.add(Operation::Stop(Role::Scanner), "state", before, State::Stopped.word());
            }
            (State::Started | State::Present, status) if policy.restart && status.is_up() && unchanged => {
                self.add(Operation::Restart, "restart", false, true);
                self.settle(policy);
            }
            _ => {}
        }
        Ok(())
    }

    /// A network that was removed and made again has another id than the one that the container noted.
    fn reconnect(&mut self, observed: &Observed, observation: &Observation) -> Result<()> {
        for (name, noted) in observed.network.removable() {
            match observation.networks.get(name) {
                Some(None) => return Err(refusal::network_is_gone(name, observed)),
                Some(Some(id)) if id != noted && !noted.is_empty() => {
                    self.operations.push(Operation::Reconnect(name.to_owned()));
                }
                Some(Some(_)) | None => {}
            }
        }
        Ok(())
    }

    fn absent(&mut self, request: &Request, observed: Option<&Observed>, observation: &Observation) -> Result<()> {
        let purged = if request.policy.purge { purged(request, observed)? } else { None };
        if observed.is_some_and(|observed| observed.status.is_up()) {
            // A stop lets it end by itself; a removal kills it.
            self.operations.push(Operation::Stop(Role::Old));
        }
        // Before the container is removed: if the run is interrupted, only the container tells where the directory is.
        match (purged, observation.identity_dir) {
            (None, _) | (Some(_), OnHost::Missing) => {}
            (Some(directory), OnHost::Directory(_) | OnHost::HalfPurged) => {
                self.add(Operation::PurgeDirectory(directory.clone()), "private_dir", directory.as_str(), Value::Null);
            }
            (Some(directory), OnHost::Other) => return Err(no_directory("private_dir", &directory)),
        }
        if let Some(observed) = observed {
            self.add(Operation::Remove(Role::Scanner), "state", observed.status.word(), State::Absent.word());
            if !observed.noted_volumes.is_empty() {
                self.operations.push(Operation::RemoveVolumes(observed.noted_volumes.clone()));
            }
        }
        Ok(())
    }

    fn fetch_first(&mut self, observation: &Observation) {
        self.operations.extend(match observation.image {
            Some(WantedImage::ToPull) => Some(Operation::PullImage),
            Some(WantedImage::ToLoad) => Some(Operation::LoadImage),
            Some(WantedImage::Local { .. } | WantedImage::Kept) | None => None,
        });
    }
}

/// One that the engine could not remove is never started again.
fn is_beyond_a_start(policy: &Policy, observed: &Observed) -> bool {
    policy.state == State::Started && observed.status == Status::Dead
}

#[cfg(test)]
mod tests;
