//! A regtest node, a store on disk, and shares mined on real templates.

#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

use std::sync::Arc;
use std::time::Duration;

use bitcoin::Network;
use chain::bitcoind::find_binary;
use chain::{BitcoinNode as _, Bitcoind, BitcoindOptions, PrivateChain};
use content::{BlockStore, FetchOptions, Fetcher, MemoryStore, Source};
use pow::ShareDifficulty;
use rounds::{Auditor, PoolRules, RoundKeeper, RulesParts, Submission, Submitted};
use store::{Identity, Mark, NewShare, Recorded, Seal, ShareStore, SqliteStore, Tip};
use work::{
    Claim, Clock as _, CreditedShare, DuplicateFilter, Extranonce, Extranonce1, Freshness, Job,
    JobTemplate, K2Address, PayoutScript, PoolTag, RoundNumber, ShareContext, ShareFields,
    SystemClock, TaskId, UnixTime, Verdict, VersionMask, check_share,
};

pub struct Node {
    pub bitcoind: Bitcoind,
    pub store: Arc<dyn ShareStore>,
    pub blocks: Arc<MemoryStore>,
    pub rules: Arc<PoolRules>,
    pub payout: PayoutScript,
    pub dir: tempfile::TempDir,
}

pub fn identity() -> Identity {
    Identity {
        task: TaskId::from_bytes([7; 32]),
        node: K2Address::from_bytes([0xa0; 32]),
    }
}

pub fn n(number: u64) -> RoundNumber {
    RoundNumber::new(number).unwrap()
}

impl Node {
    pub async fn start() -> Self {
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

    pub async fn keeper(&self) -> RoundKeeper {
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

    pub async fn mark(&self) -> Mark {
        let info = self.bitcoind.node().chain_info().await.unwrap();
        Mark {
            at: SystemClock::new().now(),
            tip: Tip {
                hash: info.tip,
                height: info.height,
            },
        }
    }

    pub fn auditor(&self, blocks: Arc<MemoryStore>) -> Auditor {
        self.auditor_asking(Vec::new(), blocks)
    }

    pub fn auditor_asking(&self, sources: Vec<Source>, blocks: Arc<MemoryStore>) -> Auditor {
        let options = FetchOptions {
            private_submitters: true,
            ..FetchOptions::default()
        };
        let fetcher = Fetcher::new(sources, blocks, options).unwrap();
        Auditor::new(
            Arc::clone(&self.rules),
            fetcher,
            self.bitcoind.node(),
            Arc::clone(&self.store),
            100_000,
        )
    }

    /// Mines shares on the node's present template.
    pub async fn mine(&self, round: RoundNumber, miner: u8, count: usize) -> Vec<CreditedShare> {
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
        let context = ShareContext {
            job: &job,
            freshness: Freshness::Current,
            version_mask: VersionMask::BIP320,
            now: now(),
        };
        let mut seen = DuplicateFilter::new(usize::MAX);
        let mut shares = Vec::with_capacity(count);
        for nonce in 0.. {
            if shares.len() == count {
                break;
            }
            let fields = ShareFields {
                extranonce: Extranonce::join(Extranonce1::from_u32(u32::from(miner)), [0; 8]),
                ntime: template.cur_time(),
                nonce,
                version_bits: None,
            };
            if let Verdict::Credited(share) = check_share(&context, &fields, &mut seen).verdict {
                shares.push(share);
            }
        }
        shares
    }

    /// Mines shares and records them.
    pub async fn work(&self, round: RoundNumber, miner: u8, count: usize) -> Vec<Recorded> {
        let mut recorded = Vec::new();
        for share in self.mine(round, miner, count).await {
            let share = NewShare {
                share,
                worker: "rig".to_owned(),
                at: now(),
            };
            recorded.push(self.store.record_share(share).await.unwrap());
        }
        recorded
    }
}

pub fn submission(round: RoundNumber, seal: &Seal) -> Submission {
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

pub fn now() -> UnixTime {
    SystemClock::new().now()
}

pub fn moment(mark: &Mark) -> rounds::Moment {
    rounds::Moment {
        at: mark.at,
        height: mark.tip.height,
        tip: mark.tip.hash,
    }
}
