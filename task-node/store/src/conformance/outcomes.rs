//! Blocks, audits, accepted submissions, distributions.

use bitcoin::hashes::Hash as _;
use bitcoin::{Amount, BlockHash};

use super::Backend;
use super::fixture::{START, cid, miner, round};
use crate::{
    Accepted, AuditRecord, BlockOutcome, BlockRecord, BlockStatus, MAX_REASON_BYTES, SetOutcome,
    StoreError,
};

pub(super) async fn blocks(backend: &dyn Backend) {
    let name = "blocks";
    let store = backend.open(name).await;
    let block = |number: u8| BlockRecord {
        hash: BlockHash::from_byte_array([number; 32]),
        height: 100 + u32::from(number),
        round: round(1),
        miner: miner(1),
        worker: "rig".to_owned(),
        value: Amount::from_sat(5_000_000_001),
        at: START,
        status: BlockStatus::Submitted,
    };
    assert_eq!(store.blocks(10).await.unwrap(), []);
    for number in [1, 2, 3] {
        let outcome = store.record_block(block(number)).await.unwrap();
        assert_eq!(outcome, BlockOutcome::Recorded);
    }
    let statuses = [
        BlockStatus::Accepted,
        BlockStatus::Rejected("high-hash".to_owned()),
        BlockStatus::Stale,
    ];
    for status in &statuses {
        store
            .set_block_status(block(2).hash, status.clone())
            .await
            .unwrap();
        let found = store.blocks(10).await.unwrap();
        let changed = BlockRecord {
            status: status.clone(),
            ..block(2)
        };
        assert_eq!(found, [block(3), changed, block(1)]);
    }
    let again = store.record_block(block(2)).await.unwrap();
    assert_eq!(again, BlockOutcome::Known);
    let unknown = store
        .set_block_status(block(9).hash, BlockStatus::Stale)
        .await;
    assert!(
        matches!(unknown, Err(StoreError::UnknownBlock(_))),
        "{unknown:?}"
    );
    let long = store
        .record_block(BlockRecord {
            worker: "x".repeat(65),
            ..block(9)
        })
        .await;
    assert!(matches!(long, Err(StoreError::WorkerName(65))), "{long:?}");
    drop(store);

    let store = backend.open(name).await;
    let found = store.blocks(2).await.unwrap();
    assert_eq!(found.len(), 2);
    assert_eq!(
        found[1].status,
        BlockStatus::Stale,
        "known blocks keep their status"
    );
    let wordy = BlockStatus::Rejected("x".repeat(MAX_REASON_BYTES + 1));
    store.set_block_status(block(3).hash, wordy).await.unwrap();
    let cut = BlockStatus::Rejected("x".repeat(MAX_REASON_BYTES));
    assert_eq!(store.blocks(1).await.unwrap()[0].status, cut);
}

pub(super) async fn audits(backend: &dyn Backend) {
    let name = "audits";
    let store = backend.open(name).await;
    let audit = |node, bundle, reason: Option<&str>| AuditRecord {
        round: round(4),
        node: miner(node),
        cid: cid(bundle),
        valid: reason.is_none(),
        reason: reason.map(str::to_owned),
        at: START.plus(u64::from(node)),
    };
    assert_eq!(store.audits(round(4)).await.unwrap(), []);
    for record in [
        audit(2, 1, None),
        audit(1, 2, Some("share 7: low difficulty")),
        audit(1, 1, Some("unavailable")),
    ] {
        store.record_audit(record).await.unwrap();
    }
    let served_at_last = audit(1, 1, None);
    store.record_audit(served_at_last.clone()).await.unwrap();
    drop(store);

    let store = backend.open(name).await;
    let expected = [
        served_at_last,
        audit(1, 2, Some("share 7: low difficulty")),
        audit(2, 1, None),
    ];
    assert_eq!(store.audits(round(4)).await.unwrap(), expected);
    assert_eq!(store.audits(round(5)).await.unwrap(), []);
}

pub(super) async fn accepted(backend: &dyn Backend) {
    let name = "accepted";
    let store = backend.open(name).await;
    let submission = |node, bundle| Accepted {
        node: miner(node),
        cid: cid(bundle),
    };
    let set = |submissions: &[Accepted]| store.set_accepted(round(3), submissions.to_vec());
    assert_eq!(store.accepted(round(3)).await.unwrap(), None);
    assert_eq!(set(&[]).await.unwrap(), SetOutcome::New);
    assert_eq!(store.accepted(round(3)).await.unwrap(), Some(vec![]));
    assert_eq!(set(&[]).await.unwrap(), SetOutcome::Unchanged);

    let (one, two) = (submission(1, 1), submission(2, 2));
    assert_eq!(set(&[two, one]).await.unwrap(), SetOutcome::Replaced);
    assert_eq!(set(&[one, two]).await.unwrap(), SetOutcome::Unchanged);
    let twice = set(&[one, two, submission(1, 3)]).await;
    assert!(
        matches!(twice, Err(StoreError::AcceptedTwice(node)) if node == miner(1)),
        "{twice:?}"
    );
    assert_eq!(
        store.accepted(round(3)).await.unwrap(),
        Some(vec![one, two])
    );
    let other = submission(1, 3);
    assert_eq!(set(&[other]).await.unwrap(), SetOutcome::Replaced);
    drop(store);

    let store = backend.open(name).await;
    assert_eq!(store.accepted(round(3)).await.unwrap(), Some(vec![other]));
    assert_eq!(store.accepted(round(2)).await.unwrap(), None);
}

pub(super) async fn distributions(backend: &dyn Backend) {
    let name = "distributions";
    let store = backend.open(name).await;
    let set = |bytes: &[u8]| store.set_distribution(round(3), bytes.to_vec());
    assert_eq!(store.distribution(round(3)).await.unwrap(), None);
    assert_eq!(set(b"").await.unwrap(), SetOutcome::New);
    assert_eq!(store.distribution(round(3)).await.unwrap(), Some(vec![]));
    assert_eq!(set(b"{\"a\":1}").await.unwrap(), SetOutcome::Replaced);
    assert_eq!(set(b"{\"a\":1}").await.unwrap(), SetOutcome::Unchanged);
    drop(store);

    let store = backend.open(name).await;
    let found = store.distribution(round(3)).await.unwrap();
    assert_eq!(found, Some(b"{\"a\":1}".to_vec()));
    assert_eq!(store.distribution(round(4)).await.unwrap(), None);
}
