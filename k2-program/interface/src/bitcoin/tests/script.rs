use std::vec;
use std::vec::Vec;

use bitcoin::Script;
use proptest::prelude::*;

use super::hex;
use crate::bitcoin::script::{MAX_SCRIPT_LEN, PACKED_LEN};
use crate::bitcoin::{ScriptError, ScriptPubkey, ScriptType};

/// What the `bitcoin` crate says a script is.
fn theirs(script: &[u8]) -> Option<ScriptType> {
    let script = Script::from_bytes(script);
    [
        (script.is_p2pkh(), ScriptType::P2pkh),
        (script.is_p2sh(), ScriptType::P2sh),
        (script.is_p2wpkh(), ScriptType::P2wpkh),
        (script.is_p2wsh(), ScriptType::P2wsh),
        (script.is_p2tr(), ScriptType::P2tr),
    ]
    .into_iter()
    .find_map(|(is, kind)| is.then_some(kind))
}

fn template(kind: ScriptType, hash: &[u8; 32]) -> Vec<u8> {
    let (prefix, length, suffix): (&[u8], _, &[u8]) = match kind {
        ScriptType::P2pkh => (&[0x76, 0xa9, 20], 20, &[0x88, 0xac]),
        ScriptType::P2sh => (&[0xa9, 20], 20, &[0x87]),
        ScriptType::P2wpkh => (&[0, 20], 20, &[]),
        ScriptType::P2wsh => (&[0, 32], 32, &[]),
        ScriptType::P2tr => (&[0x51, 32], 32, &[]),
    };
    [prefix, &hash[..length], suffix].concat()
}

const TYPES: [ScriptType; 5] = [
    ScriptType::P2pkh,
    ScriptType::P2sh,
    ScriptType::P2wpkh,
    ScriptType::P2wsh,
    ScriptType::P2tr,
];

#[test]
fn dust_limits_are_cores() {
    for (kind, limit) in TYPES.into_iter().zip([546, 540, 294, 330, 330]) {
        let script = template(kind, &[9; 32]);
        assert_eq!(kind.dust_limit(), limit);
        assert_eq!(
            Script::from_bytes(&script).minimal_non_dust().to_sat(),
            limit
        );
        assert_eq!(ScriptPubkey::parse(&script).unwrap().dust_limit(), limit);
    }
}

#[test]
fn other_scripts_are_refused() {
    for script in [
        // OP_RETURN, pay to public key, bare multisig, pay to anchor, a witness version of the future.
        "6a044b4f4949",
        "4104678afdb0fe5548271967f1a67130b7105cd6a828e03909a67962e0ea1f61deb649f6bc3f4cef38c4f35504e51ec112de5c384df7ba0b8d578a4c702b6bf11d5fac",
        "512103ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff51ae",
        "51024e73",
        "5220000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
        "",
    ] {
        let script = hex(script);
        assert_eq!(theirs(&script), None);
        assert_eq!(ScriptPubkey::parse(&script), Err(ScriptError::NotStandard));
    }
}

#[test]
fn packed_has_one_form() {
    assert_eq!(
        ScriptPubkey::from_packed(&[0; PACKED_LEN]),
        Err(ScriptError::Empty)
    );
    let mut packed = [0; PACKED_LEN];
    for length in 35..=255 {
        packed[0] = length;
        assert_eq!(
            ScriptPubkey::from_packed(&packed),
            Err(ScriptError::NotStandard)
        );
    }
    for kind in TYPES {
        let script = template(kind, &[9; 32]);
        let packed = ScriptPubkey::parse(&script).unwrap().to_packed();
        assert_eq!(usize::from(packed[0]), script.len());
        for at in 1 + script.len()..PACKED_LEN {
            let mut dirty = packed;
            dirty[at] = 1;
            assert_eq!(ScriptPubkey::from_packed(&dirty), Err(ScriptError::Padding));
        }
    }
}

proptest! {
    #[test]
    fn standard_scripts_come_back(kind in prop::sample::select(&TYPES[..]), hash: [u8; 32]) {
        let script = template(kind, &hash);
        let ours = ScriptPubkey::parse(&script).unwrap();
        prop_assert_eq!(ours.kind(), kind);
        prop_assert_eq!(Some(kind), theirs(&script));
        prop_assert_eq!(ours.as_bytes(), &script[..]);
        prop_assert_eq!(ScriptPubkey::from_packed(&ours.to_packed()), Ok(ours));
    }

    /// Templates with a changed byte, and noise of the right lengths.
    #[test]
    fn classified_as_the_bitcoin_crate_does(
        script in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..=MAX_SCRIPT_LEN + 2),
            (prop::sample::select(&TYPES[..]), any::<[u8; 32]>(), any::<prop::sample::Index>(), any::<u8>(), any::<bool>())
                .prop_map(|(kind, hash, at, byte, longer)| {
                    let mut script = template(kind, &hash);
                    let at = at.index(script.len());
                    script[at] = byte;
                    if longer {
                        script.push(byte);
                    }
                    script
                }),
        ],
    ) {
        let ours = ScriptPubkey::parse(&script);
        prop_assert_eq!(ours.ok().map(|script| script.kind()), theirs(&script));
    }

    #[test]
    fn what_is_unpacked_packs_the_same(packed in prop::collection::vec(0..40_u8, PACKED_LEN)) {
        let packed: [u8; PACKED_LEN] = packed.try_into().unwrap();
        if let Ok(script) = ScriptPubkey::from_packed(&packed) {
            prop_assert_eq!(script.to_packed(), packed);
        }
    }
}

#[test]
fn a_script_is_its_exact_bytes() {
    for kind in TYPES {
        let script = template(kind, &[9; 32]);
        assert!(ScriptPubkey::parse(&script[..script.len() - 1]).is_err());
        assert!(ScriptPubkey::parse(&[script, vec![0]].concat()).is_err());
    }
}
