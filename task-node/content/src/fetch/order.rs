//! Which source to ask next, learnt within one call.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::SourceFailure;

/// Failures kept for the report; a DAG of thousands of blocks may meet the same one thousands of times.
const MAX_REPORTED: usize = 32;

/// The sources by index, best first. Clones share what they learn.
#[derive(Debug, Clone)]
pub(super) struct Order(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    ranking: Vec<usize>,
    /// Served wrong bytes: not asked again.
    banned: Vec<SourceFailure>,
    failures: Vec<SourceFailure>,
}

impl Order {
    /// The submitter comes behind the best of the sources: asked as soon as that one fails or is silent for a while,
    /// however many others are left that would be waited for.
    pub(super) fn new(sources: usize, with_submitter: bool) -> Self {
        let mut ranking: Vec<usize> = (0..sources).collect();
        if with_submitter {
            ranking.insert(sources.min(1), sources);
        }
        Self(Arc::new(Mutex::new(State {
            ranking,
            banned: Vec::new(),
            failures: Vec::new(),
        })))
    }

    pub(super) fn candidates(&self) -> Vec<usize> {
        self.lock().ranking.clone()
    }

    /// Moves the source to the front.
    pub(super) fn answered(&self, index: usize) {
        let mut state = self.lock();
        if let Some(at) = state.ranking.iter().position(|source| *source == index) {
            state.ranking[..=at].rotate_right(1);
        }
    }

    /// Moves the source to the end, or out if it lied.
    pub(super) fn failed(&self, index: usize, failure: &SourceFailure) {
        let mut state = self.lock();
        let Some(at) = state.ranking.iter().position(|source| *source == index) else {
            return;
        };
        state.ranking.remove(at);
        if failure.error.is_lie() {
            state.banned.push(failure.clone());
        } else {
            state.ranking.push(index);
        }
        if state.failures.len() < MAX_REPORTED && !state.failures.contains(failure) {
            state.failures.push(failure.clone());
        }
    }

    /// Why the sources that are no longer asked are not.
    pub(super) fn banned_failures(&self) -> Vec<SourceFailure> {
        self.lock().banned.clone()
    }

    pub(super) fn into_failures(self) -> Vec<SourceFailure> {
        self.lock().failures.clone()
    }

    // No method leaves the state half changed, so a poisoned lock is taken all the same.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;
    use crate::fetch::SourceError;

    fn failure(error: SourceError) -> SourceFailure {
        SourceFailure {
            url: "http://node".to_owned(),
            error,
        }
    }

    #[test]
    fn the_best_first_the_failed_last_the_liars_never() {
        let order = Order::new(4, false);
        assert_eq!(order.candidates(), [0, 1, 2, 3]);
        order.answered(2);
        assert_eq!(order.candidates(), [2, 0, 1, 3]);
        order.failed(2, &failure(SourceError::Status(503)));
        assert_eq!(order.candidates(), [0, 1, 3, 2]);
        order.failed(0, &failure(SourceError::WrongBytes));
        assert_eq!(order.candidates(), [1, 3, 2]);
        // A late answer of a source that lied does not bring it back.
        order.answered(0);
        order.failed(0, &failure(SourceError::Status(404)));
        assert_eq!(order.candidates(), [1, 3, 2]);
        assert_eq!(order.banned_failures(), [failure(SourceError::WrongBytes)]);
        assert_eq!(order.into_failures().len(), 2);
    }

    #[test]
    fn the_submitter_is_asked_second() {
        assert_eq!(Order::new(0, true).candidates(), [0]);
        assert_eq!(Order::new(1, true).candidates(), [0, 1]);
        assert_eq!(Order::new(3, true).candidates(), [0, 3, 1, 2]);
    }

    #[test]
    fn the_report_is_bounded() {
        let order = Order::new(1, false);
        for status in 400..600 {
            order.failed(0, &failure(SourceError::Status(status)));
            order.failed(0, &failure(SourceError::Status(status)));
        }
        assert_eq!(order.into_failures().len(), MAX_REPORTED);
    }
}
