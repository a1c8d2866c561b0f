//! Plays Koii's part: rounds by the clock, submissions, audits, votes, distribution.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use k2_client::redeem::Request;
use k2_interface::K2Address;
use k2_interface::bitcoin::ScriptPubkey;
use ledger::RewardList;
use serde_json::Value;
use work::RoundNumber;

use super::k2;
use super::network::Network;
use super::orca::Submission;
use super::report::{Earned, K2Report, Payment, RedemptionReport, Report, RoundReport, progress};
use super::say;
use crate::cli::DevnetArgs;
use crate::commands::k2::{fetch_list, parse_sources, settlement};

/// Blocks after which every coinbase mined before is mature.
const MATURITY: u32 = 100;

/// The most of a redemption that may go to Bitcoin fees, in satoshis.
const MAX_FEE: u64 = 5_000;

/// What is worth the trouble, in satoshis: twice what the devnet's program asks for.
const LEAST_REDEMPTION: u64 = 20_000;

/// What every round's list must sum to.
const BOUNTY: u64 = 1_000_000_000;

/// Plays all rounds and draws up the report.
pub(super) async fn play(args: &DevnetArgs, network: &mut Network) -> anyhow::Result<Report> {
    let mut rounds = Vec::new();
    for number in 0..args.rounds {
        let round = RoundNumber::new(number).context("round number")?;
        start_round(network, round).await?;
        say(&format!(
            "round {round} of {}: mining for {} s",
            args.rounds, args.round_seconds
        ));
        mine(args.round_seconds, network).await?;
        // As on Koii: the next round runs while this one is submitted, audited and distributed.
        start_round(network, round.next()).await?;
        let mut report = finish_round(network, round).await?;
        if network.k2.is_some() {
            report.payment = Some(pay(network, round).await?);
        }
        say(&progress(&report));
        rounds.push(report);
    }
    close(args, network, rounds).await
}

async fn start_round(network: &Network, round: RoundNumber) -> anyhow::Result<()> {
    for node in &network.nodes {
        node.orca.task(round).await?;
    }
    Ok(())
}

async fn mine(seconds: u64, network: &mut Network) -> anyhow::Result<()> {
    let end = tokio::time::Instant::now() + Duration::from_secs(seconds);
    while tokio::time::Instant::now() < end {
        network.check_alive()?;
        tokio::time::sleep(Duration::from_millis(250).min(end - tokio::time::Instant::now())).await;
    }
    Ok(())
}

async fn finish_round(network: &Network, round: RoundNumber) -> anyhow::Result<RoundReport> {
    let mut submissions = Vec::new();
    for node in &network.nodes {
        submissions.push(node.orca.submission(network.task, round).await?);
    }

    // Every node audits every other's submission; a submission counts when no fewer are for it than against.
    let mut accepted: Vec<Submission> = Vec::new();
    let (mut audits, mut audits_true) = (0, 0);
    for (index, submission) in submissions.iter().enumerate() {
        let mut votes = 0_i64;
        for (_, auditor) in network
            .nodes
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != index)
        {
            let valid = auditor.orca.audit(submission).await?;
            audits += 1;
            audits_true += usize::from(valid);
            votes += if valid { 1 } else { -1 };
        }
        if votes >= 0 {
            accepted.push(submission.clone());
        }
    }

    let mut lists = Vec::new();
    for node in &network.nodes {
        lists.push(node.orca.distribution(round, BOUNTY, &accepted).await?);
    }
    let distribution: BTreeMap<String, i64> =
        serde_json::from_slice(lists.first().context("no nodes")?).context("the list")?;
    let sum: i128 = distribution
        .values()
        .map(|amount| i128::from(*amount))
        .sum();

    // The miners' side must be the same everywhere too.
    let mut miners: Vec<Value> = Vec::new();
    for node in &network.nodes {
        miners.push(
            node.orca
                .get(&format!("/api/rounds/{round}/distribution"))
                .await?,
        );
    }
    let first = miners.first().context("no nodes")?;
    Ok(RoundReport {
        round: round.get(),
        shares: submissions
            .iter()
            .map(|submission| submission["shares"].as_u64().unwrap_or(0))
            .collect(),
        blocks: first["blocks"].as_u64().unwrap_or(0),
        audits_true,
        audits,
        accepted: accepted.len(),
        lists_identical: lists.iter().all(|list| *list == lists[0])
            && miners.iter().all(|list| list == first),
        sum_exact: sum == i128::from(BOUNTY) || distribution.is_empty(),
        distribution,
        pot_sats: first["pot"].as_u64().unwrap_or(0),
        reward_root: first["root"].as_str().map(str::to_owned),
        payment: None,
    })
}

/// Makes the round's coinbases mature, mints them on K2, puts the round's root in force, and claims for everybody.
async fn pay(network: &mut Network, round: RoundNumber) -> anyhow::Result<Payment> {
    // Maturity is mined, for nobody: an output that cannot be spent.
    let nobody = bitcoin::ScriptBuf::new_op_return([]);
    network.bitcoind.generate(MATURITY, &nobody).await?;
    let nodes: Vec<String> = network
        .nodes
        .iter()
        .map(|node| format!("http://{}", node.http))
        .collect();
    let k2 = network.k2.as_mut().context("no K2")?;
    let minted = k2.mint_matured().await?;
    let mut settlements = Vec::new();
    for node in &nodes {
        settlements.push(settlement::settled(node, round, k2::PATIENCE).await?);
    }
    let identical = settlements.iter().all(|other| *other == settlements[0]);
    let settlement = settlements.first().context("no nodes")?;
    let mut payment = Payment {
        headers: minted.headers,
        minted: minted.minted,
        identical,
        total_sats: settlement.total,
        list: settlement.list.clone(),
        claims: 0,
    };
    let mut roots = Vec::new();
    for settlement in &settlements {
        roots.extend(settlement::root(settlement, k2::program())?);
    }
    if roots.len() == nodes.len() {
        k2.put_in_force(&roots).await?;
        payment.claims = k2.claim_all(&list(settlement, &nodes).await?).await?;
    }
    Ok(payment)
}

/// The list of a settled round, as anybody fetches it: by its CID.
async fn list(
    settlement: &crate::node::SettlementView,
    nodes: &[String],
) -> anyhow::Result<RewardList> {
    let cid = settlement.list.as_deref().context("no list")?.parse()?;
    fetch_list(parse_sources(nodes)?, &cid).await
}

async fn close(
    args: &DevnetArgs,
    network: &Network,
    rounds: Vec<RoundReport>,
) -> anyhow::Result<Report> {
    let node = network.bitcoind.node();
    let node: &dyn chain::BitcoinNode = node.as_ref();
    let height = node.chain_info().await?.height;
    let mut pool_blocks = 0;
    for at in 2..=height {
        let hash = node
            .hash_at(at)
            .await?
            .context("a block of the best chain")?;
        let block = node.block(hash).await?.context("a block's body")?;
        let pays = block.txdata.first().is_some_and(|coinbase| {
            coinbase.output.first().is_some_and(|output| {
                output.script_pubkey.as_script() == network.custody.payout().as_script()
            })
        });
        pool_blocks += u64::from(pays);
    }
    let last = network
        .nodes
        .first()
        .context("no nodes")?
        .orca
        .get(&format!("/api/rounds/{}/distribution", args.rounds - 1))
        .await?;
    let mut earned = Vec::new();
    for entry in last["earned"].as_array().into_iter().flatten() {
        let address = entry["owner"].as_str().context("owner")?.to_owned();
        earned.push(Earned {
            name: network.name_of(&address),
            address,
            sats: entry["cumulative"].as_u64().context("cumulative")?,
            redeemed_sats: 0,
            wrapped_sats: None,
        });
    }
    earned.sort_by(|a, b| a.name.cmp(&b.name));
    let redemption = redeem(network, &mut earned).await?;
    let k2 = balance_sheet(network, args.rounds - 1, &mut earned, redemption).await?;
    let mut problems = problems(&rounds, &earned, pool_blocks);
    problems.extend(k2.iter().flat_map(|k2| k2.problems(&earned)));
    ensure!(!rounds.is_empty(), "no round was played");
    Ok(Report {
        chain: format!("{:?}", args.chain).to_lowercase(),
        height,
        nodes: network
            .nodes
            .iter()
            .map(|node| (node.orca.name.clone(), node.orca.key.to_string()))
            .collect(),
        rounds,
        pool_blocks,
        earned,
        k2,
        ok: problems.is_empty(),
        problems,
    })
}

/// What K2's books say, and everybody's wrapped satoshis. What was earned is then read from the last settled list: only what
/// is settled can be claimed.
/// The miner who earned most redeems half of it, and custody pays in BTC.
async fn redeem(
    network: &Network,
    earned: &mut [Earned],
) -> anyhow::Result<Option<RedemptionReport>> {
    let Some(k2) = &network.k2 else {
        return Ok(None);
    };
    let Some(holder) = earned.iter_mut().max_by_key(|earned| earned.sats) else {
        return Ok(None);
    };
    let amount = holder.sats / 2;
    let (script, to) = network.custody.address_of(&holder.name)?;
    let request = Request {
        amount,
        max_fee: MAX_FEE,
        script: ScriptPubkey::parse(script.as_bytes())?,
    };
    if amount < LEAST_REDEMPTION {
        return Ok(None);
    }
    say(&format!(
        "{} redeems {amount} sat for BTC to {to}",
        holder.name
    ));
    let id = k2.redeem(&holder.name, &request).await?;
    let paid = network.custody.pay(id, &network.bitcoind, k2).await?;
    holder.redeemed_sats = amount;
    Ok(Some(RedemptionReport {
        id,
        who: holder.name.clone(),
        amount_sats: amount,
        to,
        txid: paid.txid,
        fee_sats: paid.fee,
        settled_sats: k2.settled(id).await?,
        reserves_sats: network.custody.reserves().await?,
    }))
}

async fn balance_sheet(
    network: &Network,
    last_round: u64,
    earned: &mut [Earned],
    redemption: Option<RedemptionReport>,
) -> anyhow::Result<Option<K2Report>> {
    let Some(k2) = &network.k2 else {
        return Ok(None);
    };
    let owners: Vec<K2Address> = earned
        .iter()
        .map(|earned| earned.address.parse())
        .collect::<Result<_, _>>()?;
    let balances = k2.balances(owners).await?;
    for earned in earned {
        let owner: K2Address = earned.address.parse()?;
        earned.wrapped_sats = balances.get(&owner).copied();
    }
    let books = k2.books().await?;
    Ok(Some(K2Report {
        rpc: k2.rpc_url(),
        program: k2::program().to_string(),
        mint: k2.mint().to_string(),
        supply: books.supply,
        proved: books.proved,
        burned: books.burned,
        vault: books.vault,
        finalized_round: books.round,
        finalized_total: books.total,
        last_round,
        redemption,
    }))
}

/// What must hold in a pool of honest nodes, and did not.
fn problems(rounds: &[RoundReport], earned: &[Earned], pool_blocks: u64) -> Vec<String> {
    let mut problems = Vec::new();
    for round in rounds {
        if round.audits_true != round.audits {
            problems.push(format!(
                "round {}: {} of {} audits of honest nodes answered false: see the nodes' logs",
                round.round,
                round.audits - round.audits_true,
                round.audits
            ));
        }
        if !round.lists_identical {
            problems.push(format!(
                "round {}: the nodes computed different lists",
                round.round
            ));
        }
        if !round.sum_exact {
            problems.push(format!(
                "round {}: the list does not sum to the bounty",
                round.round
            ));
        }
        if round.shares.iter().sum::<u64>() > 0 && round.distribution.is_empty() {
            problems.push(format!(
                "round {}: there were shares, but nobody is paid",
                round.round
            ));
        }
    }
    if rounds
        .iter()
        .all(|round| round.shares.iter().sum::<u64>() == 0)
    {
        problems.push("no share was found in any round".to_owned());
    }
    let pots: u64 = rounds.iter().map(|round| round.pot_sats).sum();
    let paid: u64 = earned.iter().map(|earned| earned.sats).sum();
    if pots != paid {
        problems.push(format!(
            "the rounds' blocks pay {pots} satoshis, the miners' list sums to {paid}"
        ));
    }
    if pots > 0 && pool_blocks == 0 {
        problems.push("no block on the best chain pays the pool".to_owned());
    }
    problems
}
