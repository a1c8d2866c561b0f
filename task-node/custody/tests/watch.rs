//! The watch-only wallet against a real node.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "watch/chain.rs"]
mod chain;
#[path = "watch/mempool.rs"]
mod mempool;
#[path = "watch/refusal.rs"]
mod refusal;
#[path = "watch/restore.rs"]
mod restore;
mod support;

use std::ops::ControlFlow;
use std::path::Path;

use bdk_wallet::KeychainKind;
use bitcoin::{Amount, Block, BlockHash, ScriptBuf, Transaction, TxOut};
use k2_interface::bitcoin::RedeemIds;
use orcapool_custody::watch::{Login, Source, Synced, Watch, WatchError};
use orcapool_custody::{BitcoinView, Setup};

use support::regtest::elsewhere;
use support::{Custodian, Regtest, Spendable, spend};

/// 2020-09-13; the tests' clock stands still, which a wallet must bear.
const NOW: u64 = 1_600_000_000;

fn source(node: &Regtest) -> Source {
    Source::Bitcoind {
        url: node.url(),
        login: Login::CookieFile(node.cookie_file()),
    }
}

fn try_sync(watch: &mut Watch, node: &Regtest) -> Result<Synced, WatchError> {
    watch.sync(&source(node), NOW, &mut |_| ControlFlow::Continue(()))
}

fn sync(watch: &mut Watch, node: &Regtest) -> Synced {
    try_sync(watch, node).unwrap_or_else(|error| panic!("{error}"))
}

/// What a wallet that never saw anything before makes of the chain.
fn fresh_view(node: &Regtest, setup: &Setup) -> BitcoinView {
    let dir = tempfile::tempdir().unwrap();
    let mut watch = Watch::create(dir.path(), setup, 0).unwrap();
    sync(&mut watch, node);
    watch.view()
}

fn create(path: &Path, setup: &Setup) -> Watch {
    Watch::create(path, setup, 0).unwrap()
}

/// Blocks with a reward for the wallet.
fn mine_own(node: &Regtest, setup: &Setup, blocks: u32) -> Vec<BlockHash> {
    node.mine(blocks, &setup.coinbase_script().unwrap())
}

fn coinbase(block: Block) -> Transaction {
    block.txdata.into_iter().next().unwrap()
}

/// A single-sig wallet with matured coinbases, and a folder for it.
struct Funded {
    node: Regtest,
    setup: Setup,
    watch: Watch,
    coins: Vec<Spendable>,
}

impl Funded {
    fn new(coins: u32) -> Self {
        let node = Regtest::start();
        let setup = Custodian::single_setup();
        let hashes = mine_own(&node, &setup, coins);
        node.mine_elsewhere(100);
        let mut watch = create(&node.dir().join("wallet"), &setup);
        sync(&mut watch, &node);
        let coins = hashes
            .iter()
            .map(|hash| Spendable::of(&setup, &coinbase(node.block(*hash))))
            .collect();
        Self {
            node,
            setup,
            watch,
            coins,
        }
    }

    /// Pays 1 BTC for each id out of `coins`, with this fee, change to internal script 0.
    fn payment(&self, coins: &[Spendable], ids: &[u64], fee: u64) -> Transaction {
        let out = |value, script_pubkey| TxOut {
            value,
            script_pubkey,
        };
        let sum: Amount = coins.iter().map(|coin| coin.txout().value).sum();
        let mut outputs: Vec<TxOut> = ids
            .iter()
            .map(|_| out(Amount::ONE_BTC, elsewhere()))
            .collect();
        let change = self.setup.script(KeychainKind::Internal, 0).unwrap();
        let paid = Amount::ONE_BTC * ids.len() as u64;
        outputs.push(out(sum - paid - Amount::from_sat(fee), change));
        let names = ScriptBuf::from_bytes(RedeemIds::encode(ids).unwrap());
        outputs.push(out(Amount::ZERO, names));
        spend(&self.setup, &[&Custodian::new(1)], coins, outputs)
    }

    fn sync(&mut self) -> Synced {
        sync(&mut self.watch, &self.node)
    }
}
