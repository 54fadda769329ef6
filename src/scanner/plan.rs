//! From what is wanted and what is there to what will be done. A plan is data and leaves nothing to choose: check mode is
//! "do not carry it out".

use serde_json::{Value, json};

use super::compare::{Comparison, EngineTraits, Verdict, Way, compare, describe};
use super::desired::{Desired, Request, Wish, refuse_shared_in};
use super::directory::{Directory, Mode};
use super::environment;
use super::image::WantedImage;
use super::limits::{Cpus, MemorySwap};
use super::mount;
use super::observed::{Observed, Status};
use super::restart_policy::RestartPolicy;
use crate::error::{Error, Kind, Result};
use crate::protocol::arguments::{Recreate, State};

/// What is at a host's path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnHost {
    /// Nothing.
    Missing,
    /// A directory with this mode.
    Directory(Mode),
    /// Something else.
    Other,
}

/// Everything a plan is made from, beside the request.
#[derive(Debug, Clone)]
pub struct Situation {
    /// The container of the scanner's name.
    pub observed: Option<Observed>,
    /// The image that is wanted, where one is.
    pub image: Option<WantedImage>,
    /// What the engine can do.
    pub engine: EngineTraits,
    /// The shared directory.
    pub shared_dir: OnHost,
    /// `<private_dir>/<code>`, or what an existing scanner has in its place.
    pub identity_dir: OnHost,
    /// The directory of the root CA.
    pub ca_dir: OnHost,
}

/// One step; each has its word in `actions`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Like mkdir -p; the mode is for the last component.
    CreateDirectory(Directory, Option<Mode>),
    /// Like chmod.
    SetMode(Directory, Mode),
    /// Fetch the image from its registry.
    PullImage,
    /// Fetch the image from its archive.
    LoadImage,
    /// Make the container.
    Create,
    /// Change limits or the restart policy while it runs.
    Update(Update),
    /// Put a new container in the place of the old one.
    Replace {
        /// Whether the new one shall run.
        start: bool,
    },
    /// Start it.
    Start,
    /// Thaw it.
    Unpause,
    /// Stop it.
    Stop,
    /// Stop it and start it.
    Restart,
    /// Remove it, running or not.
    Remove,
    /// Delete the scanner's identity.
    PurgeDirectory(Directory),
}

impl Step {
    const CREATE_DIRECTORY: &'static str = "create_directory";

    /// The stable word of the result's `actions`.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::CreateDirectory(..) => Self::CREATE_DIRECTORY,
            Self::SetMode(..) | Self::Update(_) => "update",
            Self::PullImage => "pull_image",
            Self::LoadImage => "load_image",
            Self::Create => "create",
            Self::Replace { .. } => "replace",
            Self::Start => "start",
            Self::Unpause => "unpause",
            Self::Stop => "stop",
            Self::Restart => "restart",
            Self::Remove => "remove",
            Self::PurgeDirectory(_) => "purge_directory",
        }
    }

    /// Whether the scanner's process starts anew, so that it must be seen to stay up.
    #[must_use]
    pub const fn starts(&self) -> bool {
        matches!(self, Self::Start | Self::Restart | Self::Replace { start: true })
    }
}

/// A live update; what is `None` stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Update {
    /// Bytes of memory and the bound of memory and swap, which always travel together.
    pub memory: Option<(u64, MemorySwap)>,
    /// CPUs, and the period where the container has them as quota and period.
    pub cpus: Option<(Cpus, Option<u64>)>,
    /// Restart policy.
    pub restart_policy: Option<RestartPolicy>,
    /// Whether one of the limits goes up, or is newly set and so begins to count.
    pub grows: bool,
}

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
            refuse_others(observed)?;
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
            (State::Started | State::Present, None, None) => return Err(no_such_scanner(request)),
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
            refuse_replacement(wish, observed, &for_replacement)?;
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
            (State::Started, Status::Dead) => {
                return Err(Error::new(
                    Kind::NeedsReplacement,
                    format!(
                        "the engine tried to remove the scanner, could not, and will not start it again; give \
                         personalization_code, qualys_url and image to replace it, or remove it with state=absent: `{}`",
                        observed.name
                    ),
                ));
            }
            (State::Started, Status::Created | Status::Exited) => {
                self.step(Step::Start, "state", before, State::Started.word());
            }
            (State::Started, Status::Paused) => self.step(Step::Unpause, "state", before, State::Started.word()),
            (State::Stopped, status) if status.is_up() => {
                if observed.auto_remove {
                    return Err(vanishes(observed, "a stop would remove it; use state=absent if that is meant"));
                }
                self.step(Step::Stop, "state", before, State::Stopped.word());
            }
            (State::Started | State::Present, status) if wish.restart && status.is_up() && unchanged => {
                if observed.auto_remove {
                    return Err(vanishes(observed, "a restart would remove it; use recreate=never and restart=no"));
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

impl Update {
    fn of(desired: &Desired, observed: &Observed, comparisons: &[Comparison]) -> Self {
        let differs = |name: &str| {
            comparisons.iter().any(|field| field.field == name && field.verdict == Verdict::Differs(Way::Update))
        };
        let (has, wants) = (&observed.limits, &desired.limits);
        let memory = wants.memory().zip(wants.memory_swap());
        // To the kernel no limit is the most there is; to the host's bookkeeping it is nothing.
        let swap = |swap| match swap {
            Some(MemorySwap::Bytes(bytes)) => bytes,
            Some(MemorySwap::Unlimited) | None => 0,
        };
        let grows =
            wants.memory() > has.memory || wants.cpus > has.cpus || swap(wants.memory_swap()) > swap(has.memory_swap);
        let cpus = desired.limits.cpus.map(|cpus| (cpus, observed.limits.cpu_period));
        Self {
            memory: memory.filter(|_| differs("memory") || differs("memory_swap")),
            cpus: cpus.filter(|_| differs("cpus")),
            restart_policy: desired.restart_policy.filter(|_| differs("restart_policy")),
            grows,
        }
    }
}

/// The directory that a purge would delete, where it can be known.
///
/// # Errors
/// When all that is known is an existing scanner that keeps its identity in an unusual place.
pub fn purged(request: &Request, observed: Option<&Observed>) -> Result<Option<Directory>> {
    if let Some(desired) = &request.desired {
        return Ok(Some(desired.identity_dir()));
    }
    let Some(observed) = observed else { return Ok(None) };
    let Some(mount) = observed.mount(mount::PRIVATE) else { return Ok(None) };
    let code = observed.env.value(environment::CODE).filter(|code| !code.is_empty());
    if code.is_some_and(|code| mount.source.rsplit('/').next() == Some(code)) {
        let directory = Directory::parse("private_dir", &mount.source)?;
        if let Some(shared) = observed.mount(mount::SHARED) {
            refuse_shared_in(&directory, &shared.source)?;
        }
        return Ok(Some(directory));
    }
    Err(Error::invalid(format!(
        "purge deletes <private_dir>/<code> only, and this scanner keeps its identity elsewhere; \
         give personalization_code, qualys_url, image and private_dir, or delete the directory by hand: `{}`",
        request.name
    )))
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

fn refuse_others(observed: &Observed) -> Result<()> {
    if !observed.is_scanner() {
        return Err(Error::new(
            Kind::NotAScanner,
            format!(
                "a container of this name exists and is no Qualys scanner (no mount at {}, no {}); \
                 choose another name, or remove that container yourself: `{}`",
                mount::PRIVATE,
                environment::CODE,
                observed.name
            ),
        ));
    }
    if observed.status == Status::Removing {
        let message =
            format!("the engine is just removing the scanner; run the task again when it is gone: `{}`", observed.name);
        return Err(Error::new(Kind::EngineError, message));
    }
    Ok(())
}

fn refuse_replacement(wish: &Wish, observed: &Observed, fields: &[&str]) -> Result<()> {
    if wish.recreate == Recreate::Never {
        return Err(Error::new(
            Kind::NeedsReplacement,
            format!(
                "recreate=never, but the scanner must be replaced to change {}; allow it with recreate=auto: `{}`",
                fields.join(", "),
                observed.name
            ),
        ));
    }
    if observed.auto_remove {
        let what = if fields.is_empty() { "recreate".to_owned() } else { fields.join(", ") };
        return Err(vanishes(
            observed,
            &format!("a replacement ({what}) that fails could not be undone; remove it first with state=absent"),
        ));
    }
    Ok(())
}

fn vanishes(observed: &Observed, why: &str) -> Error {
    let message = format!("the scanner was started with --rm, so that {why}: `{}`", observed.name);
    Error::new(Kind::NeedsReplacement, message)
}

fn no_such_scanner(request: &Request) -> Error {
    Error::invalid(format!(
        "there is no scanner of this name, and without personalization_code, qualys_url and image none can be created; \
         give all three: `{}`",
        request.name
    ))
}

fn no_directory(option: &str, path: &Directory) -> Error {
    let cure = if option == "ca_dir" {
        "create it and put the root CA there"
    } else {
        "move what is there, or choose another path"
    };
    Error::invalid(format!("{option} must be a directory on the Docker host; {cure}: `{path}`"))
}

#[cfg(test)]
mod tests;
