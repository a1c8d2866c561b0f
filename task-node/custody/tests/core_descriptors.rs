//! Bitcoin Core's own wallet as a second opinion: descriptors, addresses, balances, and a signature beside ours.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::ops::ControlFlow;
use std::str::FromStr as _;

use bdk_bitcoind_rpc::bitcoincore_rpc::{Client, RpcApi as _};
use bdk_wallet::KeychainKind;
use bip39::Mnemonic;
use bitcoin::bip32::{DerivationPath, Xpriv};
use bitcoin::consensus::encode::serialize_hex;
use bitcoin::secp256k1::Secp256k1;
use bitcoin::{Amount, Network, NetworkKind, Psbt, TxOut};
use miniscript::psbt::PsbtExt as _;
use orcapool_custody::keys::{CustodianKey, Purpose};
use orcapool_custody::watch::{Login, Source, Watch};
use orcapool_custody::{Cosigner, Setup};
use serde_json::{Value, json};
use support::custodian::psbt;
use support::regtest::{core_pays, elsewhere};
use support::{Regtest, Spendable};

const KEYCHAINS: [KeychainKind; 2] = [KeychainKind::External, KeychainKind::Internal];

/// The same keys for the same number.
fn key(number: u8) -> CustodianKey {
    let mut entropy = [number; 32];
    entropy[0] = 255;
    CustodianKey::generate(NetworkKind::Test, &entropy).unwrap()
}

fn multisig_cosigners() -> [Cosigner; 3] {
    [1, 2, 3].map(|number| key(number).cosigner(Purpose::Multisig).clone())
}

fn setups() -> [Setup; 2] {
    [
        Setup::single(Network::Regtest, key(1).cosigner(Purpose::Single)).unwrap(),
        Setup::multisig(Network::Regtest, 2, &multisig_cosigners()).unwrap(),
    ]
}

/// A descriptor as Core writes it, with its checksum.
fn with_checksum(node: &Regtest, descriptor: &str) -> String {
    let info: Value = node.call("getdescriptorinfo", &[json!(descriptor)]);
    format!("{descriptor}#{}", info["checksum"].as_str().unwrap())
}

fn import(wallet: &Client, requests: &Value) {
    let answers: Vec<Value> = wallet
        .call("importdescriptors", std::slice::from_ref(requests))
        .unwrap();
    for answer in answers {
        assert_eq!(answer["success"], true, "{answer}");
    }
}

#[test]
fn core_agrees_on_checksums_and_addresses() {
    let node = Regtest::start();
    for setup in setups() {
        // Both keychains in one text, as custodians compare it.
        let text = setup.to_string();
        let (bare, checksum) = text.split_once('#').unwrap();
        let info: Value = node.call("getdescriptorinfo", &[json!(bare)]);
        assert_eq!(info["checksum"], checksum, "{text}");
        assert_eq!(info["isrange"], true);
        assert_eq!(info["hasprivatekeys"], false);
        let both: Vec<Vec<String>> = node.call("deriveaddresses", &[json!(text), json!([0, 19])]);
        assert_eq!(both.len(), 2);
        for (keychain, expected) in KEYCHAINS.into_iter().zip(&both) {
            // Each alone, with apostrophes, as the library writes it.
            let alone = setup.keychain(keychain).to_string();
            let derived: Vec<String> =
                node.call("deriveaddresses", &[json!(alone), json!([0, 19])]);
            assert_eq!(&derived, expected);
            let ours = (0..20).map(|index| setup.address(keychain, index).unwrap().to_string());
            assert_eq!(derived, ours.collect::<Vec<_>>());
        }
        // Core refuses what we refuse: one wrong character.
        let wrong = text
            .replacen("wsh(", "Wsh(", 1)
            .replacen("wpkh(", "wpkH(", 1);
        let refused = node.try_call::<Value>("getdescriptorinfo", &[json!(wrong)]);
        assert!(refused.is_err());
    }
}

#[test]
fn core_agrees_on_balances() {
    let node = Regtest::start();
    let rich = node.rich_core_wallet("rich", 2);
    for (name, setup) in ["single", "multisig"].into_iter().zip(setups()) {
        let core = node.core_wallet(name, false);
        let request = |keychain: KeychainKind| {
            json!({
                "desc": setup.keychain(keychain).to_string(), "timestamp": 0, "range": [0, 50],
                "internal": keychain == KeychainKind::Internal, "active": true,
            })
        };
        import(&core, &json!(KEYCHAINS.map(request)));
        let mut watch = Watch::create(&node.dir().join(name), &setup, 0).unwrap();
        let source = Source::Bitcoind {
            url: node.url(),
            login: Login::CookieFile(node.cookie_file()),
        };
        let mut compare = |expected: Amount| {
            let mut go_on = |_| ControlFlow::Continue(());
            watch
                .sync(&source, 1_800_000_000, &mut go_on)
                .expect("the node answers");
            let balances = watch.balances();
            let ours = [balances.coinbases, balances.change];
            let sum = |part: fn(&orcapool_custody::watch::Balance) -> Amount| -> Amount {
                ours.iter().map(part).sum()
            };
            let core: Value = core.call("getbalances", &[]).unwrap();
            let core =
                |field: &str| Amount::from_btc(core["mine"][field].as_f64().unwrap()).unwrap();
            assert_eq!(sum(|part| part.immature), core("immature"), "{name}");
            assert_eq!(
                sum(|part| part.mature) + sum(|part| part.arriving),
                core("trusted") + core("untrusted_pending"),
                "{name}"
            );
            let all = core("immature") + core("trusted") + core("untrusted_pending");
            assert_eq!(all, expected, "{name}");
        };
        compare(Amount::ZERO);

        let coinbase_script = setup.coinbase_script().unwrap();
        let blocks = node.mine(2, &coinbase_script);
        let reward = |hash: &bitcoin::BlockHash| node.block(*hash).txdata[0].output[0].value;
        let rewards: Vec<Amount> = blocks.iter().map(reward).collect();
        let all: Amount = rewards.iter().copied().sum();
        compare(all);
        node.mine_elsewhere(110);
        compare(all);

        // Somebody's deposit to change; before it confirms, the mempool is not searched for it.
        let change = setup.script(KeychainKind::Internal, 3).unwrap();
        let deposit = Amount::from_sat(123_456);
        core_pays(&rich, &change, deposit);
        let block = node.mine(1, &coinbase_script)[0];
        let all = all + deposit + reward(&block);
        compare(all);

        // One of our own: a matured coinbase goes, its change comes back.
        let coinbase = node.block(blocks[0]).txdata.remove(0);
        let coin = Spendable::of(&setup, &coinbase);
        let fee = Amount::from_sat(1_000);
        let outputs = vec![
            TxOut {
                value: Amount::from_sat(50_000_000),
                script_pubkey: elsewhere(),
            },
            TxOut {
                value: rewards[0] - Amount::from_sat(50_000_000) - fee,
                script_pubkey: setup.script(KeychainKind::Internal, 4).unwrap(),
            },
        ];
        let mut psbt = psbt(&setup, std::slice::from_ref(&coin), outputs);
        for number in 1..=u8::try_from(setup.threshold()).unwrap() {
            assert_eq!(key(number).sign(&mut psbt).unwrap(), 1);
        }
        let secp = Secp256k1::new();
        psbt.finalize_mut(&secp).unwrap();
        node.send(&psbt.extract(&secp).unwrap());
        let all = all - Amount::from_sat(50_000_000) - fee;
        compare(all);
        node.mine_elsewhere(1);
        compare(all);
    }
}

/// Core holds one key of three, as a hardware wallet or another program might.
#[test]
fn core_signs_one_key_of_three_beside_ours() {
    let node = Regtest::start();
    let [_, setup] = setups();
    let core = node.core_wallet("custodian-3", true);
    let [first, second, third] = multisig_cosigners();
    // What leaves our key never holds an xprv: Core's copy is made from the words, by the libraries alone.
    let secp = Secp256k1::new();
    let seed = Mnemonic::from_str(&key(3).words()).unwrap().to_seed("");
    let path = DerivationPath::from_str("48h/1h/0h/2h").unwrap();
    let account = Xpriv::new_master(NetworkKind::Test, &seed)
        .unwrap()
        .derive_priv(&secp, &path)
        .unwrap();
    let third = third
        .to_string()
        .replace(&third.xpub.to_string(), &account.to_string());
    let requests = [0, 1].map(|keychain| {
        let keys = [&first.to_string(), &second.to_string(), &third]
            .map(|key| format!("{key}/{keychain}/*"));
        let descriptor = format!("wsh(sortedmulti(2,{}))", keys.join(","));
        json!({
            "desc": with_checksum(&node, &descriptor), "timestamp": 0, "range": [0, 20],
            "internal": keychain == 1, "active": true,
        })
    });
    import(&core, &json!(requests));

    // A coinbase and a coin of change.
    let hash = node.mine(1, &setup.coinbase_script().unwrap())[0];
    let rich = node.rich_core_wallet("rich", 1);
    let change = setup.script(KeychainKind::Internal, 5).unwrap();
    let paid = core_pays(&rich, &change, Amount::from_sat(200_000));
    let block = node.mine_elsewhere(1)[0];
    let coinbase = node.block(hash).txdata.remove(0);
    let deposit = node
        .block(block)
        .txdata
        .into_iter()
        .find(|transaction| transaction.compute_txid() == paid)
        .unwrap();
    let coins = [coinbase, deposit].map(|funding| Spendable::of(&setup, &funding));
    let output = TxOut {
        value: coins.iter().map(|coin| coin.txout().value).sum::<Amount>()
            - Amount::from_sat(2_000),
        script_pubkey: elsewhere(),
    };
    let unsigned = psbt(&setup, &coins, vec![output]);

    let core_signs = |psbt: &Psbt| -> Psbt {
        let answer: Value = core
            .call(
                "walletprocesspsbt",
                &[
                    json!(psbt.to_string()),
                    json!(true),
                    json!("ALL"),
                    json!(true),
                    json!(false),
                ],
            )
            .unwrap();
        Psbt::from_str(answer["psbt"].as_str().unwrap()).unwrap()
    };
    let signatures = |psbt: &Psbt| -> Vec<usize> {
        let inputs = psbt.inputs.iter();
        inputs.map(|input| input.partial_sigs.len()).collect()
    };
    let accepted = |mut psbt: Psbt| {
        assert_eq!(signatures(&psbt), [2, 2]);
        psbt.finalize_mut(&secp).unwrap();
        let transaction = psbt.extract(&secp).unwrap();
        let answer: Value = node.call("testmempoolaccept", &[json!([serialize_hex(&transaction)])]);
        assert_eq!(answer[0]["allowed"], true, "{answer}");
        transaction
    };

    // Side by side, then combined.
    let by_core = core_signs(&unsigned);
    assert_eq!(signatures(&by_core), [1, 1]);
    for number in [1, 2] {
        let mut ours = unsigned.clone();
        assert_eq!(key(number).sign(&mut ours).unwrap(), 2);
        ours.combine(by_core.clone()).unwrap();
        accepted(ours);
    }
    // One after the other, in both orders.
    let mut ours_last = by_core;
    assert_eq!(key(1).sign(&mut ours_last).unwrap(), 2);
    accepted(ours_last);
    let mut ours_first = unsigned.clone();
    assert_eq!(key(2).sign(&mut ours_first).unwrap(), 2);
    let both = core_signs(&ours_first);

    // Core finalizes the same transaction as we do.
    let answer: Value = node.call("finalizepsbt", &[json!(both.to_string())]);
    assert_eq!(answer["complete"], true);
    let transaction = accepted(both);
    assert_eq!(answer["hex"], serialize_hex(&transaction));
    node.send(&transaction);
    node.mine_elsewhere(1);

    // One signature of three is not enough for anybody.
    let mut alone = unsigned;
    key(1).sign(&mut alone).unwrap();
    assert!(alone.clone().finalize_mut(&secp).is_err());
    let answer: Value = node.call("finalizepsbt", &[json!(alone.to_string())]);
    assert_eq!(answer["complete"], false);
}
