//! Runs the module as ansible-core does, and checks in one place what holds for every run.

use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::ops::Index;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use super::tasks::assert_foretold;
use super::{Engine, Proxy};

/// No run takes longer, whatever the engine does.
const DEADLINE: Duration = Duration::from_secs(120);

/// Owns nothing.
pub const NOBODY: u32 = 65534;

/// Shorter values may be part of an innocent word.
const SHORTEST_SECRET: usize = 8;

/// A run of the module that is being put together.
#[derive(Clone)]
#[must_use]
pub struct Module {
    args: Map<String, Value>,
    env: Vec<(OsString, OsString)>,
    user: Option<u32>,
    launcher: Vec<String>,
    /// The engine's own address, where `docker_host` is a proxy's.
    direct: Option<Value>,
    /// Whether check mode cannot say what comes of it.
    disturbed: bool,
}

impl Module {
    /// A run on this engine, with the keys that ansible-core adds to the user's arguments.
    pub fn new(engine: &Engine) -> Self {
        let args = json!({
            "docker_host": engine.host(),
            // The tests share one engine, whose host could not hold the limits of all of them.
            "overcommit": "allow",
            "_ansible_check_mode": false,
            "_ansible_debug": false,
            "_ansible_diff": false,
            "_ansible_ignore_unknown_opts": false,
            "_ansible_keep_remote_files": false,
            "_ansible_module_name": "qcss_scanner",
            "_ansible_no_log": false,
            "_ansible_remote_tmp": "~/.ansible/tmp",
            "_ansible_selinux_special_fs": ["fuse", "nfs", "vboxsf", "ramfs", "9p", "vfat"],
            "_ansible_shell_executable": "/bin/sh",
            "_ansible_socket": null,
            "_ansible_syslog_facility": "LOG_USER",
            "_ansible_target_log_info": null,
            "_ansible_tmpdir": null,
            "_ansible_tracebacks_for": [],
            "_ansible_verbosity": 0,
            "_ansible_version": "2.19.14",
        });
        let (env, launcher) = (Vec::new(), Vec::new());
        Self { args: Map::new(), env, user: None, launcher, direct: None, disturbed: false }.args(args)
    }

    /// Gives one argument; the last one of a name counts. Ansible's own begin with `_ansible_`.
    pub fn arg(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.args.insert(name.to_owned(), value.into());
        self
    }

    /// Gives the arguments of a JSON object.
    pub fn args(mut self, args: Value) -> Self {
        let Value::Object(args) = args else { panic!("not an object: {args}") };
        self.args.extend(args);
        self
    }

    /// Leaves an argument out that was given.
    pub fn without(mut self, name: &str) -> Self {
        self.args.remove(name);
        self
    }

    /// Sets a variable of the module's environment.
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// With `--check`.
    pub fn check(self) -> Self {
        self.arg("_ansible_check_mode", true)
    }

    /// With `--diff`.
    pub fn diff(self) -> Self {
        self.arg("_ansible_diff", true)
    }

    /// As a user without any right, `become: false`.
    pub fn by_nobody(self) -> Self {
        self.by(NOBODY)
    }

    /// As this user.
    pub fn by(mut self, user: u32) -> Self {
        self.user = Some(user);
        self
    }

    /// On a host that says it has this much swap: one of the module's own /proc/meminfo.
    pub fn swap(mut self, bytes: u64) -> Self {
        let script = "sed -E \"s/^(Swap(Total|Free)):.*/\\1: $1 kB/\" /proc/meminfo >/run/meminfo &&
                      mount -n --bind /run/meminfo /proc/meminfo && shift && exec \"$@\"";
        let isolated = "mount -n -t tmpfs meminfo /run && exec sh -c \"$@\"";
        let unshare = ["unshare", "--mount", "--propagation=private", "sh", "-c", isolated, "sh", script, "sh"];
        self.launcher.extend(unshare.map(str::to_owned));
        self.launcher.push((bytes >> 10).to_string());
        self
    }

    /// With so little memory that nothing large can be read into it. A debug build has glibc, which takes 64 MiB of addresses
    /// for a second arena when these happen to lie right; the release has musl, which has none.
    pub fn with_address_space(self, mebibytes: u32) -> Self {
        self.under(&format!("export MALLOC_ARENA_MAX=1 && ulimit -v {}", mebibytes << 10))
    }

    /// Ended by a signal once it has computed for so long.
    pub fn with_cpu_seconds(self, seconds: u32) -> Self {
        self.under(&format!("ulimit -t {seconds}"))
    }

    /// With what a shell hands on, such as a umask or a limit.
    pub fn under(mut self, command: &str) -> Self {
        self.launcher.extend(["sh", "-c", &format!("{command} && exec \"$@\""), "sh"].map(str::to_owned));
        self
    }

    /// The same, and with a pipe for its stdout, as Ansible has it.
    pub fn under_with_a_pipe(mut self, command: &str) -> Self {
        let piped = format!("set -o pipefail; ({command} && exec \"$@\") | cat");
        self.launcher.extend(["bash", "-c", &piped, "bash"].map(str::to_owned));
        self
    }

    /// After a shell command such as `mount`, in a mount namespace of its own: what it did is gone when the module ends.
    pub fn after(mut self, setup: &str) -> Self {
        let script = format!("{setup} && exec \"$@\"");
        self.launcher
            .extend(["unshare", "--mount", "--propagation=private", "sh", "-c", &script, "sh"].map(str::to_owned));
        self
    }

    /// On a host that has its log at `socket`.
    pub fn syslog(self, socket: &Path) -> Self {
        self.after(&format!("mount -n -t tmpfs none /dev && ln -s {} /dev/log", socket.display()))
    }

    /// Whether it is run by a user without any right.
    pub fn is_by_nobody(&self) -> bool {
        self.user.is_some()
    }

    /// Through a proxy that only listens: check mode asks the engine itself, so that the requests are those of one run.
    pub fn through(mut self, proxy: &Proxy) -> Self {
        self.direct = self.args.get("docker_host").cloned();
        self.arg("docker_host", proxy.host())
    }

    /// A run that something interferes with, or whose surroundings change while it runs: check mode cannot foretell it.
    pub const fn disturbed(mut self) -> Self {
        self.disturbed = true;
        self
    }

    /// Runs the module to its end. First in check mode, which must foretell it.
    #[track_caller]
    pub fn run(self) -> Reply {
        if self.disturbed || self.args.get("_ansible_check_mode") == Some(&json!(true)) {
            return self.once();
        }
        let mut check = self.clone().check();
        check.args.extend(self.direct.clone().map(|direct| ("docker_host".to_owned(), direct)));
        let check = check.once();
        let real = self.once();
        assert_foretold(&check, &real);
        real
    }

    /// Runs the module to its end, without asking check mode first.
    pub(super) fn once(self) -> Reply {
        self.start().finish().expect("no signal ends it")
    }

    /// Runs the module; something may end it before its time.
    pub fn start(self) -> Running {
        let secrets = secrets(&self.args);
        let args = ascii(&Value::Object(self.args).to_string());
        Running::new(&self.launcher, self.user, args.as_bytes(), self.env, secrets)
    }
}

/// Runs the module with any args file, which need not be JSON.
pub fn execute(args: &[u8], env: Vec<(OsString, OsString)>) -> Reply {
    Running::new(&[], None, args, env, Vec::new()).finish().expect("no signal ends it")
}

/// A module at work.
#[must_use]
pub struct Running {
    child: Child,
    directory: TempDir,
    secrets: Vec<String>,
}

impl Running {
    /// Runs the module by a command that executes its own last arguments, as `user` or as who we are.
    fn new(
        launcher: &[String],
        user: Option<u32>,
        args: &[u8],
        env: Vec<(OsString, OsString)>,
        secrets: Vec<String>,
    ) -> Self {
        let directory = TempDir::new().unwrap();
        let args_file = directory.path().join("args");
        fs::write(&args_file, args).unwrap();
        let mut module = env!("CARGO_BIN_EXE_qcss_scanner").to_owned();
        if user.is_some() {
            // Ansible copies the module to where that user can read it.
            let copy = directory.path().join("module");
            // Not by ourselves: a child that another test starts just then would have it open for writing.
            super::stdout(Command::new("cp").args([&module, copy.to_str().unwrap()]));
            fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
            module = copy.to_str().unwrap().to_owned();
        }
        // Not before the launcher, which may have to be root.
        let user = user.map(|user| {
            ["setpriv", "--clear-groups", &format!("--reuid={user}"), &format!("--regid={user}")].map(str::to_owned)
        });
        let words: Vec<_> = launcher.iter().chain(user.iter().flatten()).chain([&module]).collect();
        let mut command = Command::new(words[0]);
        let child = command
            .args(&words[1..])
            .arg(&args_file)
            .current_dir("/")
            .env_remove("DOCKER_HOST")
            .envs(env)
            .stdin(Stdio::null())
            .stdout(File::create(directory.path().join("stdout")).unwrap())
            .stderr(File::create(directory.path().join("stderr")).unwrap())
            .spawn()
            .unwrap();
        Self { child, directory, secrets }
    }

    /// Its process.
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// What it answered; None when a signal ended it.
    pub fn finish(mut self) -> Option<Reply> {
        let deadline = Instant::now() + DEADLINE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if Instant::now() > deadline {
                self.child.kill().unwrap();
                self.child.wait().unwrap();
                panic!("the module hangs");
            }
            sleep(Duration::from_millis(2));
        };
        let [stdout, stderr] =
            ["stdout", "stderr"].map(|name| fs::read_to_string(self.directory.path().join(name)).unwrap());
        if status.signal().is_some() {
            assert_eq!((stdout.as_str(), stderr.as_str()), ("", ""), "it was killed and still said something");
            return None;
        }
        let reply = Reply::new(status, &stdout, &stderr);
        for secret in &self.secrets {
            assert!(!reply.line.contains(secret), "the secret {secret} is shown: {}", reply.line);
        }
        Some(reply)
    }
}

impl Drop for Running {
    /// Nothing outlives its test.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the module answered: `reply["container"]["id"]`.
#[derive(Debug)]
pub struct Reply {
    /// The line as it was printed.
    pub line: String,
    pub(super) result: Value,
}

impl Reply {
    fn new(status: ExitStatus, stdout: &str, stderr: &str) -> Self {
        let all = format!("{status}\nstdout: {stdout}\nstderr: {stderr}");
        assert!(stderr.is_empty(), "stderr is not empty, {all}");
        assert!(stdout.is_ascii(), "not ASCII, {all}");
        let line = stdout.strip_suffix('\n').unwrap_or(stdout).to_owned();
        assert!(!line.contains(['\n', '\r']), "more than one line, {all}");
        let result: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}, {all}"));
        assert!(result.is_object(), "not an object, {all}");
        let failed = result.get("failed").is_some_and(|failed| failed.as_bool().unwrap());
        assert_eq!(status.code(), Some(i32::from(failed)), "exit code and `failed` disagree, {all}");
        Self { line, result }
    }

    /// Asserts that the task is ok and changed something.
    #[track_caller]
    pub fn changed(self) -> Self {
        assert_eq!((self.failed(), &self["changed"]), (false, &json!(true)), "{self:#?}");
        self
    }

    /// Asserts that the task is ok and changed nothing.
    #[track_caller]
    pub fn unchanged(self) -> Self {
        assert_eq!((self.failed(), &self["changed"]), (false, &json!(false)), "{self:#?}");
        assert_eq!(self.actions(), [""; 0], "{self:#?}");
        self
    }

    /// Asserts that the task failed with this `error`; returns the message.
    #[track_caller]
    pub fn refused(self, error: &str) -> String {
        assert_eq!((self.failed(), self["error"].as_str()), (true, Some(error)), "{self:#?}");
        self["msg"].as_str().unwrap().to_owned()
    }

    /// The warnings, each on its line.
    pub fn warnings(&self) -> String {
        let warnings = self["warnings"].as_array().into_iter().flatten().map(|warning| warning.as_str().unwrap());
        warnings.collect::<Vec<_>>().join("\n")
    }

    /// The words of `actions`, none when it is missing.
    pub fn actions(&self) -> Vec<&str> {
        self["actions"].as_array().into_iter().flatten().map(|action| action.as_str().unwrap()).collect()
    }

    /// Whether the task failed.
    pub fn failed(&self) -> bool {
        self["failed"] == true
    }
}

/// A missing key is null.
impl Index<&str> for Reply {
    type Output = Value;

    fn index(&self, key: &str) -> &Value {
        &self.result[key]
    }
}

/// What must not be in the answer, whatever the run does.
fn secrets(args: &Map<String, Value>) -> Vec<String> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let whole = ["personalization_code", "https_proxy", "registry_password"];
    let whole = whole.iter().filter_map(|name| args.get(*name)).map(text);
    let env = args.get("env").and_then(Value::as_object).into_iter().flat_map(Map::values).map(text);
    let entries = args.get("scanners").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_object);
    let of_entries = entries.flat_map(secrets);
    whole.chain(env).filter(|secret| secret.len() >= SHORTEST_SECRET).chain(of_entries).collect()
}

/// JSON as Python's `json.dumps` writes it: nothing but ASCII.
fn ascii(json: &str) -> String {
    let escape = |unit| match u8::try_from(unit) {
        Ok(byte) if byte.is_ascii() => char::from(byte).to_string(),
        _ => format!("\\u{unit:04x}"),
    };
    json.encode_utf16().map(escape).collect()
}
