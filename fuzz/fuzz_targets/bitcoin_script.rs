//! Output scripts: standard exactly where rust-bitcoin knows the type, with its dust limit, and one packed form.
#![no_main]

use bitcoin::Script;
use k2_interface::bitcoin::{ScriptPubkey, ScriptType};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let theirs = Script::from_bytes(bytes);
    let expected = [
        (theirs.is_p2pkh(), ScriptType::P2pkh),
        (theirs.is_p2sh(), ScriptType::P2sh),
        (theirs.is_p2wpkh(), ScriptType::P2wpkh),
        (theirs.is_p2wsh(), ScriptType::P2wsh),
        (theirs.is_p2tr(), ScriptType::P2tr),
    ]
    .into_iter()
    .find_map(|(is, kind)| is.then_some(kind));
    let ours = ScriptPubkey::parse(bytes).ok();
    assert_eq!(ours.map(|script| script.kind()), expected);
    if let Some(script) = ours {
        assert_eq!(script.as_bytes(), bytes);
        assert_eq!(script.dust_limit(), theirs.minimal_non_dust().to_sat());
        assert_eq!(ScriptPubkey::from_packed(&script.to_packed()), Ok(script));
    }
    if let Ok(packed) = bytes.try_into()
        && let Ok(script) = ScriptPubkey::from_packed(packed)
    {
        assert_eq!(script.to_packed(), *packed);
        assert_eq!(ScriptPubkey::parse(script.as_bytes()), Ok(script));
    }
});
