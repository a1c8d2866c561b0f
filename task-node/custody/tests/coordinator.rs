//! The coordinator against a real node: each turn opens its journal anew, as a process that was killed would.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use bitcoin::hashes::Hash as _;
use bitcoin::secp256k1::Secp256k1;
use bitcoin::{Amount, FeeRate, Psbt, ScriptBuf, Transaction, Txid, WPubkeyHash};
use k2_interface::state::RedemptionState;
use orcapool_custody::coordinator::{
    Done, Outside, OutsideError, Policy, Submitted, Turn, TurnError, node,
};
use orcapool_custody::journal::{Batch, BatchId, BatchState, FILE, Journal, Kind};
use orcapool_custody::watch::{Login, Source, Watch};
use orcapool_custody::{BitcoinView, K2View, Redemption, Setup};
use work::UnixTime;

use support::{Custodian, Regtest};

const NOW: u64 = 1_600_000_000;

/// Files and a node, as the coordinator reaches them.
struct Shell {
    watch: Watch,
    source: Source,
    outbox: BTreeMap<Txid, Psbt>,
    is_away: bool,
}

impl Outside for Shell {
    fn change(&mut self) -> Result<u32, OutsideError> {
        Ok(self.watch.change_script()?.0)
    }

    fn transaction(&self, txid: Txid) -> Option<Transaction> {
        self.watch.transaction(txid)
    }

    fn hand_out(&mut self, batch: &Batch, psbt: &Psbt) -> Result<(), OutsideError> {
        self.outbox.insert(batch.txid(), psbt.clone());
        Ok(())
    }

    fn withdraw(&mut self, batch: &Batch) -> Result<(), OutsideError> {
        self.outbox.remove(&batch.txid());
        Ok(())
    }

    fn send(&mut self, transaction: &Transaction) -> Result<(), OutsideError> {
        if self.is_away {
            return Err("connection refused".into());
        }
        node::send(&self.source, transaction)?;
        self.watch.insert_payment(transaction.clone(), NOW)?;
        Ok(())
    }
}

/// A 2-of-3 wallet with mature coinbases of 50 BTC, and a K2 that says what the test says.
struct Pool {
    node: Regtest,
    setup: Setup,
    dir: tempfile::TempDir,
    shell: Shell,
    k2: K2View,
    rate: u32,
}

impl Pool {
    fn with_coinbases(coins: u32) -> Self {
        let node = Regtest::start();
        let setup = Custodian::two_of_three();
        node.mine(coins, &setup.coinbase_script().unwrap());
        node.mine_elsewhere(100);
        let dir = tempfile::tempdir().unwrap();
        let watch = Watch::create(dir.path(), &setup, 0).unwrap();
        let source = Source::Bitcoind {
            url: node.url(),
            login: Login::CookieFile(node.cookie_file()),
        };
        Self {
            node,
            setup,
            dir,
            shell: Shell {
                watch,
                source,
                outbox: BTreeMap::new(),
                is_away: false,
            },
            k2: K2View {
                slot: 1,
                ..K2View::default()
            },
            rate: 2,
        }
    }

    /// Somebody burns 1,000,000 sats on K2.
    fn request(&mut self, id: u64) {
        let requested = self.node.height();
        let redemption = Redemption {
            id,
            amount: Amount::from_sat(1_000_000),
            max_fee: Amount::from_sat(20_000),
            script: redeemer(id),
            requested,
            expires: requested + 144,
            state: RedemptionState::Open,
        };
        self.k2.redemptions.insert(id, redemption);
    }

    fn k2_says(&mut self, id: u64, state: RedemptionState) {
        self.k2.redemptions.get_mut(&id).unwrap().state = state;
    }

    fn journal(&self) -> Journal {
        let height = self.node.height();
        Journal::open(self.dir.path(), height).unwrap()
    }

    /// Syncs, opens the journal, and does something.
    fn with<T>(&mut self, what: impl FnOnce(&mut Turn<'_>) -> T) -> T {
        let source = self.shell.source.clone();
        let quietly = &mut |_| ControlFlow::Continue(());
        self.shell.watch.sync(&source, NOW, quietly).unwrap();
        let bitcoin = self.shell.watch.view();
        self.k2.slot += 1;
        self.k2.relay_tip = bitcoin.tip;
        let mut journal = self.journal();
        what(&mut Turn {
            journal: &mut journal,
            setup: &self.setup,
            bitcoin: &bitcoin,
            k2: &self.k2,
            policy: &Policy::default(),
            rate: Some(FeeRate::from_sat_per_vb_u32(self.rate)),
            now: UnixTime(NOW),
            outside: &mut self.shell,
        })
    }

    fn turn(&mut self) -> Vec<Done> {
        let done = self.with(|turn| turn.run().unwrap());
        // Whatever happens: never two transactions in blocks for one redemption.
        let twice: Vec<_> = self
            .paid()
            .into_iter()
            .filter(|(_, by)| by.len() > 1)
            .collect();
        assert!(twice.is_empty(), "{twice:?}");
        done
    }

    /// Who paid what, by the chain.
    fn paid(&mut self) -> BTreeMap<u64, BTreeSet<Txid>> {
        let view: BitcoinView = self.with(|turn| turn.bitcoin.clone());
        let mut paid: BTreeMap<u64, BTreeSet<Txid>> = BTreeMap::new();
        for payment in view
            .payments
            .iter()
            .filter(|payment| payment.height.is_some())
        {
            for id in &payment.ids {
                paid.entry(*id).or_default().insert(payment.txid);
            }
        }
        paid
    }

    /// The one batch a turn planned.
    fn planned(&mut self) -> (BatchId, Txid) {
        let done = self.turn();
        let planned: Vec<_> = done
            .iter()
            .filter_map(|done| match done {
                Done::Planned { batch, txid, .. } => Some((*batch, *txid)),
                _ => None,
            })
            .collect();
        assert_eq!(planned.len(), 1, "{done:?}");
        planned[0]
    }

    /// Two custodians sign what lies in the outbox, each for himself.
    fn sign(&self, txid: Txid) -> Vec<Psbt> {
        [1, 3]
            .map(|number| {
                let mut psbt = self.shell.outbox[&txid].clone();
                let signed = psbt.sign(&Custodian::new(number).master, &Secp256k1::new());
                assert!(signed.is_ok(), "{signed:?}");
                psbt
            })
            .to_vec()
    }

    fn submit(&mut self, txid: Txid) {
        let signed = self.sign(txid);
        let submitted = self.with(|turn| turn.submit(&signed).unwrap());
        assert!(
            matches!(submitted, Submitted::Complete { .. }),
            "{submitted:?}"
        );
    }

    fn state(&self, id: BatchId) -> BatchState {
        self.journal().batch(id).unwrap().state
    }

    /// Plans, signs and sends.
    fn pay(&mut self) -> (BatchId, Txid) {
        let (id, txid) = self.planned();
        self.submit(txid);
        self.turn();
        assert_eq!(self.state(id), BatchState::Sent);
        assert_eq!(self.node.mempool(), [txid]);
        (id, txid)
    }
}

fn redeemer(id: u64) -> ScriptBuf {
    ScriptBuf::new_p2wpkh(&WPubkeyHash::from_byte_array([id as u8; 20]))
}

#[test]
fn a_payment_from_its_plan_to_its_settlement() {
    let mut pool = Pool::with_coinbases(2);
    assert_eq!(pool.turn(), []);
    for id in [3, 4, 9] {
        pool.request(id);
    }
    let (id, txid) = pool.planned();
    // Nothing more is planned, and the file is there until it is signed.
    pool.shell.outbox.clear();
    assert_eq!(pool.turn(), []);
    let [first, second] = pool.sign(txid).try_into().unwrap();
    let one = pool.with(|turn| turn.submit(std::slice::from_ref(&first)).unwrap());
    assert!(
        matches!(
            one,
            Submitted::Incomplete {
                have: 1,
                need: 2,
                ..
            }
        ),
        "{one:?}"
    );
    // The same custodian twice is one signature.
    let again = pool.with(|turn| turn.submit(&[first.clone(), first.clone()]).unwrap());
    assert!(matches!(again, Submitted::Incomplete { have: 1, .. }));
    pool.with(|turn| turn.submit(&[second, first]).unwrap());
    assert_eq!(pool.state(id), BatchState::Signed);
    assert_eq!(pool.node.mempool(), [], "written down before it is sent");

    // The node is away: nothing is lost.
    pool.shell.is_away = true;
    let failed = pool.turn();
    assert!(
        matches!(&failed[..], [Done::Failed { act: "send", .. }]),
        "{failed:?}"
    );
    assert_eq!(pool.state(id), BatchState::Signed);
    pool.shell.is_away = false;
    let sent = pool.turn();
    assert_eq!(sent, [Done::Sent { batch: id, txid }]);
    assert!(pool.shell.outbox.is_empty());
    assert_eq!(pool.turn(), [], "and again, which nobody needs to hear of");

    pool.node.mine_elsewhere(1);
    let height = pool.node.height();
    let done = pool.turn();
    let redemptions = vec![3, 4, 9];
    let to_settle = Done::ToSettle {
        batch: id,
        txid,
        height,
        redemptions,
    };
    assert!(done.contains(&to_settle), "{done:?}");
    for id in [3, 4, 9] {
        pool.k2_says(id, RedemptionState::Settled);
    }
    pool.turn();
    assert_eq!(pool.state(id), BatchState::Settled { height });
    assert_eq!(pool.turn(), []);
    let paid = pool.paid();
    assert_eq!(paid.len(), 3);
    // What K2 burned is what the wallet lost.
    let coins = pool.with(|turn| {
        let coins = turn.bitcoin.coins.values();
        coins.map(|coin| coin.txout.value).sum::<Amount>()
    });
    assert_eq!(
        coins,
        Amount::from_int_btc(100) - Amount::from_sat(3_000_000)
    );
}

#[test]
fn a_block_that_is_re_organised_away_is_waited_for_anew() {
    let mut pool = Pool::with_coinbases(1);
    pool.request(1);
    let (id, txid) = pool.pay();
    let block = pool.node.mine_elsewhere(1)[0];
    pool.turn();
    let height = pool.node.height();
    assert_eq!(pool.state(id), BatchState::Confirmed { height });
    // K2 has settled it even; then the block goes, and the node forgets the transaction.
    pool.k2_says(1, RedemptionState::Settled);
    pool.turn();
    assert_eq!(pool.state(id), BatchState::Settled { height });
    pool.node.invalidate(block);
    pool.node.restart();
    pool.shell.source = Source::Bitcoind {
        url: pool.node.url(),
        login: Login::CookieFile(pool.node.cookie_file()),
    };
    pool.node.mine_elsewhere(2);
    assert_eq!(pool.node.mempool(), []);
    assert_eq!(pool.turn(), []);
    assert_eq!(pool.node.mempool(), [txid], "it is owed, and sent again");
    pool.node.mine_elsewhere(1);
    pool.turn();
    let height = pool.node.height();
    assert_eq!(pool.state(id), BatchState::Settled { height });
}

#[test]
fn a_bump_and_what_it_replaces() {
    let mut pool = Pool::with_coinbases(1);
    pool.request(1);
    let (first, old) = pool.pay();
    let old_transaction = pool.journal().transaction(first).unwrap().unwrap();
    // Blocks pass it by, and fees rise.
    for _ in 0..3 {
        let script = redeemer(99);
        pool.node.mine_exactly(&script, &[]);
    }
    pool.rate = 5;
    let (second, new) = pool.planned();
    assert_eq!(
        pool.state(first),
        BatchState::Sent,
        "the first one may confirm meanwhile"
    );
    pool.submit(new);
    pool.turn();
    assert_eq!(pool.node.mempool(), [new]);
    assert_eq!(pool.state(first), BatchState::Replaced { by: second });
    // A miner has the old one.
    pool.node.mine_exactly(&redeemer(99), &[&old_transaction]);
    let height = pool.node.height();
    pool.turn();
    assert_eq!(pool.state(first), BatchState::Confirmed { height });
    assert_eq!(pool.paid(), BTreeMap::from([(1, BTreeSet::from([old]))]));
    pool.node.mine_elsewhere(24);
    pool.k2_says(1, RedemptionState::Settled);
    pool.turn();
    assert_eq!(pool.state(second), BatchState::Replaced { by: first });
    assert_eq!(pool.paid().len(), 1);
}

#[test]
fn what_would_confirm_too_late_is_taken_back_and_free_when_that_is_buried() {
    let mut pool = Pool::with_coinbases(2);
    pool.request(1);
    let (first, _) = pool.pay();
    pool.k2.redemptions.get_mut(&1).unwrap().expires = pool.node.height() + 24;
    let (cancel, txid) = pool.planned();
    let batch = pool.journal().batch(cancel).unwrap();
    assert_eq!((batch.kind, batch.replaces), (Kind::Cancel, Some(first)));
    assert_eq!(pool.turn(), [], "it waits for signatures");
    pool.submit(txid);
    pool.turn();
    assert_eq!(
        pool.node.mempool(),
        [txid],
        "the node takes it in the payment's place"
    );
    pool.node.mine_elsewhere(1);
    // Its owner was patient after all: but as long as the payment could come back it is not paid anew.
    pool.k2.redemptions.get_mut(&1).unwrap().expires = pool.node.height() + 300;
    let waits = pool.turn();
    assert!(
        waits
            .iter()
            .any(|done| matches!(done, Done::Waits { redemption: 1, .. })),
        "{waits:?}"
    );
    pool.node.mine_elsewhere(23);
    let (third, _) = pool.planned();
    assert_eq!(pool.state(first), BatchState::Cancelled { by: cancel });
    assert!(matches!(pool.state(cancel), BatchState::Settled { .. }));
    assert_eq!(pool.state(third), BatchState::Planned);
}

/// The journal is lost after a payment was handed out and signed, and nobody knows. The new one pays the redemption by a
/// transaction that excludes the forgotten one.
#[test]
fn a_payment_the_lost_journal_had_handed_out_cannot_come_on_top() {
    let mut pool = Pool::with_coinbases(3);
    pool.turn();
    // Requested after the first journal was born, so that one pays it from one coin.
    pool.node.mine_elsewhere(1);
    pool.request(1);
    let (_, forgotten) = pool.planned();
    let signed = pool.sign(forgotten);
    pool.submit(forgotten);
    let whole = pool.journal().transaction(BatchId(1)).unwrap().unwrap();
    for side in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(pool.dir.path().join(format!("{FILE}{side}")));
    }
    pool.shell.outbox.clear();
    let (_, txid) = pool.planned();
    assert_ne!(txid, forgotten);
    let fenced = pool.journal().batch(BatchId(1)).unwrap();
    assert_eq!(fenced.payment.inputs.len(), 3, "all coins there are");
    let unknown = pool.with(|turn| turn.submit(&signed).unwrap_err());
    assert!(matches!(unknown, TurnError::Foreign(_)), "{unknown}");
    pool.submit(txid);
    pool.turn();
    pool.node.mine_elsewhere(1);
    assert!(pool.node.try_send(&whole).is_err(), "its coins are gone");
    pool.turn();
    assert_eq!(pool.paid(), BTreeMap::from([(1, BTreeSet::from([txid]))]));
}

/// The journal is lost when a payment is on its way: it is found in the memory pool and followed, and none is made beside it.
#[test]
fn a_payment_the_lost_journal_had_sent_is_adopted() {
    let mut pool = Pool::with_coinbases(3);
    pool.request(1);
    let (_, txid) = pool.pay();
    for side in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(pool.dir.path().join(format!("{FILE}{side}")));
    }
    let done = pool.turn();
    let batch = BatchId(1);
    assert_eq!(
        done,
        [Done::Adopted { batch, txid }, Done::Sent { batch, txid }]
    );
    // It came whole from the wallet, so it can be sent again when the node has forgotten it.
    pool.node.restart();
    pool.shell.source = Source::Bitcoind {
        url: pool.node.url(),
        login: Login::CookieFile(pool.node.cookie_file()),
    };
    assert_eq!(pool.node.mempool(), []);
    pool.turn();
    assert_eq!(pool.node.mempool(), [txid]);
    pool.node.mine_elsewhere(1);
    pool.turn();
    assert!(matches!(pool.state(batch), BatchState::Confirmed { .. }));
    assert_eq!(pool.paid(), BTreeMap::from([(1, BTreeSet::from([txid]))]));
}

/// K2 gave the tokens back while the PSBT lay there: it is withdrawn, late signatures are refused, and the others of the
/// batch are paid by a transaction that excludes it.
#[test]
fn a_refund_meanwhile_withdraws_the_batch() {
    let mut pool = Pool::with_coinbases(2);
    pool.request(1);
    pool.request(2);
    let (first, txid) = pool.planned();
    let signed = pool.sign(txid);
    pool.k2_says(2, RedemptionState::Refunded);
    let done = pool.turn();
    assert!(matches!(&done[..], [Done::Withdrawn { .. }]), "{done:?}");
    assert!(pool.shell.outbox.is_empty());
    let late = pool.with(|turn| turn.submit(&signed).unwrap_err());
    assert!(matches!(late, TurnError::State { .. }), "{late}");
    let (second, _) = pool.planned();
    let journal = pool.journal();
    let (first, second) = (
        journal.batch(first).unwrap(),
        journal.batch(second).unwrap(),
    );
    assert_eq!(second.payment.ids, BTreeSet::from([1]));
    assert!(!first.payment.inputs.is_disjoint(&second.payment.inputs));
}

#[test]
fn a_sweep_waits_until_nothing_is_in_flight() {
    let mut pool = Pool::with_coinbases(2);
    let to = ScriptBuf::new_p2wsh(&bitcoin::WScriptHash::from_byte_array([5; 32]));
    pool.request(1);
    let (first, _) = pool.pay();
    let busy = pool.with(|turn| turn.sweep(&to, None).unwrap_err());
    assert!(
        matches!(busy, TurnError::InFlight(id) if id == first),
        "{busy}"
    );
    pool.node.mine_elsewhere(1);
    pool.turn();
    let refused = pool.with(|turn| turn.sweep(&to, None).unwrap_err());
    assert!(
        refused.to_string().contains("unregistered-sweep"),
        "{refused}"
    );
    pool.k2.scripts.push(to.clone());
    let swept = pool.with(|turn| turn.sweep(&to, None).unwrap());
    let Done::Planned { batch, txid, .. } = swept else {
        panic!("{swept:?}")
    };
    pool.submit(txid);
    pool.turn();
    pool.node.mine_elsewhere(24);
    pool.turn();
    assert!(matches!(pool.state(batch), BatchState::Settled { .. }));
    let left = pool.with(|turn| turn.bitcoin.coins.len());
    assert_eq!(left, 0);
}
