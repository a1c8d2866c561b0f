//! `orcapool k2 relay`: Bitcoin headers to K2.

use std::sync::Arc;
use std::time::Duration;

use k2_client::relayer::{Relayed, Relayer};

use super::session::Session;
use crate::commands::{output, stop_on_signal};

/// How often a followed node is looked at.
const EVERY: Duration = Duration::from_secs(10);

pub(super) async fn run(session: &Session, follow: bool) -> anyhow::Result<()> {
    let payer = Arc::new(session.keypair()?);
    let relayer = Relayer::new(session.client.clone(), session.bitcoin()?, payer);
    if session.dry_run() {
        let steps = relayer.plan().await?;
        if steps.is_empty() {
            return session.say("relay: nothing to do");
        }
        // Later steps build on the first one, so only that one can be simulated.
        session.say(&format!("{} transactions; the first:", steps.len()))?;
        if let Some(step) = steps.first() {
            session.preview("relay", &relayer.draft(step)).await?;
        }
        return Ok(());
    }
    if follow {
        relayer.run(EVERY, stop_on_signal()?).await;
        return Ok(());
    }
    report(session, &relayer.relay_once().await?)
}

pub(super) fn report(session: &Session, relayed: &Relayed) -> anyhow::Result<()> {
    if session.json {
        return output::json(relayed);
    }
    session.say(&format!(
        "relay: height {} -> {} of {}, {} headers in {} transactions",
        relayed.from_height,
        relayed.height,
        relayed.node_height,
        relayed.headers,
        relayed.transactions
    ))
}
