//! The fetcher against real HTTP servers, most of which misbehave.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, http::header, web};
use bytes::Bytes;
use content::{
    Block, BlockStore, Cid, Codec, DagLimits, DagViolation, FetchError, FetchOptions, Fetcher,
    Format, MAX_BLOCK_BYTES, MemoryStore, Source, StoreError, car, dag_cbor,
    fetch::{SourceError, SourceFailure},
    parse_cid,
};
use futures::{StreamExt as _, stream, stream::BoxStream};

const LIMITS: DagLimits = DagLimits {
    max_blocks: 64,
    max_total_bytes: 16 << 20,
    max_depth: 3,
};

/// How a server behaves.
#[derive(Debug, Clone)]
enum Manner {
    /// Answers as a trustless gateway for what its store holds.
    Honest,
    /// As honest, but knows no CARs.
    RawOnly,
    /// As honest, but a CAR breaks off behind that many parts.
    CarBreaksOff(usize),
    /// As honest, but each CAR ends with this block.
    CarWithStranger(Block),
    /// Takes the request and never answers.
    Hangs,
    /// Sends the head of an answer and then nothing.
    HangsInBody,
    /// This body for everything, with this content type.
    Says(&'static str, Bytes),
    /// Zeros for ever; with a `Content-Length` where one is given.
    Endless(Option<u64>),
    /// This status for everything.
    Status(u16),
    /// On to this URL with the same path and query.
    Redirects(String),
    /// This gzip file as the body of everything, named as its encoding.
    Gzip,
}

struct Server {
    url: String,
    requests: Arc<AtomicUsize>,
    cars: Arc<AtomicUsize>,
    sent: Arc<AtomicU64>,
    handle: actix_web::dev::ServerHandle,
}

#[derive(Clone)]
struct State {
    manner: Manner,
    store: Arc<dyn BlockStore>,
    requests: Arc<AtomicUsize>,
    cars: Arc<AtomicUsize>,
    sent: Arc<AtomicU64>,
}

impl Server {
    fn start(manner: Manner, blocks: &[Block]) -> Self {
        let state = State {
            manner,
            store: Arc::new(memory(blocks)),
            requests: Arc::default(),
            cars: Arc::default(),
            sent: Arc::default(),
        };
        let (requests, cars, sent) = (
            Arc::clone(&state.requests),
            Arc::clone(&state.cars),
            Arc::clone(&state.sent),
        );
        let server = HttpServer::new(move || {
            App::new()
                .app_data(web::Data::new(state.clone()))
                .default_service(web::to(answer))
        })
        .workers(1)
        .shutdown_timeout(0)
        .disable_signals()
        .bind("127.0.0.1:0")
        .unwrap();
        let url = format!("http://{}", server.addrs()[0]);
        let server = server.run();
        let handle = server.handle();
        tokio::spawn(server);
        Self {
            url,
            requests,
            cars,
            sent,
            handle,
        }
    }

    fn source(&self) -> Source {
        self.url.parse().unwrap()
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.handle.stop(false));
    }
}

async fn answer(request: HttpRequest, state: web::Data<State>) -> HttpResponse {
    state.requests.fetch_add(1, Ordering::SeqCst);
    let query = request.query_string().strip_prefix("format=");
    let accept = request.headers().get(header::ACCEPT);
    let format = Format::negotiate(query, accept.and_then(|value| value.to_str().ok())).unwrap();
    if format == Format::Car {
        state.cars.fetch_add(1, Ordering::SeqCst);
    }
    match state.manner.clone() {
        Manner::Hangs => futures::future::pending().await,
        Manner::HangsInBody => {
            HttpResponse::Ok().streaming(stream::pending::<Result<Bytes, std::io::Error>>())
        }
        Manner::Says(content_type, body) => {
            HttpResponse::Ok().content_type(content_type).body(body)
        }
        Manner::Endless(length) => {
            let sent = Arc::clone(&state.sent);
            let zeros = stream::repeat_with(move || {
                sent.fetch_add(64 << 10, Ordering::SeqCst);
                Ok::<_, std::io::Error>(Bytes::from_static(&[0; 64 << 10]))
            });
            let mut response = HttpResponse::Ok();
            if let Some(length) = length {
                response.no_chunking(length);
            }
            response.streaming(zeros)
        }
        Manner::Status(status) => HttpResponse::build(status.try_into().unwrap()).body("no"),
        Manner::Redirects(to) => HttpResponse::Found()
            .insert_header((header::LOCATION, format!("{to}{}", request.uri())))
            .finish(),
        Manner::Gzip => HttpResponse::Ok()
            .insert_header((header::CONTENT_ENCODING, "gzip"))
            .insert_header((header::CONTENT_TYPE, "application/vnd.ipld.raw"))
            .body(GZIP),
        honest => {
            let path = request.path().strip_prefix("/ipfs/").unwrap();
            serve(honest, &state.store, &parse_cid(path).unwrap(), format).await
        }
    }
}

async fn serve(
    manner: Manner,
    store: &Arc<dyn BlockStore>,
    cid: &Cid,
    format: Format,
) -> HttpResponse {
    let Some(block) = store.get(cid).await.unwrap() else {
        return HttpResponse::NotFound().finish();
    };
    let mut response = HttpResponse::Ok();
    for header in format.headers(cid) {
        response.insert_header(header);
    }
    if format == Format::Raw {
        return response.body(block.into_bytes());
    }
    let parts = car::export_stream(Arc::clone(store), *cid, DagLimits::default())
        .await
        .unwrap();
    match manner {
        Manner::RawOnly => HttpResponse::NotAcceptable().finish(),
        Manner::CarBreaksOff(parts_sent) => {
            let broken = stream::once(async { Err(car::CarError::Truncated) });
            response.streaming(parts.take(parts_sent).chain(broken))
        }
        Manner::CarWithStranger(stranger) => {
            let mut section = vec![(content::block::CID_BYTES + stranger.bytes().len()) as u8];
            section.extend(stranger.cid().to_bytes());
            section.extend(stranger.bytes());
            response.streaming(parts.chain(stream::once(async { Ok(Bytes::from(section)) })))
        }
        _ => response.streaming(parts),
    }
}

fn leaf(bytes: impl Into<Vec<u8>>) -> Block {
    Block::new(Codec::Raw, bytes.into()).unwrap()
}

/// A root and `chunks` chunks of 100 kB; the root comes first.
fn bundle(chunks: u32) -> Vec<Block> {
    let chunks: Vec<Block> = (0..chunks)
        .map(|i| leaf(i.to_le_bytes().repeat(25_000)))
        .collect();
    let links: Vec<Cid> = chunks.iter().map(|chunk| *chunk.cid()).collect();
    let mut blocks = vec![dag_cbor::encode(&links).unwrap()];
    blocks.extend(chunks);
    blocks
}

fn memory(blocks: &[Block]) -> MemoryStore {
    let store = MemoryStore::new();
    for block in blocks {
        futures::executor::block_on(store.put(block)).unwrap();
    }
    store
}

/// Patient with the slow test machine, impatient with servers that never answer.
fn options() -> FetchOptions {
    FetchOptions {
        timeout: Duration::from_secs(30),
        idle_timeout: Duration::from_secs(20),
        hedge_after: Duration::from_millis(100),
        ..FetchOptions::default()
    }
}

fn fetcher_with(sources: &[&Server], local: &[Block], options: FetchOptions) -> Fetcher {
    let sources = sources.iter().map(|server| server.source()).collect();
    Fetcher::new(sources, Arc::new(memory(local)), options).unwrap()
}

fn fetcher(sources: &[&Server]) -> Fetcher {
    fetcher_with(sources, &[], options())
}

async fn holds(fetcher: &Fetcher, blocks: &[Block]) -> bool {
    for block in blocks {
        if fetcher.store().get(block.cid()).await.unwrap().as_ref() != Some(block) {
            return false;
        }
    }
    true
}

/// What the only source, behaving like this, is said to have done.
async fn complaint(manner: Manner, options: FetchOptions) -> SourceError {
    let block = leaf("wanted");
    let server = Server::start(manner, &[]);
    let fetcher = fetcher_with(&[&server], &[], options);
    let error = fetcher.fetch_block(block.cid()).await.unwrap_err();
    let FetchError::Unavailable { cid, failures } = error else {
        panic!("{error}");
    };
    assert_eq!(cid, *block.cid());
    assert!(!fetcher.store().has(block.cid()).await.unwrap());
    let [SourceFailure { url, error }] = &failures[..] else {
        panic!("{failures:?}");
    };
    assert_eq!(*url, server.url);
    error.clone()
}

#[tokio::test]
async fn a_block_comes_from_an_honest_source_and_stays() {
    let block = leaf("wanted");
    let server = Server::start(Manner::Honest, std::slice::from_ref(&block));
    let fetcher = fetcher(&[&server]);
    assert_eq!(fetcher.fetch_block(block.cid()).await.unwrap(), block);
    assert_eq!(fetcher.fetch_block(block.cid()).await.unwrap(), block);
    assert_eq!(server.requests(), 1);
}

#[tokio::test]
async fn each_way_to_fail_has_its_name() {
    let wrong = Manner::Says("application/vnd.ipld.raw", Bytes::from_static(b"Wanted"));
    assert_eq!(complaint(wrong, options()).await, SourceError::WrongBytes);
    let empty = Manner::Says("application/vnd.ipld.raw", Bytes::new());
    assert_eq!(complaint(empty, options()).await, SourceError::WrongBytes);
    let page = Bytes::from_static(b"<!DOCTYPE html><title>Sign in</title>");
    for content_type in ["text/html; charset=utf-8", "application/vnd.ipld.raw"] {
        let page = Manner::Says(content_type, page.clone());
        assert_eq!(complaint(page, options()).await, SourceError::Html);
    }
    for status in [404, 410] {
        let error = complaint(Manner::Status(status), options()).await;
        assert_eq!(error, SourceError::NotFound(status));
    }
    for status in [206, 400, 403, 429, 500, 504] {
        let error = complaint(Manner::Status(status), options()).await;
        assert_eq!(error, SourceError::Status(status));
    }
}

#[tokio::test]
async fn silence_ends_in_a_timeout() {
    let short = FetchOptions {
        timeout: Duration::from_millis(300),
        ..options()
    };
    for manner in [Manner::Hangs, Manner::HangsInBody] {
        let error = complaint(manner, short).await;
        assert_eq!(error, SourceError::Timeout(Duration::from_millis(300)));
    }
    let idle = FetchOptions {
        idle_timeout: Duration::from_millis(300),
        ..options()
    };
    for manner in [Manner::Hangs, Manner::HangsInBody] {
        assert_eq!(complaint(manner, idle).await, SourceError::Idle);
    }
}

#[tokio::test]
async fn nobody_there_is_unreachable() {
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let source = format!("http://user:secret@127.0.0.1:{port}")
        .parse()
        .unwrap();
    let fetcher = Fetcher::new(vec![source], Arc::new(MemoryStore::new()), options()).unwrap();
    let error = fetcher.fetch_block(leaf("x").cid()).await.unwrap_err();
    assert!(error.to_string().contains("cannot be reached"), "{error}");
    assert!(
        !format!("{error} {error:?}").contains("secret"),
        "{error:?}"
    );
}

/// 10 GB announced, or an end never announced: reading ends at the limit.
#[tokio::test]
async fn ten_gigabytes_are_not_read() {
    for length in [None, Some(10 << 30)] {
        let block = leaf("wanted");
        let server = Server::start(Manner::Endless(length), &[]);
        let fetcher = fetcher(&[&server]);
        let error = fetcher.fetch_block(block.cid()).await.unwrap_err();
        let FetchError::Unavailable { failures, .. } = error else {
            panic!("{error}");
        };
        let limit = MAX_BLOCK_BYTES;
        assert_eq!(failures[0].error, SourceError::TooLarge { limit });
        // What the server could push into the sockets' buffers before it met the closed end.
        assert!(server.sent.load(Ordering::SeqCst) < 64 << 20);
    }
}

#[tokio::test]
async fn an_endless_car_is_not_read() {
    let blocks = bundle(3);
    let server = Server::start(Manner::Endless(None), &[]);
    let fetcher = fetcher_with(&[&server], &blocks[..1], options());
    let error = fetcher
        .fetch_dag(blocks[0].cid(), LIMITS)
        .await
        .unwrap_err();
    assert!(matches!(error, FetchError::Unavailable { .. }), "{error}");
    assert_eq!(server.cars.load(Ordering::SeqCst), 1);
    assert!(server.sent.load(Ordering::SeqCst) < 128 << 20);
}

/// The body decides by its hash: shares may begin with the byte of `<`.
#[tokio::test]
async fn a_block_that_begins_like_a_page_is_a_block() {
    let block = leaf("<not a page");
    let server = Server::start(Manner::Honest, std::slice::from_ref(&block));
    assert_eq!(
        fetcher(&[&server]).fetch_block(block.cid()).await.unwrap(),
        block
    );
}

#[tokio::test]
async fn bad_sources_do_not_keep_from_the_good_one() {
    let blocks = bundle(10);
    let page = Bytes::from_static(b"<html>");
    let bad = [
        Manner::Says("text/plain", Bytes::from_static(b"lie")),
        Manner::Hangs,
        Manner::Says("text/html", page),
        Manner::Endless(Some(10 << 30)),
        Manner::Status(404),
        Manner::HangsInBody,
    ]
    .map(|manner| Server::start(manner, &[]));
    let good = Server::start(Manner::RawOnly, &blocks);
    let mut all: Vec<&Server> = bad.iter().collect();
    all.push(&good);
    // Two of the bad ones never answer and hold their places to the end; the third place is enough.
    let fetcher = fetcher(&all);
    let report = fetcher.fetch_dag(blocks[0].cid(), LIMITS).await.unwrap();
    assert_eq!(report.blocks, 11);
    assert!(holds(&fetcher, &blocks).await);
    assert!(
        report
            .failures
            .iter()
            .any(|failure| failure.url == bad[0].url && failure.error == SourceError::WrongBytes)
    );
    // The root's search found the liar and the good one; the chunks start with the good one.
    assert_eq!(bad[0].requests(), 1);
}

/// Silence that would last for an hour must not be waited for while another source is left.
#[tokio::test]
async fn silent_sources_are_not_waited_for() {
    let blocks = bundle(4);
    let silent = [Manner::Hangs, Manner::HangsInBody].map(|manner| Server::start(manner, &[]));
    let good = Server::start(Manner::Honest, &blocks);
    let patient = FetchOptions {
        timeout: Duration::from_secs(3600),
        idle_timeout: Duration::from_secs(3600),
        ..options()
    };
    let fetcher = fetcher_with(&[&silent[0], &silent[1], &good], &[], patient);
    let fetching = fetcher.fetch_dag(blocks[0].cid(), LIMITS);
    // Only so that a failure is not a test that never ends.
    let report = tokio::time::timeout(Duration::from_secs(120), fetching).await;
    assert_eq!(report.unwrap().unwrap().blocks, 5);
    // They were asked for the root alone.
    assert_eq!(silent.each_ref().map(Server::requests), [1, 1]);
}

#[tokio::test]
async fn a_dag_comes_as_one_car() {
    let blocks = bundle(20);
    let server = Server::start(Manner::Honest, &blocks);
    let fetcher = fetcher(&[&server]);
    let report = fetcher.fetch_dag(blocks[0].cid(), LIMITS).await.unwrap();
    assert_eq!((report.blocks, report.already_present), (21, 0));
    assert_eq!(
        report.bytes,
        blocks
            .iter()
            .map(|block| block.bytes().len() as u64)
            .sum::<u64>()
    );
    assert_eq!(report.failures, []);
    assert!(holds(&fetcher, &blocks).await);
    assert_eq!(
        (server.requests(), server.cars.load(Ordering::SeqCst)),
        (2, 1)
    );

    let again = fetcher.fetch_dag(blocks[0].cid(), LIMITS).await.unwrap();
    assert_eq!((again.blocks, again.already_present), (21, 21));
    assert_eq!(server.requests(), 2);
}

#[tokio::test]
async fn what_is_here_is_not_fetched_again() {
    let blocks = bundle(20);
    let server = Server::start(Manner::Honest, &blocks);
    let fetcher = fetcher_with(&[&server], &blocks[..15], options());
    let report = fetcher.fetch_dag(blocks[0].cid(), LIMITS).await.unwrap();
    assert_eq!((report.blocks, report.already_present), (21, 15));
    assert_eq!(
        (server.requests(), server.cars.load(Ordering::SeqCst)),
        (6, 0)
    );
    assert!(holds(&fetcher, &blocks).await);
}

#[tokio::test]
async fn a_broken_car_leaves_less_to_fetch() {
    let blocks = bundle(20);
    for manner in [
        Manner::CarBreaksOff(12),
        Manner::CarWithStranger(leaf("stranger")),
        Manner::RawOnly,
    ] {
        let at_most = match &manner {
            // The root, the CAR, and the nine chunks behind the eleven it brought.
            Manner::CarBreaksOff(_) => 11,
            Manner::CarWithStranger(_) => 2,
            _ => 22,
        };
        let server = Server::start(manner, &blocks);
        let fetcher = fetcher(&[&server]);
        let report = fetcher.fetch_dag(blocks[0].cid(), LIMITS).await.unwrap();
        assert_eq!(report.blocks, 21);
        assert!(holds(&fetcher, &blocks).await);
        assert!(!fetcher.store().has(leaf("stranger").cid()).await.unwrap());
        assert_eq!(report.failures.len(), 1, "{:?}", report.failures);
        assert!(server.requests() >= 2);
        assert!(server.requests() <= at_most + 8, "{}", server.requests());
    }
}

#[tokio::test]
async fn a_missing_chunk_makes_the_dag_unavailable_and_keeps_the_rest() {
    let mut blocks = bundle(5);
    let lost = blocks.remove(3);
    let server = Server::start(Manner::Honest, &[]);
    let partial = Server::start(Manner::RawOnly, &blocks);
    let fetcher = fetcher(&[&server, &partial]);
    let error = fetcher
        .fetch_dag(blocks[0].cid(), LIMITS)
        .await
        .unwrap_err();
    let FetchError::Unavailable { cid, failures } = error else {
        panic!("{error}");
    };
    assert_eq!(cid, *lost.cid());
    assert_eq!(failures.len(), 2);
    assert!(fetcher.store().has(blocks[0].cid()).await.unwrap());
    // The source gets it: the next call has less to do.
    let whole = Server::start(Manner::Honest, std::slice::from_ref(&lost));
    let sources = [&partial, &whole].map(Server::source).to_vec();
    let next = Fetcher::new(sources, Arc::clone(fetcher.store()), options()).unwrap();
    assert_eq!(
        next.fetch_dag(blocks[0].cid(), LIMITS)
            .await
            .unwrap()
            .blocks,
        6
    );
}

#[tokio::test]
async fn no_source_finds_what_is_here_and_says_so_otherwise() {
    let blocks = bundle(2);
    let whole = fetcher_with(&[], &blocks, options());
    assert_eq!(
        whole
            .fetch_dag(blocks[0].cid(), LIMITS)
            .await
            .unwrap()
            .blocks,
        3
    );
    let error = fetcher(&[])
        .fetch_dag(blocks[0].cid(), LIMITS)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("no source"), "{error}");
}

/// The DAG's own faults are a verdict: the same with every source, and not to be tried again.
#[tokio::test]
async fn invalid_is_not_unavailable() {
    let garbage = Block::new(Codec::DagCbor, &b"\xff"[..]).unwrap();
    let to_garbage = dag_cbor::encode(&vec![*garbage.cid()]).unwrap();
    let wide = bundle(64);
    let deep = (0..4).fold(leaf("end"), |below, _| {
        dag_cbor::encode(&vec![*below.cid()]).unwrap()
    });
    let mut blocks = vec![garbage.clone(), to_garbage.clone(), deep.clone()];
    let mut below = leaf("end");
    for _ in 0..4 {
        blocks.push(below.clone());
        below = dag_cbor::encode(&vec![*below.cid()]).unwrap();
    }
    blocks.extend(wide.clone());
    let server = Server::start(Manner::Honest, &blocks);
    let violation = async |root: &Block, limits| {
        let error = fetcher(&[&server])
            .fetch_dag(root.cid(), limits)
            .await
            .unwrap_err();
        match error {
            FetchError::Invalid(violation) => violation,
            other => panic!("{other}"),
        }
    };
    for root in [&garbage, &to_garbage] {
        assert!(matches!(
            violation(root, LIMITS).await,
            DagViolation::Undecodable { cid, .. } if cid == *garbage.cid()
        ));
    }
    assert_eq!(
        violation(&wide[0], LIMITS).await,
        DagViolation::TooManyBlocks { limit: 64 }
    );
    assert!(matches!(
        violation(&deep, LIMITS).await,
        DagViolation::TooDeep { .. }
    ));
    let small = DagLimits {
        max_blocks: 65,
        max_total_bytes: 1_000_000,
        ..LIMITS
    };
    assert_eq!(
        violation(&wide[0], small).await,
        DagViolation::TooManyBytes { limit: 1_000_000 }
    );
    let dag_pb = Cid::new_v1(0x70, *leaf("x").cid().hash());
    let error = fetcher(&[&server])
        .fetch_dag(&dag_pb, LIMITS)
        .await
        .unwrap_err();
    assert!(matches!(
        error,
        FetchError::Invalid(DagViolation::Root { .. })
    ));
}

/// Each level links the one below twice: 2^60 paths over 61 blocks. The depth is refused; what is allowed is visited once.
#[tokio::test]
async fn a_dag_of_repeated_links_is_no_bomb() {
    let mut below = leaf("end");
    let mut blocks = vec![below.clone()];
    for _ in 0..60 {
        below = dag_cbor::encode(&vec![*below.cid(); 2]).unwrap();
        blocks.push(below.clone());
    }
    let server = Server::start(Manner::Honest, &blocks);
    let error = fetcher(&[&server])
        .fetch_dag(below.cid(), LIMITS)
        .await
        .unwrap_err();
    assert!(
        matches!(error, FetchError::Invalid(DagViolation::TooDeep { .. })),
        "{error}"
    );
    let deep = DagLimits {
        max_depth: 64,
        ..LIMITS
    };
    for manner in [Manner::Honest, Manner::RawOnly] {
        let server = Server::start(manner, &blocks);
        let report = fetcher(&[&server]).fetch_dag(below.cid(), deep).await;
        assert_eq!(report.unwrap().blocks, 61);
        assert!(server.requests() <= 63, "{}", server.requests());
    }
}

/// A root that links one chunk twenty thousand times.
#[tokio::test]
async fn a_block_of_the_same_link_over_and_over_is_no_bomb() {
    let chunk = leaf("chunk");
    let root = dag_cbor::encode(&vec![*chunk.cid(); 20_000]).unwrap();
    let server = Server::start(Manner::RawOnly, &[root.clone(), chunk]);
    let report = fetcher(&[&server]).fetch_dag(root.cid(), LIMITS).await;
    assert_eq!(report.unwrap().blocks, 2);
    assert_eq!(server.requests(), 2);
}

/// 10 kB of zeros as gzip.
const GZIP: &[u8] = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xed\xc1\x01\x0d\x00\x00\x00\xc2\xa0\xf7\x4f\x6d\x0e\x37\xa0\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80\x37\x03\x9a\xde\x1d\x27\x00\x28\x00\x00";

/// Nothing is unpacked, whatever the header says: what is hashed is what was sent, and no more of it is kept.
#[tokio::test]
async fn a_gzip_bomb_is_not_unpacked() {
    let block = leaf(GZIP);
    let server = Server::start(Manner::Gzip, std::slice::from_ref(&block));
    let fetched = fetcher(&[&server]).fetch_block(block.cid()).await;
    assert_eq!(fetched.unwrap(), block);
}

#[tokio::test]
async fn redirects_are_followed_a_few_times() {
    let block = leaf("wanted");
    let good = Server::start(Manner::Honest, std::slice::from_ref(&block));
    let once = Server::start(Manner::Redirects(good.url.clone()), &[]);
    let twice = Server::start(Manner::Redirects(once.url.clone()), &[]);
    assert_eq!(
        fetcher(&[&twice]).fetch_block(block.cid()).await.unwrap(),
        block
    );
    let mut chain = vec![once];
    for _ in 0..4 {
        let next = chain.last().unwrap().url.clone();
        chain.push(Server::start(Manner::Redirects(next), &[]));
    }
    let too_long = complaint(Manner::Redirects(chain[4].url.clone()), options()).await;
    assert_eq!(too_long, SourceError::Redirect);
    assert_eq!(good.requests(), 1);
    let elsewhere = Manner::Redirects("file://".to_owned());
    assert_eq!(complaint(elsewhere, options()).await, SourceError::Redirect);
}

/// A store on a disk that takes nothing more.
#[derive(Debug)]
struct FullStore;

#[async_trait::async_trait]
impl BlockStore for FullStore {
    async fn get(&self, _: &Cid) -> Result<Option<Block>, StoreError> {
        Ok(None)
    }
    async fn put(&self, _: &Block) -> Result<(), StoreError> {
        Err(StoreError::Io {
            action: "write",
            path: "/full".into(),
            source: std::io::ErrorKind::StorageFull.into(),
        })
    }
    async fn remove(&self, _: &Cid) -> Result<bool, StoreError> {
        Ok(false)
    }
    fn list(&self) -> BoxStream<'_, Result<Cid, StoreError>> {
        stream::empty().boxed()
    }
}

#[tokio::test]
async fn the_stores_fault_is_not_the_sources() {
    let blocks = bundle(3);
    let server = Server::start(Manner::Honest, &blocks);
    let fetcher = Fetcher::new(vec![server.source()], Arc::new(FullStore), options()).unwrap();
    for outcome in [
        fetcher.fetch_dag(blocks[0].cid(), LIMITS).await.map(|_| ()),
        fetcher.fetch_block(blocks[0].cid()).await.map(|_| ()),
    ] {
        assert!(
            matches!(outcome, Err(FetchError::LocalStore(_))),
            "{outcome:?}"
        );
    }
}
