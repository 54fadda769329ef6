//! Containers that a scanner depends on, and containers that depend on it.

use super::admission::{Admitted, PlannedScanner, Refused};
use crate::engine::{Engine, Failure};
use crate::scanner::admission::Neighbour;
use crate::scanner::dependency::{Dependency, Other, check_dependencies, dependents_warning};

/// Refuses the task when `neighbours`, all containers of the engine, lack what one of the `planned` scanners depends on.
pub fn check(planned: &[PlannedScanner<'_>], neighbours: &[Neighbour]) -> Result<(), Refused> {
    for (at, scanner) in planned.iter().enumerate() {
        let Some(observed) = scanner.observed else { continue };
        let earlier = planned.iter().take(at).filter(|it| it.plan.starts());
        let starts = |name: &str| earlier.clone().any(|it| it.request.name.as_str() == name);
        let others: Vec<_> = neighbours
            .iter()
            .map(|it| Other { id: &it.id, name: &it.name, is_up: it.is_up || starts(&it.name) })
            .collect();
        let desired = scanner.desired().and_then(|desired| desired.network.as_ref());
        let leaves_network = scanner.plan.replaces() && desired.is_some_and(|network| !observed.is_on(network));
        let checked = check_dependencies(observed, scanner.plan, leaves_network, &others);
        checked.map_err(|error| Refused { at: Some(at), error: error.into() })?;
    }
    Ok(())
}

/// Warns of the containers among `neighbours` that depend on a scanner that is replaced.
pub async fn warn<E: Engine>(
    engine: &E,
    planned: &[PlannedScanner<'_>],
    neighbours: &[Neighbour],
    admitted: &mut Admitted,
) -> Result<(), Failure> {
    let replaced: Vec<_> = planned.iter().filter(|it| it.plan.replaces()).filter_map(|it| it.observed).collect();
    if replaced.is_empty() {
        return Ok(());
    }
    // A list does not show them.
    let unseen: Vec<_> = neighbours.iter().filter(|it| it.scanner.is_none()).map(|it| it.id.as_str()).collect();
    let mut of_unseen = engine.dependencies(&unseen).await?.into_iter();
    let mut dependencies: Vec<(&str, Dependency)> = Vec::new();
    for neighbour in neighbours {
        let of_neighbour = match &neighbour.scanner {
            Some(scanner) => scanner.dependencies.clone(),
            None => of_unseen.next().unwrap_or_default(),
        };
        dependencies.extend(of_neighbour.into_iter().map(|it| (neighbour.name.as_str(), it)));
    }
    for scanner in replaced {
        let on_it = dependencies.iter().filter(|(_, it)| it.is_on(&scanner.id, &scanner.name));
        let dependents = on_it.map(|(name, it)| (*name, it.sharing));
        if let Some(warning) = dependents_warning(&scanner.name, dependents) {
            admitted.warn(&warning);
        }
    }
    Ok(())
}
