//! The rules for the paths of scanners, in one place. A scanner can write to what is mounted into it, while module and engine
//! work on its paths as root: so nothing that a scanner writes to may hold an identity, another one's or its own.
//!
//! Paths are compared by what they lead to ([`Place`]), never by how they are spelled.

use super::values::mount::{CA, PRIVATE, SHARED};
use super::values::place::Place;
use crate::error::{Error, Kind, Result};

/// Directories that no scanner may have as a whole.
pub const SYSTEM: [&str; 11] =
    ["/", "/etc", "/usr", "/var", "/home", "/root", "/boot", "/dev", "/proc", "/sys", "/run"];

/// A path that a scanner of the task has, or will have.
#[derive(Debug, Clone)]
pub struct UsedPath {
    /// What it leads to.
    pub place: Place,
    /// The text for messages; of an identity directory the folder that it is in, since its own name is a code.
    pub text: String,
    /// Whether the scanner's container has it mounted already. What is wrong with it then is a warning.
    pub mounted: bool,
}

/// The paths of one scanner of the task.
#[derive(Debug, Clone, Default)]
pub struct ScannerPaths<'a> {
    /// The scanner's name.
    pub name: &'a str,
    /// Its identity directory.
    pub identity: Option<UsedPath>,
    /// Its shared directory.
    pub shared: Option<UsedPath>,
    /// Its CA directory.
    pub ca: Option<UsedPath>,
}

/// The mounts of another container of the engine.
#[derive(Debug, Clone)]
pub struct OtherPaths<'a> {
    /// The container's name.
    pub name: &'a str,
    /// Whether it is a scanner.
    pub is_scanner: bool,
    /// Where each is mounted, and what.
    pub mounts: Vec<(&'a str, Place)>,
    /// What it has mounted from others (`--volumes-from`).
    pub borrowed: Vec<Place>,
}

/// What belongs to the host and to the engine.
#[derive(Debug, Clone)]
pub struct Reserved {
    /// The directories of [`SYSTEM`].
    pub system: Vec<Place>,
    /// The engine's own directory.
    pub engine: Option<Place>,
    /// The engine's socket.
    pub socket: Place,
}

/// Refuses a scanner whose `own` paths break a rule, by themselves or together with those of `others` and of the other scanners
/// of the `task`. Returns warnings about those that its container has already.
pub fn check(
    own: &ScannerPaths<'_>,
    others: &[&OtherPaths<'_>],
    task: &[ScannerPaths<'_>],
    reserved: &Reserved,
) -> Result<Vec<String>> {
    let mut offences = Offences { name: own.name, warnings: Vec::new() };
    for (option, path) in own.options() {
        if let Some(error) = reserved.refusal(option, path) {
            offences.add(error, path.mounted)?;
        }
    }
    own.check_themselves(&mut offences)?;
    for other in others {
        own.check_beside(other, &mut offences, |message| {
            Error::new(Kind::AlreadyInUse, format!("{message}: `{}`", other.name))
        })?;
    }
    for other in task.iter().filter(|other| other.name != own.name) {
        let names = format!("`{}` and `{}`", own.name, other.name);
        own.check_beside(&other.as_other(), &mut offences, |message| {
            Error::invalid(format!("two entries of scanners are in each other's way: {message}: {names}"))
        })?;
    }
    Ok(offences.warnings)
}

/// Refuses to delete the directory `purged` of the scanner `name`, where it holds one of those that it must spare (with their
/// options' names), or one that another scanner uses.
pub fn check_purge(
    name: &str,
    purged: &UsedPath,
    spared: &[(&'static str, UsedPath)],
    others: &[&OtherPaths<'_>],
    task: &[ScannerPaths<'_>],
    reserved: &Reserved,
) -> Result<()> {
    if let Some(error) = reserved.refusal("private_dir", purged) {
        return Err(error);
    }
    for (option, path) in spared {
        if purged.place.contains(&path.place) {
            return Err(Error::invalid(format!(
                "purge would delete {option} as well, which is or lies in the scanner's private directory; \
                 choose another path, got: `{}`",
                path.text
            )));
        }
    }
    let is_used =
        |mount: &Place, is_scanner: bool| purged.place.contains(mount) || (is_scanner && mount.contains(&purged.place));
    for other in others {
        let mut mounts = other.mounts.iter().map(|(_, mount)| mount).chain(&other.borrowed);
        if mounts.any(|mount| is_used(mount, other.is_scanner)) {
            return Err(Error::new(Kind::AlreadyInUse, format!("{IN_USE}: `{}`", other.name)));
        }
    }
    for other in task.iter().filter(|other| other.name != name) {
        if other.options().any(|(_, path)| is_used(&path.place, true)) {
            return Err(Error::invalid(format!(
                "two entries of scanners are in each other's way: {IN_USE}: `{name}` and `{}`",
                other.name
            )));
        }
    }
    Ok(())
}

/// Refuses to delete the scanner's private directory where something is mounted at `point`, which is it or lies in it.
pub fn refuse_purge_of_mount(point: &str) -> Error {
    Error::invalid(format!(
        "purge deletes no private directory that is a mount point, or in which something is mounted; unmount it first: `{point}`"
    ))
}

/// The option that an identity directory is in messages.
const PRIVATE_DIR: &str = "private_dir";

const IN_USE: &str = "another container on this host uses the private directory, and two scanners must never share it; \
                      use a code of its own for each scanner, or remove that container";

/// What is wrong with the paths of one scanner.
struct Offences<'a> {
    name: &'a str,
    warnings: Vec<String>,
}

impl Offences<'_> {
    /// An error, or a warning where the scanner is there with these paths already, and so `tolerable`.
    fn add(&mut self, error: Error, tolerable: bool) -> Result<()> {
        if !tolerable {
            return Err(error);
        }
        let what = error.message;
        self.warnings.push(format!("scanner `{}` has a mount that a new scanner would not get: {what}", self.name));
        Ok(())
    }
}

impl ScannerPaths<'_> {
    fn options(&self) -> impl Iterator<Item = (&'static str, &UsedPath)> {
        let options = [(PRIVATE_DIR, &self.identity), ("shared_dir", &self.shared), ("ca_dir", &self.ca)];
        options.into_iter().filter_map(|(option, path)| Some((option, path.as_ref()?)))
    }

    fn check_themselves(&self, offences: &mut Offences<'_>) -> Result<()> {
        let own =
            "the scanner's private directory <private_dir>/<personalization_code>, which it could exchange for a link";
        let shared = "shared_dir, where every scanner could put a CA of its own";
        for (option, path, other, what) in [
            ("shared_dir", &self.shared, &self.identity, own),
            ("ca_dir", &self.ca, &self.identity, own),
            ("ca_dir", &self.ca, &self.shared, shared),
        ] {
            let Some((path, other)) = path.as_ref().zip(other.as_ref()) else { continue };
            if path.place.overlaps(&other.place) {
                let text = &path.text;
                let error =
                    format!("{option} must not be, contain or lie in {what}; choose another path, got: `{text}`");
                offences.add(Error::invalid(error), path.mounted && other.mounted)?;
            }
        }
        Ok(())
    }

    /// Compares with the mounts of one `other` container; `error` makes the refusal from a message.
    fn check_beside(
        &self,
        other: &OtherPaths<'_>,
        offences: &mut Offences<'_>,
        error: impl Fn(&str) -> Error,
    ) -> Result<()> {
        for (destination, mount) in &other.mounts {
            if let Some(identity) = &self.identity {
                let is_shared =
                    identity.place.contains(mount) || (*destination == PRIVATE && mount.contains(&identity.place));
                if is_shared && (other.is_scanner || identity.place.contains(mount)) {
                    // Of two that have one identity, the platform takes only one.
                    offences.add(error(IN_USE), false)?;
                } else if other.is_scanner && mount.overlaps(&identity.place) {
                    let message = "the private directory lies in a directory that another scanner can read or write; \
                                   choose another private_dir, or give that scanner other directories";
                    offences.add(error(message), identity.mounted)?;
                }
            }
            for (option, path) in self.options().filter(|_| other.is_scanner) {
                let what = match (option, *destination) {
                    ("shared_dir" | "ca_dir", PRIVATE) => "the private directory",
                    ("ca_dir", SHARED) => "the shared directory",
                    ("shared_dir", CA) => "the CA directory",
                    _ => continue,
                };
                if path.place.overlaps(mount) {
                    let message =
                        format!("{option} is, contains or lies in {what} of another scanner; choose another path");
                    offences.add(error(&message), path.mounted)?;
                }
            }
        }
        Ok(())
    }

    /// As another scanner of the task sees it.
    fn as_other(&self) -> OtherPaths<'_> {
        let destination = |option| match option {
            PRIVATE_DIR => PRIVATE,
            "shared_dir" => SHARED,
            _ => CA,
        };
        let mounts = self.options().map(|(option, path)| (destination(option), path.place.clone())).collect();
        OtherPaths { name: self.name, is_scanner: true, mounts, borrowed: Vec::new() }
    }
}

impl Reserved {
    fn refusal(&self, option: &str, path: &UsedPath) -> Option<Error> {
        let place = &path.place;
        let what = if self.system.iter().any(|system| system.is(place)) {
            "be a directory of the system, which would be the scanner's to change"
        } else if place.contains(&self.socket) {
            "contain the engine's socket, with which a scanner could take over the host"
        } else if self.engine.as_ref().is_some_and(|engine| engine.overlaps(place)) {
            "contain the engine's own directory or lie in it"
        } else {
            return None;
        };
        Some(Error::invalid(format!("{option} must not {what}; choose another path, got: `{}`", path.text)))
    }
}

#[cfg(test)]
mod tests;
