//! The pause before a restart by policy.
//!
//! Owns: how it grows and what chance does to it. Must never: draw from anything but the seed that it is given.

use crate::model::spec::Policy;
use crate::model::time::Span;

/// In what `factor` and `jitter` are counted.
const ONE: u128 = 1000;

/// The pause before the restart that follows `streak` others in a row. `seed` decides what the jitter makes of it.
pub fn delay(policy: &Policy, streak: u32, seed: u64) -> Span {
    let Some(backoff) = policy.backoff else { return policy.restart_delay };
    // In thousandths of a millisecond, so that a small factor is not lost to rounding.
    let max = u128::from(backoff.max.0) * ONE;
    let mut pause = (u128::from(policy.restart_delay.0) * ONE).min(max);
    for _ in 0..streak {
        let longer = (pause * u128::from(backoff.factor) / ONE).min(max);
        if longer == pause {
            break;
        }
        pause = longer;
    }
    let jitter = u128::from(backoff.jitter).min(ONE);
    let share = ONE - jitter + u128::from(mix(seed)) % (2 * jitter + 1);
    let pause = (pause * share / ONE).min(max) / ONE;
    Span(u64::try_from(pause).unwrap_or(u64::MAX))
}

/// The finalizer of splitmix64 (Steele, Lea, Flood 2014): a seed that differs in one bit gives another number.
const fn mix(seed: u64) -> u64 {
    let word = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::spec::Backoff;
    use proptest::prelude::*;

    fn policy(delay: u64, factor: u32, max: u64, jitter: u32) -> Policy {
        let backoff = Some(Backoff { factor, max: Span(max), jitter });
        Policy { restart_delay: Span(delay), backoff, ..Policy::default() }
    }

    #[test]
    fn without_backoff_the_pause_is_the_delay() {
        let plain = Policy { restart_delay: Span(700), ..Policy::default() };
        assert_eq!([delay(&plain, 0, 1), delay(&plain, 9, 2)], [Span(700); 2]);
    }

    #[test]
    fn it_doubles_until_it_has_reached_its_maximum() {
        let policy = policy(500, 2000, 7000, 0);
        let pauses: Vec<u64> = (0..6).map(|streak| delay(&policy, streak, 3).0).collect();
        assert_eq!(pauses, [500, 1000, 2000, 4000, 7000, 7000]);
    }

    #[test]
    fn chance_is_that_of_splitmix64() {
        // Its first numbers, from these seeds.
        assert_eq!(mix(0), 0xe220_a839_7b1d_cdaf);
        assert_eq!(mix(1), 0x910a_2dec_8902_5cc1);
        assert_eq!(mix(1_234_567), 6_457_827_717_110_365_317);
    }

    #[test]
    fn an_endless_streak_is_worked_out_at_once() {
        assert_eq!(delay(&policy(0, 2000, 7000, 0), u32::MAX, 0), Span(0));
        assert_eq!(delay(&policy(1, 1000, 7000, 0), u32::MAX, 0), Span(1));
        assert_eq!(delay(&policy(1, 1001, u64::MAX, 0), u32::MAX, 0), Span(u64::MAX));
    }

    proptest! {
        #[test]
        fn jitter_stays_in_its_share_and_reaches_both_sides(delay_ms in 1000u64..100_000, jitter in 1u32..=1000, seed: u64) {
            let policy = policy(delay_ms, 1000, u64::MAX, jitter);
            let drawn: Vec<u64> = (0..64).map(|more| delay(&policy, 0, seed.wrapping_add(more)).0).collect();
            let reach = (delay_ms * u64::from(jitter)).div_ceil(1000);
            prop_assert!(drawn.iter().all(|pause| (delay_ms - reach..=delay_ms + reach).contains(pause)));
            prop_assert!(jitter < 10 || (drawn.iter().any(|pause| *pause < delay_ms) && drawn.iter().any(|pause| *pause > delay_ms)));
        }

        #[test]
        fn without_jitter_it_never_shrinks_and_never_passes_its_maximum(
            delay_ms in 0u64..10_000, factor in 1000u32..5000, max in 1u64..1_000_000, streak in 0u32..50, seed: u64
        ) {
            let policy = policy(delay_ms, factor, max, 0);
            let (this, next) = (delay(&policy, streak, seed), delay(&policy, streak + 1, seed));
            prop_assert!(this <= next && next.0 <= max);
        }
    }
}
