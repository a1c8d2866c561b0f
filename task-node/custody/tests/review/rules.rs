//! One test for each rule.

use std::collections::BTreeSet;

use bdk_wallet::KeychainKind;
use bitcoin::absolute::LockTime;
use bitcoin::hashes::Hash as _;
use bitcoin::psbt::raw;
use bitcoin::secp256k1::Secp256k1;
use bitcoin::transaction::Version;
use bitcoin::{
    Amount, EcdsaSighashType, FeeRate, OutPoint, Psbt, ScriptBuf, Sequence, TxIn, TxOut, Txid,
    Witness,
};
use k2_interface::bitcoin::RedeemIds;
use k2_interface::state::RedemptionState;
use orcapool_custody::payment::{Purpose, Rule, review};

use crate::support::Custodian;
use crate::support::regtest::elsewhere;
use crate::world::{TIP, World};

/// Three redemptions out of two of three coins: outputs 0 to 2 are payouts, 3 is change, 4 names them.
fn base() -> (World, Psbt) {
    let world = World::with(
        &[5_000_000, 3_000_000, 900_000],
        &[
            (1_000_000, 20_000),
            (2_000_000, 20_000),
            (3_000_000, 20_000),
        ],
    );
    let psbt = world.payment().psbt().clone();
    assert_eq!((psbt.inputs.len(), psbt.outputs.len()), (2, 5));
    review(&psbt, &world.known()).unwrap();
    (world, psbt)
}

macro_rules! rules {
    ($($name:ident => $rule:ident: $alter:expr;)*) => {
        $(
            #[test]
            fn $name() {
                let (mut world, mut psbt) = base();
                let alter: fn(&mut World, &mut Psbt) = $alter;
                alter(&mut world, &mut psbt);
                let refused = review(&psbt, &world.known()).unwrap_err();
                assert_eq!(refused.rule, Rule::$rule, "{refused}");
            }
        )*

        #[test]
        fn every_rule_has_its_test() {
            let tested = BTreeSet::from([$(Rule::$rule,)*]);
            let all: BTreeSet<_> = Rule::ALL.iter().copied().collect();
            assert_eq!(tested, all);
        }
    };
}

rules! {
    version_one => Version: |_, psbt| psbt.unsigned_tx.version = Version::ONE;
    a_lock_time_in_the_future => LockTime: |_, psbt| {
        psbt.unsigned_tx.lock_time = LockTime::from_height(TIP + 1).unwrap();
    };
    a_lock_time_by_the_clock => LockTime: |_, psbt| {
        psbt.unsigned_tx.lock_time = LockTime::from_time(1_600_000_000).unwrap();
    };
    no_inputs => Shape: |_, psbt| {
        psbt.unsigned_tx.input.clear();
        psbt.inputs.clear();
    };
    no_outputs => Shape: |_, psbt| {
        psbt.unsigned_tx.output.clear();
        psbt.outputs.clear();
    };
    a_map_too_few => Shape: |_, psbt| { psbt.inputs.pop(); };
    a_map_too_many => Shape: |_, psbt| psbt.outputs.push(psbt.outputs[0].clone());
    heavier_than_nodes_relay => Weight: |_, psbt| {
        for _ in 0..3_300 {
            foreign_output(psbt, 0);
        }
    };
    an_unknown_field => ForeignField: |_, psbt| { psbt.unknown.insert(key(), vec![1]); };
    an_unknown_field_of_an_input => ForeignField: |_, psbt| {
        psbt.inputs[0].unknown.insert(key(), vec![1]);
    };
    an_unknown_field_of_an_output => ForeignField: |_, psbt| {
        psbt.outputs[0].unknown.insert(key(), vec![1]);
    };
    a_proprietary_field => ForeignField: |_, psbt| {
        let key = raw::ProprietaryKey { prefix: vec![1], subtype: 2, key: vec![] };
        psbt.inputs[1].proprietary.insert(key, vec![1]);
    };
    another_psbt_version => ForeignField: |_, psbt| psbt.version = 2;
    a_redeem_script => ForeignField: |_, psbt| {
        psbt.inputs[0].redeem_script = Some(elsewhere());
    };
    a_taproot_key => ForeignField: |_, psbt| {
        let key = psbt.inputs[0].bip32_derivation.keys().next().unwrap();
        psbt.inputs[0].tap_internal_key = Some(key.x_only_public_key().0);
    };
    a_preimage => ForeignField: |_, psbt| {
        let hash = bitcoin::hashes::sha256::Hash::hash(b"secret");
        psbt.inputs[0].sha256_preimages.insert(hash, b"secret".to_vec());
    };
    a_final_witness => Finalized: |_, psbt| {
        psbt.inputs[0].final_script_witness = Some(Witness::from_slice(&[[1]]));
    };
    a_witness_in_the_unsigned_transaction => Finalized: |_, psbt| {
        psbt.unsigned_tx.input[0].witness = Witness::from_slice(&[[1]]);
    };

    an_extra_input => ForeignInput: |_, psbt| {
        let input = TxIn {
            previous_output: OutPoint::new(Txid::from_byte_array([9; 32]), 0),
            ..psbt.unsigned_tx.input[0].clone()
        };
        psbt.unsigned_tx.input.push(input);
        psbt.inputs.push(psbt.inputs[0].clone());
    };
    an_output_of_ours_that_is_not_there => ForeignInput: |_, psbt| {
        psbt.unsigned_tx.input[0].previous_output.vout = 1;
    };
    a_coin_twice => RepeatedInput: |_, psbt| {
        psbt.unsigned_tx.input.push(psbt.unsigned_tx.input[0].clone());
        psbt.inputs.push(psbt.inputs[0].clone());
    };
    a_spent_coin => SpentCoin: |world, psbt| {
        let outpoint = psbt.unsigned_tx.input[0].previous_output;
        world.bitcoin.coins.remove(&outpoint);
        let by = Txid::from_byte_array([7; 32]);
        world.bitcoin.spent.insert(outpoint, orcapool_custody::view::Spent { by, height: TIP });
    };
    an_unconfirmed_coin => UnconfirmedCoin: |world, psbt| {
        coin(world, psbt).height = None;
    };
    an_immature_coin => ImmatureCoin: |world, psbt| {
        coin(world, psbt).height = Some(TIP - 98);
    };
    cve_2020_14199_another_amount => CoinDiffers: |_, psbt| {
        psbt.inputs[0].witness_utxo.as_mut().unwrap().value -= Amount::ONE_SAT;
    };
    another_script_of_a_coin => CoinDiffers: |_, psbt| {
        psbt.inputs[0].witness_utxo.as_mut().unwrap().script_pubkey = elsewhere();
    };
    another_funding_transaction => CoinDiffers: |_, psbt| {
        let funding = psbt.inputs[0].non_witness_utxo.as_mut().unwrap();
        funding.output[0].value += Amount::ONE_SAT;
    };
    another_witness_script => Derivation: |_, psbt| {
        psbt.inputs[0].witness_script = Some(elsewhere());
    };
    keys_of_somebody_else => Derivation: |_, psbt| {
        let origins = psbt.inputs[0].bip32_derivation.values_mut().next().unwrap();
        origins.0 = [1, 2, 3, 4].into();
    };
    a_payout_that_claims_to_be_change => Derivation: |_, psbt| {
        psbt.outputs[0] = psbt.outputs[3].clone();
    };
    cosigners_that_are_not_ours => Derivation: |_, psbt| {
        let (xpub, origin) = psbt.xpub.pop_first().unwrap();
        psbt.xpub.insert(Custodian::new(9).multi().xpub, origin);
        assert_ne!(psbt.xpub.first_key_value().unwrap().0, &xpub);
    };
    no_replacement_by_fee => Sequence: |_, psbt| {
        psbt.unsigned_tx.input[1].sequence = Sequence::ENABLE_LOCKTIME_NO_RBF;
    };
    a_relative_lock_time => Sequence: |_, psbt| {
        psbt.unsigned_tx.input[1].sequence = Sequence::from_height(10);
    };
    a_foreign_sighash => Sighash: |_, psbt| {
        psbt.inputs[0].sighash_type = Some(EcdsaSighashType::AllPlusAnyoneCanPay.into());
    };
    sighash_none => Sighash: |_, psbt| {
        psbt.inputs[0].sighash_type = Some(EcdsaSighashType::None.into());
    };
    a_signature_that_covers_less => Sighash: |_, psbt| {
        psbt.sign(&Custodian::new(1).master, &Secp256k1::new()).unwrap();
        let signature = psbt.inputs[0].partial_sigs.values_mut().next().unwrap();
        signature.sighash_type = EcdsaSighashType::Single;
    };
    an_invalid_signature => Signature: |_, psbt| {
        psbt.sign(&Custodian::new(1).master, &Secp256k1::new()).unwrap();
        let other = *psbt.inputs[1].partial_sigs.values().next().unwrap();
        *psbt.inputs[0].partial_sigs.values_mut().next().unwrap() = other;
    };
    a_signature_of_a_stranger => Signature: |_, psbt| {
        psbt.sign(&Custodian::new(1).master, &Secp256k1::new()).unwrap();
        let signature = *psbt.inputs[0].partial_sigs.values().next().unwrap();
        let stranger = Custodian::new(9).multi().xpub.public_key;
        psbt.inputs[0].partial_sigs.insert(bitcoin::PublicKey::new(stranger), signature);
    };

    payouts_without_their_ids => DataMissing: |_, psbt| {
        psbt.unsigned_tx.output.pop();
        psbt.outputs.pop();
    };
    another_op_return => DataMalformed: |_, psbt| {
        psbt.unsigned_tx.output[4].script_pubkey = ScriptBuf::new_op_return([1; 20]);
    };
    ids_before_the_change => DataNotLast: |_, psbt| {
        psbt.unsigned_tx.output.swap(3, 4);
        psbt.outputs.swap(3, 4);
    };
    ids_twice => DataRepeated: |_, psbt| {
        psbt.unsigned_tx.output.push(psbt.unsigned_tx.output[4].clone());
        psbt.outputs.push(psbt.outputs[4].clone());
    };
    money_in_the_op_return => DataValue: |_, psbt| {
        psbt.unsigned_tx.output[4].value = Amount::ONE_SAT;
    };
    a_hundred_and_one_payouts => TooManyPayouts: |_, psbt| name(psbt, &(1..=101).collect::<Vec<_>>());

    an_unknown_redemption => UnknownRedemption: |_, psbt| name(psbt, &[1, 2, 3, 4]);
    a_settled_redemption => SettledRedemption: |world, _| {
        world.edit(2).state = RedemptionState::Settled;
    };
    a_refunded_redemption => RefundedRedemption: |world, _| {
        world.edit(2).state = RedemptionState::Refunded;
    };
    a_paid_redemption_again => PaidRedemption: |world, psbt| {
        // Another payment of it, which this custodian has not signed, is in a block.
        let outpoint = world.change(1_000, Some(1), 0);
        world.bitcoin.payments.push(orcapool_custody::Payment {
            txid: Txid::from_byte_array([8; 32]),
            inputs: BTreeSet::from([outpoint]),
            ids: BTreeSet::from([2]),
            height: Some(TIP - 1),
        });
        assert_eq!(psbt.inputs.len(), 2);
    };
    a_redemption_about_to_expire => ExpiringRedemption: |world, _| {
        world.edit(2).expires = TIP + 36;
    };
    a_relay_that_lags_behind => ExpiringRedemption: |world, _| {
        // By the relay's height there would be time; anybody can bring the relay up to date.
        world.k2.relay_tip = TIP - 50;
        world.edit(2).expires = TIP + 36;
    };
    a_node_that_lags_behind => ExpiringRedemption: |world, _| {
        world.k2.relay_tip = TIP + 50;
        world.edit(2).expires = TIP + 86;
    };
    another_payment_that_could_confirm_too => MissingConflict: |world, _| {
        world.signed.push(orcapool_custody::Payment {
            txid: Txid::from_byte_array([8; 32]),
            inputs: BTreeSet::from([OutPoint::new(Txid::from_byte_array([9; 32]), 0)]),
            ids: BTreeSet::from([3]),
            height: None,
        });
    };
    longer_than_k2_can_be_shown => Unprovable: |world, psbt| {
        let input = psbt.unsigned_tx.input[0].clone();
        for _ in 0..250 {
            let previous_output = world.coinbase(1_000, 10);
            psbt.unsigned_tx.input.push(TxIn { previous_output, ..input.clone() });
            psbt.inputs.push(bitcoin::psbt::Input::default());
        }
    };
    a_block_at_the_height_of_the_request => TooEarly: |_, psbt| {
        psbt.unsigned_tx.lock_time = LockTime::from_height(TIP - 6).unwrap();
    };
    a_redemption_older_than_the_journal => Fence: |world, _| world.born = TIP;

    an_output_missing => MissingOutput: |_, psbt| {
        for at in [3, 2] {
            psbt.unsigned_tx.output.remove(at);
            psbt.outputs.remove(at);
        }
    };
    a_swapped_output => SwappedOutput: |_, psbt| psbt.unsigned_tx.output.swap(0, 1);
    a_payout_to_somebody_else => WrongScript: |_, psbt| {
        psbt.unsigned_tx.output[1].script_pubkey = elsewhere();
    };
    more_than_is_burned => Overpaid: |_, psbt| {
        psbt.unsigned_tx.output[0].value = Amount::from_sat(1_000_001);
    };
    less_than_k2_accepts => Underpaid: |_, psbt| {
        psbt.unsigned_tx.output[0].value = Amount::from_sat(1_000_000 - 20_001);
    };
    one_redeemer_bears_the_others_fee => UnfairFee: |_, psbt| {
        psbt.unsigned_tx.output[0].value += Amount::from_sat(50);
        psbt.unsigned_tx.output[1].value -= Amount::from_sat(50);
    };
    dust => Dust: |world, psbt| {
        let redemption = world.edit(1);
        redemption.max_fee = redemption.amount;
        psbt.unsigned_tx.output[0].value = Amount::from_sat(200);
    };
    an_extra_output => ExtraOutput: |_, psbt| foreign_output(psbt, 4);

    change_to_somebody_else => ForeignChange: |_, psbt| {
        psbt.unsigned_tx.output[3].script_pubkey = elsewhere();
    };
    change_without_its_index => ForeignChange: |_, psbt| psbt.outputs[3].bip32_derivation.clear();
    change_to_the_coinbase_script => MintableChange: |world, psbt| {
        psbt.unsigned_tx.output[3].script_pubkey = world.setup.coinbase_script().unwrap();
    };
    change_to_another_coinbase_index => MintableChange: |world, psbt| {
        let script = world.setup.script(KeychainKind::External, 3).unwrap();
        psbt.unsigned_tx.output[3].script_pubkey = script;
    };
    change_nobody_would_find => DistantChange: |world, psbt| {
        let index = (1 << 31) - 1;
        psbt.unsigned_tx.output[3].script_pubkey =
            world.setup.script(KeychainKind::Internal, index).unwrap();
        for (_, path) in psbt.outputs[3].bip32_derivation.values_mut() {
            let account: Vec<_> = path.into_iter().copied().take(5).collect();
            *path = [account, vec![index.into()]].concat().into();
        }
    };
    too_little_change => ChangeAmount: |_, psbt| {
        psbt.unsigned_tx.output[3].value -= Amount::from_sat(500);
    };
    change_left_to_the_miners => ChangeAmount: |_, psbt| {
        psbt.unsigned_tx.output.remove(3);
        psbt.outputs.remove(3);
    };

    coins_worth_less_than_what_is_paid => Overspent: |_, psbt| {
        let redeemed = psbt.unsigned_tx.input.pop().unwrap();
        psbt.inputs.pop();
        assert_eq!(redeemed.sequence, Sequence::ENABLE_RBF_NO_LOCKTIME);
    };
    a_huge_fee => FeeCap: |world, psbt| {
        for id in 1..=3 {
            world.edit(id).max_fee = Amount::from_sat(900_000);
        }
        world.limits.max_fee = Amount::from_sat(599_999);
        for output in &mut psbt.unsigned_tx.output[..3] {
            output.value -= Amount::from_sat(200_000);
        }
    };
    a_huge_rate_of_fee => FeeRateCap: |world, _| {
        world.limits.max_fee_rate = FeeRate::BROADCAST_MIN;
    };

    a_sweep_to_somebody => UnregisteredSweep: |_, psbt| sole_output(psbt, elsewhere());
    a_sweep_to_a_script_no_longer_registered => UnregisteredSweep: |world, psbt| {
        world.k2.scripts = vec![elsewhere()];
        sole_output(psbt, world.setup.coinbase_script().unwrap());
    };
    a_sweep_with_something_beside_it => ExtraOutput: |world, psbt| {
        sole_output(psbt, world.setup.coinbase_script().unwrap());
        foreign_output(psbt, 1);
    };
    a_transfer_that_cancels_nothing => CancelsNothing: |world, psbt| {
        to_own_change(world, psbt);
    };
    a_cancellation_with_another_coin_in_it => IdleCoin: |world, psbt| {
        to_own_change(world, psbt);
        let input = psbt.unsigned_tx.input[0].previous_output;
        world.signed.push(payment_of(input));
    };
}

/// Another custodian signed it, and it is held back: only on purpose.
#[test]
fn a_cancellation_of_what_is_not_known_is_signed_when_it_is_asked_for() {
    let (mut world, mut psbt) = base();
    to_own_change(&world, &mut psbt);
    let refused = review(&psbt, &world.known()).unwrap_err();
    assert_eq!(refused.rule, Rule::CancelsNothing);
    world.limits.unknown_cancel = true;
    let reviewed = review(&psbt, &world.known()).unwrap();
    let Purpose::Cancel { ids, .. } = reviewed.purpose() else {
        panic!("{:?}", reviewed.purpose());
    };
    assert_eq!(*ids, BTreeSet::new());
    // What it knows is still held against it: here a payment whose redemption another one could pay.
    let mut other = payment_of(psbt.unsigned_tx.input[0].previous_output);
    world.signed.push(other.clone());
    other.txid = Txid::from_byte_array([10; 32]);
    other.inputs = BTreeSet::from([OutPoint::new(Txid::from_byte_array([9; 32]), 0)]);
    world.signed.push(other);
    let refused = review(&psbt, &world.known()).unwrap_err();
    assert_eq!(refused.rule, Rule::MissingConflict);
}

fn to_own_change(world: &World, psbt: &mut Psbt) {
    let script = world.setup.script(KeychainKind::Internal, 3).unwrap();
    let map = psbt.outputs[3].clone();
    sole_output(psbt, script);
    psbt.outputs[0] = map;
}

fn payment_of(input: OutPoint) -> orcapool_custody::Payment {
    orcapool_custody::Payment {
        txid: Txid::from_byte_array([8; 32]),
        inputs: BTreeSet::from([input]),
        ids: BTreeSet::from([3]),
        height: None,
    }
}

fn key() -> raw::Key {
    raw::Key {
        type_value: 0xf0,
        key: vec![1],
    }
}

fn coin<'a>(world: &'a mut World, psbt: &Psbt) -> &'a mut orcapool_custody::Coin {
    let outpoint = psbt.unsigned_tx.input[0].previous_output;
    world.bitcoin.coins.get_mut(&outpoint).unwrap()
}

fn foreign_output(psbt: &mut Psbt, at: usize) {
    let output = TxOut {
        value: Amount::from_sat(1_000),
        script_pubkey: elsewhere(),
    };
    psbt.unsigned_tx.output.insert(at, output);
    psbt.outputs.insert(at, bitcoin::psbt::Output::default());
}

fn name(psbt: &mut Psbt, ids: &[u64]) {
    let script = RedeemIds::encode(ids).unwrap();
    psbt.unsigned_tx.output.last_mut().unwrap().script_pubkey = ScriptBuf::from_bytes(script);
}

/// All the coins to one script, at a fee of 1,000 sat.
fn sole_output(psbt: &mut Psbt, script: ScriptBuf) {
    psbt.unsigned_tx.output = vec![TxOut {
        value: Amount::from_sat(8_000_000 - 1_000),
        script_pubkey: script,
    }];
    psbt.outputs = vec![bitcoin::psbt::Output::default()];
}

#[test]
fn a_refusal_names_its_rule() {
    let (world, mut psbt) = base();
    psbt.unsigned_tx.output.swap(0, 1);
    let refused = review(&psbt, &world.known()).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "refused by the rule swapped-output (the n-th output pays the n-th redemption): output 0 must pay redemption 1 \
         and pays 2"
    );
}

/// What the file says of coins may be missing: it is not needed, because nothing of it is used.
#[test]
fn a_bare_transaction_is_completed_from_own_knowledge() {
    let (world, psbt) = base();
    let mut bare = Psbt::from_unsigned_tx(psbt.unsigned_tx.clone()).unwrap();
    bare.outputs[3].bip32_derivation = psbt.outputs[3].bip32_derivation.clone();
    let reviewed = review(&bare, &world.known()).unwrap();
    assert_eq!(reviewed.psbt(), &psbt);
}
