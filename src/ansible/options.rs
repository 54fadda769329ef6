//! The options of the module, as data: the one table that validation, conversion and masking read.

use serde_json::{Map, Value};

/// How `AnsibleModule` converts a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Any scalar, as a string.
    Str,
    /// A whole number.
    Int,
    /// A number.
    Float,
    /// A truth value in any of Ansible's spellings.
    Bool,
    /// A string in which `~` and `$VAR` are expanded.
    Path,
    /// A mapping, JSON, or `k=v, k2=v2`.
    Dict,
    /// A list of mappings, which are validated by a table of their own.
    Dicts,
}

impl Kind {
    /// Ansible's word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Str => "str",
            Self::Int => "int",
            Self::Float => "float",
            Self::Bool => "bool",
            Self::Path => "path",
            Self::Dict => "dict",
            Self::Dicts => "list",
        }
    }
}

/// The value of an option that the task leaves out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Default {
    /// No value.
    Unset,
    /// A string.
    Str(&'static str),
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Int(i64),
}

/// One option.
#[derive(Debug, Clone, Copy)]
pub struct Opt {
    /// Its name in the task.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// Its default.
    pub default: Default,
    /// The values it may have, or empty for any.
    pub choices: &'static [&'static str],
    /// Whether the task must give it, or each entry of a list of [`Kind::Dicts`].
    pub required: bool,
    /// Whether its value (each leaf of it) must never be shown.
    pub secret: bool,
    /// What yes and no mean where they are accepted beside the choices (YAML reads an unquoted `no` as a truth value).
    pub truths: Option<[&'static str; 2]>,
}

impl Opt {
    const fn new(name: &'static str, kind: Kind) -> Self {
        Self { name, kind, default: Default::Unset, choices: &[], required: false, secret: false, truths: None }
    }

    const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    const fn default(mut self, default: Default) -> Self {
        self.default = default;
        self
    }

    const fn truths(mut self, yes: &'static str, no: &'static str) -> Self {
        self.truths = Some([yes, no]);
        self
    }

    const fn choices(mut self, choices: &'static [&'static str]) -> Self {
        self.choices = choices;
        self
    }

    /// Its value among `options`; null counts as left out.
    pub fn given<'a>(&self, options: &'a Map<String, Value>) -> Option<&'a Value> {
        options.get(self.name).filter(|value| !value.is_null())
    }
}

/// What options need of each other, as `AnsibleModule` is told of it.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// Groups of options that must be given all or none (`required_together`).
    pub together: &'static [&'static [&'static str]],
    /// An option, and what must be given beside it (`required_by`), unless the scanner shall be absent.
    pub required_by: &'static [(&'static str, &'static [&'static str])],
}

/// The rules of `qcss_scanner`.
pub const RULES: Rules = Rules {
    together: &[&["registry_username", "registry_password"]],
    required_by: &[("personalization_code", &["qualys_url", "image"])],
};

/// Those of a module whose options need nothing of each other.
pub const NO_RULES: Rules = Rules { together: &[], required_by: &[] };

/// The options of `qcss_scanner`, in the order in which errors are looked for.
pub const OPTIONS: &[Opt] = &[
    Opt::new("name", Kind::Str).required(),
    Opt::new("personalization_code", Kind::Str).secret(),
    Opt::new("qualys_url", Kind::Str),
    Opt::new("image", Kind::Str),
    Opt::new("shared_dir", Kind::Path).default(Default::Str("/usr/qualys/shared")),
    Opt::new("private_dir", Kind::Path).default(Default::Str("/usr/qualys/private")),
    Opt::new("private_dir_mode", Kind::Str),
    Opt::new("memory", Kind::Str),
    Opt::new("memory_swap", Kind::Str),
    Opt::new("cpus", Kind::Str),
    Opt::new("overcommit", Kind::Str).default(Default::Str("deny")).choices(&["deny", "warn", "allow"]),
    Opt::new("https_proxy", Kind::Str).secret(),
    Opt::new("polling_interval", Kind::Int),
    Opt::new("update_interval", Kind::Int),
    Opt::new("refresh_interval", Kind::Int),
    Opt::new("ca_dir", Kind::Path),
    Opt::new("network", Kind::Str),
    Opt::new("env", Kind::Dict).secret(),
    Opt::new("restart_policy", Kind::Str).truths("True", "no"),
    Opt::new("privileged", Kind::Bool),
    Opt::new("labels", Kind::Dict),
    Opt::new("pull", Kind::Str).default(Default::Str("missing")).choices(&["missing", "always", "never"]),
    Opt::new("image_archive", Kind::Path),
    Opt::new("registry_username", Kind::Str),
    Opt::new("registry_password", Kind::Str).secret(),
    Opt::new("state", Kind::Str).default(Default::Str("started")).choices(&["started", "present", "stopped", "absent"]),
    Opt::new("recreate", Kind::Str)
        .default(Default::Str("auto"))
        .choices(&["auto", "always", "never"])
        .truths("always", "auto"),
    Opt::new("restart", Kind::Bool).default(Default::Bool(false)),
    Opt::new("purge", Kind::Bool).default(Default::Bool(false)),
    Opt::new("settle", Kind::Float).default(Default::Int(2)),
    Opt::new("stop_timeout", Kind::Int),
    Opt::new("docker_host", Kind::Str),
    Opt::new("timeout", Kind::Int).default(Default::Int(60)),
    Opt::new("scanners", Kind::Dicts),
];

/// Options of the task that an entry of `scanners` does not take: they are about all of them.
pub const TASK_ONLY: &[&str] = &["docker_host", "timeout", "scanners"];

/// The options of `qcss_scanner_info`.
pub const INFO_OPTIONS: &[Opt] = &[
    Opt::new("name", Kind::Str),
    Opt::new("docker_host", Kind::Str),
    Opt::new("timeout", Kind::Int).default(Default::Int(60)),
];
