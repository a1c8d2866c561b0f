#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use bip39::Mnemonic;
use bitcoin::bip32::{Xpriv, Xpub};
use bitcoin::secp256k1::Secp256k1;
use miniscript::ForEachKey as _;
use proptest::prelude::*;

use super::*;

fn account(seed: &[u8], network: NetworkKind, path: &str) -> Cosigner {
    let secp = Secp256k1::new();
    let master = Xpriv::new_master(network, seed).unwrap();
    let path: DerivationPath = path.parse().unwrap();
    Cosigner {
        fingerprint: master.fingerprint(&secp),
        xpub: Xpub::from_priv(&secp, &master.derive_priv(&secp, &path).unwrap()),
        path,
    }
}

fn cosigner_of(number: u8) -> Cosigner {
    account(&[number; 32], NetworkKind::Test, "48h/1h/0h/2h")
}

fn cosigners() -> [Cosigner; 3] {
    [1, 2, 3].map(cosigner_of)
}

fn two_of_three() -> Setup {
    Setup::multisig(Network::Regtest, 2, &cosigners()).unwrap()
}

fn single() -> Setup {
    Setup::single(
        Network::Regtest,
        &account(&[1; 32], NetworkKind::Test, "84h/1h/0h"),
    )
    .unwrap()
}

fn address(setup: &Setup, keychain: KeychainKind, index: u32) -> String {
    setup.address(keychain, index).unwrap().to_string()
}

#[test]
fn bip84_vectors() {
    let words = "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about";
    let seed = Mnemonic::parse_normalized(words)
        .unwrap()
        .to_seed_normalized("");
    let cosigner = account(&seed, NetworkKind::Main, "84h/0h/0h");
    let setup = Setup::single(Network::Bitcoin, &cosigner).unwrap();
    let expected = [
        (
            KeychainKind::External,
            0,
            "bc1qcr8te4kr609gcawutmrza0j4xv80jy8z306fyu",
        ),
        (
            KeychainKind::External,
            1,
            "bc1qnjg0jd8228aq7egyzacy8cys3knf9xvrerkf9g",
        ),
        (
            KeychainKind::Internal,
            0,
            "bc1q8c6fshw2dlwun7ekn9qwf37cu2rn755upcp6el",
        ),
    ];
    for (keychain, index, text) in expected {
        assert_eq!(address(&setup, keychain, index), text);
    }
    assert_eq!(setup.threshold(), 1);
    assert_eq!(setup.cosigners(), [cosigner]);
}

/// BIP129's wallets of two P2WSH keys at BIP48's path: descriptor and first address.
#[test]
fn bip129_vectors() {
    let vectors = [
        (
            [
                "[1cf0bf7e/48'/0'/0'/2']xpub6FL8FhxNNUVnG64YurPd16AfGyvFLhh7S2uSsDqR3Qfcm6o9jtcMYwh6DvmcBF9qozxNQmTCVvWtxLpKTnhVLN3Pgnu2D3pAoXYFgVyd8Yz",
                "[4fc1dd4a/48'/0'/0'/2']xpub6EebMbEps7ZcV3FYEnddRsvrFWDrt2tiPmCeM7pPXQEmphvq9ZfJ1LWFUDjf3vxCeBuPrfyGrMazWUsYsetrnHatQZVLJH7LsgCjtMqdzgj",
            ],
            "bc1qrgc6p3kylfztu06ysl752gwwuekhvtfh9vr7zg43jvu60mutamcsv948ej",
        ),
        (
            [
                "[b7868815/48'/0'/0'/2']xpub6FA5rfxJc94K1kNtxRby1hoHwi7YDyTWwx1KUR3FwskaF6HzCbZMz3zQwGnCqdiFeMTPV3YneTGS2YQPiuNYsSvtggWWMQpEJD4jXU7ZzEh",
                "[eedff89a/48'/0'/0'/2']xpub6EhJvMneoLWAf8cuyLBLQiKiwh89RAmqXEqYeFuaCEHdHwxSRfzLrUxKXEBap7nZSHAYP7Jfq6gZmucotNzpMQ9Sb1nTqerqW8hrtmx6Y6o",
            ],
            "bc1qhs4u273g4azq7kqqpe6vh5wfhasfmrq7nheyzsnq77humd7rwtkqagvakf",
        ),
    ];
    for (keys, first) in vectors {
        let cosigners = keys.map(|key| key.parse().unwrap());
        let setup = Setup::multisig(Network::Bitcoin, 2, &cosigners).unwrap();
        assert_eq!(address(&setup, KeychainKind::External, 0), first);
        let [a, b] = keys;
        let text = format!("wsh(sortedmulti(2,{b}/<0;1>/*,{a}/<0;1>/*))");
        assert_eq!(Setup::parse(Network::Bitcoin, &text).unwrap(), setup);
    }
}

/// BIP67: the script holds the compressed keys in the order of their bytes, whoever comes first in the descriptor.
#[test]
fn the_script_is_two_sorted_keys_of_three() {
    let secp = Secp256k1::verification_only();
    let setup = two_of_three();
    for (keychain, number) in [(KeychainKind::External, 0), (KeychainKind::Internal, 1)] {
        for index in 0..20 {
            let path = [number, index].map(|index| ChildNumber::Normal { index });
            let mut keys = cosigners().map(|cosigner| {
                let derived = cosigner.xpub.derive_pub(&secp, &path).unwrap();
                derived.public_key.serialize()
            });
            keys.sort_unstable();
            let mut script = bitcoin::script::Builder::new().push_int(2);
            for key in keys {
                script = script.push_slice(key);
            }
            let script = script
                .push_int(3)
                .push_opcode(bitcoin::opcodes::all::OP_CHECKMULTISIG)
                .into_script();
            assert_eq!(setup.script(keychain, index).unwrap(), script.to_p2wsh());
        }
    }
}

#[test]
fn no_script_stands_in_both_keychains_and_each_is_found() {
    for setup in [single(), two_of_three()] {
        let script = |keychain, index| setup.script(keychain, index).unwrap();
        assert_eq!(
            setup.coinbase_script().unwrap(),
            script(KeychainKind::External, 0)
        );
        for keychain in [KeychainKind::External, KeychainKind::Internal] {
            for index in [0, 1, 9] {
                let found = setup.find(&script(keychain, index), 10);
                assert_eq!(found, Some((keychain, index)));
            }
            assert_eq!(setup.find(&script(keychain, 10), 10), None);
            assert!(setup.script(keychain, 1 << 31).is_err(), "a hardened index");
        }
    }
}

#[test]
fn a_wrong_character_anywhere_is_refused() {
    // Each position is replaced by characters that stand at other places, in the other case, and by its neighbours.
    for setup in [single(), two_of_three()] {
        let text = setup.to_string();
        for (at, right) in text.char_indices() {
            let swapped = if right.is_ascii_lowercase() {
                right.to_ascii_uppercase()
            } else {
                right.to_ascii_lowercase()
            };
            for wrong in ['q', '2', '/', '(', swapped] {
                if wrong == right {
                    continue;
                }
                let mut changed = text.clone();
                changed.replace_range(at..=at, &wrong.to_string());
                // Without the '#' there is no checksum, and nothing that parses either.
                let parsed = Setup::parse(Network::Regtest, &changed);
                assert!(parsed.is_err(), "{at}: {right} -> {wrong}");
            }
        }
        for end in 1..text.len() {
            let cut = Setup::parse(Network::Regtest, &text[..end]);
            // Cut before the checksum, it is the same wallet; with a part of it, it is refused.
            assert_eq!(cut.is_ok(), text.as_bytes()[end] == b'#', "{end}");
        }
    }
}

#[test]
fn private_keys_are_refused_and_not_repeated() {
    let master = Xpriv::new_master(NetworkKind::Test, &[1; 32]).unwrap();
    let wif = master.to_priv().to_wif();
    let path = "00000000/84h/1h/0h";
    for (secret, text) in [
        (&master.to_string(), format!("[{path}]{master}")),
        (&master.to_string(), master.to_string()),
        (
            &master.to_string(),
            format!("wpkh([{path}]{master}/<0;1>/*)"),
        ),
        (&wif, format!("wpkh({wif})")),
        (
            &wif,
            format!("wsh(sortedmulti(2,{wif},{}/<0;1>/*))", cosigner_of(1)),
        ),
        // Mistyped: no library knows it for a private key any more.
        (&wif, format!("[{path}]{}", wif.replace('c', "d"))),
    ] {
        let part = &secret[..20];
        for error in [
            Setup::parse(Network::Regtest, &text).unwrap_err(),
            text.parse::<Cosigner>().unwrap_err(),
        ] {
            assert!(matches!(error, SetupError::Private), "{error}");
            assert!(!format!("{error} {error:?}").contains(part));
        }
    }
    // Words that were pasted by mistake.
    let words = "legal winner thank year wave sausage worth useful legal winner thank yellow";
    let error = words.parse::<Cosigner>().unwrap_err();
    for word in words.split(' ') {
        assert!(!format!("{error} {error:?}").contains(word), "{error}");
    }
}

/// Base58 does not keep "prv" out of the middle of a public key.
#[test]
fn an_xpub_with_prv_in_its_middle_is_public() {
    assert!(!may_hold_private_key(
        "xpub6FL8FhxprvUVnG64YurPd16AfGyvFLhh7S2uSsDqR3Qfcm6o9jtcMYwh6DvmcBF9qozxNQmTCVvWtxLpKTnhVLN3Pgnu2D3pAoXYFgVyd8Yz"
    ));
}

/// `p`, `r` and `v` are letters of a checksum like any other.
#[test]
fn a_checksum_with_prv_at_its_head_is_no_key() {
    assert!(!may_hold_private_key("wpkh(xpub/0/*)#qprv2xyz"));
    assert!(may_hold_private_key("wpkh(tprv8ZgxMBicQKsP/0/*)#qprv2xyz"));
}

#[test]
fn keys_of_another_network_are_refused() {
    let main = account(&[9; 32], NetworkKind::Main, "48h/0h/0h/2h");
    let keys = [cosigner_of(1), main.clone(), cosigner_of(2)];
    let error = Setup::multisig(Network::Signet, 2, &keys).unwrap_err();
    assert!(
        matches!(&error, SetupError::Network { key, .. } if *key == main.to_string()),
        "{error}"
    );
    let text = format!("wpkh({}/<0;1>/*)", cosigner_of(1));
    assert!(Setup::parse(Network::Testnet4, &text).is_ok());
    assert!(matches!(
        Setup::parse(Network::Bitcoin, &text),
        Err(SetupError::Network { .. })
    ));
}

#[test]
fn one_custodian_does_not_count_twice() {
    let [first, second, _] = cosigners();
    let repeated = |third: Cosigner| {
        let keys = [first.clone(), second.clone(), third];
        matches!(
            Setup::multisig(Network::Regtest, 2, &keys),
            Err(SetupError::Repeated(_))
        )
    };
    assert!(repeated(first.clone()));
    // Another account of the same seed.
    assert!(repeated(account(
        &[1; 32],
        NetworkKind::Test,
        "48h/1h/1h/2h"
    )));
    // The same key under another name.
    let mut renamed = first.clone();
    renamed.fingerprint = cosigner_of(7).fingerprint;
    renamed.xpub.parent_fingerprint = renamed.fingerprint;
    assert!(repeated(renamed));
}

#[test]
fn thresholds() {
    let keys: Vec<_> = (1..=16).map(cosigner_of).collect();
    let works = |threshold, count| {
        let made = Setup::multisig(Network::Regtest, threshold, &keys[..count]);
        if let Err(error) = &made {
            assert!(matches!(error, SetupError::Threshold { .. }), "{error}");
        }
        made.is_ok()
    };
    for (threshold, count) in [(2, 2), (2, 3), (3, 3), (8, 15), (15, 15)] {
        assert!(works(threshold, count), "{threshold} of {count}");
    }
    for (threshold, count) in [
        (0, 0),
        (0, 3),
        (1, 1),
        (1, 3),
        (2, 1),
        (4, 3),
        (9, 16),
        // Two pairs of four, or two groups of seven of fourteen, would not know what the other one signed.
        (2, 4),
        (2, 15),
        (7, 14),
        (usize::MAX, 3),
    ] {
        assert!(!works(threshold, count), "{threshold} of {count}");
    }
    // The same by descriptor: a one of one must not become a wpkh, nor a one of three a wallet that anybody empties.
    for count in [1, 3] {
        let list: String = keys[..count]
            .iter()
            .map(|key| format!(",{key}/<0;1>/*"))
            .collect();
        let text = format!("wsh(sortedmulti(1{list}))");
        assert!(matches!(
            Setup::parse(Network::Regtest, &text),
            Err(SetupError::Threshold { .. })
        ));
    }
}

#[test]
fn other_forms_are_refused() {
    let [a, b, _] = cosigners();
    let plain = a.xpub;
    let key = a.xpub.public_key;
    for text in [
        format!("wpkh({plain}/<0;1>/*)"),
        format!("wpkh({a}/0/*)"),
        format!("wpkh({a}/*)"),
        format!("wpkh({a}/<1;0>/*)"),
        format!("wpkh({a}/<0;1;2>/*)"),
        format!("wpkh({a}/<0;1>/0/*)"),
        format!("wpkh({a}/<0;1>)"),
        format!("wpkh({a}/<0;1>/*h)"),
        format!("wpkh({key})"),
        format!("pkh({a}/<0;1>/*)"),
        format!("sh(wpkh({a}/<0;1>/*))"),
        format!("tr({a}/<0;1>/*)"),
        format!("wsh(multi(2,{a}/<0;1>/*,{b}/<0;1>/*))"),
        format!("sh(wsh(sortedmulti(2,{a}/<0;1>/*,{b}/<0;1>/*)))"),
        format!("sh(sortedmulti(2,{a}/<0;1>/*,{b}/<0;1>/*))"),
        format!("wsh(sortedmulti(2,{a}/<0;1>/*,{b}/0/*))"),
        format!("wsh(pk({a}/<0;1>/*))"),
        format!("wsh(or_d(pk({a}/<0;1>/*),pk({b}/<0;1>/*)))"),
        format!("raw({})", "00".repeat(22)),
        String::new(),
        "wpkh()".to_owned(),
        format!("wsh({}", "(".repeat(4000)),
        "x".repeat(1 << 20),
    ] {
        let error = Setup::parse(Network::Regtest, &text).unwrap_err();
        assert!(
            matches!(error, SetupError::Form(_) | SetupError::Descriptor(_)),
            "{text}: {error}"
        );
        assert!(error.to_string().len() < 500, "{error}");
    }
}

#[test]
fn cosigners_that_cannot_be() {
    let right = cosigner_of(1).to_string();
    assert_eq!(right.parse::<Cosigner>().unwrap(), cosigner_of(1));
    let (origin, xpub) = right.split_once(']').unwrap();
    for (text, why) in [
        (xpub.to_owned(), "brackets"),
        (format!("[{xpub}"), "brackets"),
        (format!("[]{xpub}"), "no path"),
        (format!("[00112233]{xpub}"), "no path"),
        (format!("[0011223/48h/1h/0h/2h]{xpub}"), "8 hexadecimal"),
        (format!("[0011223g/48h/1h/0h/2h]{xpub}"), "8 hexadecimal"),
        (format!("[+0112233/48h/1h/0h/2h]{xpub}"), "8 hexadecimal"),
        (format!("[00112233/48h/1h/0h/2]{xpub}"), "hardened"),
        (format!("[00112233/48h/1h/0h/x]{xpub}"), "48h/0h/0h/2h"),
        (
            format!("[00112233/48h/1h/0h/2147483648h]{xpub}"),
            "48h/0h/0h/2h",
        ),
        (format!("[00112233/48h/1h/0h]{xpub}"), "as long"),
        (format!("[00112233/48h/1h/0h/1h]{xpub}"), "last step"),
        (format!("{origin}]{xpub}/0"), "not an xpub"),
        (
            format!("{origin}]{}", xpub.replace("tpub", "Vpub")),
            "SLIP-132",
        ),
        (
            format!("{origin}]{}", &xpub[..xpub.len() - 1]),
            "not an xpub",
        ),
        (format!("{origin}]\u{e4}\u{e4}\u{e4}"), "not an xpub"),
    ] {
        let error = text.parse::<Cosigner>().unwrap_err().to_string();
        assert!(error.contains(why), "{text}: {error}");
    }
}

#[test]
fn one_text_whatever_the_spelling() {
    let setup = two_of_three();
    let [a, b, c] = cosigners().map(|cosigner| cosigner.to_string());
    for keys in [[&a, &b, &c], [&c, &b, &a], [&b, &a, &c]] {
        let keys =
            keys.map(|key| format!("{}/<0;1>/*", key.replace("h/", "'/").replace("h]", "']")));
        let text = format!("wsh(sortedmulti(2,{}))", keys.join(","));
        let parsed = Setup::parse(Network::Regtest, &text).unwrap();
        assert_eq!(parsed, setup);
        assert_eq!(parsed.to_string(), setup.to_string());
    }
    // What the library displays, other watchers may store.
    let stored = setup.descriptor().to_string();
    assert_eq!(Setup::parse(Network::Regtest, &stored).unwrap(), setup);
    assert!(!setup.to_string().contains('\''));
    assert!(
        setup
            .descriptor()
            .for_each_key(|key| key.to_string().starts_with('['))
    );
}

proptest! {
    #[test]
    fn order_does_not_matter(
        seeds in proptest::collection::hash_set(any::<[u8; 16]>(), 2..8),
        swaps in proptest::collection::vec((0..8_usize, 0..8_usize), 0..16),
        more in 0..8_usize,
    ) {
        let mut keys: Vec<_> = seeds
            .iter()
            .map(|seed| account(seed, NetworkKind::Main, "48h/0h/0h/2h"))
            .collect();
        let threshold = (keys.len() / 2 + 1 + more).min(keys.len());
        let setup = Setup::multisig(Network::Bitcoin, threshold, &keys).unwrap();
        for (one, other) in swaps {
            let count = keys.len();
            keys.swap(one % count, other % count);
        }
        let other = Setup::multisig(Network::Bitcoin, threshold, &keys).unwrap();
        prop_assert_eq!(&setup, &other);
        let parsed = Setup::parse(Network::Bitcoin, &setup.to_string()).unwrap();
        prop_assert_eq!(&setup, &parsed);
        prop_assert_eq!(setup.cosigners().len(), keys.len());
        prop_assert_eq!(setup.threshold(), threshold);
    }

    #[test]
    fn text_round_trips(seed: [u8; 32], path in proptest::collection::vec(0..1_u32 << 31, 1..6)) {
        let path: String = path.iter().map(|step| format!("/{step}h")).collect();
        let cosigner = account(&seed, NetworkKind::Test, &path[1..]);
        prop_assert_eq!(&cosigner.to_string().parse::<Cosigner>().unwrap(), &cosigner);
        let setup = Setup::single(Network::Signet, &cosigner).unwrap();
        prop_assert_eq!(&Setup::parse(Network::Signet, &setup.to_string()).unwrap(), &setup);
    }

    #[test]
    fn garbage_is_an_error(text in "[\\[\\](){}<>;,/*#'hxpubwkstrmli0-9a-f]{0,300}") {
        prop_assert!(Setup::parse(Network::Bitcoin, &text).is_err());
        prop_assert!(text.parse::<Cosigner>().is_err());
    }

    #[test]
    fn any_text_is_read_without_a_panic(text in ".{0,200}") {
        let _ = Setup::parse(Network::Bitcoin, &text);
        let _ = text.parse::<Cosigner>();
    }
}
