//! The module against a real Docker engine: one test binary, so that the tests share one engine and one build.
//!
//! Every test makes its own scanners with their own directories, so all of them run at the same time on the shared engine.
//! Needs root. Nothing outlives this process, however it ends.
//!
//! `cfg(test)` is always true here. It is said for clippy, which allows tests to panic but looks for these words.

#[cfg(test)]
mod support;

#[cfg(test)]
mod adjusting;
#[cfg(test)]
mod adoption;
#[cfg(test)]
mod ansible;
#[cfg(test)]
mod attacks;
#[cfg(test)]
mod canaries;
#[cfg(test)]
mod carried_over;
#[cfg(test)]
mod concurrency;
#[cfg(test)]
mod dependents;
#[cfg(test)]
mod disguises;
#[cfg(test)]
mod docs;
#[cfg(test)]
mod drift;
#[cfg(test)]
mod engine;
#[cfg(test)]
mod every_key;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod half_way;
#[cfg(test)]
mod host_playbooks;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod image_supply;
#[cfg(test)]
mod images;
#[cfg(test)]
mod info;
#[cfg(test)]
mod interrupted;
#[cfg(test)]
mod late;
#[cfg(test)]
mod layout;
#[cfg(test)]
mod limits_by_hand;
#[cfg(test)]
mod locks;
#[cfg(test)]
mod neighbours;
#[cfg(test)]
mod networks;
#[cfg(test)]
mod notice;
#[cfg(test)]
mod overcommit;
#[cfg(test)]
mod pages;
#[cfg(test)]
mod paths;
#[cfg(test)]
mod percentages;
#[cfg(test)]
mod protocol;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod role;
#[cfg(test)]
mod rootless;
#[cfg(test)]
mod scale;
#[cfg(test)]
mod scanners;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod settle;
#[cfg(test)]
mod spelling;
#[cfg(test)]
mod stand_in;
#[cfg(test)]
mod states;
#[cfg(test)]
mod twin;
#[cfg(test)]
mod volumes;
