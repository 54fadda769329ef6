//! What there is on the engine and the host, as far as one scanner is concerned.

use super::compare::EngineTraits;
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
    /// Something else.
    Other,
}

/// Everything a plan is made from, beside the request.
#[derive(Debug, Clone)]
pub struct Observation {
    /// The container of the scanner's name.
    pub observed: Option<Observed>,
    /// The name of a container that bears a name which only a replacement gives, and is no part of one.
    pub stranger: Option<String>,
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
