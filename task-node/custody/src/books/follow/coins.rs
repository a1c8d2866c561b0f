//! What came in: coinbases, and coins from elsewhere.

use std::collections::BTreeMap;

use bitcoin::{Amount, OutPoint};
use ledger::books::{Step, Subject};

use super::Wanted;
use super::payouts::Flows;
use crate::books::facts::Facts;
use crate::view::{COINBASE_MATURITY, confirmations};

/// The coins that transactions in blocks brought in and that are not change.
pub(super) fn came_in(facts: &Facts<'_>, flows: &Flows<'_>, wanted: &mut Wanted) {
    // By height, as they came.
    let mut coins: BTreeMap<(u32, Subject), Vec<Step>> = BTreeMap::new();
    for (txid, seen) in facts.transactions {
        let Some((height, block)) = seen.block else {
            continue;
        };
        if flows.spends(txid) {
            continue;
        }
        let coinbase = seen.transaction.is_coinbase();
        let matured = coinbase && confirmations(facts.bitcoin.tip, height) >= COINBASE_MATURITY;
        for (vout, output) in (0..).zip(&seen.transaction.output) {
            let outpoint = OutPoint::new(*txid, vout);
            let amount = output.value;
            if !facts.is_own(&outpoint) || amount == Amount::ZERO {
                continue;
            }
            let (subject, first) =
                if coinbase && output.script_pubkey.as_script() == facts.coinbase_script {
                    let found = Step::Found { height, amount };
                    (Subject::Coinbase { outpoint, block }, found)
                } else {
                    let received = Step::Received {
                        height,
                        amount,
                        coinbase,
                    };
                    (Subject::TopUp { outpoint, block }, received)
                };
            let matured = matured.then_some(Step::Matured);
            let steps = [Some(first), matured].into_iter().flatten().collect();
            coins.insert((height, subject), steps);
        }
    }
    for gift in flows.gifts() {
        let subject = Subject::TopUp {
            outpoint: gift.outpoint,
            block: gift.block,
        };
        let received = Step::Received {
            height: gift.height,
            amount: gift.amount,
            coinbase: false,
        };
        coins.insert((gift.height, subject), vec![received]);
    }
    for ((_, subject), steps) in coins {
        wanted.add(subject, steps);
    }
}
