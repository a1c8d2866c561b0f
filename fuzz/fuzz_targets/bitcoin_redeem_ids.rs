//! The output that names redemptions: a set of ids has one script, and a script one set.
#![no_main]

use std::collections::BTreeSet;

use bitcoin::Script;
use bitcoin::script::Instruction;
use k2_interface::bitcoin::RedeemIds;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u64, Vec<u16>, &[u8])| {
    let (first, offsets, bytes) = input;
    if let Ok(named) = RedeemIds::parse(bytes) {
        let ids: Vec<u64> = named.ids().collect();
        assert!(ids.iter().all(|id| named.contains(*id)));
        assert_eq!(RedeemIds::encode(&ids).as_deref(), Ok(bytes));
        // rust-bitcoin sees OP_RETURN and one push in its shortest form.
        let script = Script::from_bytes(bytes);
        assert!(script.is_op_return());
        let pushes: Result<Vec<_>, _> = script.instructions_minimal().skip(1).collect();
        assert!(matches!(pushes.unwrap()[..], [Instruction::PushBytes(_)]));
    }

    let ids: Vec<u64> = offsets
        .iter()
        .filter_map(|offset| first.checked_add(u64::from(*offset % 600)))
        .collect();
    let set: BTreeSet<u64> = ids.iter().copied().collect();
    let span = set
        .last()
        .zip(set.first())
        .map(|(last, first)| last - first);
    let script = RedeemIds::encode(&ids);
    assert_eq!(
        script.is_ok(),
        set.len() == ids.len() && span.is_some_and(|span| span < 512)
    );
    if let Ok(script) = script {
        let named = RedeemIds::parse(&script).unwrap();
        assert_eq!(named.ids().collect::<BTreeSet<_>>(), set);
        for offset in 0..700 {
            let id = first.wrapping_add(offset);
            assert_eq!(named.contains(id), set.contains(&id));
        }
    }
});
