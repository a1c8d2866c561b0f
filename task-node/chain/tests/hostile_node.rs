//! A node that lies, floods, dawdles or redirects: always an error, never a panic, a hang or a leak.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bitcoin::{BlockHash, Network, hashes::Hash as _};
use chain::{Auth, BitcoinNode, NodeError, RpcNode, RpcOptions, WatcherOptions, watcher};
use common::{eventually, soon};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_util::sync::CancellationToken;

/// Speaks just enough HTTP to answer each request with what `reply` makes of its JSON.
struct FakeNode {
    url: String,
    requests: Arc<Mutex<Vec<String>>>,
}

enum Reply {
    /// Status line and body.
    Http(&'static str, Vec<u8>),
    /// A JSON-RPC result.
    Result(Value),
    /// Bytes without end.
    Flood,
    /// One byte now and then.
    Drip,
    /// Nothing at all, and the connection stays open.
    Silence,
    /// The connection is closed in the middle of an answer.
    Cut,
}

async fn fake(reply: impl Fn(&Value) -> Reply + Send + Sync + 'static) -> FakeNode {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let requests = Arc::new(Mutex::new(Vec::new()));
    let (reply, seen) = (Arc::new(reply), Arc::clone(&requests));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (reply, seen) = (Arc::clone(&reply), Arc::clone(&seen));
            tokio::spawn(async move {
                // The client hanging up is the expected end of most of these.
                let _ = serve(stream, &*reply, &seen).await;
            });
        }
    });
    FakeNode { url, requests }
}

async fn serve(
    mut stream: TcpStream,
    reply: &(dyn Fn(&Value) -> Reply + Send + Sync),
    seen: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    loop {
        let mut text = Vec::new();
        let body = loop {
            if stream.read_buf(&mut text).await? == 0 {
                return Ok(());
            }
            let head = String::from_utf8_lossy(&text).into_owned();
            let Some(end) = head.find("\r\n\r\n") else {
                continue;
            };
            let length = head
                .lines()
                .find_map(|l| {
                    l.to_ascii_lowercase()
                        .strip_prefix("content-length:")
                        .map(|v| v.trim().to_owned())
                })
                .map_or(0, |v| v.parse::<usize>().unwrap());
            if text.len() >= end + 4 + length {
                seen.lock().unwrap().push(head);
                break text[end + 4..].to_vec();
            }
        };
        let request: Value = serde_json::from_slice(&body).unwrap_or_default();
        let send = |status: &str, body: &[u8]| {
            let mut out = format!(
                "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n",
                body.len()
            )
            .into_bytes();
            out.extend_from_slice(body);
            out
        };
        match reply(&request) {
            Reply::Http(status, body) => stream.write_all(&send(status, &body)).await?,
            Reply::Result(result) => {
                let body =
                    json!({"jsonrpc": "2.0", "result": result, "id": request["id"]}).to_string();
                stream.write_all(&send("200 OK", body.as_bytes())).await?;
            }
            Reply::Flood => {
                stream
                    .write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                    .await?;
                let chunk = [b"10000\r\n".as_slice(), &[b' '; 0x10000], b"\r\n"].concat();
                loop {
                    stream.write_all(&chunk).await?;
                }
            }
            Reply::Drip => {
                stream
                    .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
                    .await?;
                loop {
                    stream.write_all(b" ").await?;
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
            Reply::Silence => std::future::pending().await,
            Reply::Cut => {
                stream
                    .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"result\":")
                    .await?;
                return Ok(());
            }
        }
    }
}

fn node_at(url: &str) -> RpcNode {
    let auth = Auth::Password {
        user: "alice".into(),
        password: "hunter2".into(),
    };
    let mut options = RpcOptions::new("fake", url, auth, Network::Regtest);
    options.timeout = Duration::from_millis(500);
    options.max_answer = 1 << 20;
    RpcNode::new(options).unwrap()
}

/// Asks everything once and gives the errors; an answer that is believed is a failed test.
async fn all_errors(node: &RpcNode) -> Vec<NodeError> {
    let hash = BlockHash::from_byte_array([1; 32]);
    soon("the answers", async {
        vec![
            node.block_template().await.unwrap_err(),
            node.header(hash).await.unwrap_err(),
            node.block(hash).await.unwrap_err(),
            node.hash_at(1).await.unwrap_err(),
            node.best_block_hash().await.unwrap_err(),
            node.chain_info().await.unwrap_err(),
            node.zmq_notifications().await.unwrap_err(),
        ]
    })
    .await
}

#[tokio::test]
async fn garbage_is_an_error_that_cannot_forge_log_lines() {
    for body in [
        "".as_bytes().to_vec(),
        b"not json".to_vec(),
        b"{\"result\":".to_vec(),
        b"[]".to_vec(),
        b"{\"id\":1,\"error\":null}".to_vec(),
        b"\xff\xfe\x00\n2026-01-01 ERROR forged".to_vec(),
        "[".repeat(100_000).into_bytes(),
        format!("{{\"a\":{}", "{\"a\":".repeat(100_000)).into_bytes(),
    ] {
        let fake = fake(move |_| Reply::Http("200 OK", body.clone())).await;
        for error in all_errors(&node_at(&fake.url)).await {
            let text = error.to_string();
            assert!(!text.contains('\n') && text.len() < 1000, "{text}");
        }
    }
}

#[tokio::test]
async fn results_of_the_wrong_type_are_errors() {
    for result in [
        json!(null),
        json!(true),
        json!(-1),
        json!("x"),
        json!([1]),
        json!({"chain": "regtest"}),
    ] {
        let fake = fake(move |_| Reply::Result(result.clone())).await;
        let errors = all_errors(&node_at(&fake.url)).await;
        assert!(
            errors
                .iter()
                .all(|e| matches!(e, NodeError::BadAnswer { .. })),
            "{errors:?}"
        );
    }
}

#[tokio::test]
async fn an_endless_answer_is_dropped() {
    let fake = fake(|_| Reply::Flood).await;
    for error in all_errors(&node_at(&fake.url)).await {
        assert!(
            matches!(error, NodeError::TooLarge { limit, .. } if limit == 1 << 20),
            "{error}"
        );
    }
}

#[tokio::test]
async fn an_announced_ten_gigabytes_are_not_waited_for() {
    let fake = fake(|_| {
        Reply::Http(
            "200 OK\r\nContent-Length: 10737418240\r\nX-Rest:",
            Vec::new(),
        )
    })
    .await;
    let error = soon("the answer", node_at(&fake.url).best_block_hash())
        .await
        .unwrap_err();
    // hyper refuses two lengths that differ; either way nothing is buffered.
    assert!(
        matches!(
            error,
            NodeError::TooLarge { .. } | NodeError::Unreachable { .. }
        ),
        "{error}"
    );
}

#[tokio::test]
async fn silence_and_dripping_run_into_the_deadline_public_pool_111() {
    for drip in [false, true] {
        let fake = fake(move |_| if drip { Reply::Drip } else { Reply::Silence }).await;
        for error in all_errors(&node_at(&fake.url)).await {
            assert!(matches!(error, NodeError::Timeout { .. }), "{error}");
        }
    }
}

#[tokio::test]
async fn a_cut_answer_is_an_error() {
    let fake = fake(|_| Reply::Cut).await;
    for error in all_errors(&node_at(&fake.url)).await {
        assert!(matches!(error, NodeError::Unreachable { .. }), "{error}");
    }
}

#[tokio::test]
async fn an_answer_to_another_question_is_refused() {
    let fake = fake(|_| {
        let hash = "00".repeat(32);
        Reply::Http(
            "200 OK",
            json!({"result": hash, "error": null, "id": 999_999})
                .to_string()
                .into_bytes(),
        )
    })
    .await;
    let error = node_at(&fake.url).best_block_hash().await.unwrap_err();
    assert!(matches!(error, NodeError::BadAnswer { .. }), "{error}");
}

#[tokio::test]
async fn a_busy_node_is_quoted() {
    let fake = fake(|_| {
        Reply::Http(
            "503 Service Unavailable",
            b"Work queue depth exceeded".to_vec(),
        )
    })
    .await;
    let error = node_at(&fake.url)
        .best_block_hash()
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("503") && error.contains("Work queue depth exceeded"),
        "{error}"
    );
}

#[tokio::test]
async fn credentials_do_not_follow_a_redirect() {
    let target = fake(|_| Reply::Result(json!("00".repeat(32)))).await;
    let location: &'static str =
        Box::leak(format!("307 Temporary Redirect\r\nLocation: {}/", target.url).into_boxed_str());
    let fake = fake(move |_| Reply::Http(location, Vec::new())).await;
    assert!(node_at(&fake.url).best_block_hash().await.is_err());
    assert!(target.requests.lock().unwrap().is_empty());
}

#[tokio::test]
async fn rpc_errors_are_read_with_any_status_old_and_new() {
    for status in ["200 OK", "404 Not Found", "500 Internal Server Error"] {
        let fake = fake(move |request| {
            let error = json!({"code": -28, "message": "Loading block index…\u{1b}[2J"});
            Reply::Http(
                status,
                json!({"result": null, "error": error, "id": request["id"]})
                    .to_string()
                    .into_bytes(),
            )
        })
        .await;
        let error = node_at(&fake.url).block_template().await.unwrap_err();
        assert!(
            error.is_warming_up() && !error.to_string().contains('\u{1b}'),
            "{status}: {error}"
        );
    }
}

#[test]
fn addresses_that_would_leak_or_never_work_are_refused() {
    for url in [
        "http://user:secret@127.0.0.1:8332",
        "ftp://127.0.0.1",
        "http://",
        "unix:///run/btc",
        "a b",
    ] {
        let auth = Auth::Password {
            user: "u".into(),
            password: "p".into(),
        };
        let error = RpcNode::new(RpcOptions::new("n", url, auth, Network::Regtest)).unwrap_err();
        assert!(
            matches!(&error, NodeError::Config { .. }) && !error.to_string().contains("secret"),
            "{error}"
        );
    }
}

fn template(change: impl Fn(&mut Value)) -> Value {
    let mut template = json!({
        "version": 536_870_912, "rules": ["csv", "!segwit", "taproot"], "capabilities": ["proposal"],
        "previousblockhash": "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206",
        "transactions": [], "coinbasevalue": 5_000_000_000_u64, "longpollid": "x0",
        "target": "7fffff0000000000000000000000000000000000000000000000000000000000",
        "mintime": 1_296_688_603, "curtime": 1_763_716_000, "bits": "207fffff", "height": 1,
        "default_witness_commitment": "6a24aa21a9ede2f61c3f71d1defd3fa999dfa36953755c690689799962b48bebd836974e8cf9",
    });
    change(&mut template);
    template
}

#[tokio::test]
async fn a_template_that_must_not_be_mined_names_the_node() {
    let honest = fake(|_| Reply::Result(template(|_| {}))).await;
    node_at(&honest.url)
        .block_template()
        .await
        .expect("the unchanged template is good");
    let lies: [fn(&mut Value); 4] = [
        |t| t["coinbasevalue"] = json!(1),
        |t| t["transactions"] = json!([{"data": "00"}]),
        |t| t["default_witness_commitment"] = json!("6a24aa21a9ed".to_owned() + &"00".repeat(32)),
        |t| t["height"] = json!(0),
    ];
    for lie in lies {
        let fake = fake(move |_| Reply::Result(template(lie))).await;
        let error = node_at(&fake.url).block_template().await.unwrap_err();
        assert!(
            matches!(&error, NodeError::Template { node, .. } if node == "fake"),
            "{error}"
        );
    }
    let unknown = fake(|_| Reply::Result(template(|t| t["rules"] = json!(["!covenants"])))).await;
    let error = node_at(&unknown.url).block_template().await.unwrap_err();
    assert!(
        matches!(&error, NodeError::UnknownRule { rule, .. } if rule == "!covenants"),
        "{error}"
    );
}

fn chain_info(syncing: bool, chain: &str) -> Value {
    json!({
        "chain": chain, "blocks": 0, "headers": 900_000,
        "bestblockhash": "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206",
        "chainwork": "00".repeat(32), "initialblockdownload": syncing, "verificationprogress": 0.25, "difficulty": 1,
    })
}

#[tokio::test]
async fn a_bad_template_is_never_published() {
    let fake = fake(|request| match request["method"].as_str() {
        Some("getblockchaininfo") => Reply::Result(chain_info(false, "regtest")),
        Some("getblocktemplate") => Reply::Result(template(|t| t["coinbasevalue"] = json!(1))),
        _ => Reply::Http("500 Internal Server Error", Vec::new()),
    })
    .await;
    let cancel = CancellationToken::new();
    let _guard = cancel.clone().drop_guard();
    let feed = watcher::spawn(
        Arc::new(node_at(&fake.url)),
        WatcherOptions::default(),
        cancel,
    );
    let status = feed.status();
    eventually("the error", async || {
        status
            .borrow()
            .error
            .as_ref()
            .is_some_and(|e| e.contains("must not be mined") && e.contains("fake"))
    })
    .await;
    assert!(feed.latest().is_none());
}

#[tokio::test]
async fn no_work_during_initial_block_download_sv2_apps_108() {
    let fake = fake(|request| match request["method"].as_str() {
        Some("getblockchaininfo") => Reply::Result(chain_info(true, "main")),
        _ => Reply::Http("500 Internal Server Error", Vec::new()),
    })
    .await;
    let auth = Auth::Password {
        user: "u".into(),
        password: "p".into(),
    };
    let node = RpcNode::new(RpcOptions::new("fake", &fake.url, auth, Network::Bitcoin)).unwrap();
    let cancel = CancellationToken::new();
    let _guard = cancel.clone().drop_guard();
    let feed = watcher::spawn(Arc::new(node), WatcherOptions::default(), cancel);
    let mut status = feed.status();
    let syncing = chain::WatcherPhase::Syncing {
        height: 0,
        headers: 900_000,
        verification_ppm: 250_000,
    };
    soon("the sync is shown", status.wait_for(|s| s.phase == syncing))
        .await
        .unwrap();
    let asked = fake.requests.lock().unwrap().join("\n");
    assert!(
        !asked.contains("getblocktemplate"),
        "no template was even asked for"
    );
    assert!(feed.latest().is_none());
}

#[tokio::test]
async fn a_test_chain_with_an_old_tip_is_mined_on_as_bitcoind_does() {
    let fake = fake(|request| match request["method"].as_str() {
        Some("getblockchaininfo") => Reply::Result(chain_info(true, "regtest")),
        Some("getblocktemplate") if request["params"][0]["longpollid"].is_null() => {
            Reply::Result(template(|_| {}))
        }
        _ => Reply::Silence,
    })
    .await;
    let cancel = CancellationToken::new();
    let _guard = cancel.clone().drop_guard();
    let mut feed = watcher::spawn(
        Arc::new(node_at(&fake.url)),
        WatcherOptions::default(),
        cancel,
    );
    assert!(soon("work", feed.next()).await.unwrap().clean);
}

#[tokio::test]
async fn a_node_that_answers_long_polls_at_once_is_not_asked_in_a_tight_loop() {
    let fake = fake(|request| match request["method"].as_str() {
        Some("getblockchaininfo") => Reply::Result(chain_info(false, "regtest")),
        Some("getblocktemplate") => Reply::Result(template(|_| {})),
        _ => Reply::Result(json!(
            "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206"
        )),
    })
    .await;
    let cancel = CancellationToken::new();
    let _guard = cancel.clone().drop_guard();
    let options = WatcherOptions {
        poll: Duration::from_secs(3600),
        refresh: Duration::from_secs(3600),
        ..Default::default()
    };
    let mut feed = watcher::spawn(Arc::new(node_at(&fake.url)), options, cancel);
    for _ in 0..3 {
        soon("work", feed.next()).await.unwrap();
    }
    // Three updates are one fetch and two long polls; a tight loop would have made hundreds by now.
    assert!(fake.requests.lock().unwrap().len() < 20);
}
