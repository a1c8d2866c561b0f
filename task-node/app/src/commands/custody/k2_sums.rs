//! What K2 says, with the sums the books are held against, all of one moment.

use anyhow::{Context as _, bail, ensure};
use bitcoin::{Amount, Network, OutPoint};
use custody::K2View;
use custody::books::K2Sums;
use k2_client::{Accounts, Client, Commitment, Mint};
use k2_interface::K2Address;
use k2_interface::state::{Config, Rewards, Totals};

use super::k2_view::k2_view;

/// How often it is read again because something changed meanwhile.
const TRIES: u32 = 5;

/// Reads the pool's program, its tokens, and the records of these coinbases.
///
/// A redemption that is settled between two answers would be neither open nor burned. So it is read until the totals before
/// and after are the same.
///
/// # Errors
/// As [`k2_view`]; or K2 changes all the time.
pub(super) async fn k2_sums(
    client: &Client,
    network: Network,
    coinbases: &[OutPoint],
) -> anyhow::Result<(K2View, K2Sums)> {
    let accounts = Accounts::new(client.k2(), client.program(), Commitment::Finalized);
    for _ in 0..TRIES {
        let (before, mint) = accounts.config_and_mint().await?.value;
        let view = k2_view(client, network).await?;
        let vault = tokens(&accounts, client.program().vault(), "vault").await?;
        let escrow = tokens(&accounts, client.program().escrow(), "escrow").await?;
        let outpoints: Vec<_> = coinbases
            .iter()
            .map(|coinbase| (*coinbase).into())
            .collect();
        let records = accounts.records(&outpoints).await?;
        let (after, still) = accounts.config_and_mint().await?.value;
        if figures(&before, &mint) != figures(&after, &still) {
            continue;
        }
        let minted = coinbases
            .iter()
            .zip(records)
            .filter_map(|(coinbase, record)| {
                let value = record?.value.get();
                // A record of nothing: the output was not minted, but spent by a deposit that was.
                (value > 0).then_some((*coinbase, Amount::from_sat(value)))
            });
        let (totals, rewards) = (&after.totals, &after.rewards);
        let sums = K2Sums {
            proved_in: Amount::from_sat(totals.proved_in.get()),
            burned: Amount::from_sat(totals.burned.get()),
            claimed: Amount::from_sat(totals.claimed.get()),
            escrowed: Amount::from_sat(totals.escrowed.get()),
            round: (rewards.finalized.get() > 0).then(|| rewards.round.get()),
            earned: Amount::from_sat(rewards.total.get()),
            supply: Amount::from_sat(still.supply),
            vault,
            escrow,
            minted: minted.collect(),
        };
        return Ok((view, sums));
    }
    bail!("K2 changed each of the {TRIES} times it was read: run it again")
}

/// What must not change while the rest is read.
fn figures(config: &Config, mint: &Mint) -> (Totals, Rewards, u64) {
    (config.totals, config.rewards, mint.supply)
}

async fn tokens(accounts: &Accounts<'_>, address: K2Address, what: &str) -> anyhow::Result<Amount> {
    let account = accounts.token_account(address).await?;
    let account = account.with_context(|| format!("the {what} {address} does not exist"))?;
    ensure!(
        account.amount <= Amount::MAX_MONEY.to_sat(),
        "the {what} {address} holds more than there can be bitcoin"
    );
    Ok(Amount::from_sat(account.amount))
}
