//! A whole round on real parts: a regtest node, a store on disk, a bundle, an audit.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/node.rs"]
mod node;

use std::sync::Arc;
use std::time::Duration;

use bitcoin::Network;
use content::{BlockStore as _, MemoryStore, NodeUrl, Source};
use node::{Node, identity, moment, n, now, submission};
use pow::{ShareDifficulty, Work};
use rounds::{AuditFailure, AuditUnavailable, seal};
use store::Recorded;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// A gateway that has nothing.
async fn not_found() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let _ = socket.read(&mut request).await;
            let answer =
                b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            let _ = socket.write_all(answer).await;
        }
    });
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn a_round_from_its_first_share_to_its_verdict() {
    let node = Node::start().await;
    let keeper = node.keeper().await;
    let mark = node.mark().await;
    assert_eq!(
        keeper.submission(n(0), &|| mark).await.unwrap(),
        None,
        "404 before it exists"
    );
    keeper.start(n(0), mark).await.unwrap();
    keeper.start(n(0), mark).await.unwrap();
    assert_eq!(*keeper.claimed().borrow(), Some(n(0)));

    node.work(n(0), 1, 5).await;
    // The tip moves in the middle of the round.
    node.bitcoind
        .generate(1, node.payout.as_script())
        .await
        .unwrap();
    node.work(n(0), 2, 7).await;

    let mark = node.mark().await;
    let seal = keeper.submission(n(0), &|| mark).await.unwrap().unwrap();
    assert_eq!(seal.shares, 12);
    assert_eq!(seal.work, ShareDifficulty::MIN.work().saturating_mul(12));
    assert_eq!(
        keeper.submission(n(0), &|| mark).await.unwrap(),
        Some(seal),
        "asking again is the same"
    );
    assert_eq!(*keeper.claimed().borrow(), Some(n(1)), "no hash is wasted");
    // Late shares find their round closed, new ones the next one open.
    assert_eq!(node.work(n(0), 3, 1).await, [Recorded::RoundClosed]);
    assert_eq!(node.work(n(1), 3, 1).await, [Recorded::Stored]);

    let auditor = node.auditor(Arc::clone(&node.blocks));
    let summary = auditor
        .audit(&submission(n(0), &seal), now())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(summary.checked, 12);
    auditor
        .audit(&submission(n(0), &seal), now())
        .await
        .unwrap()
        .unwrap();

    // The same bundle with totals that are not its own.
    let mut lie = submission(n(0), &seal);
    lie.submitted.work += Work::from_hashes(1);
    let failure = auditor.audit(&lie, now()).await.unwrap().unwrap_err();
    assert!(
        matches!(failure, AuditFailure::Submitted { what: "work", .. }),
        "{failure}"
    );

    // Nobody to ask, and nothing here: no verdict.
    let blind = node.auditor(Arc::new(MemoryStore::default()));
    let trouble = blind
        .audit(&submission(n(0), &seal), now())
        .await
        .unwrap_err();
    assert!(
        matches!(trouble, AuditUnavailable::NoSource(_)),
        "{trouble}"
    );

    // Nor where the submitter named a place of its own that does not have it: a verdict is not its choice.
    let named = not_found().await.parse::<NodeUrl>().unwrap();
    let trouble = blind
        .asking(Some(&named))
        .audit(&submission(n(0), &seal), now())
        .await
        .unwrap_err();
    assert!(
        matches!(trouble, AuditUnavailable::NoSource(_)),
        "{trouble}"
    );

    // Somebody to ask who does not have it: to serve a bundle is its submitter's duty.
    let source = not_found().await.parse::<Source>().unwrap();
    let failure = node.auditor_asking(vec![source], Arc::new(MemoryStore::default()));
    let failure = failure
        .audit(&submission(n(0), &seal), now())
        .await
        .unwrap()
        .unwrap_err();
    assert!(matches!(failure, AuditFailure::Unavailable(_)), "{failure}");

    // The Bitcoin node is down: no verdict either.
    let Node { bitcoind, .. } = node;
    bitcoind.stop().await.unwrap();
    let trouble = auditor
        .audit(&submission(n(0), &seal), now())
        .await
        .unwrap_err();
    assert!(matches!(trouble, AuditUnavailable::Bitcoin(_)), "{trouble}");
}

/// A gateway that has one block, and keeps everybody waiting for any other.
async fn slow(block: content::Block) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let block = block.clone();
            tokio::spawn(async move {
                let mut request = [0; 4096];
                let length = socket.read(&mut request).await.unwrap();
                let wanted = format!("/ipfs/{}?format=raw", block.cid());
                if !String::from_utf8_lossy(&request[..length]).contains(&wanted) {
                    return std::future::pending().await;
                }
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                    block.bytes().len()
                );
                socket.write_all(head.as_bytes()).await.unwrap();
                socket.write_all(block.bytes()).await.unwrap();
            });
        }
    });
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_served_drop_by_drop_gets_a_verdict() {
    let node = Node::start().await;
    let keeper = node.keeper().await;
    let mark = node.mark().await;
    keeper.start(n(0), mark).await.unwrap();
    node.work(n(0), 1, 2).await;
    let mark = node.mark().await;
    let seal = keeper.submission(n(0), &|| mark).await.unwrap().unwrap();
    let root = node.blocks.get(&seal.cid).await.unwrap().unwrap();

    let url = slow(root).await;
    let asking = |sources: Vec<Source>| {
        node.auditor_asking(sources, Arc::new(MemoryStore::default()))
            .with_serve_within(Duration::from_millis(200))
    };
    let source = asking(vec![url.parse().unwrap()]);
    let submitter = asking(Vec::new()).asking(Some(&url.parse().unwrap()));
    for auditor in [source, submitter.clone()] {
        let failure = auditor
            .audit(&submission(n(0), &seal), now())
            .await
            .unwrap()
            .unwrap_err();
        assert!(matches!(failure, AuditFailure::Unavailable(_)), "{failure}");
    }
    // A distribution does not wait for the submitter either, and goes on as if it had named no place.
    let Err(AuditUnavailable::NoSource(trouble)) = submitter.read(&seal.cid).await else {
        panic!("there is nobody else to ask");
    };
    assert!(!trouble.contains(&url), "{trouble}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_close_and_seal_gives_the_same_bundle() {
    let node = Node::start().await;
    let keeper = node.keeper().await;
    keeper.start(n(4), node.mark().await).await.unwrap();
    node.work(n(4), 1, 6).await;
    let closed = node.mark().await;
    let _ = node.store.close_round(n(4), closed).await.unwrap();
    // What the crashed process would have sealed; it put some blocks and died.
    let scratch = MemoryStore::default();
    let crashed = rounds::encode_round(
        rounds::BundleHead {
            task: identity().task,
            round: n(4),
            node: identity().node,
            network: Network::Regtest,
            rules: node.rules.digest(),
            opened: moment(&node.store.round(n(4)).await.unwrap().unwrap().opened),
            closed: moment(&closed),
        },
        &node.store.round_shares(n(4)).await.unwrap(),
    )
    .unwrap();
    scratch.put(&crashed.blocks[0]).await.unwrap();

    let keeper = node.keeper().await;
    assert_eq!(*keeper.claimed().borrow(), None, "round 4 is closed");
    let later = node.mark().await;
    let resumed = keeper.submission(n(4), &|| later).await.unwrap().unwrap();
    assert_eq!(resumed.cid, crashed.cid);
    // And once more from the store alone.
    let again = seal(&*node.store, &scratch, &node.rules, n(4), later.at)
        .await
        .unwrap();
    assert_eq!(again, resumed);
    assert!(node.dir.path().exists());
}
