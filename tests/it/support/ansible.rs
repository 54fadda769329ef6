//! Runs the real `ansible` and `ansible-playbook` of `.venv` on this machine, with the module in a library of its own.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::{Map, Value, json};
use tempfile::TempDir;

use super::Engine;

/// Where `tests/setup/install-requirements ansible` puts Ansible.
const BIN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/.venv/bin");

/// The password of the example inventory's vault.
const VAULT_PASSWORD: &str = "example";

/// One run of a command of Ansible's that is being put together.
#[must_use]
pub struct Ansible {
    command: Command,
    directory: TempDir,
    secrets: Vec<String>,
}

/// How it ended.
#[derive(Debug)]
pub struct Run {
    /// Whether no host failed.
    pub succeeded: bool,
    /// All that it printed.
    pub output: String,
    tasks: BTreeMap<String, Value>,
}

impl Ansible {
    /// `ansible localhost -m qcss_scanner -a ARGUMENTS`
    pub fn ad_hoc(engine: &Engine, arguments: &str) -> Self {
        let mut ansible = Self::new(engine, "ansible");
        ansible.command.args(["localhost", "--module-name", "qcss_scanner", "--args", arguments]);
        ansible
    }

    /// A play of `tasks` for `localhost`, where each has the name by which [`Run::task`] finds its result. `play` may have
    /// further keywords.
    pub fn play(engine: &Engine, play: Value, tasks: &[(&str, Value)]) -> Self {
        let named = |(name, task): &(&str, Value)| with(json!({ "name": name }), task.clone());
        let tasks: Vec<_> = tasks.iter().map(named).collect();
        let play = with(json!({"hosts": "localhost", "gather_facts": false, "tasks": tasks}), play);
        let mut ansible = Self::new(engine, "ansible-playbook");
        let file = ansible.directory.path().join("play.yml"); // JSON is YAML
        fs::write(&file, json!([play]).to_string()).unwrap();
        ansible.command.arg(file);
        ansible
    }

    /// One of `playbooks/` as it is, with `variables` on top of the example inventory's.
    pub fn playbook(engine: &Engine, playbook: &str, variables: &Value) -> Self {
        let mut ansible = Self::new(engine, "ansible-playbook");
        let [file, password] = ["variables.json", "password"].map(|name| ansible.directory.path().join(name));
        fs::write(&file, variables.to_string()).unwrap();
        fs::write(&password, VAULT_PASSWORD).unwrap();
        let playbooks = Path::new(env!("CARGO_MANIFEST_DIR")).join("playbooks");
        ansible.command.arg(playbooks.join(playbook)).arg("--inventory").arg(playbooks.join("inventory/hosts.yml"));
        ansible.command.arg("--extra-vars").arg(format!("@{}", file.display()));
        ansible.command.arg("--vault-password-file").arg(password);
        ansible
    }

    /// `ansible-doc --type module`
    pub fn doc(engine: &Engine) -> Self {
        let mut ansible = Self::new(engine, "ansible-doc");
        ansible.command.args(["--type", "module"]);
        ansible
    }

    fn new(engine: &Engine, command: &str) -> Self {
        let program = Path::new(BIN).join(command);
        assert!(program.exists(), "there is no ansible in .venv: run `tests/setup/install-requirements ansible` first");
        let directory = engine.temp_dir();
        let path = |name: &str| directory.path().join(name);
        fs::write(path("ansible.cfg"), "").unwrap(); // not the user's
        let mut command = Command::new(program);
        command
            .current_dir(directory.path())
            .envs([
                ("ANSIBLE_HOME", path("home")),
                ("ANSIBLE_REMOTE_TMP", path("tmp")),
                ("ANSIBLE_ASYNC_DIR", path("async")),
                ("ANSIBLE_LIBRARY", library()),
                ("ANSIBLE_CALLBACK_PLUGINS", Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ansible")),
                ("ANSIBLE_CONFIG", path("ansible.cfg")),
                ("RECORD", path("record")),
            ])
            .envs([
                ("ANSIBLE_CALLBACKS_ENABLED", "record"),
                ("ANSIBLE_LOAD_CALLBACK_PLUGINS", "1"), // for `ansible` as well
                ("ANSIBLE_NOCOLOR", "1"),
                ("ANSIBLE_NOCOWS", "1"),
                ("ANSIBLE_PYTHON_INTERPRETER", "/usr/bin/python3"),
                ("LC_ALL", "C.UTF-8"),
                ("PYTHONDONTWRITEBYTECODE", "1"), // beside the callback
            ])
            .env_remove("DOCKER_HOST");
        Self { command, directory, secrets: Vec::new() }
    }

    /// Gives an argument on the command line, such as `--check`.
    pub fn option(mut self, option: &str) -> Self {
        self.command.arg(option);
        self
    }

    /// Says what must not be in the output.
    pub fn secret(mut self, secret: &str) -> Self {
        self.secrets.push(secret.to_owned());
        self
    }

    /// Runs it to its end.
    pub fn run(mut self) -> Run {
        let output = self.command.output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let output_text = text(&output.stdout) + &text(&output.stderr);
        for secret in &self.secrets {
            assert!(!output_text.contains(secret.as_str()), "the secret {secret} is shown: {output_text}");
        }
        let record = fs::read_to_string(self.directory.path().join("record")).unwrap_or_default();
        let tasks = record.lines().map(|line| {
            let mut line: Value = serde_json::from_str(line).unwrap();
            line["result"]["outcome"] = line["outcome"].take();
            (line["task"].as_str().unwrap().to_owned(), line["result"].take())
        });
        Run { succeeded: output.status.success(), output: output_text, tasks: tasks.collect() }
    }
}

impl Run {
    /// Asserts that no host failed.
    #[track_caller]
    pub fn succeeded(self) -> Self {
        assert!(self.succeeded, "{}", self.output);
        self
    }

    /// Asserts that no host failed, and that something changed.
    #[track_caller]
    pub fn changed(self) -> Self {
        let run = self.succeeded();
        assert!(!run.output.contains("changed=0"), "{}", run.output);
        run
    }

    /// Asserts that no host failed, and that nothing changed.
    #[track_caller]
    pub fn unchanged(self) -> Self {
        let run = self.succeeded();
        assert!(run.output.contains("changed=0"), "{}", run.output);
        run
    }

    /// All tasks that came to an end, by their names.
    pub fn tasks(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.tasks.iter().map(|(name, result)| (name.as_str(), result))
    }

    /// What Ansible has as the result of a task, the last one of that name, and with it its `outcome`: ok, failed, ignored,
    /// skipped, unreachable.
    #[track_caller]
    pub fn task(&self, name: &str) -> &Value {
        self.tasks.get(name).unwrap_or_else(|| panic!("no task `{name}` came to an end: {}", self.output))
    }
}

/// A folder with the module that cargo built and its documentation, made once.
fn library() -> PathBuf {
    static LIBRARY: OnceLock<TempDir> = OnceLock::new();
    let library = LIBRARY.get_or_init(|| {
        // It goes away with that engine, which no test ends.
        let library = Engine::shared().temp_dir();
        for name in ["qcss_scanner", "qcss_scanner_info"] {
            fs::copy(env!("CARGO_BIN_EXE_qcss_scanner"), library.path().join(name)).unwrap();
            let documentation = format!("{name}.yml");
            let tracked = Path::new(env!("CARGO_MANIFEST_DIR")).join("library").join(&documentation);
            fs::copy(tracked, library.path().join(documentation)).unwrap();
        }
        library
    });
    library.path().to_owned()
}

/// `object` with the entries of `more` on top.
fn with(mut object: Value, more: Value) -> Value {
    let Value::Object(more) = more else { panic!("not an object: {more}") };
    object.as_object_mut().unwrap_or(&mut Map::new()).extend(more);
    object
}
