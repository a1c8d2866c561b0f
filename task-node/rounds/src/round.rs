//! The life of rounds, as a state machine.
//!
//! ```text
//! POST /task/N        opens N (again: nothing; below the newest: nothing; rounds may be skipped)
//! GET /submission/N   closes N, seals it; if N is the newest, N+1 is opened first, so that no hash is wasted
//! ```
//!
//! Jobs claim the newest open round. Shares of an older one are taken until it is closed. The machine changes only by
//! what the store has confirmed, so a failed write or a crash between two steps is mended by asking again.

use std::collections::BTreeMap;

use store::{RoundRecord, RoundState};
use work::RoundNumber;

/// How far a round has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// It takes shares.
    Open,
    /// It takes no more shares.
    Closed,
    /// Its bundle is fixed.
    Sealed,
}

/// What happens to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoundEvent {
    /// Koii says that round has begun.
    Start(RoundNumber),
    /// Koii asks for the submission of that round.
    SubmissionAsked(RoundNumber),
    /// The store has opened it.
    Opened(RoundNumber),
    /// The store has closed it.
    Closed(RoundNumber),
    /// The store has sealed it.
    Sealed(RoundNumber),
}

/// What is to be done, in this order; each step only if the one before it succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoundAction {
    /// Open it in the store.
    Open(RoundNumber),
    /// Give miners jobs that claim it.
    Claim(RoundNumber),
    /// Close it in the store.
    Close(RoundNumber),
    /// Make its bundle and seal it in the store.
    Seal(RoundNumber),
}

/// All rounds a node knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RoundBook {
    rounds: BTreeMap<RoundNumber, Phase>,
}

impl RoundBook {
    /// The book as the store has it, after a start or a crash.
    #[must_use]
    pub fn restore<'a>(records: impl IntoIterator<Item = &'a RoundRecord>) -> Self {
        let phase = |record: &RoundRecord| match record.state {
            RoundState::Open => Phase::Open,
            RoundState::Closed(_) => Phase::Closed,
            RoundState::Sealed { .. } => Phase::Sealed,
        };
        Self {
            rounds: records
                .into_iter()
                .map(|record| (record.round, phase(record)))
                .collect(),
        }
    }

    /// The round jobs claim: the newest open one.
    #[must_use]
    pub fn claimed(&self) -> Option<RoundNumber> {
        self.rounds
            .iter()
            .rev()
            .find(|(_, phase)| **phase == Phase::Open)
            .map(|(round, _)| *round)
    }

    /// The highest round there is.
    #[must_use]
    pub fn newest(&self) -> Option<RoundNumber> {
        self.rounds.keys().next_back().copied()
    }

    /// How far a round has come; `None` if it was never opened.
    #[must_use]
    pub fn phase(&self, round: RoundNumber) -> Option<Phase> {
        self.rounds.get(&round).copied()
    }

    /// Takes an event and says what is to be done.
    pub fn on_event(&mut self, event: RoundEvent) -> Vec<RoundAction> {
        match event {
            RoundEvent::Start(round) if self.newest().is_none_or(|newest| newest < round) => {
                vec![RoundAction::Open(round)]
            }
            RoundEvent::Start(_) => Vec::new(),
            RoundEvent::SubmissionAsked(round) => match self.phase(round) {
                None | Some(Phase::Sealed) => Vec::new(),
                Some(Phase::Closed) => vec![RoundAction::Seal(round)],
                Some(Phase::Open) => {
                    let next = round.next();
                    let close = RoundAction::Close(round);
                    if self.newest() == Some(round) && next > round {
                        vec![RoundAction::Open(next), close]
                    } else {
                        vec![close]
                    }
                }
            },
            RoundEvent::Opened(round) => {
                let before = self.claimed();
                self.advance(round, Phase::Open);
                match self.claimed() {
                    Some(now) if before != Some(now) => vec![RoundAction::Claim(now)],
                    _ => Vec::new(),
                }
            }
            RoundEvent::Closed(round) => {
                self.advance(round, Phase::Closed);
                vec![RoundAction::Seal(round)]
            }
            RoundEvent::Sealed(round) => {
                self.advance(round, Phase::Sealed);
                Vec::new()
            }
        }
    }

    /// Rounds never go back.
    fn advance(&mut self, round: RoundNumber, phase: Phase) {
        let known = self.rounds.entry(round).or_insert(phase);
        *known = phase.max(*known);
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

    /// Does what the book asks for, as a store that never fails would.
    fn run(book: &mut RoundBook, event: RoundEvent) -> Vec<RoundAction> {
        let mut done = Vec::new();
        let mut todo = book.on_event(event);
        while !todo.is_empty() {
            let action = todo.remove(0);
            done.push(action);
            todo.extend(match action {
                RoundAction::Open(round) => book.on_event(RoundEvent::Opened(round)),
                RoundAction::Close(round) => book.on_event(RoundEvent::Closed(round)),
                RoundAction::Seal(round) => book.on_event(RoundEvent::Sealed(round)),
                RoundAction::Claim(_) => Vec::new(),
            });
        }
        done
    }

    #[test]
    fn round_zero_a_repeated_task_and_a_skipped_round() {
        let mut book = RoundBook::default();
        assert_eq!(
            run(&mut book, RoundEvent::Start(n(0))),
            [RoundAction::Open(n(0)), RoundAction::Claim(n(0))]
        );
        assert_eq!(run(&mut book, RoundEvent::Start(n(0))), []);
        assert_eq!(
            run(&mut book, RoundEvent::Start(n(3))),
            [RoundAction::Open(n(3)), RoundAction::Claim(n(3))]
        );
        // Backwards, and the rounds in between.
        assert_eq!(run(&mut book, RoundEvent::Start(n(1))), []);
        assert_eq!(run(&mut book, RoundEvent::SubmissionAsked(n(1))), []);
        assert_eq!(book.claimed(), Some(n(3)));
        assert_eq!(
            book.phase(n(0)),
            Some(Phase::Open),
            "late shares are still taken"
        );
    }

    #[test]
    fn sealing_the_newest_round_wastes_no_hash() {
        let mut book = RoundBook::default();
        run(&mut book, RoundEvent::Start(n(4)));
        let mut done = book.on_event(RoundEvent::SubmissionAsked(n(4)));
        assert_eq!(
            done,
            [RoundAction::Open(n(5)), RoundAction::Close(n(4))],
            "open before close"
        );
        done = run(&mut book, RoundEvent::SubmissionAsked(n(4)));
        assert!(done.contains(&RoundAction::Seal(n(4))));
        assert_eq!(book.claimed(), Some(n(5)));
        // Koii's own start of round 5 changes nothing.
        assert_eq!(run(&mut book, RoundEvent::Start(n(5))), []);
        assert_eq!(run(&mut book, RoundEvent::SubmissionAsked(n(4))), []);
    }

    #[test]
    fn an_older_round_is_sealed_while_the_newer_one_works() {
        let mut book = RoundBook::default();
        run(&mut book, RoundEvent::Start(n(4)));
        run(&mut book, RoundEvent::Start(n(5)));
        assert_eq!(
            run(&mut book, RoundEvent::SubmissionAsked(n(4))),
            [RoundAction::Close(n(4)), RoundAction::Seal(n(4))]
        );
        assert_eq!(book.claimed(), Some(n(5)));
    }

    #[test]
    fn a_crash_between_close_and_seal_resumes() {
        let mut book = RoundBook {
            rounds: [(n(4), Phase::Closed), (n(5), Phase::Open)].into(),
        };
        assert_eq!(
            run(&mut book, RoundEvent::SubmissionAsked(n(4))),
            [RoundAction::Seal(n(4))]
        );
        // Between opening the next and closing this one.
        let mut book = RoundBook {
            rounds: [(n(4), Phase::Open), (n(5), Phase::Open)].into(),
        };
        assert_eq!(
            run(&mut book, RoundEvent::SubmissionAsked(n(4))),
            [RoundAction::Close(n(4)), RoundAction::Seal(n(4))]
        );
    }

    #[test]
    fn the_last_round_has_no_successor() {
        let mut book = RoundBook::default();
        run(&mut book, RoundEvent::Start(RoundNumber::MAX));
        assert_eq!(
            run(&mut book, RoundEvent::SubmissionAsked(RoundNumber::MAX)),
            [
                RoundAction::Close(RoundNumber::MAX),
                RoundAction::Seal(RoundNumber::MAX)
            ]
        );
    }

    proptest! {
        #[test]
        fn once_begun_there_is_always_a_round_to_claim(events in prop::collection::vec((any::<bool>(), 0..8_u64), 1..40)) {
            let mut book = RoundBook::default();
            for (start, number) in events {
                let before = book.claimed();
                let event = if start { RoundEvent::Start(n(number)) } else { RoundEvent::SubmissionAsked(n(number)) };
                run(&mut book, event);
                prop_assert_eq!(book.claimed(), book.newest(), "jobs claim the newest round");
                prop_assert!(book.claimed() >= before, "never backwards");
            }
        }
    }
}
