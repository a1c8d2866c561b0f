//! BDK's change sets in SQLite.
//!
//! BDK keeps one checkpoint a block, for ever, and walks them one by one whenever it asks whether a transaction's block is
//! in the chain. So only those are taken along when the wallet is opened that can matter: recent ones, where a
//! re-organisation may happen, and the blocks of transactions.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use bdk_wallet::chain::Anchor as _;
use bdk_wallet::{ChangeSet, WalletPersister};
use rusqlite::Connection;

use super::WatchError;
use crate::fault;

/// Checkpoints below the best block that are all kept: two weeks.
const DENSE: u32 = 2016;

/// `wallet.sqlite`.
#[derive(Debug)]
pub(super) struct Database(Connection);

impl Database {
    /// Opens it, or makes it.
    pub(super) fn open(path: &Path) -> Result<Self, WatchError> {
        let open = || {
            let connection = Connection::open(path)?;
            connection.busy_timeout(Duration::from_secs(5))?;
            connection.pragma_update(None, "journal_mode", "WAL")?;
            connection.pragma_update(None, "synchronous", "FULL")?;
            Ok(Self(connection))
        };
        open().map_err(|error: rusqlite::Error| WatchError::database(path, &error))
    }
}

impl WalletPersister for Database {
    type Error = rusqlite::Error;

    fn initialize(persister: &mut Self) -> Result<ChangeSet, Self::Error> {
        let mut changes = Connection::initialize(&mut persister.0)?;
        thin(&mut changes);
        Ok(changes)
    }

    fn persist(persister: &mut Self, changes: &ChangeSet) -> Result<(), Self::Error> {
        fault::around("wallet: changes", || {
            Connection::persist(&mut persister.0, changes)
        })
    }
}

/// Leaves out checkpoints that nothing depends on. The blocks of all transactions stay: without its block BDK would take a
/// transaction for unconfirmed.
fn thin(changes: &mut ChangeSet) {
    let blocks = &mut changes.local_chain.blocks;
    let Some((&tip, _)) = blocks.last_key_value() else {
        return;
    };
    let anchors = &changes.tx_graph.anchors;
    let needed: BTreeSet<u32> = anchors
        .iter()
        .map(|(anchor, _)| anchor.anchor_block().height)
        .collect();
    blocks.retain(|height, _| {
        *height == 0 || height.saturating_add(DENSE) >= tip || needed.contains(height)
    });
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use bdk_wallet::chain::{BlockId, ConfirmationBlockTime};
    use bitcoin::hashes::Hash as _;
    use bitcoin::{BlockHash, Txid};

    use super::*;

    #[test]
    fn genesis_recent_blocks_and_those_of_transactions_stay() {
        let hash = |height: u32| {
            let mut bytes = [0; 32];
            bytes[..4].copy_from_slice(&height.to_le_bytes());
            BlockHash::from_byte_array(bytes)
        };
        let mut changes = ChangeSet::default();
        changes.local_chain.blocks = (0..=10_000).map(|at| (at, Some(hash(at)))).collect();
        for height in [17, 900] {
            let anchor = ConfirmationBlockTime {
                block_id: BlockId {
                    height,
                    hash: hash(height),
                },
                confirmation_time: 0,
            };
            let txid = Txid::from_byte_array([7; 32]);
            changes.tx_graph.anchors.insert((anchor, txid));
        }
        thin(&mut changes);
        let kept: Vec<u32> = changes.local_chain.blocks.keys().copied().collect();
        assert_eq!(kept[..3], [0, 17, 900]);
        assert_eq!(kept[3..], (10_000 - DENSE..=10_000).collect::<Vec<_>>());

        let mut empty = ChangeSet::default();
        thin(&mut empty);
        assert_eq!(empty, ChangeSet::default());
    }
}
