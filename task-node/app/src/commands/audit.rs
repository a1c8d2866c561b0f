//! `orcapool audit <cid>|<car file>`: anybody audits any bundle.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use chain::BitcoinNode;
use content::{BlockStore, DagLimits, MemoryStore, parse_cid};
use rounds::{AuditUnavailable, Auditor, BundleRoot, Submission, Submitted};
use serde_json::json;
use store::{Identity, ShareStore, SqliteStore};
use work::{Clock as _, SystemClock};

use super::{configuration, output};
use crate::cli::AuditArgs;
use crate::config::{Config, LogFormat};
use crate::logging;
use crate::node::{open_bitcoin, open_blocks, open_fetcher, open_store_to_read};

/// One bundle cannot hold more shares.
const REMEMBERED_SHARES: usize = rounds::MAX_SHARES as usize;

pub(super) async fn run(args: &AuditArgs) -> anyhow::Result<ExitCode> {
    let config = configuration(&args.config)?;
    logging::start(LogFormat::Text, "warn")?;
    let (cid, blocks) = bundle(&args.bundle, &config).await?;
    let fetcher = open_fetcher(&config, blocks)?;
    let (bitcoin, _) = open_bitcoin(&config)?;

    // What the bundle says of itself stands in for the submission; on K2 the submission is a check of its own.
    let root = fetcher.fetch_block(&cid).await?;
    let root = BundleRoot::decode(root.bytes());
    let (verdict, about) = match root {
        Err(error) => (Err(error.to_string()), None),
        Ok(root) => {
            let (head, totals) = (*root.head(), root.totals());
            let submission = Submission {
                round: head.round,
                node: head.node,
                submitted: Submitted {
                    cid,
                    shares: totals.shares,
                    work: totals.work,
                    root: *root.sum_root(),
                },
            };
            let (store, _temporary) = own_rounds(&config)?;
            let auditor = Auditor::new(
                Arc::new(config.rules.clone()),
                fetcher,
                bitcoin as Arc<dyn BitcoinNode>,
                store,
                REMEMBERED_SHARES,
            );
            let verdict = match auditor.audit(&submission, SystemClock::new().now()).await {
                Ok(verdict) => verdict
                    .map(|summary| summary.blocks.len())
                    .map_err(|failure| failure.to_string()),
                Err(AuditUnavailable::NoSource(error)) => {
                    anyhow::bail!("the bundle cannot be had: {error}")
                }
                Err(error) => return Err(error.into()),
            };
            (verdict, Some((head, totals)))
        }
    };

    if args.json {
        output::json(&json!({
            "cid": cid.to_string(),
            "valid": verdict.is_ok(),
            "reason": verdict.as_ref().err(),
            "round": about.map(|(head, _)| head.round),
            "node": about.map(|(head, _)| head.node.to_string()),
            "shares": about.map(|(_, totals)| totals.shares),
            "work": about.map(|(_, totals)| totals.work.to_string()),
            "blocks": about.map(|(_, totals)| totals.blocks),
        }))?;
    } else {
        if let Some((head, totals)) = about {
            output::line(&format!(
                "round {} of node {}: {} shares, difficulty {:.6}, {} blocks",
                head.round,
                head.node,
                totals.shares,
                totals.work.difficulty_for_display(),
                totals.blocks
            ))?;
        }
        output::line(&match &verdict {
            Ok(_) => "true: every check passed".to_owned(),
            Err(reason) => format!("false: {reason}"),
        })?;
    }
    Ok(if verdict.is_ok() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The bundle's name and where its blocks are: a CAR file is read into memory, a CID is looked up and fetched.
async fn bundle(text: &str, config: &Config) -> anyhow::Result<(cid::Cid, Arc<dyn BlockStore>)> {
    let file = Path::new(text);
    if !file.is_file() {
        let cid = parse_cid(text)
            .with_context(|| format!("`{text}` is neither a file nor the CID of a bundle"))?;
        return Ok((cid, Arc::new(open_blocks(config)?)));
    }
    let limits = DagLimits {
        max_total_bytes: config.max_bundle_bytes,
        ..DagLimits::default()
    };
    let store = MemoryStore::new();
    let reader = tokio::io::BufReader::new(tokio::fs::File::open(file).await?);
    let report = content::car::import(reader, None, &store, limits)
        .await
        .with_context(|| format!("{} is not a CAR file of a bundle", file.display()))?;
    Ok((report.root, Arc::new(store)))
}

/// This node's own view of its rounds. Somebody who runs no node has none; the temporary store says so.
fn own_rounds(config: &Config) -> anyhow::Result<(Arc<dyn ShareStore>, Option<tempfile::TempDir>)> {
    if let Ok(store) = open_store_to_read(config) {
        return Ok((Arc::new(store), None));
    }
    let dir = tempfile::tempdir()?;
    let identity = Identity {
        task: config.task,
        node: config.node,
    };
    let store = SqliteStore::open(&dir.path().join("empty.sqlite"), identity)?;
    Ok((Arc::new(store), Some(dir)))
}
