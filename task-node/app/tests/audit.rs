//! Audits over HTTP and from the command line: whole, too large for that, and by sample.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::Arc;
use std::time::Duration;

use chain::bitcoind::find_binary;
use chain::{BitcoinNode as _, Bitcoind, BitcoindOptions, PrivateChain};
use content::{BlockStore as _, DagLimits, DirStore};
use orcapool::config::{Config, load};
use pow::ShareDifficulty;
use rounds::{BundleBuilder, BundleHead, EncodedBundle, Moment, SHARES_PER_CHUNK, chunks_to_open};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use work::{
    Claim, Clock as _, CreditedShare, DuplicateFilter, Extranonce, Extranonce1, Freshness, Job,
    JobTemplate, K2Address, PayoutScript, RoundNumber, ShareContext, ShareFields, SystemClock,
    Verdict, VersionMask, check_share,
};

const KEY: &str = "KPLTRVs6jA7QTthuJH2cEmyCEskFbSV2xpZw46cganN";
const PAYOUT: &str = "wpkh(0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798)";
/// A full chunk and one share.
const SHARES: usize = SHARES_PER_CHUNK + 1;
const SAMPLES: u32 = 20;

struct Scene {
    bitcoind: Bitcoind,
    config: Config,
    file: PathBuf,
    blocks: DirStore,
    http: SocketAddr,
    _dir: tempfile::TempDir,
}

impl Scene {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let bitcoind = Bitcoind::start(BitcoindOptions::new(
            find_binary(None).unwrap_or_else(|error| panic!("{error}")),
            dir.path().join("bitcoind"),
            PrivateChain::Regtest,
        ))
        .await
        .unwrap();
        let payout = PayoutScript::parse(PAYOUT, bitcoin::Network::Regtest).unwrap();
        bitcoind.generate(3, payout.as_script()).await.unwrap();
        let http = TcpListener::bind("127.0.0.1:0").unwrap();
        let http = http.local_addr().unwrap();
        let file = dir.path().join("orcapool.toml");
        std::fs::write(
            &file,
            format!(
                "data_dir = \"{}\"\n[task]\nid = \"{KEY}\"\nnode = \"{KEY}\"\n[bitcoin]\nnetwork = \"regtest\"\n\
                 [[bitcoin.nodes]]\nurl = \"http://127.0.0.1:{}\"\ncookie_file = \"{}\"\n\
                 [payout]\nscript = \"{PAYOUT}\"\n[audit]\nmax_bundle_bytes = 100000\n\
                 [http]\nlisten = \"{http}\"\n[stratum]\nlisten = [\"127.0.0.1:0\"]\n",
                dir.path().join("data").display(),
                bitcoind.rpc_port(),
                bitcoind.cookie_file().display(),
            ),
        )
        .unwrap();
        let config = Config::try_from(&load(Some(&file), &[]).unwrap()).unwrap();
        let blocks = DirStore::open(config.data_dir.join("blocks")).unwrap();
        Self {
            bitcoind,
            config,
            file,
            blocks,
            http,
            _dir: dir,
        }
    }

    async fn moment(&self) -> Moment {
        let info = self.bitcoind.node().chain_info().await.unwrap();
        Moment {
            at: SystemClock::new().now(),
            height: info.height,
            tip: info.tip,
        }
    }

    async fn mine(&self, head: &BundleHead) -> Vec<CreditedShare> {
        let template = self.bitcoind.node().block_template().await.unwrap();
        let template = JobTemplate::new(
            &template.template,
            &self.config.payout,
            self.config.pool_tag.clone(),
        );
        let claim = Claim {
            task: head.task,
            round: head.round,
            node: head.node,
            miner: K2Address::from_bytes([1; 32]),
            difficulty: ShareDifficulty::MIN,
            extension: Vec::new(),
        };
        let job = Arc::new(Job::new(Arc::new(template), claim).unwrap());
        let context = ShareContext {
            job: &job,
            freshness: Freshness::Current,
            version_mask: VersionMask::BIP320,
            now: SystemClock::new().now(),
        };
        let mut seen = DuplicateFilter::new(usize::MAX);
        (0..u32::MAX)
            .filter_map(|nonce| {
                let fields = ShareFields {
                    extranonce: Extranonce::join(Extranonce1::from_u32(1), [0; 8]),
                    ntime: job.template().cur_time(),
                    nonce,
                    version_bits: None,
                };
                match check_share(&context, &fields, &mut seen).verdict {
                    Verdict::Credited(share) => Some(share),
                    Verdict::Rejected(_) => None,
                }
            })
            .take(SHARES)
            .collect()
    }

    async fn keep(&self, bundle: &EncodedBundle) {
        for block in &bundle.blocks {
            self.blocks.put(block).await.unwrap();
        }
    }

    async fn post(&self, body: &Value) -> (u16, Value) {
        let url = format!("http://{}/audit", self.http);
        let answer = reqwest::Client::new().post(url).json(body).send().await;
        let answer = answer.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    fn audit(&self, arguments: &[&str]) -> Output {
        orcapool(&self.file, arguments)
    }
}

fn orcapool(file: &Path, arguments: &[&str]) -> Output {
    std::process::Command::new(env!("CARGO_BIN_EXE_orcapool"))
        .args(["audit", "-c", file.to_str().unwrap()])
        .args(arguments)
        .env_remove("ORCAPOOL_CONFIG")
        .output()
        .unwrap()
}

/// The bundle of these shares, whose last one may claim another difficulty than it was mined for.
fn bundle(head: BundleHead, shares: &[CreditedShare], last: ShareDifficulty) -> EncodedBundle {
    let mut builder = BundleBuilder::new(head);
    for (index, share) in shares.iter().enumerate() {
        let claim = share.job().claim();
        let job = builder.job(share.job().template()).unwrap();
        let difficulty = if index + 1 == shares.len() {
            last
        } else {
            claim.difficulty
        };
        let (fields, block) = (share.fields(), share.is_block());
        builder
            .push(job, claim.miner, difficulty, &[], fields, block)
            .unwrap();
    }
    builder.finish().unwrap()
}

fn submission(bundle: &EncodedBundle) -> Value {
    let totals = bundle.root.totals();
    json!({
        "taskId": KEY, "roundNumber": 5, "stakingKey": KEY, "cid": bundle.cid.to_string(),
        "shares": totals.shares, "work": totals.work.to_string(), "difficulty": 0.0,
        "root": hex::encode(bundle.root.sum_root()),
    })
}

/// A seed by which the sample opens exactly these chunks.
fn seed(bundle: &EncodedBundle, chunks: &[usize]) -> String {
    let open = |seed| chunks_to_open(&bundle.cid, &bundle.root, &seed, SAMPLES).unwrap();
    let seed = (0..=u8::MAX).map(|n| [n; 32]).find(|s| open(*s) == chunks);
    hex::encode(seed.unwrap())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_above_the_limit_is_audited_by_sample_or_not_at_all() {
    let scene = Scene::start().await;
    let opened = scene.moment().await;
    let mut head = BundleHead {
        task: scene.config.task,
        round: RoundNumber::new(5).unwrap(),
        node: scene.config.node,
        network: bitcoin::Network::Regtest,
        rules: scene.config.rules.digest(),
        opened,
        closed: opened,
    };
    let shares = scene.mine(&head).await;
    head.closed = scene.moment().await;
    let honest = bundle(head, &shares, ShareDifficulty::MIN);
    // A share of two hashes that claims 2^32 of them: all the work there is, nearly, and so it is opened.
    let forged = bundle(head, &shares, ShareDifficulty::ONE);
    scene.keep(&honest).await;
    scene.keep(&forged).await;

    // The command line, on the same store and configuration.
    let cid = honest.cid.to_string();
    let output = scene.audit(&[&cid]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("--sample"), "{output:?}");
    let first = seed(&honest, &[0]);
    for half in [
        &["--sample", "20"][..],
        &["--seed", &first],
        &["--sample", "0", "--seed", &first],
        &["--sample", "20", "--seed", "abcd"],
    ] {
        let output = scene.audit(&[&[cid.as_str()], half].concat());
        assert_eq!(output.status.code(), Some(2), "{half:?}");
    }
    let sampled = ["--sample", "20", "--seed", first.as_str()];
    let output = scene.audit(&[&[cid.as_str()], &sampled[..]].concat());
    let said = text(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    assert!(said.contains("checked 8192 of 8193 shares"), "{said}");
    assert!(said.contains("had 50.00 % of the work"), "{said}");
    let output = scene.audit(&[&[cid.as_str(), "--json"], &sampled[..]].concat());
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&said["valid"], &said["checked"], &said["shares"]),
        (&json!(true), &json!(8192), &json!(8193))
    );
    let output = scene.audit(&[&[forged.cid.to_string().as_str()], &sampled[..]].concat());
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    // A file is here already, whatever its size.
    let car = scene.file.with_extension("car");
    let mut bytes = Vec::new();
    content::car::export(&scene.blocks, honest.cid, DagLimits::default(), &mut bytes)
        .await
        .unwrap();
    std::fs::write(&car, &bytes).unwrap();
    let raised = ["--set", "audit.max_bundle_bytes=200000"];
    let output = scene.audit(&[&[car.to_str().unwrap()], &raised[..]].concat());
    assert!(
        text(&output.stdout).contains("checked 8193 of 8193 shares, which is all of them"),
        "{output:?}"
    );

    // HTTP.
    let stop = CancellationToken::new();
    let running = tokio::spawn(orcapool::node::run(scene.config.clone(), stop.clone()));
    let health = format!("http://{}/healthz", scene.http);
    while reqwest::get(&health).await.is_err() {
        assert!(!running.is_finished(), "the node did not start");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (status, answer) = scene
        .post(&json!({"submission": submission(&honest)}))
        .await;
    assert_eq!(status, 503, "{answer}");
    let error = answer["error"].as_str().unwrap();
    assert!(error.contains("audited by sample"), "{error}");
    let with_seed = |bundle, seed: &str| json!({"submission": submission(bundle), "seed": seed});
    assert_eq!(
        scene.post(&with_seed(&honest, &first)).await,
        (200, json!(true))
    );
    assert_eq!(
        scene.post(&with_seed(&forged, &first)).await,
        (200, json!(false))
    );
    assert_eq!(scene.post(&with_seed(&honest, "beef")).await.0, 400);
    stop.cancel();
    running.await.unwrap().unwrap();
}
