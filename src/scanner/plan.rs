//! From what is wanted and what is there to what will be done. A plan is data and leaves nothing to choose: check mode is
//! "do not carry it out".

use serde_json::{Value, json};

use super::compare::{Comparison, Verdict, Way, compare, describe};
use super::desired::{Desired, Request, Wish};
use super::directory::Directory;
use super::image::WantedImage;
use super::observed::{Observed, Status};
use super::purge::purged;
use super::refusal::{self, no_directory};
use super::situation::{OnHost, Situation};
use super::step::{Step, Update};
use crate::error::{Error, Kind, Result};
use crate::protocol::arguments::{Recreate, State};

/// How much of a scanner's limits the host must be able to give.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Asks {
    /// None: it has what it will have.
    Nothing,
    /// What it takes more of than it did.
    Growth,
    /// All: it is made or started.
    All,
}

/// One line of the result's `differences`.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Difference {
    /// The option that it is about.
    pub field: &'static str,
    /// As it is.
    pub before: Value,
    /// As it shall be.
    pub after: Value,
    /// How it gets there.
    pub way: &'static str,
}

/// What will be done, and why.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// Why.
    pub differences: Vec<Difference>,
    /// Every managed field, also those that are as wanted, for `diff`.
    pub comparisons: Vec<Comparison>,
    /// What, in order.
    pub steps: Vec<Step>,
}

impl Plan {
    /// The plan for `request` in `situation`.
    ///
    /// # Errors
    /// When it must not be carried out: the container is no scanner, a path is no directory, a replacement is forbidden.
    pub fn make(request: &Request, situation: &Situation) -> Result<Self> {
        if let Some(observed) = &situation.observed {
            refusal::refuse_others(observed)?;
        }
        let mut plan = Self::default();
        match (request.wish.state, &situation.observed, &request.desired) {
            (State::Absent, observed, _) => plan.absent(request, observed.as_ref(), situation)?,
            (_, Some(observed), Some(desired)) => {
                plan.directories(desired, situation)?;
                plan.existing(&request.wish, desired, observed, situation)?;
            }
            (_, None, Some(desired)) => {
                plan.directories(desired, situation)?;
                plan.missing(&request.wish, desired, situation);
            }
            (_, Some(observed), None) => plan.run_state(&request.wish, observed)?,
            (State::Stopped, None, None) => {}
            (State::Started | State::Present, None, None) => return Err(refusal::no_such_scanner(request)),
        }
        Ok(plan)
    }

    /// Leaves out the directories in `made`, which other plans make before this one, and adds its own.
    pub fn leave_out_made(&mut self, made: &mut Vec<Directory>) {
        let earlier = made.len();
        for step in &self.steps {
            if let Step::CreateDirectory(path, _) = step {
                made.push(path.clone());
            }
        }
        let there = made.get(..earlier).unwrap_or_default();
        self.steps.retain(|step| !matches!(step, Step::CreateDirectory(path, _) if there.contains(path)));
        let is_there = |value: &Value| there.iter().any(|path| value == path.as_str());
        let way = Step::CREATE_DIRECTORY;
        self.differences.retain(|difference| difference.way != way || !is_there(&difference.after));
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Whether a scanner begins to use its code and its private directory, or these are deleted.
    #[must_use]
    pub fn claims_identity(&self) -> bool {
        let claims = |step: &Step| {
            step.starts() || matches!(step, Step::Create | Step::Replace { .. } | Step::PurgeDirectory(_))
        };
        self.steps.iter().any(claims)
    }

    /// Whether a container is made.
    #[must_use]
    pub fn creates(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, Step::Create | Step::Replace { .. }))
    }

    /// What of the host the scanner asks for. A restart asks for nothing: it has what it had.
    #[must_use]
    pub fn asks(&self) -> Asks {
        let asks = |step: &Step| match step {
            Step::Create | Step::Replace { .. } | Step::Start => Asks::All,
            Step::Update(Update { grows: true, .. }) => Asks::Growth,
            _ => Asks::Nothing,
        };
        self.steps.iter().map(asks).max().unwrap_or(Asks::Nothing)
    }

    /// Whether a start is among the steps.
    #[must_use]
    pub fn starts(&self) -> bool {
        self.steps.iter().any(Step::starts)
    }

    fn step(&mut self, step: Step, field: &'static str, before: impl Into<Value>, after: impl Into<Value>) {
        self.differences.push(Difference { field, before: before.into(), after: after.into(), way: step.word() });
        self.steps.push(step);
    }

    fn directories(&mut self, desired: &Desired, situation: &Situation) -> Result<()> {
        let identity_dir = desired.identity_dir();
        match situation.shared_dir {
            OnHost::Directory(_) => {}
            OnHost::Missing => {
                let step = Step::CreateDirectory(desired.shared_dir.clone(), None);
                self.step(step, "shared_dir", Value::Null, desired.shared_dir.as_str());
            }
            OnHost::Other => return Err(no_directory("shared_dir", &desired.shared_dir)),
        }
        match (situation.identity_dir, desired.private_dir_mode) {
            (OnHost::Directory(actual), Some(mode)) if actual != mode => {
                self.step(Step::SetMode(identity_dir, mode), "private_dir_mode", actual.to_string(), mode.to_string());
            }
            (OnHost::Directory(_), _) => {}
            (OnHost::Missing, mode) => {
                let step = Step::CreateDirectory(identity_dir.clone(), mode);
                self.step(step, "private_dir", Value::Null, identity_dir.as_str());
            }
            (OnHost::Other, _) => return Err(no_directory("private_dir", &identity_dir)),
        }
        match (&desired.ca_dir, situation.ca_dir) {
            (Some(ca_dir), OnHost::Missing | OnHost::Other) => Err(no_directory("ca_dir", ca_dir)),
            _ => Ok(()),
        }
    }

    fn missing(&mut self, wish: &Wish, desired: &Desired, situation: &Situation) {
        self.fetch_first(situation);
        self.step(Step::Create, "state", "absent", wish.state.word());
        if wish.state == State::Started {
            self.steps.push(Step::Start);
        }
        self.comparisons = describe(desired);
    }

    fn existing(&mut self, wish: &Wish, desired: &Desired, observed: &Observed, situation: &Situation) -> Result<()> {
        let Some(image) = &situation.image else {
            return Err(Error::new(Kind::Internal, "the image was not looked up; report this as a defect"));
        };
        self.fetch_first(situation);
        self.comparisons = compare(desired, observed, image, situation.engine);
        let differing = |way: Way| self.comparisons.iter().filter(move |field| field.verdict == Verdict::Differs(way));
        let mut for_replacement: Vec<_> = differing(Way::Replace).map(|field| field.field).collect();
        if is_beyond_a_start(wish, observed) {
            for_replacement.push("state");
        }
        let replace = !for_replacement.is_empty() || wish.recreate == Recreate::Always;
        let live = differing(Way::Update).next().is_some();
        self.differences.extend(self.comparisons.iter().filter_map(|field| difference(field, replace)));
        if replace {
            refusal::refuse_replacement(wish, observed, &for_replacement)?;
            if for_replacement.is_empty() {
                let way = Step::Replace { start: true }.word();
                self.differences.push(Difference {
                    field: "recreate",
                    before: Value::Null,
                    after: json!("always"),
                    way,
                });
            }
            self.replace(wish, observed);
            return Ok(());
        }
        if live {
            let update = Step::Update(Update::of(desired, observed, &self.comparisons));
            if observed.status == Status::Restarting {
                self.update_flapping(wish, observed, update);
                return Ok(());
            }
            self.steps.push(update);
        }
        self.run_state(wish, observed)
    }

    /// The engine cannot update what ends at any moment; and the update may be the cure, which only a new start shows.
    fn update_flapping(&mut self, wish: &Wish, observed: &Observed, update: Step) {
        self.steps.extend([Step::Stop, update]);
        if matches!(wish.state, State::Started | State::Present) {
            self.step(Step::Start, "state", observed.status.word(), State::Started.word());
        } else {
            let way = Step::Stop.word();
            let (before, after) = (observed.status.word().into(), State::Stopped.word().into());
            self.differences.push(Difference { field: "state", before, after, way });
        }
    }

    fn replace(&mut self, wish: &Wish, observed: &Observed) {
        let start = match wish.state {
            State::Started => true,
            State::Present => observed.status.is_up(),
            State::Stopped | State::Absent => false,
        };
        self.steps.push(Step::Replace { start });
        if start != observed.status.is_up() || observed.status == Status::Paused {
            let way = if start { Step::Start.word() } else { Step::Stop.word() };
            let after = if start { State::Started } else { State::Stopped };
            let before = observed.status.word();
            self.differences.push(Difference {
                field: "state",
                before: before.into(),
                after: after.word().into(),
                way,
            });
        }
    }

    fn run_state(&mut self, wish: &Wish, observed: &Observed) -> Result<()> {
        let before = observed.status.word();
        let unchanged = self.steps.iter().all(|step| {
            matches!(step, Step::CreateDirectory(..) | Step::SetMode(..) | Step::PullImage | Step::LoadImage)
        });
        match (wish.state, observed.status) {
            (State::Started, Status::Dead) => return Err(refusal::dead(observed)),
            (State::Started, Status::Created | Status::Exited) => {
                self.step(Step::Start, "state", before, State::Started.word());
            }
            (State::Started, Status::Paused) => self.step(Step::Unpause, "state", before, State::Started.word()),
            (State::Stopped, status) if status.is_up() => {
                if observed.auto_remove {
                    return Err(refusal::vanishes(
                        observed,
                        "a stop would remove it; use state=absent if that is meant",
                    ));
                }
                self.step(Step::Stop, "state", before, State::Stopped.word());
            }
            (State::Started | State::Present, status) if wish.restart && status.is_up() && unchanged => {
                if observed.auto_remove {
                    return Err(refusal::vanishes(
                        observed,
                        "a restart would remove it; use recreate=never and restart=no",
                    ));
                }
                self.step(Step::Restart, "restart", false, true);
            }
            _ => {}
        }
        Ok(())
    }

    fn absent(&mut self, request: &Request, observed: Option<&Observed>, situation: &Situation) -> Result<()> {
        let purged = if request.wish.purge { purged(request, observed)? } else { None };
        // Before the container goes: it may be all that knows the directory, should the run be interrupted.
        match (purged, situation.identity_dir) {
            (None, _) | (Some(_), OnHost::Missing) => {}
            (Some(directory), OnHost::Directory(_)) => {
                self.step(Step::PurgeDirectory(directory.clone()), "private_dir", directory.as_str(), Value::Null);
            }
            (Some(directory), OnHost::Other) => return Err(no_directory("private_dir", &directory)),
        }
        if let Some(observed) = observed {
            self.step(Step::Remove, "state", observed.status.word(), State::Absent.word());
        }
        Ok(())
    }

    fn fetch_first(&mut self, situation: &Situation) {
        self.steps.extend(match situation.image {
            Some(WantedImage::ToPull) => Some(Step::PullImage),
            Some(WantedImage::ToLoad) => Some(Step::LoadImage),
            Some(WantedImage::Local { .. }) | None => None,
        });
    }
}

/// A replacement takes the live differences with it.
fn difference(field: &Comparison, replace: bool) -> Option<Difference> {
    let way = match field.verdict {
        Verdict::Same => return None,
        Verdict::Differs(Way::Update) if !replace => "update",
        Verdict::Differs(_) => "replace",
    };
    Some(Difference { field: field.field, before: field.before.clone(), after: field.after.clone(), way })
}

/// One that the engine could not remove is never started again.
fn is_beyond_a_start(wish: &Wish, observed: &Observed) -> bool {
    wish.state == State::Started && observed.status == Status::Dead
}

#[cfg(test)]
mod tests;
