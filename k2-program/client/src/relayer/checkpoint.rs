//! The relay's checkpoint, taken from a Bitcoin node.

use bitcoin::block::Header;
use chain::{BitcoinNode, HeaderInfo, NodeError};
use k2_interface::bitcoin::network::RETARGET_INTERVAL;
use k2_interface::bitcoin::time_window::MEDIAN_TIME_SPAN;
use k2_interface::instruction::InitializeRelay;

use super::plan::narrow;

/// Why a node gives no checkpoint.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The node.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// There is no such block, or the chain moved.
    #[error("the bitcoin node has no block {0} on its best chain: choose a lower height")]
    NoBlock(u32),
    /// No real chain has that.
    #[error("the work of the chain does not fit 128 bits")]
    Work,
}

/// What InitializeRelay is given. Anybody can check it against a node of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The fixed arguments.
    pub args: InitializeRelay,
    /// The last headers up to the checkpoint, oldest first: 11, or fewer from the genesis block on.
    pub headers: Vec<Header>,
}

impl Checkpoint {
    /// The checkpoint at this height of the node's best chain. Take a block that will not be taken back: the relay never
    /// goes below it.
    ///
    /// # Errors
    /// [`CheckpointError`].
    pub async fn read(node: &dyn BitcoinNode, height: u32) -> Result<Self, CheckpointError> {
        let last = active(node, height).await?;
        let epoch_start = active(node, height - height % RETARGET_INTERVAL).await?;
        let mut headers = vec![last.header];
        let lowest = height.saturating_sub(MEDIAN_TIME_SPAN as u32 - 1);
        for below in (lowest..height).rev() {
            let header = active(node, below).await?.header;
            if headers
                .last()
                .is_some_and(|above| above.prev_blockhash != header.block_hash())
            {
                return Err(CheckpointError::NoBlock(below));
            }
            headers.push(header);
        }
        headers.reverse();
        let chain_work = match narrow(last.chain_work) {
            u128::MAX => return Err(CheckpointError::Work),
            work => work,
        };
        Ok(Self {
            args: InitializeRelay {
                height,
                epoch_start_time: epoch_start.header.time,
                // On testnet4 too: BIP94 lets no epoch begin with a 20-minute exception.
                epoch_bits: epoch_start.header.bits.to_consensus(),
                chain_work,
            },
            headers,
        })
    }
}

async fn active(node: &dyn BitcoinNode, height: u32) -> Result<HeaderInfo, CheckpointError> {
    let none = CheckpointError::NoBlock(height);
    let Some(hash) = node.hash_at(height).await? else {
        return Err(none);
    };
    node.header(hash)
        .await?
        .filter(|info| info.is_active() && info.height == height)
        .ok_or(none)
}
