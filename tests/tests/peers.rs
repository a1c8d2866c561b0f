//! An operator without a Bitcoin node: work from other operators' nodes, compared; blocks handed to them; rounds and audits
//! as everybody else's; while one of the peers lies, and while they are away.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context as _;
use bitcoin::consensus::encode::serialize_hex;
use bitcoin::opcodes::OP_TRUE;
use bitcoin::script::Builder;
use bitcoin::{
    Amount, Block, BlockHash, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Witness,
    absolute, transaction,
};
use chain::BitcoinNode as _;
use orcapool_tests::{Answer, PoolOptions, StratumClient, TestNode, TestPool, address};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use work::RoundNumber;

const FEE: u64 = 12_345;

async fn wait_until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(120), waiting)
        .await
        .unwrap_or_else(|_| panic!("never: {what}"));
}

fn witness_script() -> ScriptBuf {
    Builder::new().push_opcode(OP_TRUE).into_script()
}

/// With a witness, so that the block needs its commitment.
fn anyone_can_spend() -> ScriptBuf {
    witness_script().to_p2wsh()
}

/// Puts a transaction that pays [`FEE`] into the Bitcoin node's memory pool.
async fn pay(pool: &TestPool, coinbase_of: BlockHash) -> Transaction {
    let node = pool.bitcoin().unwrap();
    let block = node.block(coinbase_of).await.unwrap().unwrap();
    let coin = &block.txdata[0];
    let transaction = Transaction {
        version: transaction::Version::TWO,
        lock_time: absolute::LockTime::ZERO,
        input: vec![TxIn {
            previous_output: OutPoint::new(coin.compute_txid(), 0),
            script_sig: ScriptBuf::new(),
            sequence: Sequence::MAX,
            witness: Witness::from_slice(&[witness_script().as_bytes()]),
        }],
        output: vec![TxOut {
            value: coin.output[0].value - Amount::from_sat(FEE),
            // Something long enough to be relayed.
            script_pubkey: ScriptBuf::from_hex("0014751e76e8199196d454941c45d1b3a323f1433bd6")
                .unwrap(),
        }],
    };
    let _: Value = node
        .call("sendrawtransaction", json!([serialize_hex(&transaction)]))
        .await
        .unwrap();
    transaction
}

/// Mines through `node` until one of its blocks, by then the tip, holds `transaction`.
async fn mine_with(pool: &TestPool, node: &TestNode, transaction: &Transaction) -> Block {
    let bitcoin = pool.bitcoin().unwrap();
    for _ in 0..60 {
        let block = mine(pool, node).await;
        if block.txdata.contains(transaction) {
            return block;
        }
        // Not in a template yet: the block was found first.
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(bitcoin.best_block_hash().await.unwrap(), block.block_hash());
    }
    panic!("the transaction never came\n{}", node.last_words());
}

/// One block through `node`, accepted by the real Bitcoin node.
async fn mine(pool: &TestPool, node: &TestNode) -> Block {
    let bitcoin = pool.bitcoin().unwrap();
    let user = format!("{}.rig", address("a miner"));
    let mut client = StratumClient::connect(node.stratum, &user).await.unwrap();
    let (found, answer) = client.share().await.unwrap();
    assert_eq!(answer, Answer::Accepted, "{}", node.last_words());
    wait_until(
        "the block found without a Bitcoin node is the tip",
        async || {
            let stale = bitcoin.header(found).await.unwrap();
            assert!(
                stale.is_none_or(|header| header.is_active()),
                "{}",
                node.last_words()
            );
            bitcoin.best_block_hash().await.unwrap() == found
        },
    )
    .await;
    wait_for_work(pool, node).await;
    bitcoin.block(found).await.unwrap().unwrap()
}

/// Until the node's jobs build on the Bitcoin node's tip.
async fn wait_for_work(pool: &TestPool, node: &TestNode) {
    let bitcoin = pool.bitcoin().unwrap();
    wait_until("work on the tip", async || {
        let next = bitcoin.chain_info().await.unwrap().height + 1;
        health(node).await["height"] == next
    })
    .await;
}

async fn health(node: &TestNode) -> Value {
    node.orca.get("/healthz").await.unwrap()
}

/// A peer that hands on what an honest one says, and while `lies` is set says that all transactions pay more.
async fn third_peer(
    honest: Arc<OnceLock<SocketAddr>>,
    lies: Arc<AtomicBool>,
    listener: TcpListener,
) {
    while let Ok((stream, _)) = listener.accept().await {
        let (honest, lies) = (Arc::clone(&honest), Arc::clone(&lies));
        tokio::spawn(async move {
            let _ = hand_on(stream, honest.get(), &lies).await;
        });
    }
}

async fn hand_on(
    mut stream: TcpStream,
    honest: Option<&SocketAddr>,
    lies: &AtomicBool,
) -> anyhow::Result<()> {
    let mut request = Vec::new();
    while !request.windows(4).any(|four| four == b"\r\n\r\n") {
        if stream.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    let head = String::from_utf8_lossy(&request).to_ascii_lowercase();
    let mut lines = head.lines();
    let length = lines.find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    let end = head.find("\r\n\r\n").context("a head")? + 4;
    // A body that is not read would take the answer down with the connection.
    while request.len() < end + length.unwrap_or(0) {
        if stream.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    let request = String::from_utf8_lossy(&request).into_owned();
    let path = request.split(' ').nth(1).unwrap_or("/").to_owned();
    // It takes no blocks, and says that it has them.
    let (status, mut body) = if request.starts_with("POST") {
        (200, b"{\"outcome\":null}".to_vec())
    } else {
        let honest = honest.context("nobody to ask yet")?;
        let answer = reqwest::get(format!("http://{honest}{path}")).await?;
        (answer.status().as_u16(), answer.bytes().await?.to_vec())
    };
    if path == "/chain/template" && status == 200 && lies.load(Ordering::SeqCst) {
        let mut template: Value = serde_json::from_slice(&body)?;
        for transaction in template["transactions"]
            .as_array_mut()
            .into_iter()
            .flatten()
        {
            transaction["fee"] = json!(FEE + 1_000_000);
        }
        body = template.to_string().into_bytes();
    }
    let head = format!(
        "HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(&body).await?;
    stream.shutdown().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_bitcoind_mines_takes_part_and_audits() {
    let lies = Arc::new(AtomicBool::new(false));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let third = listener.local_addr().unwrap();
    // A hundred blocks mined within a second have times ahead of the clock: each is above its median.
    let settings = vec!["audit.time_grace_seconds=300".to_owned()];
    let honest = Arc::new(OnceLock::new());
    tokio::spawn(third_peer(Arc::clone(&honest), Arc::clone(&lies), listener));
    let mut pool = TestPool::start(&PoolOptions {
        nodes: 2,
        without_bitcoind: 1,
        further_peers: vec![format!("http://{third}")],
        difficulty: 1.0 / f64::from(1 << 24),
        settings: settings.clone(),
        ..PoolOptions::default()
    })
    .await
    .unwrap();
    honest.set(pool.nodes[0].http).unwrap();
    let coins = pool.generate(4, &anyone_can_spend()).await.unwrap();
    pool.generate(101, &anyone_can_spend()).await.unwrap();
    for node in &pool.nodes {
        node.orca.task(RoundNumber::ZERO).await.unwrap();
    }
    let (with, without) = (&pool.nodes[0], &pool.nodes[2]);
    wait_for_work(&pool, with).await;
    wait_for_work(&pool, without).await;
    let mode = health(without).await["bitcoin_mode"].clone();
    assert!(
        mode.as_str().unwrap().contains("3 of which 2 must agree"),
        "{mode}"
    );
    assert_eq!(
        health(with).await["bitcoin_mode"],
        "own Bitcoin node: nobody is trusted"
    );

    // A block with a transaction, its fee included.
    let transaction = pay(&pool, coins[0]).await;
    let block = mine_with(&pool, without, &transaction).await;
    let subsidy = Amount::from_sat(5_000_000_000 >> (block.bip34_block_height().unwrap() / 150));
    assert_eq!(
        block.txdata[0].output[0].value,
        subsidy + Amount::from_sat(FEE)
    );

    // A liar among three changes nothing: its listing is not the one that two agree on.
    lies.store(true, Ordering::SeqCst);
    let transaction = pay(&pool, coins[1]).await;
    let block = mine_with(&pool, without, &transaction).await;
    let subsidy = Amount::from_sat(5_000_000_000 >> (block.bip34_block_height().unwrap() / 150));
    assert_eq!(
        block.txdata[0].output[0].value,
        subsidy + Amount::from_sat(FEE)
    );

    // A round: its shares are audited by a node that has the chain, and it audits that node's.
    mine(&pool, with).await;
    wait_for_work(&pool, without).await;
    for node in &pool.nodes {
        node.orca.task(RoundNumber::ZERO.next()).await.unwrap();
    }
    let theirs = with
        .orca
        .submission(pool.task, RoundNumber::ZERO)
        .await
        .unwrap();
    let ours = without
        .orca
        .submission(pool.task, RoundNumber::ZERO)
        .await
        .unwrap();
    assert!(ours["shares"].as_u64().unwrap() >= 2);
    assert!(
        without.orca.audit(&theirs).await.unwrap(),
        "{}",
        without.last_words()
    );
    assert!(
        with.orca.audit(&ours).await.unwrap(),
        "{}",
        with.last_words()
    );
    let mut inflated = theirs.clone();
    inflated.insert(
        "shares".to_owned(),
        json!(theirs["shares"].as_u64().unwrap() + 1),
    );
    assert!(!without.orca.audit(&inflated).await.unwrap());

    let (doctor, _, status) = without.cli(&["doctor"]).unwrap();
    assert!(
        doctor.contains("no Bitcoin node; peers, 3 of which 2 must agree"),
        "{doctor}"
    );
    assert!(
        doctor.contains(&format!("bitcoin peer http://{third}: healthy")),
        "{doctor}"
    );
    assert_eq!(status, 0, "{doctor}");

    // The honest peers go away. A block that is found meanwhile waits: the word of the liar alone, that it has it, is nothing.
    let user = format!("{}.rig", address("a miner"));
    let mut client = StratumClient::connect(without.stratum, &user)
        .await
        .unwrap();
    client.wait_for_job().await.unwrap();
    for index in 0..2 {
        pool.nodes[index].stop().await.unwrap();
    }
    let (found, answer) = client.share().await.unwrap();
    assert_eq!(answer, Answer::Accepted);
    let bitcoin = pool.bitcoin().unwrap();
    assert!(bitcoin.header(found).await.unwrap().is_none());
    let waiting = pool.nodes[2].dir.join(format!("data/found/{found}.hex"));
    wait_until("the block is kept", async || waiting.exists()).await;

    for index in 0..2 {
        pool.nodes[index].start(&settings).await.unwrap();
    }
    wait_until("the block that waited is the tip", async || {
        bitcoin.best_block_hash().await.unwrap() == found
    })
    .await;
    wait_until("and is not kept any more", async || !waiting.exists()).await;
    wait_for_work(&pool, &pool.nodes[2]).await;
    let transaction = pay(&pool, coins[2]).await;
    mine_with(&pool, &pool.nodes[2], &transaction).await;
}
