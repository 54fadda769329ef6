//! Finds out what the paths of the task's scanners and of the engine's containers lead to, and checks them against the rules.

use std::path::Path;

use super::admission::{Admitted, PlannedScanner, Refused};
use crate::engine::Info;
use crate::error::Result;
use crate::host::mounts::Mounts;
use crate::scanner::admission::Neighbour;
use crate::scanner::observed::Observed;
use crate::scanner::operation::Operation;
use crate::scanner::path_rules::{
    OtherPaths, Reserved, SYSTEM, ScannerPaths, UsedPath, check, check_purge, refuse_purge_of_mount,
};
use crate::scanner::policy::State;
use crate::scanner::values::directory::Directory;
use crate::scanner::values::mount::{CA, Mount, PRIVATE, SHARED};
use crate::scanner::values::place::Place;

/// Checks the paths of those of `planned` whose plan begins to use or changes any.
pub fn check_paths(
    planned: &[PlannedScanner<'_>],
    info: &Info,
    neighbours: &[Neighbour],
    admitted: &mut Admitted,
) -> Result<(), Refused> {
    if !planned.iter().any(|it| it.plan.uses_paths()) {
        return Ok(());
    }
    let mounts = Mounts::read()?;
    let reserved = reserved(&mounts, info);
    let others: Vec<_> = neighbours.iter().map(|it| (it.id.as_str(), other(&mounts, it))).collect();
    let task: Vec<_> =
        planned.iter().filter(|it| it.request.policy.state != State::Absent).map(|it| it.paths(&mounts)).collect();
    for (at, planned) in planned.iter().enumerate().filter(|(_, it)| it.plan.uses_paths()) {
        let own = planned.own_ids(neighbours);
        let others: Vec<_> =
            others.iter().filter(|(id, _)| !own.iter().any(|own| own == id)).map(|(_, it)| it).collect();
        let checked = match planned.purged() {
            Some(directory) => planned.refuse_purge(&mounts, directory, &others, &task, &reserved).map(|()| Vec::new()),
            None => check(&planned.paths(&mounts), &others, &task, &reserved),
        };
        let warnings = checked.map_err(|error| Refused { at: Some(at), error: error.into() })?;
        for warning in &warnings {
            admitted.warn(warning);
        }
    }
    Ok(())
}

fn reserved(mounts: &Mounts, info: &Info) -> Reserved {
    let engine = (!info.root_dir.is_empty()).then(|| mounts.place(Path::new(&info.root_dir)));
    let system = SYSTEM.iter().map(|path| mounts.place(Path::new(path))).collect();
    Reserved { system, engine, socket: mounts.place(&info.socket) }
}

fn other<'a>(mounts: &Mounts, neighbour: &'a Neighbour) -> OtherPaths<'a> {
    let mount = |it: &'a Mount| (it.destination.as_str(), mounts.place(Path::new(&it.source)));
    let on_host = |it: &&Mount| !it.source.is_empty();
    OtherPaths {
        name: &neighbour.name,
        is_scanner: neighbour.scanner.is_some(),
        mounts: neighbour.mounts.iter().filter(on_host).map(mount).collect(),
        borrowed: neighbour.borrowed.iter().filter(on_host).map(|it| mount(it).1).collect(),
    }
}

impl PlannedScanner<'_> {
    /// The directory that the plan deletes.
    fn purged(&self) -> Option<&Directory> {
        self.plan.operations.iter().find_map(|it| match it {
            Operation::PurgeDirectory(directory) => Some(directory),
            _ => None,
        })
    }

    /// Refuses to delete `directory` with anything in it that is not this scanner's own.
    fn refuse_purge(
        &self,
        mounts: &Mounts,
        directory: &Directory,
        others: &[&OtherPaths<'_>],
        task: &[ScannerPaths<'_>],
        reserved: &Reserved,
    ) -> Result<()> {
        let place = mounts.place_unfollowed(directory);
        if let Some(point) = mounts.at_or_below(&place) {
            return Err(refuse_purge_of_mount(point));
        }
        let text = directory.split().0.display().to_string();
        let purged = UsedPath { place, text, mounted: true };
        check_purge(self.request.name.as_str(), &purged, &self.spared(mounts), others, task, reserved)
    }

    /// The directories beside the private one, of the task and of the container that is there.
    fn spared(&self, mounts: &Mounts) -> Vec<(&'static str, UsedPath)> {
        let of_task =
            self.request.identity.iter().flat_map(|it| &it.spared).map(|(option, path)| (*option, path.as_str()));
        let source = |destination: &str| Some(self.observed?.mount(destination)?.source.as_str());
        let of_container = [("shared_dir", source(SHARED)), ("ca_dir", source(CA))];
        let of_container = of_container.into_iter().filter_map(|(option, path)| Some((option, path?)));
        let used = |path: &str| UsedPath { place: mounts.place(Path::new(path)), text: path.to_owned(), mounted: true };
        of_task.chain(of_container).map(|(option, path)| (option, used(path))).collect()
    }

    /// The paths that the scanner has when the plan is done.
    fn paths(&self, mounts: &Mounts) -> ScannerPaths<'_> {
        let name = self.request.name.as_str();
        let source =
            |destination: &str| self.observed.and_then(|it: &Observed| it.mount(destination)).map(|it| &it.source);
        let used = |destination: &str, place: Place, text: &str| {
            let mounted = source(destination).is_some_and(|source| mounts.place(Path::new(source)).is(&place));
            Some(UsedPath { place, text: text.to_owned(), mounted })
        };
        let Some(desired) = self.desired() else {
            let used = |destination: &str| {
                let path = source(destination)?;
                let text = if destination == PRIVATE { parent(path) } else { path.as_str() };
                used(destination, mounts.place(Path::new(path)), text)
            };
            return ScannerPaths { name, identity: used(PRIVATE), shared: used(SHARED), ca: used(CA) };
        };
        let place = |path: &Directory| mounts.place(path.as_path());
        let identity = mounts.place_unfollowed(&desired.identity_dir());
        ScannerPaths {
            name,
            identity: used(PRIVATE, identity, desired.private_dir.as_str()),
            shared: used(SHARED, place(&desired.shared_dir), desired.shared_dir.as_str()),
            ca: desired.ca_dir.as_ref().and_then(|path| used(CA, place(path), path.as_str())),
        }
    }
}

/// The folder that `path` is in.
fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(parent, _)| parent)
}
