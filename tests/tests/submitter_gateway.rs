//! Bundles that nobody has but the node that submitted them: other nodes find them where the submission says, and
//! nowhere that a stranger must not lead them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use orcapool::devnet::orca::Submission;
use orcapool_tests::{PoolOptions, TestNode, TestPool};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use work::RoundNumber;

const BOUNTY: u64 = 1_000_000_007;

/// Two nodes that know no other place for bundles than what submissions say.
async fn pool(further: &[&str]) -> TestPool {
    let settings = ["content.gateways=[]"].iter().chain(further);
    TestPool::start(&PoolOptions {
        nodes: 2,
        miner_threads: 1,
        settings: settings.map(|setting| (*setting).to_owned()).collect(),
        ..PoolOptions::default()
    })
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_nobody_else_has_is_audited_and_paid() {
    let mut pool = pool(&["content.private_submitters=true"]).await;
    let url = format!("http://{}", pool.nodes[0].http);
    let submitter = &mut pool.nodes[0];
    submitter.stop().await.unwrap();
    let settings = [
        "content.gateways=[]".to_owned(),
        format!("http.public_url={url}"),
    ];
    submitter.start(&settings).await.unwrap();

    let [audited, unseen] = [mined(&pool, 0).await, mined(&pool, 1).await];
    assert_eq!(audited["gateway"], json!(url));
    let auditor = &pool.nodes[1].orca;
    // Without it, and with what is no URL, there is nobody to ask.
    for gateway in [
        None,
        Some(json!(null)),
        Some(json!(5)),
        Some(json!({ "url": url })),
        Some(json!("nowhere")),
        Some(json!(format!("{url}/path"))),
        Some(json!("x".repeat(3000))),
    ] {
        let error = auditor.audit(&with(&audited, gateway)).await.unwrap_err();
        assert!(error.to_string().contains("no source to ask"), "{error}");
    }
    // Sent on to somebody else it goes to nobody; that one would have had it.
    let redirector = Door::open(Some(url.clone())).await;
    let error = auditor
        .audit(&with(&audited, Some(json!(redirector.url))))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("redirected"), "{error}");
    assert_eq!(redirector.visitors(), 1);
    assert!(auditor.audit(&audited).await.unwrap());

    // A bundle that was accepted without an audit.
    let round = RoundNumber::new(1).unwrap();
    let lost = with(&unseen, None);
    let first = auditor.distribution(RoundNumber::ZERO, BOUNTY, std::slice::from_ref(&audited));
    let _ = first.await.unwrap();
    let error = auditor
        .distribution(round, BOUNTY, std::slice::from_ref(&lost))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("no source to ask"), "{error}");
    // The list is the same whoever had to ask, and whatever stands there where nobody has to.
    let own = &pool.nodes[0].orca;
    let mut lists = Vec::new();
    for (node, submission) in [
        (auditor, unseen.clone()),
        (auditor, lost),
        (own, unseen.clone()),
        (own, with(&unseen, Some(json!(["garbage"])))),
    ] {
        let first = node.distribution(RoundNumber::ZERO, BOUNTY, std::slice::from_ref(&audited));
        let _ = first.await.unwrap();
        let list = [submission];
        lists.push(node.distribution(round, BOUNTY, &list).await.unwrap());
    }
    assert!(lists.iter().all(|list| *list == lists[0]), "{lists:?}");
    let list: Value = serde_json::from_slice(&lists[0]).unwrap();
    assert_eq!(list, json!({ own.key.to_string(): BOUNTY }));
}

/// CWE-918: a submitter names what only the auditor can reach.
#[tokio::test(flavor = "multi_thread")]
async fn a_submitter_leads_nobody_into_their_own_network() {
    let mut pool = pool(&[]).await;
    let submission = mined(&pool, 0).await;
    let inside = Door::open(None).await;
    let port = inside.url.rsplit(':').next().unwrap();
    let named = [
        inside.url.clone(),
        format!("http://localhost:{port}"),
        format!("http://[::ffff:127.0.0.1]:{port}"),
        format!("http://0x7f.1:{port}"),
        format!("http://{}", pool.nodes[0].http),
        "http://169.254.169.254".to_owned(),
        "http://10.0.0.1:8338".to_owned(),
    ];
    for url in &named {
        let lie = with(&submission, Some(json!(url)));
        let error = pool.nodes[1].orca.audit(&lie).await.unwrap_err();
        let said = error.to_string();
        assert!(said.contains("not in the public Internet"), "{url}: {said}");
    }
    // Nothing of it counts where another source has the bundle.
    let source = format!("content.gateways=[\"http://{}\"]", pool.nodes[0].http);
    let auditor = &mut pool.nodes[1];
    auditor.stop().await.unwrap();
    auditor.start(&[source]).await.unwrap();
    for url in &named {
        let lie = with(&submission, Some(json!(url)));
        assert!(auditor.orca.audit(&lie).await.unwrap(), "{url}");
    }
    assert_eq!(inside.visitors(), 0);
}

/// Something on loopback that counts who comes.
struct Door {
    url: String,
    visitors: Arc<AtomicUsize>,
}

impl Door {
    /// Answers 404, or sends everybody on to the same path there.
    async fn open(to: Option<String>) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let visitors = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&visitors);
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                let mut request = [0; 4096];
                let length = socket.read(&mut request).await.unwrap_or(0);
                let request = String::from_utf8_lossy(&request[..length]);
                let path = request.split(' ').nth(1).unwrap_or("/");
                let head = match &to {
                    Some(to) => format!("302 Found\r\nLocation: {to}{path}"),
                    None => "404 Not Found".to_owned(),
                };
                let answer =
                    format!("HTTP/1.1 {head}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                let _ = socket.write_all(answer.as_bytes()).await;
            }
        });
        Self { url, visitors }
    }

    fn visitors(&self) -> usize {
        self.visitors.load(Ordering::SeqCst)
    }
}

fn with(submission: &Submission, gateway: Option<Value>) -> Submission {
    let mut changed = submission.clone();
    match gateway {
        Some(gateway) => changed.insert("gateway".to_owned(), gateway),
        None => changed.remove("gateway"),
    };
    changed
}

/// Mines a round on both nodes; what the first one submits.
async fn mined(pool: &TestPool, number: u64) -> Submission {
    let round = RoundNumber::new(number).unwrap();
    for node in &pool.nodes {
        node.orca.task(round).await.unwrap();
    }
    let shares = async {
        while !has_shares(&pool.nodes[0], round).await {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(120), shares)
        .await
        .unwrap_or_else(|_| panic!("no shares:\n{}", pool.nodes[0].last_words()));
    for node in &pool.nodes {
        node.orca.task(round.next()).await.unwrap();
    }
    let submission = pool.nodes[0].orca.submission(pool.task, round);
    submission.await.unwrap()
}

async fn has_shares(node: &TestNode, round: RoundNumber) -> bool {
    let rounds = node.orca.get("/api/rounds").await.unwrap();
    rounds
        .as_array()
        .unwrap()
        .iter()
        .any(|record| record["round"] == json!(round.get()) && record["shares"].as_u64() > Some(0))
}
