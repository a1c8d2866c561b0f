//! The way of the money on K2 as its users go it: a devnet that pays, a stock wallet, the commands `orcapool k2 ...`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::process::{Child, Command, Stdio};

use k2_interface::bitcoin::RedeemIds;
use orcapool::devnet::orca::OrcaNode;
use orcapool_tests::devnet::{Devnet, HOLDER, books_balance, until};
use serde_json::json;
use work::{RoundNumber, TaskId};

/// A process that is killed when the test ends.
struct Keeper(Child);

impl Drop for Keeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn miners_are_paid_spend_and_redeem() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let devnet = Devnet::start(&[]).await;
    let status = devnet.status();
    books_balance(&status);
    assert_eq!(status["config"]["rewards"]["round"], 0, "{status:#}");
    assert_eq!(status["operators"].as_array().unwrap().len(), 3);

    a_stock_wallet_reads_and_transfers(&devnet);
    what_is_claimed_is_claimed_once(&devnet);
    a_redemption_is_paid_and_settled(&devnet).await;
    books_balance(&devnet.status());
    // Before time is spent otherwise: the nodes go on mining, and keepers have to mint all of it.
    keepers_see_the_next_round_through(&devnet).await;
    books_balance(&devnet.status());
    a_redemption_nobody_pays_is_refunded(&devnet).await;
    books_balance(&devnet.status());
}

/// `@solana/web3.js` and `@solana/spl-token`, unmodified.
fn a_stock_wallet_reads_and_transfers(devnet: &Devnet) {
    let modules = std::env::var_os("ORCAPOOL_WEB3")
        .expect("ORCAPOOL_WEB3 is not set: run scripts/test, which gets @solana/web3.js");
    let script =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../k2-program/local/web3/wrapped.test.mjs");
    let output = Command::new("node")
        .args(["--test", "--test-reporter=spec"])
        .arg(script)
        .env("ORCAPOOL_WEB3", modules)
        .env("K2_RPC_URL", &devnet.rpc)
        .env("WRAPPED_MINT", &devnet.mint)
        .env("HOLDER_KEYPAIR", devnet.keypair(HOLDER))
        .stdin(Stdio::null())
        .output()
        .expect("node cannot be run: it is needed for this test");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("pass 2"), "{said}");
}

fn what_is_claimed_is_claimed_once(devnet: &Devnet) {
    let claimed = devnet.total("claimed");
    let again = devnet.run(HOLDER, &["claim"]);
    assert_eq!(again[0]["amount"], 0, "{again:?}");
    assert_eq!(devnet.total("claimed"), claimed);
    let other = devnet.refused("authority", &["claim"]);
    assert!(
        other.contains("has no entry in the list of round 0"),
        "{other}"
    );
}

async fn a_redemption_is_paid_and_settled(devnet: &Devnet) {
    devnet.fund(HOLDER).await;
    // The devnet's own redemptions.
    let (redemptions, burned) = (devnet.total("redemptions"), devnet.total("burned"));
    devnet.bitcoin("", "createwallet", json!(["custody"])).await;
    let change = devnet
        .bitcoin("/wallet/custody", "getnewaddress", json!([]))
        .await;
    devnet
        .bitcoin("", "generatetoaddress", json!([101, change]))
        .await;
    let to = devnet
        .bitcoin("/wallet/custody", "getnewaddress", json!([]))
        .await;
    let request = [
        "redeem",
        "--amount",
        "2000000",
        "--max-fee",
        "5000",
        "--to",
        to.as_str().unwrap(),
    ];

    // A redemption's time is counted from the relay's tip.
    devnet.relay();
    // What would happen is shown, and does not happen.
    let mut dry = request.to_vec();
    dry.push("--dry-run");
    let shown = devnet.run(HOLDER, &dry).remove(0);
    assert!(shown["would"]["failure"].is_null(), "{shown:#}");
    assert!(shown["would"]["units"].as_u64().unwrap() > 0);
    assert_eq!(devnet.total("redemptions"), redemptions);

    let id = devnet.run(HOLDER, &request)[0]["redemption"]
        .as_u64()
        .unwrap();
    assert_eq!(devnet.total("escrowed"), 2_000_000);
    let early = devnet.refused(HOLDER, &["redeem", "--refund", &id.to_string()]);
    assert!(early.contains("not expired"), "{early}");

    // Custody pays, and names the redemption.
    let script = RedeemIds::encode(&[id]).unwrap();
    let data = hex::encode(&script[2..]);
    let sent = devnet
        .bitcoin(
            "/wallet/custody",
            "send",
            json!([[{ to.as_str().unwrap(): 0.01995 }, { "data": data }], null, "unset", 2]),
        )
        .await;
    devnet.mine(8).await;
    devnet.relay();
    let settled = devnet.run("payer", &["settle"]);
    assert_eq!(settled[0][0]["txid"], sent["txid"], "{settled:?}");
    assert_eq!(devnet.total("burned"), burned + 2_000_000);
    assert_eq!(devnet.total("escrowed"), 0);
    // Nothing is left to settle, and the rent comes back.
    assert_eq!(devnet.run("payer", &["settle"])[0], json!([]));
    let closed = devnet.run(HOLDER, &["close"]);
    let action = format!("close redemption {id}");
    assert!(
        closed.iter().any(|closed| closed["action"] == action),
        "{closed:?}"
    );
}

async fn a_redemption_nobody_pays_is_refunded(devnet: &Devnet) {
    let to = devnet
        .bitcoin("/wallet/custody", "getnewaddress", json!([]))
        .await;
    let request = ["redeem", "--amount", "50000", "--to", to.as_str().unwrap()];
    let id = devnet.run(HOLDER, &request)[0]["redemption"].to_string();
    devnet.mine(440).await;
    devnet.relay();
    let _ = devnet.run(HOLDER, &["redeem", "--refund", &id]);
    assert_eq!(devnet.total("escrowed"), 0);
    let again = devnet.refused(HOLDER, &["redeem", "--refund", &id]);
    assert!(again.contains("settled or refunded"), "{again}");
}

/// Nobody types a command: three operators' `orcapool k2 keep` bring the next round into force.
async fn keepers_see_the_next_round_through(devnet: &Devnet) {
    let nodes: Vec<(OrcaNode, String)> = (1..=3)
        .map(|number| {
            let name = format!("node-{number}");
            let config: toml::Table =
                toml::from_str(&std::fs::read_to_string(devnet.config(&name)).unwrap()).unwrap();
            let key = config["task"]["node"].as_str().unwrap().parse().unwrap();
            let url = format!("http://{}", config["http"]["listen"].as_str().unwrap());
            (OrcaNode::new(name, url.clone(), key).unwrap(), url)
        })
        .collect();
    let config: toml::Table =
        toml::from_str(&std::fs::read_to_string(devnet.config("node-1")).unwrap()).unwrap();
    let task: TaskId = config["task"]["id"].as_str().unwrap().parse().unwrap();
    let round = RoundNumber::new(1).unwrap();
    let mut submissions = Vec::new();
    for (node, _) in &nodes {
        node.task(round.next()).await.unwrap();
    }
    for (node, _) in &nodes {
        submissions.push(node.submission(task, round).await.unwrap());
    }
    for (node, _) in &nodes {
        node.distribution(round, 1_000, &submissions).await.unwrap();
    }
    devnet.mine(100).await;
    let log =
        |name: &str| std::fs::File::create(devnet.dir.join(format!("{name}-keep.log"))).unwrap();
    let _keepers: Vec<Keeper> = nodes
        .iter()
        .map(|(node, url)| {
            let mut command = devnet.k2(&node.name, &["keep", "--every", "1", "--node", url]);
            let command = command.stdout(Stdio::null()).stderr(log(&node.name));
            Keeper(command.spawn().unwrap())
        })
        .collect();
    until(
        "round 1 is in force (see what the keepers said)",
        || async { devnet.status()["config"]["rewards"]["round"] == 1 },
    )
    .await;
    let paid = devnet.run(HOLDER, &["claim", "--from", &nodes[1].1]);
    assert!(paid[0]["amount"].as_u64().unwrap() > 0, "{paid:?}");
}
