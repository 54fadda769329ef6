//! The locks of a run, always taken in this order: scanner, resources, identity directory.
//!
//! The scanner's is held from the observation on which the plan is made to the end of the run. The others keep other scanners'
//! runs from claiming the same code, directory or resources; they are held until what is claimed shows to these.

use std::time::Duration;

use anyhow::Result;

use super::execute::Executor;
use super::interrupt::Interrupt;
use crate::engine::Engine;
use crate::host::lock::{Lock, LockKey};
use crate::host::paths;
use crate::scanner::desired::Request;
use crate::scanner::plan::{Plan, ResourceDemand};
use crate::scanner::values::directory::{Directory, Owner};

/// Docker's own grace between SIGTERM and SIGKILL, in seconds.
const STOP_TIMEOUT: u64 = 10;

/// How the locks of a scanner are taken.
#[derive(Debug, Clone, Copy)]
pub struct Locksmith<'a> {
    /// The scanner's.
    pub request: &'a Request,
    /// Ends a wait.
    pub interrupt: &'a Interrupt,
    /// The limit of an engine call.
    pub timeout: Duration,
}

/// The locks that are held until what the run claims shows to other runs.
#[derive(Debug, Default)]
pub struct Claims {
    resources: Option<Lock>,
    identity: Option<Lock>,
}

impl Locksmith<'_> {
    /// Takes the lock of `key`.
    pub async fn lock(&self, key: &LockKey) -> Result<Lock> {
        Ok(self.interrupt.guard(key.lock(self.request.name.as_str(), self.patience())).await??)
    }

    /// Waits for the run that has the lock of `key`.
    pub async fn wait(&self, key: &LockKey) -> Result<()> {
        Ok(self.interrupt.guard(key.wait(self.patience())).await??)
    }

    /// How long to wait for another run.
    fn patience(&self) -> Duration {
        let policy = &self.request.policy;
        let grace = policy.stop_timeout.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or(STOP_TIMEOUT);
        self.timeout + policy.settle + Duration::from_secs(grace)
    }
}

impl Claims {
    /// Takes the locks that `plan` needs and that are not held yet; whether there were any. Those who had them may have changed
    /// what the plan was made from.
    pub async fn take(&mut self, locksmith: Locksmith<'_>, root_dir: &str, plan: &Plan) -> Result<bool> {
        let needs_resources = plan.starts() || plan.demand() != ResourceDemand::Nothing;
        let mut taken = false;
        if needs_resources && self.resources.is_none() {
            self.resources = Some(locksmith.lock(&LockKey::resources(root_dir)).await?);
            taken = true;
        }
        if let Some(path) = plan.identity_dir() {
            taken |= self.take_identity(locksmith, &path).await?;
        }
        Ok(taken)
    }

    /// Whether the lock of the identity directory is held.
    const fn has_identity(&self) -> bool {
        self.identity.is_some()
    }

    /// Takes the lock of the identity directory `path`, unless it is held, or there is no parent yet, by which it is known.
    async fn take_identity(&mut self, locksmith: Locksmith<'_>, path: &Directory) -> Result<bool> {
        if self.has_identity() {
            return Ok(false);
        }
        let Some(key) = LockKey::identity(path.as_path())? else { return Ok(false) };
        self.identity = Some(locksmith.lock(&key).await?);
        Ok(true)
    }
}

impl<E: Engine> Executor<'_, E> {
    /// Takes the lock of the identity directory `path` before it is made, where its parent was missing until now. Does nothing
    /// for any other directory.
    pub(super) async fn lock_new_identity(&mut self, path: &Directory, owner: &Owner) -> Result<()> {
        let Some(desired) = self.desired.clone().filter(|desired| desired.identity_dir() == *path) else {
            return Ok(());
        };
        if !self.claims.has_identity() {
            paths::create(&desired.private_dir, None, owner, &mut self.written.directories)?;
            let locksmith = Locksmith { request: self.request, interrupt: self.interrupt, timeout: self.timeout };
            self.claims.take_identity(locksmith, path).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;
    use crate::engine::Failure;
    use crate::run::explorer::{engine, old, outcome, with_directories};
    use crate::scanner::observed::Status;
    use crate::testing::{request, wait};

    const BOTH: &[&str] = &["scanner", "resources", "identity"];
    const RESOURCES: &[&str] = &["scanner", "resources"];
    const IDENTITY: &[&str] = &["scanner", "identity"];
    const SCANNER: &[&str] = &["scanner"];

    /// What becomes of one scanner, with the locks that are held at each call that changes something.
    #[rstest]
    #[case::create(None, json!({}), "", &[("create", BOTH), ("start", SCANNER)])]
    #[case::create_refused_once(None, json!({}), "create", &[("create", BOTH), ("create", BOTH), ("start", SCANNER)])]
    #[case::replace(
        Some(Status::Running), json!({"image": "qualys/qcsa:2"}), "",
        &[("create", BOTH), ("connect", BOTH), ("stop", SCANNER), ("rename", SCANNER), ("rename", SCANNER), ("start", SCANNER), ("remove", SCANNER)]
    )]
    #[case::replace_refused_once(
        Some(Status::Exited), json!({"image": "qualys/qcsa:2", "state": "present"}), "create",
        &[("create", BOTH), ("create", BOTH), ("connect", BOTH), ("rename", SCANNER), ("rename", SCANNER), ("remove", SCANNER)]
    )]
    #[case::grow(Some(Status::Running), json!({"memory": "1g"}), "update", &[("update", RESOURCES), ("update", RESOURCES)])]
    #[case::grow_flapping(
        Some(Status::Restarting), json!({"memory": "1g"}), "",
        &[("stop", RESOURCES), ("update", RESOURCES), ("start", SCANNER)]
    )]
    #[case::start(Some(Status::Exited), json!({}), "", &[("start", SCANNER)])]
    #[case::stop(Some(Status::Running), json!({"state": "stopped"}), "", &[("stop", SCANNER)])]
    #[case::purge(Some(Status::Running), json!({"state": "absent", "purge": true}), "", &[("stop", IDENTITY), ("remove", SCANNER)])]
    fn locks_are_held_until_what_is_claimed_shows(
        #[case] status: Option<Status>,
        #[case] options: Value,
        #[case] refused_once: &'static str,
        #[case] expected: &[(&str, &[&str])],
        #[values(true, false)] is_parent_there: bool,
    ) {
        let directories = tempfile::tempdir().unwrap();
        let identity = directories.path().join("private/code-4711");
        std::fs::create_dir(directories.path().join("shared")).unwrap();
        let has_directory = status.is_some() || is_parent_there;
        if has_directory {
            std::fs::create_dir_all(&identity).unwrap();
        }
        wait(async {
            let containers = status.map(|status| old(&directories, status, "no", false));
            let fake = engine(containers.into_iter().collect());
            let root_dir = fake.info().await.unwrap().root_dir;
            let held = move || {
                let identity = LockKey::identity(&identity).unwrap();
                let keys = [
                    ("scanner", Some(LockKey::scanner(&root_dir, "scanner"))),
                    ("resources", Some(LockKey::resources(&root_dir))),
                    ("identity", identity),
                ];
                let held = keys.into_iter().filter(|(_, key)| key.as_ref().is_some_and(LockKey::exists));
                held.map(|(name, _)| name).collect::<Vec<_>>()
            };
            let seen = Rc::new(RefCell::new(Vec::new()));
            let (noting, at_call) = (Rc::clone(&seen), held.clone());
            let to_refuse = RefCell::new(Some(refused_once).filter(|what| !what.is_empty()));
            *fake.before_call.borrow_mut() = Box::new(move |call, _| {
                let verb = call.split(' ').next().unwrap().to_owned();
                noting.borrow_mut().push((verb, at_call()));
                match to_refuse.take() {
                    Some(what) if call.starts_with(what) => {
                        Err(Failure::Refused { status: 500, message: "busy".to_owned() })
                    }
                    other => {
                        *to_refuse.borrow_mut() = other;
                        Ok(())
                    }
                }
            });
            let run = outcome(&fake, request(&with_directories(&directories, &options)).unwrap(), false).await.unwrap();
            assert!(run.failure.is_none(), "{}", run.msg());
            let seen: Vec<_> = seen.borrow().clone();
            let seen: Vec<_> = seen.iter().map(|(verb, held)| (verb.as_str(), held.as_slice())).collect();
            assert_eq!(seen, expected);
            assert_eq!(held(), [""; 0]);
        });
    }
}
