//! From the engine's JSON of a container's mounts to the domain's types.

use std::collections::{BTreeMap, BTreeSet};

use super::answer::{Container, HostConfig, MountPoint};
use crate::scanner::values::directory::plain;
use crate::scanner::values::mount::Mount;
use crate::scanner::volume::{AnonymousVolume, is_made_up};

/// A label of a container: the anonymous volumes that it has from the containers that were replaced, separated by commas.
pub const VOLUMES: &str = "qcss_scanner.volumes";

impl Container {
    /// Its own mounts, and those that it has from others. A container with a code (`has_code`) is a scanner, wherever it has its
    /// mounts from.
    pub(super) fn mounts(&self, has_code: bool) -> (Vec<Mount>, Vec<Mount>) {
        let points = self.inspected.mounts.as_deref().unwrap_or_default();
        let host_config = self.inspected.host_config.as_ref().filter(|_| !has_code);
        match host_config.filter(|config| config.volumes_from.as_ref().is_some_and(|from| !from.is_empty())) {
            None => (mounts(points), Vec::new()),
            Some(host_config) => {
                let (named, nameless, at) = (named(host_config), nameless(host_config), self.volume_paths());
                let (own, borrowed): (Vec<_>, Vec<_>) = points.iter().cloned().partition(|point| {
                    let path = path(point);
                    named.contains(&path) || nameless.contains(&path) || (is_volume(point) && at.contains(&path))
                });
                (mounts(&own), mounts(&borrowed))
            }
        }
    }

    /// Its anonymous volumes, where its image, unless that is gone, has a VOLUME at each of the paths `of_image`.
    pub(super) fn volumes(&self, of_image: Option<&BTreeSet<String>>) -> Vec<AnonymousVolume> {
        let Some(host_config) = &self.inspected.host_config else { return Vec::new() };
        let (named, nameless, at) = (named(host_config), nameless(host_config), self.volume_paths());
        let points = self.inspected.mounts.iter().flatten().filter(|point| is_volume(point));
        let volume = |point: &MountPoint| {
            let (name, path) = (point.name.clone()?, path(point));
            let is_mount = nameless.contains(&path);
            let is_own = is_mount || !of_image.is_some_and(|paths| paths.contains(&path));
            let read_write = point.read_write.unwrap_or(true);
            let is_anonymous = is_mount || (at.contains(&path) && !named.contains(&path));
            (is_anonymous && is_made_up(&name)).then_some(AnonymousVolume { name, path, is_own, read_write })
        };
        points.filter_map(volume).collect()
    }

    /// Where it has volumes that nobody named: as it was asked for, and as its image has it.
    fn volume_paths(&self) -> BTreeSet<String> {
        let volumes = self.inspected.config.iter().filter_map(|config| config.volumes.as_ref());
        volumes.flat_map(|volumes| volumes.keys()).map(|path| plain(path)).collect()
    }
}

/// The engine's mounts.
pub fn mounts(points: &[MountPoint]) -> Vec<Mount> {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let mount = |point: &MountPoint| {
        let read_write = point.read_write.unwrap_or(true);
        Mount::new(&text(&point.source), &text(&point.destination), read_write, &text(&point.mode))
    };
    points.iter().map(mount).collect()
}

/// The names of the anonymous volumes that `labels` note.
pub fn noted_volumes(labels: &BTreeMap<String, String>) -> Vec<String> {
    let noted = labels.get(VOLUMES).into_iter().flat_map(|names| names.split(','));
    noted.filter(|name| is_made_up(name)).map(str::to_owned).collect()
}

/// Where something with a name or a path was asked for.
fn named(config: &HostConfig) -> BTreeSet<String> {
    let binds = config.binds.iter().flatten().filter_map(|bind| bind.split(':').nth(1));
    let mounts =
        config.mounts.iter().flatten().filter(|it| it.source.as_ref().is_some_and(|source| !source.is_empty()));
    binds.chain(mounts.filter_map(|it| it.target.as_deref())).map(plain).collect()
}

/// Where something without was asked for, other than by a `--volume`.
fn nameless(config: &HostConfig) -> BTreeSet<String> {
    let mounts = config.mounts.iter().flatten().filter(|it| it.source.as_ref().is_none_or(String::is_empty));
    mounts.filter_map(|it| it.target.as_deref()).map(plain).collect()
}

fn is_volume(point: &MountPoint) -> bool {
    point.kind.as_deref() == Some("volume")
}

fn path(point: &MountPoint) -> String {
    plain(point.destination.as_deref().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::fixtures::container;
    use super::*;
    use crate::scanner::values::mount::{PRIVATE, SHARED};

    fn volume(name: &str, path: &str) -> Value {
        json!({"Type": "volume", "Name": name, "Source": "/v", "Destination": path, "RW": true})
    }

    #[test]
    fn a_volume_is_anonymous_until_somebody_asks_for_it_by_its_name() {
        let name = "0a".repeat(32);
        let found = |binds: Value, asked: Value, image: &[&str]| {
            let container = container(json!({
                "Config": {"Volumes": {"/data": {}}},
                "HostConfig": {"Binds": binds, "Mounts": asked},
                "Mounts": [volume(&name, "/data"), volume("named", "/named"), volume(&name, "/elsewhere")],
            }));
            let paths = image.iter().map(|&path| path.to_owned()).collect();
            let volumes = container.volumes(Some(&paths));
            volumes.iter().map(|it| (it.path.clone(), it.is_own)).collect::<Vec<_>>()
        };
        assert_eq!(found(json!(null), json!(null), &[]), [("/data".to_owned(), true)]);
        assert_eq!(found(json!(null), json!(null), &["/data"]), [("/data".to_owned(), false)]);
        assert_eq!(found(json!(null), json!([{"Target": "/data/"}]), &["/data"]), [("/data".to_owned(), true)]);
        assert_eq!(found(json!([format!("{name}:/data/")]), json!(null), &["/data"]), []);
        assert_eq!(found(json!(null), json!([{"Target": "/data", "Source": name}]), &["/data"]), []);
    }

    #[test]
    fn what_a_container_has_from_others_is_not_its_own() {
        let bind = |path: &str| json!({"Type": "bind", "Source": "/host", "Destination": path, "RW": true});
        let found = |volumes_from: Value, has_code: bool| {
            let container = container(json!({
                "Config": {"Volumes": {"/data": {}, PRIVATE: {}}},
                "HostConfig": {"Binds": ["/host:/own"], "VolumesFrom": volumes_from},
                "Mounts": [bind("/own"), bind(PRIVATE), bind(SHARED), volume("0", "/data")],
            }));
            let (own, borrowed) = container.mounts(has_code);
            let paths = |mounts: Vec<Mount>| mounts.into_iter().map(|it| it.destination).collect::<Vec<_>>().join(" ");
            (paths(own), paths(borrowed))
        };
        let (all, own, borrowed) =
            (format!("/own {PRIVATE} {SHARED} /data"), "/own /data".to_owned(), format!("{PRIVATE} {SHARED}"));
        assert_eq!(found(json!(["scanner:ro"]), false), (own, borrowed));
        for (volumes_from, has_code) in [(json!(null), false), (json!([]), false), (json!(["data"]), true)] {
            assert_eq!(found(volumes_from, has_code), (all.clone(), String::new()));
        }
    }
}
