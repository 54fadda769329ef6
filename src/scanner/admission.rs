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
    /// Whether it is up.
    pub is_up: bool,
    /// Its own mounts.
    pub mounts: Vec<Mount>,
    /// The mounts that it has from others (`--volumes-from`).
    pub borrowed: Vec<Mount>,
}

impl Neighbour {
    fn code(&self) -> Option<&str> {
        self.scanner.as_ref()?.env.value(environment::CODE)
    }
}

/// Refuses a `code` that one of `neighbours` has; `own` are the ids of the scanner itself.
pub fn check_code_in_use(code: Option<&str>, neighbours: &[Neighbour], own: &[String]) -> Result<()> {
    let others = neighbours.iter().filter(|neighbour| !own.contains(&neighbour.id));
    let Some(other) = others.into_iter().find(|it| code.is_some() && it.code() == code) else { return Ok(()) };
    Err(Error::new(
        Kind::AlreadyInUse,
        format!(
            "another container on this host uses personalization_code, and two scanners must never share it; \
             use a code of its own for each scanner, or remove that container: `{}`",
            other.name
        ),
    ))
}

/// Refuses more CPUs than the host has, and any limit where the engine `can_limit` none: it would refuse it itself.
pub fn check_cpus(wanted: Option<Cpus>, of_host: u32, can_limit: bool) -> Result<()> {
    match wanted {
        Some(cpus) if !can_limit => Err(Error::new(
            Kind::Unsupported,
            format!(
                "the engine cannot limit CPUs on this host, whose kernel has no controller for them; leave out cpus, or give cpus=0, got: `{cpus}`"
            ),
        )),
        Some(cpus) if cpus.to_f64() > f64::from(of_host) => {
            Err(Error::invalid(format!("cpus must be 0.01 up to the {of_host} CPUs of the host, got: `{cpus}`")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::example::by_hand;
    use super::*;

    fn neighbour(code: &str) -> Neighbour {
        let scanner = Some(by_hand().with_env(environment::CODE, code));
        Neighbour {
            id: "id".to_owned(),
            name: "other".to_owned(),
            scanner,
            is_up: true,
            mounts: Vec::new(),
            borrowed: Vec::new(),
        }
    }

    #[test]
    fn a_code_in_use_is_refused_by_name_only() {
        let neighbours = [neighbour("canary-1")];
        let error = check_code_in_use(Some("canary-1"), &neighbours, &[]).unwrap_err();
        assert_eq!(error.kind, Kind::AlreadyInUse);
        assert!(error.message.ends_with("`other`") && !error.message.contains("canary"), "{error}");
        check_code_in_use(Some("canary-1"), &neighbours, &["id".to_owned()]).unwrap();
        check_code_in_use(Some("canary-2"), &neighbours, &[]).unwrap();
        check_code_in_use(None, &neighbours, &[]).unwrap();
    }

    #[test]
    fn cpus_end_where_the_host_ends() {
        check_cpus(Some(Cpus::from_nano(2_000_000_000)), 2, true).unwrap();
        let message = check_cpus(Some(Cpus::from_nano(2_500_000_000)), 2, true).unwrap_err().message;
        assert_eq!(message, "cpus must be 0.01 up to the 2 CPUs of the host, got: `2.5`");
        check_cpus(None, 2, false).unwrap();
        let error = check_cpus(Some(Cpus::from_nano(1_000_000_000)), 2, false).unwrap_err();
        assert_eq!(error.kind, Kind::Unsupported);
    }
}
