//! No transaction that differs from a planned one in anything passes.

use bitcoin::absolute::LockTime;
use bitcoin::transaction::Version;
use bitcoin::{Amount, EcdsaSighashType, OutPoint, Psbt, Sequence, TxOut};
use orcapool_custody::payment::{
    Purpose, Reviewed, Rule, combine, describe, finalize, read_psbt, review,
};
use proptest::prelude::*;
use proptest::sample::Index;

use crate::support::Custodian;
use crate::support::regtest::elsewhere;
use crate::world::{TIP, World};

/// One difference.
#[derive(Debug, Clone)]
enum Mutation {
    Value(Index, i64),
    Script(Index),
    SwapOutputs(Index, Index),
    MoveOutput(Index, Index),
    RemoveOutput(Index),
    AddOutput(Index, u64),
    RepeatOutput(Index),
    RemoveInput(Index),
    AddInput(Index),
    ReplaceInput(Index),
    ForeignInput(Index),
    Sequence(Index, u32),
    Sighash(Index, u8),
    LockTime(u32),
    Version(i32),
    SaidAmount(Index, u64),
    DataBit(usize, u8),
}

fn mutations() -> impl Strategy<Value = Mutation> {
    use Mutation as M;
    let at = any::<Index>;
    let step = prop_oneof![
        -3_i64..=3,
        -2_000_000_i64..2_000_000,
        Just(i64::MAX),
        Just(i64::MIN + 1)
    ];
    prop_oneof![
        (at(), step).prop_map(|(at, by)| M::Value(at, by)),
        at().prop_map(M::Script),
        (at(), at()).prop_map(|(a, b)| M::SwapOutputs(a, b)),
        (at(), at()).prop_map(|(a, b)| M::MoveOutput(a, b)),
        at().prop_map(M::RemoveOutput),
        (at(), 0_u64..100_000).prop_map(|(at, value)| M::AddOutput(at, value)),
        at().prop_map(M::RepeatOutput),
        at().prop_map(M::RemoveInput),
        at().prop_map(M::AddInput),
        at().prop_map(M::ReplaceInput),
        at().prop_map(M::ForeignInput),
        (at(), any::<u32>()).prop_map(|(at, sequence)| M::Sequence(at, sequence)),
        (at(), any::<u8>()).prop_map(|(at, sighash)| M::Sighash(at, sighash)),
        (TIP + 1..).prop_map(M::LockTime),
        any::<i32>().prop_map(M::Version),
        (at(), any::<u64>()).prop_map(|(at, value)| M::SaidAmount(at, value)),
        (0_usize..80, 0_u8..8).prop_map(|(byte, bit)| M::DataBit(byte, bit)),
    ]
}

/// Applies it, and tells by which rules the result may be refused; none: it is no difference.
fn apply(mutation: &Mutation, psbt: &mut Psbt, world: &World) -> Option<&'static [Rule]> {
    use Mutation as M;
    use Rule as R;
    const AMOUNT: &[Rule] = &[
        R::Overpaid,
        R::Underpaid,
        R::UnfairFee,
        R::ChangeAmount,
        R::Dust,
        R::DataValue,
        R::Overspent,
        R::FeeCap,
        R::FeeRateCap,
    ];
    const PLACE: &[Rule] = &[
        R::SwappedOutput,
        R::WrongScript,
        R::DataNotLast,
        R::DataMissing,
        R::MissingOutput,
        R::ExtraOutput,
        R::ForeignChange,
        R::ChangeAmount,
        R::DataRepeated,
        R::UnregisteredSweep,
        R::CancelsNothing,
        R::Overpaid,
        R::Underpaid,
        R::Shape,
        R::Overspent,
    ];
    let before = psbt.unsigned_tx.clone();
    let transaction = &mut psbt.unsigned_tx;
    let (outputs, inputs) = (transaction.output.len(), transaction.input.len());
    let spare = world.bitcoin.coins.keys().find(|coin| {
        !before
            .input
            .iter()
            .any(|input| input.previous_output == **coin)
    });
    let rules = match mutation {
        M::Value(at, by) => {
            let value = &mut transaction.output[at.index(outputs)].value;
            *value = Amount::from_sat(value.to_sat().saturating_add_signed(*by));
            AMOUNT
        }
        M::Script(at) => {
            transaction.output[at.index(outputs)].script_pubkey = elsewhere();
            &[R::WrongScript, R::ForeignChange, R::DataMissing][..]
        }
        M::SwapOutputs(a, b) => {
            let (a, b) = (a.index(outputs), b.index(outputs));
            transaction.output.swap(a, b);
            psbt.outputs.swap(a, b);
            PLACE
        }
        M::MoveOutput(a, b) => {
            let (a, b) = (a.index(outputs), b.index(outputs));
            let output = transaction.output.remove(a);
            transaction.output.insert(b, output);
            let map = psbt.outputs.remove(a);
            psbt.outputs.insert(b, map);
            PLACE
        }
        M::RemoveOutput(at) => {
            transaction.output.remove(at.index(outputs));
            psbt.outputs.remove(at.index(outputs));
            PLACE
        }
        M::AddOutput(at, value) => {
            let output = TxOut {
                value: Amount::from_sat(*value),
                script_pubkey: elsewhere(),
            };
            transaction.output.insert(at.index(outputs + 1), output);
            psbt.outputs
                .insert(at.index(outputs + 1), bitcoin::psbt::Output::default());
            PLACE
        }
        M::RepeatOutput(at) => {
            let at = at.index(outputs);
            transaction.output.insert(at, before.output[at].clone());
            psbt.outputs.insert(at, psbt.outputs[at].clone());
            PLACE
        }
        M::RemoveInput(at) => {
            transaction.input.remove(at.index(inputs));
            psbt.inputs.remove(at.index(inputs));
            &[R::Shape, R::ChangeAmount, R::Overspent]
        }
        M::AddInput(at) => {
            let mut input = before.input[0].clone();
            input.previous_output = *spare?;
            transaction.input.insert(at.index(inputs + 1), input);
            psbt.inputs
                .insert(at.index(inputs + 1), bitcoin::psbt::Input::default());
            &[R::ChangeAmount]
        }
        M::ReplaceInput(at) => {
            transaction.input[at.index(inputs)].previous_output = *spare?;
            psbt.inputs[at.index(inputs)] = bitcoin::psbt::Input::default();
            &[R::ChangeAmount, R::Overspent]
        }
        M::ForeignInput(at) => {
            let OutPoint { txid, vout } = before.input[at.index(inputs)].previous_output;
            transaction.input[at.index(inputs)].previous_output = OutPoint::new(txid, vout ^ 5);
            &[R::ForeignInput]
        }
        M::Sequence(at, sequence) => {
            transaction.input[at.index(inputs)].sequence = Sequence(*sequence);
            &[R::Sequence]
        }
        M::Sighash(at, sighash) => {
            let sighash = bitcoin::psbt::PsbtSighashType::from_u32(u32::from(*sighash));
            if sighash == EcdsaSighashType::All.into() {
                return None;
            }
            psbt.inputs[at.index(inputs)].sighash_type = Some(sighash);
            return Some(&[R::Sighash]);
        }
        M::LockTime(lock_time) => {
            transaction.lock_time = LockTime::from_consensus(*lock_time);
            &[R::LockTime]
        }
        M::Version(version) => {
            transaction.version = Version(*version);
            &[R::Version]
        }
        M::SaidAmount(at, value) => {
            let said = psbt.inputs[at.index(inputs)].witness_utxo.as_mut().unwrap();
            if said.value == Amount::from_sat(*value) {
                return None;
            }
            said.value = Amount::from_sat(*value);
            return Some(&[R::CoinDiffers]);
        }
        M::DataBit(byte, bit) => {
            let script = &mut transaction.output.last_mut()?.script_pubkey;
            let mut bytes = script.to_bytes();
            *bytes.get_mut(*byte)? ^= 1 << bit;
            *script = bytes.into();
            &[
                R::DataMalformed,
                R::DataMissing,
                R::UnknownRedemption,
                R::MissingOutput,
                R::WrongScript,
                R::SwappedOutput,
                R::ExtraOutput,
                R::ForeignChange,
                R::ChangeAmount,
                R::TooManyPayouts,
            ]
        }
    };
    (psbt.unsigned_tx != before).then_some(rules)
}

/// Nobody pays more than the highest fee, and nobody who could pay more pays less than another one, to the satoshi.
fn is_fair(reviewed: &Reviewed, world: &World) -> bool {
    let Purpose::Payout { payouts, .. } = reviewed.purpose() else {
        return false;
    };
    let most = payouts.iter().map(|payout| payout.fee).max().unwrap();
    payouts.iter().all(|payout| {
        let max_fee = world.k2.redemptions[&payout.id].max_fee;
        let dust = payout.script.minimal_non_dust();
        payout.fee <= max_fee
            && (payout.fee + Amount::ONE_SAT >= most
                || payout.fee == max_fee
                || payout.paid == dust)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn what_is_altered_is_refused(
        coins in prop::collection::btree_set(10_000_u64..5_000_000, 1..6),
        redemptions in prop::collection::vec((8_000_u64..900_000, 1_500_u64..8_000), 1..6),
        rate in 1_u32..4,
        mutation in mutations(),
    ) {
        let coins: Vec<_> = coins.into_iter().collect();
        let mut world = World::with(&coins, &redemptions);
        world.rate = bitcoin::FeeRate::from_sat_per_vb_u32(rate);
        let Some(payment) = world.plan().payment else {
            return Ok(());
        };
        let mut psbt = payment.psbt().clone();
        let Some(rules) = apply(&mutation, &mut psbt, &world) else {
            prop_assert!(review(&psbt, &world.known()).is_ok());
            return Ok(());
        };
        let refused = review(&psbt, &world.known());
        match refused {
            // One satoshi more for one redeemer can be the fair split of a fee that is one lower.
            Ok(reviewed) => prop_assert!(
                matches!(mutation, Mutation::Value(..)) && is_fair(&reviewed, &world),
                "{mutation:?} passes"
            ),
            Err(refused) => prop_assert!(rules.contains(&refused.rule), "{mutation:?}: {refused}"),
        }
    }
}

/// A planned and half signed payment, as bytes.
fn file() -> (World, Vec<u8>) {
    let world = World::with(
        &[5_000_000, 3_000_000],
        &[(1_000_000, 20_000), (6_000_000, 20_000)],
    );
    let mut psbt = world.payment().psbt().clone();
    let secp = bitcoin::secp256k1::Secp256k1::new();
    psbt.sign(&Custodian::new(1).master, &secp).unwrap();
    let bytes = psbt.serialize();
    (world, bytes)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    /// Whatever arrives is read, described, reviewed, combined and finished without harm, and nothing passes the review
    /// that does not spend and pay exactly what was planned.
    #[test]
    fn damaged_files_do_no_harm(
        cut in prop::option::weighted(0.2, any::<Index>()),
        flips in prop::collection::vec((any::<Index>(), 1_u8..), 1..4),
    ) {
        let (world, mut bytes) = file();
        let planned = world.payment().txid();
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        for (at, mask) in flips {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] ^= mask;
            }
        }
        let Ok(psbt) = read_psbt(&bytes) else {
            return Ok(());
        };
        let network = world.setup.network();
        prop_assert!(!describe(&psbt, network, None).to_string().is_empty());
        let description = describe(&psbt, network, Some(&world.known()));
        prop_assert!(description.to_string().contains(&psbt.unsigned_tx.compute_txid().to_string()));
        let _ = combine(&[psbt.clone(), psbt.clone()]);
        prop_assert!(finalize(&psbt, &world.setup, &world.bitcoin).is_err(), "one signature of two");
        match review(&psbt, &world.known()) {
            Ok(reviewed) => {
                // The lock time alone may be an earlier one.
                let mut same = psbt.unsigned_tx.clone();
                same.lock_time = world.payment().psbt().unsigned_tx.lock_time;
                prop_assert_eq!(same.compute_txid(), planned);
                prop_assert_eq!(&reviewed.psbt().unsigned_tx, &psbt.unsigned_tx);
                prop_assert!(description.verified);
            }
            Err(refused) => prop_assert_eq!(description.refused, Some(refused)),
        }
    }
}
