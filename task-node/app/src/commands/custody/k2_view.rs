//! What K2 says, finalized, as the rules of custody take it.

use anyhow::{Context as _, ensure};
use bitcoin::{Network, ScriptBuf};
use custody::{K2View, Redemption};
use k2_client::views::bitcoin_network;
use k2_client::{Accounts, Client, Commitment};
use k2_interface::bitcoin::ScriptPubkey;
use k2_interface::state::{Config, PackedScript};

/// Reads the pool's program.
///
/// Nothing less than finalized counts: bitcoin that is sent cannot be taken back when a block of K2 is. `network` is the
/// wallet's: a program on a test network must never move coins of the main one.
///
/// # Errors
/// The cluster cannot be asked, or what is there is not the pool's program on this network.
pub(crate) async fn k2_view(client: &Client, network: Network) -> anyhow::Result<K2View> {
    let accounts = Accounts::new(client.k2(), client.program(), Commitment::Finalized);
    // The slot first and the relay last: everything read is at least as new as `slot`, and a redemption is never thought
    // to be further from its expiry than it is.
    let slot = client.k2().slot(Commitment::Finalized).await?;
    let config = accounts.config().await?;
    let theirs = k2_interface::bitcoin::Network::try_from(config.network)
        .map(bitcoin_network)
        .map_err(|error| anyhow::anyhow!("the program on K2 does not say its network: {error}"))?;
    ensure!(
        theirs == network,
        "the program {} is for Bitcoin's {theirs} network and the wallet is on {network}: which of `k2.program` and \
         `bitcoin.network` is wrong?",
        client.program().id()
    );
    let redemptions = accounts
        .redemptions()
        .await?
        .iter()
        .map(|account| {
            let redemption = Redemption::try_from(account)
                .with_context(|| format!("redemption {}", account.id.get()))?;
            Ok((redemption.id, redemption))
        })
        .collect::<anyhow::Result<_>>()?;
    let relay_tip = accounts.relay().await?.tip_height.get();
    Ok(K2View {
        slot,
        relay_tip,
        redemptions,
        scripts: scripts(&config, slot),
    })
}

/// The coinbase scripts coins may be swept to: the active one, and an announced one past its delay. Not the previous one,
/// though its coinbases still mint for a while: a rotation may be there because its key is lost or stolen.
fn scripts(config: &Config, slot: u64) -> Vec<ScriptBuf> {
    let custody = &config.custody;
    let from = custody.pending_slot.get();
    let announced = (from != 0 && slot >= from).then_some(&custody.pending.coinbase);
    [Some(&custody.active.coinbase), announced]
        .into_iter()
        .flatten()
        .filter_map(unpack)
        .collect()
}

fn unpack(packed: &PackedScript) -> Option<ScriptBuf> {
    let script = ScriptPubkey::from_packed(packed).ok()?;
    Some(ScriptBuf::from_bytes(script.as_bytes().to_vec()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use zerocopy::FromZeros as _;

    use super::*;

    fn packed(tag: u8) -> PackedScript {
        let mut packed = [0; 35];
        packed[0] = 22;
        packed[2] = 20;
        packed[3..23].fill(tag);
        packed
    }

    #[test]
    fn a_sweep_goes_to_the_active_script_or_to_one_past_its_delay() {
        let mut config = Config::new_zeroed();
        assert!(scripts(&config, 9).is_empty());
        config.custody.previous.coinbase = packed(1);
        config.custody.previous_until = u32::MAX.into();
        config.custody.active.coinbase = packed(2);
        config.custody.pending.coinbase = packed(3);
        let tags = |config: &Config, slot| -> Vec<u8> {
            let scripts = scripts(config, slot);
            scripts.iter().map(|script| script.as_bytes()[2]).collect()
        };
        assert_eq!(tags(&config, 9), [2], "nothing is announced");
        config.custody.pending_slot = 10.into();
        assert_eq!(tags(&config, 9), [2], "its delay is not over");
        assert_eq!(tags(&config, 10), [2, 3]);
    }
}
