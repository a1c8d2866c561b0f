//! Shows K2 what Bitcoin confirmed.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use chain::BitcoinNode;
use custody::coordinator::Done;
use custody::fault::{self, Side};
use k2_client::redeem::{RedeemError, Settled, Settler};

use super::text;
use crate::commands::custody::session::Session;
use crate::commands::k2::read_keypair;

/// Settles payments. It keeps nothing: K2 says what is settled.
pub(super) struct Settling {
    settler: Settler,
    node: Arc<dyn BitcoinNode>,
}

impl Settling {
    pub(super) fn open(session: &Session, keypair: &Path) -> anyhow::Result<Self> {
        let node = session.bitcoin()?;
        let keypair = Arc::new(read_keypair(keypair)?);
        let settler = Settler::new(session.client()?, Arc::clone(&node), keypair);
        Ok(Self { settler, node })
    }

    /// Settles what the turn has found in blocks. What fails is said, and tried again by the next turn.
    pub(super) async fn settle(&self, session: &Session, done: &[Done]) -> anyhow::Result<()> {
        for done in done {
            let Done::ToSettle { txid, height, .. } = done else {
                continue;
            };
            fault::point(Side::Before, "K2: settle");
            let settled = self.one(*txid, *height).await;
            fault::point(Side::After, "K2: settle");
            match settled {
                Ok(settled) => {
                    for settled in &settled {
                        text::settled(session, settled)?;
                    }
                }
                Err(error) => tracing::warn!(%txid, "not settled: {error:#}"),
            }
        }
        Ok(())
    }

    async fn one(&self, txid: bitcoin::Txid, height: u32) -> anyhow::Result<Vec<Settled>> {
        let block = self.node.hash_at(height).await?;
        let block = block.with_context(|| format!("the Bitcoin node has no block {height}"))?;
        let payouts = match self.settler.find_in(block, txid).await {
            // Somebody else was faster.
            Err(RedeemError::NoPayout(_)) => return Ok(Vec::new()),
            other => other?,
        };
        Ok(self.settler.settle(payouts).await?)
    }
}
