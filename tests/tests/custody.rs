//! Custody as its people live it: a devnet whose coinbases a 2-of-3 holds, redemptions, and everything that can go wrong.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bitcoin::consensus::encode::deserialize_hex;
use bitcoin::psbt::Input;
use bitcoin::{
    Address, Amount, Block, Denomination, EcdsaSighashType, Network, OutPoint, Psbt, ScriptBuf,
    TxIn, Txid,
};
use custody::payment::combine;
use custody::view::named;
use k2_interface::bitcoin::RedeemIds;
use orcapool_tests::custodians::{
    COORDINATOR, CUSTODIANS, Member, has, path, psbts, read, rule, wait_for,
};
use orcapool_tests::devnet::{Devnet, HOLDER, books_balance};
use serde_json::{Value, json};

/// Blocks after which a redemption may be refunded, in a devnet.
const EXPIRY: u32 = 432;
/// What most redemptions here are worth, and what of it may go to fees.
const AMOUNT: u64 = 2_000_000;
const MAX_FEE: u64 = 100_000;
/// Node wallet of whoever redeems.
const HOLDERS_WALLET: &str = "/wallet/holder";

/// The pool's custody, its custodians in their order.
struct Custody {
    devnet: Devnet,
    coordinator: Member,
    custodians: [Member; 3],
    /// All that was paid here.
    paid: Vec<Paid>,
}

/// A redemption and its address.
#[derive(Debug, Clone)]
struct Request {
    id: u64,
    to: Address,
    amount: u64,
}

#[derive(Debug)]
struct Paid {
    id: u64,
    txid: String,
}

#[tokio::test(flavor = "multi_thread")]
async fn custody_pays_once_whatever_happens() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut custody = Custody::start().await;
    the_first_pair_signs_the_payment_and_none_of_its_forgeries(&mut custody).await;
    a_wrong_passphrase_opens_nothing(&custody);
    the_second_pair_pays_though_the_coordinator_lost_its_database(&mut custody).await;
    the_third_pair_pays_though_nodes_were_away(&mut custody).await;
    a_payment_survives_a_reorganisation(&mut custody).await;
    a_custodian_who_lost_the_journal_signs_only_what_excludes_the_forgotten(&mut custody).await;
    a_sweep_makes_one_coin_of_many(&custody).await;
    a_coordinator_restored_from_the_descriptor_adopts_what_is_in_flight(&mut custody).await;
    what_nobody_signs_is_refunded_and_never_paid(&custody).await;
    what_one_custodian_holds_back_is_taken_back_by_the_others(&custody).await;
    every_redemption_has_one_payment_on_the_chain(&custody).await;
    wallets_hold_what_core_says(&custody).await;
    what_the_pool_paid_for_itself_is_topped_up(&custody).await;
    reserves_are_proved_and_the_books_balance(&custody);
}

impl Custody {
    async fn start() -> Self {
        let mut devnet = Devnet::start(&[]).await;
        devnet.freeze();
        devnet.fund(HOLDER).await;
        devnet.bitcoin("", "createwallet", json!(["holder"])).await;
        let custody = Self {
            coordinator: devnet.member(COORDINATOR),
            custodians: CUSTODIANS.map(|name| devnet.member(name)),
            devnet,
            paid: Vec::new(),
        };
        custody.mature().await;
        custody
    }

    /// All coinbases there are can be spent, and are minted.
    async fn mature(&self) {
        self.devnet.mine(100).await;
        self.devnet.relay();
        let _ = self.devnet.run("payer", &["mint"]);
    }

    /// A holder burns, for BTC to a new address.
    async fn redeem(&self, amount: u64, max_fee: u64) -> Request {
        let to = self
            .devnet
            .bitcoin(HOLDERS_WALLET, "getnewaddress", json!([]))
            .await;
        let to = to.as_str().unwrap();
        Request {
            id: self.devnet.redeem(amount, max_fee, to),
            to: address(to),
            amount,
        }
    }

    /// The redeemers have their BTC, by Core's own wallet, less the fee, which is theirs alone; K2 has burned all of it.
    async fn settled(&mut self, requests: &[&Request]) {
        let mut batch = Value::Null;
        for request in requests {
            batch = self.coordinator.settle(&self.devnet, request.id).await;
            let txid = batch["txid"].as_str().unwrap().to_owned();
            self.paid.push(Paid {
                id: request.id,
                txid,
            });
        }
        let mut received = 0;
        for request in requests {
            let amount = self
                .devnet
                .bitcoin(
                    HOLDERS_WALLET,
                    "getreceivedbyaddress",
                    json!([request.to, 1]),
                )
                .await;
            received += sats(&amount);
        }
        let amounts: u64 = requests.iter().map(|request| request.amount).sum();
        if let Some(fee) = batch["fee_sats"].as_u64() {
            assert_eq!(received, amounts - fee, "{batch}");
        }
        assert!(received < amounts && received >= amounts - requests.len() as u64 * MAX_FEE);
        books_balance(&self.devnet.status());
    }

    /// A file of its own for what is tried.
    fn scratch(&self, name: &str) -> PathBuf {
        let folder = self.devnet.dir.join("scratch");
        fs::create_dir_all(&folder).unwrap();
        folder.join(name)
    }
}

fn address(text: &str) -> Address {
    let address: Address<_> = text.parse().unwrap();
    address.require_network(Network::Regtest).unwrap()
}

/// Core's decimal BTC.
fn sats(btc: &Value) -> u64 {
    let amount = Amount::from_str_in(&btc.to_string(), Denomination::Bitcoin).unwrap();
    amount.to_sat()
}

/// Takes a member's folder away, with everything in it, as long as `meanwhile` lasts.
async fn without<T>(member: &Member, meanwhile: impl Future<Output = T>) -> T {
    let folder = member.file("");
    let lost = folder.with_extension("lost");
    fs::rename(&folder, &lost).unwrap();
    let done = meanwhile.await;
    fs::rename(&lost, &folder).unwrap();
    done
}

// --- Pairs, and what they refuse ---

async fn the_first_pair_signs_the_payment_and_none_of_its_forgeries(custody: &mut Custody) {
    let first = custody.redeem(AMOUNT, MAX_FEE).await;
    // Whoever allows a fee above the custodians' own cap does not get one.
    let second = custody.redeem(5_000_000, 2_000_000).await;
    let [one, two, three] = custody.custodians.clone();
    let coordinator = custody.coordinator.clone();
    without(&three, async {
        let file = wait_for("both are in one transaction", || {
            let file = coordinator.plan();
            match read(&file).unsigned_tx.output.len() {
                4 => Ok(file),
                found => {
                    // The second one was not final yet when the first one was planned.
                    let batches = coordinator.batches_of(first.id);
                    let batch = batches.last().unwrap()["batch"].to_string();
                    let _ = coordinator.run(&["payout", "cancel", &batch]).is(0);
                    Err(found)
                }
            }
        });
        let good = read(&file);
        forgeries_are_refused(custody, &one, &good, (&first, &second));
        coordinator.sign_and_send(&[&one, &two], &file);
        assert!(coordinator.handed_out().is_none());

        // In a block, but not burned on K2 yet: neither the same nor another transaction may pay it.
        custody.devnet.mine(1).await;
        refuses(custody, &one, "again", &good, "spent-coin");
        let others = one.run(&["wallet", "utxos"]).is(0);
        let other = others.iter().find(|coin| coin["spendable"] == true);
        let mut again = good.unsigned_tx.clone();
        again.input.truncate(1);
        again.input[0].previous_output = other.unwrap()["outpoint"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap();
        let again = Psbt::from_unsigned_tx(again).unwrap();
        refuses(custody, &one, "other-coins", &again, "paid-redemption");
        custody.settled(&[&first, &second]).await;
        refuses(custody, &one, "settled", &again, "settled-redemption");
    })
    .await;
}

/// Every one is refused by its rule, with nothing signed, and the payment itself is as good as before.
fn forgeries_are_refused(
    custody: &Custody,
    custodian: &Member,
    good: &Psbt,
    (first, second): (&Request, &Request),
) {
    let stranger = address("bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080");
    let coinbases = coinbase_address(custodian);
    // Somebody's real coin: what redemption 0 was paid.
    let strangers_coin: Txid = custody.coordinator.batches_of(0)[0]["txid"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    type Forge<'a> = Box<dyn Fn(&mut Psbt) + 'a>;
    let script = |n: usize, script: ScriptBuf| -> Forge<'_> {
        Box::new(move |psbt| psbt.unsigned_tx.output[n].script_pubkey = script.clone())
    };
    let value = |n: usize, sats: u64| -> Forge<'_> {
        Box::new(move |psbt| psbt.unsigned_tx.output[n].value = Amount::from_sat(sats))
    };
    let change = good.unsigned_tx.output[2].value.to_sat();
    let forgeries: Vec<(&str, Forge<'_>)> = vec![
        (
            "swapped-output",
            Box::new(|psbt| {
                let [a, b, ..] = psbt.unsigned_tx.output.as_mut_slice() else {
                    panic!("{psbt:?}");
                };
                std::mem::swap(&mut a.script_pubkey, &mut b.script_pubkey);
            }),
        ),
        ("wrong-script", script(0, stranger.script_pubkey())),
        ("overpaid", value(0, first.amount + 1)),
        ("underpaid", value(0, first.amount - MAX_FEE - 1)),
        (
            "foreign-input",
            Box::new(|psbt| {
                psbt.unsigned_tx.input.push(TxIn {
                    previous_output: OutPoint::new(strangers_coin, 0),
                    sequence: psbt.unsigned_tx.input[0].sequence,
                    ..TxIn::default()
                });
                psbt.inputs.push(Input::default());
            }),
        ),
        // Huge fees: of the pool's coins, and of a redeemer's.
        ("change-amount", value(2, change / 2)),
        ("fee-cap", value(1, second.amount - 2_000_000)),
        (
            "sighash",
            Box::new(|psbt| {
                psbt.inputs[0].sighash_type = Some(EcdsaSighashType::None.into());
            }),
        ),
        (
            "unknown-redemption",
            script(
                3,
                RedeemIds::encode(&[first.id, second.id + 100])
                    .unwrap()
                    .into(),
            ),
        ),
        ("foreign-change", script(2, stranger.script_pubkey())),
        ("mintable-change", script(2, coinbases.script_pubkey())),
    ];
    let before = files(&custody.devnet.dir.join("custody"));
    for (rule, forge) in &forgeries {
        let mut forged = good.clone();
        forge(&mut forged);
        refuses(custody, custodian, rule, &forged, rule);
    }
    assert_eq!(files(&custody.devnet.dir.join("custody")), before);
    // In words, too.
    let mut forged = good.clone();
    forgeries[0].1(&mut forged);
    let file = custody.scratch("in-words.psbt");
    fs::write(&file, forged.serialize()).unwrap();
    let key = custodian.file("custody.key");
    let output = custodian
        .command(&["sign", path(&file), "--key", path(&key), "--yes"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("not signed") && said.contains("swapped-output"),
        "{said}"
    );
}

/// The custodian refuses a transaction by a rule, and writes no signature anywhere.
#[track_caller]
fn refuses(custody: &Custody, custodian: &Member, name: &str, psbt: &Psbt, by: &str) {
    let file = custody.scratch(&format!("{name}.psbt"));
    fs::write(&file, psbt.serialize()).unwrap();
    let out = custody.scratch(&format!("{name}.signed.psbt"));
    let said = custodian.sign(&file, &out).is(1);
    assert_eq!(rule(&said), Some(by), "{name}: {said:?}");
    assert!(!out.exists(), "{name}");
    for file in psbts(out.parent().unwrap()) {
        let signatures = read(&file).inputs.into_iter();
        assert_eq!(
            signatures
                .map(|input| input.partial_sigs.len())
                .sum::<usize>(),
            0
        );
    }
}

/// All files below a folder, without SQLite's own, which come and go.
fn files(folder: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if !path.to_string_lossy().contains(".sqlite") {
            found.insert(path);
        }
    }
    found
}

fn a_wrong_passphrase_opens_nothing(custody: &Custody) {
    let custodian = &custody.custodians[2];
    let secret = |name: &str, text: &str| {
        let file = custody.scratch(name);
        let mut options = fs::OpenOptions::new();
        let handle = options.write(true).create_new(true).mode(0o600).open(&file);
        std::io::Write::write_all(&mut handle.unwrap(), text.as_bytes()).unwrap();
        file
    };
    let right = secret("right.txt", "nine violet anchors drift past Kronborg");
    let wrong = secret("wrong.txt", "nine violet anchors drift past Elsinore");
    let key = custody.scratch("custodian-3.key");
    fs::copy(custodian.file("custody.key"), &key).unwrap();
    let identity = custodian.file("identity.txt");
    let _ = custodian.run(&[
        "keys",
        "rotate",
        path(&key),
        "--passphrase",
        "--identity",
        path(&identity),
        "--new-passphrase-file",
        path(&right),
    ]);
    let show = |passphrase: &Path| {
        custodian.run(&[
            "keys",
            "show",
            path(&key),
            "--open",
            "--passphrase-file",
            path(passphrase),
        ])
    };
    let _ = show(&right).is(0);
    let refused = show(&wrong);
    assert_eq!(refused.status, 2, "{refused:?}");
    assert!(refused.complained.contains("passphrase"), "{refused:?}");
}

async fn the_second_pair_pays_though_the_coordinator_lost_its_database(custody: &mut Custody) {
    let request = custody.redeem(AMOUNT, MAX_FEE).await;
    let [one, two, three] = custody.custodians.clone();
    let coordinator = custody.coordinator.clone();
    without(&two, async {
        let file = coordinator.plan();
        coordinator.collect(&[&one, &three], &file);
        // It is BDK's alone: what was promised stands in the journal.
        for end in ["", "-wal", "-shm"] {
            let lost = coordinator.wallet.join(format!("wallet.sqlite{end}"));
            assert!(lost.exists() || !end.is_empty());
            let _ = fs::remove_file(lost);
        }
        assert!(has(&coordinator.turn(&[]).is(0), "sent"));
        custody.settled(&[&request]).await;
    })
    .await;
}

async fn the_third_pair_pays_though_nodes_were_away(custody: &mut Custody) {
    let request = custody.redeem(AMOUNT, MAX_FEE).await;
    let [one, two, three] = custody.custodians.clone();
    let coordinator = custody.coordinator.clone();
    without(&one, async {
        let file = coordinator.plan();
        let out = custody.scratch("no-node.psbt");
        let configured = cut_off(&two);
        let answer = two.sign(&file, &out);
        assert_eq!(answer.status, 2, "{answer:?}");
        assert!(!out.exists());
        fs::write(two.file("orcapool.toml"), configured).unwrap();

        // Signed by both, and the coordinator cannot send it: nothing is lost, and nothing is planned anew.
        coordinator.collect(&[&two, &three], &file);
        let configured = cut_off(&coordinator);
        let answer = coordinator.turn(&[]);
        assert_eq!(answer.status, 2, "{answer:?}");
        assert_eq!(psbts(&coordinator.wallet.join("inbox")).len(), 2);
        fs::write(coordinator.file("orcapool.toml"), configured).unwrap();
        assert!(has(&coordinator.turn(&[]).is(0), "sent"));
        custody.settled(&[&request]).await;
    })
    .await;
}

/// Points a member's configuration at a port where nobody listens. What it was.
fn cut_off(member: &Member) -> String {
    let file = member.file("orcapool.toml");
    let configured = fs::read_to_string(&file).unwrap();
    let mut config: toml::Table = toml::from_str(&configured).unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", free.local_addr().unwrap());
    config["bitcoin"]["nodes"][0]["url"] = url.into();
    fs::write(file, toml::to_string(&config).unwrap()).unwrap();
    configured
}

// --- The chain, and what was lost ---

async fn a_payment_survives_a_reorganisation(custody: &mut Custody) {
    let request = custody.redeem(AMOUNT, MAX_FEE).await;
    let [one, _, three] = custody.custodians.clone();
    let coordinator = custody.coordinator.clone();
    let file = coordinator.plan();
    coordinator.sign_and_send(&[&one, &three], &file);
    let devnet = &custody.devnet;
    devnet.mine(1).await;
    devnet.relay();
    let _ = coordinator.turn(&[]).is(0);
    let state = || coordinator.batches_of(request.id)[0]["state"].clone();
    assert_eq!(state(), "confirmed");

    let block = devnet.bitcoin("", "getbestblockhash", json!([])).await;
    devnet.bitcoin("", "invalidateblock", json!([block])).await;
    devnet.mine_empty().await;
    devnet.mine_empty().await;
    devnet.relay();
    let _ = coordinator.turn(&[]).is(0);
    assert_eq!(state(), "sent");
    custody.settled(&[&request]).await;
}

async fn a_custodian_who_lost_the_journal_signs_only_what_excludes_the_forgotten(
    custody: &mut Custody,
) {
    let request = custody.redeem(AMOUNT, MAX_FEE).await;
    let [one, two, three] = custody.custodians.clone();
    let coordinator = custody.coordinator.clone();
    lose_and_restore(&two, &one);
    let file = coordinator.plan();
    let all = one.run(&["wallet", "utxos"]).is(0).len();
    let spent = read(&file).unsigned_tx.input.len();
    assert!(spent < all, "{spent} of {all} coins");
    refuses(custody, &two, "fence", &read(&file), "fence");
    coordinator.sign_and_send(&[&one, &three], &file);
    custody.settled(&[&request]).await;
}

/// Before a coordinator's folder is lost: what pays a redemption of that time must spend every coin of that time.
async fn a_sweep_makes_one_coin_of_many(custody: &Custody) {
    let Custody {
        devnet,
        coordinator,
        custodians: [one, _, three],
        ..
    } = custody;
    let own = coinbase_address(coordinator);
    let fee = coordinator
        .sweep(devnet, &own.script_pubkey(), &[one, three])
        .await;
    assert!(fee > 0);
    devnet
        .bitcoin("", "generatetoaddress", json!([3, own]))
        .await;
    custody.mature().await;
    assert_eq!(coordinator.run(&["wallet", "utxos"]).is(0).len(), 4);
}

fn coinbase_address(member: &Member) -> Address {
    let shown = member.run(&["wallet", "show"]).is(0);
    address(shown[0]["coinbase"]["address"].as_str().unwrap())
}

async fn a_coordinator_restored_from_the_descriptor_adopts_what_is_in_flight(
    custody: &mut Custody,
) {
    let [one, two, three] = custody.custodians.clone();
    let coordinator = custody.coordinator.clone();
    // Requested after the second custodian's journal began: no fence.
    let in_flight = custody.redeem(AMOUNT, MAX_FEE).await;
    let file = coordinator.plan();
    let txid = read(&file).unsigned_tx.compute_txid().to_string();
    coordinator.sign_and_send(&[&one, &two], &file);
    let waits = custody.redeem(AMOUNT, MAX_FEE).await;

    lose_and_restore(&coordinator, &one);
    let said = coordinator.turn(&[]).is(0);
    assert!(has(&said, "adopted"), "{said:?}");
    assert_eq!(coordinator.batches_of(in_flight.id)[0]["txid"], txid);
    // What it may have planned before and forgotten waits until the coins are free.
    assert!(coordinator.batches_of(waits.id).is_empty());
    custody.settled(&[&in_flight]).await;

    // The other one is paid from all coins, so that nothing forgotten can come on top of it.
    custody.devnet.mine(20).await;
    custody.devnet.relay();
    let all = one.run(&["wallet", "utxos"]).is(0).len();
    let file = coordinator.plan();
    assert_eq!(read(&file).unsigned_tx.input.len(), all);
    coordinator.sign_and_send(&[&two, &three], &file);
    custody.settled(&[&waits]).await;
}

/// A member's wallet folder is gone, journal and all; it is made again of the descriptor, which anybody of the others knows.
fn lose_and_restore(member: &Member, other: &Member) {
    let shown = other.run(&["wallet", "show"]).is(0);
    let descriptor = shown[0]["descriptor"].as_str().unwrap();
    fs::remove_dir_all(&member.wallet).unwrap();
    let restored = member.run(&["wallet", "restore", descriptor]).is(0);
    assert_eq!(restored[0]["descriptor"], descriptor);
}

async fn what_nobody_signs_is_refunded_and_never_paid(custody: &Custody) {
    let Custody {
        devnet,
        coordinator,
        custodians,
        ..
    } = custody;
    let held = |name: &str| devnet.total(name);
    let (escrowed, burned) = (held("escrowed"), held("burned"));
    let request = custody.redeem(AMOUNT, MAX_FEE).await;
    let good = read(&coordinator.plan());
    let rule_of = |name: &str| {
        let file = custody.scratch(&format!("{name}.psbt"));
        fs::write(&file, good.serialize()).unwrap();
        let said = custodians[0].run(&["psbt", "show", path(&file)]);
        rule(&said.is(i32::from(said.status != 0))).map(str::to_owned)
    };
    devnet.mine(EXPIRY - 6).await;
    devnet.relay();
    wait_for("custodians see that it expires", || {
        match rule_of("expiring").as_deref() {
            Some("expiring-redemption") => Ok(()),
            other => Err(other.map(str::to_owned)),
        }
    });
    devnet.mine(10).await;
    devnet.relay();
    let id = request.id.to_string();
    let _ = devnet.run(HOLDER, &["redeem", "--refund", &id]);
    wait_for("custodians see that it is refunded", || {
        match rule_of("refunded").as_deref() {
            Some("refunded-redemption") => Ok(()),
            other => Err(other.map(str::to_owned)),
        }
    });
    refuses(
        custody,
        &custodians[0],
        "refunded",
        &good,
        "refunded-redemption",
    );
    let said = coordinator.turn(&[]).is(0);
    assert!(has(&said, "withdrawn"), "{said:?}");
    assert!(coordinator.handed_out().is_none());
    assert_eq!((held("escrowed"), held("burned")), (escrowed, burned));
    let twice = devnet.refused(HOLDER, &["redeem", "--refund", &id]);
    assert!(twice.contains("settled or refunded"), "{twice}");

    // The coordinator cannot know that nobody signed: its coins are taken back, on custodians' word.
    let said = coordinator.turn(&[]).is(1);
    assert_eq!(alarm(&said), Some("withheld"), "{said:?}");
    let cancel = read(&coordinator.handed_out().unwrap());
    let [one, _, three] = custodians;
    refuses(custody, one, "cancel", &cancel, "cancels-nothing");
    let file = coordinator.handed_out().unwrap();
    coordinator.sign_with_and_send(&[one, three], &file, &["--unknown-cancel"], 1);
    devnet.mine(1).await;
    let _ = coordinator.turn(&[]).is(0);
}

/// Whoever gives the last signature has the payment whole. If he keeps it until its redemption has expired, takes the tokens back
/// and sends it then, its holder has both.
async fn what_one_custodian_holds_back_is_taken_back_by_the_others(custody: &Custody) {
    let Custody {
        devnet,
        coordinator,
        custodians: [one, two, three],
        ..
    } = custody;
    let request = custody.redeem(AMOUNT, MAX_FEE).await;
    let file = coordinator.plan();
    // Apart from the files that nobody has signed.
    let apart = custody.scratch("signed");
    fs::create_dir_all(&apart).unwrap();
    let signed = ["held.1.psbt", "held.2.psbt"].map(|name| apart.join(name));
    for (custodian, out) in [one, two].iter().zip(&signed) {
        let _ = custodian.sign(&file, out).is(0);
    }
    let held = whole(devnet, &combine(&signed.map(|file| read(&file))).unwrap()).await;
    let guard =
        |custodian: &Member| custodian.run(&["payout", "guard", "--once", "--fee-rate", "2"]);
    let said = guard(one).is(0);
    assert!(has(&said, "taken-up"), "{said:?}");
    let said = guard(three).is(0);
    assert!(!has(&said, "taken-up"), "he has signed nothing: {said:?}");

    // Within half of the margin before the expiry.
    devnet.mine(EXPIRY - 17).await;
    devnet.relay();
    let cancel = wait_for("the first custodian takes it back", || {
        let said = guard(one);
        one.handed_out().ok_or(said)
    });
    let said = guard(one).is(1);
    assert_eq!(alarm(&said), Some("withheld"), "{said:?}");
    refuses(custody, three, "held", &read(&cancel), "cancels-nothing");
    let signed = ["cancel.1.psbt", "cancel.3.psbt"].map(|name| apart.join(name));
    let _ = one.sign(&cancel, &signed[0]).is(0);
    let unknown = ["--unknown-cancel"];
    let _ = three.sign_with(&cancel, &signed[1], &unknown).is(0);
    let submit = ["payout", "submit", path(&signed[0]), path(&signed[1])];
    let said = one.run(&submit).is(0);
    assert!(has(&said, "sent"), "{said:?}");
    devnet.mine(1).await;

    // It comes too late.
    let verdict = devnet
        .bitcoin("", "testmempoolaccept", json!([[held]]))
        .await;
    assert_eq!(verdict[0]["allowed"], false, "{verdict}");
    devnet.mine(20).await;
    devnet.relay();
    let id = request.id.to_string();
    let _ = devnet.run(HOLDER, &["redeem", "--refund", &id]);
    devnet.k2_is_final().await;
    let said = guard(one).is(0);
    assert!(!has(&said, "planned"), "{said:?}");
    // The coordinator never had it, and sees that something else spends the coins.
    let said = coordinator.turn(&[]).is(0);
    assert!(has(&said, "withdrawn"), "{said:?}");
    assert!(coordinator.handed_out().is_none());
}

/// The transaction of a PSBT with all its signatures, by Core.
async fn whole(devnet: &Devnet, psbt: &Psbt) -> String {
    let psbt = BASE64_STANDARD.encode(psbt.serialize());
    let whole = devnet.bitcoin("", "finalizepsbt", json!([psbt])).await;
    assert_eq!(whole["complete"], true, "{whole}");
    whole["hex"].as_str().unwrap().to_owned()
}

/// What a turn tells people to look at.
fn alarm(said: &[Value]) -> Option<&str> {
    said.iter().find_map(|said| said["alarm"].as_str())
}

// --- At the end ---

/// Core's blocks say so, none of the pool's programs.
async fn every_redemption_has_one_payment_on_the_chain(custody: &Custody) {
    let devnet = &custody.devnet;
    let mut found: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    let tip = devnet.bitcoin("", "getblockcount", json!([])).await;
    for height in 1..=tip.as_u64().unwrap() {
        let hash = devnet.bitcoin("", "getblockhash", json!([height])).await;
        let block = devnet.bitcoin("", "getblock", json!([hash, 0])).await;
        let block: Block = deserialize_hex(block.as_str().unwrap()).unwrap();
        for transaction in block.txdata {
            for id in named(&transaction) {
                let txid = transaction.compute_txid().to_string();
                found.entry(id).or_default().push(txid);
            }
        }
    }
    // The first one is the devnet's own.
    let devnets = found.remove(&0).map(|txids| txids.len());
    assert_eq!(devnets, Some(1));
    let paid: BTreeMap<u64, Vec<String>> = custody
        .paid
        .iter()
        .map(|paid| (paid.id, vec![paid.txid.clone()]))
        .collect();
    assert_eq!(found, paid);
}

async fn wallets_hold_what_core_says(custody: &Custody) {
    let Custody {
        devnet,
        coordinator,
        custodians,
        ..
    } = custody;
    let shown = coordinator.run(&["wallet", "show"]).is(0);
    let descriptor = shown[0]["descriptor"].as_str().unwrap();
    let (descriptor, _checksum) = descriptor.split_once('#').unwrap();
    let keychains = ["0", "1"]
        .map(|keychain| json!({ "desc": descriptor.replace("<0;1>", keychain), "range": 20 }));
    let scan = devnet
        .bitcoin("", "scantxoutset", json!(["start", keychains]))
        .await;
    let core = sats(&scan["total_amount"]);
    assert!(core > 0);
    for member in [coordinator, &custodians[1]] {
        let balance = member.run(&["wallet", "balance"]).is(0).remove(0);
        let sum: u64 = ["coinbases", "change"]
            .iter()
            .flat_map(|keychain| {
                ["immature", "mature"].map(|kind| balance[keychain][kind].as_u64().unwrap())
            })
            .sum();
        assert_eq!(sum, core, "{balance}");
    }
}

/// The fee of a sweep is nobody's but the pool's, and the wrapped satoshis are backed again when somebody pays it in.
async fn what_the_pool_paid_for_itself_is_topped_up(custody: &Custody) {
    let Custody {
        devnet,
        coordinator,
        ..
    } = custody;
    let shown = coordinator.run(&["books", "show"]).is(0);
    let own_fees = shown
        .iter()
        .find(|account| account["account"] == "own_fees");
    let fee = Amount::from_sat(own_fees.unwrap()["sats"].as_u64().unwrap());
    assert!(fee > Amount::ZERO);
    let to = coinbase_address(coordinator);
    let send = json!({ "address": to, "amount": fee.to_btc(), "fee_rate": 2 });
    devnet.bitcoin(HOLDERS_WALLET, "sendtoaddress", send).await;
    devnet.mine(1).await;
}

fn reserves_are_proved_and_the_books_balance(custody: &Custody) {
    let [one, two, three] = &custody.custodians;
    let proof = custody
        .coordinator
        .prove_reserves(&[one, three], &custody.scratch("reserves"));
    let verified = two
        .run(&["reserves", "verify", path(&proof)])
        .is(0)
        .remove(0);
    assert_eq!(verified["backed"], true);
    let now = &verified["now"];
    assert!(now["ratio_ppm"].as_u64().unwrap() >= 1_000_000, "{now}");
    let status = custody.devnet.status();
    assert_eq!(now["supply"], status["supply"]);
    books_balance(&status);
    for member in [&custody.coordinator, one] {
        let checks = member.run(&["books", "check"]).is(0);
        assert!(checks.len() > 5 && checks.iter().all(|check| check["holds"] == true));
        books_say_what_k2_says(member, &status);
    }
}

/// Claims and settlements of the real program, by its own totals and not by those the books were held against.
fn books_say_what_k2_says(member: &Member, status: &Value) {
    let shown = member.run(&["books", "show", "--offline"]).is(0);
    let sum = |accounts: &[&str]| -> u64 {
        let wanted = shown
            .iter()
            .filter(|shown| accounts.contains(&shown["account"].as_str().unwrap()));
        let sats: Vec<u64> = wanted
            .map(|shown| shown["sats"].as_u64().unwrap())
            .collect();
        assert_eq!(sats.len(), accounts.len(), "{accounts:?}: {shown:?}");
        sats.iter().sum()
    };
    let (totals, rewards) = (&status["config"]["totals"], &status["config"]["rewards"]);
    let claimed = sum(&["circulating", "escrow", "burned"]);
    assert!(claimed > 0 && sum(&["burned"]) > 0, "{shown:?}");
    assert_eq!(claimed, totals["claimed"]);
    assert_eq!(sum(&["burned"]), totals["burned"]);
    assert_eq!(sum(&["escrow"]), totals["escrowed"]);
    assert_eq!(sum(&["owed"]) + claimed, rewards["total"]);
    assert_eq!(sum(&["vault", "owed"]) + claimed, totals["proved_in"]);
    assert_eq!(
        sum(&["vault", "owed", "circulating", "escrow"]),
        status["supply"]
    );
}
