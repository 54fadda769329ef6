//! Memory, swap and CPUs of a scanner; without any of them it is what the vendor calls an unlimited scanner.

mod actual;

use std::fmt;

pub use self::actual::{ActualLimits, GivenCpus};
use super::capacity::Capacity;
use super::size;
use crate::error::{Error, Result};

/// Docker's least memory, 6 MiB.
const LEAST_MEMORY: u64 = 6 << 20;
/// Docker's unit of CPUs: a billionth.
const NANO: f64 = 1e9;
/// Docker's least CPUs.
const LEAST_CPUS: f64 = 0.01;
/// More than any host has; what the host at hand has is checked against it later.
const MOST_CPUS: f64 = 1e6;
/// Memory and swap together may well be more than the host's memory.
const MOST_SWAP: f64 = 1000.0;

const SIZE: &str = "a size such as 1024M, 1.5g or plain bytes, or a percentage of the host's memory such as 25%";
const SWAP: &str = "a size such as 2048M, a percentage of the host's memory such as 50%, or unlimited";
const CPUS: &str = "a number of CPUs from 0.01 up to those of the host, or a percentage of them such as 50%";

/// What `--memory-swap` bounds: memory and swap together, in bytes, or nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemorySwap {
    /// As much swap as the host has; Docker's -1.
    Unlimited,
    /// Memory and swap together, in bytes.
    Bytes(u64),
}

impl MemorySwap {
    /// As the engine's API writes it.
    pub fn to_api(self) -> i64 {
        match self {
            Self::Unlimited => -1,
            Self::Bytes(bytes) => i64::try_from(bytes).unwrap_or(i64::MAX),
        }
    }
}

impl fmt::Display for MemorySwap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unlimited => f.write_str("unlimited"),
            Self::Bytes(bytes) => write!(f, "{bytes}"),
        }
    }
}

/// CPUs in Docker's billionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cpus(u64);

impl Cpus {
    /// From the engine's `NanoCpus`.
    pub const fn from_nano(nano: u64) -> Self {
        Self(nano)
    }

    /// From a quota and period of the kernel's scheduler, in microseconds.
    pub fn from_quota(quota: u64, period: u64) -> Self {
        Self(u64::try_from(u128::from(quota) * 1_000_000_000 / u128::from(period.max(1))).unwrap_or(u64::MAX))
    }

    /// As a quota of `period`, both in microseconds, which is all that the kernel's scheduler can tell apart.
    pub fn to_quota(self, period: u64) -> u64 {
        u64::try_from((u128::from(self.0) * u128::from(period) + 500_000_000) / 1_000_000_000).unwrap_or(u64::MAX)
    }

    /// As the engine's API writes them.
    pub fn to_api(self) -> i64 {
        i64::try_from(self.0).unwrap_or(i64::MAX)
    }

    /// In whole billionths, whose sums are exact.
    pub const fn to_nano(self) -> u64 {
        self.0
    }

    /// As people write them.
    pub fn to_f64(self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a host has far less than 2^53 billionths of CPUs")]
        {
            self.0 as f64 / NANO
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let cpus = text.parse::<f64>().ok().filter(|_| text.starts_with(|c: char| c.is_ascii_digit()))?;
        (cpus == 0.0 || (LEAST_CPUS..=MOST_CPUS).contains(&cpus)).then(|| Self::from_f64(cpus))
    }

    /// `cpus` must be from 0 to [`MOST_CPUS`].
    fn from_f64(cpus: f64) -> Self {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "far below 2^63, and not negative")]
        Self((cpus * NANO).round() as u64)
    }
}

impl fmt::Display for Cpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.to_f64())
    }
}

/// The desired limits, checked against each other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    memory: Option<u64>,
    memory_swap: Option<MemorySwap>,
    /// CPUs, or no limit.
    pub cpus: Option<Cpus>,
}

impl Limits {
    fn checked(self) -> Result<Self> {
        match (self.memory, self.memory_swap) {
            (None, Some(swap)) => Err(Error::invalid(format!(
                "memory_swap is memory and swap together and needs memory beside it, got: `{swap}` without memory"
            ))),
            (Some(memory), _) if memory < LEAST_MEMORY => Err(Error::invalid(format!(
                "memory must be at least 6 MiB ({LEAST_MEMORY} bytes), got: `{memory}` bytes"
            ))),
            (Some(memory), Some(MemorySwap::Bytes(swap))) if swap < memory => Err(Error::invalid(format!(
                "memory_swap is memory and swap together and must not be less than memory ({memory} bytes), got: `{swap}` bytes"
            ))),
            _ => Ok(self),
        }
    }

    /// Bytes of memory, or no limit.
    pub const fn memory(&self) -> Option<u64> {
        self.memory
    }

    /// As the task gave it.
    pub const fn memory_swap_given(&self) -> Option<MemorySwap> {
        self.memory_swap
    }

    /// Memory in bytes, memory and swap together, and CPUs, as the task gave them.
    pub const fn given(&self) -> (Option<u64>, Option<MemorySwap>, Option<Cpus>) {
        let Self { memory, memory_swap, cpus } = *self;
        (memory, memory_swap, cpus)
    }

    /// Memory and swap together as the engine will have it: twice the memory where the task does not say.
    pub fn memory_swap(&self) -> Option<MemorySwap> {
        self.memory.map(|memory| self.memory_swap.unwrap_or(MemorySwap::Bytes(memory.saturating_mul(2))))
    }
}

/// The limits as the task gave them: percentages become numbers only with the host's.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct GivenLimits {
    memory: Option<Amount<u64>>,
    memory_swap: Option<Amount<MemorySwap>>,
    cpus: Option<Amount<Cpus>>,
}

/// A number, or a percentage of what the host has.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Amount<T> {
    Fixed(T),
    Percent(f64),
}

impl GivenLimits {
    /// Takes the three options; nothing and 0 mean no limit.
    pub fn parse(memory: Option<&str>, memory_swap: Option<&str>, cpus: Option<&str>) -> Result<Self> {
        Ok(Self {
            memory: amount("memory", SIZE, memory, 100.0, size::parse)?,
            memory_swap: amount("memory_swap", SWAP, memory_swap, MOST_SWAP, |text| match text {
                "-1" => Some(MemorySwap::Unlimited),
                _ if text.eq_ignore_ascii_case("unlimited") => Some(MemorySwap::Unlimited),
                _ => size::parse(text)
                    .map(|bytes| if bytes == 0 { MemorySwap::Unlimited } else { MemorySwap::Bytes(bytes) }),
            })?,
            cpus: amount("cpus", CPUS, cpus, 100.0, Cpus::parse)?,
        })
    }

    /// Whether memory is given, also as 0.
    pub const fn has_memory(&self) -> bool {
        self.memory.is_some()
    }

    /// Whether memory and swap together are given, also as no limit.
    pub const fn has_memory_swap(&self) -> bool {
        self.memory_swap.is_some()
    }

    /// Whether CPUs are given, also as 0.
    pub const fn has_cpus(&self) -> bool {
        self.cpus.is_some()
    }

    /// These limits where they are given, and else those of a container that has the `actual` ones. Memory alone: a swap limit
    /// that was the engine's default follows it, another one stays.
    pub fn resolve_over(&self, actual: &ActualLimits, capacity: &Capacity) -> Result<Limits> {
        let given = self.resolved(capacity)?;
        let memory = if self.has_memory() { given.memory } else { actual.memory };
        let is_default =
            actual.memory.is_some_and(|memory| actual.memory_swap == Some(MemorySwap::Bytes(memory.saturating_mul(2))));
        let memory_swap = if self.has_memory_swap() {
            given.memory_swap
        } else {
            actual.memory_swap.filter(|_| memory.is_some() && !(self.has_memory() && is_default))
        };
        let cpus = if self.has_cpus() { given.cpus } else { actual.cpus };
        Limits { memory, memory_swap, cpus }.checked()
    }

    /// Whether a percentage is among them, so that the host's resources must be known.
    pub const fn is_relative(&self) -> bool {
        matches!(self.memory, Some(Amount::Percent(_)))
            || matches!(self.memory_swap, Some(Amount::Percent(_)))
            || matches!(self.cpus, Some(Amount::Percent(_)))
    }

    /// The limits on a host of this `capacity`: whole MiB and hundredths of CPUs, rounded down.
    pub fn resolve(&self, capacity: &Capacity) -> Result<Limits> {
        self.resolved(capacity)?.checked()
    }

    /// The same, not checked against each other.
    fn resolved(&self, capacity: &Capacity) -> Result<Limits> {
        let percentage = |percent: f64| {
            #[expect(clippy::cast_precision_loss, reason = "no host has 2^53 bytes")]
            let mebibytes = (capacity.memory as f64 * percent / 100.0 / f64::from(1 << 20)).floor();
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of the host's memory")]
            {
                (mebibytes as u64) << 20
            }
        };
        let memory = match self.memory {
            Some(Amount::Fixed(0)) | None => None,
            Some(Amount::Fixed(bytes)) => Some(bytes),
            Some(Amount::Percent(percent)) => Some(percentage(percent)),
        };
        let memory_swap = match self.memory_swap {
            // Where the task takes the limit of memory away, there is none of swap either.
            Some(Amount::Fixed(MemorySwap::Unlimited)) if self.memory == Some(Amount::Fixed(0)) => None,
            Some(Amount::Fixed(swap)) => Some(swap),
            Some(Amount::Percent(percent)) => Some(MemorySwap::Bytes(percentage(percent))),
            None => None,
        };
        let cpus = match self.cpus {
            Some(Amount::Fixed(Cpus(0))) | None => None,
            Some(Amount::Fixed(cpus)) => Some(cpus),
            Some(Amount::Percent(percent)) => Some(percentage_of_cpus(percent, capacity.cpus)?),
        };
        Ok(Limits { memory, memory_swap, cpus })
    }
}

/// Hundredths, rounded down; a percentage so small that nothing is left must not become a scanner without a limit.
fn percentage_of_cpus(percent: f64, cpus: u32) -> Result<Cpus> {
    // A hair more, since 57 % of 100 is 56.99… to a computer.
    let part = (f64::from(cpus) * percent + 1e-6).floor() / 100.0;
    if part < LEAST_CPUS {
        return Err(Error::invalid(format!("cpus must be at least {LEAST_CPUS}, got: `{percent}%` of {cpus} CPUs")));
    }
    Ok(Cpus::from_f64(part))
}

fn amount<T>(
    option: &str,
    rule: &str,
    text: Option<&str>,
    most: f64,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Option<Amount<T>>> {
    let Some(text) = text.map(str::trim) else { return Ok(None) };
    let amount = match text.strip_suffix('%') {
        Some(percent) => {
            let number = percent.trim_end().parse().ok().filter(|_| percent.starts_with(|c: char| c.is_ascii_digit()));
            number.filter(|percent| (0.0..=most).contains(percent)).map(Amount::Percent)
        }
        None => parse(text).map(Amount::Fixed),
    };
    let no_limit = if text.is_empty() || matches!(amount, Some(Amount::Percent(0.0))) {
        // A template gone wrong, which must not take a limit away.
        "; for no limit give 0, or leave it out"
    } else if let Some(amount) = amount {
        return Ok(Some(amount));
    } else {
        ""
    };
    Err(Error::invalid(format!("{option} must be {rule}{no_limit}, got: `{text}`")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    const HOST: Capacity = Capacity { memory: (8 << 30) + 12_345, swap: None, cpus: 3 };

    /// `-`: left out.
    fn parse(memory: &'static str, memory_swap: &'static str, cpus: &'static str) -> Result<Limits> {
        let given = |text: &'static str| Some(text).filter(|text| *text != "-");
        GivenLimits::parse(given(memory), given(memory_swap), given(cpus))?.resolve(&HOST)
    }

    #[rstest]
    #[case("-", "-", "-", None, None, None)]
    #[case("0", "-1", "-", None, None, None)]
    #[case("0", "0", "0", None, None, None)]
    #[case("1024M", "2048M", "1", Some(1 << 30), Some(MemorySwap::Bytes(2 << 30)), Some(1_000_000_000))]
    #[case("512m", "-", "0.5", Some(1 << 29), Some(MemorySwap::Bytes(1 << 30)), Some(500_000_000))]
    #[case("512m", "0", "0.01", Some(1 << 29), Some(MemorySwap::Unlimited), Some(10_000_000))]
    #[case("512m", "-1", "1.0", Some(1 << 29), Some(MemorySwap::Unlimited), Some(1_000_000_000))]
    #[case("512m", "Unlimited", "2", Some(1 << 29), Some(MemorySwap::Unlimited), Some(2_000_000_000))]
    #[case("512m", "512m", "-", Some(1 << 29), Some(MemorySwap::Bytes(1 << 29)), None)]
    #[case("25%", "50%", "50%", Some(2 << 30), Some(MemorySwap::Bytes(4 << 30)), Some(1_500_000_000))]
    #[case("33.3%", "-", "33.3%", Some(2727 << 20), Some(MemorySwap::Bytes(5454 << 20)), Some(990_000_000))]
    #[case("100 %", "150%", "100%", Some(8 << 30), Some(MemorySwap::Bytes(12 << 30)), Some(3_000_000_000))]
    fn reads_limits(
        #[case] memory: &'static str,
        #[case] memory_swap: &'static str,
        #[case] cpus: &'static str,
        #[case] bytes: Option<u64>,
        #[case] swap: Option<MemorySwap>,
        #[case] nano: Option<u64>,
    ) {
        let limits = parse(memory, memory_swap, cpus).unwrap();
        assert_eq!((limits.memory(), limits.memory_swap(), limits.cpus), (bytes, swap, nano.map(Cpus)));
    }

    #[rstest]
    #[case("1024X", "-", "-", "got: `1024X`")]
    #[case("-1", "-", "-", "got: `-1`")]
    #[case("1m", "-", "-", "memory must be at least 6 MiB (6291456 bytes), got: `1048576` bytes")]
    #[case("-", "1g", "-", "needs memory beside it, got: `1073741824` without memory")]
    #[case("-", "-1", "-", "got: `unlimited` without memory")]
    #[case("-", "0", "-", "got: `unlimited` without memory")]
    #[case("0", "1g", "-", "got: `1073741824` without memory")]
    #[case("", "-", "-", "for no limit give 0, or leave it out, got: ``")]
    #[case(
        " ",
        "-",
        "-",
        "memory must be a size such as 1024M, 1.5g or plain bytes, or a percentage of the host's memory such as 25%; for no limit give 0, or leave it out, got: ``"
    )]
    #[case("1g", "", "-", "for no limit give 0, or leave it out, got: ``")]
    #[case("-", "-", "", "for no limit give 0, or leave it out, got: ``")]
    #[case("0%", "-", "-", "got: `0%`")]
    #[case("1g", "0.0%", "-", "got: `0.0%`")]
    #[case("-", "-", "0 %", "got: `0 %`")]
    #[case("2g", "1g", "-", "must not be less than memory (2147483648 bytes), got: `1073741824` bytes")]
    #[case("2g", "x", "-", "got: `x`")]
    #[case("-", "-", "0.001", "got: `0.001`")]
    #[case("-", "-", "-1", "got: `-1`")]
    #[case("-", "-", "inf", "got: `inf`")]
    #[case("-", "-", "two", "got: `two`")]
    #[case("-", "-", "1e99", "got: `1e99`")]
    #[case("101%", "-", "-", "got: `101%`")]
    #[case("-1%", "-", "-", "got: `-1%`")]
    #[case("%", "-", "-", "got: `%`")]
    #[case("-", "-", "nan%", "got: `nan%`")]
    #[case("0.01%", "-", "-", "memory must be at least 6 MiB (6291456 bytes), got: `0` bytes")]
    #[case("-", "-", "0.1%", "cpus must be at least 0.01, got: `0.1%` of 3 CPUs")]
    #[case("50%", "25%", "-", "must not be less than memory (4294967296 bytes), got: `2147483648` bytes")]
    fn refuses_what_docker_would(
        #[case] memory: &'static str,
        #[case] memory_swap: &'static str,
        #[case] cpus: &'static str,
        #[case] end: &str,
    ) {
        let message = parse(memory, memory_swap, cpus).unwrap_err().message;
        assert!(message.ends_with(end), "{message}");
    }
}
