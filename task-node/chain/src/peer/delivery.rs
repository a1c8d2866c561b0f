//! A found block on its way to the peers: done when a quorum has it, for one that only says so must not make us forget it.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bitcoin::{Block, BlockHash};
use futures::{StreamExt as _, stream::FuturesUnordered};

use super::{header_chain::HeaderChain, node::PeersNode};
use crate::{
    error::NodeError,
    node::{Standing, SubmitOutcome},
    wire,
};

/// Deliveries remembered.
const MOST: usize = 256;

/// Confirmations that settle whether the network has a block, whatever most peers say.
const DEEP_ENOUGH: u32 = 4;

/// A block that a peer has, by its own word.
#[derive(Debug)]
struct Delivery {
    hash: BlockHash,
    peer: Arc<str>,
    outcome: SubmitOutcome,
}

/// Who has what: it is not sent its megabytes again.
#[derive(Debug, Default)]
pub(super) struct Deliveries(Mutex<VecDeque<Delivery>>);

impl Deliveries {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Delivery>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, hash: BlockHash, peer: &str) -> Option<SubmitOutcome> {
        let deliveries = self.lock();
        let found = deliveries
            .iter()
            .find(|one| one.hash == hash && &*one.peer == peer);
        found.map(|one| one.outcome.clone())
    }

    fn remember(&self, hash: BlockHash, peer: &Arc<str>, outcome: SubmitOutcome) {
        if self.find(hash, peer).is_some() {
            return;
        }
        let mut deliveries = self.lock();
        deliveries.push_back(Delivery {
            hash,
            peer: Arc::clone(peer),
            outcome,
        });
        if deliveries.len() > MOST {
            deliveries.pop_front();
        }
    }
}

/// Hands a block to every peer.
pub(super) async fn deliver(node: &PeersNode, block: &Block) -> Result<SubmitOutcome, NodeError> {
    let quorum = node.options.quorum;
    let hash = block.block_hash();
    let block = Arc::new(block.clone());
    let mut answers: FuturesUnordered<_> = node
        .peers
        .iter()
        .map(|peer| {
            let (client, name) = (peer.client.clone(), Arc::clone(&peer.name));
            let block = Arc::clone(&block);
            let before = node.deliveries.find(hash, &name);
            // In the background to the end, also when enough of the others have answered.
            tokio::spawn(async move {
                if let Some(before) = before {
                    return (name, Ok(before));
                }
                let answer = client.submit(&block).await;
                tracing::info!(peer = %name, %hash, ?answer, "block handed to a peer");
                let answer = answer.map(|reason| wire::submit_outcome(reason.as_deref()));
                (name, answer)
            })
        })
        .collect();
    let mut good: Vec<SubmitOutcome> = Vec::new();
    let mut refused: Vec<SubmitOutcome> = Vec::new();
    let mut failures = Vec::new();
    while let Some(answer) = answers.next().await {
        let Ok((name, answer)) = answer else { continue };
        let mut failed = |reason: String| {
            failures.push(NodeError::Peer {
                node: name.to_string(),
                reason,
            });
        };
        match answer {
            Ok(outcome) if outcome.is_in_good_hands() => {
                node.deliveries.remember(hash, &name, outcome.clone());
                good.push(outcome);
            }
            Ok(outcome) => {
                failed(format!("it refuses the block: {outcome:?}"));
                refused.push(outcome);
            }
            Err(failure) => failed(failure.to_string()),
        }
        if good.len() >= quorum {
            break;
        }
    }
    if good.len() >= quorum || (!good.is_empty() && is_buried(node, &hash)) {
        let best = good.into_iter().max_by_key(SubmitOutcome::rank);
        return Ok(best.unwrap_or(SubmitOutcome::Duplicate));
    }
    // Whether a block is bad is judged by a quorum too; until then it is kept and offered again.
    if refused.len() >= quorum
        && let Some(outcome) = refused.into_iter().next()
    {
        return Ok(outcome);
    }
    Err(NodeError::AllFailed {
        method: "submitblock",
        failures,
    })
}

fn is_buried(node: &PeersNode, hash: &BlockHash) -> bool {
    let state = node.state();
    let known = state
        .chain
        .as_ref()
        .and_then(|chain: &HeaderChain| chain.header(hash));
    known.is_some_and(|known| {
        matches!(known.standing, Standing::Active { confirmations } if confirmations >= DEEP_ENOUGH)
    })
}
