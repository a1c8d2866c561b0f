use std::collections::BTreeSet;
use std::vec;
use std::vec::Vec;

use bitcoin::Script;
use bitcoin::script::Instruction;
use proptest::prelude::*;

use crate::bitcoin::redeem_ids::{MAX_SPAN, is_payout};
use crate::bitcoin::{RedeemIds, RedeemIdsError};

fn script(payload: &[u8]) -> Vec<u8> {
    bitcoin::ScriptBuf::new_op_return(<&bitcoin::script::PushBytes>::try_from(payload).unwrap())
        .into_bytes()
}

fn payload(version: u8, first: u64, bitmap: &[u8]) -> Vec<u8> {
    [b"KOII", &[version][..], &first.to_le_bytes(), bitmap].concat()
}

fn error(script: &[u8]) -> Option<RedeemIdsError> {
    RedeemIds::parse(script).err()
}

#[test]
fn the_bytes_are_these() {
    let bytes = RedeemIds::encode(&[258, 256, 271]).unwrap();
    assert_eq!(bytes, script(&payload(1, 256, &[0b101, 0x80])));
    assert_eq!(bytes[..7], [0x6a, 15, b'K', b'O', b'I', b'I', 1]);
    let ids = RedeemIds::parse(&bytes).unwrap();
    assert_eq!(ids.ids().collect::<Vec<_>>(), [256, 258, 271]);
    for id in [0, 255, 257, 272, 256 + (1 << 32), u64::MAX] {
        assert!(!ids.contains(id));
    }
}

/// 62, 63 and 64 bytes of bitmap: the longest direct push and the two that need OP_PUSHDATA1.
#[test]
fn the_push_is_the_shortest() {
    for (bits, opcode) in [(496, &[75][..]), (504, &[0x4c, 76]), (512, &[0x4c, 77])] {
        let bytes = RedeemIds::encode(&[0, bits - 1]).unwrap();
        assert_eq!(bytes[1..=opcode.len()], *opcode);
        assert!(bytes.len() <= 83, "MAX_OP_RETURN_RELAY");
        assert_eq!(
            RedeemIds::parse(&bytes).unwrap().ids().collect::<Vec<_>>(),
            [0, bits - 1]
        );
        // Every other opcode that pushes the same.
        let payload = &bytes[1 + opcode.len()..];
        let length = payload.len() as u8;
        let mut longer = vec![
            (vec![0x6a, 0x4d, length, 0], RedeemIdsError::NotRedeemIds),
            (
                vec![0x6a, 0x4e, length, 0, 0, 0],
                RedeemIdsError::NotRedeemIds,
            ),
        ];
        if length <= 75 {
            longer.push((vec![0x6a, 0x4c, length], RedeemIdsError::Push));
        }
        for (opcode, expected) in longer {
            assert_eq!(error(&[&opcode, payload].concat()), Some(expected));
        }
    }
}

#[test]
fn one_set_has_one_form() {
    let parse = |first, bitmap: &[u8]| error(&script(&payload(1, first, bitmap)));
    assert_eq!(parse(7, &[1]), None);
    assert_eq!(parse(7, &[]), Some(RedeemIdsError::BitmapLength));
    assert_eq!(parse(7, &[0xff; 64]), None);
    assert_eq!(parse(7, &[0xff; 65]), Some(RedeemIdsError::BitmapLength));
    assert_eq!(parse(7, &[2]), Some(RedeemIdsError::BitmapForm));
    assert_eq!(parse(7, &[0]), Some(RedeemIdsError::BitmapForm));
    assert_eq!(parse(7, &[1, 0]), Some(RedeemIdsError::BitmapForm));
    assert_eq!(parse(u64::MAX, &[1]), None);
    assert_eq!(parse(u64::MAX, &[3]), Some(RedeemIdsError::Overflow));
    assert_eq!(parse(u64::MAX - 511, &[0xff; 64]), None);
    assert_eq!(
        parse(u64::MAX - 510, &[0xff; 64]),
        Some(RedeemIdsError::Overflow)
    );
}

#[test]
fn other_outputs_are_told_apart() {
    let good = RedeemIds::encode(&[1, 5]).unwrap();
    for end in 0..good.len() {
        let expected = if end < 6 {
            RedeemIdsError::NotRedeemIds
        } else {
            RedeemIdsError::Push
        };
        assert_eq!(error(&good[..end]), Some(expected), "{end}");
    }
    let mut trailing = good;
    trailing.push(0);
    assert_eq!(error(&trailing), Some(RedeemIdsError::Push));
    assert_eq!(
        error(&script(&payload(2, 1, &[1]))),
        Some(RedeemIdsError::Version)
    );
    assert_eq!(error(&script(b"KOII")), Some(RedeemIdsError::Version));
    assert_eq!(
        error(&script(b"KOII\x01")),
        Some(RedeemIdsError::BitmapLength)
    );
    assert_eq!(
        error(&script(b"koii\x01.......x.")),
        Some(RedeemIdsError::NotRedeemIds)
    );
    // A witness commitment.
    assert_eq!(
        error(&script(&[0xaa; 36])),
        Some(RedeemIdsError::NotRedeemIds)
    );
    // The claim of a mined share begins alike, in a coinbase's input.
    assert_eq!(
        error(&script(&[&b"KOII\x01"[..], &[0; 32]].concat())),
        Some(RedeemIdsError::BitmapForm)
    );
}

#[test]
fn batches_that_cannot_be_named() {
    assert_eq!(RedeemIds::encode(&[]), Err(RedeemIdsError::NoIds));
    assert_eq!(RedeemIds::encode(&[4, 9, 4]), Err(RedeemIdsError::Repeated));
    assert!(RedeemIds::encode(&[4, 4 + MAX_SPAN - 1]).is_ok());
    assert_eq!(
        RedeemIds::encode(&[4, 4 + MAX_SPAN]),
        Err(RedeemIdsError::Span)
    );
    assert_eq!(RedeemIds::encode(&[u64::MAX, 0]), Err(RedeemIdsError::Span));
    assert!(RedeemIds::encode(&[u64::MAX, u64::MAX - 511]).is_ok());
}

proptest! {
    #[test]
    fn batches_come_back(
        first in prop_oneof![any::<u64>(), Just(0), Just(u64::MAX - 511)],
        offsets in prop::collection::btree_set(0..512_u64, 1..80),
    ) {
        let ids: BTreeSet<u64> = offsets.iter().filter_map(|offset| first.checked_add(*offset)).collect();
        prop_assume!(!ids.is_empty());
        let shuffled: Vec<u64> = ids.iter().rev().copied().collect();
        let bytes = RedeemIds::encode(&shuffled).unwrap();
        // One push, in the shortest form, by the crate's reading.
        let pushes: Result<Vec<_>, _> = Script::from_bytes(&bytes[1..]).instructions_minimal().collect();
        prop_assert!(matches!(pushes.unwrap()[..], [Instruction::PushBytes(_)]));
        let read = RedeemIds::parse(&bytes).unwrap();
        for offset in 0..600 {
            let id = first.wrapping_add(offset);
            prop_assert_eq!(read.contains(id), ids.contains(&id));
        }
        prop_assert_eq!(read.ids().collect::<BTreeSet<_>>(), ids);
    }

    #[test]
    fn what_is_read_is_written_the_same(
        first: u64,
        bitmap in prop::collection::vec(any::<u8>(), 0..66),
        at: prop::sample::Index,
        byte: u8,
    ) {
        let mut bytes = script(&payload(1, first, &bitmap));
        for _ in 0..2 {
            if let Ok(ids) = RedeemIds::parse(&bytes) {
                let ids: Vec<u64> = ids.ids().collect();
                prop_assert_eq!(RedeemIds::encode(&ids).unwrap(), bytes.clone());
            }
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
    }
}

#[test]
fn each_redemption_has_its_output() {
    let names = |ids: &[u64]| RedeemIds::encode(ids).unwrap();
    let pays = |outputs: &[&[u8]], id| {
        (0..5)
            .map(|vout| is_payout(outputs.iter().copied(), id, vout))
            .collect::<Option<Vec<bool>>>()
            .map(|all| (0..5).filter(|vout| all[*vout]).collect::<Vec<_>>())
    };
    let (one, other): (&[u8], &[u8]) = (&[0, 1], &[0, 2]);
    // Whatever pays the only one.
    let single = names(&[7]);
    assert_eq!(pays(&[one, &single, other], 7), Some(vec![0, 1, 2, 3, 4]));
    assert_eq!(pays(&[one, &single, other], 8), None);
    assert_eq!(pays(&[one, &[0x6a]], 7), None);
    assert_eq!(pays(&[], 7), None);
    // Several are paid in their order, data not counted.
    let several = names(&[300, 7, 9]);
    let outputs = [one, &several, one, &[0x6a, 1, 9], other];
    assert_eq!(pays(&outputs, 7), Some(vec![0]));
    assert_eq!(pays(&outputs, 9), Some(vec![2]));
    assert_eq!(pays(&outputs, 300), Some(vec![4]));
    assert_eq!(pays(&outputs, 8), None);
    // There is none for the last one.
    assert_eq!(pays(&outputs[..3], 300), Some(vec![]));
    // Two lists: each counts from the beginning.
    assert_eq!(pays(&[&single, one, &names(&[8]), other], 8), Some(vec![1]));
}

proptest! {
    #[test]
    fn ranks_count_those_below(ids in prop::collection::btree_set(1000_u64..1500, 1..60)) {
        let bytes = RedeemIds::encode(&ids.iter().copied().collect::<Vec<_>>()).unwrap();
        let parsed = RedeemIds::parse(&bytes).unwrap();
        prop_assert_eq!(parsed.count(), ids.len());
        for id in 990..1510 {
            prop_assert_eq!(parsed.rank(id), ids.iter().position(|other| *other == id));
        }
    }
}
