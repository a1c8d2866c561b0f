//! What the miner did, for people.

use std::collections::VecDeque;
use std::time::Duration;

use serde::Serialize;

/// Over how long the hash rate is measured.
const RATE_WINDOW: Duration = Duration::from_secs(30);

/// Shares the pool refused, by Stratum's code.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Rejections {
    /// 21
    pub stale: u64,
    /// 22
    pub duplicate: u64,
    /// 23
    pub low_difficulty: u64,
    /// 24
    pub unauthorized: u64,
    /// 25
    pub not_subscribed: u64,
    /// Everything else.
    pub other: u64,
}

impl Rejections {
    pub(crate) fn count(&mut self, code: Option<i64>) {
        let counter = match code {
            Some(21) => &mut self.stale,
            Some(22) => &mut self.duplicate,
            Some(23) => &mut self.low_difficulty,
            Some(24) => &mut self.unauthorized,
            Some(25) => &mut self.not_subscribed,
            _ => &mut self.other,
        };
        *counter += 1;
    }

    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.stale
            + self.duplicate
            + self.low_difficulty
            + self.unauthorized
            + self.not_subscribed
            + self.other
    }
}

/// A snapshot of the miner's counters since it started.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct MinerStats {
    /// Whether the pool has authorised this connection.
    pub authorized: bool,
    /// Connections made.
    pub connections: u64,
    /// Jobs received.
    pub jobs: u64,
    /// The difficulty of the latest job, for display.
    pub difficulty: Option<f64>,
    /// Shares sent.
    pub submitted: u64,
    /// Shares the pool took.
    pub accepted: u64,
    /// Shares the pool refused.
    pub rejected: Rejections,
    /// Shares not sent because their job or connection was gone.
    pub discarded: u64,
    /// Shares sent whose answer never came.
    pub unanswered: u64,
    /// Hashes tried.
    pub hashes: u64,
    /// Hashes a second, for display.
    pub hash_rate: f64,
    /// The last reason a share was refused for, in the pool's words.
    pub last_rejection: Option<String>,
    /// The last thing that ended a connection.
    pub last_error: Option<String>,
}

/// Hashes a second over the last half minute.
#[derive(Debug, Default)]
pub(crate) struct RateMeter(VecDeque<(Duration, u64)>);

impl RateMeter {
    /// Takes in the hash count at `now` and tells the rate.
    pub(crate) fn sample(&mut self, now: Duration, hashes: u64) -> f64 {
        // One sample a second is kept, however often it is asked.
        let kept = self.0.back().map(|(then, _)| now.saturating_sub(*then));
        if kept.is_none_or(|age| age >= Duration::from_secs(1)) {
            self.0.push_back((now, hashes));
        }
        while self.0.len() > 2
            && self
                .0
                .front()
                .is_some_and(|(then, _)| now.saturating_sub(*then) > RATE_WINDOW)
        {
            self.0.pop_front();
        }
        match self.0.front() {
            Some((then, count)) if now > *then => {
                hashes.saturating_sub(*count) as f64 / (now - *then).as_secs_f64()
            }
            _ => 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_follows_the_last_half_minute() {
        let mut meter = RateMeter::default();
        let mut hashes = 0;
        let mut rate = 0.0;
        for second in 0..100 {
            rate = meter.sample(Duration::from_secs(second), hashes);
            hashes += if second < 50 { 1_000 } else { 2_000 };
        }
        assert!((rate - 2_000.0).abs() < 1e-9, "{rate}");
        assert!(meter.0.len() <= 32);
        // Asked in a hurry, it neither grows nor divides by zero.
        for _ in 0..1_000 {
            assert!(meter.sample(Duration::from_secs(99), hashes).is_finite());
        }
        assert!(meter.0.len() <= 33);
    }

    #[test]
    fn refusals_are_counted_by_code() {
        let mut rejections = Rejections::default();
        for code in [
            Some(21),
            Some(22),
            Some(23),
            Some(24),
            Some(25),
            Some(20),
            Some(i64::MIN),
            None,
        ] {
            rejections.count(code);
        }
        assert_eq!(
            rejections,
            Rejections {
                stale: 1,
                duplicate: 1,
                low_difficulty: 1,
                unauthorized: 1,
                not_subscribed: 1,
                other: 3
            }
        );
        assert_eq!(rejections.total(), 8);
    }
}
