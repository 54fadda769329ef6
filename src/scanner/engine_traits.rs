//! The abilities of an engine on its host, as far as it tells them; that an API drops something, it does not tell.

use super::desired::Desired;
use super::values::limits::{ActualLimits, Limits, MemorySwap};

/// The abilities that decide whether something is a difference, and how it is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EngineTraits {
    /// The engine labels mounts (`SELinux`), so that a missing `z` matters.
    pub labels_enforced: bool,
    /// It can limit memory; where it cannot, it discards the limit.
    pub limits_memory: bool,
    /// The limits of swap that it does not discard.
    pub swap: SwapLimits,
    /// It is a Podman that can change the limits and the restart policy of a container as it is. Asked only where they differ.
    pub updates: bool,
}

/// Limits of swap beside limited memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SwapLimits {
    /// All of them, and none.
    Any,
    /// Not "unlimited" for a new container: Podman's API drops that.
    Limited,
    /// None at all; each is reported as unlimited.
    Discarded,
}

impl Default for EngineTraits {
    fn default() -> Self {
        Self { labels_enforced: false, limits_memory: true, swap: SwapLimits::Any, updates: false }
    }
}

impl EngineTraits {
    /// Whether the `actual` limits are other than `wanted`, beside what the engine discards.
    pub fn limits_differ(self, wanted: &Limits, actual: &ActualLimits) -> bool {
        let (memory, swap) = (wanted.memory(), wanted.memory_swap());
        !self.is_memory(actual, memory) || !self.is_swap(actual, swap) || !actual.has_cpus(wanted.cpus)
    }

    /// Whether the `actual` limit of memory is as good as the `wanted` one.
    pub fn is_memory(self, actual: &ActualLimits, wanted: Option<u64>) -> bool {
        actual.memory == wanted || self.discards_memory(wanted)
    }

    /// Whether the `actual` limit of swap is as good as the `wanted` one.
    pub fn is_swap(self, actual: &ActualLimits, wanted: Option<MemorySwap>) -> bool {
        actual.memory_swap == wanted || self.discards_swap(wanted)
    }

    /// Whether the engine discards a limit of memory.
    const fn discards_memory(self, memory: Option<u64>) -> bool {
        !self.limits_memory && memory.is_some()
    }

    /// Whether the engine discards a limit of swap.
    fn discards_swap(self, swap: Option<MemorySwap>) -> bool {
        match (swap, self.swap) {
            (Some(_), _) if !self.limits_memory => true,
            (Some(_), SwapLimits::Discarded) | (Some(MemorySwap::Unlimited), SwapLimits::Limited) => true,
            (None | Some(_), SwapLimits::Any | SwapLimits::Limited) | (None, SwapLimits::Discarded) => false,
        }
    }

    /// Warnings about the limits in `desired` that the engine discards; its own default for swap is not mentioned.
    pub fn discarded(self, desired: &Desired) -> Vec<String> {
        let (memory, swap, _) = desired.limits.given();
        let memory =
            self.discards_memory(memory).then_some("memory has no effect: the engine cannot limit memory on this host");
        let swap = swap.filter(|_| self.discards_swap(swap)).and_then(|swap| match swap {
            MemorySwap::Bytes(_) => Some("memory_swap has no effect: the engine cannot limit swap on this host"),
            MemorySwap::Unlimited if self.limits_memory && self.swap == SwapLimits::Limited => {
                Some("memory_swap may have no effect: this engine gives a new container twice its memory")
            }
            // Where no limit can be, that is what there is.
            MemorySwap::Unlimited => None,
        });
        let all = [("memory", memory), ("memory_swap", swap)].into_iter();
        let given = all.filter(|(option, _)| !desired.kept.contains(option));
        given.filter_map(|(_, warning)| warning.map(str::to_owned)).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::example::by_hand;
    use super::*;
    use crate::testing::request;

    /// A Podman is asked what it can update only where that decides; a run with nothing to do asks for nothing.
    #[test]
    fn what_is_discarded_makes_no_difference() {
        let wanted = request(&json!({"memory": "1g", "memory_swap": -1})).unwrap().desired.unwrap().limits;
        let actual = by_hand().limited(1 << 30, 2 << 30, 0).limits;
        let differ = |traits: EngineTraits| traits.limits_differ(&wanted, &actual);
        assert!(differ(EngineTraits::default()));
        assert!(!differ(EngineTraits { swap: SwapLimits::Limited, ..EngineTraits::default() }));
        assert!(!differ(EngineTraits { limits_memory: false, ..EngineTraits::default() }));
    }

    #[test]
    fn of_what_is_discarded_only_what_the_task_gives_is_mentioned() {
        let warned = |options: &Value, engine: EngineTraits| {
            engine.discarded(request(options).unwrap().desired.as_ref().unwrap())
        };
        let (memory, all) = (json!({"memory": "1g"}), json!({"memory": "1g", "memory_swap": -1}));
        let both = json!({"memory": "1g", "memory_swap": "1g"});
        let no_memory = EngineTraits { limits_memory: false, ..EngineTraits::default() };
        let no_swap = EngineTraits { swap: SwapLimits::Discarded, ..EngineTraits::default() };
        let podman = EngineTraits { swap: SwapLimits::Limited, ..EngineTraits::default() };
        assert_eq!(warned(&memory, no_memory), ["memory has no effect: the engine cannot limit memory on this host"]);
        assert_eq!((warned(&both, no_memory).len(), warned(&all, no_memory).len()), (2, 1));
        assert_eq!(warned(&memory, no_swap), [""; 0]);
        assert_eq!(warned(&all, no_swap), [""; 0]);
        assert_eq!(warned(&both, no_swap), ["memory_swap has no effect: the engine cannot limit swap on this host"]);
        assert_eq!(
            warned(&all, podman),
            ["memory_swap may have no effect: this engine gives a new container twice its memory"]
        );
        assert_eq!(warned(&all, EngineTraits::default()), [""; 0]);
    }
}
