//! `orcapool devnet` as a user runs it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use orcapool_tests::orcapool_binary;
use serde_json::Value;

#[test]
fn three_nodes_play_whole_rounds_and_agree() {
    let output = Command::new(orcapool_binary().unwrap())
        .args(["devnet", "--rounds", "3", "--round-seconds", "5", "--json"])
        .output()
        .unwrap();
    let progress = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{progress}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["ok"], true, "{report:#}\n{progress}");
    let rounds = report["rounds"].as_array().unwrap();
    assert_eq!(rounds.len(), 3);
    for round in rounds {
        assert_eq!(round["audits"], 6, "{round}");
        assert_eq!(round["audits_true"], 6, "{round}");
        assert_eq!(round["accepted"], 3);
        assert_eq!(round["lists_identical"], true);
        let sum: i64 = round["distribution"]
            .as_object()
            .unwrap()
            .values()
            .map(|amount| amount.as_i64().unwrap())
            .sum();
        assert_eq!(sum, 1_000_000_000);
    }
    assert!(report["pool_blocks"].as_u64().unwrap() > 0);
    // Everybody holds what it earned, in tokens that Bitcoin's proof of work backs.
    let k2 = &report["k2"];
    let number = |value: &Value| value.as_u64().unwrap();
    assert!(number(&k2["supply"]) > 0);
    assert_eq!(
        number(&k2["supply"]),
        number(&k2["proved"]) - number(&k2["burned"])
    );
    assert_eq!(k2["finalized_round"], 2);
    let earned = report["earned"].as_array().unwrap();
    assert_eq!(earned.len(), 9);
    let held: u64 = earned.iter().map(|one| number(&one["wrapped_sats"])).sum();
    // And one of them was paid in BTC by two of three custodians.
    let paid = &k2["redemption"];
    let redeemed = number(&paid["amount_sats"]);
    assert_eq!(
        number(&paid["settled_sats"]) + number(&paid["fee_sats"]),
        redeemed
    );
    assert_eq!(number(&k2["burned"]), redeemed);
    assert!(number(&paid["reserves_sats"]) >= number(&k2["supply"]));
    assert_eq!(held + redeemed, number(&k2["finalized_total"]));
    assert_eq!(held + number(&k2["vault"]), number(&k2["supply"]));
    for round in rounds {
        assert!(number(&round["payment"]["minted"]) > 0, "{round}");
        assert_eq!(round["payment"]["identical"], true);
    }
    assert!(progress.contains("round 2 of 3"), "{progress}");
}

#[test]
fn ctrl_c_stops_every_process() {
    let dir = tempfile::tempdir().unwrap();
    let mut devnet = Command::new(orcapool_binary().unwrap())
        .args([
            "devnet",
            "--keep",
            "--rounds",
            "1",
            "--round-seconds",
            "600",
            "--dir",
        ])
        .arg(dir.path().join("devnet"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mark = dir.path().join("devnet").display().to_string();
    let deadline = Instant::now() + Duration::from_secs(60);
    // bitcoind and three nodes name the directory on their command lines.
    while processes(&mark) < 5 {
        assert!(Instant::now() < deadline, "the devnet did not start");
        assert!(devnet.try_wait().unwrap().is_none(), "the devnet ended");
        std::thread::sleep(Duration::from_millis(100));
    }
    let interrupted = Command::new("kill")
        .args(["-INT", &devnet.id().to_string()])
        .status()
        .unwrap();
    assert!(interrupted.success());
    devnet.wait().unwrap();
    assert_eq!(processes(&mark), 0, "something still runs");
}

/// How many processes have `mark` on their command line.
fn processes(mark: &str) -> usize {
    std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(Result::ok)
        .filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok())
        .filter(|line| String::from_utf8_lossy(line).contains(mark))
        .count()
}
