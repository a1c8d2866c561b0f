//! What went out: payouts from their intent on, sweeps, cancels, and what nothing explains.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bitcoin::{Amount, BlockHash, OutPoint, Txid};
use ledger::books::{Books, SpendKind, Step, Subject};

use super::outflow::{Outflow, Part, own_inputs, take_apart};
use super::{FollowError, Wanted, k2};
use crate::books::facts::{Facts, Seen};
use crate::view::confirmations;

/// A transaction that spends the wallet's coins.
struct Flow<'a> {
    txid: Txid,
    seen: &'a Seen,
    outflow: Outflow,
}

/// All of them: in blocks by height, then those that wait.
pub(super) struct Flows<'a> {
    flows: Vec<Flow<'a>>,
    by_txid: HashMap<Txid, usize>,
    /// Which of them pays a redemption in a block.
    paid: BTreeMap<u64, usize>,
}

/// A coin that came in by a transaction which spends the wallet's own.
pub(super) struct Gift {
    pub(super) outpoint: OutPoint,
    pub(super) height: u32,
    pub(super) block: BlockHash,
    pub(super) amount: Amount,
}

impl<'a> Flows<'a> {
    /// Takes the wallet's transactions apart.
    pub(super) fn read(books: &Books, facts: &Facts<'a>) -> Result<Self, FollowError> {
        let mut ordered: Vec<(&Txid, &Seen)> = facts.transactions.iter().collect();
        ordered.sort_by_key(|(txid, seen)| {
            (seen.block.map_or(u32::MAX, |(height, _)| height), **txid)
        });
        let mut read = Self {
            flows: Vec::new(),
            by_txid: HashMap::new(),
            paid: BTreeMap::new(),
        };
        for (txid, seen) in ordered {
            let txid = *txid;
            let Some(inputs) = own_inputs(facts, &seen.transaction)? else {
                continue;
            };
            let judged = books.standing(&Subject::Spend { txid }).next().is_some();
            let outflow = take_apart(
                facts,
                txid,
                &seen.transaction,
                inputs,
                |id| k2::amount(books, facts, id),
                // What was found to be no payment does not become one because K2 closes the account that says so.
                |id| read.paid.contains_key(&id) || (judged && !was_paid_by(books, id, txid)),
            )?;
            let place = read.flows.len();
            if seen.block.is_some() {
                read.paid
                    .extend(outflow.parts.keys().map(|id| (*id, place)));
            }
            read.by_txid.insert(txid, place);
            read.flows.push(Flow {
                txid,
                seen,
                outflow,
            });
        }
        Ok(read)
    }

    /// Whether this transaction spends coins of the wallet.
    pub(super) fn spends(&self, txid: &Txid) -> bool {
        self.by_txid.contains_key(txid)
    }

    /// Whether a block pays a redemption.
    pub(super) fn has_paid(&self, id: u64) -> bool {
        self.paid.contains_key(&id)
    }

    /// What such transactions, in blocks, brought in.
    pub(super) fn gifts(&self) -> impl Iterator<Item = Gift> {
        self.flows.iter().flat_map(|flow| {
            let gifts = flow.seen.block.map(|(height, block)| {
                let gifts = flow.outflow.gifts.iter();
                gifts.map(move |(outpoint, amount)| Gift {
                    outpoint: *outpoint,
                    height,
                    block,
                    amount: *amount,
                })
            });
            gifts.into_iter().flatten()
        })
    }
}

fn was_paid_by(books: &Books, id: u64, by: Txid) -> bool {
    books
        .standing(&Subject::Payout { id })
        .any(|step| matches!(step, Step::InBlock { txid, .. } if txid == by))
}

/// Payouts, and what transactions take besides them.
pub(super) fn went_out(books: &Books, facts: &Facts<'_>, flows: &Flows<'_>, wanted: &mut Wanted) {
    let mut payouts: BTreeMap<u64, Vec<Step>> = BTreeMap::new();
    for flow in &flows.flows {
        for (id, part) in &flow.outflow.parts {
            if flow.seen.block.is_some() || !flows.has_paid(*id) {
                payouts.insert(*id, steps(facts, flow, part));
            }
        }
    }
    for (id, amount) in planned(books, facts, flows) {
        payouts
            .entry(id)
            .or_insert_with(|| vec![Step::Intended { amount }]);
    }
    for (id, steps) in payouts {
        wanted.add(Subject::Payout { id }, steps);
    }
    for flow in &flows.flows {
        let (Some(kind), Some(block)) = (flow.outflow.rest(), flow.seen.block) else {
            continue;
        };
        let subject = Subject::Spend { txid: flow.txid };
        let step = spent(kind, block, &flow.outflow);
        let booked = books.standing(&subject).next();
        // Which scripts K2 honours changes; where a sweep went to does not.
        let step = booked
            .filter(|booked| is_same(booked, &step))
            .unwrap_or(step);
        wanted.add(subject, vec![step]);
    }
}

/// How far a payout has come.
fn steps(facts: &Facts<'_>, flow: &Flow<'_>, part: &Part) -> Vec<Step> {
    let txid = flow.txid;
    let Part { amount, paid } = *part;
    let mut steps = vec![Step::Intended { amount }, Step::Sent { txid }];
    if let Some((height, block)) = flow.seen.block {
        steps.push(Step::InBlock {
            txid,
            block,
            height,
            paid,
        });
        if confirmations(facts.bitcoin.tip, height) >= facts.confirmations.max(1) {
            steps.push(Step::Confirmed);
        }
    }
    steps
}

/// What payments that nobody has seen yet may still take, by redemption.
fn planned(books: &Books, facts: &Facts<'_>, flows: &Flows<'_>) -> BTreeMap<u64, Amount> {
    // The node's too: a payment that was dropped, or replaced, may come back for as long as it can confirm.
    let alive = facts
        .planned
        .iter()
        .chain(&facts.bitcoin.payments)
        .filter(|payment| !flows.spends(&payment.txid) && !payment.is_dead(facts.bitcoin));
    let ids: BTreeSet<u64> = alive.flat_map(|payment| &payment.ids).copied().collect();
    ids.into_iter()
        .filter_map(|id| Some((id, k2::amount(books, facts, id)?)))
        .collect()
}

fn spent(kind: SpendKind, (height, block): (u32, BlockHash), outflow: &Outflow) -> Step {
    Step::Spent {
        kind,
        block,
        height,
        fee: outflow.fee,
        moved: outflow.moved,
        unexplained: outflow.unexplained,
        kept: outflow.kept,
    }
}

/// Whether both say the same but for what was moved to a script that is registered, or unexplained because it is not.
fn is_same(booked: &Step, now: &Step) -> bool {
    let figures = |step: &Step| match *step {
        Step::Spent {
            block,
            height,
            fee,
            moved,
            unexplained,
            kept,
            ..
        } => Some((block, height, fee, kept, moved.checked_add(unexplained))),
        _ => None,
    };
    figures(booked) == figures(now)
}
