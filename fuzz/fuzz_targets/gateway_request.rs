//! `GET /ipfs/<cid>?format=..` from anybody: a CID has one text, a format is one of two or refused.
#![no_main]

use content::{Format, parse_cid};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&str, Option<&str>, Option<&str>)| {
    let (cid, query, accept) = input;
    let format = Format::negotiate(query, accept);
    if let Ok(cid) = parse_cid(cid) {
        assert_eq!(parse_cid(&cid.to_string()), Ok(cid));
        if let Ok(format) = format {
            for (_, value) in format.headers(&cid) {
                assert!(value.bytes().all(|byte| (0x20..0x7f).contains(&byte)));
            }
        }
    }
});
