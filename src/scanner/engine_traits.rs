//! The abilities of an engine on its host, as it tells them: no version and no name decides.

use super::desired::Desired;
use super::values::limits::MemorySwap;

/// The abilities that decide whether something is a difference, and how it is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EngineTraits {
    /// The engine labels mounts (`SELinux`), so that a missing `z` matters.
    pub labels_enforced: bool,
    /// It can limit memory; where it cannot, it discards the limit.
    pub limits_memory: bool,
    /// The limits of swap that it does not discard.
    pub swap: SwapLimits,
    /// It can change the limits of a container as it is, also where that is Podman's.
    pub updates_limits: bool,
}

/// Limits of swap beside limited memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SwapLimits {
    /// All of them, and none.
    Any,
    /// Not "unlimited", which Podman's API drops.
    Limited,
    /// None at all; each is reported as unlimited.
    Discarded,
}

impl Default for EngineTraits {
    fn default() -> Self {
        Self { labels_enforced: false, limits_memory: true, swap: SwapLimits::Any, updates_limits: false }
    }
}

impl EngineTraits {
    /// Whether the engine discards a limit of memory.
    pub const fn discards_memory(self, memory: Option<u64>) -> bool {
        !self.limits_memory && memory.is_some()
    }

    /// Whether the engine discards a limit of swap.
    pub fn discards_swap(self, swap: Option<MemorySwap>) -> bool {
        match (swap, self.swap) {
            (Some(_), _) if !self.limits_memory => true,
            (Some(_), SwapLimits::Discarded) | (Some(MemorySwap::Unlimited), SwapLimits::Limited) => true,
            (None | Some(_), SwapLimits::Any | SwapLimits::Limited) | (None, SwapLimits::Discarded) => false,
        }
    }

    /// Warnings about the limits in `desired` that the engine discards; its own default for swap is not mentioned.
    pub fn discarded(self, desired: &Desired) -> Vec<String> {
        let (memory, swap, _) = desired.limits.given();
        let memory = self.discards_memory(memory).then_some("the engine cannot limit memory on this host");
        // Where no limit can be, "unlimited" is what there is.
        let limited = swap
            .filter(|swap| *swap != MemorySwap::Unlimited || (self.limits_memory && self.swap == SwapLimits::Limited));
        let swap = self.discards_swap(limited).then_some(if self.limits_memory && self.swap == SwapLimits::Limited {
            "this engine does not always take the limit of swap away"
        } else {
            "the engine cannot limit swap on this host"
        });
        let all = [("memory", memory), ("memory_swap", swap)].into_iter();
        let given = all.filter(|(option, _)| !desired.kept.contains(option));
        given.filter_map(|(option, why)| Some(format!("{option} has no effect: {}", why?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::request;

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
            ["memory_swap has no effect: this engine does not always take the limit of swap away"]
        );
        assert_eq!(warned(&all, EngineTraits::default()), [""; 0]);
    }
}
