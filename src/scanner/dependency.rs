//! What one container has of another, and what becomes of it when the other one goes.

use super::observed::Observed;
use super::plan::Plan;
use super::refusal;
use crate::error::Result;

/// What a container has of another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// Its network.
    Network,
    /// Its shared memory.
    Ipc,
    /// Its processes.
    Pid,
    /// Its mounts.
    Volumes,
    /// A name for its address, on the default network.
    Link,
}

impl Sharing {
    /// The option of `docker run`.
    pub const fn option(self) -> &'static str {
        match self {
            Self::Network => "--network",
            Self::Ipc => "--ipc",
            Self::Pid => "--pid",
            Self::Volumes => "--volumes-from",
            Self::Link => "--link",
        }
    }

    /// Whether a container can be started only while the other one is up.
    const fn needs_it_up(self) -> bool {
        !matches!(self, Self::Volumes)
    }
}

/// That a container has something of another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependency {
    /// What it has.
    pub sharing: Sharing,
    /// The other one: its name, or its id or the beginning of that.
    pub other: String,
}

impl Dependency {
    /// Whether the other one is the container of this `id` and `name`.
    pub fn is_on(&self, id: &str, name: &str) -> bool {
        self.other == name || (!self.other.is_empty() && id.starts_with(&self.other))
    }
}

/// A container that something may depend on.
#[derive(Debug, Clone, Copy)]
pub struct Other<'a> {
    /// Its id.
    pub id: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Whether it is up.
    pub is_up: bool,
}

/// Refuses a plan for a scanner, `observed` now, that an engine with the containers `others` cannot carry out: a container is
/// gone, or down, that the scanner has something of. `leaves_network` says that the scanner gets a network of its own.
pub fn check_dependencies(observed: &Observed, plan: &Plan, leaves_network: bool, others: &[Other<'_>]) -> Result<()> {
    let kept = observed.dependencies.iter().filter(|it| !(leaves_network && it.sharing == Sharing::Network));
    for dependency in kept {
        let is_needed_up = plan.starts() && dependency.sharing.needs_it_up();
        if !plan.creates() && !is_needed_up {
            continue;
        }
        match others.iter().find(|other| dependency.is_on(other.id, other.name)) {
            None => return Err(refusal::dependency_is_gone(dependency, observed)),
            Some(other) if is_needed_up && !other.is_up => {
                return Err(refusal::dependency_is_down(dependency, other.name));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// The warning that containers depend on a scanner that is replaced: `dependents` are their names and what they have of it.
pub fn dependents_warning<'a>(scanner: &str, dependents: impl Iterator<Item = (&'a str, Sharing)>) -> Option<String> {
    let mut dependents: Vec<_> = dependents.map(|(name, sharing)| format!("`{name}` ({})", sharing.option())).collect();
    dependents.sort();
    dependents.dedup();
    (!dependents.is_empty()).then(|| {
        format!(
            "other containers depend on the container that is replaced, and must be made again after it to depend on the \
             new one: {} on `{scanner}`",
            dependents.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::example::by_hand;
    use super::super::operation::{Operation, Role};
    use super::super::values::environment::Environment;
    use super::super::values::restart_policy::RestartPolicy;
    use super::*;
    use rstest::rstest;

    const START: Operation = Operation::Start(Role::Scanner);
    const STOP: Operation = Operation::Stop(Role::Scanner);

    fn replace(start: bool) -> Operation {
        Operation::Replace { start, policy: RestartPolicy::No, env: Environment::default() }
    }

    fn refused(sharing: Sharing, operation: Operation, leaves_network: bool, is_up: Option<bool>) -> Option<String> {
        let dependency = Dependency { sharing, other: "0123".to_owned() };
        let observed = Observed { dependencies: vec![dependency], ..by_hand() };
        let plan = Plan { operations: vec![operation], ..Plan::default() };
        let others: Vec<_> = is_up.map(|is_up| Other { id: "012345", name: "other", is_up }).into_iter().collect();
        check_dependencies(&observed, &plan, leaves_network, &others).err().map(|error| error.to_string())
    }

    #[rstest]
    fn a_container_that_is_gone_stands_in_the_way(
        #[values(Sharing::Network, Sharing::Ipc, Sharing::Pid, Sharing::Volumes, Sharing::Link)] sharing: Sharing,
    ) {
        for creates in [replace(true), replace(false)] {
            let message = refused(sharing, creates, false, None).unwrap();
            assert!(message.contains(sharing.option()) && message.ends_with("`0123`"), "{message}");
        }
        assert_eq!(refused(sharing, START, false, None).is_some(), sharing != Sharing::Volumes);
        assert_eq!(refused(sharing, STOP, false, None), None);
        assert_eq!(refused(sharing, replace(true), true, None).is_some(), sharing != Sharing::Network);
    }

    #[rstest]
    fn one_that_is_down_stands_in_the_way_of_a_start(
        #[values(Sharing::Network, Sharing::Ipc, Sharing::Pid, Sharing::Volumes, Sharing::Link)] sharing: Sharing,
    ) {
        for starts in [replace(true), START] {
            assert_eq!(refused(sharing, starts.clone(), false, Some(false)).is_some(), sharing != Sharing::Volumes);
            assert_eq!(refused(sharing, starts, false, Some(true)), None);
        }
        assert_eq!(refused(sharing, replace(false), false, Some(false)), None);
    }

    #[test]
    fn dependents_are_named_once_and_in_order() {
        assert_eq!(dependents_warning("scanner", [].into_iter()), None);
        let dependents = [("b", Sharing::Link), ("a", Sharing::Network), ("b", Sharing::Link), ("a", Sharing::Ipc)];
        let warning = dependents_warning("scanner", dependents.into_iter()).unwrap();
        assert!(warning.ends_with("`a` (--ipc), `a` (--network), `b` (--link) on `scanner`"), "{warning}");
    }
}
