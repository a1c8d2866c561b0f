//! `orcapool books` as custodians meet it: a regtest node, the real program on a local K2, and coins that go where they should
//! not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod world;

use bitcoin::bip32::{DerivationPath, Xpriv, Xpub};
use bitcoin::key::CompressedPublicKey;
use bitcoin::secp256k1::Secp256k1;
use bitcoin::{
    Amount, Network, OutPoint, Psbt, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Witness,
    absolute, consensus, transaction,
};
use serde_json::{Value, json};
use world::{COINBASE, World};

/// The account `84h/1h/0h` of a key that the thief has too.
fn account() -> (Xpriv, String) {
    let secp = Secp256k1::new();
    let master = Xpriv::new_master(Network::Regtest, &[5; 32]).unwrap();
    let path: DerivationPath = "84h/1h/0h".parse().unwrap();
    let account = master.derive_priv(&secp, &path).unwrap();
    let xpub = Xpub::from_priv(&secp, &account);
    let fingerprint = master.fingerprint(&secp);
    (account, format!("[{fingerprint}/84h/1h/0h]{xpub}"))
}

/// Sends a coin of the account's first script somewhere else, for a fee of 1,000 sats.
fn spend(account: &Xpriv, coin: OutPoint, value: Amount, script: ScriptBuf) -> Transaction {
    let secp = Secp256k1::new();
    let path: DerivationPath = "0/0".parse().unwrap();
    let key = account.derive_priv(&secp, &path).unwrap();
    let public = CompressedPublicKey(key.private_key.public_key(&secp));
    let unsigned = Transaction {
        version: transaction::Version::TWO,
        lock_time: absolute::LockTime::ZERO,
        input: vec![TxIn {
            previous_output: coin,
            script_sig: ScriptBuf::new(),
            sequence: Sequence::ENABLE_RBF_NO_LOCKTIME,
            witness: Witness::new(),
        }],
        output: vec![TxOut {
            value: value - Amount::from_sat(1_000),
            script_pubkey: script,
        }],
    };
    let mut psbt = Psbt::from_unsigned_tx(unsigned).unwrap();
    psbt.inputs[0].witness_utxo = Some(TxOut {
        value,
        script_pubkey: ScriptBuf::new_p2wpkh(&public.wpubkey_hash()),
    });
    psbt.inputs[0]
        .bip32_derivation
        .insert(public.0, (account.fingerprint(&secp), path));
    psbt.sign(account, &secp).unwrap();
    let signature = psbt.inputs[0].partial_sigs.values().next().unwrap();
    psbt.inputs[0].final_script_witness = Some(Witness::p2wpkh(signature, &public.0));
    psbt.extract_tx().unwrap()
}

async fn send(world: &World, transaction: &Transaction) {
    let cookie = std::fs::read_to_string(world.bitcoind.cookie_file()).unwrap();
    let (user, password) = cookie.split_once(':').unwrap();
    let hex = consensus::encode::serialize_hex(transaction);
    let answer: Value = reqwest::Client::new()
        .post(format!("http://127.0.0.1:{}", world.bitcoind.rpc_port()))
        .basic_auth(user, Some(password))
        .json(&json!({ "id": 0, "method": "sendrawtransaction", "params": [hex] }))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(answer["error"], Value::Null, "{answer}");
}

async fn lines(world: &World, status: i32, line: &str) -> Vec<Value> {
    let said = world.exits(status, &format!("{line} --json")).await;
    said.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

async fn sats(world: &World, account: &str) -> i64 {
    let accounts = lines(world, 0, "books show --wallet %vault").await;
    let found = accounts.iter().find(|view| view["account"] == account);
    found.unwrap()["sats"].as_i64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_books_agree_with_the_real_program_and_name_what_does_not() {
    let coinbase = i64::try_from(COINBASE).unwrap();
    let (account, xpub) = account();
    let world = World::start().await;
    world
        .done(&format!(
            "wallet create --wallet %vault --birthday 0 --single {xpub}"
        ))
        .await;
    let (address, script) = world.script_of("vault").await;
    world.mine(2, &script).await;
    world.mine(100, &World::elsewhere()).await;
    world
        .done(&format!(
            "k2 init --custody {address} --checkpoint 0 --challenge-slots 1 --mint-horizon 300"
        ))
        .await;
    world.done("k2 relay").await;
    world.finalized().await;

    world.done("books check --wallet %vault").await;
    assert_eq!(sats(&world, "mature").await, 2 * coinbase);
    assert_eq!(sats(&world, "unminted").await, 2 * coinbase);
    world.done("k2 mint").await;
    world.finalized().await;
    world.done("books check --wallet %vault").await;
    assert_eq!(sats(&world, "unminted").await, 0);
    assert_eq!(sats(&world, "vault").await, 2 * coinbase);
    assert_eq!(sats(&world, "elsewhere").await, 0);
    let minted = lines(&world, 0, "books entries --wallet %vault --account vault").await;
    assert_eq!(minted.len(), 2);
    assert_eq!(minted[0]["event"]["step"], "minted");

    // Told again nothing is booked again, and nobody has to be asked for what is written.
    let all = lines(&world, 0, "books entries --wallet %vault").await;
    let offline = lines(&world, 0, "books entries --wallet %vault --offline").await;
    assert_eq!(all, offline);
    let shown = world.done("books show --wallet %vault --offline").await;
    assert!(shown.contains("unexplained"), "{shown}");
    let refused = world
        .exits(2, "books entries --wallet %vault --account vaults")
        .await;
    assert!(
        refused.contains("there is no account \"vaults\""),
        "{refused}"
    );

    // Whoever has the key takes a coin.
    let entry = &minted[0]["event"]["outpoint"];
    let coin: OutPoint = entry.as_str().unwrap().parse().unwrap();
    let theft = spend(
        &account,
        coin,
        Amount::from_sat(COINBASE),
        World::elsewhere(),
    );
    send(&world, &theft).await;
    world.mine(1, &World::elsewhere()).await;
    let checks = lines(&world, 1, "books check --wallet %vault").await;
    let failing: Vec<&str> = checks
        .iter()
        .filter(|check| check["holds"] == false)
        .map(|check| check["check"].as_str().unwrap())
        .collect();
    assert_eq!(failing, ["unexplained", "backing"]);
    let said = world.exits(1, "books check --wallet %vault").await;
    assert!(said.contains("NO  unexplained"), "{said}");
    let found = lines(
        &world,
        0,
        "books entries --wallet %vault --account unexplained",
    )
    .await;
    assert_eq!(found[0]["event"]["txid"], theft.compute_txid().to_string());

    world.k2.stop().await;
    world.bitcoind.stop().await.unwrap();
}
