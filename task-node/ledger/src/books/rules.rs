//! Which step may follow which, and what each one moves.

use bitcoin::Amount;

use super::account::Account::{self, *};
use super::account::Side;
use super::entry::{Balanced, Posting};
use super::error::BooksError;
use super::event::{Step, Subject};

/// The step this one takes back, counted from the last one booked.
pub(super) const fn takes_back_last(step: &Step) -> bool {
    matches!(step, Step::Orphaned)
}

/// Whether a subject is a running total: one step, replaced by the next.
pub(super) const fn is_total(subject: &Subject) -> bool {
    matches!(
        subject,
        Subject::MintedElsewhere | Subject::Rounds | Subject::Claims | Subject::BurnedUnseen
    )
}

/// What a step moves, after those which stand; `None`: it cannot follow them.
pub(super) fn postings(
    subject: &Subject,
    booked: &[Step],
    step: &Step,
) -> Option<Result<Balanced, BooksError>> {
    let mut moves = Moves::default();
    match (subject, booked, step) {
        (Subject::Coinbase { .. }, [], Step::Found { amount, .. }) => {
            moves.add(Immature, Mined, *amount);
            moves.add(Backing, Unminted, *amount);
        }
        (Subject::Coinbase { .. }, [Step::Found { amount, .. }], Step::Orphaned) => {
            moves.add(Orphaned, Immature, *amount);
            moves.add(Unminted, Backing, *amount);
        }
        (
            Subject::TopUp { .. },
            [],
            Step::Received {
                amount, coinbase, ..
            },
        ) => {
            moves.add(if *coinbase { Immature } else { Mature }, TopUps, *amount);
        }
        (Subject::Coinbase { .. }, [Step::Found { amount, .. }], Step::Matured)
        | (
            Subject::TopUp { .. },
            [
                Step::Received {
                    amount,
                    coinbase: true,
                    ..
                },
            ],
            Step::Matured,
        ) => moves.add(Mature, Immature, *amount),
        (Subject::Mint { .. }, [], Step::Minted { amount }) => moves.add(Unminted, Vault, *amount),
        (Subject::MintedElsewhere, booked, Step::Total { total }) => {
            moves.up_to(Elsewhere, Vault, booked, *total);
        }
        (Subject::Rounds, booked, Step::Finalized { total, .. }) => {
            moves.up_to(Vault, Owed, booked, *total);
        }
        (Subject::Claims, booked, Step::Total { total }) => {
            moves.up_to(Owed, Circulating, booked, *total);
        }
        (Subject::Redemption { .. }, [], Step::Requested { amount }) => {
            moves.add(Circulating, Escrow, *amount);
        }
        (Subject::Redemption { .. }, [Step::Requested { amount }], Step::Settled) => {
            moves.add(Escrow, Burned, *amount);
        }
        (Subject::BurnedUnseen, booked, Step::Total { total }) => {
            moves.up_to(Circulating, Burned, booked, *total);
        }
        (Subject::Payout { .. }, [], Step::Intended { amount }) => {
            moves.add(Reserved, Mature, *amount);
        }
        (Subject::Payout { .. }, [Step::Intended { amount }], Step::Sent { .. }) => {
            moves.add(InFlight, Reserved, *amount);
        }
        (
            Subject::Payout { .. },
            [Step::Intended { amount }, Step::Sent { txid: sent }],
            Step::InBlock { txid, paid, .. },
        ) if sent == txid && paid <= amount => moves.add(Confirming, InFlight, *amount),
        (
            Subject::Payout { .. },
            [
                Step::Intended { amount },
                Step::Sent { .. },
                Step::InBlock { paid, .. },
            ],
            Step::Confirmed,
        ) => {
            let fee = amount.checked_sub(*paid)?;
            moves.add(Paid, Confirming, *paid);
            moves.add(NetworkFees, Confirming, fee);
        }
        (
            Subject::Spend { .. },
            [],
            Step::Spent {
                fee,
                moved,
                unexplained,
                kept,
                ..
            },
        ) => {
            moves.add(OwnFees, Mature, *fee);
            moves.add(MovedOut, Mature, *moved);
            moves.add(Unexplained, Mature, *unexplained);
            moves.add(Mature, Unexplained, *kept);
        }
        _ => return None,
    }
    Some(Balanced::new(moves.0))
}

/// Collects postings by pairs.
#[derive(Default)]
struct Moves(Vec<Posting>);

impl Moves {
    fn add(&mut self, debit: Account, credit: Account, amount: Amount) {
        let posting = |account, side| Posting {
            account,
            side,
            amount,
        };
        self.0.push(posting(debit, Side::Debit));
        self.0.push(posting(credit, Side::Credit));
    }

    /// From the total booked last to this one, which may be less.
    fn up_to(&mut self, debit: Account, credit: Account, booked: &[Step], total: Amount) {
        let last = booked.last().map_or(Amount::ZERO, |step| match step {
            Step::Total { total } | Step::Finalized { total, .. } => *total,
            _ => Amount::ZERO,
        });
        match total.checked_sub(last) {
            Some(more) => self.add(debit, credit, more),
            None => self.add(
                credit,
                debit,
                last.checked_sub(total).unwrap_or(Amount::ZERO),
            ),
        }
    }
}
