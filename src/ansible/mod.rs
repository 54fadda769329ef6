//! The module as Ansible sees it: an arguments file in, one JSON line out.
//!
//! ```text
//! file ─▶ json ─▶ invocation ─▶ validate (options, coerce) ─▶ arguments ─▶ request ─▶ the run ─▶ result ─▶ reply ─▶ stdout
//! ```
//!
//! A binary module gets none of `AnsibleModule`'s services, so they are done here: in its order, in its words, with its
//! conversions.

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
