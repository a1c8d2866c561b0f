//! A miner's user name and every address in a submission: whatever is accepted has exactly one text.
#![no_main]

use k2_interface::K2Address;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let parsed = text.parse::<K2Address>();
    if let Ok(address) = &parsed {
        assert_eq!(address.to_string(), text);
    }
    // JSON takes the same texts.
    let json = serde_json::to_string(text).unwrap();
    let from_json = serde_json::from_str::<K2Address>(&json);
    assert_eq!(from_json.ok(), parsed.ok());
});
