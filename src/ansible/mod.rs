//! What Ansible and this program say to each other: an arguments file in, one JSON line out.
//!
//! ```text
//! file ─ json ─ invocation ─ options + coerce + validate ─ arguments ─▶ the run ─▶ reply ─ redact ─▶ stdout
//! ```
//!
//! A binary module gets none of `AnsibleModule`'s services, so they are redone here: its order, its words, its coercions.

mod arguments;
mod coerce;
mod info;
pub mod invocation;
pub mod json;
pub mod module;
pub mod no_log;
pub mod options;
pub mod reply;
pub mod request;
pub mod result;
mod syslog;
pub mod validate;
