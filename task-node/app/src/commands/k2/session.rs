//! What every command on K2 starts from - settings, cluster, keypair - and the one way in which all of them act: carry
//! drafts out, or with `--dry-run` show what they would change.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, ensure};
use chain::{BitcoinNode, FailoverNode, FailoverOptions, RpcNode};
use k2_client::{
    Client, Confirmed, Draft, K2, K2Rpc, Keypair, Price, Program, RpcOptions, SendOptions,
};
use k2_interface::K2Address;
use serde::Serialize;
use solana_instruction::Instruction;

use super::dry_run;
use crate::cli::K2Args;
use crate::commands::output;
use crate::config::{K2Settings, load};

/// Where Koii's own tools keep the user's keypair, below the home directory.
const KOII_KEYPAIR: &str = ".config/koii/id.json";

/// A command on K2 at work.
pub(super) struct Session {
    /// What is configured.
    pub(super) settings: K2Settings,
    /// The pool's program on its cluster.
    pub(super) client: Client,
    /// JSON instead of sentences.
    pub(super) json: bool,
    dry_run: bool,
    /// Something previewed would fail.
    would_fail: AtomicBool,
    keypair: Option<PathBuf>,
}

/// One transaction, for `--json`.
#[derive(Debug, Serialize)]
struct Done<'a> {
    action: &'a str,
    signature: String,
    slot: u64,
    compute_units: Option<u64>,
}

impl Session {
    /// Reads the settings; nothing is sent yet.
    pub(super) fn open(args: &K2Args) -> anyhow::Result<Self> {
        let raw = load(args.config.config.as_deref(), &args.config.assignments())
            .map_err(|error| anyhow::anyhow!("the configuration is wrong:\n{error}"))?;
        let mut settings = K2Settings::try_from(&raw)
            .map_err(|error| anyhow::anyhow!("the configuration is wrong:\n{error}"))?;
        if !args.rpc.is_empty() {
            settings.rpc.clone_from(&args.rpc);
        }
        if let Some(program) = args.program {
            settings.program = program;
        }
        Ok(Self {
            client: client(&settings)?,
            json: args.json,
            dry_run: args.dry_run,
            would_fail: AtomicBool::new(false),
            keypair: args.keypair.clone().or_else(|| settings.keypair.clone()),
            settings,
        })
    }

    /// The program.
    pub(super) const fn program(&self) -> &Program {
        self.client.program()
    }

    /// Whether nothing is to be sent.
    pub(super) const fn dry_run(&self) -> bool {
        self.dry_run
    }

    /// Whether something that was previewed would fail.
    pub(super) fn would_fail(&self) -> bool {
        self.would_fail.load(Ordering::Relaxed)
    }

    /// Reads the keypair of whoever signs.
    pub(super) fn keypair(&self) -> anyhow::Result<Keypair> {
        let path = match &self.keypair {
            Some(path) => path.clone(),
            None => std::env::home_dir()
                .context("which keypair? Give --keypair, or `k2.keypair` in the configuration")?
                .join(KOII_KEYPAIR),
        };
        read_keypair(&path)
    }

    /// The configured Bitcoin nodes.
    pub(super) fn bitcoin(&self) -> anyhow::Result<Arc<dyn BitcoinNode>> {
        bitcoin(&self.settings)
    }

    /// Carries one transaction out and says so; or, with `--dry-run`, says what it would do.
    pub(super) async fn act(
        &self,
        action: &str,
        instructions: impl Into<Vec<Instruction>>,
        keys: &[&Keypair],
    ) -> anyhow::Result<()> {
        let payer = keys.first().context("nobody signs")?.address();
        let draft = Draft::new(payer, instructions);
        if self.dry_run {
            return self.preview(action, &draft).await;
        }
        let done = self
            .client
            .send(&draft, keys)
            .await
            .with_context(|| format!("{action}: not done"))?;
        self.done(action, &done)
    }

    /// Says that a transaction was carried out.
    pub(super) fn done(&self, action: &str, done: &Confirmed) -> anyhow::Result<()> {
        if self.json {
            return output::json(&Done {
                action,
                signature: done.signature.to_string(),
                slot: done.slot,
                compute_units: done.units,
            });
        }
        let units = done
            .units
            .map_or_else(String::new, |units| format!(", {units} compute units"));
        self.say(&format!("{action}: done ({}{units})", done.signature))
    }

    /// Shows a simulation: what fails, what changes, what it costs.
    pub(super) async fn preview(&self, action: &str, draft: &Draft) -> anyhow::Result<()> {
        let run = self.client.dry_run(draft).await?;
        if run.failure.is_some() {
            self.would_fail.store(true, Ordering::Relaxed);
        }
        if self.json {
            return output::json(&serde_json::json!({ "action": action, "would": run }));
        }
        self.say(&dry_run::text(action, &run))
    }

    /// A sentence on standard output; in JSON a note, so that a script always reads something.
    pub(super) fn say(&self, text: &str) -> anyhow::Result<()> {
        if self.json {
            return output::json(&serde_json::json!({ "note": text }));
        }
        Ok(output::line(text)?)
    }
}

/// The pool's program on its cluster, as configured. Nothing is sent yet.
pub(crate) fn client(settings: &K2Settings) -> anyhow::Result<Client> {
    ensure!(
        settings.program.as_bytes() != &[0; 32],
        "which program? Give --program, or `k2.program` in the configuration"
    );
    let k2: Arc<dyn K2> = Arc::new(K2Rpc::new(&RpcOptions::new(settings.rpc.clone()))?);
    let options = SendOptions {
        price: Price::Recent {
            least: settings.price,
            most: settings.price.max(1_000_000),
        },
        ..SendOptions::default()
    };
    Ok(Client::new(k2, settings.program, options))
}

/// The configured Bitcoin nodes.
pub(crate) fn bitcoin(settings: &K2Settings) -> anyhow::Result<Arc<dyn BitcoinNode>> {
    ensure!(
        !settings.bitcoin_nodes.is_empty(),
        "this needs a Bitcoin node: give -c with [[bitcoin.nodes]] in the file"
    );
    let nodes = settings
        .bitcoin_nodes
        .iter()
        .map(|options| Ok(Arc::new(RpcNode::new(options.clone())?) as Arc<dyn BitcoinNode>))
        .collect::<anyhow::Result<Vec<_>>>()?;
    Ok(Arc::new(FailoverNode::new(
        nodes,
        FailoverOptions::default(),
    )?))
}

/// Reads a keypair file, with a warning where others may read it too.
pub(crate) fn read_keypair(path: &std::path::Path) -> anyhow::Result<Keypair> {
    let file = Keypair::read(path)?;
    if let Some(warning) = file.warning {
        tracing::warn!("{warning}");
    }
    Ok(file.keypair)
}

/// The signer's own address, unless another one was named.
pub(super) fn or_own(named: Option<K2Address>, keypair: &Keypair) -> K2Address {
    named.unwrap_or_else(|| keypair.address())
}
