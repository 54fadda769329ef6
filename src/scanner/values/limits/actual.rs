//! The limits in force for a container, from what its engine reports, and what a live update can make of them.

use super::{Cpus, Limits, MemorySwap};

/// The kernel's period, in microseconds, where a quota comes without one.
const DEFAULT_PERIOD: u64 = 100_000;
/// The least quota that an engine takes, in microseconds.
const LEAST_QUOTA: u64 = 1_000;

/// The limits that a container has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ActualLimits {
    /// Bytes of memory, or no limit.
    pub memory: Option<u64>,
    /// Memory and swap together, where memory is limited.
    pub memory_swap: Option<MemorySwap>,
    /// CPUs, however they were given.
    pub cpus: Option<Cpus>,
    /// The period, in microseconds, where the container has CPUs, or the lack of a limit, as quota and period: an update must then
    /// speak of those.
    pub cpu_period: Option<u64>,
    /// Whether `cpus` are of no effect, or only until the next start: the container also has a quota that says "no limit".
    pub cpus_lapse: bool,
    /// Bytes of memory that the kernel tries to leave it; no engine makes a container with less `memory` than that.
    pub memory_reservation: Option<u64>,
}

impl From<&Limits> for ActualLimits {
    fn from(limits: &Limits) -> Self {
        let Limits { memory, memory_swap: _, cpus } = *limits;
        Self { memory, memory_swap: limits.memory_swap(), cpus, ..Self::default() }
    }
}

impl ActualLimits {
    /// Whether these are the `wanted` CPUs, as far as they can be told apart, now and after the next start.
    pub fn has_cpus(&self, wanted: Option<Cpus>) -> bool {
        if self.cpus_lapse {
            return false;
        }
        match (self.cpus, wanted, self.cpu_period) {
            (Some(actual), Some(wanted), Some(period)) => actual.to_quota(period) == wanted.to_quota(period),
            (actual, wanted, _) => actual == wanted,
        }
    }
}

/// How `docker run` or `docker update` gave the CPUs, as the engine reports it.
#[derive(Debug, Clone, Copy, Default)]
pub struct GivenCpus {
    /// Billionths of CPUs; 0: not given.
    pub nano: u64,
    /// Microseconds of each period; 0: not given, below that: no limit.
    pub quota: i64,
    /// Microseconds; 0: not given, which means the kernel's own period.
    pub period: u64,
}

impl ActualLimits {
    /// With the CPUs that the kernel enforces for a container that has them as `given`, and how they can be changed.
    pub fn with_cpus(self, given: GivenCpus) -> Self {
        let GivenCpus { nano, quota, period } = given;
        let own_period = Some(period).filter(|period| *period > 0);
        let period = own_period.or(Some(DEFAULT_PERIOD));
        let (cpus, cpu_period) = match (nano, u64::try_from(quota)) {
            (0, Ok(0)) => (None, own_period),
            (0, Ok(quota)) => (Some(Cpus::from_quota(quota, period.unwrap_or_default())), period),
            (0, Err(_)) => (None, period),
            (nano, _) => (Some(Cpus::from_nano(nano)), None),
        };
        Self { cpus, cpu_period, cpus_lapse: nano > 0 && quota < 0, ..self }
    }

    /// Whether a live update can give these CPUs: as quota of the container's own period they may be too few.
    pub fn can_be_given(&self, cpus: Cpus) -> bool {
        !self.cpus_lapse && self.cpu_period.is_none_or(|period| cpus.to_quota(period) >= LEAST_QUOTA)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    /// Nano, quota, period; then CPUs, the period of an update, whether they lapse, and whether 1 and 0.01 CPUs can be given.
    #[rstest]
    #[case::nothing(0, 0, 0, None, None, false, [true, true])]
    #[case::cpus(1_500_000_000, 0, 0, Some(1_500_000_000), None, false, [true, true])]
    #[case::quota(0, 50_000, 0, Some(500_000_000), Some(100_000), false, [true, true])]
    #[case::quota_and_period(0, 25_000, 50_000, Some(500_000_000), Some(50_000), false, [true, false])]
    #[case::period_alone(0, 0, 50_000, None, Some(50_000), false, [true, false])]
    #[case::short_period(0, 1_000, 1_000, Some(1_000_000_000), Some(1_000), false, [true, false])]
    #[case::long_period(0, 1_000, 1_000_000, Some(1_000_000), Some(1_000_000), false, [true, true])]
    #[case::no_limit(0, -1, 0, None, Some(100_000), false, [true, true])]
    #[case::no_limit_of_a_period(0, -1, 20_000, None, Some(20_000), false, [true, false])]
    #[case::set_beside_no_limit(1_000_000_000, -1, 0, Some(1_000_000_000), None, true, [false, false])]
    #[case::podman(500_000_000, 50_000, 100_000, Some(500_000_000), None, false, [true, true])]
    fn cpus_are_what_the_kernel_makes_of_them(
        #[case] nano: u64,
        #[case] quota: i64,
        #[case] period: u64,
        #[case] cpus: Option<u64>,
        #[case] cpu_period: Option<u64>,
        #[case] cpus_lapse: bool,
        #[case] can_be_given: [bool; 2],
    ) {
        let limits = ActualLimits::default().with_cpus(GivenCpus { nano, quota, period });
        let cpus = cpus.map(Cpus);
        assert_eq!(limits, ActualLimits { cpus, cpu_period, cpus_lapse, ..ActualLimits::default() });
        assert_eq!([1_000_000_000, 10_000_000].map(|nano| limits.can_be_given(Cpus(nano))), can_be_given);
        assert_eq!(limits.has_cpus(cpus), !cpus_lapse);
    }

    #[test]
    fn quota_and_period_are_cpus_too() {
        assert_eq!(Cpus::from_quota(150_000, 100_000), Cpus::from_nano(1_500_000_000));
        assert_eq!(Cpus::from_quota(1, 0), Cpus::from_nano(1_000_000_000));
        assert_eq!(Cpus::from_nano(500_000_000).to_string(), "0.5");
        assert_eq!(Cpus::from_quota(10_000, 30_000).to_quota(30_000), 10_000);
        let third = ActualLimits { cpus: Some(Cpus::from_quota(1, 3)), cpu_period: Some(30_000), ..Default::default() };
        assert!(
            third.has_cpus(Some(Cpus::from_nano(333_330_000))) && !third.has_cpus(Some(Cpus::from_nano(333_000_000)))
        );
    }
}
