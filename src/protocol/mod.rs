//! What Ansible and this program say to each other: an arguments file in, one JSON line out.
//!
//! ```text
//! file ─ json ─ invocation ─ options + coerce + validate ─ arguments ─▶ the run ─▶ reply ─ redact ─▶ stdout
//! ```
//!
//! A binary module gets none of `AnsibleModule`'s services, so they are redone here: its order, its words, its coercions.

pub mod arguments;
pub mod coerce;
pub mod confidential;
pub mod invocation;
pub mod json;
pub mod options;
pub mod redact;
pub mod reply;
pub mod syslog;
pub mod validate;
