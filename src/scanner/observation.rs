//! What a run observes on the engine and the host for one scanner.

use std::collections::BTreeMap;

use super::engine_traits::EngineTraits;
use super::observed::Observed;
use super::values::directory::Mode;
use super::values::image::WantedImage;

/// What is at a host's path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnHost {
    /// Nothing.
    Missing,
    /// A directory with this mode.
    Directory(Mode),
    /// Nothing but what a purge that was killed has not deleted yet. Looked for where the directory is to be deleted.
    HalfPurged,
    /// Something else.
    Other,
}

/// Everything that a plan depends on, beside the request.
#[derive(Debug, Clone)]
pub struct Observation {
    /// The container of the scanner's name. A mount that leads to the same directory as the task's path has that path.
    pub observed: Option<Observed>,
    /// The name of a container that has one of a replacement's temporary names and does not belong to a replacement.
    pub stranger: Option<String>,
    /// The desired image, if the task has one.
    pub image: Option<WantedImage>,
    /// The abilities of the engine.
    pub engine: EngineTraits,
    /// The shared directory.
    pub shared_dir: OnHost,
    /// `<private_dir>/<code>`, or what an existing scanner has in its place; not followed where it is a link.
    pub identity_dir: OnHost,
    /// Whether the container has its identity elsewhere, as far as is known, and would find none in `<private_dir>/<code>`.
    pub leaves_identity: bool,
    /// The directory of the root CA.
    pub ca_dir: OnHost,
    /// The ids of the networks that the container is attached to and that people can remove, by name; `None`: there is no such
    /// network. Empty where it does not matter.
    pub networks: BTreeMap<String, Option<String>>,
}
