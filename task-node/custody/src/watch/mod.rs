//! The watch-only wallet: what the chain says about the coins of a [`Setup`].
//!
//! ```text
//! bitcoind | Esplora | Electrum --sync--> Watch (wallet.sqlite) --view--> BitcoinView --> every rule that guards money
//! ```
//!
//! It holds no key and decides nothing. Everything in its database comes from the chain and is made anew from the
//! descriptor when it is lost; what must not be lost stands in the journal beside it.
//!
//! | file | one job |
//! |---|---|
//! | `folder` | a wallet's folder: what it is of, and that one process at a time uses it |
//! | `database` | BDK's change sets in SQLite |
//! | `source` | where blocks come from |
//! | `bitcoind` | block by block from the custodian's own node |
//! | `server` | script by script from an Esplora or Electrum server |
//! | `events` | what a sync changed |
//! | `report` | the view, balances, history |

mod bitcoind;
mod database;
mod error;
mod events;
#[cfg(test)]
pub(crate) mod fixture;
mod folder;
pub(crate) mod report;
mod server;
mod source;

use std::ops::ControlFlow;
use std::path::Path;

use bdk_wallet::chain::BlockId;
use bdk_wallet::{KeychainKind, LoadParams, PersistedWallet, Wallet};
use bitcoin::constants::genesis_block;
use bitcoin::{Script, ScriptBuf, Transaction, Txid};

pub use error::WatchError;
pub use events::WalletEvent;
pub use folder::WalletDir;
pub use report::{Balance, Balances, HistoryEntry, Kind, Utxo};
pub(crate) use source::connect;
pub use source::{Login, Source};

use crate::Setup;
use crate::books::Transactions;
use crate::view::BitcoinView;
use database::Database;

/// How many scripts beyond the last used one of a keychain are looked for. Coins further out are not found; custody leaves
/// no gaps, so this is for wallets that other software has used as well (Liana issue 897: a restore with a gap of 20 found
/// nothing).
pub const GAP: u32 = 1000;

/// The wallet of one folder.
#[derive(Debug)]
pub struct Watch {
    wallet: PersistedWallet<Database>,
    database: Database,
    // Last: the folder's lock goes when the database is closed.
    dir: WalletDir,
}

/// How far a sync is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// The last block that was looked at.
    pub height: u32,
    /// The best block of the source, as known so far.
    pub tip: u32,
}

/// What a sync brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Synced {
    /// The best block.
    pub tip: BlockId,
    /// How many blocks were looked at.
    pub blocks: u32,
    /// What changed. Of a sync that was cut off nothing is reported again: rules look at the [`view`](Watch::view).
    pub events: Vec<WalletEvent>,
}

impl Watch {
    /// Makes a wallet in a folder that has none, and opens it. Nothing is asked of any node.
    ///
    /// Blocks below `birthday` are never looked at: 0 for a wallet that may have been used at any time.
    ///
    /// # Errors
    /// [`WatchError::Exists`]; otherwise the folder cannot be written.
    pub fn create(path: &Path, setup: &Setup, birthday: u32) -> Result<Self, WatchError> {
        Self::load(WalletDir::create(path, setup, birthday)?)
    }

    /// Opens a folder. A database that is missing is made anew: the next sync fills it.
    ///
    /// # Errors
    /// [`WatchError::Missing`], [`WatchError::Locked`]; otherwise the folder is damaged or cannot be read.
    pub fn open(path: &Path) -> Result<Self, WatchError> {
        Self::load(WalletDir::open(path)?)
    }

    fn load(dir: WalletDir) -> Result<Self, WatchError> {
        let path = dir.database_path();
        let mut database = Database::open(&path)?;
        let setup = dir.setup();
        let [external, internal] =
            [KeychainKind::External, KeychainKind::Internal].map(|kind| setup.keychain(kind));
        let genesis = genesis_block(setup.network()).block_hash();
        let loaded = LoadParams::new()
            .descriptor(KeychainKind::External, Some(external.clone()))
            .descriptor(KeychainKind::Internal, Some(internal.clone()))
            .check_network(setup.network())
            .check_genesis_hash(genesis)
            .lookahead(GAP)
            .load_wallet(&mut database);
        let loaded = loaded.map_err(|error| WatchError::database(&path, &error))?;
        let wallet = match loaded {
            Some(wallet) => wallet,
            None => Wallet::create(external.clone(), internal.clone())
                .network(setup.network())
                .genesis_hash(genesis)
                .lookahead(GAP)
                .create_wallet(&mut database)
                .map_err(|error| WatchError::database(&path, &error))?,
        };
        let mut watch = Self {
            wallet,
            database,
            dir,
        };
        // The coinbase script is in use from the first day on; servers are asked for scripts that were given out.
        let _ = watch
            .wallet
            .reveal_addresses_to(KeychainKind::External, 0)
            .count();
        watch.persist()?;
        Ok(watch)
    }

    /// Which keys hold the wallet.
    #[must_use]
    pub const fn setup(&self) -> &Setup {
        self.dir.setup()
    }

    /// Its folder.
    #[must_use]
    pub const fn dir(&self) -> &WalletDir {
        &self.dir
    }

    /// The best block it knows; height 0 before the first sync.
    #[must_use]
    pub fn tip(&self) -> BlockId {
        self.wallet.latest_checkpoint().block_id()
    }

    /// Follows the chain to its tip, and looks for the wallet's unconfirmed transactions.
    ///
    /// `now`, in seconds since 1970, orders what is seen in the mempool; a clock that was set back does no harm.
    /// `progress` is told of every block and may break off: what was found so far is kept.
    ///
    /// # Errors
    /// The source cannot be asked or is not to be believed; [`WatchError::Stopped`]. What was learned before is kept, and
    /// the next sync goes on from there.
    pub fn sync(
        &mut self,
        source: &Source,
        now: u64,
        progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Synced, WatchError> {
        let before = events::Snapshot::of(&self.wallet);
        let blocks = match source {
            Source::Bitcoind { url, login } => {
                bitcoind::sync(self, &connect(url, login)?, now, progress)?
            }
            Source::Esplora { url } => server::esplora(self, url, now, progress)?,
            Source::Electrum { url } => server::electrum(self, url, now, progress)?,
        };
        self.persist()?;
        let after = events::Snapshot::of(&self.wallet);
        Ok(Synced {
            tip: self.tip(),
            blocks,
            events: before.events(&after),
        })
    }

    /// What rules look at, as of the last sync.
    #[must_use]
    pub fn view(&self) -> BitcoinView {
        report::view(&self.wallet)
    }

    /// Every transaction that counts, whole: what the books are made of.
    #[must_use]
    pub fn transactions(&self) -> Transactions {
        report::transactions(&self.wallet)
    }

    /// What there is, by keychain.
    #[must_use]
    pub fn balances(&self) -> Balances {
        report::balances(&self.wallet)
    }

    /// Every transaction that counts, oldest first, unconfirmed ones last.
    #[must_use]
    pub fn history(&self) -> Vec<HistoryEntry> {
        report::history(&self.wallet)
    }

    /// Every coin that no confirmed transaction spends.
    #[must_use]
    pub fn utxos(&self) -> Vec<Utxo> {
        report::utxos(&self.wallet)
    }

    /// A transaction the wallet has seen, whole, whether it counts or not.
    #[must_use]
    pub fn transaction(&self, txid: Txid) -> Option<Transaction> {
        let found = self.wallet.tx_graph().get_tx(txid)?;
        Some(Transaction::clone(&found))
    }

    /// Whether a script is the wallet's, and where it stands: up to [`GAP`] beyond the last used index.
    #[must_use]
    pub fn find(&self, script: &Script) -> Option<(KeychainKind, u32)> {
        self.wallet.derivation_of_spk(script.to_owned())
    }

    /// Where change goes: the first script of the internal keychain that no transaction pays, and its index. The same one
    /// until a transaction that pays it is seen.
    ///
    /// # Errors
    /// The database cannot be written.
    pub fn change_script(&mut self) -> Result<(u32, ScriptBuf), WatchError> {
        let address = self.wallet.next_unused_address(KeychainKind::Internal);
        self.persist()?;
        // From the descriptor, not from the index: money goes there.
        let script = self
            .setup()
            .script(KeychainKind::Internal, address.index)
            .map_err(WatchError::Setup)?;
        Ok((address.index, script))
    }

    /// Takes in a transaction of the wallet that is about to be sent, so that its coins count as being spent at once. If no
    /// node has it at the next sync, they are free again; [`BitcoinView::payments`] keeps it.
    ///
    /// # Errors
    /// The database cannot be written.
    pub fn insert_payment(&mut self, transaction: Transaction, now: u64) -> Result<(), WatchError> {
        let seen = self.stamp(now);
        self.wallet.apply_unconfirmed_txs([(transaction, seen)]);
        self.persist()
    }

    /// The time for what is seen or missed in the mempool now.
    ///
    /// BDK takes the later one of conflicting observations as true, so each must be later than all before it, whatever the
    /// clock says.
    fn stamp(&self, now: u64) -> u64 {
        let graph = self.wallet.tx_graph();
        let latest = graph
            .full_txs()
            .filter_map(|node| node.last_seen.max(graph.get_last_evicted(node.txid)))
            .max();
        latest.map_or(now, |latest| now.max(latest.saturating_add(1)))
    }

    fn persist(&mut self) -> Result<(), WatchError> {
        match self.wallet.persist(&mut self.database) {
            Ok(_) => Ok(()),
            Err(error) => Err(WatchError::database(&self.dir.database_path(), &error)),
        }
    }
}
