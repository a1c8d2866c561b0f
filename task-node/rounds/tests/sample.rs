//! Audits by sample: what they fetch, what they find, and what is paid for what they miss.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/forger.rs"]
mod forger;
#[path = "support/node.rs"]
mod node;
mod support;

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};

use cid::Cid;
use content::{MemoryStore, Source};
use forger::{Draft, from_cbor, map, replace_chunk, seal_root};
use ipld_core::ipld::Ipld;
use node::{Node, identity, moment, n, now};
use pow::Work;
use rounds::{
    AcceptedBundle, AcceptedRound, AuditFailure, AuditUnavailable, AuditVerdict, Auditor, Bundle,
    BundleHead, BundleRoot, ChunkFault, EncodedBundle, PackedShare, SHARES_PER_CHUNK, Submission,
    Submitted, USUAL_SAMPLES, chunks_to_open, encode_chunk,
};
use support::{Blocks, bundle_of};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Three full chunks and one share.
const SHARES: usize = 3 * SHARES_PER_CHUNK + 1;
const ONE: NonZeroU32 = NonZeroU32::MIN;

struct Scene {
    node: Node,
    honest: EncodedBundle,
    bundle: Bundle,
}

impl Scene {
    async fn start() -> Self {
        let node = Node::start().await;
        let opened = node.mark().await;
        let shares = node.mine(n(3), 1, SHARES).await;
        let head = BundleHead {
            task: identity().task,
            round: n(3),
            node: identity().node,
            network: bitcoin::Network::Regtest,
            rules: node.rules.digest(),
            opened: moment(&opened),
            closed: moment(&node.mark().await),
        };
        let honest = bundle_of(head, &shares);
        let bundle = read(&honest.cid, &Blocks::of(&honest));
        Self {
            node,
            honest,
            bundle,
        }
    }

    fn base_times(&self) -> Vec<u32> {
        let jobs = self.bundle.jobs().iter();
        jobs.map(|job| job.min_time()).collect()
    }

    fn chunk(&self, index: usize) -> (Vec<PackedShare>, Work) {
        let work = self.honest.root.chunks()[index].work;
        (self.bundle.shares(index).unwrap(), work)
    }

    /// The honest bundle with a share in `chunk` that has no proof of work.
    fn with_a_false_share(&self, chunk: usize) -> (Cid, Blocks) {
        let (mut shares, work) = self.chunk(chunk);
        // A nonce between two neighbours was tried when the shares were mined, and was none.
        let gap = (1..shares.len())
            .find(|&i| shares[i].nonce > shares[i - 1].nonce + 1)
            .unwrap();
        shares[gap].nonce -= 1;
        let chunk_bytes = encode_chunk(&shares, &self.base_times()).unwrap();
        replace_chunk(&self.honest, chunk, chunk_bytes, work)
    }
}

fn read(cid: &Cid, blocks: &Blocks) -> Bundle {
    Bundle::read(cid, &blocks.get(cid).unwrap(), |cid| blocks.get(cid)).unwrap()
}

fn root(cid: &Cid, blocks: &Blocks) -> BundleRoot {
    BundleRoot::decode(&blocks.get(cid).unwrap()).unwrap()
}

/// A seed by which `samples` open exactly these chunks.
fn seed(cid: &Cid, blocks: &Blocks, samples: NonZeroU32, chunks: &[usize]) -> [u8; 32] {
    let root = root(cid, blocks);
    (0..=u8::MAX)
        .map(|n| [n; 32])
        .find(|seed| chunks_to_open(cid, &root, seed, samples.get()).unwrap() == chunks)
        .unwrap()
}

/// The submission of whoever made this bundle.
fn submission(cid: &Cid, blocks: &Blocks) -> Submission {
    let root = root(cid, blocks);
    Submission {
        round: n(3),
        node: identity().node,
        submitted: Submitted {
            cid: *cid,
            shares: root.totals().shares,
            work: root.totals().work,
            root: *root.sum_root(),
        },
    }
}

/// A gateway that serves single blocks and remembers which were asked for.
async fn gateway(blocks: Blocks) -> (Source, Arc<Mutex<BTreeSet<Cid>>>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let source = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(BTreeSet::new()));
    let log = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut request = vec![0; 4096];
            let length = socket.read(&mut request).await.unwrap_or(0);
            let request = String::from_utf8_lossy(&request[..length]).into_owned();
            let path = request.split_whitespace().nth(1).unwrap_or_default();
            let cid = path
                .strip_prefix("/ipfs/")
                .and_then(|rest| rest.strip_suffix("?format=raw"))
                .and_then(|cid| cid.parse::<Cid>().ok());
            let body = cid.and_then(|cid| {
                log.lock().unwrap().insert(cid);
                blocks.get(&cid)
            });
            let (status, body) =
                body.map_or(("404 Not Found", Vec::new()), |b| ("200 OK", b.to_vec()));
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            let _ = socket.write_all(&[head.as_bytes(), &body].concat()).await;
        }
    });
    (source.parse().unwrap(), asked)
}

/// An auditor that has nothing yet, and what it will have asked for.
async fn auditor(node: &Node, blocks: &Blocks) -> (Auditor, Arc<Mutex<BTreeSet<Cid>>>) {
    let (source, asked) = gateway(blocks.clone()).await;
    let auditor = node
        .auditor_asking(vec![source], Arc::new(MemoryStore::default()))
        .with_max_bundle_bytes(100_000);
    (auditor, asked)
}

/// A fresh auditor's verdict by sample.
async fn sampled(
    node: &Node,
    cid: &Cid,
    blocks: &Blocks,
    seed: [u8; 32],
    samples: NonZeroU32,
) -> AuditVerdict {
    let (auditor, _) = auditor(node, blocks).await;
    let submission = submission(cid, blocks);
    auditor
        .audit_sample(&submission, seed, samples, now())
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_bundle_is_audited_without_fetching_it() {
    let Scene { node, honest, .. } = Scene::start().await;
    let (cid, blocks) = (honest.cid, Blocks::of(&honest));
    let (auditor, asked) = auditor(&node, &blocks).await;
    let submission = submission(&cid, &blocks);

    // Whole it would be larger than this node takes: its root says so, and nothing else is fetched for that.
    let trouble = auditor.audit(&submission, now()).await.unwrap_err();
    assert!(
        matches!(trouble, AuditUnavailable::TooLarge { most, limit: 100_000 } if most > 100_000),
        "{trouble}"
    );
    assert_eq!(*asked.lock().unwrap(), BTreeSet::from([cid]));

    let seed = seed(&cid, &blocks, ONE, &[1]);
    let summary = auditor
        .audit_sample(&submission, seed, ONE, now())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(summary.checked, SHARES_PER_CHUNK as u64);
    assert_eq!(summary.totals.shares, SHARES as u64);
    let mut needed: BTreeSet<Cid> = honest.root.table_links().copied().collect();
    needed.extend([cid, honest.root.chunks()[1].cid]);
    assert_eq!(*asked.lock().unwrap(), needed);

    // Its head is looked at before its chunks, as in a whole audit.
    let mut other = submission;
    other.round = n(4);
    let failure = auditor.audit_sample(&other, seed, ONE, now()).await;
    assert_eq!(failure.unwrap(), Err(AuditFailure::Round(n(3))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_chunk_is_found_where_it_is_opened_and_never_paid() {
    let scene = Scene::start().await;
    let node = &scene.node;
    let (cid, blocks) = scene.with_a_false_share(1);
    let opening = |chunks: &[usize]| seed(&cid, &blocks, ONE, chunks);
    let failure = sampled(node, &cid, &blocks, opening(&[1]), ONE).await;
    assert!(
        matches!(failure, Err(AuditFailure::Share { chunk: 1, .. })),
        "{failure:?}"
    );
    let missed = sampled(node, &cid, &blocks, opening(&[0]), ONE).await;
    assert_eq!(missed.unwrap().checked, SHARES_PER_CHUNK as u64);
    for seed in [[1; 32], [2; 32]] {
        let failure = sampled(node, &cid, &blocks, seed, USUAL_SAMPLES).await;
        assert!(
            matches!(failure, Err(AuditFailure::Share { chunk: 1, .. })),
            "{failure:?}"
        );
    }
    // Had it been accepted: everybody unpacks it to pay, and that chunk earns nothing.
    let accepted = AcceptedBundle::new(Arc::new(read(&cid, &blocks)), &support::rules()).unwrap();
    let faults: Vec<_> = accepted.faults().map(|(chunk, _)| chunk).collect();
    assert_eq!(faults, [1]);
    let round = AcceptedRound::new(n(3), vec![accepted]).unwrap();
    assert_eq!(round.shares().count(), SHARES - SHARES_PER_CHUNK);

    // Claimed work draws samples: a chunk inflated a thousandfold is the one that is opened.
    let (shares, work) = scene.chunk(2);
    let chunk = encode_chunk(&shares, &scene.base_times()).unwrap();
    let (cid, blocks) = replace_chunk(&scene.honest, 2, chunk.clone(), work.saturating_mul(1000));
    for seed in 0..4 {
        let failure = sampled(node, &cid, &blocks, [seed; 32], NonZeroU32::new(3).unwrap()).await;
        assert!(
            matches!(failure, Err(AuditFailure::ChunkWork { chunk: 2, .. })),
            "{failure:?}"
        );
    }
    // A chunk that claims nothing is never opened, and never paid.
    let (cid, blocks) = replace_chunk(&scene.honest, 2, chunk, Work::ZERO);
    let summary = sampled(node, &cid, &blocks, [5; 32], USUAL_SAMPLES)
        .await
        .unwrap();
    assert!(summary.checked <= (SHARES - SHARES_PER_CHUNK) as u64);
    let accepted = AcceptedBundle::new(Arc::new(read(&cid, &blocks)), &support::rules()).unwrap();
    let faults: Vec<_> = accepted.faults().collect();
    assert!(
        matches!(
            faults[..],
            [(
                2,
                ChunkFault::Work {
                    given: Work::ZERO,
                    ..
                }
            )]
        ),
        "{faults:?}"
    );
    // The same chunk twice counts once.
    let (first, work) = scene.chunk(0);
    let twice = encode_chunk(&first, &scene.base_times()).unwrap();
    let (cid, blocks) = replace_chunk(&scene.honest, 1, twice, work);
    let accepted = AcceptedBundle::new(Arc::new(read(&cid, &blocks)), &support::rules()).unwrap();
    assert_eq!(
        accepted.faults().collect::<Vec<_>>(),
        [(1, &ChunkFault::Order)]
    );
    // Nor does one hold up the others that cannot be read at all.
    let (cid, blocks) = replace_chunk(&scene.honest, 0, vec![0xff; 100], work);
    let accepted = AcceptedBundle::new(Arc::new(read(&cid, &blocks)), &support::rules()).unwrap();
    assert!(matches!(
        accepted.faults().collect::<Vec<_>>()[..],
        [(0, ChunkFault::Form(_))]
    ));
    let round = AcceptedRound::new(n(3), vec![accepted]).unwrap();
    assert_eq!(round.shares().count(), SHARES - SHARES_PER_CHUNK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sample_of_everything_is_a_whole_audit() {
    let node = Node::start().await;
    let mark = node.mark().await;
    let shares = node.mine(n(3), 1, 4).await;
    let head = BundleHead {
        task: identity().task,
        round: n(3),
        node: identity().node,
        network: bitcoin::Network::Regtest,
        rules: node.rules.digest(),
        opened: moment(&mark),
        closed: moment(&mark),
    };
    let honest = bundle_of(head, &shares);
    let blocks = Blocks::of(&honest);
    let summary = sampled(&node, &honest.cid, &blocks, [0; 32], ONE)
        .await
        .unwrap();
    assert_eq!(summary.checked, 4);
    // Only all chunks together show how many blocks were found.
    let mut root = Draft::of(&honest).root;
    let mut totals = map(root["totals"].clone());
    totals.insert("blocks".to_owned(), Ipld::Integer(0));
    root.insert("totals".to_owned(), Ipld::Map(totals));
    assert_ne!(
        Ipld::Map(root.clone()),
        from_cbor(&blocks.get(&honest.cid).unwrap())
    );
    let (cid, blocks) = seal_root(&root, blocks);
    let failure = sampled(&node, &cid, &blocks, [0; 32], ONE)
        .await
        .unwrap_err();
    assert!(
        matches!(failure, AuditFailure::Blocks { given: 0, .. }),
        "{failure}"
    );
    // And an empty round has nothing to open.
    let empty = bundle_of(head, &[]);
    let summary = sampled(&node, &empty.cid, &Blocks::of(&empty), [0; 32], ONE)
        .await
        .unwrap();
    assert_eq!((summary.checked, summary.totals.shares), (0, 0));
}
