//! What the own task node says of a settled round.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use k2_client::rounds::Root;
use k2_client::views::list_digest;
use k2_interface::K2Address;
use work::RoundNumber;

use crate::node::SettlementView;

/// A node that has to catch up reads many bundles.
const PATIENCE: Duration = Duration::from_secs(600);

/// Asks the node to settle the round.
///
/// # Errors
/// The node's own reason, as which block has how many confirmations.
pub(crate) async fn fetch(node: &str, round: RoundNumber) -> anyhow::Result<SettlementView> {
    let path = format!("/api/rounds/{round}/settlement");
    let settlement = get(node, &path).await?;
    let settlement: SettlementView = serde_json::from_value(settlement)
        .with_context(|| format!("{node}{path}: not a settlement"))?;
    ensure!(
        settlement.round == round.get(),
        "{node}{path}: it is that of round {}: is something between here and the node?",
        settlement.round
    );
    Ok(settlement)
}

/// The newest round the node has settled.
///
/// # Errors
/// It does not answer.
pub(super) async fn newest(node: &str) -> anyhow::Result<Option<u64>> {
    Ok(get(node, "/api/stats").await?["settled_round"].as_u64())
}

async fn get(node: &str, path: &str) -> anyhow::Result<serde_json::Value> {
    let url = format!("{}{path}", node.trim_end_matches('/'));
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(chain::tls::client_config()?)
        .timeout(PATIENCE)
        .build()?;
    let answer =
        client.get(&url).send().await.with_context(|| {
            format!("the task node {node} does not answer: is it running there?")
        })?;
    let status = answer.status();
    let body: serde_json::Value = serde_json::from_slice(&answer.bytes().await?)
        .with_context(|| format!("{url}: {status}"))?;
    if !status.is_success() {
        bail!(
            "{url}: {}",
            body["error"].as_str().unwrap_or(status.as_str())
        );
    }
    Ok(body)
}

/// As [`fetch`], but waits until the node has seen the blocks that settle the round.
///
/// # Errors
/// The node's reason, when the time is up.
#[cfg(feature = "local-k2")]
pub(crate) async fn settled(
    node: &str,
    round: RoundNumber,
    patience: Duration,
) -> anyhow::Result<SettlementView> {
    let deadline = tokio::time::Instant::now() + patience;
    loop {
        match fetch(node, round).await {
            Err(_) if tokio::time::Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            settlement => return settlement,
        }
    }
}

/// What can be proposed and attested of it; `None` where nobody has earned a claimable amount yet.
///
/// # Errors
/// The node is configured for another program, or answers nonsense.
pub(crate) fn root(
    settlement: &SettlementView,
    program: K2Address,
) -> anyhow::Result<Option<Root>> {
    ensure!(
        settlement.program == program.to_string(),
        "the task node computes for program {}, this is {program}: set `k2.program` in its configuration",
        settlement.program
    );
    let (Some(root), Some(list)) = (&settlement.root, &settlement.list) else {
        return Ok(None);
    };
    let mut bytes = [0; 32];
    hex::decode_to_slice(root, &mut bytes).context("the settlement's root")?;
    let list = list.parse().context("the settlement's list")?;
    Ok(Some(Root {
        round: settlement.round,
        root: bytes,
        list: list_digest(&list).context("the settlement's list is no dag-cbor CID")?,
        total: settlement.total,
        leaf_count: settlement.leaves,
    }))
}
