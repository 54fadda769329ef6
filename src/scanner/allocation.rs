//! The host as a whole: what it has, what all scanners together may take of it, and who takes it.
//!
//! Every scanner of the engine counts with its limits, whoever made it and whether it runs or not: a stopped one may be
//! started at any time, by its restart policy or by hand. Unlimited scanners have no allocation.

use serde::Serialize;

use super::inventory::InventoryEntry;
use super::observed::Observed;
use super::values::capacity::Capacity;
use super::values::limits::{ActualLimits, Cpus, MemorySwap};

/// How many of the largest holders a message names.
const NAMED: usize = 3;

/// What one scanner takes; `None`: no limit, and so no allocation.
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
    /// What a scanner with `limits` takes.
    pub fn new(name: &str, limits: &ActualLimits) -> Self {
        let swap = match (limits.memory, limits.memory_swap) {
            (Some(memory), Some(MemorySwap::Bytes(both))) => Some(both.saturating_sub(memory)),
            _ => None,
        };
        Self { name: name.to_owned(), memory: limits.memory, swap, cpus: limits.cpus }
    }

    /// Parted into what is more than it has `now`, and the rest.
    pub fn growth(self, now: &Self) -> (Self, Self) {
        let (memory, swap, cpus) = (self.memory > now.memory, self.swap > now.swap, self.cpus > now.cpus);
        let part = |share: Self, grows: bool| Self {
            memory: share.memory.filter(|_| memory == grows),
            swap: share.swap.filter(|_| swap == grows),
            cpus: share.cpus.filter(|_| cpus == grows),
            ..share
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

/// What `scanners` take. One that is just being replaced and the one that replaces it never run at the same time, and take
/// what the larger of them does.
pub fn allocations(scanners: &[InventoryEntry]) -> Vec<Allocation> {
    let of = |scanner: &InventoryEntry| {
        let share = |container: &Observed| Allocation::new(scanner.name, &container.limits);
        let other = scanner.other.map(share);
        other.into_iter().fold(share(scanner.container), |share, other| share.max(&other))
    };
    scanners.iter().map(of).collect()
}

/// One resource of the host; bytes or CPUs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Resource<T> {
    /// All there is.
    pub total: T,
    /// What scanners hold.
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

/// The kinds of resources, each with how it is read off, in whole bytes or billionths of CPUs, and shown.
const MEMORY: Kind = Kind { name: "memory", held: |share| share.memory, shown: mebibytes };
const SWAP: Kind = Kind { name: "swap", held: |share| share.swap, shown: mebibytes };
const CPUS: Kind =
    Kind { name: "cpus", held: |share| share.cpus.map(Cpus::to_nano), shown: |nano| Cpus::from_nano(nano).to_string() };

struct Kind {
    name: &'static str,
    held: fn(&Allocation) -> Option<u64>,
    shown: fn(u64) -> String,
}

impl Kind {
    fn sum(&self, shares: &[Allocation]) -> u64 {
        shares.iter().filter_map(self.held).fold(0, u64::saturating_add)
    }

    fn left(&self, total: u64, shares: &[Allocation]) -> Resource<u64> {
        let allocated = self.sum(shares);
        Resource { total, allocated, available: total.saturating_sub(allocated) }
    }
}

impl Host {
    /// What `shares` leave of `capacity`.
    pub fn new(capacity: &Capacity, shares: &[Allocation]) -> Self {
        let Resource { total, allocated, available } = CPUS.left(capacity.nano_cpus(), shares);
        let cpus = |nano| Cpus::from_nano(nano).to_f64();
        Self {
            memory: MEMORY.left(capacity.memory, shares),
            swap: capacity.swap.map(|total| SWAP.left(total, shares)),
            cpus: Resource { total: cpus(total), allocated: cpus(allocated), available: cpus(available) },
        }
    }

    /// Whether scanners hold more of anything than there is; swap that does not exist cannot be held.
    pub fn is_overcommitted(&self) -> bool {
        let over = |resource: &Resource<u64>| resource.allocated > resource.total;
        let swap = self.swap.filter(|swap| swap.total > 0);
        over(&self.memory) || swap.is_some_and(|swap| over(&swap)) || self.cpus.allocated > self.cpus.total
    }
}

/// Why `asked` cannot be had beside `held`: one sentence for each resource, or none. Swap counts when `judge_swap`, and only
/// on a host that has some.
pub fn excess(capacity: &Capacity, asked: &[Allocation], held: &[Allocation], judge_swap: bool) -> Vec<String> {
    let swap = capacity.swap.filter(|swap| judge_swap && *swap > 0);
    let totals = [(MEMORY, Some(capacity.memory)), (SWAP, swap), (CPUS, Some(capacity.nano_cpus()))];
    totals.iter().filter_map(|(kind, total)| excess_of(kind, (*total)?, asked, held)).collect()
}

fn excess_of(kind: &Kind, total: u64, asked: &[Allocation], held: &[Allocation]) -> Option<String> {
    let (asking, allocated) = (kind.sum(asked), kind.sum(held));
    if asking == 0 || asking.saturating_add(allocated) <= total {
        return None;
    }
    let shown = kind.shown;
    let mut holders: Vec<_> = held.iter().filter_map(|share| Some((&share.name, (kind.held)(share)?))).collect();
    holders.sort_by_key(|(_, held)| std::cmp::Reverse(*held));
    let largest: Vec<_> = holders.iter().take(NAMED).map(|(name, held)| format!("`{name}` {}", shown(*held))).collect();
    let by = if largest.is_empty() { String::new() } else { format!(" (most by {})", largest.join(", ")) };
    Some(format!("{} asked {}, allocated {}{by}, total {}", kind.name, shown(asking), shown(allocated), shown(total)))
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}

#[cfg(test)]
mod tests {
    use super::super::example::by_hand;
    use super::*;

    const HOST: Capacity = Capacity { memory: 4 << 30, swap: Some(1 << 30), cpus: 2 };

    fn share(name: &str, gib: u64, nano: u64) -> Allocation {
        let memory_swap = Some(MemorySwap::Bytes(gib << 31));
        let limits =
            ActualLimits { memory: Some(gib << 30), memory_swap, cpus: Some(Cpus::from_nano(nano)), cpu_period: None };
        Allocation::new(name, &limits)
    }

    fn unlimited(name: &str) -> Allocation {
        Allocation::new(name, &ActualLimits::default())
    }

    #[test]
    fn what_fits_exactly_is_no_overcommit() {
        let held = [share("a", 1, 700_000_000), share("b", 2, 300_000_000), unlimited("c")];
        assert_eq!(excess(&HOST, &[share("d", 1, 1_000_000_000)], &held, false), [""; 0]);
        assert_eq!(excess(&HOST, &[unlimited("d")], &[share("a", 9, 9_000_000_000)], true), [""; 0]);
    }

    #[test]
    fn each_resource_says_asked_allocated_total_and_the_largest_holders() {
        let held = [share("a", 1, 500_000_000), share("b", 2, 1_000_000_000), unlimited("c")];
        assert_eq!(
            excess(&HOST, &[share("d", 2, 1_000_000_000)], &held, true),
            [
                "memory asked 2048 MiB, allocated 3072 MiB (most by `b` 2048 MiB, `a` 1024 MiB), total 4096 MiB",
                "swap asked 2048 MiB, allocated 3072 MiB (most by `b` 2048 MiB, `a` 1024 MiB), total 1024 MiB",
                "cpus asked 1, allocated 1.5 (most by `b` 1, `a` 0.5), total 2",
            ]
        );
    }

    #[test]
    fn swap_that_does_not_exist_is_not_judged() {
        for swap in [None, Some(0)] {
            let host = Capacity { swap, ..HOST };
            assert_eq!(excess(&host, &[share("a", 1, 1)], &[], true), [""; 0]);
        }
    }

    #[test]
    fn only_what_grows_is_asked_for() {
        let (more, rest) = share("a", 2, 500_000_000).growth(&share("a", 1, 500_000_000));
        assert_eq!((more.memory, more.swap, more.cpus), (Some(2 << 30), Some(2 << 30), None));
        assert_eq!((rest.memory, rest.swap, rest.cpus), (None, None, Some(Cpus::from_nano(500_000_000))));
        // What had no limit had no allocation.
        assert_eq!(share("a", 1, 1).growth(&unlimited("a")).0, share("a", 1, 1));
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
            let shares = allocations(&[InventoryEntry { name: "a", container, other }]);
            (shares[0].name.clone(), shares[0].memory, shares[0].cpus.map(Cpus::to_nano))
        };
        assert_eq!(take(&one, Some(&other)), ("a".to_owned(), Some(2 << 30), Some(20)));
        assert_eq!(take(&unlimited, Some(&one)), ("a".to_owned(), Some(1 << 30), Some(20)));
        assert_eq!(take(&unlimited, None), ("a".to_owned(), None, None));
    }

    #[test]
    fn hundredths_of_cpus_add_up() {
        let held = [share("a", 0, 600_000_000), share("b", 0, 600_000_000), share("c", 0, 600_000_000)];
        assert_eq!(Host::new(&HOST, &held).cpus, Resource { total: 2.0, allocated: 1.8, available: 0.2 });
        assert_eq!(excess(&HOST, &[share("d", 0, 200_000_000)], &held, false), [""; 0]);
    }

    #[test]
    fn the_host_shows_what_is_left() {
        let host = Host::new(&HOST, &[share("a", 3, 2_500_000_000)]);
        assert_eq!(host.memory, Resource { total: 4 << 30, allocated: 3 << 30, available: 1 << 30 });
        assert_eq!(host.cpus, Resource { total: 2.0, allocated: 2.5, available: 0.0 });
        assert!(host.is_overcommitted());
        assert!(!Host::new(&HOST, &[share("a", 1, 2_000_000_000)]).is_overcommitted());
    }
}
