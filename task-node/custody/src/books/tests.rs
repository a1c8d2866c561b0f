//! Books held against a chain of BDK's and what K2 would say.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;

use bdk_wallet::KeychainKind;
use bitcoin::{Amount, OutPoint, ScriptBuf, SignedAmount, Transaction};
use k2_interface::state::RedemptionState;
use ledger::books::{Account, Applied, Books, Entry, Reason, Step, Subject};
use proptest::prelude::*;

use super::{BookkeepingError, BooksFile, Check, FILE, Facts, K2Sums, check, follow};
use crate::Setup;
use crate::view::{BURIED, K2View, Payment, Redemption};
use crate::watch::fixture::{Chain, btc, payment, setup};
use crate::watch::report;

/// What one redemption of [`payment`] takes off the reserves: a million sats and the whole fee.
const ONE: Amount = Amount::from_sat(1_001_000);

/// The program's sums, kept as the program keeps them.
#[derive(Clone, Default)]
struct Pool {
    view: K2View,
    sums: K2Sums,
}

impl Pool {
    fn mint(&mut self, coinbase: &Transaction) {
        let outpoint = OutPoint::new(coinbase.compute_txid(), 0);
        self.mint_elsewhere(coinbase.output[0].value);
        self.sums.minted.insert(outpoint, coinbase.output[0].value);
    }

    fn mint_elsewhere(&mut self, amount: Amount) {
        self.sums.proved_in += amount;
        self.sums.supply += amount;
        self.sums.vault += amount;
    }

    fn claim(&mut self, amount: Amount) {
        self.sums.round = Some(self.sums.round.unwrap_or(0) + 1);
        self.sums.earned += amount;
        self.sums.claimed += amount;
        self.sums.vault -= amount;
    }

    fn request(&mut self, id: u64, amount: Amount, script: &ScriptBuf) {
        let redemption = Redemption {
            id,
            amount,
            max_fee: Amount::from_sat(10_000),
            script: script.clone(),
            requested: 0,
            expires: u32::MAX,
            state: RedemptionState::Open,
        };
        assert!(self.view.redemptions.insert(id, redemption).is_none());
        self.sums.escrowed += amount;
        self.sums.escrow += amount;
    }

    fn leave(&mut self, id: u64, state: RedemptionState) -> Amount {
        let redemption = self.view.redemptions.get_mut(&id).unwrap();
        redemption.state = state;
        self.sums.escrowed -= redemption.amount;
        self.sums.escrow -= redemption.amount;
        redemption.amount
    }

    fn settle(&mut self, id: u64) {
        let amount = self.leave(id, RedemptionState::Settled);
        self.sums.burned += amount;
        self.sums.supply -= amount;
    }

    fn refund(&mut self, id: u64) {
        self.leave(id, RedemptionState::Refunded);
    }

    fn close(&mut self, id: u64) {
        self.view.redemptions.remove(&id);
    }
}

/// A wallet, its chain, the pool on K2, and the books of it.
struct World {
    setup: Setup,
    chain: Chain,
    pool: Pool,
    planned: Vec<Payment>,
    books: Books,
}

impl World {
    fn new() -> Self {
        Self {
            setup: setup(),
            chain: Chain::new(&setup()),
            pool: Pool::default(),
            planned: Vec::new(),
            books: Books::default(),
        }
    }

    /// One mature coinbase, minted and claimed.
    fn rich() -> (Self, Transaction) {
        let mut world = Self::new();
        let coinbase = world.chain.mine_own(1);
        world.chain.mine(100);
        world.pool.mint(&coinbase);
        world.pool.claim(btc(50));
        (world, coinbase)
    }

    fn with<T>(&self, act: impl FnOnce(&Facts<'_>) -> T) -> T {
        act(&Facts {
            coinbase_script: &self.setup.coinbase_script().unwrap(),
            bitcoin: &report::view(&self.chain.wallet),
            transactions: &report::transactions(&self.chain.wallet),
            k2: &self.pool.view,
            sums: &self.pool.sums,
            planned: &self.planned,
            confirmations: BURIED,
        })
    }

    fn update(&mut self) -> Vec<Entry> {
        let events = self.with(|facts| follow(&self.books, facts)).unwrap();
        let entries = events
            .into_iter()
            .map(|event| match self.books.apply(event).unwrap() {
                Applied::Booked(entry) => *entry,
                Applied::Known => panic!("{event:?} is not missing"),
            })
            .collect();
        assert_eq!(self.with(|facts| follow(&self.books, facts)).unwrap(), []);
        entries
    }

    fn failing(&self) -> Vec<Check> {
        let mut checks = self.with(|facts| check(&self.books, facts));
        checks.retain(|check| !check.holds());
        checks
    }

    /// Brings the books up to date; everything must agree.
    fn agree(&mut self) -> Vec<Entry> {
        let entries = self.update();
        assert_eq!(self.failing(), []);
        entries
    }

    fn names_of_failing(&self) -> Vec<&'static str> {
        self.failing().iter().map(|check| check.name).collect()
    }

    fn sats(&self, account: Account) -> i64 {
        self.books.balance(account).to_sat()
    }

    /// What new books say, but for blocks that nobody remembers.
    fn rebuilt(&self) -> BTreeMap<Account, SignedAmount> {
        let mut books = Books::default();
        for event in self.with(|facts| follow(&books, facts)).unwrap() {
            books.apply(event).unwrap();
        }
        remembered(&books)
    }
}

fn remembered(books: &Books) -> BTreeMap<Account, SignedAmount> {
    let mut balances: BTreeMap<Account, SignedAmount> = Account::ALL
        .iter()
        .map(|account| (*account, books.balance(*account)))
        .collect();
    let orphaned = balances.remove(&Account::Orphaned).unwrap();
    let mined = balances.get_mut(&Account::Mined).unwrap();
    *mined = SignedAmount::from_sat(mined.to_sat() - orphaned.to_sat());
    balances
}

fn out(transaction: &Transaction, vout: u32) -> OutPoint {
    OutPoint::new(transaction.compute_txid(), vout)
}

fn planned(transaction: &Transaction) -> Payment {
    Payment::of(transaction, None).unwrap()
}

fn sat(amount: Amount) -> i64 {
    amount.to_signed().unwrap().to_sat()
}

#[test]
fn a_payout_is_reserved_in_flight_confirming_paid_and_burned() {
    let (mut world, coinbase) = World::rich();
    world.agree();
    assert_eq!(world.sats(Account::Mature), sat(btc(50)));
    assert_eq!(world.sats(Account::Circulating), sat(btc(50)));
    let paid = payment(&world.setup, &[out(&coinbase, 0)], btc(50), &[3]);
    world.pool.request(3, ONE, &paid.output[0].script_pubkey);
    world.agree();
    assert_eq!(world.sats(Account::Escrow), sat(ONE));

    world.planned.push(planned(&paid));
    world.agree();
    assert_eq!(world.sats(Account::Reserved), sat(ONE));
    world.chain.see(&paid, 1000);
    world.agree();
    assert_eq!(world.sats(Account::InFlight), sat(ONE));
    world.chain.mine_with(std::slice::from_ref(&paid));
    world.agree();
    assert_eq!(world.sats(Account::Confirming), sat(ONE));
    world.chain.mine(BURIED - 2);
    assert_eq!(world.agree(), []);
    world.chain.mine(1);
    world.agree();
    assert_eq!(world.sats(Account::Confirming), 0);
    assert_eq!(world.sats(Account::Paid), 1_000_000);
    assert_eq!(world.sats(Account::NetworkFees), 1_000);
    world.pool.settle(3);
    world.agree();
    assert_eq!(world.sats(Account::Burned), sat(ONE));
    assert_eq!(world.sats(Account::Mature), sat(btc(50) - ONE));
    assert_eq!(world.rebuilt(), remembered(&world.books));
}

#[test]
fn an_orphaned_coinbase_is_reversed_and_its_place_taken_by_another() {
    let mut world = World::new();
    world.chain.mine(3);
    world.chain.mine_own(1);
    world.agree();
    world.chain.reorganise(1, 0);
    world.chain.mine_own(2);
    world.chain.mine(1);
    let entries = world.agree();
    assert_eq!(entries.len(), 2, "{entries:?}");
    assert!(entries.iter().any(|entry| entry.reverses == Some(1)));
    assert_eq!(world.sats(Account::Orphaned), sat(btc(50)));
    assert_eq!(world.sats(Account::Immature), sat(btc(50)));
    assert_eq!(world.sats(Account::Unminted), sat(btc(50)));
    assert_eq!(world.rebuilt(), remembered(&world.books));
}

#[test]
fn a_replaced_payout_reserves_its_redemption_once() {
    let (mut world, coinbase) = World::rich();
    let first = payment(&world.setup, &[out(&coinbase, 0)], btc(50), &[1]);
    let mut second = first.clone();
    second.output[0].value -= Amount::from_sat(500);
    world.pool.request(1, ONE, &first.output[0].script_pubkey);
    world.planned = vec![planned(&first), planned(&second)];
    world.agree();
    assert_eq!(world.sats(Account::Reserved), sat(ONE));
    world.chain.see(&first, 1000);
    world.agree();
    world.chain.see(&second, 1001);
    let entries = world.agree();
    assert_eq!(entries.len(), 2, "{entries:?}");
    assert_eq!(world.sats(Account::InFlight), sat(ONE));
    world.chain.mine_with(&[second]);
    world.chain.mine(BURIED);
    world.agree();
    assert_eq!(world.sats(Account::NetworkFees), 1_500);
    assert_eq!(
        world.sats(Account::Paid) + world.sats(Account::NetworkFees),
        sat(ONE)
    );
}

#[test]
fn a_payout_whose_block_was_replaced_waits_again_and_a_dead_one_goes_back_to_balance() {
    let (mut world, coinbase) = World::rich();
    let paid = payment(&world.setup, &[out(&coinbase, 0)], btc(50), &[1]);
    world.pool.request(1, ONE, &paid.output[0].script_pubkey);
    world.chain.mine_with(std::slice::from_ref(&paid));
    world.agree();
    assert_eq!(world.sats(Account::Confirming), sat(ONE));
    world.chain.reorganise(1, 2);
    world.agree();
    assert_eq!(world.sats(Account::InFlight), sat(ONE), "it waits again");

    let mut cancel = payment(&world.setup, &[out(&coinbase, 0)], btc(50), &[9]);
    cancel.output = vec![bitcoin::TxOut {
        value: btc(50) - Amount::from_sat(700),
        script_pubkey: world.setup.script(KeychainKind::Internal, 1).unwrap(),
    }];
    world.chain.mine_with(&[cancel]);
    world.update();
    assert_eq!(world.names_of_failing(), ["backing"], "short by its fee");
    assert_eq!(world.sats(Account::OwnFees), 700);
    assert_eq!(
        world.sats(Account::Reserved),
        sat(ONE),
        "the cancel is not buried"
    );
    world.chain.mine(BURIED - 1);
    let entries = world.update();
    assert_eq!(entries.len(), 1, "{entries:?}");
    assert_eq!(world.sats(Account::Reserved), 0);
    assert_eq!(world.sats(Account::Mature), sat(btc(50)) - 700);
    assert_eq!(world.rebuilt(), remembered(&world.books));
}

#[test]
fn a_sweep_costs_its_fee_and_coins_that_go_to_a_stranger_raise_the_alarm() {
    let next = ScriptBuf::new_p2wpkh(&bitcoin::hashes::Hash::hash(b"the next wallet"));
    for is_registered in [true, false] {
        let (mut world, coinbase) = World::rich();
        let mut sweep = payment(&world.setup, &[out(&coinbase, 0)], btc(50), &[9]);
        sweep.output = vec![bitcoin::TxOut {
            value: btc(50) - Amount::from_sat(900),
            script_pubkey: next.clone(),
        }];
        world.chain.mine_with(&[sweep]);
        if !is_registered {
            world.update();
            assert_eq!(world.sats(Account::Unexplained), sat(btc(50)) - 900);
            assert_eq!(world.names_of_failing(), ["unexplained", "backing"]);
            continue;
        }
        world.pool.view.scripts.push(next.clone());
        world.update();
        assert_eq!(world.sats(Account::Mature), 0);
        assert_eq!(world.sats(Account::OwnFees), 900);
        assert_eq!(world.sats(Account::MovedOut), sat(btc(50)) - 900);
        let [short] = world.failing().try_into().unwrap();
        assert_eq!((short.name, short.difference().to_sat()), ("backing", -900));
        world.pool.view.scripts.clear();
        assert_eq!(world.update(), [], "where it went is not forgotten");
    }
}

#[test]
fn an_output_that_pays_somebody_else_than_the_redeemer_is_no_payment() {
    let (mut world, coinbase) = World::rich();
    let paid = payment(&world.setup, &[out(&coinbase, 0)], btc(50), &[1]);
    let other = ScriptBuf::new_p2wpkh(&bitcoin::hashes::Hash::hash(b"the redeemer"));
    world.pool.request(1, ONE, &other);
    world.chain.mine_with(&[paid]);
    world.update();
    assert_eq!(world.sats(Account::Unexplained), 1_000_000);
    assert!(world.names_of_failing().contains(&"unexplained"));
    world.pool.refund(1);
    world.pool.close(1);
    world.update();
    assert_eq!(
        world.sats(Account::Unexplained),
        1_000_000,
        "the alarm stays when the account that says so is closed"
    );
}

#[test]
fn a_second_payment_of_a_redemption_is_unexplained() {
    let (mut world, first) = World::rich();
    let second = world.chain.mine_own(2);
    world.chain.mine(100);
    let pay = |coin: &Transaction| payment(&setup(), &[out(coin, 0)], btc(50), &[1]);
    world
        .pool
        .request(1, ONE, &pay(&first).output[0].script_pubkey);
    world.chain.mine_with(&[pay(&first)]);
    world.agree();
    world.chain.mine_with(&[pay(&second)]);
    world.update();
    assert_eq!(world.sats(Account::Confirming), sat(ONE));
    assert_eq!(world.sats(Account::Unexplained), 1_000_000);
    assert_eq!(world.names_of_failing(), ["unexplained"]);
}

#[test]
fn what_was_paid_and_refunded_is_reported() {
    let (mut world, coinbase) = World::rich();
    let paid = payment(&world.setup, &[out(&coinbase, 0)], btc(50), &[1]);
    world.pool.request(1, ONE, &paid.output[0].script_pubkey);
    world.chain.mine_with(&[paid]);
    world.pool.refund(1);
    world.update();
    assert_eq!(world.names_of_failing(), ["refunded", "backing"]);
}

#[test]
fn a_redemption_to_the_pools_own_address_comes_in_as_a_top_up() {
    let (mut world, coinbase) = World::rich();
    let own = world.setup.coinbase_script().unwrap();
    let mut paid = payment(&world.setup, &[out(&coinbase, 0)], btc(50), &[1]);
    paid.output[0].script_pubkey = own.clone();
    world.pool.request(1, ONE, &own);
    world.chain.mine_with(&[paid]);
    world.agree();
    assert_eq!(world.sats(Account::TopUps), 1_000_000);
    assert_eq!(world.sats(Account::Confirming), sat(ONE));
    assert_eq!(
        world.sats(Account::Mined),
        sat(btc(50)),
        "it is not minted again"
    );
}

#[test]
fn closed_redemptions_keep_their_sums() {
    let (mut world, coinbase) = World::rich();
    let paid = payment(&world.setup, &[out(&coinbase, 0)], btc(50), &[1, 2]);
    let script = paid.output[0].script_pubkey.clone();
    let half = Amount::from_sat(1_000_500);
    for id in [1, 2, 3] {
        world.pool.request(id, half, &script);
    }
    world.agree();
    world.chain.mine_with(&[paid]);
    // Between two looks: two are settled, one is refunded, and all accounts are closed.
    for id in [1, 2] {
        world.pool.settle(id);
    }
    world.pool.refund(3);
    for id in [1, 2, 3] {
        world.pool.close(id);
    }
    let entries = world.agree();
    assert_eq!(world.sats(Account::Burned), 2 * sat(half));
    let refunded = entries.iter().any(|entry| {
        entry.event.subject == (Subject::Redemption { id: 3 }) && entry.reverses.is_some()
    });
    assert!(refunded);
    world.chain.mine(BURIED);
    world.agree();
    assert_eq!(
        world.rebuilt(),
        remembered(&world.books),
        "books that never saw the accounts say the same"
    );
}

#[test]
fn what_another_wallet_backs_is_minted_elsewhere_until_the_coinbase_is_seen() {
    let mut world = World::new();
    world.pool.mint_elsewhere(btc(7));
    let coinbase = world.chain.mine_own(1);
    world.chain.mine(100);
    // The record is there before the wallet knows the coinbase: K2 is ahead of the node.
    let mut behind = World::new();
    world.pool.mint(&coinbase);
    behind.pool = world.pool.clone();
    behind.agree();
    assert_eq!(behind.sats(Account::Elsewhere), sat(btc(57)));
    behind.chain = world.chain;
    behind.agree();
    assert_eq!(behind.sats(Account::Elsewhere), sat(btc(7)));
    assert_eq!(behind.sats(Account::Unminted), 0);
    // A year later the record is closed.
    behind.pool.sums.minted.clear();
    assert_eq!(behind.agree(), []);
}

#[test]
fn a_pool_that_was_set_back_is_another_pool() {
    let (mut world, _) = World::rich();
    world.agree();
    world.pool.sums.claimed -= btc(1);
    let refused = world.with(|facts| follow(&world.books, facts));
    let text = refused.unwrap_err().to_string();
    assert!(text.starts_with("what was claimed on K2 is 49"), "{text}");
}

#[test]
fn a_reason_says_what_came_undone() {
    let (mut world, coinbase) = World::rich();
    let paid = payment(&world.setup, &[out(&coinbase, 0)], btc(50), &[1]);
    world.pool.request(1, ONE, &paid.output[0].script_pubkey);
    world.chain.see(&paid, 1000);
    world.agree();
    let txid = paid.compute_txid();
    world.chain.wallet.apply_evicted_txs([(txid, 1001)]);
    let entries = world.agree();
    let change = ledger::books::Change::Reverse {
        kind: Step::Sent { txid }.kind(),
        why: Reason::Dropped,
    };
    assert_eq!(entries[0].event.change, change);
    assert_eq!(world.sats(Account::Reserved), sat(ONE));
}

// --- the file -----------------------------------------------------------------------------------------------------------

#[test]
fn the_file_is_read_as_it_was_written_and_a_new_one_says_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let (mut world, coinbase) = World::rich();
    let mut file = BooksFile::open(dir.path()).unwrap();
    let first = world.with(|facts| file.update(facts)).unwrap();
    assert!(!first.is_empty());
    let paid = payment(&world.setup, &[out(&coinbase, 0)], btc(50), &[1]);
    world.pool.request(1, ONE, &paid.output[0].script_pubkey);
    world.chain.mine_with(&[paid]);
    world.pool.view.slot = 7;
    let second = world.with(|facts| file.update(facts)).unwrap();
    assert_eq!(world.with(|facts| file.update(facts)).unwrap(), []);
    let before = file.books().clone();
    drop(file);

    let mut file = BooksFile::open(dir.path()).unwrap();
    assert_eq!(file.books(), &before);
    assert_eq!(file.looked().unwrap().slot, 7);
    let lines = file.lines(1, None).unwrap();
    let entries: Vec<Entry> = lines.into_iter().map(|line| line.entry).collect();
    assert_eq!(entries, [first, second].concat());
    let escrow = file.lines(1, Some(Account::Escrow)).unwrap();
    assert_eq!(escrow.len(), 1);
    assert_eq!((escrow[0].learned.slot, escrow[0].learned.tip), (7, 102));
    assert_eq!(world.with(|facts| file.update(facts)).unwrap(), []);

    let other = tempfile::tempdir().unwrap();
    let mut new = BooksFile::open(other.path()).unwrap();
    world.with(|facts| new.update(facts)).unwrap();
    assert_eq!(remembered(new.books()), remembered(&before));
}

#[test]
fn a_node_that_still_syncs_and_a_cluster_that_lags_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (mut world, _) = World::rich();
    world.pool.view.slot = 7;
    let mut file = BooksFile::open(dir.path()).unwrap();
    world.with(|facts| file.update(facts)).unwrap();
    let before = file.books().clone();
    world.pool.view.slot = 6;
    let refused = world.with(|facts| file.update(facts));
    let behind =
        |what| matches!(refused, Err(BookkeepingError::Behind { what: is, .. }) if is == what);
    assert!(behind("the K2 endpoint"));
    world.pool.view.slot = 7;
    world.chain = Chain::new(&world.setup);
    let refused = world.with(|facts| file.update(facts));
    assert!(matches!(
        refused,
        Err(BookkeepingError::Behind {
            what: "the Bitcoin node",
            ..
        })
    ));
    assert_eq!(file.books(), &before);
}

#[test]
fn entries_cannot_be_changed_and_a_forged_one_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let (world, _) = World::rich();
    let mut file = BooksFile::open(dir.path()).unwrap();
    world.with(|facts| file.update(facts)).unwrap();
    drop(file);
    let db = rusqlite::Connection::open(dir.path().join(FILE)).unwrap();
    for sql in [
        "UPDATE postings SET sats = 1",
        "DELETE FROM postings",
        "UPDATE entries SET tip = 1",
        "DELETE FROM entries",
        "INSERT INTO entries VALUES (99, 'x', '{}', NULL, 0, 0)",
    ] {
        assert!(db.execute(sql, ()).is_err(), "{sql}");
    }
    db.execute_batch("DROP TRIGGER a_posting_is_not_changed; UPDATE postings SET sats = sats - 1 WHERE entry = 2;")
        .unwrap();
    drop(db);
    let refused = BooksFile::open(dir.path());
    assert!(matches!(
        refused,
        Err(BookkeepingError::Damaged { number: 2, .. })
    ));
}

// --- whatever happens ---------------------------------------------------------------------------------------------------

#[derive(Debug, Clone)]
enum Act {
    Mine(u32),
    MineOwn,
    Reorganise(usize, u32),
    MintAll,
    Claim,
    Request,
    Pay { now: bool },
    Confirm,
    Drop,
    Settle,
    Refund,
    Close,
    Look,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        (1_u32..30).prop_map(Act::Mine),
        Just(Act::MineOwn),
        (1_usize..4, 1_u32..4).prop_map(|(lost, more)| Act::Reorganise(lost, more)),
        Just(Act::MintAll),
        Just(Act::Claim),
        Just(Act::Request),
        any::<bool>().prop_map(|now| Act::Pay { now }),
        Just(Act::Confirm),
        Just(Act::Drop),
        Just(Act::Settle),
        Just(Act::Refund),
        Just(Act::Close),
        Just(Act::Look),
        Just(Act::Look),
    ]
}

/// Plays acts on a world; those that are not possible now are left out.
struct Play {
    world: World,
    coinbases: Vec<Transaction>,
    /// By redemption: the transaction that pays it.
    pays: BTreeMap<u64, Transaction>,
    next: u64,
    clock: u64,
    salt: u8,
}

impl Play {
    fn new() -> Self {
        let mut world = World::new();
        // A re-organisation never reaches below this.
        world.chain.mine(10);
        Self {
            world,
            coinbases: Vec::new(),
            pays: BTreeMap::new(),
            next: 0,
            clock: 1000,
            salt: 0,
        }
    }

    fn play(&mut self, act: &Act) {
        self.clock += 1;
        let view = report::view(&self.world.chain.wallet);
        let pool = &mut self.world.pool;
        let state = |id: &u64| pool.view.redemptions.get(id).map(|known| known.state);
        match act {
            Act::Mine(blocks) => self.world.chain.mine(*blocks),
            Act::MineOwn => {
                self.salt = self.salt.wrapping_add(1);
                let coinbase = self.world.chain.mine_own(self.salt);
                self.coinbases.push(coinbase);
            }
            Act::Reorganise(lost, more) => {
                let lost = (*lost).min(view.tip as usize - 10);
                let more = u32::try_from(lost).unwrap() + more;
                self.world.chain.reorganise(lost, more);
            }
            Act::MintAll => {
                for coinbase in &self.coinbases {
                    let coin = view.coins.get(&out(coinbase, 0));
                    // With room for what a re-organisation of the tests takes back.
                    let is_old = coin.is_some_and(|coin| coin.is_spendable(view.tip - 5));
                    if is_old && !pool.sums.minted.contains_key(&out(coinbase, 0)) {
                        pool.mint(coinbase);
                    }
                }
            }
            Act::Claim => {
                if pool.sums.vault >= btc(10) {
                    pool.claim(btc(10));
                }
            }
            Act::Request => {
                let held = pool.sums.claimed - pool.sums.burned - pool.sums.escrowed;
                if held >= ONE {
                    let template = payment(&self.world.setup, &[], btc(1), &[0]);
                    pool.request(self.next, ONE, &template.output[0].script_pubkey);
                    self.next += 1;
                }
            }
            Act::Pay { now } => {
                let open: Vec<u64> = (0..self.next)
                    .filter(|id| {
                        state(id) == Some(RedemptionState::Open) && !self.pays.contains_key(id)
                    })
                    .collect();
                let taken = |outpoint: &OutPoint| {
                    let pays = self.pays.values();
                    pays.flat_map(|paid| &paid.input)
                        .any(|input| input.previous_output == *outpoint)
                };
                // Deep enough to stay.
                let coin = view.coins.values().find(|coin| {
                    coin.is_spendable(view.tip - 5)
                        && coin.height.is_some_and(|height| height + 5 < view.tip)
                        && !taken(&coin.outpoint)
                        && coin.txout.value > btc(1)
                });
                if let (Some(id), Some(coin)) = (open.first(), coin) {
                    let sum = coin.txout.value;
                    let paid = payment(&self.world.setup, &[coin.outpoint], sum, &[*id]);
                    self.world.planned.push(planned(&paid));
                    if *now {
                        self.world.chain.see(&paid, self.clock);
                    }
                    self.pays.insert(*id, paid);
                }
            }
            Act::Confirm => {
                let waiting: Vec<Transaction> = self
                    .pays
                    .values()
                    .filter(|paid| view.coins.contains_key(&paid.input[0].previous_output))
                    .cloned()
                    .collect();
                self.world.chain.mine_with(&waiting);
            }
            Act::Drop => {
                for paid in self.pays.values() {
                    let evicted = [(paid.compute_txid(), self.clock)];
                    self.world.chain.wallet.apply_evicted_txs(evicted);
                }
            }
            Act::Settle => {
                let paid = self.pays.iter().find(|(id, paid)| {
                    let txid = paid.compute_txid();
                    let mut spent = view.spent.values();
                    let buried = |spent: &crate::view::Spent| {
                        spent.by == txid && spent.height + 6 < view.tip
                    };
                    state(id) == Some(RedemptionState::Open) && spent.any(buried)
                });
                if let Some((id, _)) = paid {
                    pool.settle(*id);
                }
            }
            Act::Refund => {
                let unpaid = (0..self.next).find(|id| {
                    state(id) == Some(RedemptionState::Open) && !self.pays.contains_key(id)
                });
                if let Some(id) = unpaid {
                    pool.refund(id);
                }
            }
            Act::Close => {
                let done = (0..self.next)
                    .find(|id| state(id).is_some_and(|state| state != RedemptionState::Open));
                if let Some(id) = done {
                    pool.close(id);
                }
            }
            Act::Look => {
                self.world.update();
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn books_agree_with_node_and_k2_whatever_happens(
        early in prop::collection::vec(act(), 0..12),
        late in prop::collection::vec(act(), 0..40),
    ) {
        let mut play = Play::new();
        play.play(&Act::MineOwn);
        for act in &early {
            play.play(act);
        }
        for act in [Act::Mine(110), Act::MintAll, Act::Claim, Act::Request, Act::Request] {
            play.play(&act);
        }
        for act in &late {
            play.play(act);
            if matches!(act, Act::Look) {
                prop_assert_eq!(play.world.failing(), []);
            }
        }
        play.world.update();
        prop_assert_eq!(play.world.failing(), []);
        prop_assert_eq!(play.world.rebuilt(), remembered(&play.world.books));
    }
}
