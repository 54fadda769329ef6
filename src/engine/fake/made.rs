//! The containers and images that the engine in memory makes for a task.

use super::super::LocalImage;
use crate::scanner::desired::Desired;
use crate::scanner::example::made_on;
use crate::scanner::observed::Observed;
use crate::scanner::values::environment::Environment;
use crate::scanner::values::image::Brought;
use crate::scanner::values::limits::ActualLimits;
use crate::scanner::values::mount::{self, Mount};

/// The container for a task's `desired`, without id and name.
pub fn made(desired: &Desired) -> Observed {
    let Desired {
        code: _,
        identity_at: _,
        url: _,
        image,
        shared_dir: _,
        private_dir: _,
        private_dir_mode: _,
        limits,
        proxy: _,
        polling_interval: _,
        update_interval: _,
        refresh_interval: _,
        ca_dir: _,
        network,
        env: _,
        restart_policy,
        privileged,
        labels,
        kept: _,
    } = desired;
    let mount = |source: &str, destination: &str| Mount::new(source, destination, true, "z");
    let ca = desired.ca_dir.as_ref().map(|ca_dir| mount(ca_dir.as_str(), mount::CA));
    let image = image_of(image.as_str());
    Observed {
        image: desired.image.as_str().to_owned(),
        image_id: image.id,
        env: image.brought.env.overlaid(&desired.variables()),
        image_env: Some(image.brought.env),
        limits: ActualLimits::from(limits),
        mounts: [
            mount(desired.shared_dir.as_str(), mount::SHARED),
            mount(desired.identity_dir().as_str(), mount::PRIVATE),
        ]
        .into_iter()
        .chain(ca)
        .collect(),
        network: made_on(network.as_deref().unwrap_or("bridge")),
        restart_policy: restart_policy.unwrap_or_default(),
        privileged: privileged.unwrap_or_default(),
        labels: labels.clone(),
        ..Observed::default()
    }
}

/// Every image name is an image: `qualys/qcsa:2` has the id `sha256:qualys/qcsa:2`.
pub fn image_of(name: &str) -> LocalImage {
    let env = Environment::from_entries([&"PATH=/bin".to_owned()]);
    LocalImage { id: format!("sha256:{name}"), digests: Vec::new(), brought: Brought { env, ..Brought::default() } }
}
