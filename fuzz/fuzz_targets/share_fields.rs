//! The hex fields of `mining.submit`: nothing but the exact form is read, and only the case may differ.
#![no_main]

use libfuzzer_sys::fuzz_target;
use work::{EXTRANONCE1_BYTES, EXTRANONCE2_BYTES, Extranonce1, ShareFields};

type Fields<'a> = (u32, &'a str, &'a str, &'a str, Option<&'a str>);

fuzz_target!(|input: Fields<'_>| {
    let (number, extranonce2, ntime, nonce, version_bits) = input;
    let extranonce1 = Extranonce1::from_u32(number);
    let Ok(fields) = ShareFields::parse(extranonce1, extranonce2, ntime, nonce, version_bits)
    else {
        return;
    };
    let word = |text: &str| {
        assert_eq!(text.len(), 8);
        u32::from_str_radix(text, 16).unwrap()
    };
    assert_eq!(extranonce2.len(), 2 * EXTRANONCE2_BYTES);
    let (first, second) = fields.extranonce.as_bytes().split_at(EXTRANONCE1_BYTES);
    assert_eq!(first, extranonce1.as_bytes());
    assert_eq!(
        u64::from_be_bytes(second.try_into().unwrap()),
        u64::from_str_radix(extranonce2, 16).unwrap()
    );
    assert_eq!(fields.ntime, word(ntime));
    assert_eq!(fields.nonce, word(nonce));
    assert_eq!(fields.version_bits, version_bits.map(word));
});
