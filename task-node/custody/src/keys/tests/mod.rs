//! Keys: published vectors, what is on disk, what is signed, and what never is.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod disk;
mod sign;

use bitcoin::Network;
use proptest::prelude::*;

use super::*;
use crate::setup::Setup;

/// BIP39's vector of 12 words whose entropy is 7f7f..., and two of 24.
const LEGAL: &str = "legal winner thank year wave sausage worth useful legal winner thank yellow";
const ABANDON: &str =
    "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about";
const HAMSTER: &str = "hamster diagram private dutch cause delay private meat slide toddler razor book happy fancy \
                       gospel tennis maple dilemma loan word shrug inflict delay length";
const VOID: &str = "void come effort suffer camp survey warrior heavy shoot primary clutch crush open amazing screen \
                    patrol group space point ten exist slush involve unfold";

fn test_key(words: &str) -> CustodianKey {
    CustodianKey::import(NetworkKind::Test, words).unwrap()
}

fn numbered(number: u8) -> CustodianKey {
    let mut entropy = [number; 32];
    entropy[0] = 255;
    CustodianKey::generate(NetworkKind::Test, &entropy).unwrap()
}

fn secret(text: &str) -> SecretString {
    SecretString::from(text.to_owned())
}

fn identity() -> (Protection, Unlock) {
    let identity = age::x25519::Identity::generate();
    let protection = Protection::recipients(&[identity.to_public().to_string()]).unwrap();
    (protection, Unlock::Identities(vec![Box::new(identity)]))
}

fn error_of<T, E>(result: Result<T, E>) -> E {
    match result {
        Ok(_) => panic!("an error was expected"),
        Err(error) => error,
    }
}

#[test]
fn bip39_vectors_and_the_accounts_every_wallet_derives_from_them() {
    // The fingerprint and accounts that hardware wallets' test suites use for this seed.
    let key = test_key(ABANDON);
    assert_eq!(key.fingerprint().to_string(), "73c5da0a");
    assert_eq!(
        key.cosigner(Purpose::Multisig).to_string(),
        "[73c5da0a/48h/1h/0h/2h]tpubDFH9dgzveyD8zTbPUFuLrGmCydNvxehyNdUXKJAQN8x4aZ4j6UZqGfnqFrD4NqyaTVGKbvEW54tsvPTK2UoSbCC1PJY8iCNiwTL3RWZEheQ"
    );
    let setup = Setup::single(Network::Signet, key.cosigner(Purpose::Single)).unwrap();
    let first = setup
        .address(bdk_wallet::KeychainKind::External, 0)
        .unwrap();
    assert_eq!(
        first.to_string(),
        "tb1q6rz28mcfaxtmd6v789l9rrlrusdprr9pqcpvkl"
    );
    // BIP39: entropy to words.
    let entropy = hex::decode("68a79eaca2324873eacc50cb9c6eca8cc68ea5d936f98787c60c7ebc74e6ce7c");
    let entropy: [u8; 32] = entropy.unwrap().try_into().unwrap();
    let key = CustodianKey::generate(NetworkKind::Main, &entropy).unwrap();
    assert_eq!(*key.words(), HAMSTER);
    assert_eq!(
        CustodianKey::import(NetworkKind::Main, HAMSTER)
            .unwrap()
            .cosigner(Purpose::Multisig),
        key.cosigner(Purpose::Multisig)
    );
    assert!(
        key.cosigner(Purpose::Multisig)
            .to_string()
            .contains("/48h/0h/0h/2h]xpub6")
    );
    assert!(
        key.cosigner(Purpose::Single)
            .to_string()
            .contains("/84h/0h/0h]xpub6")
    );
}

#[test]
fn words_as_people_type_them() {
    let typed = format!("  {}\n", VOID.to_uppercase().replace(' ', "\t \n"));
    let key = test_key(&typed);
    assert_eq!(*key.words(), VOID);
    assert_eq!(key.fingerprint(), test_key(VOID).fingerprint());
}

#[test]
fn wrong_words_are_refused_by_place_and_never_repeated() {
    let import = |words: &str| error_of(CustodianKey::import(NetworkKind::Test, words));
    for (words, expected) in [
        ("", "12, 15"),
        ("legal", "12, 15"),
        (&LEGAL[..LEGAL.len() - 7], "12, 15"),
        (&LEGAL.replace("wave", "wawe"), "word 5"),
        (&LEGAL.replace("wave", "w\u{e4}ve"), "word 5"),
        (&LEGAL.replace("wave", &"wave".repeat(100)), "word 5"),
        (&LEGAL.replace("yellow", "year"), "checksum"),
        (&LEGAL.replace("legal winner", "winner legal"), "checksum"),
        (&"abandon ".repeat(25), "12, 15"),
        (&"abandon ".repeat(100_000), "12, 15"),
    ] {
        let error = import(words);
        let said = format!("{error} {error:?}");
        assert!(said.contains(expected), "{said}");
        for word in words.split_whitespace() {
            assert!(!said.contains(word), "{said}");
        }
    }
}

#[test]
fn seeds_that_everybody_knows_hold_no_coins() {
    for words in [ABANDON, LEGAL] {
        assert!(matches!(
            error_of(CustodianKey::import(NetworkKind::Main, words)),
            KeyError::Entropy
        ));
    }
    let broken = CustodianKey::generate(NetworkKind::Test, &[7; 32]);
    assert!(matches!(error_of(broken), KeyError::Entropy));
}

#[test]
fn weak_passphrases_are_refused() {
    for weak in [
        "",
        "hunter2",
        "elevenchars",
        "aaaaaaaaaaaaaaaaaaaa",
        "abcabcabcabcabc",
    ] {
        let error = error_of(Protection::passphrase(secret(weak)));
        assert!(matches!(error, KeyError::WeakPassphrase(_)));
        assert!(weak.is_empty() || !format!("{error} {error:?}").contains(weak));
    }
    assert!(Protection::passphrase(secret("correct horse battery")).is_ok());
    assert!(Protection::passphrase(secret("\u{e4}\u{f6}\u{fc}\u{df}\u{e9}\u{e8}123456")).is_ok());
}

#[test]
fn recipients_are_read_and_identities_are_not_repeated() {
    assert!(matches!(
        error_of(Protection::recipients::<&str>(&[])),
        KeyError::NoRecipients
    ));
    let identity = age::x25519::Identity::generate();
    let text = ExposeSecret::expose_secret(&identity.to_string()).to_owned();
    for given in [text.clone(), text.to_lowercase()] {
        let error = error_of(Protection::recipients(&[&given]));
        assert!(
            !format!("{error} {error:?}").contains(&given[20..]),
            "{error}"
        );
    }
    let file = format!(
        "# created: today\n# public key: {}\n{text}\n",
        identity.to_public()
    );
    assert!(Unlock::identities(file.as_bytes()).is_ok());
    for bad in [
        "",
        "# nothing\n",
        "AGE-SECRET-KEY-1NONSENSE",
        "legal winner",
    ] {
        assert!(matches!(
            error_of(Unlock::identities(bad.as_bytes())),
            KeyError::Identity
        ));
    }
}

#[test]
fn a_passphrase_seals_and_only_it_opens() {
    let key = numbered(1);
    let protection = Protection::passphrase(secret("correct horse battery")).unwrap();
    let file = key.seal(&protection, "Alice", 1_700_000_000).unwrap();
    let bytes = file.to_bytes().unwrap();
    let file = KeyFile::parse(&bytes).unwrap();
    assert_eq!(file.info().label, "Alice");
    assert_eq!(file.info().fingerprint(), key.fingerprint());
    let opened = file
        .open(&Unlock::Passphrase(secret("correct horse battery")))
        .unwrap();
    assert_eq!(*opened.words(), *key.words());
    let wrong = file.open(&Unlock::Passphrase(secret("correct horse batterY")));
    assert!(matches!(error_of(wrong), KeyError::WrongPassphrase));
    let (_, unlock) = identity();
    assert!(matches!(
        error_of(file.open(&unlock)),
        KeyError::NeedsPassphrase
    ));
    // The cost of a guess is part of the file, and must not be what the machine happened to have time for.
    let text = String::from_utf8(bytes).unwrap();
    let raw: serde_json::Value = serde_json::from_str(&text).unwrap();
    let armored = raw["sealed"].as_str().unwrap();
    assert!(armored.starts_with("-----BEGIN AGE ENCRYPTED FILE-----\n"));
    let mut header = Vec::new();
    std::io::Read::read_to_end(
        &mut age::armor::ArmoredReader::new(armored.as_bytes()),
        &mut header,
    )
    .unwrap();
    let header = String::from_utf8_lossy(&header).into_owned();
    let stanza = header.lines().nth(1).unwrap();
    assert!(
        stanza.starts_with("-> scrypt ") && stanza.ends_with(" 18"),
        "{stanza}"
    );
}

#[test]
fn any_of_several_recipients_opens_and_nobody_else() {
    let key = numbered(2);
    let identities = [0, 1].map(|_| age::x25519::Identity::generate());
    let recipients = identities
        .iter()
        .map(|identity| identity.to_public().to_string())
        .collect::<Vec<_>>();
    let protection = Protection::recipients(&recipients).unwrap();
    let file = key.seal(&protection, "", 0).unwrap();
    for identity in identities {
        let opened = file.open(&Unlock::Identities(vec![Box::new(identity)]));
        assert_eq!(*opened.unwrap().words(), *key.words());
    }
    let (_, stranger) = identity();
    assert!(matches!(
        error_of(file.open(&stranger)),
        KeyError::WrongIdentity
    ));
    let passphrase = Unlock::Passphrase(secret("correct horse battery"));
    assert!(matches!(
        error_of(file.open(&passphrase)),
        KeyError::NeedsIdentity
    ));
}

/// A file of another program whose work factor is more than a machine can bear. The library's own message for it would
/// subtract what may be more from what is less.
#[test]
fn a_work_factor_beyond_reason_is_refused() {
    let key = numbered(3);
    let (protection, _) = identity();
    let file = key.seal(&protection, "", 0).unwrap();
    let mut raw: serde_json::Value = serde_json::from_slice(&file.to_bytes().unwrap()).unwrap();
    let header = "age-encryption.org/v1\n-> scrypt bBjlhJVYZeE4aqUdmtRHfw 63\n\
                  ZX/AhotwSGqaPCU43cepl4WYUouAa17a3xpu4G2yi5k\n--- fgMiVLJHMlg9fW7CVG/hPS5EAU4Zeg19LyCP7SoH5nA\n\
                  0123456789abcdef0123456789abcdef";
    let mut armored =
        age::armor::ArmoredWriter::wrap_output(Vec::new(), age::armor::Format::AsciiArmor).unwrap();
    std::io::Write::write_all(&mut armored, header.as_bytes()).unwrap();
    raw["sealed"] = String::from_utf8(armored.finish().unwrap()).unwrap().into();
    let file = KeyFile::parse(raw.to_string().as_bytes()).unwrap();
    let error = error_of(file.open(&Unlock::Passphrase(secret("x"))));
    assert!(matches!(error, KeyError::ExcessiveWork), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn words_and_file_bring_the_key_back(entropy: [u8; 32], label in "\\PC{0,64}", created: u64) {
        let key = CustodianKey::generate(NetworkKind::Main, &entropy).unwrap();
        let again = CustodianKey::import(NetworkKind::Main, &key.words()).unwrap();
        prop_assert_eq!(again.cosigner(Purpose::Single), key.cosigner(Purpose::Single));
        let (protection, unlock) = identity();
        let file = key.seal(&protection, &label, created).unwrap();
        let bytes = file.to_bytes().unwrap();
        let text = String::from_utf8(bytes.clone()).unwrap();
        // No two of the words stand in the open part; one may: "single" is in the list.
        let words = key.words();
        let words: Vec<_> = words.split(' ').collect();
        for pair in words.windows(2) {
            prop_assert!(!text.contains(&pair.join(" ")));
        }
        let read = KeyFile::parse(&bytes).unwrap();
        prop_assert_eq!(&read, &file);
        prop_assert_eq!(&*read.open(&unlock).unwrap().words(), &*key.words());
    }

    #[test]
    fn damage_anywhere_is_found(at: prop::sample::Index, byte: u8) {
        let (protection, unlock) = identity();
        let key = numbered(1);
        let right = key.seal(&protection, "", 0).unwrap().to_bytes().unwrap();
        let mut bytes = right;
        let at = at.index(bytes.len());
        prop_assume!(bytes[at] != byte);
        bytes[at] = byte;
        // What still opens is the same key: white space, an upper-case digit.
        if let Ok(opened) = KeyFile::parse(&bytes).and_then(|file| file.open(&unlock)) {
            prop_assert_eq!(&*opened.words(), &*key.words());
        }
    }

    #[test]
    fn garbage_is_no_key_file(bytes: Vec<u8>, text in "\\PC{0,200}") {
        prop_assert!(KeyFile::parse(&bytes).is_err());
        prop_assert!(CustodianKey::import(NetworkKind::Main, &text).is_err());
        prop_assert!(Unlock::identities(&bytes).is_err());
    }
}
