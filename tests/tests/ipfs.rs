//! Task nodes and a real IPFS node: bundles are pinned there, and come from there.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use content::{DagLimits, car};
use orcapool_tests::{IpfsNode, PoolOptions, TestNode, TestPool};
use serde_json::{Value, json};
use work::RoundNumber;

/// How long a bundle may take to be pinned: an attempt that meets a node that is away is made again within minutes.
const PIN_PATIENCE: Duration = Duration::from_secs(120);

/// The IPFS node alone knows the bundle, and the node that audits it asks nobody else.
#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_is_pinned_and_audited_from_there() {
    let dir = tempfile::tempdir().unwrap();
    let mut ipfs = IpfsNode::start(dir.path()).await.unwrap();
    let mut pool = TestPool::start(&PoolOptions {
        nodes: 2,
        miner_threads: 1,
        settings: vec![
            format!("ipfs.rpc={}", ipfs.rpc()),
            "content.gateways=[]".to_owned(),
        ],
        ..PoolOptions::default()
    })
    .await
    .unwrap();
    let (first, second) = (RoundNumber::ZERO, RoundNumber::ZERO.next());

    // A round is sealed, pinned, and audited from the IPFS node alone.
    let node = &pool.nodes[0];
    node.orca.task(first).await.unwrap();
    wait_for_shares(node, first).await;
    node.orca.task(second).await.unwrap();
    let submission = node.orca.submission(pool.task, first).await.unwrap();
    let cid = submission["cid"].as_str().unwrap().to_owned();
    wait_until_pinned(node, &ipfs, &cid).await;
    // It could not have it otherwise: what it holds is fetched before it is audited.
    assert!(!holds(&pool.nodes[1], &cid).await);
    assert!(pool.nodes[1].orca.audit(&submission).await.unwrap());
    assert!(holds(&pool.nodes[1], &cid).await);

    // By hand, in a folder of its own that has no block of it (scripts/image does so in containers).
    let folder = dir.path().join("by hand").display().to_string();
    let set = format!("--set=ipfs.rpc={}", ipfs.rpc());
    let mut by_hand = vec!["audit", &cid, "--json", "--data-dir", &folder, &set];
    by_hand.push("--set=content.gateways=[]");
    let (said, trouble, status) = node.cli(&by_hand).unwrap();
    assert_eq!(status, 0, "{said}{trouble}");
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&said["cid"], &said["valid"]), (&json!(cid), &json!(true)));

    // The same CAR has the same name everywhere: what the node serves imports by hand, what the IPFS node exports is read here.
    let url = format!("http://{}/ipfs/{cid}?format=car", node.http);
    let ours = reqwest::get(url).await.unwrap().bytes().await.unwrap();
    let answer = ipfs.import(ours.to_vec()).await.unwrap();
    assert_eq!(answer["Root"]["Cid"]["/"], json!(cid), "{answer}");
    let theirs = ipfs.ask("dag/export", &[("arg", &cid)]).await.unwrap();
    let exported = car::read_all(&theirs, DagLimits::default()).unwrap();
    assert_eq!(
        (exported.root.to_string(), exported.missing),
        (cid.clone(), vec![])
    );

    // `doctor` sees it.
    let doctor = [
        "doctor".to_owned(),
        format!("--set=ipfs.rpc={}", ipfs.rpc()),
    ];
    let doctor = doctor.each_ref().map(String::as_str);
    let (said, _, _) = node.cli(&doctor).unwrap();
    assert!(
        said.contains(&format!("ipfs node: {} answers", ipfs.rpc())),
        "{said}"
    );

    // While it is away, rounds are submitted all the same.
    ipfs.kill().unwrap();
    wait_for_shares(node, second).await;
    node.orca.task(second.next()).await.unwrap();
    let late = node.orca.submission(pool.task, second).await.unwrap();
    let late = late["cid"].as_str().unwrap().to_owned();
    let error = wait_for(node, |ipfs| ipfs["error"].as_str().map(str::to_owned)).await;
    assert!(error.contains("the IPFS node cannot be reached"), "{error}");
    let (said, _, _) = node.cli(&doctor).unwrap();
    assert!(said.contains("warning  ipfs node"), "{said}");

    // Whatever the task node knew of what is unpinned, it finds it again after a kill.
    let node = &mut pool.nodes[0];
    node.kill().await.unwrap();
    ipfs.start_again().await.unwrap();
    ipfs.ask("pin/rm", &[("arg", &cid)]).await.unwrap();
    let settings = [format!("ipfs.rpc={}", ipfs.rpc())];
    node.start(&settings).await.unwrap();
    for cid in [&late, &cid] {
        wait_until_pinned(node, &ipfs, cid).await;
    }
    let done = wait_for(node, |ipfs| (ipfs["waiting"] == 0).then(|| ipfs.clone())).await;
    assert_eq!((&done["pinned"], &done["error"]), (&json!(2), &Value::Null));
}

async fn wait_for_shares(node: &TestNode, round: RoundNumber) {
    loop {
        let rounds = node.orca.get("/api/rounds").await.unwrap();
        let here = rounds.as_array().unwrap().iter();
        let mut here = here.filter(|view| view["round"] == json!(round.get()));
        if here
            .next()
            .is_some_and(|view| view["shares"].as_u64() >= Some(2))
        {
            return;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn holds(node: &TestNode, cid: &str) -> bool {
    let url = format!("http://{}/ipfs/{cid}?format=raw", node.http);
    reqwest::get(url).await.unwrap().status().is_success()
}

/// Until the IPFS node itself says that it pins it.
async fn wait_until_pinned(node: &TestNode, ipfs: &IpfsNode, cid: &str) {
    let deadline = tokio::time::Instant::now() + PIN_PATIENCE;
    while ipfs
        .ask("pin/ls", &[("arg", cid), ("type", "recursive")])
        .await
        .is_err()
    {
        assert!(
            tokio::time::Instant::now() < deadline,
            "{cid} is not pinned: {}",
            node.last_words()
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Waits for something in what the node says of its IPFS node.
async fn wait_for<T>(node: &TestNode, what: impl Fn(&Value) -> Option<T>) -> T {
    let deadline = tokio::time::Instant::now() + PIN_PATIENCE;
    loop {
        let stats = node.orca.get("/api/stats").await.unwrap();
        if let Some(found) = what(&stats["ipfs"]) {
            return found;
        }
        assert!(tokio::time::Instant::now() < deadline, "{}", stats["ipfs"]);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
