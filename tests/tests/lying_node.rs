//! Three nodes, five rounds, one of them lying in a new way each round: every lie is voted down, and the lists of all nodes
//! are byte-identical and sum exactly.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

use std::collections::BTreeMap;
use std::time::Duration;

use content::{BlockStore as _, DirStore};
use orcapool::devnet::orca::Submission;
use orcapool_tests::{PoolOptions, TestNode, TestPool, address};
use pow::ShareDifficulty;
use rounds::{Bundle, BundleBuilder, BundleClaim, BundleHead, EncodedBundle};
use serde_json::json;
use work::RoundNumber;

const BOUNTY: u64 = 1_000_000_007;

#[tokio::test(flavor = "multi_thread")]
async fn five_rounds_with_a_liar() {
    let pool = TestPool::start(&PoolOptions {
        nodes: 3,
        miner_threads: 1,
        ..PoolOptions::default()
    })
    .await
    .unwrap();
    let liar = &pool.nodes[2];
    // What the liar's node serves comes from this directory; whatever is put there has the right hash, as any block has.
    let served = DirStore::open(liar.dir.join("data/blocks")).unwrap();
    let mut previous_head = None;

    for number in 0..5 {
        let round = RoundNumber::new(number).unwrap();
        for node in &pool.nodes {
            node.orca.task(round).await.unwrap();
        }
        wait_for_shares(&pool, round).await;
        for node in &pool.nodes {
            node.orca.task(round.next()).await.unwrap();
        }
        let mut submissions = Vec::new();
        for node in &pool.nodes {
            submissions.push(node.orca.submission(pool.task, round).await.unwrap());
        }
        // The liar's honest bundle is valid: whatever is voted down below is voted down for the lie.
        assert!(pool.nodes[0].orca.audit(&submissions[2]).await.unwrap());

        let honest = read_bundle(liar, &submissions[2]).await;
        let (what, lie) = match number {
            0 => {
                let forged = rebuild(&honest, *honest.root().head(), |claim| BundleClaim {
                    miner: address("the liar's friend"),
                    ..claim
                });
                (
                    "every share re-assigned",
                    publish(&served, &submissions[2], forged).await,
                )
            }
            1 => {
                let forged = rebuild(&honest, *honest.root().head(), |claim| BundleClaim {
                    difficulty: harder(claim.difficulty),
                    ..claim
                });
                (
                    "every share at a higher difficulty",
                    publish(&served, &submissions[2], forged).await,
                )
            }
            2 => {
                let mut copied = submissions[0].clone();
                copied.insert("stakingKey".to_owned(), json!(liar.orca.key.to_string()));
                ("another node's bundle", copied)
            }
            3 => {
                let mut inflated = submissions[2].clone();
                let shares = inflated["shares"].as_u64().unwrap();
                inflated.insert("shares".to_owned(), json!(shares + 1));
                ("a share too many", inflated)
            }
            _ => {
                // Last round's window with this round's number, over last round's shares.
                let (head, shares): (BundleHead, Bundle) = previous_head.take().unwrap();
                let forged = rebuild(
                    &shares,
                    BundleHead {
                        round: honest.root().head().round,
                        ..head
                    },
                    |claim| claim,
                );
                (
                    "last round's shares",
                    publish(&served, &submissions[2], forged).await,
                )
            }
        };
        previous_head = Some((*honest.root().head(), honest));
        assert_ne!(lie, submissions[2], "{what}");

        for auditor in &pool.nodes[..2] {
            assert!(
                !auditor.orca.audit(&lie).await.unwrap(),
                "round {number}: {what} passed on {}",
                auditor.orca.name
            );
            let audits = auditor
                .orca
                .get(&format!("/api/rounds/{round}/audits"))
                .await
                .unwrap();
            let reasons: Vec<String> = audits
                .as_array()
                .unwrap()
                .iter()
                .filter(|audit| audit["valid"] == json!(false))
                .filter_map(|audit| audit["reason"].as_str().map(str::to_owned))
                .collect();
            assert!(
                !reasons.is_empty(),
                "round {number}: {what}: no reason is kept"
            );
            println!(
                "round {number}: {what}: {} says: {}",
                auditor.orca.name,
                reasons.join("; ")
            );
        }
        // The honest ones vouch for each other.
        assert!(pool.nodes[0].orca.audit(&submissions[1]).await.unwrap());
        assert!(pool.nodes[1].orca.audit(&submissions[0]).await.unwrap());

        let accepted = &submissions[..2];
        let mut lists = Vec::new();
        for node in &pool.nodes {
            lists.push(
                node.orca
                    .distribution(round, BOUNTY, accepted)
                    .await
                    .unwrap(),
            );
        }
        assert_eq!(lists[0], lists[1]);
        // The liar's own software computes the same: the list is a function of what K2 accepted.
        assert_eq!(lists[0], lists[2]);
        let list: BTreeMap<String, i64> = serde_json::from_slice(&lists[0]).unwrap();
        assert_eq!(list.values().sum::<i64>(), i64::try_from(BOUNTY).unwrap());
        assert!(
            !list.contains_key(&liar.orca.key.to_string()),
            "a liar is not paid"
        );
        // The same request again, and in another order, is the same list.
        let reversed: Vec<Submission> = accepted.iter().rev().cloned().collect();
        assert_eq!(
            pool.nodes[0]
                .orca
                .distribution(round, BOUNTY, &reversed)
                .await
                .unwrap(),
            lists[0]
        );
        let mut earned = Vec::new();
        for node in &pool.nodes {
            earned.push(
                node.orca
                    .get(&format!("/api/rounds/{round}/distribution"))
                    .await
                    .unwrap(),
            );
        }
        assert!(earned.iter().all(|view| *view == earned[0]), "{earned:#?}");
    }
}

async fn wait_for_shares(pool: &TestPool, round: RoundNumber) {
    let mined = async {
        loop {
            let mut all = true;
            for node in &pool.nodes {
                let rounds = node.orca.get("/api/rounds").await.unwrap();
                all &= rounds.as_array().unwrap().iter().any(|record| {
                    record["round"] == json!(round.get()) && record["shares"].as_u64() >= Some(2)
                });
            }
            if all {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(120), mined)
        .await
        .unwrap_or_else(|_| panic!("no shares:\n{}", pool.nodes[0].last_words()));
}

async fn read_bundle(node: &TestNode, submission: &Submission) -> Bundle {
    let cid: cid::Cid = submission["cid"].as_str().unwrap().parse().unwrap();
    let car = reqwest::get(format!("http://{}/ipfs/{cid}?format=car", node.http))
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap();
    let contents = content::car::read_all(&car, content::DagLimits::default()).unwrap();
    let blocks: BTreeMap<cid::Cid, _> = contents
        .blocks
        .iter()
        .map(|block| (*block.cid(), block.bytes().clone()))
        .collect();
    Bundle::read(&cid, &blocks[&cid], |cid| blocks.get(cid).cloned()).unwrap()
}

/// The same shares under another head and other claims, in a well-formed bundle.
fn rebuild(
    bundle: &Bundle,
    head: BundleHead,
    change: impl Fn(BundleClaim) -> BundleClaim,
) -> EncodedBundle {
    let mut builder = BundleBuilder::new(head);
    let handles: Vec<_> = bundle
        .jobs()
        .iter()
        .map(|job| builder.job(job).unwrap())
        .collect();
    for chunk in bundle.present() {
        for share in bundle.shares(chunk).unwrap() {
            let claim = change(bundle.claims()[share.claim as usize].clone());
            builder
                .push(
                    handles[share.job as usize],
                    claim.miner,
                    claim.difficulty,
                    &claim.extension,
                    &share.fields(),
                    true, // on regtest every share is a block
                )
                .unwrap();
        }
    }
    builder.finish().unwrap()
}

fn harder(difficulty: ShareDifficulty) -> ShareDifficulty {
    // Four times: many of the hashes are lucky enough for one step.
    (0..6).fold(difficulty, |difficulty, _| difficulty.harder())
}

/// Puts a forged bundle where the liar's node serves it, and submits it.
async fn publish(served: &DirStore, honest: &Submission, forged: EncodedBundle) -> Submission {
    for block in &forged.blocks {
        let block = content::Block::verify(block.cid(), block.bytes().clone()).unwrap();
        served.put(&block).await.unwrap();
    }
    let totals = forged.root.totals();
    let mut submission = honest.clone();
    submission.insert("cid".to_owned(), json!(forged.cid.to_string()));
    submission.insert("shares".to_owned(), json!(totals.shares));
    submission.insert("work".to_owned(), json!(totals.work.to_string()));
    submission.insert(
        "root".to_owned(),
        json!(hex::encode(forged.root.sum_root())),
    );
    submission
}
