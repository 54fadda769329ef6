//! For the tests of every layer: what a task's options mean, read by the code that reads them in a run. Only tests can use it.

use serde_json::{Value, json};

use crate::ansible::options::{OPTIONS, RULES};
use crate::ansible::request;
use crate::ansible::validate::validate;
use crate::error::Result;
use crate::scanner::desired::Request;

/// A request from `options` on top of the least that makes a scanner.
pub fn request(options: &Value) -> Result<Request> {
    let mut all =
        json!({"name": "scanner", "personalization_code": "code-4711", "qualys_url": "US1", "image": "qualys/qcsa"});
    all.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
    parse(&all)
}

/// A request from `options` alone.
pub fn parse(options: &Value) -> Result<Request> {
    request::parse(validate("qcss_scanner", OPTIONS, RULES, options.as_object().unwrap())?)
}

/// The names of all options of a scanner.
pub fn option_names() -> impl Iterator<Item = &'static str> {
    OPTIONS.iter().map(|option| option.name)
}

/// Waits for `work`, while no time passes but that of the runtime's own clock.
pub fn wait<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(work)
}
