//! One scanner's name, code and directories, for one test.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::engine::stdout;
use super::{Engine, Module};

/// The URL that test scanners are told.
const QUALYS_URL: &str = "https://qualysguard.qualys.com";

/// The stand-in is up, or has died, long before.
const SETTLE: f64 = 0.3;

/// A scanner that may or may not exist. When dropped, its containers and directories go.
pub struct Scanner<'engine> {
    /// The container's name; no other scanner's name starts with it.
    pub name: String,
    /// The personalization code.
    pub code: String,
    /// Where it is, or will be.
    pub engine: &'engine Engine,
    directory: TempDir,
}

/// One of the containers of a scanner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    pub name: String,
    pub id: String,
    pub running: bool,
}

impl<'engine> Scanner<'engine> {
    /// Chooses a name and a code that no other test has, and directories that do not exist yet.
    pub fn new(engine: &'engine Engine) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        Self {
            name: format!("scanner{number:04}"),
            code: format!("2180{number:04}913298"),
            engine,
            directory: engine.temp_dir(),
        }
    }

    /// Where all scanners of this test keep what they share.
    pub fn shared_dir(&self) -> PathBuf {
        self.directory.path().join("shared")
    }

    /// What goes into `private_dir`.
    pub fn private_dir(&self) -> PathBuf {
        self.directory.path().join("private")
    }

    /// The scanner's private store: `<private_dir>/<code>`.
    pub fn store(&self) -> PathBuf {
        self.private_dir().join(&self.code)
    }

    /// The module's arguments for this scanner, nothing optional but the directories.
    pub fn args(&self) -> Value {
        json!({
            "name": self.name,
            "personalization_code": self.code,
            "qualys_url": QUALYS_URL,
            "image": "qualys/qcsa:1",
            "shared_dir": self.shared_dir(),
            "private_dir": self.private_dir(),
        })
    }

    /// The module, about to be run with these arguments.
    pub fn module(&self) -> Module {
        Module::new(self.engine).args(self.args()).arg("settle", SETTLE)
    }

    /// The module, about to be run with nothing that describes the scanner: only its run state is managed.
    pub fn run_state(&self) -> Module {
        Module::new(self.engine).arg("name", self.name.as_str()).arg("settle", SETTLE)
    }

    /// Creates the scanner as a person does who follows the vendor's page, with options such as `["--memory", "1024M"]`;
    /// returns the container's id.
    pub fn by_hand(&self, options: &[&str]) -> String {
        self.by_hand_from("qualys/qcsa:1", options)
    }

    /// The same with another spelling of the image, or another image.
    pub fn by_hand_from(&self, image: &str, options: &[&str]) -> String {
        stdout(&mut shell(&self.vendors_command("run -d", image, options)))
    }

    /// The same by a docker command with this configuration.
    pub fn by_hand_configured(&self, docker_config: &Path, options: &[&str]) -> String {
        let command = self.vendors_command("run -d", "qualys/qcsa:1", options);
        stdout(shell(&command).env("DOCKER_CONFIG", docker_config))
    }

    /// The same, but not started.
    pub fn by_hand_created(&self, options: &[&str]) -> String {
        self.make(&self.shared_dir()); // else the engine makes it with the first start
        stdout(&mut shell(&self.vendors_command("create", "qualys/qcsa:1", options)))
    }

    /// Makes the scanner's directories, for the root of its containers.
    pub fn make_directories(&self) {
        self.make(&self.shared_dir());
        self.make_store();
    }

    /// Makes the scanner's own directory.
    pub fn make_store(&self) {
        self.make(&self.private_dir());
        self.make(&self.store());
    }

    fn make(&self, directory: &Path) {
        fs::create_dir_all(directory).unwrap();
        let (user, group) = self.engine.containers_root();
        chown(directory, Some(user), Some(group)).unwrap();
    }

    fn vendors_command(&self, verb: &str, image: &str, options: &[&str]) -> String {
        let (shared, private) = (self.shared_dir(), self.private_dir());
        let (shared, private) = (shared.display(), private.display());
        // Docker makes what is mounted and missing, Podman does not.
        let makes = if self.engine.is_podman() { format!("mkdir -p {shared}; ") } else { String::new() };
        let (user, group) = self.engine.containers_root();
        let (client, code, name, options) = (self.engine.client(), &self.code, &self.name, options.join(" "));
        format!(
            "{makes}PERSONALIZATION_CODE={code}; NAME={name}; mkdir -p {private}/$PERSONALIZATION_CODE; \
             chown {user}:{group} {private} {private}/$PERSONALIZATION_CODE; {client} {verb} -v {shared}:/usr/local/qualys:z \
             -v {private}/$PERSONALIZATION_CODE:/usr/local/qualys/admin/etc:z \
             -e PERSONALIZATION_CODE=$PERSONALIZATION_CODE --name \"$NAME\" {options} -e QUALYS_URL={QUALYS_URL} {image}"
        )
    }

    /// Whether there is a container of this name.
    pub fn exists(&self) -> bool {
        self.engine.ask("GET", &format!("/containers/{}/json", self.name)).is_some()
    }

    /// What the engine says about the container.
    pub fn inspect(&self) -> Value {
        self.engine.inspect(&self.name)
    }

    /// All that a task could have changed: each container whose name starts with ours as the engine describes it, and the
    /// directories with their modes.
    pub fn everything(&self) -> Value {
        let mut containers: Vec<_> = self.ids().iter().map(|id| self.engine.inspect(id)).collect();
        for container in &mut containers {
            // The engine lists mounts in any order.
            container["Mounts"].as_array_mut().unwrap().sort_by_key(|mount| mount["Destination"].to_string());
            // Podman forgets by and by what a test ran in there.
            container.as_object_mut().unwrap().remove("ExecIDs");
        }
        let mode = |path: PathBuf| path.metadata().ok().map(|found| found.permissions().mode());
        let modes = [self.shared_dir(), self.private_dir(), self.store()].map(mode);
        json!({"containers": containers, "modes": modes})
    }

    /// The ids of all containers whose name starts with ours: also what a replacement leaves when it is interrupted.
    pub fn ids(&self) -> Vec<String> {
        self.containers().into_iter().map(|container| container.id).collect()
    }

    /// All containers of this scanner, also those that an interrupted replacement left.
    pub fn containers(&self) -> Vec<Container> {
        let filter = format!("%7B%22name%22:%5B%22%5E/%3F{}%22%5D%7D", self.name);
        let listed = self.engine.get(&format!("/containers/json?all=true&filters={filter}"));
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let container = |listed: &Value| Container {
            name: text(&listed["Names"][0]).trim_start_matches('/').to_owned(),
            id: text(&listed["Id"]),
            running: listed["State"] == "running",
        };
        listed.as_array().unwrap().iter().map(container).collect()
    }

    /// What the scanner keeps in its private store, once it has it; the file is there, empty, a moment before.
    pub fn identity(&self) -> Option<String> {
        fs::read_to_string(self.store().join("identity")).ok().filter(|identity| !identity.is_empty())
    }

    /// What the scanner printed: first its stdout, then its stderr.
    pub fn log(&self) -> String {
        let output = self.engine.try_docker(&["logs", &self.name]);
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    }
}

impl Drop for Scanner<'_> {
    /// Takes what an interrupted replacement left, too: everything whose name starts with ours. A failure is not worth a panic
    /// on top of a panic, the engine goes away with all that is on it.
    fn drop(&mut self) {
        let ours = if self.engine.is_up() { self.ids() } else { Vec::new() };
        for id in ours {
            self.engine.ask("DELETE", &format!("/containers/{id}?force=1&v=1"));
        }
    }
}

pub fn shell(script: &str) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", script]);
    shell
}
