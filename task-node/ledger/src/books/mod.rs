//! The money trail: double-entry books of the pool's Bitcoin, from a coinbase to the burn of what it backed.
//!
//! An [`Event`] is booked as an [`Entry`] whose debits are its credits, on the [sheet](Sheet) of Bitcoin and on that of K2
//! each by itself. Entries are never changed. What comes undone - a block is replaced, a payout dropped, a redemption
//! refunded - is an entry that reverses one before.
//!
//! Steps are booked for a [`Subject`] one upon the other, and only the last one can be taken back. So the books never hold a
//! matured coinbase that was not found, and an orphan is reversed once.
//!
//! ```text
//! Bitcoin   mined, top-ups = immature + mature + reserved + in flight | confirming | paid, fees, moved, orphaned
//! K2        backing, elsewhere = unminted + vault + owed + circulating + escrow | burned
//! ```
//!
//! An account may stand below zero, which a check has to report: a re-organisation can take away the coin that a payout
//! spends, and books that then refuse to go on say nothing.
//!
//! Use: [`Books::toward`] turns what should be booked for a subject into events, [`Books::apply`] books one.

mod account;
mod entry;
mod error;
mod event;
mod rules;

use std::collections::{BTreeMap, HashMap};

use bitcoin::SignedAmount;

pub use account::{Account, Sheet, Side};
pub use entry::{Balanced, Entry, Posting};
pub use error::BooksError;
pub use event::{Change, Event, Key, Reason, SpendKind, Step, StepKind, Subject};

/// The balances, and what stands for each subject.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Books {
    /// Debits less credits.
    balances: BTreeMap<Account, SignedAmount>,
    subjects: HashMap<Subject, Trail>,
    last: u64,
}

/// What was booked for one subject.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Trail {
    /// Steps that stand, the last one on top.
    standing: Vec<Standing>,
    /// How often each step was booked.
    turns: BTreeMap<StepKind, u32>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Standing {
    number: u64,
    step: Step,
    postings: Balanced,
}

/// What became of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Applied {
    /// It is this entry.
    Booked(Box<Entry>),
    /// It had been booked before; nothing changed.
    Known,
}

impl Books {
    /// Books an event, once.
    ///
    /// # Errors
    /// [`BooksError`]; nothing has changed then.
    pub fn apply(&mut self, event: Event) -> Result<Applied, BooksError> {
        let key = event.key();
        let empty = Trail::default();
        let trail = self.subjects.get(&event.subject).unwrap_or(&empty);
        let turns = trail.turns.get(&key.step).copied().unwrap_or(0);
        let (reverses, postings) = match event.change {
            Change::Book(step) => {
                if event.turn < turns {
                    return trail.same(&event, &step, turns);
                }
                if event.turn > turns {
                    return Err(BooksError::OutOfOrder(key));
                }
                let booked = trail.steps();
                let postings = rules::postings(&event.subject, &booked, &step)
                    .ok_or(BooksError::OutOfOrder(key))??;
                let reverses = rules::takes_back_last(&step)
                    .then(|| trail.standing.last().map(|last| last.number))
                    .flatten();
                (reverses, postings)
            }
            Change::Reverse { kind, .. } => {
                if rules::is_total(&event.subject) {
                    return Err(BooksError::NotReversible(key));
                }
                if event.turn >= turns {
                    return Err(BooksError::OutOfOrder(key));
                }
                let last = trail.standing.last();
                match last.filter(|last| last.step.kind() == kind) {
                    Some(last) if event.turn + 1 == turns => {
                        (Some(last.number), last.postings.reversed())
                    }
                    None if event.turn + 1 == turns && trail.stands(kind) => {
                        return Err(BooksError::OutOfOrder(key));
                    }
                    _ => return Ok(Applied::Known),
                }
            }
        };
        let balances = self.after(&postings)?;
        let number = self.last.checked_add(1).ok_or(BooksError::Overflow)?;
        let next = turns.checked_add(1).ok_or(BooksError::Overflow)?;

        // From here on nothing fails: an event is booked whole or not at all.
        self.balances.extend(balances);
        self.last = number;
        let trail = self.subjects.entry(event.subject).or_default();
        match event.change {
            Change::Book(step) => {
                if rules::is_total(&event.subject) {
                    trail.standing.clear();
                }
                trail.standing.push(Standing {
                    number,
                    step,
                    postings: postings.clone(),
                });
                trail.turns.insert(key.step, next);
            }
            Change::Reverse { .. } => {
                trail.standing.pop();
            }
        }
        Ok(Applied::Booked(Box::new(Entry {
            number,
            event,
            reverses,
            postings,
        })))
    }

    /// The events that lead from what stands for a subject to what should: first what takes back, then what is booked. What
    /// is common to both is left alone. `why` says why a step is taken back.
    #[must_use]
    pub fn toward(
        &self,
        subject: Subject,
        wanted: &[Step],
        why: impl Fn(&Step) -> Reason,
    ) -> Turnabout {
        let empty = Trail::default();
        let trail = self.subjects.get(&subject).unwrap_or(&empty);
        let both = trail.standing.iter().zip(wanted);
        let same = both.take_while(|(standing, wanted)| standing.step == **wanted);
        let mut common = same.count();
        // A running total is not taken back: the next one takes its place.
        let mut kept = common;
        if rules::is_total(&subject) {
            kept = trail.standing.len();
            common = if common == kept {
                wanted.len().min(kept)
            } else {
                0
            };
        }
        let back = trail.standing.iter().skip(kept).rev().map(|standing| {
            let kind = standing.step.kind();
            let turn = trail.turns.get(&kind).copied().unwrap_or(0);
            let change = Change::Reverse {
                kind,
                why: why(&standing.step),
            };
            let turn = turn.saturating_sub(1);
            (
                standing.number,
                Event {
                    subject,
                    change,
                    turn,
                },
            )
        });
        let forth = wanted.iter().skip(common).map(|step| Event {
            subject,
            change: Change::Book(*step),
            turn: trail.turns.get(&step.kind()).copied().unwrap_or(0),
        });
        Turnabout {
            back: back.collect(),
            forth: forth.collect(),
        }
    }

    /// What is in an account, counted on the side on which it grows.
    #[must_use]
    pub fn balance(&self, account: Account) -> SignedAmount {
        let debit = self.balances.get(&account).copied().unwrap_or_default();
        match account.normal() {
            Side::Debit => debit,
            Side::Credit => SignedAmount::from_sat(debit.to_sat().saturating_neg()),
        }
    }

    /// What is in several accounts together.
    #[must_use]
    pub fn sum(&self, accounts: &[Account]) -> SignedAmount {
        let sats = accounts
            .iter()
            .map(|account| self.balance(*account).to_sat());
        SignedAmount::from_sat(sats.fold(0, i64::saturating_add))
    }

    /// The steps that stand for a subject, in their order.
    pub fn standing(&self, subject: &Subject) -> impl Iterator<Item = Step> + use<'_> {
        let standing = self.subjects.get(subject).map(|trail| &trail.standing);
        standing.into_iter().flatten().map(|standing| standing.step)
    }

    /// All subjects for which something stands, in their order.
    #[must_use]
    pub fn subjects(&self) -> Vec<Subject> {
        let mut subjects: Vec<Subject> = self
            .subjects
            .iter()
            .filter(|(_, trail)| !trail.standing.is_empty())
            .map(|(subject, _)| *subject)
            .collect();
        subjects.sort_unstable();
        subjects
    }

    /// How many entries there are.
    #[must_use]
    pub const fn entries(&self) -> u64 {
        self.last
    }

    /// The balances that these postings change, as they will be.
    fn after(&self, postings: &Balanced) -> Result<BTreeMap<Account, SignedAmount>, BooksError> {
        let mut after = BTreeMap::new();
        for posting in postings.postings() {
            let before = after
                .get(&posting.account)
                .or_else(|| self.balances.get(&posting.account))
                .copied()
                .unwrap_or(SignedAmount::ZERO);
            let amount = posting
                .amount
                .to_signed()
                .map_err(|_| BooksError::Overflow)?;
            let balance = match posting.side {
                Side::Debit => before.checked_add(amount),
                Side::Credit => before.checked_sub(amount),
            };
            after.insert(posting.account, balance.ok_or(BooksError::Overflow)?);
        }
        Ok(after)
    }
}

/// See [`Books::toward`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Turnabout {
    /// What takes back, the last entry first, each with the number of the entry it takes back.
    pub back: Vec<(u64, Event)>,
    /// What is booked, in its order.
    pub forth: Vec<Event>,
}

impl Trail {
    fn steps(&self) -> Vec<Step> {
        self.standing.iter().map(|standing| standing.step).collect()
    }

    fn stands(&self, kind: StepKind) -> bool {
        self.standing
            .iter()
            .any(|standing| standing.step.kind() == kind)
    }

    /// Whether an event with a turn that has passed is the one that was booked. Only the last turn can still be compared.
    fn same(&self, event: &Event, step: &Step, turns: u32) -> Result<Applied, BooksError> {
        let standing = self
            .standing
            .iter()
            .find(|standing| standing.step.kind() == step.kind());
        match standing {
            Some(standing) if event.turn + 1 == turns && standing.step != *step => {
                Err(BooksError::Contradiction(event.key()))
            }
            _ => Ok(Applied::Known),
        }
    }
}
