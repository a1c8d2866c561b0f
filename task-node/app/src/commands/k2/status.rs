//! `orcapool k2 status`: the pool as it stands on K2.

use k2_client::AnyAccount;
use k2_client::rounds::{Missing, missing};
use k2_client::views::{AccountView, ConfigView, list_cid};
use k2_interface::state::{OperatorSet, ProposalState, RedemptionState};
use serde::Serialize;

use super::session::Session;
use crate::commands::output;

#[derive(Debug, Serialize)]
struct Status {
    program: String,
    slot: u64,
    supply: u64,
    vault: u64,
    escrow: u64,
    config: AccountView,
    relay: Option<RelayStatus>,
    operators: Vec<String>,
    proposals: Vec<ProposalStatus>,
    open_redemptions: usize,
}

#[derive(Debug, Serialize)]
struct RelayStatus {
    tip_height: u32,
    tip_hash: String,
    oldest_height: u32,
}

#[derive(Debug, Serialize)]
struct ProposalStatus {
    round: u64,
    proposer: String,
    votes: u32,
    quorum: u8,
    total: u64,
    list: Option<String>,
    slots_to_go: Option<u64>,
    /// What it lacks to be put in force.
    missing: Vec<Missing>,
}

pub(super) async fn run(session: &Session) -> anyhow::Result<()> {
    let (client, program) = (&session.client, session.program());
    let accounts = client.accounts();
    let config = accounts.config().await?;
    let set = accounts.operators().await?;
    let slot = client.k2().slot(client.commitment()).await?;
    let network = k2_interface::bitcoin::Network::try_from(config.network).ok();
    let relay = accounts.relay_if_any().await?;
    let mut proposals = Vec::new();
    for (_, proposal) in accounts.all_proposals().await? {
        if proposal.state != ProposalState::Open as u8 {
            continue;
        }
        let ends = proposal
            .quorum_slot
            .get()
            .saturating_add(config.parameters.challenge_slots.get());
        proposals.push(ProposalStatus {
            round: proposal.round.get(),
            proposer: proposal.proposer.to_string(),
            votes: set.count_votes(proposal.votes.get(), proposal.proposed_slot.get()),
            quorum: config.quorum,
            total: proposal.total.get(),
            list: list_cid(&proposal.list).map(|cid| cid.to_string()),
            missing: missing(&config, &set, &proposal, slot),
            slots_to_go: (proposal.quorum_slot.get() > 0).then(|| ends.saturating_sub(slot)),
        });
    }
    let redemptions = accounts.redemptions().await?;
    let vault = accounts.token_account(program.vault()).await?;
    let escrow = accounts.token_account(program.escrow()).await?;
    let status = Status {
        program: program.id().to_string(),
        slot,
        supply: accounts.mint().await?.supply,
        vault: vault.map_or(0, |account| account.amount),
        escrow: escrow.map_or(0, |account| account.amount),
        config: AccountView::new(&AnyAccount::Config(config), network),
        relay: relay.map(|relay| RelayStatus {
            tip_height: relay.tip_height.get(),
            tip_hash: relay
                .entry(relay.tip_height.get())
                .map(|entry| reversed(&entry.hash))
                .unwrap_or_default(),
            oldest_height: relay.oldest_height.get(),
        }),
        operators: operators(&set),
        proposals,
        open_redemptions: redemptions
            .iter()
            .filter(|redemption| redemption.state == RedemptionState::Open as u8)
            .count(),
    };
    if session.json {
        return output::json(&status);
    }
    print(&status)
}

fn operators(set: &OperatorSet) -> Vec<String> {
    set.slots
        .iter()
        .filter(|slot| *slot.operator.as_bytes() != [0; 32])
        .map(|slot| slot.operator.to_string())
        .collect()
}

/// A block hash as block explorers write it.
fn reversed(hash: &[u8; 32]) -> String {
    let mut hash = *hash;
    hash.reverse();
    hex::encode(hash)
}

fn print(status: &Status) -> anyhow::Result<()> {
    let AccountView::Config(config) = &status.config else {
        return Ok(());
    };
    output::line(&lines(status, config).join("\n"))?;
    Ok(())
}

fn lines(status: &Status, config: &ConfigView) -> Vec<String> {
    let totals = &config.totals;
    let mut lines = vec![
        format!("program      {}", status.program),
        format!(
            "network      {}{}",
            config.network.unwrap_or("unknown"),
            if config.paused.is_empty() {
                String::new()
            } else {
                format!(", PAUSED: {}", config.paused.join(", "))
            }
        ),
        format!(
            "supply       {} sat = {} proved - {} burned; vault {}, escrow {}",
            status.supply, totals.proved_in, totals.burned, status.vault, status.escrow
        ),
        match &status.relay {
            Some(relay) => format!(
                "relay        height {} ({}), ring from {}",
                relay.tip_height, relay.tip_hash, relay.oldest_height
            ),
            None => "relay        no checkpoint yet: nothing can be minted".to_owned(),
        },
        match &config.rewards {
            Some(rewards) => format!(
                "rewards      round {} finalized, {} sat to {} leaves, {} claimed; list {}",
                rewards.round,
                rewards.total,
                rewards.leaf_count,
                totals.claimed,
                rewards.list.as_deref().unwrap_or("unknown")
            ),
            None => "rewards      no round finalized yet".to_owned(),
        },
        format!(
            "operators    {}, {} must attest",
            status.operators.len(),
            config.quorum
        ),
    ];
    for proposal in &status.proposals {
        let lacks: Vec<_> = proposal.missing.iter().map(ToString::to_string).collect();
        let wait = match lacks.as_slice() {
            [] => "may be finalized".to_owned(),
            lacks => lacks.join("; "),
        };
        lines.push(format!(
            "proposal     round {} of {}: {} of {} attest, {} sat; {wait}",
            proposal.round, proposal.proposer, proposal.votes, proposal.quorum, proposal.total
        ));
    }
    lines.push(format!(
        "redemptions  {} open of {}",
        status.open_redemptions, totals.redemptions
    ));
    lines
}
