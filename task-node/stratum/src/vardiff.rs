//! Vardiff: the difficulty at which a client sends about as many shares as the pool wants.
//!
//! Shares are counted in equivalents of the current difficulty, so that shares of older jobs that are still under way
//! tell the same hash rate. Three rules, each with the number of shares a steady client would have sent as yardstick:
//!
//! - *burst*: far more than expected after a handful of shares: rise at once (start of a session, a farm behind a proxy);
//! - *silence*: far fewer than expected: fall, also if no share ever comes (SRI #2154; ckpool looks only when a share
//!   arrives, so it cannot fall);
//! - *window*: after enough shares or time, follow the measured rate if it left the band around the target.
//!
//! A bare Poisson process leaves those bounds about once in a thousand looks. Time is monotonic; a step backwards counts
//! as no time at all.

use std::time::Duration;

use pow::ShareDifficulty;

/// Shares that make a burst.
const BURST_SHARES: f64 = 8.0;
/// Times the expected number that make a burst.
const BURST_RATIO: f64 = 4.0;
/// A steady client would have sent this many by the time silence means something.
const SILENCE_EXPECTED: f64 = 10.0;
/// Below this part of the expected number it is silence.
const SILENCE_RATIO: f64 = 0.25;
/// Shares in a full window.
const WINDOW_SHARES: f64 = 36.0;
/// Inside this band around the target nothing changes.
const BAND: std::ops::RangeInclusive<f64> = 0.6..=1.6;
/// The largest step up or down: a client with a moment's hiccup is not thrown out of reach.
const MAX_STEP: f64 = 16.0;
/// A burst within less time than this is measured as if it had taken it; bounds what one packet of shares can claim.
const SHORTEST_MEASURE: f64 = 0.25;

/// The bounds of one client's difficulty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// Never easier: the server's own floor.
    pub(crate) server_floor: ShareDifficulty,
    /// Never easier: what the client negotiated as `minimum-difficulty`.
    pub(crate) client_floor: Option<ShareDifficulty>,
    /// Not harder, unless a floor says so: finding a whole block.
    pub(crate) block: Option<ShareDifficulty>,
}

impl Bounds {
    /// `difficulty` moved into the bounds.
    #[must_use]
    pub(crate) fn apply(&self, difficulty: ShareDifficulty) -> ShareDifficulty {
        let capped = self.block.map_or(difficulty, |block| difficulty.min(block));
        capped
            .max(self.server_floor)
            .max(self.client_floor.unwrap_or(ShareDifficulty::MIN))
    }
}

/// The controller of one session.
#[derive(Debug, Clone)]
pub(crate) struct Vardiff {
    seconds_per_share: f64,
    difficulty: ShareDifficulty,
    since: Duration,
    /// Shares since `since`, in equivalents of `difficulty`.
    shares: f64,
}

impl Vardiff {
    /// Starts at `difficulty`; aims for `shares_per_minute` (0 is taken as 1).
    #[must_use]
    pub(crate) fn new(shares_per_minute: u32, difficulty: ShareDifficulty, now: Duration) -> Self {
        Self {
            seconds_per_share: 60.0 / f64::from(shares_per_minute.max(1)),
            difficulty,
            since: now,
            shares: 0.0,
        }
    }

    /// The difficulty jobs are issued at.
    #[must_use]
    pub(crate) fn difficulty(&self) -> ShareDifficulty {
        self.difficulty
    }

    /// Sets the difficulty and starts measuring anew.
    pub(crate) fn set(&mut self, difficulty: ShareDifficulty, now: Duration) {
        self.difficulty = difficulty;
        self.restart(now);
    }

    /// Starts measuring anew, e.g. because the client was without work.
    pub(crate) fn restart(&mut self, now: Duration) {
        self.since = now;
        self.shares = 0.0;
    }

    /// Counts a share found at `difficulty`; the answer is the difficulty to change to, if any.
    pub(crate) fn on_share(
        &mut self,
        difficulty: ShareDifficulty,
        bounds: &Bounds,
        now: Duration,
    ) -> Option<ShareDifficulty> {
        self.shares += difficulty.announced() / self.difficulty.announced();
        self.look(bounds, now)
    }

    /// Looks at the clock; the answer is the difficulty to change to, if any.
    pub(crate) fn on_tick(&mut self, bounds: &Bounds, now: Duration) -> Option<ShareDifficulty> {
        self.look(bounds, now)
    }

    fn look(&mut self, bounds: &Bounds, now: Duration) -> Option<ShareDifficulty> {
        let elapsed = now
            .saturating_sub(self.since)
            .as_secs_f64()
            .max(SHORTEST_MEASURE);
        let expected = elapsed / self.seconds_per_share;
        let ratio = self.shares / expected;

        if self.shares >= BURST_SHARES && ratio >= BURST_RATIO {
            return self.change_by(ratio, bounds, now);
        }
        if expected >= SILENCE_EXPECTED && ratio <= SILENCE_RATIO {
            // One share more than seen: with none at all the rate is unknown, only bounded.
            return self.change_by((self.shares + 1.0) / expected, bounds, now);
        }
        if self.shares >= WINDOW_SHARES || expected >= WINDOW_SHARES {
            if BAND.contains(&ratio) {
                // Half of the past stays, so that a slow drift is seen and noise is not.
                self.shares /= 2.0;
                self.since = now.saturating_sub(Duration::from_secs_f64(elapsed / 2.0));
                return None;
            }
            return self.change_by(ratio, bounds, now);
        }
        None
    }

    fn change_by(&mut self, ratio: f64, bounds: &Bounds, now: Duration) -> Option<ShareDifficulty> {
        let wanted = self.difficulty.announced() * ratio.clamp(1.0 / MAX_STEP, MAX_STEP);
        let before = self.difficulty;
        // The product of a difficulty and a number between 1/16 and 16 is a positive number.
        let wanted = ShareDifficulty::at_most(wanted).unwrap_or(before);
        self.set(bounds.apply(wanted), now);
        (self.difficulty != before).then_some(self.difficulty)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    const FREE: Bounds = Bounds {
        server_floor: ShareDifficulty::MIN,
        client_floor: None,
        block: None,
    };

    fn difficulty(number: f64) -> ShareDifficulty {
        ShareDifficulty::at_most(number).unwrap()
    }

    /// A miner with a steady hash rate (in difficulty 1 per second) and evenly spread shares; the tick is two seconds.
    /// Returns the difficulty after each second.
    fn run(vardiff: &mut Vardiff, rate: f64, seconds: u64, from: u64) -> Vec<ShareDifficulty> {
        let mut work = 0.0;
        let mut track = Vec::new();
        for second in from..from + seconds {
            for part in 0..1000 {
                let now = Duration::from_secs(second) + Duration::from_millis(part);
                work += rate / 1000.0;
                if work >= vardiff.difficulty().announced() {
                    work -= vardiff.difficulty().announced();
                    vardiff.on_share(vardiff.difficulty(), &FREE, now);
                }
            }
            if second % 2 == 0 {
                vardiff.on_tick(&FREE, Duration::from_secs(second + 1));
            }
            track.push(vardiff.difficulty());
        }
        track
    }

    fn shares_per_minute(difficulty: ShareDifficulty, rate: f64) -> f64 {
        60.0 * rate / difficulty.announced()
    }

    #[test]
    fn rises_quickly_for_a_large_miner() {
        // 100 TH/s at difficulty 1: 23,000 shares a second until it rises.
        let rate = 100e12 / 2_f64.powi(32);
        let mut vardiff = Vardiff::new(18, ShareDifficulty::ONE, Duration::ZERO);
        let track = run(&mut vardiff, rate, 60, 0);
        let after_20 = shares_per_minute(track[19], rate);
        assert!((9.0..36.0).contains(&after_20), "{after_20}");
    }

    #[test]
    fn small_miners_reach_their_rate_datum_127() {
        // A Bitaxe (500 GH/s) and one core (1 MH/s), both started far too high.
        for (hash_rate, start) in [(500e9, 65_536.0), (1e6, 1.0)] {
            let rate = hash_rate / 2_f64.powi(32);
            let mut vardiff = Vardiff::new(18, difficulty(start), Duration::ZERO);
            let track = run(&mut vardiff, rate, 600, 0);
            let end = shares_per_minute(track[599], rate);
            assert!((9.0..36.0).contains(&end), "{hash_rate}: {end}");
        }
    }

    #[test]
    fn vardiff_falls_in_silence_sri_2154() {
        let mut vardiff = Vardiff::new(18, difficulty(65_536.0), Duration::ZERO);
        assert_eq!(vardiff.on_tick(&FREE, Duration::from_secs(30)), None);
        let lower = vardiff.on_tick(&FREE, Duration::from_secs(36)).unwrap();
        assert!(lower.announced() < 65_536.0 / 8.0);
        for second in 37..2_000 {
            vardiff.on_tick(&FREE, Duration::from_secs(second));
        }
        assert_eq!(vardiff.difficulty(), ShareDifficulty::MIN);
    }

    #[test]
    fn falls_when_the_hash_rate_falls() {
        let mut vardiff = Vardiff::new(18, difficulty(1_000.0), Duration::ZERO);
        run(&mut vardiff, 300.0, 600, 0);
        let track = run(&mut vardiff, 3.0, 300, 600);
        let end = shares_per_minute(track[299], 3.0);
        assert!((9.0..36.0).contains(&end), "{end}");
    }

    #[test]
    fn a_steady_miner_is_left_alone() {
        let rate = 300.0;
        let mut vardiff = Vardiff::new(18, difficulty(rate * 60.0 / 18.0), Duration::ZERO);
        let track = run(&mut vardiff, rate, 3_600, 0);
        assert!(track.iter().all(|step| *step == track[0]));
    }

    #[test]
    fn in_flight_shares_at_the_old_difficulty_do_not_raise_it_again() {
        let mut vardiff = Vardiff::new(18, ShareDifficulty::ONE, Duration::ZERO);
        let mut now = Duration::from_secs(1);
        let mut raised = None;
        while raised.is_none() {
            raised = vardiff.on_share(ShareDifficulty::ONE, &FREE, now);
            now += Duration::from_millis(1);
        }
        for _ in 0..16 {
            assert_eq!(vardiff.on_share(ShareDifficulty::ONE, &FREE, now), None);
        }
    }

    #[test]
    fn bounds_hold_and_floors_win_over_the_block() {
        let bounds = Bounds {
            server_floor: difficulty(4.0),
            client_floor: Some(difficulty(16.0)),
            block: Some(difficulty(1_024.0)),
        };
        assert_eq!(bounds.apply(ShareDifficulty::MIN), difficulty(16.0));
        assert_eq!(bounds.apply(ShareDifficulty::MAX), difficulty(1_024.0));
        let regtest = Bounds {
            block: Some(ShareDifficulty::MIN),
            ..bounds
        };
        assert_eq!(regtest.apply(ShareDifficulty::ONE), difficulty(16.0));
    }

    proptest! {
        #[test]
        fn any_course_of_events_stays_in_bounds(
            events in proptest::collection::vec((any::<u32>(), any::<bool>(), 0_u16..379), 0..300),
            low in 0_u16..379,
        ) {
            let step = |n: u16| (0..n).fold(ShareDifficulty::MIN, |d, _| d.harder());
            let bounds = Bounds { server_floor: step(low), client_floor: None, block: Some(step(300)) };
            let mut vardiff = Vardiff::new(18, bounds.apply(ShareDifficulty::ONE), Duration::from_secs(1 << 31));
            for (seconds, share, at) in events {
                // Times in any order: a clock that steps must do no harm.
                let now = Duration::from_secs(u64::from(seconds));
                if share {
                    vardiff.on_share(step(at), &bounds, now);
                } else {
                    vardiff.on_tick(&bounds, now);
                }
                let difficulty = vardiff.difficulty();
                prop_assert_eq!(bounds.apply(difficulty), difficulty);
            }
        }
    }
}
