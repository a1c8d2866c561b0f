//! The node that submitted a bundle as a source of it, and sources that give a byte now and then, over real HTTP.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use content::{
    Block, BlockStore as _, Cid, Codec, DagLimits, FetchError, FetchOptions, Fetcher, MemoryStore,
    NodeUrl, Source, car, dag_cbor, fetch::SourceError,
};
use futures::TryStreamExt as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// So that a failure is not a test that never ends.
const PATIENCE: Duration = Duration::from_secs(120);
/// No limit of a source ends within a test's patience.
const FOR_EVER: Duration = Duration::from_secs(3600);

#[derive(Debug, Clone)]
enum Manner {
    /// Gives the blocks it has one by one; knows no CARs.
    Honest(Vec<Block>),
    /// Takes the request and says nothing.
    Silent,
    /// Promises 100 kB and gives a byte every 20 ms, for ever.
    Drips,
    /// These bytes for every CID.
    Lies(&'static [u8]),
    /// Gives this block, and these bytes as the CAR of anything.
    Car(Block, Vec<u8>),
    /// On to the same path there.
    Redirects(String),
}

/// An HTTP server that counts who connects.
struct Server {
    url: String,
    connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Server {
    async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&connections);
        let task = tokio::spawn(async move {
            let mut under_way = tokio::task::JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                counted.fetch_add(1, Ordering::SeqCst);
                under_way.spawn(answer(stream, manner.clone()));
            }
        });
        Self {
            url,
            connections,
            task,
        }
    }

    fn source(&self) -> Source {
        self.url.parse().unwrap()
    }

    fn node(&self) -> NodeUrl {
        self.url.parse().unwrap()
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(mut stream: TcpStream, manner: Manner) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let request = String::from_utf8(request).unwrap();
    let path = request.split(' ').nth(1).unwrap().to_owned();
    let say = async |stream: &mut TcpStream, head: &str, body: &[u8]| {
        let length = body.len();
        let head =
            format!("HTTP/1.1 {head}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
        let _ = stream.write_all(head.as_bytes()).await;
        let _ = stream.write_all(body).await;
    };
    match manner {
        Manner::Honest(blocks) => {
            let cid = path.strip_prefix("/ipfs/").unwrap();
            let found = cid.strip_suffix("?format=raw").and_then(|cid| {
                let mut blocks = blocks.iter();
                blocks.find(|block| block.cid().to_string() == cid)
            });
            match found {
                Some(block) => say(&mut stream, "200 OK", block.bytes()).await,
                None => say(&mut stream, "404 Not Found", b"").await,
            }
        }
        Manner::Silent => std::future::pending().await,
        Manner::Drips => {
            let head = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n";
            let mut alive = stream.write_all(head).await.is_ok();
            while alive {
                tokio::time::sleep(Duration::from_millis(20)).await;
                alive = stream.write_all(b"x").await.is_ok();
            }
        }
        Manner::Car(root, car) => match path.rsplit('=').next() {
            Some("car") => say(&mut stream, "200 OK", &car).await,
            _ if path.contains(&root.cid().to_string()) => {
                say(&mut stream, "200 OK", root.bytes()).await;
            }
            _ => say(&mut stream, "404 Not Found", b"").await,
        },
        Manner::Lies(bytes) => say(&mut stream, "200 OK", bytes).await,
        Manner::Redirects(to) => {
            let head = format!("302 Found\r\nLocation: {to}{path}");
            say(&mut stream, &head, b"").await;
        }
    }
}

fn options() -> FetchOptions {
    FetchOptions {
        timeout: FOR_EVER,
        idle_timeout: FOR_EVER,
        hedge_after: Duration::from_millis(50),
        private_submitters: true,
        ..FetchOptions::default()
    }
}

fn fetcher(sources: &[&Server], options: FetchOptions) -> Fetcher {
    let sources = sources.iter().map(|server| server.source()).collect();
    Fetcher::new(sources, Arc::new(MemoryStore::new()), options).unwrap()
}

/// A root and three chunks.
fn bundle() -> Vec<Block> {
    let chunks: Vec<Block> = (0..3_u8)
        .map(|byte| Block::new(Codec::Raw, vec![byte; 50_000]).unwrap())
        .collect();
    let links: Vec<Cid> = chunks.iter().map(|chunk| *chunk.cid()).collect();
    let mut blocks = vec![dag_cbor::encode(&links).unwrap()];
    blocks.extend(chunks);
    blocks
}

/// How each source failed.
async fn failures(fetcher: &Fetcher, cid: &Cid) -> HashMap<String, SourceError> {
    let fetched = tokio::time::timeout(PATIENCE, fetcher.fetch_block(cid)).await;
    let FetchError::Unavailable { failures, .. } = fetched.unwrap().unwrap_err() else {
        panic!("not that way");
    };
    let failures = failures.into_iter();
    failures.map(|failed| (failed.url, failed.error)).collect()
}

async fn blocks_fetched(fetcher: &Fetcher, root: &Cid) -> usize {
    let fetching = fetcher.fetch_dag(root, DagLimits::default());
    let report = tokio::time::timeout(PATIENCE, fetching).await;
    report.unwrap().unwrap().blocks
}

fn of_submitter(error: SourceError) -> SourceError {
    SourceError::Submitter(Box::new(error))
}

#[tokio::test]
async fn what_nobody_else_has_comes_from_its_submitter() {
    let blocks = bundle();
    let root = blocks[0].cid();
    let (others, submitter) = (
        Server::start(Manner::Honest(Vec::new())).await,
        Server::start(Manner::Honest(blocks.clone())).await,
    );
    for sources in [&[][..], &[&others]] {
        let fetcher = fetcher(sources, options());
        assert!(fetcher.fetch_block(root).await.is_err());
        let asking = fetcher.asking(Some(&submitter.node()));
        assert_eq!(blocks_fetched(&asking, root).await, 4);
    }
    // Whoever asks without naming it does not ask it.
    let before = submitter.connections();
    let fetcher = fetcher(&[&others], options()).asking(Some(&submitter.node()));
    assert!(fetcher.asking(None).fetch_block(root).await.is_err());
    assert_eq!(submitter.connections(), before);
}

/// CWE-918: a submitter names an address inside the auditor's network.
#[tokio::test]
async fn a_private_address_is_not_contacted() {
    let block = bundle().remove(1);
    let inside = Server::start(Manner::Honest(vec![block.clone()])).await;
    let port = inside.url.rsplit(':').next().unwrap();
    let public_only = FetchOptions {
        private_submitters: false,
        ..options()
    };
    for host in ["127.0.0.1", "0x7f.1", "[::ffff:127.0.0.1]", "localhost"] {
        let url: NodeUrl = format!("http://{host}:{port}").parse().unwrap();
        let fetcher = fetcher(&[], public_only).asking(Some(&url));
        let failures = failures(&fetcher, block.cid()).await;
        let refused = of_submitter(SourceError::NotPublic);
        assert_eq!(failures[&url.to_string()], refused, "{host}");
    }
    assert_eq!(inside.connections(), 0);
    // The server is there: where private networks are allowed, it is asked.
    let fetcher = fetcher(&[], options()).asking(Some(&inside.node()));
    assert_eq!(fetcher.fetch_block(block.cid()).await.unwrap(), block);
}

/// The address that was judged is the one that is asked, so nobody is sent on to another.
#[tokio::test]
async fn a_submitter_s_redirect_is_not_followed() {
    let block = bundle().remove(1);
    let inside = Server::start(Manner::Honest(vec![block.clone()])).await;
    let submitter = Server::start(Manner::Redirects(inside.url.clone())).await;
    let fetcher = fetcher(&[], options()).asking(Some(&submitter.node()));
    let failures = failures(&fetcher, block.cid()).await;
    let redirected = of_submitter(SourceError::Redirect);
    assert_eq!(failures[&submitter.url], redirected);
    assert_eq!((submitter.connections(), inside.connections()), (1, 0));
}

#[tokio::test]
async fn a_bad_submitter_keeps_nothing_from_coming() {
    let blocks = bundle();
    let good = Server::start(Manner::Honest(blocks.clone())).await;
    let silent = Server::start(Manner::Silent).await;
    for manner in [
        Manner::Silent,
        Manner::Drips,
        Manner::Lies(b"something else"),
        Manner::Redirects("http://169.254.169.254".to_owned()),
    ] {
        let submitter = Server::start(manner.clone()).await;
        // It takes no place: with the silent source there is but one left, which is the good one's.
        let two_places = FetchOptions {
            max_racing: 2,
            ..options()
        };
        let fetcher = fetcher(&[&silent, &good], two_places);
        let fetcher = fetcher.asking(Some(&submitter.node()));
        let fetched = blocks_fetched(&fetcher, blocks[0].cid()).await;
        assert_eq!(fetched, 4, "{manner:?}");
    }
    for url in ["http://169.254.169.254", "http://nowhere.invalid:8338"] {
        let url: NodeUrl = url.parse().unwrap();
        let fetcher = fetcher(&[&good], options()).asking(Some(&url));
        assert_eq!(blocks_fetched(&fetcher, blocks[0].cid()).await, 4, "{url}");
    }
}

/// However it lies, that is told from what a source of this node's own does: an audit counts only those.
#[tokio::test]
async fn what_a_submitter_does_stands_under_its_name() {
    let blocks = bundle();
    let store = MemoryStore::new();
    for block in &blocks {
        store.put(block).await.unwrap();
    }
    let parts = car::export_stream(Arc::new(store), *blocks[0].cid(), DagLimits::default());
    let parts: Vec<_> = parts.await.unwrap().try_collect().await.unwrap();
    let mut lying = parts.concat();
    *lying.last_mut().unwrap() ^= 1;
    for car in [lying, b"no CAR".to_vec(), Vec::new()] {
        let submitter = Server::start(Manner::Car(blocks[0].clone(), car)).await;
        let fetcher = fetcher(&[], options()).asking(Some(&submitter.node()));
        let fetching = fetcher.fetch_dag(blocks[0].cid(), DagLimits::default());
        let fetched = tokio::time::timeout(PATIENCE, fetching).await.unwrap();
        let FetchError::Unavailable { failures, .. } = fetched.unwrap_err() else {
            panic!("not that way");
        };
        assert!(!failures.is_empty());
        for failure in failures {
            assert!(
                matches!(failure.error, SourceError::Submitter(_)),
                "{failure}"
            );
        }
    }
}

/// Bytes that come now and then keep a connection alive, but no request beyond its limit.
#[tokio::test]
async fn a_slow_drip_is_cut_off() {
    let limit = Duration::from_millis(500);
    let short = FetchOptions {
        timeout: limit,
        ..options()
    };
    let block = bundle().remove(1);
    let (source, submitter) = (
        Server::start(Manner::Drips).await,
        Server::start(Manner::Drips).await,
    );
    let fetcher = fetcher(&[&source], short).asking(Some(&submitter.node()));
    let failures = failures(&fetcher, block.cid()).await;
    assert_eq!(failures[&source.url], SourceError::Timeout(limit));
    let cut = of_submitter(SourceError::Timeout(limit));
    assert_eq!(failures[&submitter.url], cut);
}

/// With a limit of an hour, whoever waited for a dripping source would not be done here.
#[tokio::test]
async fn a_slow_drip_holds_nobody_up() {
    let blocks = bundle();
    let good = Server::start(Manner::Honest(blocks.clone())).await;
    let drips = [
        Server::start(Manner::Drips).await,
        Server::start(Manner::Drips).await,
    ];
    let fetcher = fetcher(&[&drips[0], &drips[1], &good], options());
    assert_eq!(blocks_fetched(&fetcher, blocks[0].cid()).await, 4);
    assert!(drips.iter().all(|drip| drip.connections() > 0));
}
