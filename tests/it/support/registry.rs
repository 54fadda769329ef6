//! A registry that only one engine can reach, over that engine's own loopback.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU16, Ordering};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Engine, eventually, stdout};

/// Who may pull from [`Registry::with_login`].
pub const USER: &str = "qcss-puller";
/// Their password, and as the registry knows it.
pub const PASSWORD: &str = "canary-registry-password";
const BCRYPT: &str = "$2y$05$qcssScannerTestsSaltOuUOdZg0YNuQJ0XRMUCQxd7B7MTDepE4e";
/// The same as docker login files it: `user:password` in base64.
const BASE64: &str = "cWNzcy1wdWxsZXI6Y2FuYXJ5LXJlZ2lzdHJ5LXBhc3N3b3Jk";

/// A running registry; it ends with its engine.
pub struct Registry<'engine> {
    engine: &'engine Engine,
    address: String,
    directory: TempDir,
}

impl<'engine> Registry<'engine> {
    /// A registry for everybody.
    pub fn open(engine: &'engine Engine) -> Self {
        Self::start(engine, &json!(null))
    }

    /// A registry that wants [`USER`] and [`PASSWORD`].
    pub fn with_login(engine: &'engine Engine) -> Self {
        let users = engine.directory().join("users");
        fs::write(&users, format!("{USER}:{BCRYPT}\n")).unwrap();
        Self::start(engine, &json!({"htpasswd": {"realm": "tests", "path": users}}))
    }

    fn start(engine: &'engine Engine, auth: &Value) -> Self {
        static PORT: AtomicU16 = AtomicU16::new(5000);
        let directory = engine.temp_dir();
        let address = format!("127.0.0.1:{}", PORT.fetch_add(1, Ordering::Relaxed));
        // JSON is YAML.
        let config = json!({
            "version": "0.1",
            "storage": {"filesystem": {"rootdirectory": directory.path().join("images")}},
            "http": {"addr": address},
            "auth": auth,
        });
        let [config_file, log] = ["config.yml", "log"].map(|name| directory.path().join(name));
        fs::write(&config_file, config.to_string()).unwrap();
        let serve = "docker-registry serve \"$1\" </dev/null >\"$2\" 2>&1 &";
        stdout(engine.beside("sh").args(["-c", serve, "sh"]).args([&config_file, &log]));
        eventually("the registry listens", || fs::read_to_string(&log).unwrap().contains("listening on"));
        let registry = Self { engine, address, directory };
        registry.docker_config(&registry.login());
        registry
    }

    /// `127.0.0.1:5000`
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The image of this name in the registry, as a task names it.
    pub fn image(&self, name: &str) -> String {
        format!("{}/{name}", self.address)
    }

    /// Puts an image of the engine into the registry by another name, which the engine forgets again.
    pub fn push(&self, local: &str, name: &str) {
        let image = self.image(name);
        self.engine.docker(&["tag", local, &image]);
        self.engine.docker(&["--config", self.directory.path().to_str().unwrap(), "push", "--quiet", &image]);
        self.engine.docker(&["rmi", "--no-prune", &image]);
    }

    /// What docker login would have filed.
    pub fn login(&self) -> Value {
        json!({"auths": {&self.address: {"auth": BASE64}}})
    }

    /// Writes a docker configuration; returns what goes into `DOCKER_CONFIG`.
    pub fn docker_config(&self, config: &Value) -> &Path {
        fs::write(self.directory.path().join("config.json"), config.to_string()).unwrap();
        self.directory.path()
    }
}
