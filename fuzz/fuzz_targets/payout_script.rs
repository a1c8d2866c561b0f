//! The payout address or descriptor of the configuration: never a private key, never two meanings.
#![no_main]

use bitcoin::{Address, Network};
use libfuzzer_sys::fuzz_target;
use work::PayoutScript;

fuzz_target!(|text: &str| {
    let Ok(payout) = PayoutScript::parse(text, Network::Regtest) else {
        return;
    };
    assert!(
        !text.contains("prv"),
        "a secret was taken for a payout script"
    );
    if let Ok(address) = Address::from_script(payout.as_script(), Network::Regtest) {
        let again = PayoutScript::parse(&address.to_string(), Network::Regtest).unwrap();
        assert_eq!(again, payout);
    }
});
