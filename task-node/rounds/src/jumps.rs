//! Whether a round far ahead is to be believed.
//!
//! Rounds only move forward, so a node that once opened a round too far ahead can mine for none before it. Koii works
//! the number out from a slot that some K2 endpoint reports; one that answers for another cluster, or out of its mind
//! for a moment, must not end the node. A far round is taken at once if enough time has passed for it, which is so after
//! a machine slept or the node was away, and else only once the round after it has begun too.

use std::time::Duration;

use work::{RoundNumber, UnixTime};

/// Rounds that may be left out without a question: outages of K2, short rounds of private pools.
const USUAL_SKIP: u64 = 10;
/// No round of a public task is shorter: Koii wants 800 slots of 0.4 s.
const SHORTEST_ROUND: Duration = Duration::from_secs(60);

/// A moment on both clocks: the wall clock goes on while a machine sleeps, the other one is never set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BothClocks {
    /// The wall clock.
    pub wall: UnixTime,
    /// Time since this process began.
    pub monotonic: Duration,
}

/// What Koii has said of rounds, as far as it was believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RoundJumps {
    believed: Option<(RoundNumber, BothClocks)>,
    doubted: Option<RoundNumber>,
}

impl RoundJumps {
    /// As after a start, with the newest round of the store and when it was opened.
    #[must_use]
    pub const fn after(newest: Option<(RoundNumber, UnixTime)>) -> Self {
        let believed = match newest {
            Some((round, wall)) => Some((
                round,
                BothClocks {
                    wall,
                    monotonic: Duration::ZERO,
                },
            )),
            None => None,
        };
        Self {
            believed,
            doubted: None,
        }
    }

    /// Koii says that `round` has begun. `Err` has the newest round before it: it is too far ahead to be believed, until
    /// a later one says the same.
    ///
    /// # Errors
    /// The newest round that was believed.
    pub fn believe(&mut self, round: RoundNumber, now: BothClocks) -> Result<(), RoundNumber> {
        let Some((newest, then)) = self.believed else {
            self.believed = Some((round, now));
            return Ok(());
        };
        if round <= newest {
            self.doubted = None;
            return Ok(());
        }
        let wall = Duration::from_secs(now.wall.0.saturating_sub(then.wall.0));
        let passed = wall.max(now.monotonic.saturating_sub(then.monotonic));
        let possible = passed.as_secs() / SHORTEST_ROUND.as_secs();
        let is_near = |from: RoundNumber| round.get() - from.get() <= USUAL_SKIP;
        let follows = |doubted: RoundNumber| doubted < round && is_near(doubted);
        if is_near(newest)
            || round.get() - newest.get() <= possible
            || self.doubted.is_some_and(follows)
        {
            *self = Self {
                believed: Some((round, now)),
                doubted: None,
            };
            return Ok(());
        }
        // The same one again is no second word for it.
        self.doubted = Some(round);
        Err(newest)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn n(number: u64) -> RoundNumber {
        RoundNumber::new(number).unwrap()
    }

    fn at(seconds: u64) -> BothClocks {
        BothClocks {
            wall: UnixTime(1_000_000 + seconds),
            monotonic: Duration::from_secs(seconds),
        }
    }

    #[test]
    fn a_slot_that_jumps_for_a_moment_does_not_end_the_node() {
        let mut jumps = RoundJumps::default();
        assert_eq!(jumps.believe(n(11), at(0)), Ok(()));
        assert_eq!(jumps.believe(n(1_000_000), at(300)), Err(n(11)));
        assert_eq!(
            jumps.believe(n(1_000_000), at(315)),
            Err(n(11)),
            "asked again"
        );
        assert_eq!(jumps.believe(n(12), at(360)), Ok(()));
        assert_eq!(
            jumps.believe(n(1_000_001), at(400)),
            Err(n(12)),
            "a new doubt"
        );
        assert_eq!(jumps.believe(n(13), at(720)), Ok(()));
    }

    #[test]
    fn rounds_that_really_are_there_are_believed_with_the_second() {
        let mut jumps = RoundJumps::after(Some((n(11), UnixTime(1_000_000))));
        assert_eq!(jumps.believe(n(500), at(300)), Err(n(11)));
        assert_eq!(jumps.believe(n(501), at(660)), Ok(()));
        assert_eq!(jumps.believe(n(502), at(1020)), Ok(()));
    }

    #[test]
    fn a_node_that_was_away_or_asleep_goes_on_at_once() {
        let mut jumps = RoundJumps::after(Some((n(11), UnixTime(1_000_000))));
        let asleep = BothClocks {
            wall: UnixTime(1_000_000 + 8 * 3600),
            monotonic: Duration::from_secs(5),
        };
        assert_eq!(jumps.believe(n(11 + 90), asleep), Ok(()));
        let mut jumps = RoundJumps::after(Some((n(11), UnixTime(1_000_000))));
        assert_eq!(
            jumps.believe(n(11 + 600), asleep),
            Err(n(11)),
            "not in eight hours"
        );
        assert_eq!(RoundJumps::after(None).believe(n(9_000_000), at(0)), Ok(()));
    }

    #[test]
    fn a_clock_that_was_set_back_stops_nothing() {
        let mut jumps = RoundJumps::after(Some((n(11), UnixTime(2_000_000))));
        for round in 12..40 {
            assert_eq!(jumps.believe(n(round), at(round)), Ok(()));
        }
    }

    proptest! {
        /// Whatever came before: two rounds in a row are believed.
        #[test]
        fn no_node_is_held_up_for_longer_than_a_round(
            before in prop::collection::vec((0..u64::from(u32::MAX), 0..100_000_u64), 0..20),
            round in 0..u64::from(u32::MAX),
            seconds in 0..100_000_u64,
        ) {
            let mut jumps = RoundJumps::default();
            for (round, seconds) in before {
                let _ = jumps.believe(n(round), at(seconds));
            }
            let first = jumps.believe(n(round), at(seconds));
            let second = jumps.believe(n(round + 1), at(seconds));
            prop_assert!(first.is_ok() || second.is_ok());
            prop_assert_eq!(second, Ok(()));
        }

        /// However far: what is too far is never believed at its first word, and rounds near by go on.
        #[test]
        fn one_word_is_not_enough(newest in 0..1_000_000_u64, gap in (USUAL_SKIP + 1)..1_000_000_u64) {
            let mut jumps = RoundJumps::after(Some((n(newest), UnixTime(1_000_000))));
            prop_assert_eq!(jumps.believe(n(newest + gap), at(30)), Err(n(newest)));
            prop_assert_eq!(jumps.believe(n(newest + 1), at(60)), Ok(()));
        }
    }
}
