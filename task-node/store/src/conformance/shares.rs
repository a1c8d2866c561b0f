//! Shares: stored once, whole, and only where they belong.

use std::collections::BTreeSet;
use std::sync::Arc;

use k2_interface::K2Address;
use pow::{Algorithm as _, Sha256d, ShareDifficulty};
use work::{Claim, Job, TaskId, VersionMask};

use super::Backend;
use super::fixture::{START, claim, job_template, mark, miner, round, share, share_of, stored};
use crate::{CloseOutcome, NewShare, OpenOutcome, Recorded, ShareStore, StoreError, WorkerStats};

async fn open_round(store: &Arc<dyn ShareStore>, number: u64) {
    let opened = store.open_round(round(number), mark(0)).await.unwrap();
    assert_eq!(opened, OpenOutcome::Opened);
}

async fn close_round(store: &Arc<dyn ShareStore>, number: u64) {
    let closed = store.close_round(round(number), mark(9)).await.unwrap();
    assert_eq!(closed, CloseOutcome::Closed);
}

/// Sends all shares at once, each from a task of its own; answers in the same order.
async fn record_all(
    store: &Arc<dyn ShareStore>,
    shares: Vec<NewShare>,
) -> Vec<Result<Recorded, StoreError>> {
    let calls: Vec<_> = shares
        .into_iter()
        .map(|share| {
            let store = Arc::clone(store);
            tokio::spawn(async move { store.record_share(share).await })
        })
        .collect();
    let mut answers = Vec::new();
    for call in calls {
        answers.push(call.await.unwrap());
    }
    answers
}

fn count(answers: &[Result<Recorded, StoreError>], wanted: Recorded) -> usize {
    answers
        .iter()
        .filter(|answer| matches!(answer, Ok(given) if *given == wanted))
        .count()
}

pub(super) async fn a_share_comes_back_as_it_went_in(backend: &dyn Backend) {
    let name = "a_share_comes_back_as_it_went_in";
    let store = backend.open(name).await;
    open_round(&store, 1).await;
    open_round(&store, 2).await;
    let harder = |claim: Claim| Claim {
        difficulty: ShareDifficulty::MIN.harder().harder(),
        ..claim
    };
    let extended = |claim: Claim| Claim {
        extension: vec![0xab; work::MAX_EXTENSION_BYTES],
        ..claim
    };
    let base = claim(round(1), miner(1));
    let mut expected = Vec::new();
    for (number, (height, claim, worker)) in [
        (1, base.clone(), "rig"),
        (2, base.clone(), ""),
        (1, harder(base.clone()), "rig"),
        (1, claim(round(1), miner(2)), "rig"),
        (
            3,
            extended(base.clone()),
            "w\u{e4}\u{0}\n'; DROP TABLE shares; --",
        ),
        (2, base.clone(), &"x".repeat(64)),
        (2, claim(round(2), miner(1)), "rig"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut share = share_of(&job_template(height), claim, number as u32);
        share.worker = worker.to_owned();
        share.at = START.plus(number as u64);
        assert_eq!(
            store.record_share(share.clone()).await.unwrap(),
            Recorded::Stored
        );
        expected.push(share);
    }
    drop(store);

    let store = backend.open(name).await;
    let found = store.round_shares(round(1)).await.unwrap();
    assert_eq!(
        store.round_shares(round(1)).await.unwrap(),
        found,
        "the order is fixed"
    );
    let ours = |number: u64| {
        expected
            .iter()
            .filter(move |s| s.share.job().claim().round == round(number))
    };
    assert_eq!(found.shares.len(), ours(1).count());
    for share in ours(1) {
        assert!(found.shares.contains(&stored(share)), "{share:?}");
    }
    let ids: Vec<_> = found.jobs.iter().map(|(id, _)| *id).collect();
    assert!(ids.is_sorted());
    let named: BTreeSet<_> = ours(1).map(|s| s.share.job().template_id()).collect();
    assert_eq!(ids, named.into_iter().collect::<Vec<_>>());
    for (id, template) in &found.jobs {
        assert_eq!(template.id().unwrap(), *id);
    }

    // What is stored is enough to hash the very header again.
    for share in &found.shares {
        let (_, template) = found.jobs.iter().find(|(id, _)| *id == share.job).unwrap();
        let job = Job::new(Arc::new(template.clone()), share.claim.as_ref().clone()).unwrap();
        let header = job.header(&share.fields, VersionMask::BIP320);
        assert_eq!(
            Sha256d::hash(&header),
            *AsRef::<[u8; 32]>::as_ref(&share.hash)
        );
    }

    assert_eq!(store.round_shares(round(2)).await.unwrap().shares.len(), 1);
    assert_eq!(store.round_shares(round(3)).await.unwrap().shares, []);
}

pub(super) async fn a_header_counts_once(backend: &dyn Backend) {
    let name = "a_header_counts_once";
    let store = backend.open(name).await;
    open_round(&store, 1).await;
    let first = share(round(1), miner(1), 1);
    assert_eq!(
        store.record_share(first.clone()).await.unwrap(),
        Recorded::Stored
    );
    // The same header under another worker's name and at another time is the same share.
    let mut again = first.clone();
    again.worker = "other".to_owned();
    again.at = START.plus(5);
    assert_eq!(
        store.record_share(again.clone()).await.unwrap(),
        Recorded::Duplicate
    );
    drop(store);

    let store = backend.open(name).await;
    assert_eq!(
        store.record_share(again.clone()).await.unwrap(),
        Recorded::Duplicate
    );
    close_round(&store, 1).await;
    assert_eq!(
        store.record_share(again).await.unwrap(),
        Recorded::Duplicate,
        "who asks whether a share was stored is told so also after the round"
    );
    let found = store.round_shares(round(1)).await.unwrap();
    assert_eq!(found.shares, [stored(&first)]);
    let record = store.round(round(1)).await.unwrap().unwrap();
    assert_eq!((record.shares, record.work), (1, first.share.work()));
}

pub(super) async fn a_header_counts_once_however_many_send_it(backend: &dyn Backend) {
    let store = backend
        .open("a_header_counts_once_however_many_send_it")
        .await;
    open_round(&store, 1).await;
    let same = share(round(1), miner(1), 1);
    let answers = record_all(&store, vec![same; 64]).await;
    assert_eq!(count(&answers, Recorded::Stored), 1);
    assert_eq!(count(&answers, Recorded::Duplicate), 63);
    assert_eq!(store.round(round(1)).await.unwrap().unwrap().shares, 1);
}

pub(super) async fn a_closed_round_takes_no_share(backend: &dyn Backend) {
    let store = backend.open("a_closed_round_takes_no_share").await;
    open_round(&store, 1).await;
    open_round(&store, 2).await;
    let late = share(round(1), miner(1), 1);
    assert_eq!(
        store.record_share(late).await.unwrap(),
        Recorded::Stored,
        "a late share counts while its round is open"
    );
    close_round(&store, 1).await;
    let too_late = share(round(1), miner(1), 2);
    assert_eq!(
        store.record_share(too_late.clone()).await.unwrap(),
        Recorded::RoundClosed
    );
    let current = share(round(2), miner(1), 3);
    assert_eq!(store.record_share(current).await.unwrap(), Recorded::Stored);
    let found = store.round_shares(round(1)).await.unwrap();
    assert!(found.shares.iter().all(|s| s.hash != too_late.share.hash()));
    assert_eq!(store.round(round(1)).await.unwrap().unwrap().shares, 1);
}

pub(super) async fn closing_is_a_clean_cut(backend: &dyn Backend) {
    let store = backend.open("closing_is_a_clean_cut").await;
    open_round(&store, 1).await;
    let shares: Vec<_> = (0..64).map(|n| share(round(1), miner(1), n)).collect();
    let closing = Arc::clone(&store);
    let closing = tokio::spawn(async move {
        close_round(&closing, 1).await;
        closing.round_shares(round(1)).await.unwrap()
    });
    let answers = record_all(&store, shares).await;
    let at_closing = closing.await.unwrap();
    let stored = count(&answers, Recorded::Stored);
    assert_eq!(stored + count(&answers, Recorded::RoundClosed), 64);
    assert_eq!(
        at_closing.shares.len(),
        stored,
        "nothing entered after the answer"
    );
    assert_eq!(store.round_shares(round(1)).await.unwrap(), at_closing);
}

pub(super) async fn what_does_not_belong_is_refused(backend: &dyn Backend) {
    let store = backend.open("what_does_not_belong_is_refused").await;
    open_round(&store, 1).await;
    let template = job_template(1);

    let unopened = share(round(2), miner(1), 1);
    let refused = store.record_share(unopened).await;
    assert!(
        matches!(refused, Err(StoreError::RoundNotOpened(_))),
        "{refused:?}"
    );

    let other_task = Claim {
        task: TaskId::from_bytes([0x33; 32]),
        ..claim(round(1), miner(1))
    };
    let other_node = Claim {
        node: K2Address::from_bytes([0x33; 32]),
        ..claim(round(1), miner(1))
    };
    for foreign in [other_task, other_node] {
        let refused = store.record_share(share_of(&template, foreign, 2)).await;
        assert!(
            matches!(refused, Err(StoreError::ForeignShare)),
            "{refused:?}"
        );
    }

    let mut long = share(round(1), miner(1), 3);
    long.worker = "x".repeat(65);
    let refused = store.record_share(long).await;
    assert!(
        matches!(refused, Err(StoreError::WorkerName(65))),
        "{refused:?}"
    );

    assert_eq!(store.round_shares(round(1)).await.unwrap().shares, []);
    assert_eq!(store.round_shares(round(2)).await.unwrap().shares, []);
}

pub(super) async fn a_failing_neighbour_harms_nobody(backend: &dyn Backend) {
    let store = backend.open("a_failing_neighbour_harms_nobody").await;
    open_round(&store, 1).await;
    let shares: Vec<_> = (0..64)
        .map(|n| share(round(1 + u64::from(n % 2)), miner(1), n))
        .collect();
    let answers = record_all(&store, shares).await;
    for (number, answer) in answers.iter().enumerate() {
        if number % 2 == 0 {
            assert!(matches!(answer, Ok(Recorded::Stored)), "{answer:?}");
        } else {
            assert!(
                matches!(answer, Err(StoreError::RoundNotOpened(_))),
                "{answer:?}"
            );
        }
    }
    assert_eq!(store.round_shares(round(1)).await.unwrap().shares.len(), 32);
    assert_eq!(store.round(round(1)).await.unwrap().unwrap().shares, 32);
}

pub(super) async fn statistics_add_up(backend: &dyn Backend) {
    let store = backend.open("statistics_add_up").await;
    open_round(&store, 1).await;
    let template = job_template(1);
    let easy = ShareDifficulty::MIN;
    let hard = easy.harder().harder().harder();
    for (number, (miner_number, worker, difficulty, minute)) in [
        (1, "a", easy, 0),
        (1, "a", easy, 10),
        (1, "a", hard, 11),
        (1, "b", easy, 11),
        (2, "a", easy, 12),
    ]
    .into_iter()
    .enumerate()
    {
        let claim = Claim {
            difficulty,
            ..claim(round(1), miner(miner_number))
        };
        let mut share = share_of(&template, claim, number as u32);
        share.worker = worker.to_owned();
        share.at = START.plus(minute * 60);
        assert_eq!(store.record_share(share).await.unwrap(), Recorded::Stored);
    }
    let stats = |miner_number, worker: &str, shares, work, minute: u64| WorkerStats {
        miner: miner(miner_number),
        worker: worker.to_owned(),
        shares,
        work,
        last_share: START.plus(minute * 60),
    };
    let both = easy.work().checked_add(hard.work()).unwrap();
    let all = both.checked_add(easy.work()).unwrap();
    assert_eq!(
        store.worker_stats(START, 10).await.unwrap(),
        [
            stats(1, "a", 3, all, 11),
            stats(1, "b", 1, easy.work(), 11),
            stats(2, "a", 1, easy.work(), 12),
        ]
    );
    assert_eq!(
        store.worker_stats(START.plus(600), 2).await.unwrap(),
        [
            stats(1, "a", 2, both, 11),
            stats(1, "b", 1, easy.work(), 11)
        ]
    );
    assert_eq!(store.worker_stats(START.plus(6000), 2).await.unwrap(), []);
}
