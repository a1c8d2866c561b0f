//! What a node with a real bitcoind gives to strangers, and what it takes from them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::{sync::Arc, time::Duration};

use bitcoin::{
    Block, BlockHash, CompactTarget,
    block::Header,
    consensus::{deserialize, serialize},
    hashes::Hash as _,
};
use chain::{
    BitcoinNode, PrivateChain, WatcherOptions,
    peer::{BlockRefusal, ChainSource, HeadersAnswer, Offer},
    watcher,
};
use common::{TestNode, anyone_can_spend, eventually, solve, soon, start};
use tokio_util::sync::CancellationToken;

const BLOCKS: u32 = 300;

async fn serving() -> (TestNode, Arc<ChainSource>, CancellationToken) {
    let test = start(PrivateChain::Regtest).await;
    test.bitcoind
        .generate(BLOCKS, &anyone_can_spend())
        .await
        .unwrap();
    let cancel = CancellationToken::new();
    let node: Arc<dyn BitcoinNode> = test.bitcoind.node();
    let options = WatcherOptions {
        poll: Duration::from_millis(100),
        ..WatcherOptions::default()
    };
    let feed = watcher::spawn(Arc::clone(&node), options, cancel.clone());
    let source = ChainSource::spawn(node, feed, cancel.clone());
    eventually("a tip", async || source.tip().is_some()).await;
    (test, source, cancel)
}

fn solved(mut block: Block) -> Block {
    while block.header.validate_pow(block.header.target()).is_err() {
        block.header.nonce += 1;
    }
    block
}

#[tokio::test]
async fn strangers_get_tip_headers_and_template_from_memory() {
    let (mut test, source, _cancel) = serving().await;
    let tip = source.tip().unwrap();
    assert_eq!((tip.network.as_str(), tip.height), ("regtest", BLOCKS));
    // Older headers come when somebody asked for them.
    assert_eq!(source.headers(0, 2000), HeadersAnswer::Later);
    let all = || match source.headers(0, 2000) {
        HeadersAnswer::Headers(bytes) => Some(bytes),
        _ => None,
    };
    eventually("all headers", async || all().is_some()).await;
    let bytes = all().unwrap();
    let headers: Vec<Header> = bytes
        .chunks(80)
        .map(|one| deserialize(one).unwrap())
        .collect();
    assert_eq!(headers.len() as u32, BLOCKS + 1);
    for pair in headers.windows(2) {
        assert_eq!(pair[1].prev_blockhash, pair[0].block_hash());
    }
    assert_eq!(headers.last().unwrap().block_hash(), tip.hash);
    let HeadersAnswer::Headers(two) = source.headers(10, 2) else {
        panic!("no headers");
    };
    assert_eq!(two, bytes[800..960]);
    assert_eq!(
        source.headers(BLOCKS + 1, 5),
        HeadersAnswer::Headers(Vec::new())
    );
    let genesis = source.header(headers[0].block_hash()).await.unwrap();
    assert_eq!(genesis.unwrap()[..], bytes[..80]);
    let nobody = BlockHash::from_byte_array([3; 32]);
    assert!(source.header(nobody).await.unwrap().is_none());

    let template = source.template().unwrap().unwrap();
    assert_eq!(Offer::decode(&template.json).unwrap().prev_hash, tip.hash);
    assert_eq!(source.template().unwrap().unwrap().etag, template.etag);

    // A new tip wakes who waits for one.
    let script = anyone_can_spend();
    let waiting = source.tip_after(tip.hash, Duration::from_secs(25));
    let (news, _) = tokio::join!(soon("news", waiting), test.bitcoind.generate(1, &script));
    assert_eq!(news.unwrap().height, BLOCKS + 1);

    // A re-organisation: the headers are those of the other branch.
    let node = test.bitcoind.node();
    let lost = node.best_block_hash().await.unwrap();
    let _: serde_json::Value = node
        .call("invalidateblock", serde_json::json!([lost.to_string()]))
        .await
        .unwrap();
    let script = bitcoin::ScriptBuf::from_hex("52").unwrap();
    let branch = test.bitcoind.generate(2, &script).await.unwrap();
    eventually("the other branch", async || {
        source.tip().unwrap().hash == branch[1]
    })
    .await;
    let HeadersAnswer::Headers(top) = source.headers(BLOCKS + 1, 2000) else {
        panic!("no headers");
    };
    let top: Vec<Header> = top
        .chunks(80)
        .map(|one| deserialize(one).unwrap())
        .collect();
    let top: Vec<BlockHash> = top.iter().map(Header::block_hash).collect();
    assert_eq!(top, branch);
    // The one that lost is known to the node, and told.
    assert!(source.header(lost).await.unwrap().is_some());
    assert!(test.bitcoind.ended().unwrap().is_none());
}

#[tokio::test]
async fn a_block_is_taken_only_with_its_proof_of_work_and_its_own_transactions() {
    let (test, source, _cancel) = serving().await;
    let node = test.bitcoind.node();
    let template = node.block_template().await.unwrap().template;
    let good = solve(&template, 1);
    let outcome = async |block: &Block| source.submit(&serialize(block)).await.unwrap().outcome;

    let mut lazy = good.clone();
    while lazy.header.validate_pow(lazy.header.target()).is_ok() {
        lazy.header.nonce += 1;
    }
    assert_eq!(outcome(&lazy).await.as_deref(), Some("high-hash"));
    let mut easier = good.clone();
    easier.header.bits = CompactTarget::from_consensus(0x2070_0000);
    assert_eq!(
        outcome(&solved(easier)).await.as_deref(),
        Some("bad-diffbits")
    );
    let mut orphan = good.clone();
    orphan.header.prev_blockhash = BlockHash::from_byte_array([9; 32]);
    assert_eq!(
        outcome(&solved(orphan)).await.as_deref(),
        Some("prev-blk-not-found")
    );
    let mut other_body = good.clone();
    other_body.txdata[0].output[0].value = bitcoin::Amount::from_sat(1);
    for rubbish in [serialize(&other_body), serialize(&good.header), vec![0; 79]] {
        let refused = source.submit(&rubbish).await;
        assert!(
            matches!(refused, Err(BlockRefusal::Malformed(_))),
            "{refused:?}"
        );
    }
    assert_eq!(node.best_block_hash().await.unwrap(), template.prev_hash());

    // What came before with rubbish behind it is taken all the same (a poisoned memory of refusals would lose it).
    assert_eq!(outcome(&good).await, None);
    assert_eq!(node.best_block_hash().await.unwrap(), good.block_hash());
    assert_eq!(outcome(&good).await.as_deref(), Some("duplicate"));
}
