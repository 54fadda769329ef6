//! The checks of one scanner against the other containers of the engine, before it is created, started or replaced.

use super::observed::Observed;
use super::values::environment;
use super::values::limits::Cpus;
use super::values::mount::Mount;
use crate::error::{Error, Kind, Result};

/// Another container of the engine, with what could conflict with a scanner.
#[derive(Debug, Clone)]
pub struct Neighbour {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The whole container, if it is a scanner. Its code is never shown.
    pub scanner: Option<Observed>,
    /// Its mounts.
    pub mounts: Vec<Mount>,
}

impl Neighbour {
    fn code(&self) -> Option<&str> {
        self.scanner.as_ref()?.env.value(environment::CODE)
    }
}

/// The identity that a scanner will use, or a purge will delete.
#[derive(Debug, Clone, Copy)]
pub struct Identity<'a> {
    /// The code, if it is known.
    pub code: Option<&'a str>,
    /// Its private directory.
    pub identity_dir: Option<&'a str>,
}

/// Refuses an `identity` that claims what one of `neighbours` uses; `own` are the ids of the scanner itself.
pub fn check_identity_in_use(identity: Identity<'_>, neighbours: &[Neighbour], own: &[&str]) -> Result<()> {
    for neighbour in neighbours.iter().filter(|neighbour| !own.contains(&neighbour.id.as_str())) {
        let same_code = identity.code.is_some() && neighbour.code() == identity.code;
        let same_dir =
            identity.identity_dir.is_some_and(|dir| neighbour.mounts.iter().any(|mount| mount.overlaps(dir)));
        let what = match (same_code, same_dir) {
            (true, _) => "personalization_code",
            (false, true) => "the private directory",
            (false, false) => continue,
        };
        return Err(Error::new(
            Kind::AlreadyInUse,
            format!(
                "another container on this host uses {what}, and two scanners must never share it; \
                 use a code of its own for each scanner, or remove that container: `{}`",
                neighbour.name
            ),
        ));
    }
    Ok(())
}

/// Refuses more CPUs than the host has.
pub fn check_cpus(wanted: Option<Cpus>, of_host: u32) -> Result<()> {
    match wanted {
        Some(cpus) if cpus.to_f64() > f64::from(of_host) => {
            Err(Error::invalid(format!("cpus must be 0.01 up to the {of_host} CPUs of the host, got: `{cpus}`")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::example::by_hand;
    use super::super::values::mount::{PRIVATE, SHARED};
    use super::*;

    fn neighbour(code: Option<&str>, source: &str, destination: &str) -> Neighbour {
        Neighbour {
            id: "id".to_owned(),
            name: "other".to_owned(),
            scanner: code.map(|code| by_hand().with_env(environment::CODE, code)),
            mounts: vec![Mount::new(source, destination, true, "z")],
        }
    }

    #[test]
    fn a_code_or_private_directory_in_use_is_refused_by_name_only() {
        let identity = Identity { code: Some("canary-1"), identity_dir: Some("/private/canary-1") };
        for (neighbour, word) in [
            (neighbour(Some("canary-1"), "/else/where", PRIVATE), "personalization_code"),
            (neighbour(Some("canary-2"), "/private/canary-1", PRIVATE), "private directory"),
            (neighbour(None, "/private/canary-1/below", "/backup"), "private directory"),
            (neighbour(None, "/private", PRIVATE), "private directory"),
        ] {
            let error = check_identity_in_use(identity, std::slice::from_ref(&neighbour), &[]).unwrap_err();
            assert_eq!(error.kind, Kind::AlreadyInUse);
            assert!(error.message.contains(word) && error.message.ends_with("`other`"), "{error}");
            assert!(!error.message.contains("canary"), "{error}");
            check_identity_in_use(identity, &[neighbour], &["id"]).unwrap();
        }
    }

    #[test]
    fn the_shared_directory_and_parents_may_be_shared() {
        let identity = Identity { code: Some("canary-1"), identity_dir: Some("/private/canary-1") };
        let neighbours = [neighbour(Some("canary-2"), "/shared", SHARED), neighbour(None, "/private", "/backup")];
        check_identity_in_use(identity, &neighbours, &[]).unwrap();
    }

    #[test]
    fn cpus_end_where_the_host_ends() {
        check_cpus(Some(Cpus::from_nano(2_000_000_000)), 2).unwrap();
        let message = check_cpus(Some(Cpus::from_nano(2_500_000_000)), 2).unwrap_err().message;
        assert_eq!(message, "cpus must be 0.01 up to the 2 CPUs of the host, got: `2.5`");
    }
}
