//! When a node is asked and when it is left alone. Pure: time comes in with every event.

use std::time::{Duration, Instant};

use crate::backoff::Backoff;

/// What is known about a node's fitness.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Condition {
    /// Asked in its turn.
    Healthy,
    /// Left alone until the time is up, for this reason. Still asked when no node is better.
    Demoted {
        /// The last failure, or by how much it lags.
        reason: String,
        /// When it gets its turn again.
        until: Instant,
    },
}

/// First and longest time a failing node is left alone.
const FIRST_DEMOTION: Duration = Duration::from_secs(2);
const LONGEST_DEMOTION: Duration = Duration::from_secs(60);

/// A node this long without trouble starts with the shortest demotion again; one that comes and goes does not.
const FORGIVEN_AFTER: Duration = Duration::from_secs(120);

/// A block needs a moment to reach every node; only a lag that lasts is one.
const LAG_GRACE: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(crate) struct Health {
    condition: Condition,
    backoff: Backoff,
    healthy_since: Option<Instant>,
    lagging_since: Option<Instant>,
}

impl Health {
    pub(crate) fn new() -> Self {
        Self {
            condition: Condition::Healthy,
            backoff: Backoff::new(FIRST_DEMOTION, LONGEST_DEMOTION),
            healthy_since: None,
            lagging_since: None,
        }
    }

    pub(crate) fn condition(&self) -> &Condition {
        &self.condition
    }

    /// May be asked in its turn. A demotion that has run out still needs [`Self::on_probe`] to become healthy, but
    /// an ordinary call may be that probe.
    pub(crate) fn is_available(&self, now: Instant) -> bool {
        match &self.condition {
            Condition::Healthy => true,
            Condition::Demoted { until, .. } => now >= *until,
        }
    }

    /// It answered. Returns true when this ends a demotion.
    pub(crate) fn on_success(&mut self, now: Instant) -> bool {
        // A lagging node answers well; only catching up ends its demotion.
        if self
            .lagging_since
            .is_some_and(|since| now.saturating_duration_since(since) >= LAG_GRACE)
        {
            return false;
        }
        let since = *self.healthy_since.get_or_insert(now);
        if now.saturating_duration_since(since) >= FORGIVEN_AFTER {
            self.backoff.reset();
        }
        let recovered = self.condition != Condition::Healthy;
        self.condition = Condition::Healthy;
        recovered
    }

    /// It failed. Returns true when it was healthy before.
    pub(crate) fn on_failure(&mut self, reason: String, now: Instant) -> bool {
        // Calls that were under way together fail together: they are one failure.
        if matches!(&self.condition, Condition::Demoted { until, .. } if now < *until) {
            return false;
        }
        let was_healthy = self.condition == Condition::Healthy;
        self.healthy_since = None;
        self.condition = Condition::Demoted {
            reason,
            until: now + self.backoff.failed(),
        };
        was_healthy
    }

    /// Its tip was compared with the others': `behind` says how, `None` is level. Returns true when the node was
    /// demoted by this.
    pub(crate) fn on_probe(&mut self, behind: Option<String>, now: Instant) -> bool {
        let Some(reason) = behind else {
            self.lagging_since = None;
            return false;
        };
        let since = *self.lagging_since.get_or_insert(now);
        now.saturating_duration_since(since) >= LAG_GRACE && self.on_failure(reason, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn demoted_for(health: &Health, now: Instant) -> Duration {
        match health.condition() {
            Condition::Demoted { until, .. } => *until - now,
            Condition::Healthy => Duration::ZERO,
        }
    }

    #[test]
    fn a_failure_demotes_and_success_after_the_wait_restores() {
        let start = Instant::now();
        let mut health = Health::new();
        assert!(health.on_failure("refused".into(), start));
        assert!(!health.is_available(start));
        assert!(health.is_available(start + FIRST_DEMOTION));
        assert!(health.on_success(start + FIRST_DEMOTION));
        assert_eq!(*health.condition(), Condition::Healthy);
    }

    #[test]
    fn failing_together_is_failing_once() {
        let start = Instant::now();
        let mut health = Health::new();
        for _ in 0..10 {
            health.on_failure("timeout".into(), start);
        }
        assert_eq!(demoted_for(&health, start), FIRST_DEMOTION);
    }

    #[test]
    fn a_flapping_node_is_left_alone_longer_and_a_steady_one_is_forgiven() {
        let mut now = Instant::now();
        let mut health = Health::new();
        for expected in [2, 4, 8, 16, 32, 60, 60] {
            health.on_failure("reset".into(), now);
            assert_eq!(demoted_for(&health, now), Duration::from_secs(expected));
            now += Duration::from_secs(expected);
            health.on_success(now);
        }
        now += FORGIVEN_AFTER;
        health.on_success(now);
        health.on_failure("reset".into(), now);
        assert_eq!(demoted_for(&health, now), FIRST_DEMOTION);
    }

    #[test]
    fn propagation_delay_is_not_a_lag() {
        let start = Instant::now();
        let mut health = Health::new();
        assert!(!health.on_probe(Some("1 block behind".into()), start));
        assert!(!health.on_probe(None, start + LAG_GRACE / 2));
        assert!(!health.on_probe(Some("1 block behind".into()), start + LAG_GRACE));
        assert!(health.is_available(start + LAG_GRACE));
    }

    #[test]
    fn a_lasting_lag_demotes_and_answering_well_does_not_end_it() {
        let start = Instant::now();
        let mut health = Health::new();
        let behind = || Some("3 blocks behind".to_owned());
        health.on_probe(behind(), start);
        let late = start + LAG_GRACE;
        assert!(health.on_probe(behind(), late));
        assert!(!health.on_success(late));
        assert!(!health.is_available(late));
        health.on_probe(None, late + FIRST_DEMOTION);
        assert!(health.on_success(late + FIRST_DEMOTION));
    }
}
