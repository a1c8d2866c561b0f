#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use bitcoin::hashes::Hash as _;

use super::*;

/// A state whose chain ends with its first block, beside a witness with so many blocks more.
fn state(ahead: u8, now: Instant) -> State {
    let chain = HeaderChain::genesis(Network::Regtest);
    let genesis = chain.tip().unwrap().hash;
    let above = (1..=ahead).map(|block| {
        let hash = BlockHash::from_byte_array([block; 32]);
        (hash, 1 + 2 * u128::from(block))
    });
    let witness = Witness::new("the relay", 0, std::iter::once((genesis, 1)).chain(above));
    let mut state = State {
        chain: Some(chain),
        heard: Vec::new(),
        tip_since: now,
        witness: Some((witness.unwrap(), now)),
        outweighed_since: None,
    };
    state.weigh(now);
    state
}

#[test]
fn news_is_waited_for_and_more_than_news_is_not() {
    let now = Instant::now();
    let late = now + NEWS_PATIENCE;
    for (ahead, at_once, later) in [
        (0, false, false),
        (1, false, true),
        (2, false, true),
        (3, true, true),
    ] {
        let state = state(ahead, now);
        assert_eq!(state.outweighed(now).is_some(), at_once, "{ahead}");
        assert_eq!(state.outweighed(late).is_some(), later, "{ahead}");
    }
}

#[test]
fn peers_that_come_up_in_time_were_only_late() {
    let now = Instant::now();
    let late = now + NEWS_PATIENCE;
    let mut state = state(1, now);
    let lagging = state.witness.take();
    state.weigh(late);
    assert_eq!(state.outweighed_since, None);
    // Behind again, by another block: its time counts from now on.
    state.witness = lagging;
    state.weigh(late);
    assert!(state.outweighed(late).is_none());
    assert!(state.outweighed(late + NEWS_PATIENCE).is_some());
    // Said again, it is no younger.
    state.weigh(late + NEWS_PATIENCE / 2);
    assert!(state.outweighed(late + NEWS_PATIENCE).is_some());
}
