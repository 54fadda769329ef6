//! A Docker engine of our own, which ends when we do: `tests/engine/throwaway-engine` watches the pipe to its stdin.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;
use tempfile::TempDir;

use super::scanner::shell;

/// A running engine with the stand-in scanner's images `qualys/qcsa:1` (also `:latest`) and `qualys/qcsa:2`.
pub struct Engine {
    process: Child,
    directory: PathBuf,
    is_podman: bool,
}

impl Engine {
    /// What a scanner can reach does not matter to most tests, and without docker0 it takes half the time to start one.
    pub const WITHOUT_BRIDGE: &[&str] = &["--bridge=none", "--iptables=false", "--ip6tables=false"];

    /// The engine that tests share, started by the first who asks. It has no default network.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Engine> = OnceLock::new();
        SHARED.get_or_init(|| Self::private(Self::WITHOUT_BRIDGE))
    }

    /// The same with a default network.
    pub fn bridged() -> &'static Self {
        static BRIDGED: OnceLock<Engine> = OnceLock::new();
        BRIDGED.get_or_init(|| Self::private(&[]))
    }

    /// An engine for one test, with further options for dockerd; it ends when dropped.
    pub fn private(options: &[&str]) -> Self {
        Self::of_kind(&kind(), options)
    }

    /// The same, of a kind that `tests/engine/throwaway-engine` knows.
    pub fn of_kind(kind: &str, options: &[&str]) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("qcss-engine-{}-{number}", std::process::id()));

        let mut process = Command::new(tests("engine/throwaway-engine"))
            .args(["--kind", kind])
            .arg(&directory)
            .args(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        assert!(ready.starts_with("ready "), "the throwaway engine did not start, see above");

        let engine = Self { process, directory, is_podman: kind.contains("/podman") };
        engine.build("qualys/qcsa:1", "1");
        engine.build("qualys/qcsa:2", "2");
        engine.docker(&["tag", "qualys/qcsa:1", "qualys/qcsa:latest"]);
        engine
    }

    /// Builds a version of the stand-in scanner's image; returns its id.
    pub fn build(&self, tag: &str, version: &str) -> String {
        stdout(Command::new(tests("stand-in/build")).args([&self.host(), tag, version]))
    }

    /// Makes `image` of `qualys/qcsa:1` with these instructions, such as `ENV A=b`.
    pub fn derive(&self, image: &str, instructions: &[impl AsRef<str>]) {
        let base = self.docker(&["create", "qualys/qcsa:1"]);
        let changes: Vec<_> = instructions.iter().map(|it| format!("--change '{}'", it.as_ref())).collect();
        // An older Podman refuses the docker command's call.
        stdout(shell(&format!("{} commit {} {base} {image}", self.client(), changes.join(" "))).stderr(Stdio::null()));
        self.docker(&["rm", &base]);
    }

    /// What goes into `docker_host`.
    pub fn host(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// The engine's socket.
    pub fn socket(&self) -> PathBuf {
        self.directory.join("docker.sock")
    }

    /// A directory that goes away with the engine at the latest, even when this process is killed. The root of its containers
    /// can use it.
    pub fn temp_dir(&self) -> TempDir {
        let made = TempDir::new_in(&self.directory).unwrap();
        let (user, group) = self.containers_root();
        chown(made.path(), Some(user), Some(group)).unwrap();
        made
    }

    /// Whom this machine takes the root of its containers for.
    pub fn containers_root(&self) -> (u32, u32) {
        let info = self.get("/info");
        let root_dir = Path::new(info["DockerRootDir"].as_str().unwrap());
        let remapped = root_dir.file_name().and_then(|it| it.to_str()?.split_once('.'));
        let ids = remapped.and_then(|(user, group)| Some((user.parse().ok()?, group.parse().ok()?)));
        ids.unwrap_or_else(|| {
            let engines = fs::metadata(&self.directory).unwrap();
            (engines.uid(), engines.gid())
        })
    }

    /// Runs the docker command; returns what it prints, panics with its stderr when it fails.
    pub fn docker(&self, arguments: &[&str]) -> String {
        // Podman now and then fails over the network of a container that it has stopped: the module looks whether it has.
        if self.is_podman && arguments[0] == "stop" {
            let stopped = self.try_docker(arguments);
            let stderr = String::from_utf8_lossy(&stopped.stderr);
            assert!(stopped.status.success() || stderr.contains("netavark: "), "{arguments:?}: {stderr}");
            return String::new();
        }
        stdout(self.command().args(arguments))
    }

    /// Runs the docker command, which may fail.
    pub fn try_docker(&self, arguments: &[&str]) -> Output {
        self.command().args(arguments).output().unwrap()
    }

    /// What the engine says about a container.
    pub fn inspect(&self, name: &str) -> Value {
        self.get(&format!("/containers/{name}/json"))
    }

    /// What the engine's API answers to a `GET`.
    pub fn get(&self, path: &str) -> Value {
        self.ask("GET", path).unwrap_or_else(|| panic!("the engine has no {path}"))
    }

    /// Asks the engine's API itself, which takes a tenth of what the docker command does; `None` when it refuses or is down.
    pub fn ask(&self, method: &str, path: &str) -> Option<Value> {
        let mut engine = UnixStream::connect(self.socket()).ok()?;
        write!(engine, "{method} {path} HTTP/1.0\r\n\r\n").ok()?;
        let mut answer = String::new();
        engine.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let is_good = head.split(' ').nth(1)?.starts_with('2');
        is_good.then(|| serde_json::from_str(body).unwrap_or_default())
    }

    /// Sends `body` to the engine's API; panics when it refuses.
    pub fn post(&self, path: &str, body: &Value) -> Value {
        let answer = self.answer(path, body);
        let is_good = answer.split(' ').nth(1).is_some_and(|status| status.starts_with('2'));
        assert!(is_good, "{path}: {answer}");
        answer.split_once("\r\n\r\n").and_then(|(_, body)| serde_json::from_str(body).ok()).unwrap_or_default()
    }

    /// What it answers to a `POST`, whole.
    pub fn answer(&self, path: &str, body: &Value) -> String {
        let mut engine = UnixStream::connect(self.socket()).unwrap();
        let body = body.to_string();
        let head = "HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length:";
        // At once, and an engine that knows no such path may hang up before it has read all.
        let request = format!("POST {path} {head} {}\r\n\r\n{body}", body.len());
        let _ = engine.write_all(request.as_bytes());
        let mut answer = String::new();
        engine.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Whether the engine answers.
    pub fn is_up(&self) -> bool {
        self.ask("GET", "/_ping").is_some()
    }

    /// A command that runs beside the engine: it has the engine's loopback, and ends with it.
    pub fn beside(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.keeper(), "--net", "--pid", "--", program]);
        command
    }

    /// What the engine says of where it keeps its things, by which a lock knows it.
    pub fn root_dir(&self) -> String {
        self.get("/info")["DockerRootDir"].as_str().unwrap().to_owned()
    }

    /// Where the engine keeps its things; goes away with it.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Kills dockerd and containerd as `kill -9` does. The engine comes back by itself, see `throwaway-engine`.
    pub fn kill(&self) {
        stdout(Command::new("kill").args(["-KILL", &self.pid()]));
    }

    /// dockerd's, as it is now.
    pub fn pid(&self) -> String {
        fs::read_to_string(self.directory.join("dockerd.pid")).unwrap().trim().to_owned()
    }

    /// What started the engine, in its namespaces. Those of Podman's own first thread may be a container's: it enters them to set
    /// up a network, and does not always come back.
    fn keeper(&self) -> String {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap().trim().to_owned()
    }

    /// Whether it is Podman behind Docker's API.
    pub const fn is_podman(&self) -> bool {
        self.is_podman
    }

    /// The command that people of this engine type, `docker` or `podman`, for a shell.
    pub fn client(&self) -> String {
        if !self.is_podman {
            return format!("docker --host {}", self.host());
        }
        let storage = self.directory.join("data/storage");
        let options =
            format!("--root {} --runroot /run/containers/storage --cgroup-manager cgroupfs", storage.display());
        format!("nsenter --target {} --mount --net --pid -- podman {options}", self.keeper())
    }

    fn command(&self) -> Command {
        let mut command = Command::new("docker");
        command.args(["--host", &self.host()]);
        command
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

/// Runs a command; returns its stdout, panics with its stderr when it fails.
pub fn stdout(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

/// Which engine the tests are run on, a word that `tests/engine/throwaway-engine` knows: this machine's Docker, or what
/// `tests/engines/run` asks for.
fn kind() -> String {
    std::env::var("QCSS_ENGINE").unwrap_or_else(|_| "host/docker".to_owned())
}

fn tests(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(path)
}
