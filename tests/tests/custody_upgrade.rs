//! From one key to 2-of-3 with funds in it: announced on K2, activated after its delay, swept once, and the old key is useless.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::PathBuf;

use bitcoin::{Address, Network};
use orcapool_tests::custodians::{
    COORDINATOR, CUSTODIANS, Member, has, path, read, rule, wait_for,
};
use orcapool_tests::devnet::{Devnet, HOLDER, books_balance};
use serde_json::{Value, json};

const AMOUNT: u64 = 2_000_000;
const MAX_FEE: u64 = 100_000;
/// Blocks after which a coinbase can be spent, and minted.
const MATURITY: u32 = 100;
/// An address that is nobody's here.
const STRANGER: &str = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080";
/// A node wallet outside the pool.
const HOLDERS_WALLET: &str = "/wallet/holder";

/// The old wallet, of the first custodian's key alone, and the new one.
struct Upgrade {
    devnet: Devnet,
    old: Member,
    old_custodian: Member,
    new: Member,
    new_custodians: [Member; 3],
}

#[tokio::test(flavor = "multi_thread")]
async fn from_one_key_to_two_of_three_with_funds_in_it() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut devnet = Devnet::start(&["--single-sig"]).await;
    devnet.freeze();
    devnet.fund(HOLDER).await;
    devnet.bitcoin("", "createwallet", json!(["holder"])).await;
    let members = CUSTODIANS.map(|name| devnet.member(name));
    let new = |member: &Member| member.with_wallet(member.file("new"));
    let old = devnet.member(COORDINATOR);
    let upgrade = Upgrade {
        new: new(&old),
        new_custodians: [0, 1, 2].map(|n| new(&members[n])),
        old_custodian: members[0].clone(),
        old,
        devnet,
    };
    upgrade.mature().await;
    upgrade.one_key_pays_alone().await;
    let address = upgrade.a_wallet_of_three_keys_is_made();
    let before = upgrade.redeem().await;
    upgrade.its_script_counts_after_the_delay(&address);
    upgrade.coinbases_to_both_are_minted(&address).await;
    upgrade.of_two_wallets_one_pays(before).await;
    let fee = upgrade.one_sweep_moves_everything(&address).await;
    upgrade
        .the_new_custodians_pay_and_the_old_key_cannot()
        .await;
    upgrade
        .the_fee_of_the_sweep_is_the_pools(fee, &address)
        .await;
}

impl Upgrade {
    /// All coinbases there are can be spent, and are minted.
    async fn mature(&self) {
        self.devnet.mine(MATURITY).await;
        self.devnet.relay();
        let _ = self.devnet.run("payer", &["mint"]);
        books_balance(&self.devnet.status());
    }

    async fn redeem(&self) -> u64 {
        let to = self
            .devnet
            .bitcoin(HOLDERS_WALLET, "getnewaddress", json!([]))
            .await;
        self.devnet.redeem(AMOUNT, MAX_FEE, to.as_str().unwrap())
    }

    /// Plans, reviews, signs, sends: one command.
    async fn one_key_pays_alone(&self) {
        let id = self.redeem().await;
        self.the_old_key_pays();
        let batch = self.old.settle(&self.devnet, id).await;
        assert_eq!(batch["batch"], 2, "the first one was the devnet's: {batch}");
        books_balance(&self.devnet.status());
    }

    fn the_old_key_pays(&self) {
        let (key, identity) = (
            self.old_custodian.file("custody.key"),
            self.old_custodian.file("identity.txt"),
        );
        let key = ["--key", path(&key), "--identity", path(&identity)];
        wait_for("the payment is sent", || {
            let said = self.old.turn(&key).is(0);
            if has(&said, "sent") {
                Ok(())
            } else {
                Err(said)
            }
        });
    }

    /// Both have coins and are in force, none sees what the other one does: what was requested before the rotation is the old
    /// one's to pay, and what came later is the new one's.
    async fn of_two_wallets_one_pays(&self, before: u64) {
        let after = self.redeem().await;
        let file = self.new.plan();
        self.the_old_key_pays();
        let [one, _, three] = &self.new_custodians;
        self.new.sign_and_send(&[one, three], &file);
        let old = self.old.settle(&self.devnet, before).await;
        let new = self.new.settle(&self.devnet, after).await;
        assert_eq!(old["redemptions"], json!([before]));
        assert_eq!(new["redemptions"], json!([after]));
        assert!(self.old.batches_of(after).is_empty());
        assert!(self.new.batches_of(before).is_empty());
        books_balance(&self.devnet.status());
    }

    /// Each of them by itself, and all come to one address.
    fn a_wallet_of_three_keys_is_made(&self) -> Address {
        let keys = CUSTODIANS.map(|name| {
            let key = self.devnet.member(name).file("custody.key");
            format!("@{}", path(&key))
        });
        let [a, b, c] = &keys;
        let addresses: Vec<String> = [&self.new]
            .into_iter()
            .chain(&self.new_custodians)
            .map(|member| {
                let made = member
                    .run(&["wallet", "create", "--multisig", "2", a, b, c])
                    .is(0);
                assert_eq!(made[0]["threshold"], 2);
                made[0]["coinbase"]["address"].as_str().unwrap().to_owned()
            })
            .collect();
        assert!(addresses.iter().all(|address| *address == addresses[0]));
        let address: Address<_> = addresses[0].parse().unwrap();
        address.require_network(Network::Regtest).unwrap()
    }

    fn its_script_counts_after_the_delay(&self, address: &Address) {
        let to = address.to_string();
        let _ = self
            .devnet
            .run("authority", &["admin", "custody", "--propose", &to]);
        let early = self
            .devnet
            .refused("payer", &["admin", "custody", "--activate"]);
        assert!(
            early.contains("too early") || early.contains("delay"),
            "{early}"
        );
        let sweep = ["payout", "sweep", "--to", &to, "--fee-rate", "2"];
        let early = self.old.run(&sweep);
        assert_eq!(early.status, 2, "{early:?}");
        assert!(early.complained.contains("does not register"), "{early:?}");
        wait_for("the delay is over", || {
            let mut activate = self.devnet.k2("payer", &["admin", "custody", "--activate"]);
            let output = activate.output().unwrap();
            if output.status.success() {
                Ok(())
            } else {
                Err(output)
            }
        });
    }

    /// In the grace period, task nodes that were not told yet lose nothing.
    async fn coinbases_to_both_are_minted(&self, new: &Address) {
        let shown = self.old.run(&["wallet", "show"]).is(0);
        let old = shown[0]["coinbase"]["address"].clone();
        let before = self.devnet.total("proved_in");
        for address in [json!(new), old] {
            self.devnet
                .bitcoin("", "generatetoaddress", json!([2, address]))
                .await;
        }
        self.mature().await;
        let coins = |member: &Member| -> Vec<u64> {
            let coins = member.run(&["wallet", "utxos"]).is(0);
            let last = coins
                .iter()
                .filter(|coin| coin["confirmations"].as_u64() < Some(105));
            last.map(|coin| coin["value"].as_u64().unwrap()).collect()
        };
        let (old, new) = (coins(&self.old), coins(&self.new));
        assert_eq!((old.len(), new.len()), (2, 2));
        let found: u64 = old.iter().chain(&new).sum();
        assert_eq!(self.devnet.total("proved_in"), before + found);
    }

    /// What it costs, in satoshis.
    async fn one_sweep_moves_everything(&self, to: &Address) -> u64 {
        let held = |member: &Member| -> u64 {
            let coins = member.run(&["wallet", "utxos"]).is(0);
            let values = coins.iter().map(|coin| coin["value"].as_u64().unwrap());
            values.sum()
        };
        let before = held(&self.old) + held(&self.new);
        self.a_sweep_elsewhere_is_refused(to);
        let custodian = &self.old_custodian;
        let fee = self
            .old
            .sweep(&self.devnet, &to.script_pubkey(), &[custodian])
            .await;
        assert_eq!(held(&self.new), before - fee);
        assert!(self.old.run(&["wallet", "utxos"]).is(0).is_empty());
        assert!(custodian.run(&["wallet", "utxos"]).is(0).is_empty());
        fee
    }

    fn a_sweep_elsewhere_is_refused(&self, to: &Address) {
        let sweep = [
            "payout",
            "sweep",
            "--to",
            &to.to_string(),
            "--fee-rate",
            "2",
        ];
        let file = wait_for("the old wallet knows the new script", || {
            let answer = self.old.run(&sweep);
            self.old.handed_out().ok_or(answer)
        });
        let mut forged = read(&file);
        let stranger: Address<_> = STRANGER.parse().unwrap();
        forged.unsigned_tx.output[0].script_pubkey = stranger.assume_checked().script_pubkey();
        let (file, out) = (self.scratch("forged.psbt"), self.scratch("signed.psbt"));
        fs::write(&file, forged.serialize()).unwrap();
        let said = self.old_custodian.sign(&file, &out).is(1);
        assert_eq!(rule(&said), Some("unregistered-sweep"));
        assert!(!out.exists());
        // K2 registers where it goes; whether that is the next wallet, its people have to say.
        let file = self.old.handed_out().unwrap();
        for named in [&[][..], &["--sweep-to", STRANGER]] {
            let said = self.old_custodian.sign_with(&file, &out, named).is(1);
            let said = said.last().unwrap()["note"].as_str().unwrap();
            assert!(said.starts_with("not signed: "), "{said}");
            assert!(!out.exists());
        }
        // The one that was planned is withdrawn.
        let batches = self.old.batches();
        let batch = batches.last().unwrap()["batch"].to_string();
        let _ = self.old.run(&["payout", "cancel", &batch]).is(0);
        assert!(self.old.handed_out().is_none());
    }

    async fn the_new_custodians_pay_and_the_old_key_cannot(&self) {
        self.devnet.relay();
        let id = self.redeem().await;
        let file = self.new.plan();
        let out = self.scratch("by-the-old-key.psbt");
        let said = self.old_custodian.sign(&file, &out).is(1);
        assert_eq!(rule(&said), Some("foreign-input"));
        assert!(!out.exists());
        let said = self.old.run(&["payout", "plan", "--fee-rate", "2"]).is(0);
        assert_eq!(said[0]["redemptions"], json!([]), "{said:?}");
        assert_eq!(said[0]["waiting"], json!([]), "{said:?}");
        let answer = self
            .old
            .run(&["payout", "sweep", "--to-registered", "--fee-rate", "2"]);
        assert_eq!(answer.status, 2, "{answer:?}");
        assert!(self.old.handed_out().is_none());

        let [_, two, three] = &self.new_custodians;
        self.new.sign_and_send(&[two, three], &file);
        let _ = self.new.settle(&self.devnet, id).await;
        books_balance(&self.devnet.status());
    }

    /// Nobody redeems it, nobody burned for it: the pool is short of it until somebody pays it in.
    async fn the_fee_of_the_sweep_is_the_pools(&self, fee: u64, address: &Address) {
        let shown = self.old.run(&["books", "show"]).is(0);
        let account = |name: &str| {
            let found = shown.iter().find(|account| account["account"] == name);
            found.unwrap()["sats"].as_u64().unwrap()
        };
        assert_eq!(account("own_fees"), fee);
        assert_eq!(account("unexplained"), 0);

        let (short, proof) = self.verified("short");
        assert_eq!(short.0, 1, "{:#}", short.1);
        assert_eq!(short.1["now"]["missing"], fee, "{:#}", short.1);
        let words = self
            .new
            .command(&["reserves", "verify", path(&proof)])
            .output()
            .unwrap();
        let words = String::from_utf8(words.stdout).unwrap();
        assert!(words.contains(&fee.to_string()), "{words}");

        let btc = bitcoin::Amount::from_sat(fee).to_btc();
        self.devnet
            .bitcoin(
                HOLDERS_WALLET,
                "sendtoaddress",
                json!({ "address": address, "amount": btc, "fee_rate": 2 }),
            )
            .await;
        self.devnet.mine(1).await;
        let (whole, _) = self.verified("whole");
        assert_eq!(whole.0, 0, "{:#}", whole.1);
        assert_eq!(whole.1["now"]["ratio_ppm"], 1_000_000, "{:#}", whole.1);
    }

    /// A proof of the new wallet's reserves: exit status and what a verifier says.
    fn verified(&self, name: &str) -> ((i32, Value), PathBuf) {
        let [one, two, _] = &self.new_custodians;
        let proof = self.new.prove_reserves(&[one, two], &self.scratch(name));
        let answer = self.new.run(&["reserves", "verify", path(&proof)]);
        let said = answer.is(answer.status).remove(0);
        ((answer.status, said), proof)
    }

    fn scratch(&self, name: &str) -> PathBuf {
        let folder = self.devnet.dir.join("scratch");
        fs::create_dir_all(&folder).unwrap();
        folder.join(name)
    }
}
