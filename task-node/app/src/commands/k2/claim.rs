//! `orcapool k2 claim`: from the finalized list to an owner's tokens.

use std::sync::Arc;

use anyhow::{Context as _, ensure};
use content::{FetchOptions, Fetcher, MemoryStore, Source};
use k2_client::claims::{ClaimError, ClaimProof, Claims};
use k2_client::views::list_cid;
use k2_interface::{K2Address, PoolError, Role};
use ledger::RewardList;

use super::session::{Session, or_own};
use crate::cli::RoleArg;
use crate::commands::output;

pub(super) async fn run(
    session: &Session,
    owner: Option<K2Address>,
    role: Option<RoleArg>,
    from: &[String],
) -> anyhow::Result<()> {
    let keypair = session.keypair()?;
    let owner = or_own(owner, &keypair);
    let list = finalized_list(session, from).await?;
    let claims = Claims::new(&session.client);
    let roles = match role {
        Some(RoleArg::Miner) => vec![Role::Miner],
        Some(RoleArg::Operator) => vec![Role::Operator],
        None => vec![Role::Miner, Role::Operator],
    };
    let mut entries = 0;
    for role in roles {
        let proof = match ClaimProof::of(&list, role, owner) {
            Err(ClaimError::NoEntry { .. }) => continue,
            proof => proof?,
        };
        entries += 1;
        if session.dry_run() {
            let claim = claims.look(&proof).await?;
            let draft = claims.draft(keypair.address(), &proof, claim.destination_exists);
            session.preview("claim", &draft).await?;
            continue;
        }
        let claimed = claims.claim(&keypair, &proof).await?;
        if session.json {
            output::json(&claimed)?;
        } else if let Some(signature) = &claimed.signature {
            session.say(&format!(
                "claimed {} sat as {} to {} ({signature})",
                claimed.claim.amount, claimed.claim.role, claimed.claim.destination
            ))?;
        } else {
            session.say(&format!(
                "as {}: nothing to claim; {} sat were claimed before",
                claimed.claim.role, claimed.claim.claimed
            ))?;
        }
    }
    ensure!(
        entries > 0,
        "{owner} has no entry in the list of round {}: it has not earned, or less than a leaf's minimum",
        list.round()
    );
    Ok(())
}

/// The list whose root is in force, fetched by the CID that stands on K2.
async fn finalized_list(session: &Session, from: &[String]) -> anyhow::Result<RewardList> {
    let config = session.client.accounts().config().await?;
    ensure!(
        config.rewards.finalized.get() > 0,
        "{}",
        PoolError::NothingFinalized
    );
    let cid = list_cid(&config.rewards.list).context("the list's CID")?;
    let sources = if from.is_empty() {
        session.settings.content.sources()?
    } else {
        parse_sources(from).context("--from")?
    };
    ensure!(
        !sources.is_empty(),
        "where is the list {cid} to be fetched? Give --from with a task node or an IPFS gateway"
    );
    fetch_list(sources, &cid).await
}

/// Task nodes or gateways by their URLs.
pub(crate) fn parse_sources(urls: &[String]) -> anyhow::Result<Vec<Source>> {
    let sources = urls
        .iter()
        .map(|url| url.trim_end_matches('/').parse::<Source>());
    Ok(sources.collect::<Result<Vec<_>, _>>()?)
}

/// Fetches a reward list; every block is hashed on arrival.
pub(crate) async fn fetch_list(sources: Vec<Source>, cid: &cid::Cid) -> anyhow::Result<RewardList> {
    let fetcher = Fetcher::new(
        sources,
        Arc::new(MemoryStore::default()),
        FetchOptions::default(),
    )?;
    Ok(rounds::fetch_reward_list(&fetcher, cid).await?)
}
