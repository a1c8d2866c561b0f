//! `orcapool audit <cid>|<car file>`: anybody audits any bundle.

use std::num::NonZeroU32;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use chain::BitcoinNode;
use content::car::CarError;
use content::{BlockStore, DagLimits, MemoryStore, parse_cid};
use rounds::{
    AuditSummary, AuditUnavailable, Auditor, BundleRoot, Submission, Submitted, USUAL_SAMPLES,
    part_found,
};
use serde_json::json;
use store::{Identity, ShareStore, SqliteStore};
use work::{Clock as _, SystemClock};

use super::{configuration, output};
use crate::cli::AuditArgs;
use crate::config::{Config, LogFormat};
use crate::logging;
use crate::node::{open_bitcoin, open_blocks, open_fetcher, open_store_to_read};
use crate::requests::SampleSeed;

/// One bundle cannot hold more shares.
const REMEMBERED_SHARES: usize = rounds::MAX_SHARES as usize;

/// What a sample shows is said for this probability of missing it: 2^-20, one in a million.
const MISSED_BITS: u32 = 20;

pub(super) async fn run(args: &AuditArgs) -> anyhow::Result<ExitCode> {
    let config = configuration(&args.config)?;
    logging::start(LogFormat::Text, "warn")?;
    let Located {
        cid,
        blocks,
        max_bytes,
    } = match locate(&args.bundle, &config).await? {
        Ok(located) => located,
        Err(reason) => {
            if args.json {
                output::json(&json!({ "cid": null, "valid": false, "reason": reason }))?;
            } else {
                output::line(&format!("false: {reason}"))?;
            }
            return Ok(ExitCode::FAILURE);
        }
    };
    let fetcher = open_fetcher(&config, blocks)?;
    let bitcoin = open_bitcoin(&config)?;
    if let Some(peers) = &bitcoin.peers {
        peers.refresh().await;
    }
    let bitcoin = bitcoin.node;

    // What the bundle says of itself stands in for the submission; on K2 the submission is a check of its own.
    let root = fetcher.fetch_block(&cid).await?;
    let (verdict, about) = match BundleRoot::decode(root.bytes()) {
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
            )
            .with_max_bundle_bytes(max_bytes);
            let now = SystemClock::new().now();
            let verdict = match sample(args) {
                Some((samples, SampleSeed(seed))) => {
                    auditor.audit_sample(&submission, seed, samples, now).await
                }
                None => auditor.audit(&submission, now).await,
            };
            let verdict = match verdict {
                Ok(verdict) => verdict.map_err(|failure| failure.to_string()),
                Err(AuditUnavailable::NoSource(error)) => {
                    anyhow::bail!("the bundle cannot be had: {error}")
                }
                Err(error @ AuditUnavailable::TooLarge { .. }) => {
                    anyhow::bail!(
                        "{error} (`--sample {USUAL_SAMPLES} --seed HEX`), or raise audit.max_bundle_bytes"
                    )
                }
                Err(error) => return Err(error.into()),
            };
            (verdict, Some((head, totals)))
        }
    };

    if args.json {
        let summary = verdict.as_ref().ok();
        output::json(&json!({
            "cid": cid.to_string(),
            "valid": verdict.is_ok(),
            "reason": verdict.as_ref().err(),
            "round": about.map(|(head, _)| head.round),
            "node": about.map(|(head, _)| head.node.to_string()),
            "shares": about.map(|(_, totals)| totals.shares),
            "checked": summary.map(|summary| summary.checked),
            "work": about.map(|(_, totals)| totals.work.to_string()),
            "blocks": about.map(|(_, totals)| totals.blocks),
            "samples": args.sample,
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
        match &verdict {
            Ok(summary) => {
                output::line(&worth(summary, args.sample))?;
                output::line("true: every check passed")?;
            }
            Err(reason) => output::line(&format!("false: {reason}"))?,
        }
    }
    Ok(if verdict.is_ok() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn sample(args: &AuditArgs) -> Option<(NonZeroU32, SampleSeed)> {
    args.sample.and_then(NonZeroU32::new).zip(args.seed)
}

/// What was checked, and what that shows, for somebody who never read about sampling.
fn worth(summary: &AuditSummary, samples: Option<u32>) -> String {
    let (checked, shares) = (summary.checked, summary.totals.shares);
    let found = samples.and_then(|samples| part_found(samples, MISSED_BITS));
    match found {
        Some(part) if checked < shares => {
            let percent = f64::from(part) / 10_000.0;
            format!(
                "checked {checked} of {shares} shares: had {percent:.2} % of the work or more been false, a sample like \
                 this would have missed it less than once in a million times; smaller lies may have been missed"
            )
        }
        _ => format!("checked {checked} of {shares} shares, which is all of them"),
    }
}

/// A bundle and where its blocks are.
struct Located {
    cid: cid::Cid,
    blocks: Arc<dyn BlockStore>,
    /// The most bytes that are fetched for it; a file is there already.
    max_bytes: u64,
}

/// A CAR file is read into memory, a CID is looked up and fetched. A CAR file with a block that is not what its CID says is
/// no bundle; the reason is the verdict.
async fn locate(text: &str, config: &Config) -> anyhow::Result<Result<Located, String>> {
    let file = Path::new(text);
    if !file.is_file() {
        let cid = parse_cid(text)
            .with_context(|| format!("`{text}` is neither a file nor the CID of a bundle"))?;
        return Ok(Ok(Located {
            cid,
            blocks: Arc::new(open_blocks(config)?),
            max_bytes: config.max_bundle_bytes,
        }));
    }
    let limits = DagLimits {
        max_total_bytes: config.max_bundle_bytes,
        ..DagLimits::default()
    };
    let store = MemoryStore::new();
    let reader = tokio::io::BufReader::new(tokio::fs::File::open(file).await?);
    let report = match content::car::import(reader, None, &store, limits).await {
        Ok(report) => report,
        Err(error @ (CarError::BadBlock { .. } | CarError::Dag(_))) => {
            return Ok(Err(error.to_string()));
        }
        Err(error) => {
            return Err(error)
                .with_context(|| format!("{} is not a CAR file of a bundle", file.display()));
        }
    };
    Ok(Ok(Located {
        cid: report.root,
        blocks: Arc::new(store),
        max_bytes: u64::MAX,
    }))
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
