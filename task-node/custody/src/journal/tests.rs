#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::path::Path;

use bitcoin::absolute::LockTime;
use bitcoin::hashes::Hash as _;
use bitcoin::{
    Amount, FeeRate, OutPoint, Psbt, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Txid, Witness,
    transaction,
};
use k2_interface::bitcoin::RedeemIds;
use proptest::prelude::*;
use work::UnixTime;

use super::*;
use crate::sqlite::FileError;

mod copies;

const COST: Cost = Cost {
    fee: Amount::from_sat(700),
    rate: FeeRate::from_sat_per_kwu(1_000),
};

/// A transaction that spends these outputs of one transaction, and names these redemptions.
fn paying(inputs: &[u32], ids: &[u64]) -> Transaction {
    let mut output = vec![TxOut {
        value: Amount::from_sat(1000),
        script_pubkey: ScriptBuf::from_bytes(vec![0x51]),
    }];
    if !ids.is_empty() {
        output.push(TxOut {
            value: Amount::ZERO,
            script_pubkey: ScriptBuf::from_bytes(RedeemIds::encode(ids).unwrap()),
        });
    }
    Transaction {
        version: transaction::Version::TWO,
        lock_time: LockTime::ZERO,
        input: inputs
            .iter()
            .map(|vout| TxIn {
                previous_output: OutPoint::new(Txid::from_byte_array([7; 32]), *vout),
                script_sig: ScriptBuf::new(),
                sequence: Sequence::ENABLE_RBF_NO_LOCKTIME,
                witness: Witness::new(),
            })
            .collect(),
        output,
    }
}

fn intent(kind: Kind, transaction: Transaction, replaces: Option<BatchId>) -> Intent {
    Intent {
        kind,
        psbt: Psbt::from_unsigned_tx(transaction).unwrap(),
        fee: Amount::from_sat(200),
        rate: FeeRate::from_sat_per_vb_u32(2),
        replaces,
    }
}

fn payout(inputs: &[u32], ids: &[u64]) -> Intent {
    intent(Kind::Payout, paying(inputs, ids), None)
}

fn signed(transaction: &Transaction) -> Transaction {
    let mut transaction = transaction.clone();
    for input in &mut transaction.input {
        input.witness.push([1; 64]);
    }
    transaction
}

/// Everything that can be asked of a journal.
fn dump(journal: &Journal) -> String {
    let batches = journal.batches().unwrap();
    let bodies: Vec<_> = batches
        .iter()
        .map(|batch| {
            let psbt = journal.psbt(batch.id).unwrap();
            (psbt, journal.transaction(batch.id).unwrap())
        })
        .collect();
    format!(
        "{} {batches:#?} {:?} {:?} {:?} {bodies:?}",
        journal.born(),
        journal.open_batches().unwrap(),
        journal.payments().unwrap(),
        journal.events(None).unwrap()
    )
}

const NOW: UnixTime = UnixTime(1_700_000_000);

#[test]
fn a_journal_is_born_once() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(
        Journal::open_existing(dir.path()),
        Err(JournalError::Missing(_))
    ));
    assert_eq!(Journal::open(dir.path(), 120).unwrap().born(), 120);
    assert_eq!(Journal::open(dir.path(), 900).unwrap().born(), 120);
    assert_eq!(Journal::open_existing(dir.path()).unwrap().born(), 120);
    let db = Journal::open(dir.path(), 0).unwrap().db;
    for forget in [
        "UPDATE journal SET born = 0",
        "DELETE FROM journal",
        "INSERT INTO journal (id, born) VALUES (2, 0)",
        "UPDATE generation SET number = number - 1",
        "UPDATE generation SET number = number + 1, journal = zeroblob(16)",
        "DELETE FROM generation",
    ] {
        assert!(db.execute(forget, ()).is_err(), "{forget}");
    }
}

#[test]
fn what_was_signed_is_never_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(dir.path(), 1).unwrap();
    let payment = Payment::of(&paying(&[0, 1], &[5, 9]), Some(3)).unwrap();
    journal.record_signed(&payment, COST).unwrap();
    journal.record_signed(&payment, COST).unwrap();
    // Handing the same one out later is no less than having signed it.
    journal.plan(&payout(&[0, 1], &[5, 9]), NOW).unwrap();
    let known = Payment {
        height: None,
        ..payment.clone()
    };
    let journal = Journal::open_existing(dir.path()).unwrap();
    assert_eq!(journal.payments().unwrap(), std::slice::from_ref(&known));
    let of = |ids: &[u64]| journal.payments_of(&ids.iter().copied().collect()).unwrap();
    assert_eq!(of(&[9, 10]), [known]);
    assert_eq!(of(&[6]), []);
    for forget in [
        "DELETE FROM names",
        "DELETE FROM inputs",
        "DELETE FROM transactions",
        "UPDATE transactions SET signed = 0",
        "UPDATE names SET redemption = 0",
        "UPDATE inputs SET outpoint = zeroblob(36)",
    ] {
        assert!(journal.db.execute(forget, ()).is_err(), "{forget}");
    }
}

#[test]
fn a_bump_replaces_what_it_stands_in_for() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(dir.path(), 1).unwrap();
    let first = journal.plan(&payout(&[0], &[1]), NOW).unwrap();
    let bump = intent(Kind::Payout, paying(&[0, 1], &[1]), Some(first));
    let second = journal.plan(&bump, NOW).unwrap();
    let third = intent(Kind::Payout, paying(&[0, 1, 2], &[1]), Some(second));
    let third = journal.plan(&third, NOW).unwrap();
    assert_eq!(journal.batch(first).unwrap().state, BatchState::Planned);
    let complete = signed(&paying(&[0, 1, 2], &[1]));
    journal.complete(third, &complete, NOW).unwrap();
    assert_eq!(journal.transaction(third).unwrap(), Some(complete));
    journal.sent(third, 77, NOW).unwrap();
    journal.sent(third, 80, NOW).unwrap();
    for replaced in [first, second] {
        let state = journal.batch(replaced).unwrap().state;
        assert_eq!(state, BatchState::Replaced { by: third });
    }
    let third = journal.batch(third).unwrap();
    assert_eq!((third.state, third.sent_at), (BatchState::Sent, Some(77)));
}

#[test]
fn a_batch_is_planned_and_completed_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(dir.path(), 1).unwrap();
    let id = journal.plan(&payout(&[0], &[1]), NOW).unwrap();
    let again = journal.plan(&payout(&[0], &[1]), NOW).unwrap_err();
    assert!(matches!(again, JournalError::Known { batch, .. } if batch == id));
    let other = journal.complete(id, &paying(&[3], &[1]), NOW).unwrap_err();
    assert!(matches!(other, JournalError::OtherTransaction { .. }));
    let unknown = journal.set_state(BatchId(9), BatchState::Dead, NOW);
    assert!(matches!(unknown, Err(JournalError::Unknown(BatchId(9)))));
    journal.set_state(id, BatchState::Withdrawn, NOW).unwrap();
    let late = journal.complete(id, &paying(&[0], &[1]), NOW).unwrap_err();
    assert!(matches!(late, JournalError::State { .. }), "{late}");
    for state in [BatchState::Planned, BatchState::Signed] {
        assert!(journal.set_state(id, state, NOW).is_err());
    }
    // Somebody had it whole and sent it.
    journal.set_state(id, BatchState::Sent, NOW).unwrap();
    journal.close(id, NOW).unwrap();
    assert_eq!(journal.open_batches().unwrap(), []);
    journal
        .set_state(id, BatchState::Confirmed { height: 9 }, NOW)
        .unwrap();
    assert_eq!(
        journal.open_batches().unwrap().len(),
        1,
        "not closed any more"
    );
}

/// A batch was cancelled, and until the next block its redemptions came to the same transaction again, which was refused.
#[test]
fn what_was_withdrawn_is_planned_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(dir.path(), 1).unwrap();
    let id = journal.plan(&payout(&[0], &[1]), NOW).unwrap();
    journal.set_state(id, BatchState::Withdrawn, NOW).unwrap();
    journal.close(id, NOW).unwrap();
    assert_eq!(journal.plan(&payout(&[0], &[1]), NOW).unwrap(), id);
    let open = journal.open_batches().unwrap();
    assert_eq!((open.len(), open[0].state), (1, BatchState::Planned));
    // Whole, it is not a plan any more.
    let whole = signed(&paying(&[0], &[1]));
    journal.complete(id, &whole, NOW).unwrap();
    journal.set_state(id, BatchState::Withdrawn, NOW).unwrap();
    let again = journal.plan(&payout(&[0], &[1]), NOW).unwrap_err();
    assert!(matches!(again, JournalError::Known { batch, .. } if batch == id));
}

#[test]
fn an_endpoint_of_k2_that_lags_behind_is_not_believed() {
    let dir = tempfile::tempdir().unwrap();
    Journal::open(dir.path(), 1).unwrap().see(50).unwrap();
    let mut journal = Journal::open(dir.path(), 1).unwrap();
    journal.see(50).unwrap();
    let behind = journal.see(49).unwrap_err();
    assert!(
        matches!(
            behind,
            JournalError::Behind {
                slot: 49,
                newest: 50
            }
        ),
        "{behind}"
    );
    journal.see(51).unwrap();
}

#[test]
fn a_newer_or_foreign_file_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let db = Journal::open(dir.path(), 1).unwrap().db;
    db.pragma_update(None, "user_version", 99).unwrap();
    drop(db);
    let newer = Journal::open(dir.path(), 1).unwrap_err();
    assert!(
        matches!(
            newer,
            JournalError::File(FileError::TooNew { found: 99, .. })
        ),
        "{newer}"
    );
    std::fs::write(dir.path().join("journal.sqlite"), vec![0x55; 8192]).unwrap();
    for side in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(dir.path().join(format!("journal.sqlite{side}")));
    }
    let foreign = Journal::open(dir.path(), 1).unwrap_err();
    assert!(
        matches!(foreign, JournalError::File(FileError::Other(_))),
        "{foreign}"
    );
}

#[derive(Debug, Clone)]
enum Step {
    Sign(Vec<u32>, Vec<u64>),
    Plan(Vec<u32>, Vec<u64>, Kind, Option<u32>),
    Adopt(Vec<u32>, Vec<u64>, Option<u32>),
    Complete(u32),
    Sent(u32, u32),
    State(u32, BatchState),
    Close(u32),
    Note(Option<u32>),
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let inputs = || prop::collection::btree_set(0_u32..6, 1..3).prop_map(Vec::from_iter);
    let ids = || prop::collection::btree_set(0_u64..6, 0..3).prop_map(Vec::from_iter);
    let batch = || 1_u32..6;
    let kind = prop_oneof![Just(Kind::Payout), Just(Kind::Cancel), Just(Kind::Sweep)];
    let state = prop_oneof![
        Just(BatchState::Planned),
        Just(BatchState::Sent),
        Just(BatchState::Dead),
        Just(BatchState::Withdrawn),
        (0_u32..9).prop_map(|height| BatchState::Confirmed { height }),
        (0_u32..9).prop_map(|height| BatchState::Settled { height }),
        batch().prop_map(|by| BatchState::Replaced { by: BatchId(by) }),
        batch().prop_map(|by| BatchState::Cancelled { by: BatchId(by) }),
    ];
    prop_oneof![
        (inputs(), ids()).prop_map(|(inputs, ids)| Step::Sign(inputs, ids)),
        (inputs(), ids(), kind, prop::option::of(batch()))
            .prop_map(|(inputs, ids, kind, replaces)| Step::Plan(inputs, ids, kind, replaces)),
        (inputs(), ids(), prop::option::of(0_u32..9))
            .prop_map(|(inputs, ids, height)| Step::Adopt(inputs, ids, height)),
        batch().prop_map(Step::Complete),
        (batch(), 0_u32..9).prop_map(|(id, height)| Step::Sent(id, height)),
        (batch(), state).prop_map(|(id, state)| Step::State(id, state)),
        batch().prop_map(Step::Close),
        prop::option::of(batch()).prop_map(Step::Note),
        Just(Step::Reopen),
    ]
}

/// What a step answers, as text; a refusal changes nothing.
fn take(journal: &mut Journal, step: &Step, now: UnixTime) -> String {
    let payment = |inputs: &[u32], ids: &[u64], height| {
        let transaction = paying(inputs, ids);
        Payment {
            txid: transaction.compute_txid(),
            inputs: transaction
                .input
                .iter()
                .map(|i| i.previous_output)
                .collect(),
            ids: ids.iter().copied().collect(),
            height,
        }
    };
    match step {
        Step::Sign(inputs, ids) => {
            format!(
                "{:?}",
                journal.record_signed(&payment(inputs, ids, None), COST)
            )
        }
        Step::Plan(inputs, ids, kind, replaces) => {
            let intent = intent(*kind, paying(inputs, ids), replaces.map(BatchId));
            format!("{:?}", journal.plan(&intent, now))
        }
        Step::Adopt(inputs, ids, height) => {
            let payment = payment(inputs, ids, *height);
            format!("{:?}", journal.adopt(&payment, None, now))
        }
        Step::Complete(id) => {
            let psbt = journal.psbt(BatchId(*id)).ok().flatten();
            let Some(psbt) = psbt else {
                return String::new();
            };
            let complete = signed(&psbt.unsigned_tx);
            format!("{:?}", journal.complete(BatchId(*id), &complete, now))
        }
        Step::Sent(id, height) => format!("{:?}", journal.sent(BatchId(*id), *height, now)),
        Step::State(id, state) => format!("{:?}", journal.set_state(BatchId(*id), *state, now)),
        Step::Close(id) => format!("{:?}", journal.close(BatchId(*id), now)),
        Step::Note(id) => format!("{:?}", journal.note(id.map(BatchId), "seen", now)),
        Step::Reopen => String::new(),
    }
}

fn open(dir: &Path) -> Journal {
    Journal::open(dir, 42).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Whatever is done, and wherever it is interrupted between two steps: the journal that was closed and opened again
    /// says what the one says that was not; and nothing that was handed out or signed is missing in it.
    #[test]
    fn a_journal_reopened_anywhere_is_the_same(steps in prop::collection::vec(step(), 1..40)) {
        let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let (mut kept, mut reopened) = (open(dirs[0].path()), open(dirs[1].path()));
        let mut named: BTreeSet<Txid> = BTreeSet::new();
        for (at, step) in steps.iter().enumerate() {
            if matches!(step, Step::Reopen) {
                drop(reopened);
                reopened = Journal::open(dirs[1].path(), 7).unwrap();
            }
            let now = UnixTime(at as u64);
            let answer = take(&mut kept, step, now);
            prop_assert_eq!(&answer, &take(&mut reopened, step, now));
            if let (Step::Sign(inputs, ids) | Step::Plan(inputs, ids, ..) | Step::Adopt(inputs, ids, _), true)
                = (step, answer.starts_with("Ok"))
                && !ids.is_empty()
            {
                named.insert(paying(inputs, ids).compute_txid());
            }
        }
        prop_assert_eq!(dump(&kept), dump(&reopened));
        let known: BTreeSet<Txid> = kept.payments().unwrap().iter().map(|p| p.txid).collect();
        prop_assert_eq!(known, named);
    }
}
