//! What is to be pinned, what is, and when to try again. Pure: time comes in, decisions go out.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use cid::Cid;

/// The first wait after a failure; it doubles with each further one.
const FIRST_WAIT: Duration = Duration::from_secs(2);
/// And the longest.
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Pin this DAG.
    Pin(Cid),
    /// Wait that long; something new may come before.
    WaitFor(Duration),
    /// Wait for something new.
    WaitForMore,
}

/// Keeps the DAGs that belong on the IPFS node. Times are those of a clock that never steps back.
#[derive(Debug, Default)]
pub(super) struct PinBook {
    waiting: VecDeque<Cid>,
    pinned: HashSet<Cid>,
    /// This node cannot give them: no IPFS node can mend that.
    broken: HashSet<Cid>,
    failures: u32,
    not_before: Duration,
    trouble: Option<String>,
}

impl PinBook {
    /// DAGs that belong on the IPFS node, newest first. Those already known change nothing.
    pub(super) fn found(&mut self, newest_first: impl IntoIterator<Item = Cid>) {
        let new: Vec<Cid> = newest_first
            .into_iter()
            .filter(|cid| {
                !self.pinned.contains(cid)
                    && !self.broken.contains(cid)
                    && !self.waiting.contains(cid)
            })
            .collect();
        for cid in new.into_iter().rev() {
            self.waiting.push_front(cid);
        }
    }

    /// What to do at `now`.
    pub(super) fn next(&self, now: Duration) -> Next {
        match self.waiting.front() {
            None => Next::WaitForMore,
            Some(_) if now < self.not_before => Next::WaitFor(self.not_before - now),
            Some(cid) => Next::Pin(*cid),
        }
    }

    /// The IPFS node has it. `true` if it did not do its work before.
    pub(super) fn pinned(&mut self, cid: Cid) -> bool {
        self.waiting.retain(|waiting| *waiting != cid);
        self.pinned.insert(cid);
        self.failures = 0;
        self.not_before = Duration::ZERO;
        self.trouble.take().is_some()
    }

    /// The IPFS node did not do it: the others wait too, and come first next time, so that one DAG that it never takes does
    /// not keep the rest away. `true` if the reason is a new one.
    pub(super) fn failed(&mut self, cid: Cid, reason: String, now: Duration) -> bool {
        if let Some(at) = self.waiting.iter().position(|waiting| *waiting == cid) {
            self.waiting.remove(at);
            self.waiting.push_back(cid);
        }
        let wait = FIRST_WAIT.saturating_mul(2u32.saturating_pow(self.failures));
        self.failures = self.failures.saturating_add(1);
        self.not_before = now.saturating_add(wait.min(LONGEST_WAIT));
        let is_new = self.trouble.as_ref() != Some(&reason);
        self.trouble = Some(reason);
        is_new
    }

    /// This node's own store lacks a part of it.
    pub(super) fn broken(&mut self, cid: Cid) {
        self.waiting.retain(|waiting| *waiting != cid);
        self.broken.insert(cid);
    }

    /// Takes nothing for granted any more: pins may have been removed, and damaged stores mended.
    pub(super) fn forget(&mut self) {
        self.pinned.clear();
        self.broken.clear();
    }

    /// DAGs known to be pinned.
    pub(super) fn pinned_count(&self) -> usize {
        self.pinned.len()
    }

    /// DAGs still to be pinned, those that this node lacks a part of included.
    pub(super) fn waiting_count(&self) -> usize {
        self.waiting.len() + self.broken.len()
    }

    /// Why the last attempt failed, until one succeeds.
    pub(super) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use content::{Block, Codec};
    use proptest::prelude::*;

    use super::*;

    fn cid(number: u8) -> Cid {
        *Block::new(Codec::Raw, vec![number]).unwrap().cid()
    }

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_newest_comes_first_and_nothing_twice() {
        let mut book = PinBook::default();
        assert_eq!(book.next(at(0)), Next::WaitForMore);
        book.found([cid(2), cid(1)]);
        book.found([cid(3), cid(2), cid(1)]);
        for expected in [3, 2, 1] {
            assert_eq!(book.next(at(0)), Next::Pin(cid(expected)));
            assert!(!book.pinned(cid(expected)));
        }
        book.found([cid(3), cid(2), cid(1)]);
        assert_eq!(book.next(at(0)), Next::WaitForMore);
        assert_eq!((book.pinned_count(), book.waiting_count()), (3, 0));
        book.forget();
        book.found([cid(3)]);
        assert_eq!(book.next(at(0)), Next::Pin(cid(3)));
    }

    #[test]
    fn a_failing_node_is_left_alone_longer_and_longer() {
        let mut book = PinBook::default();
        book.found([cid(1)]);
        let mut now = at(0);
        for expected in [2, 4, 8, 16, 32, 64, 128, 256, 300, 300] {
            book.failed(cid(1), "away".to_owned(), now);
            assert_eq!(book.next(now), Next::WaitFor(at(expected)));
            // What comes meanwhile waits as well.
            book.found([cid(2)]);
            assert_eq!(book.next(now), Next::WaitFor(at(expected)));
            now += at(expected);
        }
        assert_eq!(book.trouble(), Some("away"));
        assert_eq!(book.next(now), Next::Pin(cid(2)));
        assert!(book.pinned(cid(2)));
        assert_eq!(book.trouble(), None);
        assert_eq!(book.next(now), Next::Pin(cid(1)));
    }

    #[test]
    fn the_same_trouble_is_new_once() {
        let mut book = PinBook::default();
        book.found([cid(1)]);
        assert!(book.failed(cid(1), "away".to_owned(), at(0)));
        assert!(!book.failed(cid(1), "away".to_owned(), at(9)));
        assert!(book.failed(cid(1), "full".to_owned(), at(99)));
    }

    #[test]
    fn what_fails_lets_the_others_pass() {
        let mut book = PinBook::default();
        book.found([cid(2), cid(1)]);
        book.failed(cid(2), "no".to_owned(), at(0));
        assert_eq!(book.next(at(2)), Next::Pin(cid(1)));
        book.pinned(cid(1));
        assert_eq!(book.next(at(2)), Next::Pin(cid(2)));
        // And what this node itself cannot give is not tried again before it is looked for anew.
        book.broken(cid(2));
        book.found([cid(2), cid(1)]);
        assert_eq!(book.next(at(2)), Next::WaitForMore);
        assert_eq!((book.pinned_count(), book.waiting_count()), (1, 1));
        book.forget();
        book.found([cid(2), cid(1)]);
        assert_eq!(book.next(at(2)), Next::Pin(cid(2)));
    }

    #[derive(Debug, Clone)]
    enum Happens {
        Found(u8),
        Works,
        Fails,
        Breaks,
        Forgotten,
    }

    proptest! {
        /// Whatever happens, everything that was found is pinned in the end, once the node works.
        #[test]
        fn nothing_is_lost(events in proptest::collection::vec(prop_oneof![
            (0u8..8).prop_map(Happens::Found), Just(Happens::Works), Just(Happens::Fails), Just(Happens::Breaks),
            Just(Happens::Forgotten),
        ], 0..60)) {
            let mut book = PinBook::default();
            let mut found = HashSet::new();
            let mut now = Duration::ZERO;
            for event in events {
                now += LONGEST_WAIT;
                match (event, book.next(now)) {
                    (Happens::Found(number), _) => {
                        found.insert(cid(number));
                        book.found([cid(number)]);
                    }
                    (Happens::Works, Next::Pin(cid)) => { book.pinned(cid); }
                    (Happens::Fails, Next::Pin(cid)) => { book.failed(cid, "no".to_owned(), now); }
                    (Happens::Breaks, Next::Pin(cid)) => book.broken(cid),
                    (Happens::Forgotten, _) => {
                        book.forget();
                        book.found(found.iter().copied());
                    }
                    _ => {}
                }
                prop_assert_eq!(book.pinned_count() + book.waiting_count(), found.len());
            }
            book.forget();
            book.found(found.iter().copied());
            now += LONGEST_WAIT;
            for _ in 0..found.len() {
                let Next::Pin(cid) = book.next(now) else { return Err(TestCaseError::fail("waits")) };
                book.pinned(cid);
            }
            prop_assert_eq!(book.pinned_count(), found.len());
            prop_assert_eq!(book.next(now), Next::WaitForMore);
        }
    }
}
