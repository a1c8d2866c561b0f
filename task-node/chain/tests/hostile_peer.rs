//! Peers that lie, flood, or are something else: set aside with a reason, and the rest goes on without them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bitcoin::{
    BlockHash, CompactTarget, Network, TxMerkleNode,
    block::{Header, Version},
    consensus::serialize,
    constants::genesis_block,
    hashes::Hash as _,
};
use chain::{
    BitcoinNode as _, NodeError,
    peer::{Checkpoint, PeerTimeouts, PeersNode, PeersOptions, Witness},
};
use common::soon;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};
use work::SystemClock;

enum Reply {
    Http(u16, Vec<u8>),
    /// Bytes without end.
    Flood,
    /// The connection is closed in the middle of an answer.
    Cut,
    /// A byte now and then, without end.
    Drip,
}

/// Answers every request with what `reply` makes of its path.
async fn peer(reply: impl Fn(&str) -> Reply + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let reply = Arc::new(reply);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let reply = Arc::clone(&reply);
            tokio::spawn(async move {
                let mut request = Vec::new();
                while !request.windows(4).any(|four| four == b"\r\n\r\n") {
                    if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
                        return;
                    }
                }
                let text = String::from_utf8_lossy(&request).into_owned();
                // A body that is not read would take the answer down with the connection.
                let length = text
                    .to_ascii_lowercase()
                    .lines()
                    .find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
                let end = text.find("\r\n\r\n").unwrap_or_default() + 4;
                while request.len() < end + length.unwrap_or(0) {
                    if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
                        return;
                    }
                }
                let request = text;
                let path = request.split(' ').nth(1).unwrap_or_default();
                // The client hanging up is the expected end of some of these.
                let _ = match reply(path) {
                    Reply::Http(status, body) => {
                        let head = format!(
                            "HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                            body.len()
                        );
                        stream.write_all(&[head.as_bytes(), &body].concat()).await
                    }
                    Reply::Cut => {
                        stream
                            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{")
                            .await
                    }
                    Reply::Drip => {
                        let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
                        let mut sent = stream.write_all(head).await;
                        while sent.is_ok() {
                            tokio::time::sleep(Duration::from_millis(100)).await;
                            sent = stream.write_all(b"1\r\n \r\n").await;
                        }
                        sent
                    }
                    Reply::Flood => {
                        let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
                        let mut sent = stream.write_all(head).await;
                        let chunk = [b"10000\r\n".as_slice(), &[b' '; 0x10000], b"\r\n"].concat();
                        while sent.is_ok() {
                            sent = stream.write_all(&chunk).await;
                        }
                        sent
                    }
                };
            });
        }
    });
    url
}

/// A regtest chain of so many blocks above the first.
fn headers(blocks: usize, tag: u8) -> Vec<Header> {
    branch(&[genesis_block(Network::Regtest).header], blocks, tag)
}

/// `shared`, and so many blocks on top of it.
fn branch(shared: &[Header], blocks: usize, tag: u8) -> Vec<Header> {
    let mut chain = shared.to_vec();
    for _ in 0..blocks {
        let prev = *chain.last().unwrap();
        chain.push(mined(&prev, tag));
    }
    chain
}

fn mined(prev: &Header, tag: u8) -> Header {
    let mut header = Header {
        version: Version::from_consensus(0x2000_0000),
        prev_blockhash: prev.block_hash(),
        merkle_root: TxMerkleNode::from_byte_array([tag; 32]),
        time: prev.time + 600,
        bits: CompactTarget::from_consensus(0x207f_ffff),
        nonce: 0,
    };
    while header.validate_pow(header.target()).is_err() {
        header.nonce += 1;
    }
    header
}

fn tip(network: &str, height: usize, hash: BlockHash) -> Reply {
    let body = json!({"network": network, "height": height, "hash": hash.to_string()});
    Reply::Http(200, body.to_string().into_bytes())
}

fn template(prev: BlockHash) -> Reply {
    let body = json!({"previousblockhash": prev.to_string(), "height": 1, "curtime": 1, "bits": "207fffff",
        "transactions": []});
    Reply::Http(200, body.to_string().into_bytes())
}

/// A peer with this chain that does what peers do.
async fn working(chain: Vec<Header>) -> String {
    peer(move |path| serve(&chain, path)).await
}

fn serve(chain: &[Header], path: &str) -> Reply {
    let last = chain.last().unwrap().block_hash();
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    if path == "/chain/tip" {
        return tip("regtest", chain.len() - 1, last);
    }
    if path == "/chain/template" {
        return template(last);
    }
    if let Some(from) = path.strip_prefix("/chain/headers/") {
        let from: usize = from.parse().unwrap();
        let count = query.strip_prefix("count=").unwrap_or("2000");
        let wanted = chain.iter().skip(from).take(count.parse().unwrap());
        return Reply::Http(200, wanted.flat_map(serialize).collect());
    }
    let hash = path.strip_prefix("/chain/header/").unwrap();
    match chain.iter().find(|h| h.block_hash().to_string() == hash) {
        Some(header) => Reply::Http(200, serialize(header)),
        None => Reply::Http(404, b"{}".to_vec()),
    }
}

async fn asked(network: Network, checkpoint: Checkpoint, urls: Vec<String>) -> PeersNode {
    let options = PeersOptions {
        quorum: 1,
        urls,
        network,
        checkpoint,
        timeouts: PeerTimeouts::default(),
    };
    let node = PeersNode::new(options, Arc::new(SystemClock::new())).unwrap();
    soon("the peers' answers", node.refresh()).await;
    node
}

async fn on_regtest(urls: Vec<String>) -> PeersNode {
    asked(
        Network::Regtest,
        Checkpoint::genesis(Network::Regtest),
        urls,
    )
    .await
}

#[tokio::test]
async fn what_is_no_task_node_is_found_out_and_the_others_are_used() {
    let chain = headers(30, 1);
    let honest = chain.last().unwrap().block_hash();
    let garbage = vec![
        peer(|_| Reply::Http(200, b"<html>Welcome!</html>".to_vec())).await,
        peer(|_| Reply::Http(302, b"elsewhere".to_vec())).await,
        peer(|_| Reply::Http(500, b"\x1b[31mred".to_vec())).await,
        peer(|_| Reply::Flood).await,
        peer(|_| Reply::Cut).await,
        peer(move |_| tip("main", 1, honest)).await,
        "http://127.0.0.1:1".to_owned(),
    ];
    let count = garbage.len();
    let urls = garbage.into_iter().chain([working(chain).await]).collect();
    let node = on_regtest(urls).await;
    let status = node.status();
    for (index, peer) in status[..count].iter().enumerate() {
        let failure = peer.failure.as_deref().unwrap_or_default();
        assert!(!failure.is_empty(), "{index}: {peer:?}");
        assert!(!failure.chars().any(char::is_control), "{failure:?}");
    }
    assert!(status[0].set_aside && status[3].set_aside && status[5].set_aside);
    assert!(
        status[5]
            .failure
            .as_ref()
            .unwrap()
            .contains("chain \"main\"")
    );
    assert_eq!(status[count].failure, None);
    assert_eq!(node.best_block_hash().await.unwrap(), honest);
    let template = node.block_template().await.unwrap().template;
    assert_eq!((template.prev_hash(), template.height()), (honest, 31));
}

#[tokio::test]
async fn headers_without_work_or_order_set_their_peer_aside() {
    let good = headers(5, 1);
    let mut unworked = good.clone();
    let mut last = mined(good.last().unwrap(), 2);
    while last.validate_pow(last.target()).is_ok() {
        last.nonce += 1;
    }
    unworked.push(last);
    let mut gap = headers(6, 3);
    gap.remove(3);
    let torn = headers(5, 4);
    let torn = peer(move |path| match serve(&torn, path) {
        Reply::Http(200, mut body) if path.starts_with("/chain/headers/") => {
            body.truncate(body.len().saturating_sub(1));
            Reply::Http(200, body)
        }
        other => other,
    });
    let urls = vec![
        working(unworked).await,
        torn.await,
        working(good.clone()).await,
    ];
    let node = on_regtest(urls).await;
    let status = node.status();
    assert!(
        status[0]
            .failure
            .as_ref()
            .unwrap()
            .contains("no proof of work"),
        "{status:?}"
    );
    assert!(status[0].set_aside && status[1].set_aside, "{status:?}");
    assert!(
        status[1].failure.as_ref().unwrap().contains("80 bytes"),
        "{status:?}"
    );
    let best = good.last().unwrap().block_hash();
    assert_eq!(node.best_block_hash().await.unwrap(), best);

    let node = on_regtest(vec![working(gap).await]).await;
    assert!(node.status()[0].failure.is_some());
    assert_eq!(
        node.chain_info().await.map(|info| info.height).unwrap_or(0),
        0
    );
}

#[tokio::test]
async fn a_tip_that_no_headers_lead_to_is_not_mined_on() {
    let chain = headers(5, 1);
    let made_up = BlockHash::from_byte_array([9; 32]);
    let boaster = {
        let chain = chain.clone();
        peer(move |path| match path.split('?').next() {
            Some("/chain/tip") => tip("regtest", 1_000_000, made_up),
            Some("/chain/template") => template(made_up),
            _ => serve(&chain, path),
        })
    };
    let node = on_regtest(vec![boaster.await, working(chain.clone()).await]).await;
    assert!(
        node.status()[0]
            .failure
            .as_ref()
            .unwrap()
            .contains("do not lead")
    );
    let template = node.block_template().await.unwrap().template;
    assert_eq!(template.prev_hash(), chain.last().unwrap().block_hash());
    assert_eq!(node.chain_info().await.unwrap().height, 5);
}

#[tokio::test]
async fn the_branch_with_more_work_wins_whoever_serves_the_other() {
    let shared = headers(20, 1);
    let (short, long) = (branch(&shared, 3, 2), branch(&shared, 30, 3));
    let best = long.last().unwrap().block_hash();
    let stale = short.last().unwrap().block_hash();
    let node = on_regtest(vec![working(short.clone()).await, working(long).await]).await;
    // Whichever came first, a second look finds the one with more work.
    soon("the other branch", node.refresh()).await;
    assert_eq!(node.best_block_hash().await.unwrap(), best);
    assert_eq!(node.status()[0].behind, None);
    assert_eq!(node.status()[1].behind, Some(0));
    // An auditor knows the block that lost, and its height.
    let lost = node.header(stale).await.unwrap().unwrap();
    assert_eq!((lost.height, lost.is_active()), (23, false));
    let unknown = BlockHash::from_byte_array([5; 32]);
    assert_eq!(node.header(unknown).await.unwrap(), None);
    let facts = chain::headers::header_facts(&node, &[stale, best])
        .await
        .unwrap();
    assert_eq!(facts.len(), 2);
}

#[tokio::test]
async fn a_chain_from_another_beginning_is_refused_at_the_checkpoint() {
    let chain = headers(40, 1);
    let checkpoint = Checkpoint {
        height: 30,
        hash: chain[30].block_hash(),
    };
    let other = headers(50, 2);
    let urls = vec![working(other).await, working(chain.clone()).await];
    let node = asked(Network::Regtest, checkpoint, urls).await;
    assert!(node.status()[0].set_aside, "{:?}", node.status());
    assert_eq!(
        node.hash_at(40).await.unwrap(),
        Some(chain[40].block_hash())
    );

    // On a chain that takes work to extend, a million cheap headers are none.
    let node = asked(
        Network::Bitcoin,
        Checkpoint::genesis(Network::Bitcoin),
        vec![
            peer(|path| {
                let mut cheap = headers(20, 1);
                cheap[0] = genesis_block(Network::Bitcoin).header;
                match serve(&cheap, path) {
                    Reply::Http(status, body) if path.starts_with("/chain/tip") => {
                        let text = String::from_utf8(body).unwrap();
                        Reply::Http(status, text.replace("regtest", "main").into_bytes())
                    }
                    other => other,
                }
            })
            .await,
        ],
    )
    .await;
    assert!(node.status()[0].failure.is_some());
    assert!(matches!(
        node.hash_at(1).await,
        Ok(None) | Err(NodeError::AllFailed { .. })
    ));
}

#[tokio::test]
async fn with_nobody_left_there_is_no_tip() {
    let node = on_regtest(vec!["http://127.0.0.1:1".to_owned()]).await;
    assert!(node.best_block_hash().await.is_err());
    assert!(node.block_template().await.is_err());
    let block = genesis_block(Network::Regtest);
    assert!(matches!(
        node.submit_block(&block).await,
        Err(NodeError::AllFailed { .. })
    ));
    assert!(matches!(
        node.block(block.block_hash()).await,
        Err(NodeError::Unsupported { .. })
    ));
}

#[tokio::test]
async fn one_peer_s_word_that_it_has_a_block_is_not_enough() {
    let chain = headers(3, 1);
    let says = |body: &'static str| {
        let chain = chain.clone();
        peer(move |path| match path {
            "/chain/block" => Reply::Http(200, body.as_bytes().to_vec()),
            _ => serve(&chain, path),
        })
    };
    let submitted = async |answers: [&'static str; 3]| {
        let mut urls = Vec::new();
        for answer in answers {
            urls.push(says(answer).await);
        }
        let options = PeersOptions {
            quorum: 2,
            urls,
            network: Network::Regtest,
            checkpoint: Checkpoint::genesis(Network::Regtest),
            timeouts: PeerTimeouts::default(),
        };
        let node = PeersNode::new(options, Arc::new(SystemClock::new())).unwrap();
        let block = genesis_block(Network::Regtest);
        soon("an outcome", node.submit_block(&block)).await
    };
    let (taken, refused, none) = (
        r#"{"outcome":null}"#,
        r#"{"outcome":"high-hash"}"#,
        "<html>",
    );
    assert!(
        submitted([taken, taken, none])
            .await
            .unwrap()
            .is_in_good_hands()
    );
    assert!(submitted([taken, none, none]).await.is_err());
    assert!(submitted([taken, refused, none]).await.is_err());
    assert!(
        !submitted([taken, refused, refused])
            .await
            .unwrap()
            .is_in_good_hands()
    );
}

#[tokio::test]
async fn a_peer_that_has_a_block_is_not_sent_it_again() {
    let (counted, sent) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let has_it = {
        let sent = Arc::clone(&sent);
        peer(move |_| {
            sent.fetch_add(1, Ordering::SeqCst);
            Reply::Http(200, br#"{"outcome":"duplicate"}"#.to_vec())
        })
    };
    let away = {
        let counted = Arc::clone(&counted);
        peer(move |_| {
            counted.fetch_add(1, Ordering::SeqCst);
            Reply::Http(503, Vec::new())
        })
    };
    let options = PeersOptions {
        quorum: 2,
        urls: vec![has_it.await, away.await],
        network: Network::Regtest,
        checkpoint: Checkpoint::genesis(Network::Regtest),
        timeouts: PeerTimeouts::default(),
    };
    let node = PeersNode::new(options, Arc::new(SystemClock::new())).unwrap();
    for _ in 0..3 {
        let block = genesis_block(Network::Regtest);
        assert!(soon("an outcome", node.submit_block(&block)).await.is_err());
    }
    assert_eq!(sent.load(Ordering::SeqCst), 1);
    assert_eq!(counted.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_peer_that_drips_is_cut_off_and_the_others_are_used() {
    let chain = headers(30, 1);
    let checkpoint = Checkpoint {
        height: 20,
        hash: chain[20].block_hash(),
    };
    let honest = chain.last().unwrap().block_hash();
    // Wherever it begins to: the tip, the headers, the template, or the headers up to the checkpoint one by one.
    let drips_at = |place: &'static str, chain: &[Header]| {
        let chain = chain.to_vec();
        peer(move |path| match path.starts_with(place) {
            true => Reply::Drip,
            false => serve(&chain, path),
        })
    };
    let one_by_one = {
        let chain = chain.clone();
        peer(move |path| match serve(&chain, path) {
            Reply::Http(200, mut body) if path.starts_with("/chain/headers/") => {
                body.truncate(80);
                Reply::Http(200, body)
            }
            other => other,
        })
    };
    let slow = vec![
        drips_at("/chain/tip", &chain).await,
        // Of a tip that nobody else could have told of.
        drips_at("/chain/headers", &headers(31, 2)).await,
        drips_at("/chain/template", &chain).await,
        one_by_one.await,
    ];
    let (count, patience) = (slow.len(), Duration::from_secs(3));
    let options = PeersOptions {
        urls: slow.into_iter().chain([working(chain).await]).collect(),
        quorum: 1,
        network: Network::Regtest,
        checkpoint,
        timeouts: PeerTimeouts {
            answer: patience,
            large: patience,
            headers: patience,
            ..PeerTimeouts::default()
        },
    };
    let node = PeersNode::new(options, Arc::new(SystemClock::new())).unwrap();
    soon("all turns end", node.refresh()).await;
    let status = node.status();
    for peer in &status[..3] {
        assert!(peer.failure.is_some() && !peer.set_aside, "{peer:?}");
    }
    assert_eq!(status[count].failure, None);
    assert_eq!(node.best_block_hash().await.unwrap(), honest);
    let template = node.block_template().await.unwrap().template;
    assert_eq!((template.prev_hash(), template.height()), (honest, 31));
}

#[tokio::test]
async fn on_a_branch_that_another_record_outweighs_nothing_is_mined_or_judged() {
    let shared = headers(20, 1);
    // All peers are one attacker's.
    let private = branch(&shared, 5, 2);
    let urls = vec![
        working(private.clone()).await,
        working(private.clone()).await,
    ];
    let node = on_regtest(urls).await;
    assert_eq!(node.testimony(), None);
    let record = |chain: &[Header]| {
        let blocks = chain.iter().enumerate();
        let blocks = blocks.map(|(height, header)| (header.block_hash(), 2 * height as u128));
        Witness::new("the relay", 0, blocks).unwrap()
    };

    for (blocks, believed) in [(0, true), (5, true), (6, false), (4, true), (60, false)] {
        let public = branch(&shared, blocks, 3);
        node.hear(record(&public));
        let (testimony, _) = node.testimony().unwrap();
        assert_eq!(testimony.is_against_peers(), !believed, "{testimony}");
        assert_eq!(node.block_template().await.is_ok(), believed, "{blocks}");
        let refused = |outcome: Result<(), NodeError>| match outcome {
            Err(error) => {
                assert!(error.is_outweighed(), "{error}");
                assert!(error.to_string().contains("the relay"), "{error}");
                true
            }
            Ok(()) => false,
        };
        let hash = private[3].block_hash();
        for outcome in [
            node.best_block_hash().await.map(drop),
            node.chain_info().await.map(drop),
            node.hash_at(3).await.map(drop),
            node.header(hash).await.map(drop),
        ] {
            assert_eq!(refused(outcome), !believed, "{blocks}");
        }
    }
}
