//! The one place where every field of a scanner is compared: a new field does not compile until it is handled here.

use serde_json::{Value, json};

use super::desired::Desired;
use super::engine_traits::EngineTraits;
use super::observed::{Observed, Status};
use super::operation::{Change, Update};
use super::values::environment::{self, Environment};
use super::values::image::WantedImage;
use super::values::limits::{ActualLimits, Cpus, Limits, MemorySwap};
use super::values::mount;
use crate::secret::MASK;

/// The period of the kernel in which CPUs are shared out, in microseconds, unless somebody says otherwise.
const CPU_PERIOD: u64 = 100_000;

/// How a difference is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Live, in the same container, by sending this. The comparison makes it, so that no live difference can be left out of
    /// the update.
    Update(Change),
    /// By a new container.
    Replace,
}

/// The result of comparing one field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is in the desired state.
    Same,
    /// It is not.
    Differs(Way),
}

/// One field, with values that may be shown.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// The option's name.
    pub field: &'static str,
    /// The observed value.
    pub before: Value,
    /// The desired value.
    pub after: Value,
    /// Whether they differ.
    pub verdict: Verdict,
}

/// Compares every field that the task manages; what it leaves to the scanner is not in the list.
pub fn compare(desired: &Desired, observed: &Observed, image: &WantedImage, engine: EngineTraits) -> Vec<Comparison> {
    let Desired {
        code: _,
        identity_at: _,
        url: _,
        image: image_ref,
        shared_dir,
        private_dir: _,
        private_dir_mode: _, // of the host, not of the container: compared by the plan
        limits,
        proxy: _,
        polling_interval: _,
        update_interval: _,
        refresh_interval: _,
        ca_dir,
        network,
        env: _,
        restart_policy,
        privileged,
        labels,
        kept,
    } = desired;
    let mut list = List(Vec::new());
    let (before, after) = shown_images(observed, image_ref.as_str(), image);
    list.add("image", before, after, is_image(observed, image), Way::Replace);
    list.environment(desired, observed, image);
    let identity_dir = desired.identity_dir();
    list.mount("shared_dir", observed, mount::SHARED, Some(shared_dir.as_str()), engine);
    list.mount("private_dir", observed, mount::PRIVATE, Some(identity_dir.as_str()), engine);
    list.mount("ca_dir", observed, mount::CA, ca_dir.as_ref().map(super::values::directory::Directory::as_str), engine);
    // One that ends again and again has to be stopped to be changed.
    let has_ended = matches!(observed.status, Status::Exited | Status::Restarting);
    let live = |change| match change {
        // Podman goes on reporting the limits that an ended container was started with.
        Change::Memory(..) | Change::Cpus(..) if engine.updates && has_ended => Way::Replace,
        // Podman's call knows CPUs only as a share of a period.
        Change::Cpus(cpus, None) if engine.updates => Way::Update(Change::Cpus(cpus, Some(CPU_PERIOD))),
        change if engine.updates || observed.is_updatable() => Way::Update(change),
        _ => Way::Replace,
    };
    list.limits(limits, &observed.limits, live, engine);
    if let Some(network) = network {
        let same = observed.is_on(network);
        list.add("network", observed.network.shown(), network.as_str(), same, Way::Replace);
    }
    if let Some(policy) = restart_policy {
        let (before, after) = (observed.restart_policy.to_string(), policy.to_string());
        list.add(
            "restart_policy",
            before,
            after,
            observed.restart_policy == *policy,
            live(Change::RestartPolicy(*policy)),
        );
    }
    if let Some(privileged) = privileged {
        list.add("privileged", observed.privileged, *privileged, observed.privileged == *privileged, Way::Replace);
    }
    if !labels.is_empty() {
        // Whatever the old value is, it is not the task's to show.
        let shown =
            |key: &String, old: &String| if labels.get(key) == Some(old) { old.clone() } else { MASK.to_owned() };
        let shown = |key: &String| json!(observed.labels.get(key).map(|old| shown(key, old)));
        let observed_labels: Value = labels.keys().map(|key| (key.clone(), shown(key))).collect();
        let same = labels.iter().all(|(key, value)| observed.labels.get(key) == Some(value));
        list.add("labels", observed_labels, json!(labels), same, Way::Replace);
    }
    list.0.retain(|field| !kept.contains(field.field));
    list.0
}

/// Every field of a scanner that will be created, for `diff`.
pub fn describe(desired: &Desired) -> Vec<Comparison> {
    let fields = compare(desired, &Observed::default(), &WantedImage::ToPull, EngineTraits::default());
    fields.into_iter().map(|field| Comparison { before: Value::Null, verdict: Verdict::Same, ..field }).collect()
}

fn is_image(observed: &Observed, image: &WantedImage) -> bool {
    match image {
        WantedImage::Local { id, .. } => *id == observed.image_id,
        WantedImage::Kept => true,
        WantedImage::ToPull | WantedImage::ToLoad => false,
    }
}

/// Both names; where a name has come to mean another image, the ids with them. Podman puts the registry before a name.
fn shown_images(observed: &Observed, wanted: &str, image: &WantedImage) -> (String, String) {
    let registry = observed.image.strip_suffix(wanted);
    if registry.is_none_or(|it| !it.is_empty() && !it.ends_with('/')) || is_image(observed, image) {
        return (observed.image.clone(), wanted.to_owned());
    }
    let after = match image {
        WantedImage::Local { id, .. } => id,
        WantedImage::Kept => &observed.image_id,
        WantedImage::ToPull => "to be pulled",
        WantedImage::ToLoad => "to be loaded",
    };
    (format!("{} ({})", observed.image, observed.image_id), format!("{wanted} ({after})"))
}

struct List(Vec<Comparison>);

impl List {
    fn add(&mut self, field: &'static str, before: impl Into<Value>, after: impl Into<Value>, same: bool, way: Way) {
        let verdict = if same { Verdict::Same } else { Verdict::Differs(way) };
        self.0.push(Comparison { field, before: before.into(), after: after.into(), verdict });
    }

    fn environment(&mut self, desired: &Desired, observed: &Observed, image: &WantedImage) {
        let base = match image {
            WantedImage::Local { id, brought } if *id == observed.image_id => Some(&brought.env),
            // The image is a difference of its own; the variables that come with it are not.
            _ => observed.image_env.as_ref(),
        };
        let wanted = desired.variables();
        // What the image brings and the container took away it does not have; a task could not say so.
        let brought = base.map(|base| base.only_those_of(&observed.env)).unwrap_or_default();
        let expected = brought.without_those_of(&observed.client_env).overlaid(&wanted);
        let mut actual = observed.env.without_those_of(&observed.client_env);
        if observed.podman {
            actual = actual.without_podmans(&expected);
        }
        let url = |env: &Environment| env.value(environment::URL).map(str::to_owned);
        let same_url = url(&actual).is_some_and(|url| desired.url.means(&url));
        self.add("qualys_url", url(&actual), url(&expected), same_url, Way::Replace);
        for (variable, option) in environment::OWNED.iter().filter(|(variable, _)| *variable != environment::URL) {
            let secret = [environment::CODE, environment::PROXY].contains(variable);
            let shown = |env: &Environment| match env.value(variable) {
                Some(_) if secret => Value::from(MASK),
                value => Value::from(value),
            };
            let same = actual.value(variable) == expected.value(variable);
            self.add(option, shown(&actual), shown(&expected), same, Way::Replace);
        }
        self.further_variables(&actual, &expected, base.is_some());
    }

    /// `env`: names only. If the image is gone, variables that the task does not have may be the image's.
    fn further_variables(&mut self, actual: &Environment, expected: &Environment, base_known: bool) {
        let owned = |name: &str| environment::OWNED.iter().any(|(variable, _)| *variable == name);
        let differing = |these: &Environment, those: &Environment, all: bool| -> Value {
            these
                .iter()
                .filter(|(name, value)| !owned(name) && those.value(name) != Some(value))
                .filter(|(name, _)| all || those.value(name).is_some())
                .map(|(name, _)| (name.to_owned(), Value::from(MASK)))
                .collect()
        };
        let (before, after) = (differing(actual, expected, base_known), differing(expected, actual, true));
        let same = before == json!({}) && after == json!({});
        self.add("env", before, after, same, Way::Replace);
    }

    fn mount(
        &mut self,
        field: &'static str,
        observed: &Observed,
        destination: &str,
        wanted: Option<&str>,
        engine: EngineTraits,
    ) {
        let actual = observed.mount(destination);
        // Podman consumes the `z` and never reports it.
        let labels_enforced = engine.labels_enforced && !observed.podman;
        let same = match (wanted, actual) {
            (Some(source), Some(mount)) => mount.serves(source, labels_enforced),
            (wanted, actual) => wanted.is_none() && actual.is_none(),
        };
        let before = actual.map(|mount| match (mount.read_write, mount.relabel || !labels_enforced) {
            (true, true) => mount.source.clone(),
            (true, false) => format!("{} (without z)", mount.source),
            (false, _) => format!("{} (read-only)", mount.source),
        });
        self.add(field, before, wanted, same, Way::Replace);
    }

    fn limits(&mut self, wanted: &Limits, actual: &ActualLimits, live: impl Fn(Change) -> Way, engine: EngineTraits) {
        // Each of them below, but for what a replacement must heed (`super::feasibility`).
        let ActualLimits { memory: _, memory_swap: _, cpus: _, cpu_period: _, cpus_lapse, memory_reservation: _ } =
            actual;
        // Engines have no call that takes a limit away.
        let way = |change: Option<Change>| change.map_or(Way::Replace, &live);
        let (memory, swap, cpus) = (wanted.memory(), wanted.memory_swap(), wanted.cpus);
        let change = memory.zip(swap).map(|(memory, swap)| Change::Memory(memory, swap));
        self.add("memory", actual.memory, memory, engine.is_memory(actual, memory), way(change));
        let shown = |swap: Option<MemorySwap>| {
            swap.map(|swap| match swap {
                MemorySwap::Unlimited => json!("unlimited"),
                MemorySwap::Bytes(bytes) => json!(bytes),
            })
        };
        self.add("memory_swap", shown(actual.memory_swap), shown(swap), engine.is_swap(actual, swap), way(change));
        let before = actual.cpus.map(|cpus| match cpus_lapse {
            false => json!(cpus.to_f64()),
            true => json!(format!("{cpus} (not enforced, or only until the next start)")),
        });
        let change = cpus.filter(|cpus| actual.can_be_given(*cpus));
        let change = change.map(|cpus| Change::Cpus(cpus, actual.cpu_period));
        self.add("cpus", before, cpus.map(Cpus::to_f64), actual.has_cpus(cpus), way(change));
    }
}

/// The update that removes the live differences among `comparisons`. Podman takes a policy that is not in it for none.
pub fn live_update(desired: &Desired, observed: &Observed, comparisons: &[Comparison]) -> Update {
    let mut changes = Vec::new();
    for field in comparisons {
        if let Verdict::Differs(Way::Update(change)) = field.verdict
            && !changes.contains(&change)
        {
            changes.push(change);
        }
    }
    let has_policy = changes.iter().any(|it| matches!(it, Change::RestartPolicy(_)));
    if observed.podman && !changes.is_empty() && !has_policy {
        changes.push(Change::RestartPolicy(observed.restart_policy));
    }
    let (has, wants) = (&observed.limits, &desired.limits);
    // To the kernel "no limit" is the maximum; in the sum of all scanners it counts as nothing.
    let swap = |swap| match swap {
        Some(MemorySwap::Bytes(bytes)) => bytes,
        Some(MemorySwap::Unlimited) | None => 0,
    };
    // What the engine discards is no difference.
    let differs = |field| comparisons.iter().any(|it| it.field == field && it.verdict != Verdict::Same);
    let grows = (differs("memory") && wants.memory() > has.memory)
        || (differs("cpus") && wants.cpus > has.cpus)
        || (differs("memory_swap") && swap(wants.memory_swap()) > swap(has.memory_swap));
    Update { changes, grows }
}

#[cfg(test)]
pub(crate) mod tests;
