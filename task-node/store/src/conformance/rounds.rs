//! Boots and the life of rounds.

use std::sync::Arc;

use pow::Work;

use super::Backend;
use super::fixture::{START, cid, mark, miner, round, share};
use crate::{
    CloseOutcome, OpenOutcome, Recorded, RoundRecord, RoundState, Seal, SealOutcome, ShareStore,
    StoreError,
};

async fn record(store: &Arc<dyn ShareStore>, number: u64) -> RoundRecord {
    store.round(round(number)).await.unwrap().unwrap()
}

pub(super) async fn boots_never_repeat(backend: &dyn Backend) {
    let name = "boots_never_repeat";
    for boot in [1, 2, 3] {
        let store = backend.open(name).await;
        assert_eq!(store.next_boot().await.unwrap(), boot);
    }
    let store = backend.open(name).await;
    let calls = (0..8).map(|_| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.next_boot().await.unwrap() })
    });
    let mut boots = Vec::new();
    for call in calls.collect::<Vec<_>>() {
        boots.push(call.await.unwrap());
    }
    boots.sort_unstable();
    assert_eq!(boots, (4..12).collect::<Vec<_>>());
}

pub(super) async fn rounds_only_move_forward(backend: &dyn Backend) {
    let name = "rounds_only_move_forward";
    let store = backend.open(name).await;
    assert_eq!(store.latest_round().await.unwrap(), None);
    assert_eq!(store.round(round(0)).await.unwrap(), None);

    let open = |number, minutes| store.open_round(round(number), mark(minutes));
    assert_eq!(open(0, 1).await.unwrap(), OpenOutcome::Opened);
    assert_eq!(open(0, 2).await.unwrap(), OpenOutcome::AlreadyOpen);
    // Rounds may be skipped, and the one before stays open for its late shares.
    assert_eq!(open(5, 3).await.unwrap(), OpenOutcome::Opened);
    assert_eq!(open(0, 4).await.unwrap(), OpenOutcome::AlreadyOpen);
    let behind = OpenOutcome::Behind { current: round(5) };
    assert_eq!(open(3, 5).await.unwrap(), behind);
    assert_eq!(store.round(round(3)).await.unwrap(), None);
    assert_eq!(
        record(&store, 0).await.opened,
        mark(1),
        "the first opening counts"
    );

    let closed = store.close_round(round(5), mark(6)).await.unwrap();
    assert_eq!(closed, CloseOutcome::Closed);
    assert_eq!(open(5, 7).await.unwrap(), OpenOutcome::Finished);
    assert_eq!(open(4, 7).await.unwrap(), behind);
    assert_eq!(
        store.close_round(round(4), mark(8)).await.unwrap(),
        CloseOutcome::NotOpened
    );
    drop(store);

    let store = backend.open(name).await;
    assert_eq!(
        store.open_round(round(4), mark(9)).await.unwrap(),
        behind,
        "a restart does not turn time back"
    );
    assert_eq!(store.latest_round().await.unwrap().unwrap().round, round(5));
}

pub(super) async fn a_round_goes_from_open_to_sealed(backend: &dyn Backend) {
    let name = "a_round_goes_from_open_to_sealed";
    let store = backend.open(name).await;
    let opened = store.open_round(round(1), mark(1)).await.unwrap();
    assert_eq!(opened, OpenOutcome::Opened);
    let shares = [0, 1, 2].map(|number| share(round(1), miner(1), number));
    let mut work = Work::ZERO;
    for share in shares {
        work = work.checked_add(share.share.work()).unwrap();
        assert_eq!(store.record_share(share).await.unwrap(), Recorded::Stored);
    }
    let mut expected = RoundRecord {
        round: round(1),
        opened: mark(1),
        state: RoundState::Open,
        shares: 3,
        work,
    };
    assert_eq!(record(&store, 1).await, expected);

    let closed = store.close_round(round(1), mark(2)).await.unwrap();
    assert_eq!(closed, CloseOutcome::Closed);
    let again = store.close_round(round(1), mark(3)).await.unwrap();
    assert_eq!(again, CloseOutcome::AlreadyClosed);
    expected.state = RoundState::Closed(mark(2));
    assert_eq!(
        record(&store, 1).await,
        expected,
        "the first closing counts"
    );
    drop(store);

    // A crash between closing and sealing is resumed.
    let store = backend.open(name).await;
    assert_eq!(record(&store, 1).await, expected);
    let seal = Seal {
        cid: cid(1),
        root: [9; 32],
        shares: 3,
        work,
        at: START.plus(500),
    };
    let sealed = store.seal_round(round(1), seal).await.unwrap();
    assert_eq!(sealed, SealOutcome::Sealed);
    expected.state = RoundState::Sealed {
        closed: mark(2),
        seal,
    };
    assert_eq!(record(&store, 1).await, expected);
    drop(store);
    let store = backend.open(name).await;
    assert_eq!(record(&store, 1).await, expected);
    let again = store.close_round(round(1), mark(3)).await.unwrap();
    assert_eq!(again, CloseOutcome::AlreadyClosed);
}

pub(super) async fn a_seal_is_final(backend: &dyn Backend) {
    let store = backend.open("a_seal_is_final").await;
    let seal = Seal {
        cid: cid(1),
        root: [9; 32],
        shares: 0,
        work: Work::ZERO,
        at: START,
    };
    let refused = store.seal_round(round(0), seal).await;
    assert!(
        matches!(refused, Err(StoreError::NotClosed(_))),
        "{refused:?}"
    );
    let opened = store.open_round(round(0), mark(1)).await.unwrap();
    assert_eq!(opened, OpenOutcome::Opened);
    let refused = store.seal_round(round(0), seal).await;
    assert!(
        matches!(refused, Err(StoreError::NotClosed(_))),
        "{refused:?}"
    );
    let closed = store.close_round(round(0), mark(2)).await.unwrap();
    assert_eq!(closed, CloseOutcome::Closed);

    for beyond in [
        Seal { shares: 1, ..seal },
        Seal {
            work: Work::from_hashes(1),
            ..seal
        },
    ] {
        let refused = store.seal_round(round(0), beyond).await;
        assert!(
            matches!(refused, Err(StoreError::SealExceedsRound(_))),
            "{refused:?}"
        );
    }

    let sealed = store.seal_round(round(0), seal).await.unwrap();
    assert_eq!(
        sealed,
        SealOutcome::Sealed,
        "an empty round is sealed like any other"
    );
    let later = Seal {
        at: START.plus(60),
        ..seal
    };
    let again = store.seal_round(round(0), later).await.unwrap();
    assert_eq!(again, SealOutcome::AlreadySealed);
    for other in [
        Seal {
            cid: cid(2),
            ..seal
        },
        Seal {
            root: [8; 32],
            ..seal
        },
    ] {
        let refused = store.seal_round(round(0), other).await;
        assert!(
            matches!(refused, Err(StoreError::SealedOtherwise { sealed, .. }) if sealed == cid(1)),
            "{refused:?}"
        );
    }
    assert_eq!(record(&store, 0).await.state.seal(), Some(&seal));
}

pub(super) async fn newest_rounds_come_first(backend: &dyn Backend) {
    let store = backend.open("newest_rounds_come_first").await;
    assert_eq!(store.rounds(10).await.unwrap(), []);
    for number in [1, 2, 7] {
        let opened = store.open_round(round(number), mark(1)).await.unwrap();
        assert_eq!(opened, OpenOutcome::Opened);
    }
    let numbers = |records: Vec<RoundRecord>| -> Vec<u64> {
        records.iter().map(|record| record.round.get()).collect()
    };
    assert_eq!(numbers(store.rounds(10).await.unwrap()), [7, 2, 1]);
    assert_eq!(numbers(store.rounds(2).await.unwrap()), [7, 2]);
    assert_eq!(numbers(store.rounds(0).await.unwrap()), []);
    assert_eq!(store.latest_round().await.unwrap().unwrap().round, round(7));
}
