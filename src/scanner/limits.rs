//! Memory, swap and CPUs of a scanner; without any of them it is what the vendor calls an unlimited scanner.

use std::fmt;

use super::size;
use crate::error::{Error, Result};

/// Docker's least memory, 6 MiB.
const LEAST_MEMORY: u64 = 6 << 20;
/// Docker's unit of CPUs: a billionth.
const NANO: f64 = 1e9;

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
    #[must_use]
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
    #[must_use]
    pub const fn from_nano(nano: u64) -> Self {
        Self(nano)
    }

    /// From a quota and period of the kernel's scheduler, in microseconds.
    #[must_use]
    pub fn from_quota(quota: u64, period: u64) -> Self {
        Self(u64::try_from(u128::from(quota) * 1_000_000_000 / u128::from(period.max(1))).unwrap_or(u64::MAX))
    }

    /// As the engine's API writes them.
    #[must_use]
    pub fn to_api(self) -> i64 {
        i64::try_from(self.0).unwrap_or(i64::MAX)
    }

    /// As people write them.
    #[must_use]
    pub fn to_f64(self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a host has far less than 2^53 billionths of CPUs")]
        {
            self.0 as f64 / NANO
        }
    }

    fn parse(text: &str) -> Result<Option<Self>> {
        let cpus = text.parse::<f64>().ok().filter(|cpus| cpus.is_finite() && !text.starts_with(['+', '.']));
        match cpus {
            Some(0.0) => Ok(None),
            Some(cpus) if (0.01..=1e6).contains(&cpus) =>
            {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "between 0.01 and 1e6, as just checked"
                )]
                Ok(Some(Self((cpus * NANO).round() as u64)))
            }
            _ => Err(Error::invalid(format!(
                "cpus must be a number of CPUs from 0.01 up to those of the host, got: `{text}`"
            ))),
        }
    }
}

impl fmt::Display for Cpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.to_f64())
    }
}

/// The limits that are wanted, checked against each other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    memory: Option<u64>,
    memory_swap: Option<MemorySwap>,
    /// CPUs, or no limit.
    pub cpus: Option<Cpus>,
}

impl Limits {
    /// Takes the three options as the task gave them; nothing, an empty text and 0 mean no limit.
    ///
    /// # Errors
    /// When a value is no size or number, or when Docker would refuse their combination.
    pub fn parse(memory: Option<&str>, memory_swap: Option<&str>, cpus: Option<&str>) -> Result<Self> {
        let given = |text: Option<&str>| text.map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
        let bytes = |option: &str, text: &str| {
            size::parse(text).ok_or_else(|| {
                Error::invalid(format!("{option} must be a size such as 1024M, 1.5g or plain bytes, got: `{text}`"))
            })
        };
        let memory = given(memory).map(|text| bytes("memory", &text)).transpose()?.filter(|bytes| *bytes != 0);
        let memory_swap = match given(memory_swap) {
            None => None,
            Some(text) if text == "-1" || text.eq_ignore_ascii_case("unlimited") => Some(MemorySwap::Unlimited),
            Some(text) => Some(bytes("memory_swap", &text)?).filter(|bytes| *bytes != 0).map(MemorySwap::Bytes),
        };
        let cpus = given(cpus).map_or(Ok(None), |text| Cpus::parse(&text))?;
        Self { memory, memory_swap, cpus }.checked()
    }

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
    #[must_use]
    pub const fn memory(&self) -> Option<u64> {
        self.memory
    }

    /// As the task gave it.
    #[must_use]
    pub const fn memory_swap_given(&self) -> Option<MemorySwap> {
        self.memory_swap
    }

    /// Memory and swap together as the engine will have it: twice the memory where the task does not say.
    #[must_use]
    pub fn memory_swap(&self) -> Option<MemorySwap> {
        self.memory.map(|memory| self.memory_swap.unwrap_or(MemorySwap::Bytes(memory.saturating_mul(2))))
    }
}

/// The limits that a container has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ActualLimits {
    /// Bytes of memory, or no limit.
    pub memory: Option<u64>,
    /// Memory and swap together, where memory is limited.
    pub memory_swap: Option<MemorySwap>,
    /// CPUs, however they were given.
    pub cpus: Option<Cpus>,
    /// The period, in microseconds, where CPUs were given as quota and period: an update must then speak of those.
    pub cpu_period: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn parse(memory: &str, memory_swap: &str, cpus: &str) -> Result<Limits> {
        Limits::parse(Some(memory), Some(memory_swap), Some(cpus))
    }

    #[rstest]
    #[case("", "", "", None, None, None)]
    #[case("0", "0", "0", None, None, None)]
    #[case("1024M", "2048M", "1", Some(1 << 30), Some(MemorySwap::Bytes(2 << 30)), Some(1_000_000_000))]
    #[case("512m", "", "0.5", Some(1 << 29), Some(MemorySwap::Bytes(1 << 30)), Some(500_000_000))]
    #[case("512m", "0", "0.01", Some(1 << 29), Some(MemorySwap::Bytes(1 << 30)), Some(10_000_000))]
    #[case("512m", "-1", "1.0", Some(1 << 29), Some(MemorySwap::Unlimited), Some(1_000_000_000))]
    #[case("512m", "Unlimited", "2", Some(1 << 29), Some(MemorySwap::Unlimited), Some(2_000_000_000))]
    #[case("512m", "512m", "", Some(1 << 29), Some(MemorySwap::Bytes(1 << 29)), None)]
    fn reads_limits(
        #[case] memory: &str,
        #[case] memory_swap: &str,
        #[case] cpus: &str,
        #[case] bytes: Option<u64>,
        #[case] swap: Option<MemorySwap>,
        #[case] nano: Option<u64>,
    ) {
        let limits = parse(memory, memory_swap, cpus).unwrap();
        assert_eq!((limits.memory(), limits.memory_swap(), limits.cpus), (bytes, swap, nano.map(Cpus)));
    }

    #[rstest]
    #[case("1024X", "", "", "got: `1024X`")]
    #[case("-1", "", "", "got: `-1`")]
    #[case("1m", "", "", "memory must be at least 6 MiB (6291456 bytes), got: `1048576` bytes")]
    #[case("", "1g", "", "needs memory beside it, got: `1073741824` without memory")]
    #[case("0", "-1", "", "got: `unlimited` without memory")]
    #[case("2g", "1g", "", "must not be less than memory (2147483648 bytes), got: `1073741824` bytes")]
    #[case("2g", "x", "", "got: `x`")]
    #[case("", "", "0.001", "got: `0.001`")]
    #[case("", "", "-1", "got: `-1`")]
    #[case("", "", "inf", "got: `inf`")]
    #[case("", "", "two", "got: `two`")]
    #[case("", "", "1e99", "got: `1e99`")]
    fn refuses_what_docker_would(
        #[case] memory: &str,
        #[case] memory_swap: &str,
        #[case] cpus: &str,
        #[case] end: &str,
    ) {
        let message = parse(memory, memory_swap, cpus).unwrap_err().message;
        assert!(message.ends_with(end), "{message}");
    }

    #[test]
    fn quota_and_period_are_cpus_too() {
        assert_eq!(Cpus::from_quota(150_000, 100_000), Cpus::from_nano(1_500_000_000));
        assert_eq!(Cpus::from_quota(1, 0), Cpus::from_nano(1_000_000_000));
        assert_eq!(Cpus::from_nano(500_000_000).to_string(), "0.5");
    }
}
