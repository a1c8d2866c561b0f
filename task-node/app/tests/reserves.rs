//! `orcapool reserves` as custodians and the public meet it: a regtest node, the real program on a local K2, files that go
//! from hand to hand.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod world;

use std::path::PathBuf;

use world::{COINBASE, RECIPIENT, World};

impl World {
    /// A proof of a wallet, signed with these keys.
    async fn prove(&self, wallet: &str, keys: &[&str], name: &str) {
        self.done(&format!(
            "reserves prove --wallet %{wallet} --out %{name}.draft"
        ))
        .await;
        let mut signed = String::new();
        for key in keys {
            self.done(&format!(
                "reserves sign %{name}.draft --wallet %{wallet} --key %{key}.key --identity %identity.txt --yes \
                 --out %{name}.{key}"
            ))
            .await;
            signed.push_str(&format!(" %{name}.{key}"));
        }
        self.done(&format!("reserves finish{signed} --out %{name}.json"))
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_goes_from_the_custodians_to_the_public() {
    let world = World::start().await;
    for key in ["alice", "bob", "carol"] {
        world
            .done(&format!(
                "keys new --network regtest --out %{key}.key --recipient {RECIPIENT}"
            ))
            .await;
    }
    world
        .done("wallet create --wallet %vault --birthday 0 --multisig 2 @%alice.key @%bob.key @%carol.key")
        .await;
    world
        .done("wallet create --wallet %small --birthday 0 --single @%alice.key")
        .await;
    let (address, vault) = world.script_of("vault").await;
    let (_, small) = world.script_of("small").await;
    world.mine(2, &vault).await;
    world.mine(1, &small).await;
    world.mine(100, &World::elsewhere()).await;
    world
        .done(&format!(
            "k2 init --custody {address} --checkpoint 0 --challenge-slots 1 --mint-horizon 300"
        ))
        .await;
    world.done("k2 relay").await;
    world.done("k2 mint").await;
    world.finalized().await;

    world.prove("vault", &["alice", "carol"], "proof").await;
    let report = world.json(0, "reserves verify %proof.json").await;
    assert_eq!(report["backed"], true);
    assert_eq!(report["now"]["supply"], COINBASE * 2);
    assert_eq!(report["now"]["reserves"], COINBASE * 2);
    assert_eq!(report["now"]["ratio_ppm"], 1_000_000);
    assert_eq!(report["scripts"][0]["registered"], true);
    assert_eq!(report["scripts"][0]["address"], address);
    let said = world.done("reserves verify %proof.json").await;
    assert!(
        said.contains("100.0000 %") && said.ends_with("backed\n"),
        "{said}"
    );
    let shown = world.json(0, "wallet show --wallet %vault").await;
    let descriptor = shown["descriptor"].as_str().unwrap();
    world
        .done(&format!(
            "reserves verify %proof.json --descriptor {descriptor}"
        ))
        .await;

    // Coins of another wallet, signed for as well, are half of what is owed.
    world.prove("small", &["alice"], "poor").await;
    let report = world.json(1, "reserves verify %poor.json").await;
    assert_eq!(report["backed"], false);
    assert_eq!(report["now"]["missing"], COINBASE);
    assert_eq!(report["now"]["ratio_ppm"], 500_000);
    assert_eq!(report["scripts"][0]["registered"], false);
    let said = world.exits(1, "reserves verify %poor.json").await;
    assert!(said.contains("NOT BACKED"), "{said}");
    let refused = world
        .json(
            1,
            &format!("reserves verify %poor.json --descriptor {descriptor}"),
        )
        .await;
    assert!(refused["refused"].as_str().unwrap().contains("descriptor"));

    // What is no proof of this pool is none, and what cannot be asked is said.
    let refused = world.json(1, "reserves verify %proof.draft").await;
    assert_eq!(refused["backed"], false);
    let altered = std::fs::read_to_string(world.path("proof.json")).unwrap();
    let altered = altered.replace("\"burned\": 0", "\"burned\": 1");
    std::fs::write(world.path("altered.json"), altered).unwrap();
    world.exits(1, "reserves verify %altered.json").await;
    let away = world
        .exits(
            2,
            "reserves verify %proof.json --esplora http://127.0.0.1:1",
        )
        .await;
    assert!(away.contains("server"), "{away}");
    world.exits(2, "reserves verify %absent.json").await;

    // A custodian signs only what its own node has, with a key of the wallet, and nothing is overwritten.
    let said = world
        .exits(
            1,
            "reserves sign %poor.draft --wallet %vault --key %bob.key --identity %identity.txt --yes --out %x",
        )
        .await;
    assert!(said.contains("coin:"), "{said}");
    let said = world
        .exits(
            1,
            "reserves sign %poor.draft --wallet %small --key %bob.key --identity %identity.txt --yes --out %x",
        )
        .await;
    assert!(said.contains("none of this wallet's"), "{said}");
    assert!(!PathBuf::from(world.path("x")).exists());
    world
        .exits(2, "reserves prove --wallet %vault --out %proof.json")
        .await;
    world
        .exits(1, "reserves finish %proof.alice --out %unfinished.json")
        .await;

    world.k2.stop().await;
    world.bitcoind.stop().await.unwrap();
}
