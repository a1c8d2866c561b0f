//! A whole round on real parts: a regtest node, a store on disk, a bundle, an audit.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use std::time::Duration;

use bitcoin::Network;
use chain::bitcoind::find_binary;
use chain::{BitcoinNode, Bitcoind, BitcoindOptions, PrivateChain};
use content::{BlockStore, FetchOptions, Fetcher, MemoryStore, Source};
use pow::{ShareDifficulty, Work};
use rounds::{
    AuditFailure, AuditUnavailable, Auditor, PoolRules, RoundKeeper, RulesParts, Submission,
    Submitted, seal,
};
use store::{Identity, Mark, NewShare, Recorded, Seal, ShareStore, SqliteStore, Tip};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use work::{
    Claim, Clock as _, DuplicateFilter, Extranonce, Extranonce1, Freshness, Job, JobTemplate,
    K2Address, PayoutScript, PoolTag, RoundNumber, ShareContext, ShareFields, SystemClock, TaskId,
    UnixTime, Verdict, VersionMask, check_share,
};

struct Node {
    bitcoind: Bitcoind,
    store: Arc<dyn ShareStore>,
    blocks: Arc<MemoryStore>,
    rules: Arc<PoolRules>,
    payout: PayoutScript,
    dir: tempfile::TempDir,
}

fn identity() -> Identity {
    Identity {
        task: TaskId::from_bytes([7; 32]),
        node: K2Address::from_bytes([0xa0; 32]),
    }
}

fn n(number: u64) -> RoundNumber {
    RoundNumber::new(number).unwrap()
}

impl Node {
    async fn start() -> Self {
        let binary = find_binary(None).unwrap_or_else(|error| panic!("{error}"));
        let dir = tempfile::tempdir().unwrap();
        let options =
            BitcoindOptions::new(binary, dir.path().join("bitcoin"), PrivateChain::Regtest);
        let bitcoind = Bitcoind::start(options)
            .await
            .unwrap_or_else(|error| panic!("{error}"));
        let payout = PayoutScript::parse(
            "wpkh(0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798)",
            Network::Regtest,
        )
        .unwrap();
        bitcoind.generate(3, payout.as_script()).await.unwrap();
        let parts = RulesParts::usual(
            identity().task,
            Network::Regtest,
            payout.as_script().to_owned(),
        );
        Self {
            bitcoind,
            store: Arc::new(
                SqliteStore::open(&dir.path().join("shares.sqlite"), identity()).unwrap(),
            ),
            blocks: Arc::new(MemoryStore::default()),
            rules: Arc::new(PoolRules::new(parts).unwrap()),
            payout,
            dir,
        }
    }

    async fn keeper(&self) -> RoundKeeper {
        let blocks: Arc<dyn BlockStore> = Arc::clone(&self.blocks) as _;
        RoundKeeper::new(
            Arc::clone(&self.store),
            blocks,
            Arc::clone(&self.rules),
            Duration::ZERO,
        )
        .await
        .unwrap()
    }

    async fn mark(&self) -> Mark {
        let info = self.bitcoind.node().chain_info().await.unwrap();
        Mark {
            at: SystemClock::new().now(),
            tip: Tip {
                hash: info.tip,
                height: info.height,
            },
        }
    }

    fn auditor(&self, blocks: Arc<MemoryStore>) -> Auditor {
        self.auditor_asking(Vec::new(), blocks)
    }

    fn auditor_asking(&self, sources: Vec<Source>, blocks: Arc<MemoryStore>) -> Auditor {
        let fetcher = Fetcher::new(sources, blocks, FetchOptions::default()).unwrap();
        Auditor::new(
            Arc::clone(&self.rules),
            fetcher,
            self.bitcoind.node(),
            Arc::clone(&self.store),
            10_000,
        )
    }

    /// Mines shares on the node's present template and records them.
    async fn work(&self, round: RoundNumber, miner: u8, count: usize) -> Vec<Recorded> {
        let template = self
            .bitcoind
            .node()
            .block_template()
            .await
            .unwrap()
            .template;
        let template = Arc::new(JobTemplate::new(
            &template,
            &self.payout,
            PoolTag::default(),
        ));
        let claim = Claim {
            task: identity().task,
            round,
            node: identity().node,
            miner: K2Address::from_bytes([miner; 32]),
            difficulty: ShareDifficulty::MIN,
            extension: Vec::new(),
        };
        let job = Arc::new(Job::new(Arc::clone(&template), claim).unwrap());
        let now = SystemClock::new().now();
        let context = ShareContext {
            job: &job,
            freshness: Freshness::Current,
            version_mask: VersionMask::BIP320,
            now,
        };
        let mut seen = DuplicateFilter::new(1000);
        let mut recorded = Vec::new();
        for nonce in 0.. {
            if recorded.len() == count {
                break;
            }
            let fields = ShareFields {
                extranonce: Extranonce::join(Extranonce1::from_u32(u32::from(miner)), [0; 8]),
                ntime: template.cur_time(),
                nonce,
                version_bits: None,
            };
            if let Verdict::Credited(share) = check_share(&context, &fields, &mut seen).verdict {
                let share = NewShare {
                    share,
                    worker: "rig".to_owned(),
                    at: now,
                };
                recorded.push(self.store.record_share(share).await.unwrap());
            }
        }
        recorded
    }
}

fn submission(round: RoundNumber, seal: &Seal) -> Submission {
    Submission {
        round,
        node: identity().node,
        submitted: Submitted {
            cid: seal.cid,
            shares: seal.shares,
            work: seal.work,
            root: seal.root,
        },
    }
}

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

fn now() -> UnixTime {
    SystemClock::new().now()
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

fn moment(mark: &Mark) -> rounds::Moment {
    rounds::Moment {
        at: mark.at,
        height: mark.tip.height,
        tip: mark.tip.hash,
    }
}
