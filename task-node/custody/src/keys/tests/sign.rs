//! What is signed, and what a hostile coordinator's PSBT does not get signed.

use bitcoin::absolute::LockTime;
use bitcoin::psbt::PsbtSighashType;
use bitcoin::secp256k1::Message;
use bitcoin::sighash::SighashCache;
use bitcoin::{
    Amount, EcdsaSighashType, OutPoint, Psbt, ScriptBuf, Sequence, Transaction, TxIn, TxOut,
    Witness, transaction,
};
use miniscript::psbt::PsbtExt as _;

use super::*;

/// A PSBT that spends one output of each keychain of a setup, and one foreign output that nothing is known about.
fn spend(setup: &Setup) -> Psbt {
    let output = |value, script| TxOut {
        value: Amount::from_sat(value),
        script_pubkey: script,
    };
    let keychains = [
        bdk_wallet::KeychainKind::External,
        bdk_wallet::KeychainKind::Internal,
    ];
    let funding = Transaction {
        version: transaction::Version::TWO,
        lock_time: LockTime::ZERO,
        input: vec![TxIn::default()],
        output: keychains
            .map(|keychain| output(50_000, setup.script(keychain, 7).unwrap()))
            .to_vec(),
    };
    let txid = funding.compute_txid();
    let outpoints = [
        OutPoint::new(txid, 0),
        OutPoint::new(txid, 1),
        OutPoint::null(),
    ];
    let unsigned = Transaction {
        version: transaction::Version::TWO,
        lock_time: LockTime::ZERO,
        input: outpoints
            .map(|previous_output| TxIn {
                previous_output,
                script_sig: ScriptBuf::new(),
                sequence: Sequence::ENABLE_RBF_NO_LOCKTIME,
                witness: Witness::new(),
            })
            .to_vec(),
        output: vec![output(99_000, setup.coinbase_script().unwrap())],
    };
    let mut psbt = Psbt::from_unsigned_tx(unsigned).unwrap();
    for (index, keychain) in keychains.into_iter().enumerate() {
        psbt.inputs[index].witness_utxo = Some(funding.output[index].clone());
        psbt.inputs[index].non_witness_utxo = Some(funding.clone());
        let descriptor = setup.keychain(keychain).at_derivation_index(7).unwrap();
        psbt.update_input_with_descriptor(index, &descriptor)
            .unwrap();
    }
    psbt
}

fn single_setup() -> Setup {
    Setup::single(Network::Regtest, numbered(1).cosigner(Purpose::Single)).unwrap()
}

fn multisig_setup() -> Setup {
    let cosigners = [1, 2, 3].map(|number| numbered(number).cosigner(Purpose::Multisig).clone());
    Setup::multisig(Network::Regtest, 2, &cosigners).unwrap()
}

#[test]
fn a_key_signs_its_inputs_and_no_others() {
    for setup in [single_setup(), multisig_setup()] {
        let unsigned = spend(&setup);
        let mut psbt = unsigned.clone();
        assert_eq!(numbered(1).sign(&mut psbt).unwrap(), 2);
        let secp = Secp256k1::new();
        for index in [0, 1] {
            let (key, signature) = psbt.inputs[index].partial_sigs.first_key_value().unwrap();
            assert_eq!(psbt.inputs[index].partial_sigs.len(), 1);
            assert_eq!(signature.sighash_type, EcdsaSighashType::All);
            let mut cache = SighashCache::new(&psbt.unsigned_tx);
            let (message, _): (Message, _) = psbt.sighash_ecdsa(index, &mut cache).unwrap();
            secp.verify_ecdsa(&message, &signature.signature, &key.inner)
                .unwrap();
        }
        assert_eq!(psbt.inputs[2], unsigned.inputs[2]);
        assert_eq!(psbt.unsigned_tx, unsigned.unsigned_tx);
        // Signing again changes nothing: the nonce comes from the message (RFC 6979).
        let once = psbt.clone();
        assert_eq!(numbered(1).sign(&mut psbt).unwrap(), 2);
        assert_eq!(psbt, once);
        // A stranger's key finds nothing to do.
        let mut untouched = unsigned.clone();
        assert_eq!(numbered(9).sign(&mut untouched).unwrap(), 0);
        assert_eq!(untouched, unsigned);
    }
}

/// What a hostile coordinator may put into a PSBT: each is refused, and nothing is signed.
#[test]
fn inputs_that_are_not_what_they_seem_are_refused() {
    type Change = fn(&mut Psbt);
    let changes: [(&str, Change); 12] = [
        ("is missing", |psbt| psbt.inputs[1].non_witness_utxo = None),
        ("another than the one it spends", |psbt| {
            let funding = psbt.inputs[1].non_witness_utxo.as_mut().unwrap();
            funding.output[1].value = Amount::from_sat(1);
        }),
        // CVE-2020-14199: the amount is shown smaller than it is, and the rest would be fees.
        ("its amount or script", |psbt| {
            psbt.inputs[1].witness_utxo.as_mut().unwrap().value = Amount::from_sat(10_000);
        }),
        ("its amount or script", |psbt| {
            psbt.inputs[1].witness_utxo.as_mut().unwrap().script_pubkey = ScriptBuf::new();
        }),
        ("SIGHASH_ALL", |psbt| {
            psbt.inputs[1].sighash_type = Some(EcdsaSighashType::None.into());
        }),
        ("SIGHASH_ALL", |psbt| {
            psbt.inputs[1].sighash_type = Some(EcdsaSighashType::AllPlusAnyoneCanPay.into());
        }),
        ("SIGHASH_ALL", |psbt| {
            psbt.inputs[1].sighash_type = Some(PsbtSighashType::from_u32(0x41));
        }),
        ("not one of this key's two accounts", |psbt| {
            for (_, path) in psbt.inputs[1].bip32_derivation.values_mut() {
                *path = path.child(ChildNumber::Normal { index: 0 });
            }
        }),
        ("not one of this key's two accounts", |psbt| {
            for (_, path) in psbt.inputs[1].bip32_derivation.values_mut() {
                *path = DerivationPath::master();
            }
        }),
        ("is not the one at its path", |psbt| {
            psbt.inputs[1].bip32_derivation = psbt.inputs[0]
                .bip32_derivation
                .iter()
                .zip(psbt.inputs[1].bip32_derivation.values())
                .map(|((key, _), origin)| (*key, origin.clone()))
                .collect();
        }),
        ("neither the key's nor its script's", |psbt| {
            psbt.inputs[1].witness_script = Some(ScriptBuf::from_bytes(vec![0x51]));
        }),
        ("final already", |psbt| {
            psbt.inputs[1].final_script_witness = Some(Witness::from_slice(&[[1]]));
        }),
    ];
    for setup in [single_setup(), multisig_setup()] {
        for (expected, change) in changes {
            let mut psbt = spend(&setup);
            change(&mut psbt);
            let before = psbt.clone();
            let error = numbered(1).sign(&mut psbt).unwrap_err().to_string();
            assert!(error.contains(expected), "{expected}: {error}");
            assert!(error.contains("input 1"), "{error}");
            assert_eq!(psbt, before, "{expected}: nothing is signed");
        }
    }
}

/// The script is one that pays the key alone, among the keys of the wallet's own.
#[test]
fn a_script_without_the_key_is_refused() {
    let mut psbt = spend(&multisig_setup());
    let foreign = ScriptBuf::from_bytes(vec![0x51]);
    let mut funding = psbt.inputs[0].non_witness_utxo.clone().unwrap();
    funding.output[0].script_pubkey = foreign.to_p2wsh();
    psbt.unsigned_tx.input[0].previous_output.txid = funding.compute_txid();
    psbt.inputs[0].witness_utxo = Some(funding.output[0].clone());
    psbt.inputs[0].non_witness_utxo = Some(funding);
    psbt.inputs[0].witness_script = Some(foreign);
    let error = numbered(1).sign(&mut psbt).unwrap_err().to_string();
    assert!(error.contains("does not hold the key"), "{error}");
}

#[test]
fn a_taproot_origin_of_ours_is_refused() {
    let mut psbt = spend(&single_setup());
    let key = numbered(1);
    let (public, origin) = psbt.inputs[0].bip32_derivation.first_key_value().unwrap();
    let (public, origin) = (public.x_only_public_key().0, origin.clone());
    psbt.inputs[2]
        .tap_key_origins
        .insert(public, (Vec::new(), origin));
    assert!(key.sign(&mut psbt).is_err());
}
