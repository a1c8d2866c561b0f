//! What the wallet knows, in the forms that rules and people take.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bdk_wallet::chain::{CanonicalizationParams, ChainPosition, ConfirmationBlockTime};
use bdk_wallet::{KeychainKind, Wallet};
use bitcoin::{Amount, OutPoint, Transaction, Txid};

use crate::books::{Seen, Transactions};
use crate::view::{BitcoinView, Coin, Payment, Spent, named};

/// What one keychain holds. Nothing is counted twice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Balance {
    /// Coinbases less than 100 blocks deep.
    pub immature: Amount,
    /// Confirmed coins that can be spent now.
    pub mature: Amount,
    /// Confirmed coins that an unconfirmed transaction spends.
    pub leaving: Amount,
    /// Outputs of unconfirmed transactions.
    pub arriving: Amount,
}

/// What the wallet holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Balances {
    /// Block rewards.
    pub coinbases: Balance,
    /// Change.
    pub change: Balance,
}

/// What a transaction is to the wallet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// A block reward.
    Coinbase,
    /// Pays redemptions.
    Payment,
    /// Moves coins within the wallet: a cancel.
    Internal,
    /// Spends coins to somewhere else, and names no redemption: a sweep.
    Sweep,
    /// Somebody else's.
    Deposit,
}

/// One transaction that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryEntry {
    /// Which.
    pub txid: Txid,
    /// What it is.
    pub kind: Kind,
    /// Height of its block; none: unconfirmed.
    pub height: Option<u32>,
    /// Its block's time, in seconds since 1970.
    pub time: Option<u64>,
    /// The wallet's coins it spends.
    pub spent: Amount,
    /// Its outputs to the wallet.
    pub received: Amount,
    /// Its fee, where the wallet knows all of its inputs.
    pub fee: Option<Amount>,
    /// The redemptions it names.
    pub ids: BTreeSet<u64>,
}

/// One coin that no confirmed transaction spends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Utxo {
    /// The coin.
    pub coin: Coin,
    /// Whether the next block may spend it.
    pub spendable: bool,
    /// The unconfirmed transaction that spends it.
    pub spent_by: Option<Txid>,
}

/// A transaction that counts: in the chain, or unconfirmed and in conflict with nothing that counts more.
struct Canonical {
    transaction: Arc<Transaction>,
    block: Option<ConfirmationBlockTime>,
}

impl Canonical {
    fn height(&self) -> Option<u32> {
        self.block.map(|block| block.block_id.height)
    }
}

fn canonical(wallet: &Wallet) -> BTreeMap<Txid, Canonical> {
    let tip = wallet.local_chain().tip().block_id();
    let all = wallet.tx_graph().list_canonical_txs(
        wallet.local_chain(),
        tip,
        CanonicalizationParams::default(),
    );
    all.map(|tx| {
        let block = match tx.chain_position {
            ChainPosition::Confirmed { anchor, .. } => Some(anchor),
            ChainPosition::Unconfirmed { .. } => None,
        };
        let transaction = tx.tx_node.tx;
        (tx.tx_node.txid, Canonical { transaction, block })
    })
    .collect()
}

pub(crate) fn view(wallet: &Wallet) -> BitcoinView {
    view_of(wallet, &canonical(wallet))
}

fn view_of(wallet: &Wallet, canonical: &BTreeMap<Txid, Canonical>) -> BitcoinView {
    let index = wallet.spk_index();
    let own: BTreeSet<OutPoint> = index.outpoints().iter().map(|(_, own)| *own).collect();

    let mut spent = BTreeMap::new();
    for (&by, tx) in canonical {
        let Some(height) = tx.height() else { continue };
        for input in &tx.transaction.input {
            if own.contains(&input.previous_output) {
                spent.insert(input.previous_output, Spent { by, height });
            }
        }
    }

    let mut coins = BTreeMap::new();
    let mut funding = BTreeMap::new();
    let mut used_change = 0;
    for &((keychain, index), outpoint) in index.outpoints() {
        let Some(tx) = canonical.get(&outpoint.txid) else {
            continue;
        };
        if keychain == KeychainKind::Internal {
            used_change = used_change.max(index.saturating_add(1));
        }
        let vout = usize::try_from(outpoint.vout).unwrap_or(usize::MAX);
        let (Some(txout), false) = (
            tx.transaction.output.get(vout),
            spent.contains_key(&outpoint),
        ) else {
            continue;
        };
        let coin = Coin {
            outpoint,
            txout: txout.clone(),
            keychain,
            index,
            height: tx.height(),
            is_coinbase: tx.transaction.is_coinbase(),
        };
        coins.insert(outpoint, coin);
        funding
            .entry(outpoint.txid)
            .or_insert_with(|| Transaction::clone(&tx.transaction));
    }

    // All of them, not only those that count: one that was replaced or dropped may still be in somebody's mempool.
    let mut payments: Vec<Payment> = wallet
        .tx_graph()
        .full_txs()
        .filter(|node| {
            let mut inputs = node.tx.input.iter();
            inputs.any(|input| own.contains(&input.previous_output))
        })
        .filter_map(|node| {
            let height = canonical.get(&node.txid).and_then(Canonical::height);
            Payment::of(&node.tx, height)
        })
        .collect();
    payments.sort_by_key(|payment| payment.txid);

    BitcoinView {
        tip: wallet.local_chain().tip().height(),
        coins,
        spent,
        funding,
        payments,
        used_change,
    }
}

/// Every transaction that counts, whole.
pub(crate) fn transactions(wallet: &Wallet) -> Transactions {
    canonical(wallet)
        .into_iter()
        .map(|(txid, tx)| {
            let block = tx.block.map(|block| block.block_id);
            let seen = Seen {
                transaction: Transaction::clone(&tx.transaction),
                block: block.map(|block| (block.height, block.hash)),
            };
            (txid, seen)
        })
        .collect()
}

pub(super) fn utxos(wallet: &Wallet) -> Vec<Utxo> {
    let canonical = canonical(wallet);
    let view = view_of(wallet, &canonical);
    let leaving: BTreeMap<OutPoint, Txid> = canonical
        .iter()
        .filter(|(_, tx)| tx.block.is_none())
        .flat_map(|(&txid, tx)| {
            let inputs = tx.transaction.input.iter();
            inputs.map(move |input| (input.previous_output, txid))
        })
        .collect();
    view.coins
        .into_values()
        .map(|coin| {
            let spent_by = leaving.get(&coin.outpoint).copied();
            Utxo {
                spendable: spent_by.is_none() && coin.is_spendable(view.tip),
                spent_by,
                coin,
            }
        })
        .collect()
}

pub(super) fn balances(wallet: &Wallet) -> Balances {
    let mut balances = Balances::default();
    for utxo in utxos(wallet) {
        let balance = match utxo.coin.keychain {
            KeychainKind::External => &mut balances.coinbases,
            KeychainKind::Internal => &mut balances.change,
        };
        let part = match (utxo.spent_by, utxo.coin.height) {
            (Some(_), Some(_)) => &mut balance.leaving,
            // Spent before it was confirmed: neither here yet nor here any more.
            (Some(_), None) => continue,
            (None, None) => &mut balance.arriving,
            (None, Some(_)) if utxo.spendable => &mut balance.mature,
            (None, Some(_)) => &mut balance.immature,
        };
        // All bitcoin there is fits.
        *part = part
            .checked_add(utxo.coin.txout.value)
            .unwrap_or(Amount::MAX);
    }
    balances
}

pub(super) fn history(wallet: &Wallet) -> Vec<HistoryEntry> {
    let mut entries: Vec<HistoryEntry> = canonical(wallet)
        .into_iter()
        .map(|(txid, tx)| entry(wallet, txid, &tx))
        .collect();
    entries.sort_by_key(|entry| (entry.height.unwrap_or(u32::MAX), entry.txid));
    entries
}

fn entry(wallet: &Wallet, txid: Txid, tx: &Canonical) -> HistoryEntry {
    let transaction = &tx.transaction;
    let (spent, received) = wallet.sent_and_received(transaction);
    let ids = named(transaction);
    let own = |script| wallet.is_mine(script);
    let kind = if transaction.is_coinbase() {
        Kind::Coinbase
    } else if spent == Amount::ZERO {
        Kind::Deposit
    } else if !ids.is_empty() {
        Kind::Payment
    } else if transaction
        .output
        .iter()
        .all(|output| own(output.script_pubkey.clone()))
    {
        Kind::Internal
    } else {
        Kind::Sweep
    };
    HistoryEntry {
        txid,
        kind,
        height: tx.height(),
        time: tx.block.map(|block| block.confirmation_time),
        spent,
        received,
        fee: match kind {
            Kind::Coinbase => None,
            _ => wallet.calculate_fee(transaction).ok(),
        },
        ids,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::view::BURIED;
    use crate::watch::fixture::{Chain, btc, payment, setup};

    #[test]
    fn a_coinbase_is_immature_until_it_is_100_deep() {
        let mut chain = Chain::new(&setup());
        chain.mine_own(1);
        chain.mine(98);
        let immature = balances(&chain.wallet).coinbases;
        assert_eq!((immature.immature, immature.mature), (btc(50), btc(0)));
        let view = view(&chain.wallet);
        assert_eq!(view.tip, 99);
        let coin = view.coins.values().next().unwrap();
        assert_eq!((coin.height, coin.is_coinbase), (Some(1), true));
        assert!(!coin.is_spendable(view.tip));
        assert!(coin.is_spendable(view.tip + 1));

        chain.mine(1);
        let mature = balances(&chain.wallet).coinbases;
        assert_eq!((mature.immature, mature.mature), (btc(0), btc(50)));
    }

    #[test]
    fn a_coin_stays_a_coin_until_a_confirmed_transaction_spends_it() {
        let mut chain = Chain::new(&setup());
        let coinbase = chain.mine_own(1);
        chain.mine(100);
        let coin = OutPoint::new(coinbase.compute_txid(), 0);
        let paid = payment(&setup(), &[coin], btc(50), &[7, 9]);
        chain.see(&paid, 1000);

        let pending = view(&chain.wallet);
        assert!(pending.coins.contains_key(&coin));
        assert!(pending.spent.is_empty());
        let [seen] = pending.payments.as_slice() else {
            panic!("{:?}", pending.payments)
        };
        assert_eq!((seen.txid, seen.height), (paid.compute_txid(), None));
        assert_eq!(seen.ids, BTreeSet::from([7, 9]));
        assert_eq!(seen.inputs, BTreeSet::from([coin]));
        let change = OutPoint::new(paid.compute_txid(), 2);
        assert_eq!(pending.coins[&change].height, None);
        assert!(!pending.coins[&change].is_spendable(pending.tip));
        assert_eq!(balances(&chain.wallet).coinbases.leaving, btc(50));
        let arriving = balances(&chain.wallet).change.arriving;
        assert_eq!(arriving, paid.output[2].value);
        assert_eq!(
            utxos(&chain.wallet)
                .iter()
                .filter_map(|utxo| utxo.spent_by)
                .collect::<Vec<_>>(),
            [paid.compute_txid()]
        );

        chain.mine_with(std::slice::from_ref(&paid));
        let done = view(&chain.wallet);
        assert!(!done.coins.contains_key(&coin));
        let by = paid.compute_txid();
        assert_eq!(done.spent[&coin], Spent { by, height: 102 });
        assert_eq!(done.payments[0].height, Some(102));
        assert_eq!(done.coins[&change].height, Some(102));
        assert_eq!(done.funding.keys().collect::<Vec<_>>(), [&by]);
        assert_eq!(
            done.funding[&by].output[2], done.coins[&change].txout,
            "signers are shown the whole transaction"
        );
    }

    #[test]
    fn a_replaced_payment_is_remembered_until_and_after_it_is_dead() {
        let mut chain = Chain::new(&setup());
        let coinbase = chain.mine_own(1);
        chain.mine(100);
        let coin = OutPoint::new(coinbase.compute_txid(), 0);
        let first = payment(&setup(), &[coin], btc(50), &[1]);
        let second = payment(&setup(), &[coin], btc(50), &[1, 2]);
        chain.see(&first, 1000);
        chain.see(&second, 1001);
        assert_eq!(view(&chain.wallet).payments.len(), 2);
        assert_eq!(history(&chain.wallet).len(), 2, "only one counts");

        chain.mine_with(&[second]);
        chain.mine(BURIED - 2);
        let dead = |chain: &Chain| {
            let view = view(&chain.wallet);
            let payments = view.payments.iter();
            let txid = first.compute_txid();
            let found = payments
                .clone()
                .find(|payment| payment.txid == txid)
                .unwrap();
            found.is_dead(&view)
        };
        assert!(!dead(&chain));
        chain.mine(1);
        assert!(dead(&chain));
    }

    #[test]
    fn a_dropped_payment_frees_its_coin_and_is_not_forgotten() {
        let mut chain = Chain::new(&setup());
        let coinbase = chain.mine_own(1);
        chain.mine(100);
        let coin = OutPoint::new(coinbase.compute_txid(), 0);
        let paid = payment(&setup(), &[coin], btc(50), &[1]);
        chain.see(&paid, 1000);
        chain
            .wallet
            .apply_evicted_txs([(paid.compute_txid(), 1001)]);
        let view = view(&chain.wallet);
        assert_eq!(view.payments.len(), 1);
        assert_eq!(
            view.coins.keys().collect::<Vec<_>>(),
            [&coin],
            "its change is no coin"
        );
        assert_eq!(balances(&chain.wallet).coinbases.mature, btc(50));
    }

    #[test]
    fn an_orphaned_coinbase_is_no_coin() {
        let mut chain = Chain::new(&setup());
        chain.mine(3);
        chain.mine_own(1);
        assert_eq!(view(&chain.wallet).coins.len(), 1);
        chain.reorganise(1, 2);
        let view = view(&chain.wallet);
        assert_eq!(view.tip, 5);
        assert_eq!(view.coins, BTreeMap::new());
        assert_eq!(view.funding, BTreeMap::new());
        assert_eq!(history(&chain.wallet), []);
    }

    #[test]
    fn somebody_elses_transaction_that_names_redemptions_is_no_payment() {
        let mut chain = Chain::new(&setup());
        let foreign = OutPoint::new(Txid::from_raw_hash(bitcoin::hashes::Hash::hash(b"x")), 0);
        let mut deposit = payment(&setup(), &[foreign], btc(1), &[1]);
        deposit.output[0].script_pubkey = setup().coinbase_script().unwrap();
        chain.mine_with(&[deposit]);
        let view = view(&chain.wallet);
        assert_eq!(view.payments, []);
        assert_eq!(history(&chain.wallet)[0].kind, Kind::Deposit);
    }

    #[test]
    fn history_says_what_each_transaction_is() {
        let mut chain = Chain::new(&setup());
        let coinbases = [chain.mine_own(1), chain.mine_own(2), chain.mine_own(3)];
        chain.mine(100);
        let coin = |at: usize| OutPoint::new(coinbases[at].compute_txid(), 0);
        let paid = payment(&setup(), &[coin(0)], btc(50), &[5]);
        let mut cancel = payment(&setup(), &[coin(1)], btc(50), &[5]);
        let change = setup().script(KeychainKind::Internal, 4).unwrap();
        cancel.output.truncate(1);
        cancel.output[0].script_pubkey = change;
        let mut sweep = payment(&setup(), &[coin(2)], btc(50), &[5]);
        sweep.output.truncate(1);
        chain.mine_with(&[paid, cancel, sweep]);
        let kinds: Vec<Kind> = history(&chain.wallet)[..3]
            .iter()
            .map(|entry| entry.kind)
            .collect();
        assert_eq!(kinds, [Kind::Coinbase; 3]);
        let mut last = history(&chain.wallet).split_off(3);
        last.sort_by_key(|entry| entry.kind as u8);
        let kinds: Vec<Kind> = last.iter().map(|entry| entry.kind).collect();
        assert_eq!(kinds, [Kind::Payment, Kind::Internal, Kind::Sweep]);
        assert_eq!(last[0].ids, BTreeSet::from([5]));
        assert_eq!(last[0].spent, btc(50));
        assert!(last[0].fee.unwrap() > Amount::ZERO);
    }
}
