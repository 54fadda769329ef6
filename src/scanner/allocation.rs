//! The host as a whole: its resources, and the limits of all scanners together.
//!
//! Every scanner of the engine counts with its limits, whoever made it and whether it runs or not: a stopped one may be
//! started at any time, by its restart policy or by hand. Unlimited scanners have no allocation.

use serde::Serialize;

use super::inventory::InventoryEntry;
use super::observed::Observed;
use super::values::capacity::Capacity;
use super::values::limits::{ActualLimits, Cpus, MemorySwap};

/// How many of the largest allocations a message names.
const NAMED: usize = 3;

/// The limits of one scanner; `None`: no limit, and so no allocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allocation {
    /// The scanner.
    pub name: String,
    /// Bytes.
    pub memory: Option<u64>,
    /// Bytes of swap alone.
    pub swap: Option<u64>,
    /// CPUs.
    pub cpus: Option<Cpus>,
}

impl Allocation {
    /// The allocation of a scanner with `limits`.
    pub fn new(name: &str, limits: &ActualLimits) -> Self {
        let swap = match (limits.memory, limits.memory_swap) {
            (Some(memory), Some(MemorySwap::Bytes(both))) => Some(both.saturating_sub(memory)),
            _ => None,
        };
        Self { name: name.to_owned(), memory: limits.memory, swap, cpus: limits.cpus }
    }

    /// Divided into what is more than it has `now`, and the rest.
    pub fn growth(self, now: &Self) -> (Self, Self) {
        let (memory, swap, cpus) = (self.memory > now.memory, self.swap > now.swap, self.cpus > now.cpus);
        let part = |allocation: Self, grows: bool| Self {
            memory: allocation.memory.filter(|_| memory == grows),
            swap: allocation.swap.filter(|_| swap == grows),
            cpus: allocation.cpus.filter(|_| cpus == grows),
            ..allocation
        };
        (part(self.clone(), true), part(self, false))
    }

    /// The larger of both in everything.
    fn max(self, other: &Self) -> Self {
        Self {
            memory: self.memory.max(other.memory),
            swap: self.swap.max(other.swap),
            cpus: self.cpus.max(other.cpus),
            ..self
        }
    }
}

/// The allocations of `scanners`. The old and the new container of a replacement never run at the same time, so the larger of
/// both counts.
pub fn allocations(scanners: &[InventoryEntry]) -> Vec<Allocation> {
    let of = |scanner: &InventoryEntry| {
        let allocation = |container: &Observed| Allocation::new(scanner.name, &container.limits);
        let other = scanner.other.map(allocation);
        other.into_iter().fold(allocation(scanner.container), |allocation, other| allocation.max(&other))
    };
    scanners.iter().map(of).collect()
}

/// One resource of the host; bytes or CPUs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Resource<T> {
    /// What the host has.
    pub total: T,
    /// The sum of all scanners.
    pub allocated: T,
    /// What a further scanner could get.
    pub available: T,
}

/// The result's `host`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Host {
    /// Bytes.
    pub memory: Resource<u64>,
    /// Bytes; null where it is not known.
    pub swap: Option<Resource<u64>>,
    /// CPUs.
    pub cpus: Resource<f64>,
}

// Each kind of resource, with how to read it, in whole bytes or billionths of CPUs, and how to show it.
const MEMORY: Kind = Kind { name: "memory", read: |allocation| allocation.memory, shown: mebibytes };
const SWAP: Kind = Kind { name: "swap", read: |allocation| allocation.swap, shown: mebibytes };
const CPUS: Kind = Kind {
    name: "cpus",
    read: |allocation| allocation.cpus.map(Cpus::to_nano),
    shown: |nano| Cpus::from_nano(nano).to_string(),
};

struct Kind {
    name: &'static str,
    read: fn(&Allocation) -> Option<u64>,
    shown: fn(u64) -> String,
}

impl Kind {
    fn sum(&self, allocations: &[Allocation]) -> u64 {
        allocations.iter().filter_map(self.read).fold(0, u64::saturating_add)
    }

    fn left(&self, total: u64, allocations: &[Allocation]) -> Resource<u64> {
        let allocated = self.sum(allocations);
        Resource { total, allocated, available: total.saturating_sub(allocated) }
    }
}

impl Host {
    /// The host of this `capacity` with these `allocations`.
    pub fn new(capacity: &Capacity, allocations: &[Allocation]) -> Self {
        let Resource { total, allocated, available } = CPUS.left(capacity.nano_cpus(), allocations);
        let cpus = |nano| Cpus::from_nano(nano).to_f64();
        Self {
            memory: MEMORY.left(capacity.memory, allocations),
            swap: capacity.swap.map(|total| SWAP.left(total, allocations)),
            cpus: Resource { total: cpus(total), allocated: cpus(allocated), available: cpus(available) },
        }
    }

    /// Whether any sum is larger than what the host has; swap is left out on a host without swap.
    pub fn is_overcommitted(&self) -> bool {
        let over = |resource: &Resource<u64>| resource.allocated > resource.total;
        let swap = self.swap.filter(|swap| swap.total > 0);
        over(&self.memory) || swap.is_some_and(|swap| over(&swap)) || self.cpus.allocated > self.cpus.total
    }
}

/// A resource of which the scanners together take more than the host has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excess {
    /// What was asked, is allocated, and there is.
    pub message: String,
    /// Whether the sum is larger than before; else the host was overcommitted already.
    pub grows: bool,
}

/// Each resource of which `asked` and `allocated` together exceed the host, where the allocations are now `before`. Swap counts
/// when `check_swap`, and only on a host that has some.
pub fn excess(
    capacity: &Capacity,
    asked: &[Allocation],
    allocated: &[Allocation],
    before: &[Allocation],
    check_swap: bool,
) -> Vec<Excess> {
    let swap = capacity.swap.filter(|swap| check_swap && *swap > 0);
    let totals = [(MEMORY, Some(capacity.memory)), (SWAP, swap), (CPUS, Some(capacity.nano_cpus()))];
    let of = |(kind, total): &(Kind, Option<u64>)| {
        let message = excess_of(kind, (*total)?, asked, allocated)?;
        let grows = kind.sum(asked).saturating_add(kind.sum(allocated)) > kind.sum(before);
        Some(Excess { message, grows })
    };
    totals.iter().filter_map(of).collect()
}

fn excess_of(kind: &Kind, total: u64, asked: &[Allocation], allocated: &[Allocation]) -> Option<String> {
    let (asking, sum) = (kind.sum(asked), kind.sum(allocated));
    if asking == 0 || asking.saturating_add(sum) <= total {
        return None;
    }
    let shown = kind.shown;
    let mut largest_first: Vec<_> =
        allocated.iter().filter_map(|allocation| Some((&allocation.name, (kind.read)(allocation)?))).collect();
    largest_first.sort_by_key(|(_, amount)| std::cmp::Reverse(*amount));
    let largest: Vec<_> =
        largest_first.iter().take(NAMED).map(|(name, amount)| format!("`{name}` {}", shown(*amount))).collect();
    let by = if largest.is_empty() { String::new() } else { format!(" (most by {})", largest.join(", ")) };
    Some(format!("{} asked {}, allocated {}{by}, total {}", kind.name, shown(asking), shown(sum), shown(total)))
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}

#[cfg(test)]
mod tests {
    use super::super::example::by_hand;
    use super::*;

    const HOST: Capacity = Capacity { memory: 4 << 30, swap: Some(1 << 30), cpus: 2 };

    fn allocation(name: &str, gib: u64, nano: u64) -> Allocation {
        let memory_swap = Some(MemorySwap::Bytes(gib << 31));
        let cpus = Some(Cpus::from_nano(nano));
        let limits = ActualLimits { memory: Some(gib << 30), memory_swap, cpus, ..ActualLimits::default() };
        Allocation::new(name, &limits)
    }

    /// The messages alone, where one more than those `allocated` is asked for.
    fn messages(host: &Capacity, asked: &Allocation, allocated: &[Allocation], check_swap: bool) -> Vec<String> {
        let excess = excess(host, std::slice::from_ref(asked), allocated, allocated, check_swap);
        assert!(excess.iter().all(|it| it.grows), "{excess:?}");
        excess.into_iter().map(|it| it.message).collect()
    }

    fn unlimited(name: &str) -> Allocation {
        Allocation::new(name, &ActualLimits::default())
    }

    #[test]
    fn what_fits_exactly_is_no_overcommit() {
        let allocated = [allocation("a", 1, 700_000_000), allocation("b", 2, 300_000_000), unlimited("c")];
        assert_eq!(messages(&HOST, &allocation("d", 1, 1_000_000_000), &allocated, false), [""; 0]);
        assert_eq!(messages(&HOST, &unlimited("d"), &[allocation("a", 9, 9_000_000_000)], true), [""; 0]);
    }

    #[test]
    fn each_resource_says_asked_allocated_total_and_the_largest_holders() {
        let allocated = [allocation("a", 1, 500_000_000), allocation("b", 2, 1_000_000_000), unlimited("c")];
        assert_eq!(
            messages(&HOST, &allocation("d", 2, 1_000_000_000), &allocated, true),
            [
                "memory asked 2048 MiB, allocated 3072 MiB (most by `b` 2048 MiB, `a` 1024 MiB), total 4096 MiB",
                "swap asked 2048 MiB, allocated 3072 MiB (most by `b` 2048 MiB, `a` 1024 MiB), total 1024 MiB",
                "cpus asked 1, allocated 1.5 (most by `b` 1, `a` 0.5), total 2",
            ]
        );
    }

    #[test]
    fn swap_that_does_not_exist_is_not_checked() {
        for swap in [None, Some(0)] {
            let host = Capacity { swap, ..HOST };
            assert_eq!(messages(&host, &allocation("a", 1, 1), &[], true), [""; 0]);
        }
    }

    /// Of a host with 4 GiB and 2 CPUs, which others take already.
    #[test]
    fn who_takes_no_more_than_before_makes_nothing_worse() {
        let others = [allocation("a", 4, 2_000_000_000)];
        let grows = |now: Allocation, then: Allocation| -> Vec<bool> {
            let before = [others.to_vec(), vec![now]].concat();
            excess(&HOST, &[then], &others, &before, false).iter().map(|it| it.grows).collect()
        };
        let one = || allocation("b", 1, 500_000_000);
        assert_eq!(grows(one(), one()), [false, false]);
        assert_eq!(grows(one(), allocation("b", 1, 250_000_000)), [false, false]);
        assert_eq!(grows(one(), allocation("b", 2, 500_000_000)), [true, false]);
        assert_eq!(grows(one(), allocation("b", 0, 600_000_000)), [true]);
        assert_eq!(grows(unlimited("b"), one()), [true, true]);
        assert_eq!(grows(one(), unlimited("b")), [false; 0]);
    }

    #[test]
    fn only_what_grows_is_asked_for() {
        let (more, rest) = allocation("a", 2, 500_000_000).growth(&allocation("a", 1, 500_000_000));
        assert_eq!((more.memory, more.swap, more.cpus), (Some(2 << 30), Some(2 << 30), None));
        assert_eq!((rest.memory, rest.swap, rest.cpus), (None, None, Some(Cpus::from_nano(500_000_000))));
        // What had no limit had no allocation.
        assert_eq!(allocation("a", 1, 1).growth(&unlimited("a")).0, allocation("a", 1, 1));
    }

    #[test]
    fn a_scanner_that_is_just_being_replaced_takes_what_the_larger_one_does() {
        let limited = |gib: u64, nano: u64| {
            let mut observed = by_hand();
            (observed.limits.memory, observed.limits.cpus) = (Some(gib << 30), Some(Cpus::from_nano(nano)));
            observed
        };
        let (one, other, unlimited) = (limited(1, 20), limited(2, 10), by_hand());
        let take = |container, other| {
            let allocations = allocations(&[InventoryEntry { name: "a", container, other }]);
            (allocations[0].name.clone(), allocations[0].memory, allocations[0].cpus.map(Cpus::to_nano))
        };
        assert_eq!(take(&one, Some(&other)), ("a".to_owned(), Some(2 << 30), Some(20)));
        assert_eq!(take(&unlimited, Some(&one)), ("a".to_owned(), Some(1 << 30), Some(20)));
        assert_eq!(take(&unlimited, None), ("a".to_owned(), None, None));
    }

    #[test]
    fn hundredths_of_cpus_add_up() {
        let allocated =
            [allocation("a", 0, 600_000_000), allocation("b", 0, 600_000_000), allocation("c", 0, 600_000_000)];
        assert_eq!(Host::new(&HOST, &allocated).cpus, Resource { total: 2.0, allocated: 1.8, available: 0.2 });
        assert_eq!(messages(&HOST, &allocation("d", 0, 200_000_000), &allocated, false), [""; 0]);
    }

    #[test]
    fn the_host_shows_what_is_left() {
        let host = Host::new(&HOST, &[allocation("a", 3, 2_500_000_000)]);
        assert_eq!(host.memory, Resource { total: 4 << 30, allocated: 3 << 30, available: 1 << 30 });
        assert_eq!(host.cpus, Resource { total: 2.0, allocated: 2.5, available: 0.0 });
        assert!(host.is_overcommitted());
        assert!(!Host::new(&HOST, &[allocation("a", 1, 2_000_000_000)]).is_overcommitted());
    }
}
