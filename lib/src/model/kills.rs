//! Deaths for want of memory: what tells one from a kill by hand.
//!
//! Owns: the comparison, and its bytes. Must never: read the counter.

use crate::model::time::{Span, Time};

/// How many processes the kernel has killed for want of memory, so far as somebody has looked: zei-init at its start,
/// then each supervisor whose service was killed. It lies behind the order.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Kills {
    /// As many as the counter said when it was last looked at.
    pub seen: u64,
    /// As many as it had said before.
    pub before: u64,
    /// When it was seen to have grown.
    pub at: Time,
}

impl Kills {
    /// Their length in bytes.
    pub const SIZE: usize = 24;
    /// Services that are killed together are looked at one after the other, each within this.
    const TOGETHER: Span = Span::seconds(2);

    /// Whether a service that was just killed was killed for want of memory, the counter being at `count`: it has
    /// grown since anybody looked, or somebody has just looked whose service was killed with this one. And what is
    /// known from now on.
    #[must_use]
    pub fn look(self, count: u64, now: Time) -> (bool, Kills) {
        if count > self.seen {
            return (true, Kills { seen: count, before: self.seen, at: now });
        }
        (self.seen > self.before && now.since(self.at) < Kills::TOGETHER, self)
    }

    /// Their bytes.
    pub fn encode(&self) -> [u8; Kills::SIZE] {
        let mut bytes = [0; Kills::SIZE];
        for (slot, word) in bytes.chunks_exact_mut(8).zip([self.seen, self.before, self.at.0]) {
            slot.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// Reads them; bytes never written are none.
    pub fn decode(bytes: &[u8; Kills::SIZE]) -> Kills {
        let mut words = bytes.chunks_exact(8).filter_map(|word| word.try_into().ok()).map(u64::from_le_bytes);
        let mut word = || words.next().unwrap_or(0);
        Kills { seen: word(), before: word(), at: Time(word()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_death_is_for_want_of_memory_where_the_counter_has_grown_or_has_just_been_seen_to() {
        let known = Kills { seen: 3, before: 3, at: Time(0) };
        assert_eq!(known.look(3, Time(10)), (false, known));
        let (oom, grown) = known.look(5, Time(10));
        assert_eq!((oom, grown), (true, Kills { seen: 5, before: 3, at: Time(10) }));
        // Two that were killed at once, and one that was killed by hand later.
        assert_eq!(grown.look(5, Time(1000)), (true, grown));
        assert_eq!(grown.look(5, Time(2010)), (false, grown));
        assert_eq!(grown.look(6, Time(9000)), (true, Kills { seen: 6, before: 5, at: Time(9000) }));
        assert_eq!(Kills::decode(&grown.encode()), grown);
        assert!(!Kills::default().look(0, Time(1)).0);
    }
}
