//! Settled rounds: kept once, never changed.

use bitcoin::hashes::{Hash as _, sha256};

use super::Backend;
use super::fixture::round;
use crate::{MAX_SETTLEMENT_BYTES, SetOutcome, StoreError};

pub(super) async fn settlements_are_final_and_in_order(backend: &dyn Backend) {
    let name = "settlements";
    let store = backend.open(name).await;
    assert_eq!(store.newest_settled().await.unwrap(), None);
    assert_eq!(store.settlement(round(3)).await.unwrap(), None);

    // The first one may be of any round.
    let set = |number, bytes: &[u8]| store.set_settlement(round(number), bytes.to_vec());
    assert_eq!(set(3, b"three").await.unwrap(), SetOutcome::New);
    assert_eq!(set(3, b"three").await.unwrap(), SetOutcome::Unchanged);
    let other = set(3, b"3").await;
    let digest = |bytes: &[u8]| sha256::Hash::hash(bytes);
    assert!(
        matches!(&other, Err(StoreError::SettledOtherwise { round: at, kept, given })
            if *at == round(3) && *kept == digest(b"three") && *given == digest(b"3")),
        "{other:?}"
    );
    let message = other.unwrap_err().to_string();
    for digest in [digest(b"three"), digest(b"3")] {
        assert!(message.contains(&digest.to_string()), "{message}");
    }

    for gap in [1, 2, 5] {
        let skipped = set(gap, b"gap").await;
        assert!(
            matches!(skipped, Err(StoreError::SettledOutOfOrder { newest, .. }) if newest == round(3)),
            "{gap}: {skipped:?}"
        );
    }
    assert_eq!(set(4, b"").await.unwrap(), SetOutcome::New);
    let long = store
        .set_settlement(round(5), vec![0; MAX_SETTLEMENT_BYTES + 1])
        .await;
    assert!(
        matches!(long, Err(StoreError::SettlementTooLong(_))),
        "{long:?}"
    );
    // A provisional distribution comes and goes beside it.
    assert_eq!(store.distribution(round(3)).await.unwrap(), None);
    let _ = store
        .set_distribution(round(3), b"provisional".to_vec())
        .await
        .unwrap();
    drop(store);

    let store = backend.open(name).await;
    assert_eq!(store.newest_settled().await.unwrap(), Some(round(4)));
    let kept = store.settlement(round(3)).await.unwrap();
    assert_eq!(kept, Some(b"three".to_vec()));
    assert_eq!(store.settlement(round(4)).await.unwrap(), Some(vec![]));
    assert_eq!(store.settlement(round(5)).await.unwrap(), None);
}

pub(super) async fn the_first_round_is_fixed_by_the_first_settlement(backend: &dyn Backend) {
    let name = "first-round";
    let store = backend.open(name).await;
    assert_eq!(store.first_round().await.unwrap(), None);
    let set = |number| store.set_first_round(round(number));
    assert_eq!(set(0).await.unwrap(), SetOutcome::New);
    assert_eq!(set(0).await.unwrap(), SetOutcome::Unchanged);
    assert_eq!(set(7).await.unwrap(), SetOutcome::Replaced);
    let _ = store
        .set_settlement(round(7), b"seven".to_vec())
        .await
        .unwrap();
    assert_eq!(set(7).await.unwrap(), SetOutcome::Unchanged);
    let late = set(8).await;
    assert!(
        matches!(late, Err(StoreError::FirstRoundSettled { kept, given })
            if kept == round(7) && given == round(8)),
        "{late:?}"
    );
    drop(store);

    let store = backend.open(name).await;
    assert_eq!(store.first_round().await.unwrap(), Some(round(7)));
}
