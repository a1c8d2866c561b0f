//! The stock Solana client for JavaScript, unmodified, under node. `use_web3` of scripts/lib.sh gets it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    path::Path,
    process::{Output, Stdio},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use k2_local::{Genesis, LocalK2, LocalK2Options};
use tokio::process::Command;

/// Runs a script of the `web3` folder against `k2`.
async fn node(k2: &LocalK2, script: &str) -> Output {
    let modules = std::env::var_os("ORCAPOOL_WEB3").expect(
        "ORCAPOOL_WEB3 is not set. It names the folder with @solana/web3.js in node_modules: run scripts/test, or in bash \
         `. scripts/lib.sh && use_cache && use_web3`",
    );
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("web3");
    let child = Command::new("node")
        .args(["--test", "--test-reporter=spec"])
        .arg(folder.join(script))
        .env("ORCAPOOL_WEB3", modules)
        .env("K2_RPC_URL", k2.rpc_url())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let ended = tokio::time::timeout(Duration::from_secs(180), child).await;
    ended
        .expect("node did not end")
        .expect("node cannot be run: it is needed for this test")
}

#[tokio::test(flavor = "multi_thread")]
async fn web3_js_works_as_with_any_cluster() {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let mut genesis = Genesis::new(i64::try_from(now).unwrap(), [7; 32]);
    genesis.slot_millis = 100;
    let mut options = LocalK2Options::new(genesis);
    options.port = 0;
    let k2 = LocalK2::start(options).await.unwrap();
    let output = node(&k2, "stock.test.mjs").await;
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{complained}");
    assert!(said.contains("pass 6"), "{said}\n{complained}");
    k2.stop().await;
}
