//! The options of one scanner with their types, as the user gave them; [`super::request`] turns them into what they mean.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Map, Value};

use super::options::TASK_ONLY;
use crate::error::{Error, Kind, Result};
use crate::scanner::policy::{Overcommit, Pull, Recreate, State};

/// One field for each option of a scanner: [`super::options::OPTIONS`] without [`TASK_ONLY`].
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Arguments {
    pub name: Option<String>,
    pub personalization_code: Option<String>,
    pub qualys_url: Option<String>,
    pub image: Option<String>,
    pub shared_dir: String,
    pub private_dir: String,
    pub private_dir_mode: Option<String>,
    pub memory: Option<String>,
    pub memory_swap: Option<String>,
    pub cpus: Option<String>,
    pub overcommit: Overcommit,
    pub https_proxy: Option<String>,
    pub polling_interval: Option<i64>,
    pub update_interval: Option<i64>,
    pub refresh_interval: Option<i64>,
    pub ca_dir: Option<String>,
    pub network: Option<String>,
    pub env: Option<BTreeMap<String, Value>>,
    pub restart_policy: Option<String>,
    pub privileged: Option<bool>,
    pub labels: Option<BTreeMap<String, Value>>,
    pub pull: Pull,
    pub image_archive: Option<String>,
    pub registry_username: Option<String>,
    pub registry_password: Option<String>,
    pub state: State,
    pub recreate: Recreate,
    pub restart: bool,
    pub purge: bool,
    pub settle: f64,
    pub stop_timeout: Option<i64>,
    /// The options that the task itself gave.
    #[serde(skip)]
    pub given: BTreeSet<&'static str>,
}

impl Arguments {
    /// Takes validated `values`.
    pub fn new(mut values: Map<String, Value>, given: BTreeSet<&'static str>) -> Result<Self> {
        values.retain(|name, _| !TASK_ONLY.contains(&name.as_str()));
        let arguments: Self = serde_json::from_value(Value::Object(values))
            .map_err(|_| Error::new(Kind::Internal, "an option is missing in the program; report this as a defect"))?;
        Ok(Self { given, ..arguments })
    }
}

#[cfg(test)]
mod tests {
    use super::super::options::{OPTIONS, RULES};
    use super::super::validate::validate;
    use super::*;
    use serde_json::json;

    #[test]
    fn every_option_has_its_field_and_every_choice_its_variant() {
        let options = json!({"name": "ab"});
        let valid = validate("qcss_scanner", OPTIONS, RULES, options.as_object().unwrap()).unwrap();
        Arguments::new(valid.values.clone(), valid.given.clone()).unwrap();
        for option in OPTIONS {
            for choice in option.choices {
                let mut values = valid.values.clone();
                values.insert(option.name.to_owned(), json!(choice));
                Arguments::new(values, valid.given.clone()).unwrap();
            }
        }
    }
}
