//! What K2 and the Bitcoin chain say, as proofs of reserves are judged by it.

use anyhow::{Context as _, bail, ensure};
use bitcoin::hashes::Hash as _;
use bitcoin::{Amount, ScriptBuf, Txid};
use custody::Redemption;
use custody::reserves::K2Facts;
use custody::reserves::chain::PublicChain;
use custody::watch::Source;
use k2_client::{Accounts, Client, Commitment};
use k2_interface::K2Address;
use k2_interface::bitcoin::ScriptPubkey;
use k2_interface::state::{Config, RedemptionState};

use crate::commands::custody::session::blocking;

/// Reads the pool's program, finalized.
pub(super) async fn k2(client: &Client) -> anyhow::Result<K2Facts> {
    let accounts = Accounts::new(client.k2(), client.program(), Commitment::Finalized);
    let genesis = client.k2().genesis_hash().await?;
    // The totals before the redemptions: one that is settled in between then counts as owed, never as paid twice.
    let at = accounts.config_and_mint().await?;
    let (config, mint) = at.value;
    let totals = &config.totals;
    let issued = config
        .supply()
        .context("the program's totals contradict each other: it burned more than it minted")?;
    // Fewer there may be: whoever holds some can burn them at the token program.
    ensure!(
        mint.supply <= issued,
        "there are {} wrapped sats on K2 and the program accounts for {issued}: some were made without bitcoin",
        mint.supply
    );
    let redemptions = accounts
        .redemptions()
        .await?
        .iter()
        .map(|account| {
            let redemption = Redemption::try_from(account)
                .with_context(|| format!("redemption {}", account.id.get()))?;
            let settled = redemption.state == RedemptionState::Settled;
            let by = settled.then(|| Txid::from_byte_array(account.payout_txid));
            Ok((redemption.id, (redemption, by)))
        })
        .collect::<anyhow::Result<_>>()?;
    Ok(K2Facts {
        genesis: K2Address::from_bytes(genesis.to_bytes()),
        program: client.program().id(),
        mint: config.mint,
        slot: at.slot,
        proved_in: Amount::from_sat(totals.proved_in.get()),
        burned: Amount::from_sat(totals.burned.get()),
        scripts: scripts(&config),
        redemptions,
    })
}

/// All coinbase scripts K2 names, those of the last rotation and of the next one included: here they only tell coins apart.
fn scripts(config: &Config) -> Vec<ScriptBuf> {
    let custody = &config.custody;
    [&custody.active, &custody.previous, &custody.pending]
        .into_iter()
        .filter_map(|scripts| ScriptPubkey::from_packed(&scripts.coinbase).ok())
        .map(|script| ScriptBuf::from_bytes(script.as_bytes().to_vec()))
        .collect()
}

/// The first of these that answers.
pub(super) async fn chain(sources: Vec<Source>) -> anyhow::Result<PublicChain> {
    ensure!(
        !sources.is_empty(),
        "this needs a Bitcoin node or an Esplora server: give --esplora URL, or -c with [[bitcoin.nodes]] in the file"
    );
    blocking(move || {
        let mut last = None;
        for source in &sources {
            let asked = PublicChain::of(source).and_then(|chain| {
                chain.tip()?;
                Ok(chain)
            });
            match asked {
                Ok(chain) => return Ok(chain),
                Err(error) => last = Some(error),
            }
        }
        match last {
            Some(error) => Err(anyhow::Error::from(error)),
            None => bail!("no Bitcoin node is configured"),
        }
    })
    .await
}
