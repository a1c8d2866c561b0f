//! What K2 says: mints, rounds, claims, redemptions.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::{Amount, OutPoint};
use k2_interface::state::RedemptionState;
use ledger::books::{Books, Step, Subject};

use super::payouts::Flows;
use super::{FollowError, Wanted};
use crate::books::facts::Facts;

/// What a redemption takes off the reserves: as K2 says, or as it said before the account was closed.
pub(super) fn amount(books: &Books, facts: &Facts<'_>, id: u64) -> Option<Amount> {
    if let Some(redemption) = facts.k2.redemptions.get(&id) {
        return Some(redemption.amount);
    }
    let requested = books.standing(&Subject::Redemption { id });
    let intended = books.standing(&Subject::Payout { id });
    requested.chain(intended).find_map(|step| match step {
        Step::Requested { amount } | Step::Intended { amount } => Some(amount),
        _ => None,
    })
}

/// Mints, finalized rounds and claims.
pub(super) fn minted(
    books: &Books,
    facts: &Facts<'_>,
    standing: &BTreeSet<Subject>,
    wanted: &mut Wanted,
) -> Result<(), FollowError> {
    let sums = facts.sums;
    let coinbases: BTreeSet<OutPoint> = wanted
        .steps
        .iter()
        .filter_map(|(subject, _)| match subject {
            Subject::Coinbase { outpoint, .. } => Some(*outpoint),
            _ => None,
        })
        .collect();
    // A record can be closed after a year; that the coinbase was minted stands.
    let mut mints: BTreeMap<OutPoint, Amount> = BTreeMap::new();
    for subject in standing {
        if let Subject::Mint { outpoint } = subject
            && let Some(Step::Minted { amount }) = books.standing(subject).next()
        {
            mints.insert(*outpoint, amount);
        }
    }
    mints.extend(&sums.minted);
    let mut own = Amount::ZERO;
    for (outpoint, amount) in mints {
        let subject = Subject::Mint { outpoint };
        if coinbases.contains(&outpoint) {
            own = own.checked_add(amount).ok_or(FollowError::Overflow)?;
            wanted.add(subject, vec![Step::Minted { amount }]);
        } else {
            wanted.add(subject, vec![]);
        }
    }
    let elsewhere = sums.proved_in.checked_sub(own).unwrap_or(Amount::ZERO);
    total(books, Subject::MintedElsewhere, elsewhere, wanted);

    if let Some(round) = sums.round {
        not_less(
            books,
            Subject::Rounds,
            "what rounds have promised",
            sums.earned,
        )?;
        let total = sums.earned;
        wanted.add(Subject::Rounds, vec![Step::Finalized { round, total }]);
    }
    not_less(books, Subject::Claims, "what was claimed", sums.claimed)?;
    total(books, Subject::Claims, sums.claimed, wanted);
    Ok(())
}

/// Redemptions, and burns that nobody saw.
pub(super) fn redeemed(
    books: &Books,
    facts: &Facts<'_>,
    flows: &Flows<'_>,
    standing: &BTreeSet<Subject>,
    wanted: &mut Wanted,
) -> Result<(), FollowError> {
    let mut burned = Amount::ZERO;
    // Open in the books, and gone from K2: settled or refunded, and closed since.
    let mut gone = Vec::new();
    for subject in standing {
        let Subject::Redemption { id } = subject else {
            continue;
        };
        if facts.k2.redemptions.contains_key(id) {
            continue;
        }
        match books.standing(subject).collect::<Vec<_>>().as_slice() {
            [Step::Requested { amount }] => gone.push((*id, *amount)),
            [Step::Requested { amount }, ..] => {
                burned = burned.checked_add(*amount).ok_or(FollowError::Overflow)?;
            }
            _ => {}
        }
    }
    for (id, redemption) in &facts.k2.redemptions {
        let amount = redemption.amount;
        let requested = Step::Requested { amount };
        let steps = match redemption.state {
            RedemptionState::Open => vec![requested],
            RedemptionState::Settled => {
                burned = burned.checked_add(amount).ok_or(FollowError::Overflow)?;
                vec![requested, Step::Settled]
            }
            RedemptionState::Refunded => vec![],
        };
        wanted.add(Subject::Redemption { id: *id }, steps);
    }
    // K2's sum says how much of it was burned; those that were paid come first.
    gone.sort_by_key(|(id, _)| (!flows.has_paid(*id), *id));
    let mut unseen = facts
        .sums
        .burned
        .checked_sub(burned)
        .unwrap_or(Amount::ZERO);
    for (id, amount) in gone {
        let settled = unseen.checked_sub(amount);
        unseen = settled.unwrap_or(unseen);
        let steps = match settled {
            Some(_) => vec![Step::Requested { amount }, Step::Settled],
            None => vec![],
        };
        wanted.add(Subject::Redemption { id }, steps);
    }
    total(books, Subject::BurnedUnseen, unseen, wanted);
    Ok(())
}

/// A running total; one of nothing is not begun.
fn total(books: &Books, subject: Subject, total: Amount, wanted: &mut Wanted) {
    if total != Amount::ZERO || books.standing(&subject).next().is_some() {
        wanted.add(subject, vec![Step::Total { total }]);
    }
}

/// K2's sums only grow, and what is finalized stays.
fn not_less(
    books: &Books,
    subject: Subject,
    what: &'static str,
    now: Amount,
) -> Result<(), FollowError> {
    let before = books.standing(&subject).find_map(|step| match step {
        Step::Total { total } | Step::Finalized { total, .. } => Some(total),
        _ => None,
    });
    match before.filter(|before| now < *before) {
        Some(before) => Err(FollowError::Backwards { what, before, now }),
        None => Ok(()),
    }
}
