//! The part of `orcapool k2 keep` that mints.

use std::sync::{Mutex, PoisonError};

use anyhow::Context as _;
use k2_client::Client;
use k2_client::mint::{MintReport, Minter};
use k2_interface::state::Relay;
use work::RoundNumber;

use super::super::settlement;
use crate::node::SettlementView;

/// Settled rounds looked through in one turn for blocks that were left behind.
const ROUNDS_A_TURN: usize = 16;

/// Mints what has matured.
pub(super) struct Minting<'a> {
    client: &'a Client,
    minter: Minter,
    /// The own task node.
    node: &'a str,
    /// The settled round to be looked through next; none: the newest one.
    next: Mutex<Option<u64>>,
}

impl<'a> Minting<'a> {
    pub(super) fn new(client: &'a Client, minter: Minter, node: &'a str) -> Self {
        Self {
            client,
            minter,
            node,
            next: Mutex::default(),
        }
    }

    /// Mints the coinbases of all blocks in the relay's ring, and those of settled rounds that have left it.
    pub(super) async fn turn(&self) -> anyhow::Result<()> {
        let relay = self.client.accounts().relay().await?;
        tell(&self.minter.mint_since(relay.oldest_height.get()).await?);
        self.left_behind(&relay).await
    }

    /// A block is in the ring for 92 blocks after its coinbase has matured. Where no keeper ran for so long, rounds would
    /// wait for ever for sats that nobody mints; the settled rounds say which blocks to look at.
    async fn left_behind(&self, relay: &Relay) -> anyhow::Result<()> {
        let Some(newest) = settlement::newest(self.node).await? else {
            return Ok(());
        };
        let config = self.client.accounts().config().await?;
        let total = self.settled(newest).await?.total;
        if total <= config.totals.proved_in.get() {
            self.set_next(None);
            return Ok(());
        }
        let from = self.next().filter(|next| *next <= newest).unwrap_or(newest);
        for round in (0..=from).rev().take(ROUNDS_A_TURN) {
            let Ok(settled) = self.settled(round).await else {
                // The history of the task begins above it.
                self.set_next(None);
                return Ok(());
            };
            // Whatever comes of it, the rounds before it have their turn too.
            self.set_next(round.checked_sub(1));
            let heights = out_of_ring(&settled, relay, config.parameters.mint_horizon.get());
            if !heights.is_empty() {
                tell(&self.minter.mint_blocks(heights).await?);
            }
        }
        Ok(())
    }

    async fn settled(&self, round: u64) -> anyhow::Result<SettlementView> {
        let round = RoundNumber::new(round).context("a round number")?;
        settlement::fetch(self.node, round).await
    }

    fn next(&self) -> Option<u64> {
        *self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_next(&self, next: Option<u64>) {
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = next;
    }
}

/// The round's blocks that a cursor has to be sent to.
fn out_of_ring(settled: &SettlementView, relay: &Relay, horizon: u32) -> Vec<u32> {
    let heights = settled.blocks.iter().map(|block| block.height);
    heights
        .filter(|height| {
            *height < relay.oldest_height.get() && !relay.is_below_horizon(*height, horizon)
        })
        .collect()
}

fn tell(report: &MintReport) {
    if !report.minted.is_empty() {
        tracing::info!(coinbases = report.minted.len(), "minted");
    }
    if let Some(reason) = &report.stopped {
        tracing::warn!("minting stopped: {reason}");
    }
}
