//! Found blocks on a real bitcoind, and with none in reach.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use bitcoin::consensus::encode::{deserialize_hex, serialize_hex};
use bitcoin::{Network, ScriptBuf};
use chain::bitcoind::find_binary;
use chain::{
    Auth, Bitcoind, BitcoindOptions, FailoverNode, FailoverOptions, PrivateChain, RpcNode,
    RpcOptions,
};
use pow::ShareDifficulty;
use store::{Identity, SqliteStore};
use stratum::{BlockSink as _, CurrentWork};
use tokio_util::task::TaskTracker;
use work::{
    BlockTemplate, Extranonce, FoundBlock, K2Address, LiveTemplate, PayoutScript, PoolTag,
    RoundNumber, ShareFields, SystemClock, TaskId, TemplateParts, VersionMask,
};

use super::*;
use crate::node::sinks::NodeSink;

async fn bitcoind(dir: &Path) -> Bitcoind {
    let binary = find_binary(None).unwrap_or_else(|error| panic!("{error}"));
    let options = BitcoindOptions::new(binary, dir.to_owned(), PrivateChain::Regtest);
    Bitcoind::start(options)
        .await
        .unwrap_or_else(|error| panic!("{error}"))
}

/// A node that is behind cannot judge a block whose parent it has not seen: the block must wait for it.
#[tokio::test]
async fn a_block_waits_for_a_node_that_lacks_its_parent() {
    let dir = tempfile::tempdir().unwrap();
    let ahead = bitcoind(&dir.path().join("ahead")).await;
    let behind = bitcoind(&dir.path().join("behind")).await;
    let script = ScriptBuf::from_bytes(vec![0x51]);
    let mined = ahead.generate(2, &script).await.unwrap();
    let block = async |number: usize| ahead.node().block(mined[number]).await.unwrap().unwrap();
    let (parent, child) = (block(0).await, block(1).await);

    let found = dir.path().join("found");
    std::fs::create_dir(&found).unwrap();
    let file = found.join(format!("{}.hex", child.block_hash()));
    std::fs::write(&file, serialize_hex(&child)).unwrap();
    let node: Arc<dyn BitcoinNode> = behind.node();
    resubmit(&found, node.as_ref()).await;
    assert!(file.exists(), "thrown away without having been judged");

    node.submit_block(&parent).await.unwrap();
    resubmit(&found, node.as_ref()).await;
    assert!(!file.exists());
    assert_eq!(node.best_block_hash().await.unwrap(), child.block_hash());
}

fn work_and_block() -> (Arc<CurrentWork>, FoundBlock) {
    let parts = TemplateParts {
        height: 200,
        prev_hash: [1; 32],
        version: 0x2000_0000,
        nbits: 0x207f_ffff,
        min_time: 1_700_000_000,
        cur_time: 1_700_000_600,
        coinbase_value: 2_500_000_000,
        transactions: Vec::new(),
        witness_commitment_script: None,
    };
    let block = Arc::new(BlockTemplate::new(&parts, Network::Regtest).unwrap());
    let payout = PayoutScript::parse(
        "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080",
        Network::Regtest,
    )
    .unwrap();
    let live = LiveTemplate::new(block, &payout, PoolTag::default()).unwrap();
    let work = CurrentWork::new(
        Arc::new(live),
        TaskId::from_bytes([1; 32]),
        K2Address::from_bytes([2; 32]),
        RoundNumber::ZERO,
    );
    let job = work.job(K2Address::from_bytes([3; 32]), ShareDifficulty::MIN);
    let fields = ShareFields {
        extranonce: Extranonce::from_bytes([0; Extranonce::BYTES]),
        ntime: parts.cur_time,
        nonce: 0,
        version_bits: None,
    };
    let header = job.header(&fields, VersionMask::NONE);
    let hash = deserialize_hex::<bitcoin::block::Header>(&hex::encode(header))
        .unwrap()
        .block_hash();
    let coinbase = job.coinbase(&fields.extranonce);
    let block = FoundBlock {
        hash,
        header,
        coinbase,
    };
    (Arc::new(work), block)
}

/// Who found a block must be known also when its submission takes longer than the process lives.
#[tokio::test]
async fn a_block_is_on_record_while_no_node_can_be_reached() {
    let dir = tempfile::tempdir().unwrap();
    // A port that was free a moment ago: nobody listens there.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .unwrap();
    let auth = Auth::Password {
        user: "nobody".to_owned(),
        password: "nothing".to_owned(),
    };
    let options = RpcOptions::new("away", format!("http://{port}"), auth, Network::Regtest);
    let node = Arc::new(RpcNode::new(options).unwrap());
    let chain = FailoverNode::new(vec![node], FailoverOptions::default()).unwrap();
    let identity = Identity {
        task: TaskId::from_bytes([1; 32]),
        node: K2Address::from_bytes([2; 32]),
    };
    let store: Arc<dyn ShareStore> =
        Arc::new(SqliteStore::open(&dir.path().join("store"), identity).unwrap());
    let sink = NodeSink {
        chain: Arc::new(chain),
        store: Arc::clone(&store),
        clock: Arc::new(SystemClock::new()),
        found_dir: dir.path().to_owned(),
        tasks: TaskTracker::new(),
    };
    let (work, block) = work_and_block();
    let (hash, miner) = (block.hash, K2Address::from_bytes([3; 32]));
    let file = dir.path().join(format!("{hash}.hex"));
    sink.found(work, block, miner, "rig").await;

    let kept = async {
        loop {
            let records = store.blocks(10).await.unwrap();
            if let Some(record) = records.first()
                && file.exists()
            {
                break record.clone();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let record = tokio::time::timeout(Duration::from_secs(30), kept)
        .await
        .expect("on record and on disk");
    assert_eq!((record.hash, record.miner), (hash, miner));
    assert_eq!(record.status, BlockStatus::Submitted);
    let written: Block = deserialize_hex(std::fs::read_to_string(file).unwrap().trim()).unwrap();
    assert_eq!(written.block_hash(), hash);
}
