//! The watch-only wallet, and what a coordinator asks, against an Electrum and an Esplora server.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use bdk_wallet::KeychainKind;
use bitcoin::{Amount, BlockHash, FeeRate, Network, ScriptBuf, Transaction, TxOut};
use k2_interface::bitcoin::RedeemIds;
use orcapool_custody::Setup;
use orcapool_custody::coordinator::node::{self, NodeError};
use orcapool_custody::watch::{
    HistoryEntry, Login, Source, Synced, WalletEvent, Watch, WatchError,
};

use support::electrumx::ElectrumX;
use support::esplora::Esplora;
use support::regtest::{core_pays, elsewhere};
use support::{Custodian, Regtest, Spendable, spend};

const NOW: u64 = 1_600_000_000;
/// Blocks and payments in each, after which a node knows what fees are paid.
const FEE_HISTORY: (u32, u32) = (30, 3);

fn sync(watch: &mut Watch, source: &Source) -> Synced {
    watch
        .sync(source, NOW, &mut |_| ControlFlow::Continue(()))
        .unwrap_or_else(|error| panic!("{error}"))
}

/// A server hears of blocks and transactions a moment later than the node.
fn sync_until(
    watch: &mut Watch,
    source: &Source,
    done: impl Fn(&Watch, &Synced) -> bool,
) -> Synced {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        match watch.sync(source, NOW, &mut |_| ControlFlow::Continue(())) {
            Ok(synced) if done(watch, &synced) => return synced,
            // Between two blocks of a re-organisation.
            Ok(_) | Err(WatchError::NodeBehind { .. } | WatchError::Source { .. }) => {}
            Err(error) => panic!("{error}"),
        }
        assert!(Instant::now() < deadline, "it never happened");
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn bitcoind(node: &Regtest) -> Source {
    Source::Bitcoind {
        url: node.url(),
        login: Login::CookieFile(node.cookie_file()),
    }
}

/// The same wallet as a node shows it.
fn as_the_node_has_it(node: &Regtest, setup: &Setup) -> Watch {
    let dir = tempfile::tempdir().unwrap();
    let mut watch = Watch::create(dir.path(), setup, 0).unwrap();
    sync(&mut watch, &bitcoind(node));
    watch
}

/// An Esplora server tells what others' coins were worth, and a node does not.
fn history(watch: &Watch) -> Vec<HistoryEntry> {
    let mut history = watch.history();
    for entry in &mut history {
        if entry.spent == Amount::ZERO {
            entry.fee = None;
        }
    }
    history
}

fn payment(setup: &Setup, coin: &Spendable, fee: u64) -> Transaction {
    let out = |value, script_pubkey| TxOut {
        value,
        script_pubkey,
    };
    let change = coin.txout().value - Amount::ONE_BTC - Amount::from_sat(fee);
    let outputs = vec![
        out(Amount::ONE_BTC, elsewhere()),
        out(change, setup.script(KeychainKind::Internal, 0).unwrap()),
        out(
            Amount::ZERO,
            ScriptBuf::from_bytes(RedeemIds::encode(&[5]).unwrap()),
        ),
    ];
    let signers = [&Custodian::new(1), &Custodian::new(2)];
    spend(setup, &signers, std::slice::from_ref(coin), outputs)
}

/// A node whose chain pays a 2-of-3.
struct Chain {
    node: Regtest,
    setup: Setup,
    /// A block with a matured coinbase.
    first: BlockHash,
    /// The best block, with a coinbase that a re-organisation takes.
    lost: BlockHash,
}

impl Chain {
    /// `far`: where on the keychain of change somebody has paid.
    fn start(far: u32) -> Self {
        let node = Regtest::with_arguments(&["-txindex"]);
        let setup = Custodian::two_of_three();
        let coinbase_script = setup.coinbase_script().unwrap();
        let first = node.mine(2, &coinbase_script)[0];
        let core = node.rich_core_wallet("rich", 1);
        // Liana issue 897, again: beyond the usual gap of 20.
        let far = setup.script(KeychainKind::Internal, far).unwrap();
        core_pays(&core, &far, Amount::from_sat(100_000));
        let lost = node.mine(1, &coinbase_script)[0];
        Self {
            node,
            setup,
            first,
            lost,
        }
    }

    fn top(&self) -> BlockHash {
        self.node.hash_at(self.node.height())
    }

    fn as_the_node_has_it(&self) -> Watch {
        as_the_node_has_it(&self.node, &self.setup)
    }

    /// A wallet that follows the server shows what one shows that follows the node.
    fn is_shown_by(&self, source: &Source) {
        let Self { node, setup, .. } = self;
        let dir = node.dir().join("wallet");
        let mut watch = Watch::create(&dir, setup, 0).unwrap();
        sync_until(&mut watch, source, |_, synced| {
            synced.tip.hash == self.top()
        });
        assert_eq!(source.height(Network::Regtest).unwrap(), node.height());
        assert!(source.height(Network::Signet).is_err());
        assert_eq!(watch.view(), self.as_the_node_has_it().view());
        assert_eq!(
            history(&watch),
            history(&self.as_the_node_has_it()),
            "but for fees that others paid"
        );
        assert_eq!(watch.view().coins.len(), 4);

        // Paid, replaced.
        let coin = Spendable::of(setup, &node.block(self.first).txdata[0]);
        let (cheap, dear) = (payment(setup, &coin, 1_000), payment(setup, &coin, 50_000));
        node::send(source, &cheap).unwrap();
        assert_eq!(node.mempool(), [cheap.compute_txid()]);
        sync_until(&mut watch, source, |_, synced| {
            synced.events.contains(&WalletEvent::Unconfirmed {
                txid: cheap.compute_txid(),
                before: None,
            })
        });
        node::send(source, &dear).unwrap();
        assert_eq!(node.mempool(), [dear.compute_txid()]);
        sync_until(&mut watch, source, |_, synced| {
            synced.events.contains(&WalletEvent::Replaced {
                txid: cheap.compute_txid(),
                by: dear.compute_txid(),
            })
        });
        assert_eq!(watch.view().payments.len(), 2);
        // Once more does no harm, and what the node refuses is refused.
        node::send(source, &dear).unwrap();
        let refused = node::send(source, &cheap).unwrap_err();
        assert!(matches!(refused, NodeError::Refused { .. }), "{refused}");

        // A re-organisation takes a coinbase, and confirms the payment.
        node.invalidate(self.lost);
        node.mine_elsewhere(2);
        let synced = sync_until(&mut watch, source, |_, synced| {
            synced.tip.hash == self.top()
        });
        assert!(
            synced
                .events
                .iter()
                .any(|event| matches!(event, WalletEvent::Orphaned { .. }))
        );
        let mut ours = watch.view();
        let theirs = self.as_the_node_has_it().view();
        // A new wallet has never seen the one that was replaced.
        ours.payments
            .retain(|payment| payment.txid != cheap.compute_txid());
        assert_eq!(ours, theirs);
        // What has its block is as good as sent.
        node::send(source, &dear).unwrap();

        // The same folder goes on with the node itself.
        drop(watch);
        let mut watch = Watch::open(&dir).unwrap();
        node.mine(1, &setup.coinbase_script().unwrap());
        sync(&mut watch, &bitcoind(node));
        assert_eq!(watch.view().coins, self.as_the_node_has_it().view().coins);
    }

    /// A coordinator hears of the fees that the node would tell it.
    fn tells_its_fees_by(&self, source: &Source) {
        let Self { node, .. } = self;
        let own = bitcoind(node);
        assert_eq!(node::fee_rate(&own).unwrap(), None, "nobody has paid one");
        assert_eq!(node::fee_rate(source).unwrap(), None);
        let core = node.rich_core_wallet("payer", FEE_HISTORY.1);
        for _ in 0..FEE_HISTORY.0 {
            for _ in 0..FEE_HISTORY.1 {
                core_pays(&core, &elsewhere(), Amount::from_sat(50_000));
            }
            node.mine_elsewhere(1);
        }
        let told = node::fee_rate(&own).unwrap().unwrap();
        assert!(told > FeeRate::BROADCAST_MIN, "{told}");
        let deadline = Instant::now() + Duration::from_secs(60);
        // Until the server has heard of the last block.
        while node::fee_rate(source).unwrap() != Some(told) {
            assert!(Instant::now() < deadline, "{:?}", node::fee_rate(source));
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

#[test]
fn an_electrum_server_shows_what_the_node_shows() {
    // Nearer than with Esplora: the client sends each script in a packet of its own and waits 20 ms (Nagle's algorithm).
    let chain = Chain::start(40);
    let server = ElectrumX::start(&chain.node);
    let source = Source::Electrum { url: server.url() };
    chain.is_shown_by(&source);
    chain.tells_its_fees_by(&source);
}

#[test]
fn an_esplora_server_shows_what_the_node_shows() {
    let chain = Chain::start(900);
    let server = Esplora::start(&chain.node);
    let source = Source::Esplora { url: server.url() };
    chain.is_shown_by(&source);
    chain.tells_its_fees_by(&source);
}
