//! Payments against a real node: planned, signed by each pair of three custodians, accepted, mined; bumped, cancelled, swept.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use bitcoin::consensus::encode::serialize_hex;
use bitcoin::hashes::Hash as _;
use bitcoin::secp256k1::{self, SecretKey};
use bitcoin::{
    Amount, FeeRate, Network, NetworkKind, Psbt, ScriptBuf, Transaction, WPubkeyHash, WScriptHash,
    Witness, ecdsa,
};
use k2_interface::state::RedemptionState;
use orcapool_custody::journal::Journal;
use orcapool_custody::keys::{CustodianKey, Purpose};
use orcapool_custody::payment::{
    self, External, FinishError, Known, Limits, PlanInput, Reason, Refused, Reviewed, Rule, bump,
    cancel, combine, describe, finalize, read_psbt, review, sign, sweep,
};
use orcapool_custody::view::BURIED;
use orcapool_custody::watch::{Login, Source, Watch};
use orcapool_custody::{K2View, Redemption, Setup};
use serde_json::{Value, json};

use support::Regtest;

/// 2020-09-13; the tests' clock stands still.
const NOW: u64 = 1_600_000_000;
const LIMITS: Limits = Limits {
    max_fee_rate: FeeRate::from_sat_per_vb_u32(50),
    max_fee: Amount::from_sat(100_000),
    expiry_margin: 36,
    unknown_cancel: false,
};

/// One who signs, on a machine of his own.
struct Custodian {
    key: CustodianKey,
    watch: Watch,
    journal: Journal,
}

/// The pool: a node, its custodians, what K2 says, and the coordinator, who holds no key.
struct Pool {
    node: Regtest,
    setup: Setup,
    k2: K2View,
    custodians: Vec<Custodian>,
    coordinator: Watch,
    journal: Journal,
}

fn key(number: u8) -> CustodianKey {
    let mut entropy = [number; 32];
    entropy[0] = 0;
    CustodianKey::generate(NetworkKind::Test, &entropy).unwrap()
}

impl Pool {
    fn new(setup: &dyn Fn(&[CustodianKey]) -> Setup, custodians: u8, coins: u32) -> Self {
        let node = Regtest::start();
        let keys: Vec<_> = (1..=custodians).map(key).collect();
        let setup = setup(&keys);
        let script = setup.coinbase_script().unwrap();
        let wallet = |name: String| {
            let dir = node.dir().join(name);
            let watch = Watch::create(&dir, &setup, 0).unwrap();
            (watch, Journal::open(&dir, 0).unwrap())
        };
        let custodians = (1..)
            .zip(keys)
            .map(|(number, key)| {
                let (watch, journal) = wallet(format!("custodian-{number}"));
                Custodian {
                    key,
                    watch,
                    journal,
                }
            })
            .collect();
        let (coordinator, journal) = wallet("coordinator".to_owned());
        node.mine(coins, &script);
        node.mine_elsewhere(100);
        let mut pool = Self {
            node,
            k2: K2View {
                slot: 1,
                scripts: vec![script],
                ..K2View::default()
            },
            setup,
            custodians,
            coordinator,
            journal,
        };
        pool.sync();
        pool
    }

    fn two_of_three(coins: u32) -> Self {
        let setup = |keys: &[CustodianKey]| {
            let cosigners: Vec<_> = keys
                .iter()
                .map(|key| key.cosigner(Purpose::Multisig).clone())
                .collect();
            Setup::multisig(Network::Regtest, 2, &cosigners).unwrap()
        };
        Self::new(&setup, 3, coins)
    }

    fn single(coins: u32) -> Self {
        let setup = |keys: &[CustodianKey]| {
            Setup::single(Network::Regtest, keys[0].cosigner(Purpose::Single)).unwrap()
        };
        Self::new(&setup, 1, coins)
    }

    fn sync(&mut self) {
        let source = Source::Bitcoind {
            url: self.node.url(),
            login: Login::CookieFile(self.node.cookie_file()),
        };
        let watches = self.custodians.iter_mut().map(|one| &mut one.watch);
        for watch in watches.chain([&mut self.coordinator]) {
            let synced = watch.sync(&source, NOW, &mut |_| ControlFlow::Continue(()));
            synced.unwrap();
        }
        self.k2.relay_tip = self.node.height();
    }

    fn redeem(&mut self, id: u64, sats: u64) {
        let height = self.node.height();
        let tag = u8::try_from(id).unwrap();
        let redemption = Redemption {
            id,
            amount: Amount::from_sat(sats),
            max_fee: Amount::from_sat(20_000),
            script: match id % 2 {
                0 => ScriptBuf::new_p2wpkh(&WPubkeyHash::from_byte_array([tag; 20])),
                _ => ScriptBuf::new_p2wsh(&WScriptHash::from_byte_array([tag; 32])),
            },
            requested: height,
            expires: height + 500,
            state: RedemptionState::Open,
        };
        self.k2.redemptions.insert(id, redemption);
    }

    /// Runs something with the coordinator's knowledge.
    fn coordinate<T>(
        &mut self,
        sats_per_vb: u32,
        replaced_fee: Amount,
        work: impl FnOnce(&PlanInput<'_>) -> T,
    ) -> T {
        let (change, _) = self.coordinator.change_script().unwrap();
        let bitcoin = self.coordinator.view();
        let signed = self.journal.payments().unwrap();
        let none = (BTreeSet::new(), BTreeSet::new());
        work(&PlanInput {
            known: Known {
                setup: &self.setup,
                bitcoin: &bitcoin,
                k2: &self.k2,
                signed: &signed,
                born: self.journal.born(),
                limits: &LIMITS,
            },
            fee_rate: FeeRate::from_sat_per_vb_u32(sats_per_vb),
            replaced_fee,
            change,
            reserved: &none.0,
            again: &none.1,
        })
    }

    fn plan(&mut self) -> Reviewed {
        self.coordinate(2, Amount::ZERO, |input| {
            payment::plan(input).unwrap().payment.unwrap()
        })
    }

    /// The coordinator writes it down and hands out a file.
    fn hand_out(&mut self, reviewed: &Reviewed) -> Vec<u8> {
        let intended = reviewed
            .clone()
            .intend(|payment, cost| self.journal.record_signed(payment, cost))
            .unwrap();
        sign(&intended, &External).unwrap().serialize()
    }

    /// What one custodian does with a file.
    fn custodian_signs(&mut self, who: usize, file: &[u8]) -> Result<Vec<u8>, Refused> {
        let Custodian {
            key,
            watch,
            journal,
        } = &mut self.custodians[who];
        let (bitcoin, signed) = (watch.view(), journal.payments().unwrap());
        let known = Known {
            setup: watch.setup(),
            bitcoin: &bitcoin,
            k2: &self.k2,
            signed: &signed,
            born: journal.born(),
            limits: &LIMITS,
        };
        let psbt = read_psbt(file).unwrap();
        let reviewed = review(&psbt, &known)?;
        let intended = reviewed
            .intend(|payment, cost| journal.record_signed(payment, cost))
            .unwrap();
        let signed = sign(&intended, &*key).unwrap();
        let description = describe(&signed, Network::Regtest, Some(&known));
        assert!(description.verified);
        assert!(
            description
                .complete_signers()
                .any(|signer| signer == key.fingerprint())
        );
        // One passes on binary files, the other base64.
        Ok(match who {
            0 => signed.serialize(),
            _ => signed.to_string().into_bytes(),
        })
    }

    /// Signed by these custodians, each from the coordinator's file, and finished.
    fn finish(&mut self, who: &[usize], file: &[u8]) -> Transaction {
        let signed: Vec<Psbt> = who
            .iter()
            .map(|who| {
                let file = self.custodian_signs(*who, file).unwrap();
                read_psbt(&file).unwrap()
            })
            .collect();
        let combined = combine(&signed).unwrap();
        finalize(&combined, &self.setup, &self.coordinator.view()).unwrap()
    }

    /// Whether the node would take it.
    fn accepts(&self, transaction: &Transaction) -> Result<(), String> {
        let answer: Value = self
            .node
            .call("testmempoolaccept", &[json!([serialize_hex(transaction)])]);
        match answer[0]["allowed"].as_bool() {
            Some(true) => Ok(()),
            _ => Err(answer[0].to_string()),
        }
    }

    fn mine(&mut self, blocks: u32) {
        self.node.mine_elsewhere(blocks);
        self.sync();
    }

    fn coins(&self) -> Amount {
        let view = self.coordinator.view();
        view.coins.values().map(|coin| coin.txout.value).sum()
    }
}

#[test]
fn each_pair_of_custodians_pays() {
    let mut pool = Pool::two_of_three(4);
    for (round, pair) in (0..).zip([[0, 1], [0, 2], [1, 2]]) {
        for id in [1, 2, 3] {
            pool.redeem(10 * round + id, 40_000_000 * id + 1);
        }
        let before = pool.coins();
        let reviewed = pool.plan();
        let file = pool.hand_out(&reviewed);

        let one = pool.custodian_signs(pair[0], &file).unwrap();
        let unfinished = finalize(
            &read_psbt(&one).unwrap(),
            &pool.setup,
            &pool.coordinator.view(),
        );
        assert!(
            matches!(
                unfinished,
                Err(FinishError::Incomplete {
                    input: 0,
                    have: 1,
                    need: 2
                })
            ),
            "{unfinished:?}"
        );

        let transaction = pool.finish(&pair, &file);
        assert_eq!(transaction.compute_txid(), reviewed.txid());
        assert!(transaction.weight() <= reviewed.weight());
        pool.accepts(&transaction).unwrap();
        let txid = pool.node.send(&transaction);
        pool.mine(1);
        let view = pool.coordinator.view();
        let seen = view.payments.iter().find(|payment| payment.txid == txid);
        assert_eq!(seen.unwrap().height, Some(view.tip));
        let burned: Amount = (1..=3)
            .map(|id| pool.k2.redemptions[&(10 * round + id)].amount)
            .sum();
        assert_eq!(
            pool.coins(),
            before - burned,
            "coins fall by what K2 burns, to the satoshi"
        );
        // The same again: it is paid.
        let refused = pool.custodian_signs(pair[0], &file).unwrap_err();
        assert_eq!(refused.rule, Rule::SpentCoin);
    }
}

#[test]
fn one_key_pays_and_all_three_may_sign() {
    let mut pool = Pool::single(1);
    pool.redeem(1, 40_000_000);
    let reviewed = pool.plan();
    let file = pool.hand_out(&reviewed);
    let transaction = pool.finish(&[0], &file);
    pool.accepts(&transaction).unwrap();

    let mut pool = Pool::two_of_three(1);
    pool.redeem(1, 40_000_000);
    let reviewed = pool.plan();
    let file = pool.hand_out(&reviewed);
    let transaction = pool.finish(&[2, 0, 1], &file);
    pool.accepts(&transaction).unwrap();
}

#[test]
fn a_bump_replaces_what_is_in_the_mempool() {
    let mut pool = Pool::two_of_three(2);
    for id in 1..=5 {
        pool.redeem(id, 30_000_000);
    }
    let first = pool.plan();
    let file = pool.hand_out(&first);
    let old = pool.finish(&[0, 1], &file);
    pool.node.send(&old);
    pool.sync();
    // Twice by the least that nodes ask, then by a rate.
    let mut last = first;
    for rate in [1, 1, 9] {
        let bumped = pool.coordinate(rate, Amount::ZERO, |input| {
            bump(input, last.psbt()).unwrap()
        });
        assert!(bumped.replaces().contains(&last.txid()));
        let file = pool.hand_out(&bumped);
        let new = pool.finish(&[1, 2], &file);
        pool.accepts(&new).unwrap();
        let txid = pool.node.send(&new);
        assert_eq!(pool.node.mempool(), [txid]);
        pool.sync();
        last = bumped;
    }
    pool.mine(1);
    assert!(pool.accepts(&old).is_err());
}

#[test]
fn a_cancelled_payment_frees_its_redemptions() {
    let mut pool = Pool::two_of_three(2);
    pool.redeem(1, 30_000_000);
    let first = pool.plan();
    let file = pool.hand_out(&first);
    let old = pool.finish(&[0, 1], &file);
    pool.node.send(&old);
    pool.sync();
    let fee = first.fee();
    let cancelled = pool.coordinate(1, fee, |input| cancel(input, &BTreeSet::from([1])).unwrap());
    let file = pool.hand_out(&cancelled);
    let new = pool.finish(&[0, 1], &file);
    pool.accepts(&new).unwrap();
    pool.node.send(&new);
    pool.mine(1);
    let waiting = |pool: &mut Pool| {
        pool.coordinate(2, Amount::ZERO, |input| {
            let plan = payment::plan(input).unwrap();
            plan.waiting.into_iter().next()
        })
    };
    let reason = waiting(&mut pool).unwrap().reason;
    assert_eq!(reason, Reason::InPayment(old.compute_txid()));
    pool.mine(BURIED - 1);
    assert!(waiting(&mut pool).is_none());
    let again = pool.plan();
    let file = pool.hand_out(&again);
    let transaction = pool.finish(&[0, 2], &file);
    pool.accepts(&transaction).unwrap();
}

#[test]
fn a_sweep_moves_everything_to_the_new_custody() {
    let mut pool = Pool::single(3);
    let cosigners = [7, 8, 9].map(|number| key(number).cosigner(Purpose::Multisig).clone());
    let new = Setup::multisig(Network::Regtest, 2, &cosigners).unwrap();
    let to = new.coinbase_script().unwrap();
    let refused = pool.coordinate(2, Amount::ZERO, |input| sweep(input, &to).unwrap_err());
    assert!(refused.to_string().contains("unregistered-sweep"));
    pool.k2.scripts.push(to.clone());
    let swept = pool.coordinate(2, Amount::ZERO, |input| sweep(input, &to).unwrap());
    let file = pool.hand_out(&swept);
    let transaction = pool.finish(&[0], &file);
    pool.accepts(&transaction).unwrap();
    pool.node.send(&transaction);
    pool.mine(1);
    assert_eq!(pool.coins(), Amount::ZERO);
    assert_eq!(transaction.output[0].script_pubkey, to);
}

/// What a coordinator, or whoever reads its mail, could do to a file between two custodians.
#[test]
fn files_that_were_tampered_with_do_not_combine() {
    let mut pool = Pool::two_of_three(1);
    pool.redeem(1, 30_000_000);
    let reviewed = pool.plan();
    let file = pool.hand_out(&reviewed);
    let sign = |pool: &mut Pool, who| {
        let file = pool.custodian_signs(who, &file).unwrap();
        read_psbt(&file).unwrap()
    };
    let (one, two) = (sign(&mut pool, 0), sign(&mut pool, 1));
    let mut foreign = two.clone();
    foreign.unsigned_tx.output.swap(0, 1);
    assert!(combine(&[one.clone(), foreign]).is_err());
    let mut invalid = two.clone();
    let theirs = *one.inputs[0].partial_sigs.values().next().unwrap();
    *invalid.inputs[0].partial_sigs.values_mut().next().unwrap() = theirs;
    assert!(combine(&[one.clone(), invalid]).is_err());
    let mut lying = two.clone();
    lying.inputs[0].witness_utxo.as_mut().unwrap().value = Amount::ONE_SAT;
    assert!(combine(&[one.clone(), lying]).is_err());
    // An amount both files lie about is nothing to the wallet's own coins.
    let combined = combine(&[one, two]).unwrap();
    let mut lying = combined.clone();
    lying.inputs[0].witness_utxo.as_mut().unwrap().value = Amount::ONE_SAT;
    let view = pool.coordinator.view();
    assert_eq!(
        finalize(&lying, &pool.setup, &view).unwrap(),
        finalize(&combined, &pool.setup, &view).unwrap()
    );
}

/// The other signature of the same key and message: valid by consensus, and no node relays it (BIP146).
fn with_high_s(signature: &ecdsa::Signature) -> ecdsa::Signature {
    let mut compact = signature.signature.serialize_compact();
    let s = SecretKey::from_slice(&compact[32..]).unwrap().negate();
    compact[32..].copy_from_slice(&s.secret_bytes());
    ecdsa::Signature::sighash_all(secp256k1::ecdsa::Signature::from_compact(&compact).unwrap())
}

/// BIP62 rule 5: the batch would be complete, and no node would ever take it.
#[test]
fn bip146_a_signature_with_a_high_s_is_refused_by_whose_it_is() {
    let mut pool = Pool::two_of_three(1);
    pool.redeem(1, 30_000_000);
    let reviewed = pool.plan();
    let file = pool.hand_out(&reviewed);
    let ours = read_psbt(&file).unwrap();
    let view = pool.coordinator.view();
    let [one, two] = [0, 1].map(|who| {
        let file = pool.custodian_signs(who, &file).unwrap();
        read_psbt(&file).unwrap()
    });
    let whose = pool.custodians[1].key.fingerprint().to_string();
    let of_the_signer = |error: &dyn std::error::Error| {
        let said = error.to_string();
        assert!(said.contains(&whose) && said.contains("BIP146"), "{said}");
    };

    let mut high = two.clone();
    let signature = high.inputs[0].partial_sigs.values_mut().next().unwrap();
    *signature = with_high_s(signature);
    of_the_signer(&combine(&[ours.clone(), one.clone(), high.clone()]).unwrap_err());
    of_the_signer(&combine(&[high.clone(), one.clone()]).unwrap_err());
    of_the_signer(&finalize(&high, &pool.setup, &view).unwrap_err());

    // Out of a file that the signer's wallet has finished by itself; and why it must not be.
    let combined = combine(&[ours.clone(), one, two]).unwrap();
    let whole = finalize(&combined, &pool.setup, &view).unwrap();
    let finished = |witness: Witness| {
        let mut psbt = Psbt::from_unsigned_tx(ours.unsigned_tx.clone()).unwrap();
        psbt.inputs[0].witness_utxo = ours.inputs[0].witness_utxo.clone();
        psbt.inputs[0].final_script_witness = Some(witness);
        psbt
    };
    let bad = high.inputs[0].partial_sigs.values().next().unwrap();
    let good = with_high_s(bad).to_vec();
    let elements = whole.input[0].witness.iter().map(|element| {
        if element == good {
            bad.to_vec()
        } else {
            element.to_vec()
        }
    });
    let witness: Witness = elements.collect::<Vec<_>>().into();
    let mut nobody_relays = whole.clone();
    nobody_relays.input[0].witness = witness.clone();
    assert_ne!(nobody_relays, whole);
    nobody_relays
        .verify(|outpoint| Some(view.coins[outpoint].txout.clone()))
        .unwrap();
    let refused = pool.accepts(&nobody_relays).unwrap_err();
    assert!(
        refused.contains("S value is unnecessarily high"),
        "{refused}"
    );
    of_the_signer(&combine(&[ours.clone(), finished(witness.clone())]).unwrap_err());
    of_the_signer(&finalize(&finished(witness), &pool.setup, &view).unwrap_err());

    // A good one is taken, and nothing else is: a witness of garbage would spoil the others' signatures.
    let good = finished(whole.input[0].witness.clone());
    let combined = combine(&[ours.clone(), good.clone()]).unwrap();
    assert_eq!(finalize(&combined, &pool.setup, &view).unwrap(), whole);
    assert_eq!(finalize(&good, &pool.setup, &view).unwrap(), whole);
    let elements: Vec<Vec<u8>> = whole.input[0].witness.iter().map(<[u8]>::to_vec).collect();
    let of_another = with_high_s(bad).to_vec();
    for garbage in [
        vec![vec![], vec![1], elements[2].clone(), elements[3].clone()],
        vec![
            vec![],
            of_another.split_at(9).1.to_vec(),
            elements[3].clone(),
        ],
        [elements.clone(), elements.clone(), elements].concat(),
    ] {
        let witness = Witness::from_slice(&garbage);
        assert!(combine(&[ours.clone(), finished(witness)]).is_err());
    }
    // Too few signatures are no error of the file.
    let empty = combine(&[ours.clone(), finished(Witness::new())]).unwrap();
    assert!(matches!(
        finalize(&empty, &pool.setup, &view),
        Err(FinishError::Incomplete { have: 0, .. })
    ));
    pool.accepts(&whole).unwrap();
}

#[test]
fn a_wallet_of_one_key_may_finish_its_file() {
    let mut pool = Pool::single(1);
    pool.redeem(1, 30_000_000);
    let reviewed = pool.plan();
    let file = pool.hand_out(&reviewed);
    let whole = pool.finish(&[0], &file);
    let ours = read_psbt(&file).unwrap();
    let mut finished = Psbt::from_unsigned_tx(ours.unsigned_tx.clone()).unwrap();
    finished.inputs[0].final_script_witness = Some(whole.input[0].witness.clone());
    let combined = combine(&[ours, finished.clone()]).unwrap();
    let view = pool.coordinator.view();
    assert_eq!(finalize(&combined, &pool.setup, &view).unwrap(), whole);
    let lost = combine(&[finished]).unwrap_err().to_string();
    assert!(
        lost.contains("give the file it was made from first"),
        "{lost}"
    );
}
