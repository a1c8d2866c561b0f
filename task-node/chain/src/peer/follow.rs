//! Following one peer: its tip, its headers, its template.

use std::{sync::Arc, time::Duration};

use bitcoin::BlockHash;
use tokio::time::{Instant, sleep};

use super::{
    MAX_HEADERS,
    client::{PeerFailure, Template},
    header_chain::{Accepted, HeaderChain, HeaderError},
    node::PeersNode,
};
use crate::backoff::Backoff;

/// The longest a peer's tip is waited for; then its template is looked at again.
const TIP_WAIT: Duration = Duration::from_secs(10);
/// Between two turns, also with a peer that answers at once.
const SPACING: Duration = Duration::from_millis(500);
/// A peer that is away is asked again after this long, then twice as long, up to [`AWAY_MOST`].
const AWAY_FIRST: Duration = Duration::from_secs(1);
const AWAY_MOST: Duration = Duration::from_secs(15);
/// A peer that was caught is set aside for this long, then twice as long, up to [`ASIDE_MOST`].
const ASIDE_FIRST: Duration = Duration::from_secs(60);
const ASIDE_MOST: Duration = Duration::from_secs(3600);
/// How often a peer may take us further down to where our chains part: 10, 20, 40, ... blocks.
const MAX_STEPS_DOWN: u32 = 12;

/// Follows one peer until the future is dropped.
pub(super) async fn forever(node: &PeersNode, index: usize) {
    let mut away = Backoff::new(AWAY_FIRST, AWAY_MOST);
    let mut aside = Backoff::new(ASIDE_FIRST, ASIDE_MOST);
    loop {
        let wait = match once(node, index).await {
            Ok(()) => {
                away.reset();
                SPACING
            }
            Err(PeerFailure::Away(_)) => away.failed(),
            Err(PeerFailure::Lies(_)) => aside.failed(),
        };
        sleep(wait).await;
    }
}

/// One turn with one peer. What came of it is noted, also a failure.
pub(super) async fn once(node: &PeersNode, index: usize) -> Result<(), PeerFailure> {
    let result = turn(node, index).await;
    let mut state = node.state();
    let Some(heard) = state.heard.get_mut(index) else {
        return result;
    };
    heard.tried = true;
    match &result {
        Ok(()) => {
            heard.failure = None;
            heard.set_aside = false;
        }
        Err(failure) => {
            let lies = matches!(failure, PeerFailure::Lies(_));
            if heard.failure.is_none()
                && let Some(peer) = node.peers.get(index)
            {
                tracing::warn!(peer = %peer.name, %failure, set_aside = lies, "a peer gives nothing usable");
            }
            heard.failure = Some(failure.to_string());
            heard.set_aside = lies;
            heard.tip = None;
            heard.offer = None;
            heard.etag = None;
        }
    }
    drop(state);
    result
}

async fn turn(node: &PeersNode, index: usize) -> Result<(), PeerFailure> {
    let Some(peer) = node.peers.get(index) else {
        return Err(PeerFailure::Away("no such peer".into()));
    };
    let known = {
        let state = node.state();
        let heard = state.heard.get(index);
        heard.and_then(|heard| heard.tip).map(|(_, hash)| hash)
    };
    let (height, hash) = peer
        .client
        .tip(node.options.network, known, TIP_WAIT)
        .await?;
    let headers = async {
        start_chain(node, index).await?;
        if !chain(node, |chain| chain.contains(&hash))? {
            fetch_headers(node, index, hash).await?;
        }
        Ok(())
    };
    // A first turn without end would keep this node from the tip that all others agree on.
    tokio::time::timeout(node.options.timeouts.headers, headers)
        .await
        .map_err(|_| PeerFailure::Away("it gives its headers too slowly".into()))??;
    let moved = {
        let mut state = node.state();
        let heard = state.heard.get_mut(index);
        heard.is_some_and(|heard| {
            heard.answered = Some(Instant::now());
            heard.tip.replace((height, hash)) != Some((height, hash))
        })
    };
    if moved {
        node.changed();
    }
    fetch_template(node, index, hash).await
}

/// Reads the header chain, which is there after [`start_chain`].
fn chain<T>(node: &PeersNode, read: impl FnOnce(&HeaderChain) -> T) -> Result<T, PeerFailure> {
    let state = node.state();
    let chain = state.chain.as_ref();
    chain
        .map(read)
        .ok_or_else(|| PeerFailure::Away("the header chain has no beginning yet".into()))
}

/// The headers up to the checkpoint, unless another peer gave them.
async fn start_chain(node: &PeersNode, index: usize) -> Result<(), PeerFailure> {
    let checkpoint = node.options.checkpoint;
    if node.state().chain.is_some() {
        return Ok(());
    }
    let Some(peer) = node.peers.get(index) else {
        return Ok(());
    };
    let mut from = HeaderChain::first_needed(&checkpoint);
    let mut headers = Vec::new();
    while from <= checkpoint.height {
        let count = (checkpoint.height - from + 1).min(MAX_HEADERS);
        let more = peer.client.headers(from, count).await?;
        // In full, so that a peer cannot make it thousands of answers.
        if more.len() as u64 != u64::from(count) {
            return Err(PeerFailure::Away(format!(
                "it has no headers up to the checkpoint {checkpoint}"
            )));
        }
        from += more.len() as u32;
        headers.extend(more);
    }
    let started = HeaderChain::from_checkpoint(node.options.network, checkpoint, &headers)
        .map_err(|error| PeerFailure::Lies(error.to_string()))?;
    let mut state = node.state();
    state.chain.get_or_insert(started);
    state.weigh(Instant::now());
    Ok(())
}

/// Headers from where our chains part to the peer's tip.
async fn fetch_headers(
    node: &PeersNode,
    index: usize,
    wanted: BlockHash,
) -> Result<(), PeerFailure> {
    let Some(peer) = node.peers.get(index) else {
        return Ok(());
    };
    let (lowest, tip) = chain(node, |chain| (chain.lowest_height(), chain.height()))?;
    let mut from = tip.saturating_add(1);
    let mut steps = 0;
    loop {
        let headers = peer.client.headers(from, MAX_HEADERS).await?;
        let parent_known = match headers.first() {
            Some(first) => chain(node, |chain| chain.contains(&first.prev_blockhash))?,
            // Its chain ends below ours, and yet we do not know its tip.
            None => false,
        };
        if !parent_known {
            if from <= lowest + 1 || steps >= MAX_STEPS_DOWN {
                return Err(PeerFailure::Lies(
                    "its headers do not connect to ours: another chain".into(),
                ));
            }
            from = from.saturating_sub(10 << steps).max(lowest + 1);
            steps += 1;
            continue;
        }
        from = from.saturating_add(headers.len() as u32);
        let more = headers.len() >= MAX_HEADERS as usize;
        take(node, &headers)?;
        if chain(node, |chain| chain.contains(&wanted))? {
            return Ok(());
        }
        if !more {
            // It may have moved on meanwhile, so that is no lie yet.
            return Err(PeerFailure::Away(
                "its headers do not lead to the tip it names".into(),
            ));
        }
    }
}

fn take(node: &PeersNode, headers: &[bitcoin::block::Header]) -> Result<(), PeerFailure> {
    let now = node.clock.now().0;
    let mut moved = false;
    let mut state = node.state();
    let mut result = Ok(());
    if let Some(chain) = &mut state.chain {
        for header in headers {
            match chain.accept(*header, now) {
                Ok(accepted) => moved |= accepted == Accepted::Tip,
                Err(error) => {
                    result = Err(refusal(error));
                    break;
                }
            }
        }
    }
    if moved {
        let now = Instant::now();
        state.tip_since = now;
        state.weigh(now);
    }
    drop(state);
    if moved {
        node.changed();
    }
    result
}

fn refusal(error: HeaderError) -> PeerFailure {
    if error.is_lie() {
        PeerFailure::Lies(error.to_string())
    } else {
        PeerFailure::Away(error.to_string())
    }
}

/// Its template, where it builds on the block with the most work.
async fn fetch_template(
    node: &PeersNode,
    index: usize,
    hash: BlockHash,
) -> Result<(), PeerFailure> {
    let Some(peer) = node.peers.get(index) else {
        return Ok(());
    };
    let best = chain(node, |chain| chain.tip().map(|tip| tip.hash))?;
    let etag = {
        let mut state = node.state();
        let Some(heard) = state.heard.get_mut(index) else {
            return Ok(());
        };
        if best != Some(hash) {
            heard.offer = None;
            heard.etag = None;
            return Ok(());
        }
        heard.etag.clone()
    };
    let Template::New { offer, etag } = peer.client.template(etag.as_deref()).await? else {
        return Ok(());
    };
    {
        let mut state = node.state();
        if let Some(heard) = state.heard.get_mut(index) {
            heard.offer = Some(Arc::new(offer));
            heard.etag = etag;
        }
    }
    node.changed();
    Ok(())
}
