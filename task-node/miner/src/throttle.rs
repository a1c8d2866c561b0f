//! Not more hashes a second than allowed, so that a devnet on somebody's laptop stays polite.

use std::num::NonZeroU64;
use std::time::Duration;

/// The largest number of nonces between two looks at what is new: a few milliseconds of one core.
const LARGEST_BATCH: u32 = 8_192;

/// The pace of one thread.
#[derive(Debug)]
pub(crate) struct Throttle {
    hashes_per_second: Option<NonZeroU64>,
    /// When the next batch may begin.
    free_at: Duration,
}

impl Throttle {
    pub(crate) fn new(hashes_per_second: Option<NonZeroU64>) -> Self {
        Self {
            hashes_per_second,
            free_at: Duration::ZERO,
        }
    }

    /// How many nonces to try in one go: at most a fiftieth of a second's worth.
    pub(crate) fn batch(&self) -> u32 {
        let allowed = self
            .hashes_per_second
            .map_or(u64::MAX, |cap| cap.get() / 50);
        u32::try_from(allowed)
            .unwrap_or(LARGEST_BATCH)
            .clamp(1, LARGEST_BATCH)
    }

    /// How long to wait after `hashes` were tried. Time that was not used is not made up for later.
    pub(crate) fn tried(&mut self, hashes: u64, now: Duration) -> Duration {
        let Some(cap) = self.hashes_per_second else {
            return Duration::ZERO;
        };
        let nanos = u128::from(hashes) * 1_000_000_000 / u128::from(cap.get());
        let cost = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        // A batch that took longer than allowed has paid already.
        self.free_at = self.free_at.saturating_add(cost).max(now);
        self.free_at.saturating_sub(now)
    }

    /// The search begins (again): nothing is owed.
    pub(crate) fn begin(&mut self, now: Duration) {
        self.free_at = self.free_at.max(now);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn without_a_cap_there_is_no_wait() {
        let mut throttle = Throttle::new(None);
        assert_eq!(throttle.batch(), LARGEST_BATCH);
        assert_eq!(
            throttle.tried(u64::MAX, Duration::from_secs(1)),
            Duration::ZERO
        );
    }

    #[test]
    fn small_caps_make_small_batches() {
        for (cap, batch) in [(1, 1), (49, 1), (1_000, 20), (10_000_000, LARGEST_BATCH)] {
            assert_eq!(Throttle::new(NonZeroU64::new(cap)).batch(), batch);
        }
    }

    proptest! {
        /// However fast hashing is, the cap holds over the whole run.
        #[test]
        fn the_cap_holds(cap in 1..10_000_000_u64, nanos_per_batch in prop::collection::vec(0..5_000_000_u64, 1..200)) {
            let mut throttle = Throttle::new(NonZeroU64::new(cap));
            let mut now = Duration::from_secs(9);
            throttle.begin(now);
            let mut hashes = 0;
            for nanos in &nanos_per_batch {
                let batch = u64::from(throttle.batch());
                hashes += batch;
                now += Duration::from_nanos(*nanos);
                now += throttle.tried(batch, now);
            }
            let allowed = (now - Duration::from_secs(9)).as_nanos() * u128::from(cap) / 1_000_000_000;
            // Each batch's cost is rounded down to a nanosecond.
            let slack = nanos_per_batch.len() as u128 * u128::from(cap) / 1_000_000_000 + 1;
            prop_assert!(u128::from(hashes) <= allowed + slack, "{hashes} in {now:?}");
        }
    }
}
