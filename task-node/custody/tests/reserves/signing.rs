//! What custodians sign, and what not.

use bitcoin::{Amount, Network};
use orcapool_custody::keys::Purpose;
use orcapool_custody::payment::{self, Known, Limits};
use orcapool_custody::reserves::{
    Claim, Draft, DraftError, K2Facts, MAX_AGE_SLOTS, Refusal, Statement,
};
use orcapool_custody::{K2View, Setup};
use serde_json::{Value, json};

use crate::world::{COINBASE, World, key, no_block};

/// A draft that states something else about the same coins.
fn other(draft: &Draft, change: impl FnOnce(&mut Statement)) -> Draft {
    let mut statement = draft.claim().statement().clone();
    change(&mut statement);
    let claim = Claim::new(statement, draft.claim().coins().to_vec()).unwrap();
    let mut psbt = draft.psbt().clone();
    psbt.unsigned_tx = claim.transaction();
    Draft::from_parts(claim, psbt).unwrap()
}

#[test]
fn one_of_two_signatures_is_not_enough() {
    let world = World::two_of_three();
    let draft = world.draft();
    let signed = world.signed_by(&draft, 2);
    let fingerprint = key(2).fingerprint();
    assert_eq!(
        signed.signed().into_iter().collect::<Vec<_>>(),
        [(fingerprint, 3)]
    );
    let error = Draft::finish(vec![signed.clone(), signed]).unwrap_err();
    assert!(matches!(error, DraftError::Unfinished { .. }), "{error}");
}

#[test]
fn a_wrong_signature_is_named_before_it_spoils_the_proof() {
    let world = World::two_of_three();
    let draft = world.draft();
    let [one, two] = [1, 2].map(|number| world.signed_by(&draft, number));
    let mut psbt = two.psbt().clone();
    let (stolen, signature) = psbt.inputs[1]
        .partial_sigs
        .first_key_value()
        .map(|(key, signature)| (*key, *signature))
        .unwrap();
    psbt.inputs[2].partial_sigs.insert(stolen, signature);
    let wrong = Draft::from_parts(two.claim().clone(), psbt).unwrap();
    let error = Draft::finish(vec![one.clone(), wrong]).unwrap_err();
    assert!(
        matches!(error, DraftError::Signature { key, .. } if key == stolen),
        "{error}"
    );
    Draft::finish(vec![one, two]).unwrap();
}

#[test]
fn drafts_of_two_proofs_do_not_join() {
    let mut world = World::two_of_three();
    let one = world.signed_by(&world.draft(), 1);
    world.k2.slot += 1;
    let two = world.signed_by(&world.draft(), 2);
    assert_eq!(Draft::finish(vec![one, two]), Err(DraftError::Different));
    assert!(Draft::finish(Vec::new()).is_err());
}

#[test]
fn a_key_of_another_wallet_signs_nothing() {
    let world = World::single();
    let (_, signatures) = world.review(&world.draft()).unwrap().sign(&key(9)).unwrap();
    assert_eq!(signatures, 0);
}

#[test]
fn a_custodian_states_only_what_its_own_endpoint_says() {
    let world = World::single();
    let draft = world.draft();
    let refusal = |change: &dyn Fn(&mut K2Facts)| {
        let mut k2 = world.k2.clone();
        change(&mut k2);
        world.review_with(&draft, &k2, &world.setup).unwrap_err()
    };
    let zero = k2_interface::K2Address::from_bytes([0; 32]);
    assert_eq!(
        refusal(&|k2| k2.genesis = zero),
        Refusal::Elsewhere("K2 cluster")
    );
    assert_eq!(
        refusal(&|k2| k2.program = zero),
        Refusal::Elsewhere("program")
    );
    assert_eq!(refusal(&|k2| k2.mint = zero), Refusal::Elsewhere("token"));
    assert!(matches!(refusal(&|k2| k2.slot -= 1), Refusal::Slot { .. }));
    let old = refusal(&|k2| k2.slot += MAX_AGE_SLOTS + 1);
    assert!(matches!(old, Refusal::Age { .. }));
    // At the same slot the totals are the same; they never fall; and a tenth more is not what was true then.
    let sat = Amount::from_sat(1);
    assert!(matches!(
        refusal(&|k2| k2.proved_in += sat),
        Refusal::Supply { .. }
    ));
    let fallen = refusal(&|k2| {
        k2.slot += 1;
        k2.proved_in -= sat;
    });
    assert!(matches!(fallen, Refusal::Supply { .. }));
    let drifted = refusal(&|k2| {
        k2.slot += 1;
        k2.proved_in += COINBASE;
    });
    assert!(matches!(drifted, Refusal::Supply { .. }));
    let mut later = world.k2.clone();
    later.slot += 1;
    later.proved_in += Amount::from_sat(1_0000_0000);
    assert!(world.review_with(&draft, &later, &world.setup).is_ok());
}

#[test]
fn a_custodian_states_only_what_its_own_node_has() {
    let world = World::single();
    let draft = world.draft();
    let refusal = |draft: &Draft| world.review(draft).unwrap_err();
    let foreign_block = other(&draft, |statement| statement.block = no_block());
    assert_eq!(refusal(&foreign_block), Refusal::Block(no_block()));
    let network = other(&draft, |statement| statement.bitcoin = Network::Signet);
    assert_eq!(refusal(&network), Refusal::Elsewhere("Bitcoin network"));

    let coins = draft.claim().coins();
    let with = |coins: Vec<_>| {
        let claim = Claim::new(draft.claim().statement().clone(), coins).unwrap();
        let mut psbt = draft.psbt().clone();
        psbt.unsigned_tx = claim.transaction();
        Draft::from_parts(claim, psbt).unwrap()
    };
    let left_out = with(coins[1..].to_vec());
    assert_eq!(refusal(&left_out), Refusal::LeftOut(coins[0].outpoint));
    let mut more = coins.to_vec();
    more[0].amount += Amount::from_sat(1);
    assert_eq!(refusal(&with(more)), Refusal::Value(coins[0].outpoint));
    let mut foreign = coins.to_vec();
    foreign[2].outpoint.vout += 1;
    let outpoint = foreign[2].outpoint;
    assert_eq!(refusal(&with(foreign)), Refusal::Foreign(outpoint));
    let mut younger = coins.to_vec();
    younger[0].height = 1_000;
    assert!(Claim::new(draft.claim().statement().clone(), younger).is_err());

    let coin = world
        .view()
        .coins
        .values()
        .find(|coin| coin.is_spendable(world.node.height()))
        .unwrap()
        .outpoint;
    world.spend(&[coin], vec![world.change(0, COINBASE)]);
    assert_eq!(refusal(&draft), Refusal::Spent(coin));
}

#[test]
fn another_wallets_draft_is_refused() {
    let world = World::single();
    let foreign = Setup::single(Network::Regtest, key(2).cosigner(Purpose::Single)).unwrap();
    let refusal = world
        .review_with(&world.draft(), &world.k2, &foreign)
        .unwrap_err();
    assert!(
        matches!(refusal, Refusal::Wallet(DraftError::Script(_))),
        "{refusal}"
    );
}

/// Whatever a PSBT says about itself, the transaction that is signed begins with the challenge and pays nobody.
#[test]
fn a_payment_in_a_drafts_clothes_is_none() {
    let world = World::single();
    let draft = world.draft();
    let claim = draft.claim().clone();
    type Tamper = fn(&mut bitcoin::Transaction);
    let tampers: [Tamper; 7] = [
        |tx| drop(tx.input.remove(0)),
        |tx| tx.input[0].previous_output.vout = 1,
        |tx| tx.output[0].script_pubkey = crate::support::regtest::elsewhere(),
        |tx| tx.output.push(tx.output[0].clone()),
        |tx| tx.output[0].value -= Amount::from_sat(1),
        |tx| tx.input.swap(0, 1),
        |tx| tx.input[1].sequence = bitcoin::Sequence::ZERO,
    ];
    for (number, tamper) in tampers.into_iter().enumerate() {
        let mut psbt = draft.psbt().clone();
        tamper(&mut psbt.unsigned_tx);
        assert!(Draft::from_parts(claim.clone(), psbt).is_err(), "{number}");
    }
    // The PSBT's other fields do not reach what is signed.
    let mut psbt = draft.psbt().clone();
    for input in &mut psbt.inputs {
        *input = bitcoin::psbt::Input {
            sighash_type: Some(bitcoin::EcdsaSighashType::None.into()),
            ..bitcoin::psbt::Input::default()
        };
    }
    let bare = Draft::from_parts(claim, psbt).unwrap();
    let (signed, signatures) = world.review(&bare).unwrap().sign(&key(1)).unwrap();
    assert_eq!(signatures, 3);
    for signature in signed
        .psbt()
        .inputs
        .iter()
        .flat_map(|input| input.partial_sigs.values())
    {
        assert_eq!(signature.sighash_type, bitcoin::EcdsaSighashType::All);
    }
}

/// What is reviewed as a payment is never a proof, whatever a coordinator leaves out of the PSBT.
#[test]
fn a_proof_is_no_payment() {
    let world = World::single();
    let draft = world.draft();
    let view = world.view();
    let k2 = K2View {
        slot: world.k2.slot,
        relay_tip: view.tip,
        scripts: world.k2.scripts.clone(),
        ..K2View::default()
    };
    let known = Known {
        setup: &world.setup,
        bitcoin: &view,
        k2: &k2,
        signed: &[],
        born: 0,
        limits: &Limits::default(),
    };
    let mut bare = draft.psbt().clone();
    bare.inputs[0] = bitcoin::psbt::Input::default();
    // A lock time and sequences that payments have.
    let mut dressed = bare.clone();
    dressed.unsigned_tx.lock_time = bitcoin::absolute::LockTime::from_height(view.tip).unwrap();
    for input in &mut dressed.unsigned_tx.input {
        input.sequence = bitcoin::Sequence::ENABLE_RBF_NO_LOCKTIME;
    }
    for psbt in [draft.psbt(), &bare] {
        assert!(payment::review(psbt, &known).is_err());
    }
    let refused = payment::review(&dressed, &known).unwrap_err();
    assert_eq!(refused.rule, payment::Rule::ForeignInput, "{refused}");
}

/// bdk-reserves issue 24: some wallets could not sign because of the first input. Bitcoin Core signs ours.
#[test]
fn bitcoin_core_signs_in_spite_of_the_first_input() {
    let world = World::two_of_three();
    let draft = world.draft();
    let words = key(2).words();
    let seed = bip39::Mnemonic::parse(words.as_str()).unwrap().to_seed("");
    let master = bitcoin::bip32::Xpriv::new_master(Network::Regtest, &seed).unwrap();
    let cosigner = key(2).cosigner(Purpose::Multisig).to_string();
    let (origin, xpub) = cosigner.split_once(']').unwrap();
    let secp = bitcoin::secp256k1::Secp256k1::new();
    let path = &key(2).cosigner(Purpose::Multisig).path.clone();
    let account = master.derive_priv(&secp, path).unwrap();
    let core = world.node.core_wallet("core", true);
    for keychain in [0, 1] {
        let public = world.setup.to_string();
        let public = public
            .split('#')
            .next()
            .unwrap()
            .replace("<0;1>", &keychain.to_string());
        let private = public.replace(xpub, &account.to_string());
        assert!(private.contains("prv") && private.contains(origin));
        let info: Value = world.node.call("getdescriptorinfo", &[json!(private)]);
        let checked = format!("{private}#{}", info["checksum"].as_str().unwrap());
        let imported: Value = bdk_bitcoind_rpc::bitcoincore_rpc::RpcApi::call(
            &core,
            "importdescriptors",
            &[json!([{ "desc": checked, "timestamp": 0, "range": [0, 9] }])],
        )
        .unwrap();
        assert_eq!(imported[0]["success"], true, "{imported}");
    }
    let answer: Value = bdk_bitcoind_rpc::bitcoincore_rpc::RpcApi::call(
        &core,
        "walletprocesspsbt",
        &[json!(draft.psbt().to_string()), json!(true), json!("ALL")],
    )
    .unwrap();
    let psbt = answer["psbt"].as_str().unwrap().parse().unwrap();
    let by_core = Draft::from_parts(draft.claim().clone(), psbt).unwrap();
    assert_eq!(by_core.signed()[&key(2).fingerprint()], 3);
    let by_us = world.signed_by(&draft, 3);
    let proof = Draft::finish(vec![by_us, by_core]).unwrap();
    assert!(world.verify(&proof).unwrap().now.is_backed());
}
