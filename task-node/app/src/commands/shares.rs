//! `orcapool shares --round N`

use std::process::ExitCode;

use anyhow::bail;
use serde_json::json;
use store::ShareStore as _;
use work::RoundNumber;

use super::{configuration, output};
use crate::cli::ConfigArgs;
use crate::node::open_store_to_read;

pub(super) async fn run(
    args: &ConfigArgs,
    round: RoundNumber,
    as_json: bool,
) -> anyhow::Result<ExitCode> {
    let config = configuration(args)?;
    let store = open_store_to_read(&config)?;
    if store.round(round).await?.is_none() {
        bail!("this node took no part in round {round}: `orcapool rounds` lists those it knows");
    }
    let shares = store.round_shares(round).await?.shares;
    if !as_json {
        output::line(&format!(
            "{:<64}  {:<44}  {:<16}  {:>16}  {:>10}  block",
            "hash", "miner", "worker", "difficulty", "time"
        ))?;
    }
    for share in &shares {
        if as_json {
            output::json(&json!({
                "hash": share.hash.to_string(),
                "miner": share.claim.miner.to_string(),
                "worker": *share.worker,
                "difficulty": share.claim.difficulty.announced(),
                "work": share.claim.difficulty.work().to_string(),
                "extranonce": hex::encode(share.fields.extranonce.as_bytes()),
                "ntime": share.fields.ntime,
                "nonce": share.fields.nonce,
                "version_bits": share.fields.version_bits,
                "received_at": share.at,
                "block": share.is_block,
            }))?;
        } else {
            output::line(&format!(
                "{}  {:<44}  {:<16}  {:>16}  {:>10}  {}",
                share.hash,
                share.claim.miner,
                share.worker,
                share.claim.difficulty,
                share.at.0,
                if share.is_block { "yes" } else { "" }
            ))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
