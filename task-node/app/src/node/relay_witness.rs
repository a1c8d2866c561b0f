//! K2's relay as a witness of the chain that peers show: it was fed by whoever wanted, and every header in it has shown its
//! proof of work to the program.

use std::sync::Arc;
use std::time::Duration;

use bitcoin::BlockHash;
use bitcoin::hashes::Hash as _;
use chain::BitcoinNode;
use k2_client::{Client, K2, K2Rpc, RpcOptions, SendOptions};
use tokio_util::sync::CancellationToken;

use crate::config::Config;

/// How often a running node compares. The relay is fed every few minutes.
const EVERY: Duration = Duration::from_secs(300);
/// How long K2 may take to answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// A relay this far ahead of the peers is no matter of minutes.
const AHEAD: u32 = 2;

/// What the relay says of the peers' chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Witness {
    /// It has the same block at its tip's height.
    Same {
        /// That height.
        height: u32,
    },
    /// It has blocks that the peers do not show.
    Ahead {
        /// The relay's tip.
        relay: u32,
        /// The peers' tip.
        peers: u32,
    },
    /// It has another block at this height.
    Other {
        /// That height.
        height: u32,
    },
    /// Its tip lies below what this node knows.
    TooOld {
        /// The relay's tip.
        relay: u32,
    },
}

impl Witness {
    /// What it means, in words, and whether something is wrong.
    pub(crate) fn words(self) -> (bool, String) {
        match self {
            Self::Same { height } => (false, format!("has the peers' chain up to block {height}")),
            Self::Ahead { relay, peers } => (
                true,
                format!(
                    "is at block {relay}, the peers only at {peers}: they lag or withhold news; add other peers"
                ),
            ),
            Self::Other { height } => (
                true,
                format!(
                    "has another block {height} than the peers: one of them follows a branch that lost; add other peers"
                ),
            ),
            Self::TooOld { relay } => (
                false,
                format!("ends at block {relay}, below bitcoin.checkpoint: it says nothing here"),
            ),
        }
    }
}

/// The program's client, if a program is configured.
pub(crate) fn client(config: &Config) -> anyhow::Result<Option<Client>> {
    if config.program.as_bytes() == &[0; 32] || config.k2_rpc.is_empty() {
        return Ok(None);
    }
    let k2: Arc<dyn K2> = Arc::new(K2Rpc::new(&RpcOptions::new(config.k2_rpc.clone()))?);
    Ok(Some(Client::new(
        k2,
        config.program,
        SendOptions::default(),
    )))
}

/// Asks the relay, and the chain about the same height. `None`: there is no relay yet.
pub(crate) async fn ask(
    client: &Client,
    chain: &dyn BitcoinNode,
) -> anyhow::Result<Option<Witness>> {
    let accounts = client.accounts();
    let relay = tokio::time::timeout(PATIENCE, accounts.relay_if_any()).await??;
    let Some(relay) = relay else {
        return Ok(None);
    };
    let height = relay.tip_height.get();
    let Some(entry) = relay.entry(height) else {
        return Ok(None);
    };
    let hash = BlockHash::from_byte_array(entry.hash);
    let own = chain.chain_info().await?.height;
    let at_height = if height < chain.lowest_height() {
        return Ok(Some(Witness::TooOld { relay: height }));
    } else {
        chain.hash_at(height).await?
    };
    Ok(Some(judge(height, hash, own, at_height)))
}

fn judge(relay: u32, hash: BlockHash, own: u32, at_height: Option<BlockHash>) -> Witness {
    match at_height {
        Some(known) if known == hash => Witness::Same { height: relay },
        Some(_) => Witness::Other { height: relay },
        None if relay > own.saturating_add(AHEAD) => Witness::Ahead { relay, peers: own },
        // Level but for a block or two that is on its way.
        None => Witness::Same { height: own },
    }
}

/// Compares now and then, and says in the log when the two do not agree.
pub(super) async fn follow(client: Client, chain: Arc<dyn BitcoinNode>, stop: CancellationToken) {
    let following = async {
        loop {
            tokio::time::sleep(EVERY).await;
            match ask(&client, chain.as_ref()).await {
                Ok(Some(witness)) => {
                    let (wrong, words) = witness.words();
                    if wrong {
                        tracing::error!("K2's relay {words}");
                    }
                }
                Ok(None) => {}
                Err(error) => tracing::debug!(%error, "K2's relay could not be asked"),
            }
        }
    };
    let _ = stop.run_until_cancelled(following).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_relay_s_block_is_the_peers_or_something_is_wrong() {
        let hash = |byte| BlockHash::from_byte_array([byte; 32]);
        let wrong = |witness: Witness| witness.words().0;
        assert_eq!(
            judge(10, hash(1), 15, Some(hash(1))),
            Witness::Same { height: 10 }
        );
        assert!(wrong(judge(10, hash(1), 15, Some(hash(2)))));
        assert!(wrong(judge(20, hash(1), 15, None)));
        assert!(!wrong(judge(17, hash(1), 15, None)));
    }
}
