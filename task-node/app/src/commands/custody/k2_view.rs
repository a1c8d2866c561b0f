//! What K2 says, finalized, as the rules of custody take it.

use anyhow::{Context as _, ensure};
use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use bitcoin::hashes::Hash as _;
use bitcoin::{Network, OutPoint, Script, ScriptBuf, Txid};
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
    Ok(read(client, network).await?.1)
}

/// Reads the pool's program as the wallet with this coinbase script is to see it: without the redemptions that are another
/// wallet's to pay.
///
/// # Errors
/// As [`k2_view`].
pub(crate) async fn wallet_view(
    client: &Client,
    network: Network,
    own: &Script,
) -> anyhow::Result<K2View> {
    let (config, mut view) = read(client, network).await?;
    let heights = requested(&config, own);
    let is_own = |redemption: &Redemption| {
        let heights = heights.as_ref();
        heights.is_some_and(|heights| heights.contains(&redemption.requested))
    };
    view.others = view
        .redemptions
        .extract_if(.., |_, redemption| !is_own(redemption))
        .map(|(id, _)| id)
        .collect();
    if !view.others.is_empty() {
        let others = view.others.len();
        tracing::info!(
            "{others} redemptions are for another wallet of the pool to pay, by K2's custody scripts"
        );
    }
    Ok(view)
}

/// The relay heights at which the redemptions were requested that a wallet pays; none: it pays none.
///
/// During a rotation two wallets hold coins of the pool, each with journals of its own and no coin in common, so nothing on
/// Bitcoin keeps them from both paying one redemption. What K2 says does: those requested up to the height of the rotation
/// are the old wallet's, later ones the new one's. A wallet that is not in force yet, or no longer, pays none.
fn requested(config: &Config, own: &Script) -> Option<RangeInclusive<u32>> {
    let custody = &config.custody;
    let is = |packed: &PackedScript| unpack(packed).is_some_and(|script| script.as_script() == own);
    let grace = config.parameters.custody_grace_blocks.get();
    let rotation = custody.previous_until.get().saturating_sub(grace);
    let was_rotated = unpack(&custody.previous.coinbase).is_some();
    match (is(&custody.active.coinbase), is(&custody.previous.coinbase)) {
        // Before the first rotation, or after one of the deposit script alone.
        (true, previous) if previous || !was_rotated => Some(0..=u32::MAX),
        (true, _) => Some(rotation.saturating_add(1)..=u32::MAX),
        (false, true) => Some(0..=rotation),
        (false, false) => None,
    }
}

async fn read(client: &Client, network: Network) -> anyhow::Result<(Config, K2View)> {
    let accounts = Accounts::new(client.k2(), client.program(), Commitment::Finalized);
    // The slot first and the relay last: everything read is at least as new as `slot`, and a redemption is never thought
    // to be further from its expiry than it is.
    let slot = client.k2().slot(Commitment::Finalized).await?;
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
    // After the redemptions, so that none of them is younger than a rotation that it does not know.
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
    let paid = accounts.payouts().await?;
    let paid = paid.iter().map(|record| OutPoint {
        txid: Txid::from_byte_array(record.txid),
        vout: record.vout.get(),
    });
    let relay = accounts.relay().await?;
    let view = K2View {
        slot,
        relay_tip: relay.tip_height.get(),
        redemptions,
        others: BTreeSet::new(),
        // After the redemptions: one that is missing was closed before.
        paid: paid.collect(),
        records_from: relay.records_from(config.parameters.mint_horizon.get()),
        scripts: scripts(&config, slot),
    };
    Ok((config, view))
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
    fn of_two_wallets_one_pays_a_redemption() {
        let mut config = Config::new_zeroed();
        let wallets = [1, 2, 3].map(|tag| unpack(&packed(tag)).unwrap());
        let payers = |config: &Config, height: u32| -> Vec<usize> {
            let pays = |wallet: &ScriptBuf| {
                requested(config, wallet).is_some_and(|heights| heights.contains(&height))
            };
            (0..3).filter(|at| pays(&wallets[*at])).collect()
        };
        config.parameters.custody_grace_blocks = 100.into();
        config.custody.active.coinbase = packed(1);
        config.custody.pending.coinbase = packed(2);
        for height in [0, 1_000, u32::MAX] {
            assert_eq!(payers(&config, height), [0]);
        }
        // The first rotation, at height 1,000.
        config.custody.previous = config.custody.active;
        config.custody.active = config.custody.pending;
        config.custody.previous_until = 1_100.into();
        for (height, wallet) in [(0, 0), (1_000, 0), (1_001, 1), (u32::MAX, 1)] {
            assert_eq!(payers(&config, height), [wallet], "{height}");
        }
        // Another one, of the deposit script alone, at 1,500.
        let mut same = config;
        same.custody.previous = same.custody.active;
        same.custody.previous_until = 1_600.into();
        assert_eq!(payers(&same, 1_400), [1]);
        assert_eq!(payers(&same, 1_501), [1]);
        // The next one, at 2,000.
        config.custody.previous = config.custody.active;
        config.custody.active.coinbase = packed(3);
        config.custody.previous_until = 2_100.into();
        for (height, wallet) in [(2_000, 1), (2_001, 2)] {
            assert_eq!(payers(&config, height), [wallet], "{height}");
        }
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
