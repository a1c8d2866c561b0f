//! The RPC client against IPFS nodes that misbehave. How a real one behaves stands in the end-to-end tests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering},
};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, http::header, web};
use bytes::Bytes;
use content::{
    Block, BlockStore, Cid, Codec, DagLimits, FetchError, FetchOptions, Fetcher, KuboError,
    KuboRpc, MemoryStore, Source, car, dag_cbor,
    fetch::SourceError,
    kubo::{Endpoint, Pinned},
};
use futures::{StreamExt as _, stream};

/// What a node does with one command.
type Answer = Arc<dyn Fn(&str, &str, Bytes) -> HttpResponse + Send + Sync>;

/// An RPC API, and what was asked of it: command, query, credentials.
struct Node {
    endpoint: Endpoint,
    asked: Arc<Mutex<Vec<String>>>,
    handle: actix_web::dev::ServerHandle,
}

impl Node {
    fn start(answer: impl Fn(&str, &str, Bytes) -> HttpResponse + Send + Sync + 'static) -> Self {
        let answer: Answer = Arc::new(answer);
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let noted = Arc::clone(&asked);
        let server = HttpServer::new(move || {
            let (answer, noted) = (Arc::clone(&answer), Arc::clone(&noted));
            let handler = move |request: HttpRequest, body: Bytes| {
                let (answer, noted) = (Arc::clone(&answer), Arc::clone(&noted));
                async move {
                    assert_eq!(request.method(), "POST");
                    let command = request.path().strip_prefix("/api/v0/").unwrap();
                    noted.lock().unwrap().push(command.to_owned());
                    answer(command, request.query_string(), body)
                }
            };
            App::new()
                .app_data(web::PayloadConfig::new(8 << 20))
                .default_service(web::to(handler))
        })
        .workers(1)
        .shutdown_timeout(0)
        .disable_signals()
        .bind("127.0.0.1:0")
        .unwrap();
        let endpoint = format!("http://{}", server.addrs()[0]).parse().unwrap();
        let server = server.run();
        let handle = server.handle();
        tokio::spawn(server);
        Self {
            endpoint,
            asked,
            handle,
        }
    }

    fn rpc(&self) -> KuboRpc {
        KuboRpc::new(self.endpoint.clone()).unwrap()
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        drop(self.handle.stop(false));
    }
}

fn bundle() -> Vec<Block> {
    let chunk = Block::new(Codec::Raw, vec![7; 1000]).unwrap();
    vec![dag_cbor::encode(&vec![*chunk.cid()]).unwrap(), chunk]
}

fn store(blocks: &[Block]) -> Arc<dyn BlockStore> {
    let store = MemoryStore::new();
    for block in blocks {
        futures::executor::block_on(store.put(block)).unwrap();
    }
    Arc::new(store)
}

fn not_pinned() -> HttpResponse {
    let body = r#"{"Message":"path 'x' is not pinned","Code":0,"Type":"error"}"#;
    HttpResponse::InternalServerError().body(body)
}

fn pins(cid: &Cid) -> HttpResponse {
    HttpResponse::Ok().body(format!(r#"{{"Keys":{{"{cid}":{{"Type":"recursive"}}}}}}"#))
}

fn roots(cid: &Cid) -> String {
    format!(r#"{{"Root":{{"Cid":{{"/":"{cid}"}},"PinErrorMsg":""}}}}"#)
}

/// What comes of pinning on a node that answers an import so.
async fn pin(imported: impl Fn() -> HttpResponse + Send + Sync + 'static) -> KuboError {
    let blocks = bundle();
    let node = Node::start(move |command, _, _| match command {
        "dag/import" => imported(),
        _ => not_pinned(),
    });
    let (rpc, limits) = (node.rpc(), DagLimits::default());
    let pinned = rpc.pin(store(&blocks), *blocks[0].cid(), limits);
    pinned.await.unwrap_err()
}

#[tokio::test]
async fn a_dag_is_sent_whole_and_once() {
    let blocks = bundle();
    let root = *blocks[0].cid();
    let has_it = Arc::new(Mutex::new(false));
    let node = Node::start(move |command, query, body| {
        let mut has_it = has_it.lock().unwrap();
        match command {
            "pin/ls" if *has_it => pins(&root),
            "dag/import" => {
                assert!(query.contains("pin-roots=true"), "{query}");
                // The form's only part: after its head, up to the boundary that it began with.
                let start = body
                    .windows(4)
                    .position(|four| four == b"\r\n\r\n")
                    .unwrap()
                    + 4;
                let boundary = body.windows(2).position(|two| two == b"\r\n").unwrap();
                let end = body.len() - boundary - 6;
                let car = car::read_all(&body[start..end], DagLimits::default()).unwrap();
                assert_eq!((car.root, car.missing), (root, vec![]));
                *has_it = true;
                HttpResponse::Ok().body(roots(&root))
            }
            _ => not_pinned(),
        }
    });
    let (rpc, store) = (node.rpc(), store(&blocks));
    let limits = DagLimits::default();
    let first = rpc.pin(Arc::clone(&store), root, limits).await.unwrap();
    let again = rpc.pin(store, root, limits).await.unwrap();
    assert_eq!((first, again), (Pinned::Now, Pinned::Already));
    assert_eq!(node.asked(), ["pin/ls", "dag/import", "pin/ls", "pin/ls"]);
}

#[tokio::test]
async fn a_node_that_imports_without_pinning_is_told_to_pin() {
    let blocks = bundle();
    let root = *blocks[0].cid();
    let is_pinned = Arc::new(Mutex::new(false));
    let node = Node::start(move |command, _, _| {
        let mut is_pinned = is_pinned.lock().unwrap();
        match command {
            "pin/ls" if *is_pinned => pins(&root),
            "pin/add" => {
                *is_pinned = true;
                HttpResponse::Ok().body("{}")
            }
            "dag/import" => HttpResponse::Ok().body(roots(&root)),
            _ => not_pinned(),
        }
    });
    let rpc = node.rpc();
    let pinned = rpc.pin(store(&blocks), root, DagLimits::default());
    assert_eq!(pinned.await.unwrap(), Pinned::Now);
}

/// A node that says yes and does not do it must not count as one that did.
#[tokio::test]
async fn a_pin_that_is_not_there_afterwards_is_none() {
    let blocks = bundle();
    let root = *blocks[0].cid();
    let node = Node::start(move |command, _, _| match command {
        "dag/import" => HttpResponse::Ok().body(roots(&root)),
        "pin/add" => HttpResponse::Ok().body("{}"),
        _ => not_pinned(),
    });
    let rpc = node.rpc();
    let pinned = rpc.pin(store(&blocks), root, DagLimits::default());
    let error = pinned.await.unwrap_err();
    assert!(matches!(error, KuboError::NotPinned { .. }), "{error}");
}

#[tokio::test]
async fn imports_that_went_wrong_are_named() {
    let stranger = *Block::new(Codec::Raw, &b"x"[..]).unwrap().cid();
    let root = *bundle()[0].cid();
    for imported in [
        roots(&stranger),
        roots(&root) + &roots(&stranger),
        String::new(),
    ] {
        let error = pin(move || HttpResponse::Ok().body(imported.clone())).await;
        assert!(matches!(error, KuboError::WrongRoot { .. }), "{error}");
    }
    let refused = roots(&root).replace(r#"Msg":""#, r#"Msg":"disk full"#);
    let error = pin(move || HttpResponse::Ok().body(refused.clone())).await;
    assert!(error.to_string().contains("disk full"), "{error}");
    let error = pin(|| {
        HttpResponse::InternalServerError().body(r#"{"Message":"no space\nleft","Type":"error"}"#)
    })
    .await;
    assert_eq!(error.to_string(), "the IPFS node says: no spaceleft");
    let page = || HttpResponse::Ok().content_type("text/html").body("<html>");
    let error = pin(page).await;
    assert!(matches!(error, KuboError::Unreadable { .. }), "{error}");
    let error = pin(|| HttpResponse::Forbidden().body("403 - Forbidden")).await;
    assert!(
        matches!(error, KuboError::Answer(SourceError::Status(403))),
        "{error}"
    );
}

/// What this node itself lacks is not the IPFS node's fault, before the first byte and in the middle.
#[tokio::test]
async fn a_missing_block_is_the_local_stores_fault() {
    let blocks = bundle();
    let node = Node::start(|_, _, _| not_pinned());
    for held in [&blocks[..0], &blocks[..1]] {
        let rpc = node.rpc();
        let pinned = rpc.pin(store(held), *blocks[0].cid(), DagLimits::default());
        let error = pinned.await.unwrap_err();
        assert!(
            matches!(error, KuboError::Local(car::CarError::Missing(_))),
            "{error}"
        );
    }
}

#[tokio::test]
async fn endless_answers_are_not_read() {
    let sent = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&sent);
    let node = Node::start(move |_, _, _| {
        let counted = Arc::clone(&counted);
        HttpResponse::Ok().streaming(stream::repeat_with(move || {
            counted.fetch_add(64 << 10, Ordering::SeqCst);
            Ok::<_, std::io::Error>(Bytes::from_static(&[b' '; 64 << 10]))
        }))
    });
    let error = node.rpc().version().await.unwrap_err();
    assert!(
        matches!(error, KuboError::Answer(SourceError::TooLarge { .. })),
        "{error}"
    );
    assert!(sent.load(Ordering::SeqCst) < 64 << 20);
}

/// A command, and the credentials with it, goes nowhere else.
#[tokio::test]
async fn redirects_are_not_followed() {
    let elsewhere = Node::start(|_, _, _| HttpResponse::Ok().body(r#"{"Version":"0.1"}"#));
    let to = format!("{}/api/v0/version", elsewhere.endpoint);
    let node = Node::start(move |_, _, _| {
        HttpResponse::TemporaryRedirect()
            .insert_header((header::LOCATION, to.clone()))
            .finish()
    });
    let error = node.rpc().version().await.unwrap_err();
    assert!(
        matches!(error, KuboError::Answer(SourceError::Redirect)),
        "{error}"
    );
    let source = Source::from(node.endpoint.clone());
    let fetcher = Fetcher::new(vec![source], store(&[]), FetchOptions::default()).unwrap();
    assert!(fetcher.fetch_block(bundle()[0].cid()).await.is_err());
    assert_eq!(elsewhere.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn blocks_and_dags_come_from_an_ipfs_node_as_from_a_gateway() {
    let blocks = bundle();
    let held = store(&blocks);
    let node = Node::start(move |command, query, _| {
        let cid: Cid = query.strip_prefix("arg=").unwrap().parse().unwrap();
        let block = futures::executor::block_on(held.get(&cid)).unwrap();
        match (command, block) {
            ("block/get", Some(block)) => HttpResponse::Ok().body(block.into_bytes()),
            ("dag/export", Some(_)) => {
                let held = Arc::clone(&held);
                let car = async move {
                    let parts = car::export_stream(held, cid, DagLimits::default()).await;
                    parts.unwrap().boxed()
                };
                HttpResponse::Ok().streaming(Box::pin(stream::once(car).flatten()))
            }
            _ => HttpResponse::InternalServerError()
                .body(r#"{"Message":"block was not found locally (offline): ipld: could not find bafy","Type":"error"}"#),
        }
    });
    let source = Source::from(node.endpoint.clone());
    let fetcher = Fetcher::new(vec![source], store(&[]), FetchOptions::default()).unwrap();
    let root = blocks[0].cid();
    let report = fetcher.fetch_dag(root, DagLimits::default()).await.unwrap();
    assert_eq!((report.blocks, report.failures), (2, vec![]));
    let stranger = Block::new(Codec::Raw, &b"x"[..]).unwrap();
    let error = fetcher.fetch_block(stranger.cid()).await.unwrap_err();
    let FetchError::Unavailable { failures, .. } = error else {
        panic!("{error}");
    };
    assert!(
        matches!(&failures[0].error, SourceError::Rpc(text) if text.contains("not found locally"))
    );
}

/// The operator's own IPFS node may have been fed with anything: it is believed no more than others.
#[tokio::test]
async fn a_lying_ipfs_node_is_caught() {
    let node = Node::start(|_, _, _| HttpResponse::Ok().body("another block"));
    let source = Source::from(node.endpoint.clone());
    let fetcher = Fetcher::new(vec![source], store(&[]), FetchOptions::default()).unwrap();
    let error = fetcher.fetch_block(bundle()[0].cid()).await.unwrap_err();
    let FetchError::Unavailable { failures, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(failures[0].error, SourceError::WrongBytes);
}
