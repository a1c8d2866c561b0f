//! The books against a real node: blocks that leave and return, a payout from its intent to its last confirmation, and what is
//! left when every file but the journal is lost.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::fs;
use std::ops::ControlFlow;
use std::path::PathBuf;

use bitcoin::{Amount, FeeRate, ScriptBuf, SignedAmount, Transaction, TxOut};
use k2_interface::bitcoin::RedeemIds;
use k2_interface::state::RedemptionState;
use orcapool_custody::books::{
    Account, BooksFile, Check, Entry, FILE, Facts, K2Sums, Reason, check, planned,
};
use orcapool_custody::journal::{Cost, Journal};
use orcapool_custody::view::{BURIED, KeychainKind};
use orcapool_custody::watch::{Login, Source, Watch};
use orcapool_custody::{K2View, Payment, Redemption, Setup};
use support::regtest::elsewhere;
use support::{Custodian, Regtest, Spendable, spend};

const NOW: u64 = 1_700_000_000;
const COST: Cost = Cost {
    fee: Amount::from_sat(700),
    rate: FeeRate::BROADCAST_MIN,
};

/// A wallet's folder, the node beneath it, and what K2 says.
struct Wallet {
    node: Regtest,
    setup: Setup,
    k2: K2View,
    sums: K2Sums,
    clock: u64,
}

impl Wallet {
    fn new() -> Self {
        let node = Regtest::start();
        let setup = Custodian::two_of_three();
        let wallet = Self {
            node,
            setup,
            k2: K2View::default(),
            sums: K2Sums::default(),
            clock: NOW,
        };
        Watch::create(&wallet.dir(), &wallet.setup, 0).unwrap();
        wallet
    }

    fn dir(&self) -> PathBuf {
        self.node.dir().join("wallet")
    }

    /// Syncs the wallet and brings the books up to date, as `orcapool books` does; everything must agree.
    fn update(&mut self) -> (BooksFile, Vec<Entry>) {
        self.clock += 1;
        let source = Source::Bitcoind {
            url: self.node.url(),
            login: Login::CookieFile(self.node.cookie_file()),
        };
        let mut watch = Watch::open(&self.dir()).unwrap();
        watch
            .sync(&source, self.clock, &mut |_| ControlFlow::Continue(()))
            .unwrap();
        let planned = planned(&Journal::open(&self.dir(), 0).unwrap()).unwrap();
        let facts = Facts {
            coinbase_script: &self.setup.coinbase_script().unwrap(),
            bitcoin: &watch.view(),
            transactions: &watch.transactions(),
            k2: &self.k2,
            sums: &self.sums,
            planned: &planned,
            confirmations: BURIED,
        };
        let mut file = BooksFile::open(&self.dir()).unwrap();
        let entries = file.update(&facts).unwrap();
        let failing: Vec<Check> = check(file.books(), &facts)
            .into_iter()
            .filter(|check| !check.holds())
            .collect();
        assert_eq!(failing, []);
        (file, entries)
    }

    fn sats(&mut self, account: Account) -> i64 {
        self.update().0.books().balance(account).to_sat()
    }

    fn all(&mut self) -> Vec<(Account, SignedAmount)> {
        let file = self.update().0;
        let balance = |account: &Account| (*account, file.books().balance(*account));
        Account::ALL.iter().map(balance).collect()
    }

    /// K2 mints the coinbases and a miner claims all of it.
    fn mint(&mut self, coinbases: &[&Transaction]) {
        for coinbase in coinbases {
            let output = &coinbase.output[0];
            let outpoint = Spendable::of(&self.setup, coinbase).outpoint();
            self.sums.minted.insert(outpoint, output.value);
            self.sums.proved_in += output.value;
            self.sums.supply += output.value;
            self.sums.earned += output.value;
            self.sums.claimed += output.value;
        }
        self.sums.round = Some(1);
    }

    fn request(&mut self, id: u64, amount: Amount, script: ScriptBuf) {
        let redemption = Redemption {
            id,
            amount,
            max_fee: Amount::from_sat(10_000),
            script,
            requested: 1,
            expires: 10_000,
            state: RedemptionState::Open,
        };
        self.k2.redemptions.insert(id, redemption);
        self.sums.escrowed += amount;
        self.sums.escrow += amount;
    }

    fn settle(&mut self, id: u64) {
        let redemption = self.k2.redemptions.get_mut(&id).unwrap();
        redemption.state = RedemptionState::Settled;
        self.sums.escrowed -= redemption.amount;
        self.sums.escrow -= redemption.amount;
        self.sums.burned += redemption.amount;
        self.sums.supply -= redemption.amount;
    }

    /// A mature coinbase.
    fn coinbase(&self) -> Transaction {
        let script = self.setup.coinbase_script().unwrap();
        let hash = self.node.mine(1, &script)[0];
        self.node.mine_elsewhere(100);
        self.node.block(hash).txdata.remove(0)
    }

    /// Two custodians pay `amount` less `fee` for a redemption, with change.
    fn payout(&self, coinbase: &Transaction, id: u64, amount: Amount, fee: Amount) -> Transaction {
        let coin = Spendable::of(&self.setup, coinbase);
        let out = |value, script_pubkey| TxOut {
            value,
            script_pubkey,
        };
        let change = self.setup.script(KeychainKind::Internal, 0).unwrap();
        let names = ScriptBuf::from_bytes(RedeemIds::encode(&[id]).unwrap());
        let outputs = vec![
            out(amount - fee, elsewhere()),
            out(coin.txout().value - amount, change),
            out(Amount::ZERO, names),
        ];
        let signers = [1, 3].map(Custodian::new);
        spend(&self.setup, &[&signers[0], &signers[1]], &[coin], outputs)
    }
}

#[test]
fn a_block_that_leaves_is_reversed_once_and_counts_again_when_it_returns() {
    let mut wallet = Wallet::new();
    let script = wallet.setup.coinbase_script().unwrap();
    wallet.node.mine_elsewhere(2);
    let own = wallet.node.mine(1, &script)[0];
    let reward = wallet.sats(Account::Immature);
    assert_eq!(reward, 50_0000_0000);

    wallet.node.invalidate(own);
    wallet.node.mine_elsewhere(2);
    let (_, orphaned) = wallet.update();
    assert_eq!(orphaned.len(), 1);
    assert_eq!(orphaned[0].reverses, Some(1));
    assert_eq!(wallet.sats(Account::Orphaned), reward);
    assert_eq!(wallet.update().1, [], "once");

    wallet.node.reconsider(own);
    // With it on top there is more work on its side.
    let tip = wallet.node.hash_at(4);
    wallet.node.invalidate(tip);
    let other = wallet.node.hash_at(3);
    if other != own {
        wallet.node.invalidate(other);
    }
    wallet.node.mine_elsewhere(3);
    assert_eq!(wallet.node.hash_at(3), own);
    let (_, returned) = wallet.update();
    assert_eq!(returned.len(), 1, "{returned:?}");
    assert_eq!(returned[0].reverses, Some(2));
    assert_eq!(wallet.sats(Account::Immature), reward);
    assert_eq!(wallet.sats(Account::Orphaned), 0);
}

#[test]
fn a_payout_is_followed_from_its_intent_and_a_lost_folder_comes_to_the_same_balances() {
    let (amount, fee) = (Amount::from_sat(2_000_000), Amount::from_sat(3_000));
    let sats = 2_000_000;
    let mut wallet = Wallet::new();
    let coinbase = wallet.coinbase();
    wallet.mint(&[&coinbase]);
    wallet.request(4, amount, elsewhere());
    let paid = wallet.payout(&coinbase, 4, amount, fee);

    // Written down before it is signed: the money is reserved while nobody has seen anything.
    let payment = Payment::of(&paid, None).unwrap();
    Journal::open(&wallet.dir(), 0)
        .unwrap()
        .record_signed(&payment, COST)
        .unwrap();
    assert_eq!(wallet.sats(Account::Reserved), sats);
    wallet.node.send(&paid);
    assert_eq!(wallet.sats(Account::InFlight), sats);
    let block = wallet.node.mine_elsewhere(1)[0];
    assert_eq!(wallet.sats(Account::Confirming), sats);

    // Its block is replaced by an empty one.
    wallet.node.invalidate(block);
    wallet.node.mine_exactly(&elsewhere(), &[]);
    let (file, entries) = wallet.update();
    let why = ledger::books::Change::Reverse {
        kind: ledger::books::StepKind::InBlock,
        why: Reason::Reorganised,
    };
    assert_eq!(entries[0].event.change, why);
    assert_eq!(file.books().balance(Account::InFlight).to_sat(), sats);
    drop(file);

    wallet.node.mine_elsewhere(BURIED);
    assert_eq!(wallet.sats(Account::Paid), sats - 3_000);
    assert_eq!(wallet.sats(Account::NetworkFees), 3_000);
    wallet.settle(4);
    assert_eq!(wallet.sats(Account::Burned), sats);
    assert_eq!(wallet.sats(Account::Mature), 50_0000_0000 - sats);

    let before = wallet.all();
    for file in ["wallet.sqlite", FILE] {
        for suffix in ["", "-wal", "-shm"] {
            let _ = fs::remove_file(wallet.dir().join(format!("{file}{suffix}")));
        }
    }
    assert_eq!(wallet.all(), before);
}

#[test]
fn a_cancelled_payout_goes_back_to_balance_when_it_is_dead() {
    let amount = Amount::from_sat(2_000_000);
    let mut wallet = Wallet::new();
    let coinbase = wallet.coinbase();
    wallet.mint(&[&coinbase]);
    // The cancel's fee is the custodians': they make up for it.
    let top_up = wallet.coinbase();
    wallet.request(4, amount, elsewhere());
    let paid = wallet.payout(&coinbase, 4, amount, Amount::from_sat(3_000));
    let payment = Payment::of(&paid, None).unwrap();
    Journal::open(&wallet.dir(), 0)
        .unwrap()
        .record_signed(&payment, COST)
        .unwrap();
    assert_eq!(wallet.sats(Account::Reserved), 2_000_000);
    assert_eq!(
        wallet.sats(Account::Unminted),
        i64::try_from(top_up.output[0].value.to_sat()).unwrap()
    );

    let coin = Spendable::of(&wallet.setup, &coinbase);
    let change = TxOut {
        value: coin.txout().value - Amount::from_sat(1_000),
        script_pubkey: wallet.setup.script(KeychainKind::Internal, 0).unwrap(),
    };
    let signers = [2, 3].map(Custodian::new);
    let signers = [&signers[0], &signers[1]];
    let cancel = spend(&wallet.setup, &signers, &[coin], vec![change]);
    wallet.node.send(&cancel);
    wallet.node.mine_elsewhere(BURIED - 1);
    assert_eq!(wallet.sats(Account::OwnFees), 1_000);
    assert_eq!(
        wallet.sats(Account::Reserved),
        2_000_000,
        "a re-organisation may still revive it"
    );
    wallet.node.mine_elsewhere(1);
    assert_eq!(wallet.sats(Account::Reserved), 0);
}
