//! K2's relay as a witness of the chain that peers show: it was fed by whoever wanted, and every header in it has shown its
//! proof of work to the program. What it is worth is judged by [`chain::peer::Witness`]; here it is only read.
//!
//! A K2 that is away stops nothing: what the relay showed before stays true, and a node that never heard it goes by its
//! peers alone.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bitcoin::BlockHash;
use bitcoin::hashes::Hash as _;
use chain::peer::{PeersNode, Testimony, Weighed, Witness};
use k2_client::{Client, K2, K2Rpc, RpcOptions, SendOptions};
use k2_interface::state::Relay;
use tokio_util::sync::CancellationToken;

use crate::config::Config;

/// How often a running node reads the relay, which is an account of 10 KB.
const EVERY: Duration = Duration::from_secs(30);
/// How long K2 may take to answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// What people are told.
const NAME: &str = "K2's relay";

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

/// Reads the relay. `None`: there is none yet.
pub(crate) async fn read(client: &Client) -> anyhow::Result<Option<Witness>> {
    let accounts = client.accounts();
    let relay = tokio::time::timeout(PATIENCE, accounts.relay_if_any())
        .await
        .with_context(|| format!("no answer in {} s", PATIENCE.as_secs()))??;
    relay.map(|relay| witness(&relay)).transpose()
}

fn witness(relay: &Relay) -> anyhow::Result<Witness> {
    let (oldest, tip) = (relay.oldest_height.get(), relay.tip_height.get());
    // Not more than the ring has, whatever the heights say.
    let entries = (oldest..=tip).take(k2_interface::state::RING);
    let entries = entries.map_while(|height| relay.entry(height));
    let blocks = entries.map(|entry| {
        (
            BlockHash::from_byte_array(entry.hash),
            entry.chain_work.get(),
        )
    });
    Ok(Witness::new(NAME, oldest, blocks)?)
}

/// Whether the operator should do something about it.
pub(crate) fn is_wrong(testimony: &Testimony) -> bool {
    match testimony.weighed {
        Weighed::Heavier { .. } | Weighed::Lighter { common: None } => true,
        // One or two blocks that lost are every month's news. More of them are no accident.
        Weighed::Lighter {
            common: Some(common),
        } => testimony.tip.saturating_sub(common) > 2,
        _ => false,
    }
}

/// Reads the relay now and then for the peers' chain to be held against, and says in the log when the two do not agree.
pub(super) async fn follow(client: Client, peers: Arc<PeersNode>, stop: CancellationToken) {
    let following = async {
        let mut was_away = false;
        let mut said = None;
        loop {
            match read(&client).await {
                Ok(witness) => {
                    was_away = false;
                    if let Some(witness) = witness {
                        peers.hear(witness);
                    }
                }
                Err(error) if was_away => tracing::debug!(%error, "K2's relay could not be read"),
                Err(error) => {
                    was_away = true;
                    tracing::warn!(%error, "K2's relay could not be read: the peers' chain is held against what it showed before, if anything");
                }
            }
            if let Some((testimony, _)) = peers.testimony() {
                let weighed = std::mem::discriminant(&testimony.weighed);
                match is_wrong(&testimony) {
                    true => tracing::error!("{testimony}"),
                    false if said != Some(weighed) => tracing::info!("{testimony}"),
                    false => {}
                }
                said = Some(weighed);
            }
            tokio::time::sleep(EVERY).await;
        }
    };
    let _ = stop.run_until_cancelled(following).await;
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use zerocopy::FromZeros as _;

    use super::*;

    #[test]
    fn a_ring_is_read_from_its_oldest_block_on_and_never_beyond_it() {
        let mut relay = Relay::new_zeroed();
        assert!(witness(&relay).is_ok(), "one block, of no work");
        relay.oldest_height = 500.into();
        relay.tip_height = 503.into();
        for height in 500_u32..=503 {
            let entry = &mut relay.ring[height as usize % k2_interface::state::RING];
            entry.hash = [height as u8; 32];
            entry.chain_work = u128::from(height * 2).into();
        }
        let blocks = (500_u32..=503).map(|height| {
            let hash = BlockHash::from_byte_array([height as u8; 32]);
            (hash, u128::from(height * 2))
        });
        assert_eq!(
            witness(&relay).unwrap(),
            Witness::new(NAME, 500, blocks).unwrap()
        );
        // What an endpoint that lies may send.
        for (oldest, tip) in [(504, 503), (0, u32::MAX), (u32::MAX, u32::MAX), (499, 503)] {
            relay.oldest_height = oldest.into();
            relay.tip_height = tip.into();
            let _ = witness(&relay);
        }
        relay.oldest_height = 10.into();
        relay.tip_height = 0.into();
        assert!(witness(&relay).is_err());
    }
}
