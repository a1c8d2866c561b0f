//! Answers of an IPFS node's RPC API: no bytes panic, and what is kept of them fits a log line.
#![no_main]

use content::kubo::answer;
use content::parse_cid;
use libfuzzer_sys::fuzz_target;

const CID: &str = "bafyreidykglsfhoixmivffc5uwhcgshx4j465xwqntbmu43nb2dzqwfvae";

fuzz_target!(|bytes: &[u8]| {
    let cid = parse_cid(CID).unwrap();
    if let Ok(answer::ImportAnswer { complaint, .. }) = answer::import(bytes) {
        check(complaint);
    }
    if answer::is_pinned(bytes, &cid) == Ok(true) {
        assert!(
            bytes
                .windows(9)
                .any(|part| part == b"recursive" || part.contains(&b'\\'))
        );
    }
    check(answer::version(bytes).ok().map(|version| version.version));
    check(answer::failure(bytes));
});

fn check(text: Option<String>) {
    if let Some(text) = text {
        assert!(!text.contains(char::is_control) && text.chars().count() <= 240);
    }
}
