//! Which events lead from the books to what the facts say.
//!
//! For each subject the facts say which steps should stand; what stands and should not is reversed, what is missing is
//! booked. So it does not matter which events were missed, in which order they happened, or whether the books are new: two
//! books that were held against the same facts have the same balances. Two things no node remembers, and only books do:
//! blocks that were orphaned, and what became of single accounts that K2 has closed.

mod coins;
mod k2;
mod outflow;
mod payouts;

use std::collections::{BTreeSet, HashSet};

use bitcoin::{Amount, OutPoint, Txid};
use ledger::books::{Books, Event, Reason, Step, Subject};

use super::facts::Facts;
use payouts::Flows;

/// Why the books cannot be held against what is given.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FollowError {
    /// A coin whose transaction is not there.
    #[error(
        "the wallet knows the coin {0} but not its transaction: sync it again from its birthday"
    )]
    Incomplete(OutPoint),
    /// Outputs above inputs.
    #[error(
        "transaction {0} pays more than it spends: is another chain's data mixed into the wallet?"
    )]
    Impossible(Txid),
    /// More than 64 bits of sats.
    #[error("the wallet's transactions add up to more sats than there can ever be")]
    Overflow,
    /// K2's sums have shrunk.
    #[error(
        "{what} on K2 is {now}, and was {before}: this is another program, or a cluster that was set back. Give the right \
         `k2.program`, or keep other books for this one"
    )]
    Backwards {
        /// Which sum.
        what: &'static str,
        /// As it is booked.
        before: Amount,
        /// As it is told.
        now: Amount,
    },
}

/// The steps that should stand, in the order in which they are booked.
#[derive(Default)]
struct Wanted {
    steps: Vec<(Subject, Vec<Step>)>,
    named: HashSet<Subject>,
}

impl Wanted {
    fn add(&mut self, subject: Subject, steps: Vec<Step>) {
        self.named.insert(subject);
        self.steps.push((subject, steps));
    }
}

/// The events that are missing: reversals first, that of the youngest entry first.
///
/// # Errors
/// [`FollowError`]; the books can then say nothing about these facts.
pub fn follow(books: &Books, facts: &Facts<'_>) -> Result<Vec<Event>, FollowError> {
    let standing: BTreeSet<Subject> = books.subjects().into_iter().collect();
    let flows = Flows::read(books, facts)?;
    let mut wanted = Wanted::default();
    coins::came_in(facts, &flows, &mut wanted);
    k2::minted(books, facts, &standing, &mut wanted)?;
    k2::redeemed(books, facts, &flows, &standing, &mut wanted)?;
    payouts::went_out(books, facts, &flows, &mut wanted);
    for subject in standing {
        if !wanted.named.contains(&subject) {
            wanted.add(subject, without_facts(books, &subject));
        }
    }

    let mut back = Vec::new();
    let mut forth = Vec::new();
    for (subject, steps) in wanted.steps {
        let turnabout = books.toward(subject, &steps, |step| reason(step, &steps));
        back.extend(turnabout.back);
        forth.extend(turnabout.forth);
    }
    back.sort_unstable_by_key(|(number, _)| std::cmp::Reverse(*number));
    let back = back.into_iter().map(|(_, event)| event);
    Ok(back.chain(forth).collect())
}

/// What stands for a subject of which the facts say nothing any more.
fn without_facts(books: &Books, subject: &Subject) -> Vec<Step> {
    let standing: Vec<Step> = books.standing(subject).collect();
    match (subject, standing.first()) {
        (Subject::Coinbase { .. }, Some(found)) => vec![*found, Step::Orphaned],
        // All of these come out of the transactions: no transaction, no steps.
        (Subject::TopUp { .. } | Subject::Spend { .. } | Subject::Payout { .. }, _) => vec![],
        // What K2 has said stands.
        _ => standing,
    }
}

/// Why a step that stood is taken back.
fn reason(step: &Step, wanted: &[Step]) -> Reason {
    let same_kind = |other: &Step| other.kind() == step.kind();
    match step {
        Step::Found { .. }
        | Step::Matured
        | Step::Orphaned
        | Step::Received { .. }
        | Step::InBlock { .. }
        | Step::Confirmed
        | Step::Spent { .. } => Reason::Reorganised,
        Step::Sent { .. } if wanted.iter().any(same_kind) => Reason::Replaced,
        Step::Sent { .. } => Reason::Dropped,
        Step::Intended { .. } if wanted.is_empty() => Reason::Dead,
        Step::Requested { .. } if wanted.is_empty() => Reason::Refunded,
        _ => Reason::Corrected,
    }
}
