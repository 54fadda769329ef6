//! The two that are compared: `AnsibleModule` in a process of Python's, and the module in this one.

use std::io::{BufRead, BufReader, Lines, Write};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::{fs, thread};

use qcss_scanner::ansible::invocation::Invocation;
use qcss_scanner::ansible::json;
use qcss_scanner::ansible::module;
use qcss_scanner::ansible::no_log::masked;
use qcss_scanner::ansible::options::{Default, INFO_OPTIONS, Kind, NO_RULES, OPTIONS, Opt, RULES, Rules, TASK_ONLY};
use qcss_scanner::ansible::validate::validate;
use serde_json::{Value, json};
use tempfile::TempDir;

const PYTHON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/.venv/bin/python");
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/twin/twin.py");

/// `AnsibleModule`, told of some options.
pub struct Twin {
    child: Child,
    files: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Twin {
    pub fn of(table: &[Opt], rules: Rules) -> Self {
        let mut module = json!({"argument_spec": spec(table)});
        say(&mut module, rules);
        Self::start(&module)
    }

    /// With a list of scanners it is each entry that must have a name.
    pub fn of_list() -> Self {
        let entry: Vec<_> = spec(OPTIONS).into_iter().filter(|(name, _)| !TASK_ONLY.contains(name)).collect();
        let options = spec(OPTIONS).into_iter().map(|(name, mut of)| {
            of["required"] = json!(false);
            if name == "scanners" {
                of["options"] = json!(entry);
                say(&mut of, RULES);
            }
            (name, of)
        });
        let options: Vec<_> = options.collect();
        Self::start(&json!({"argument_spec": options, "mutually_exclusive": [["name", "scanners"]]}))
    }

    fn start(module: &Value) -> Self {
        let mut python = Command::new(PYTHON);
        python.args(["-B", SCRIPT]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = python.spawn().unwrap();
        let (files, answers) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut twin = Self { child, files, answers: BufReader::new(answers).lines() };
        writeln!(twin.files, "{module}").unwrap();
        twin
    }

    pub fn answer(&mut self, task: &str) -> Value {
        writeln!(self.files, "{}", called(task)).unwrap();
        json::parse(self.answers.next().unwrap().unwrap().as_bytes()).unwrap()
    }

    /// Compares the two.
    pub fn agrees(&mut self, task: &str) -> Result<(), String> {
        let ours = Ours::to(task);
        let theirs = self.answer(task);
        let told = |what: &str, theirs: &dyn std::fmt::Debug, ours: &dyn std::fmt::Debug| {
            Err(format!("{what} of {task}\nAnsibleModule: {theirs:#?}\nthe module: {ours:#?}"))
        };
        let verdict = theirs["result"]["msg"].as_str().map(without_booleans);
        if verdict != ours.verdict.as_deref().map(without_booleans) {
            return told("the verdict", &verdict, &ours.verdict);
        }
        if verdict.is_some() {
            return Ok(());
        }
        let theirs_understood = theirs["result"]["invocation"]["module_args"].as_object().unwrap();
        for (name, understood) in theirs_understood {
            if *understood != ours.invocation[name] {
                return told(name, understood, &ours.invocation[name]);
            }
        }
        if theirs_understood.len() != ours.invocation.as_object().unwrap().len() {
            return told("the invocation", theirs_understood, &ours.invocation);
        }
        let logged = theirs["log"].as_array().filter(|log| !log.is_empty()).map(|log| {
            format!("<{}>{}: {}", log[1].as_u64().unwrap() * 8 + 6, log[0].as_str().unwrap(), log[2].as_str().unwrap())
        });
        // What is in a list or dict has no order of its own.
        if logged != ours.logged && !task.contains("scanners") && !task.contains("labels") {
            return told("the log", &logged, &ours.logged);
        }
        Ok(())
    }
}

impl Drop for Twin {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the module makes of a task.
pub struct Ours {
    /// Why it is refused, if it is.
    pub verdict: Option<String>,
    invocation: Value,
    logged: Option<String>,
}

impl Ours {
    /// In a thread of its own, for secrets are remembered by thread.
    pub fn to(task: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("args");
        fs::write(&file, called(task)).unwrap();
        thread::spawn(move || Self::answer(&file, &directory)).join().unwrap()
    }

    fn answer(file: &Path, directory: &TempDir) -> Self {
        let reply: Value = serde_json::from_str(&module::answer(file).into_line()).unwrap();
        drop(std::panic::take_hook());
        let invocation = Invocation::read(file).unwrap();
        let (table, rules) =
            if invocation.module == "qcss_scanner_info" { (INFO_OPTIONS, NO_RULES) } else { (OPTIONS, RULES) };
        let mut logged = None;
        let mut verdict = None;
        match validate(&invocation.module, table, rules, &invocation.options) {
            Ok(valid) => {
                let socket = directory.path().join("log");
                let listener = UnixDatagram::bind(&socket).unwrap();
                listener.set_nonblocking(true).unwrap();
                invocation.log.tell(&socket, table, &masked(table, &valid.values));
                let mut buffer = vec![0; 65536];
                let length = listener.recv(&mut buffer).ok();
                logged = length.map(|length| String::from_utf8(buffer[..length].to_vec()).unwrap());
            }
            Err(_) => verdict = Some(reply["msg"].as_str().unwrap().to_owned()),
        }
        Self { verdict, invocation: reply["invocation"]["module_args"].clone(), logged }
    }
}

/// `task` as Ansible calls with it, for an engine that is not there; of a key that comes twice the last one counts.
fn called(task: &str) -> String {
    let more = task.strip_prefix('{').unwrap();
    let comma = if more == "}" { "" } else { ", " };
    let common = r#""docker_host": "unix:///nonexistent/docker.sock", "_ansible_module_name": "qcss_scanner""#;
    format!("{{{common}{comma}{more}")
}

/// Tells of the rules, for a module or for the entries of a list.
fn say(of: &mut Value, rules: Rules) {
    of["required_together"] = json!(rules.together);
    of["required_by"] =
        rules.required_by.iter().map(|(option, needed)| ((*option).to_owned(), json!(needed))).collect();
}

/// The options as `AnsibleModule` is told of them, in their order.
fn spec(table: &[Opt]) -> Vec<(&'static str, Value)> {
    let of = |option: &Opt| {
        let default = match option.default {
            Default::Unset => Value::Null,
            Default::Str(text) => json!(text),
            Default::Bool(truth) => json!(truth),
            Default::Int(int) => json!(int),
        };
        let mut of = json!({"type": option.kind.word(), "required": option.required, "default": default});
        if !option.choices.is_empty() {
            of["choices"] = json!(option.choices);
        }
        if option.kind == Kind::Dicts {
            of["elements"] = json!("dict");
        }
        // Said of every one, else a name like `registry_password` makes it warn.
        of["no_log"] = json!(option.secret);
        (option.name, of)
    };
    table.iter().map(of).collect()
}

/// Without the list of valid truth values, which has no order there.
fn without_booleans(message: &str) -> &str {
    message.split("Valid booleans include").next().unwrap_or_default()
}
