//! Keys: published vectors, what is on disk, what is signed, and what never is.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use age::secrecy::SecretString;
use bitcoin::absolute::LockTime;
use bitcoin::psbt::PsbtSighashType;
use bitcoin::secp256k1::Message;
use bitcoin::sighash::SighashCache;
use bitcoin::{
    Amount, EcdsaSighashType, Network, OutPoint, Psbt, ScriptBuf, Sequence, Transaction, TxIn,
    TxOut, Witness, transaction,
};
use miniscript::psbt::PsbtExt as _;
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
    let text = age::secrecy::ExposeSecret::expose_secret(&identity.to_string()).to_owned();
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

#[test]
fn an_open_part_that_belongs_to_another_key_is_found_out() {
    let (protection, unlock) = identity();
    let file = |key: &CustodianKey, created| -> serde_json::Value {
        let file = key.seal(&protection, "Alice", created).unwrap();
        serde_json::from_slice(&file.to_bytes().unwrap()).unwrap()
    };
    let open = |raw: &serde_json::Value| {
        KeyFile::parse(raw.to_string().as_bytes()).and_then(|file| file.open(&unlock))
    };
    let (alice, mallory) = (numbered(1), numbered(2));
    let right = file(&alice, 5);
    assert!(open(&right).is_ok());

    let mut swapped = file(&mallory, 5);
    swapped["sealed"] = right["sealed"].clone();
    assert!(matches!(
        error_of(open(&swapped)),
        KeyError::Tampered("key")
    ));
    let mut later = right.clone();
    later["created"] = 6.into();
    assert!(matches!(error_of(open(&later)), KeyError::Tampered("date")));
    // One account of somebody else's under the right fingerprint.
    let mut account = right.clone();
    let mut foreign = mallory.cosigner(Purpose::Multisig).clone();
    foreign.fingerprint = alice.fingerprint();
    account["multisig"] = foreign.to_string().into();
    assert!(matches!(
        error_of(open(&account)),
        KeyError::Tampered("key")
    ));

    for (field, value) in [
        ("format", "orcapool/key/2".into()),
        ("network", "main".into()),
        ("fingerprint", "00000000".into()),
        ("single", right["multisig"].clone()),
        ("multisig", "tpub".into()),
        ("label", "\u{1b}[2J".into()),
        ("label", "x".repeat(65).into()),
        ("created", (-1).into()),
        ("more", 1.into()),
    ] {
        let mut changed = right.clone();
        changed[field] = value;
        let error = error_of(open(&changed));
        assert!(
            matches!(error, KeyError::Format(_) | KeyError::Label),
            "{field}: {error}"
        );
    }
}

#[test]
fn a_key_file_is_for_its_owner_and_never_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("custodian-1.key");
    let (protection, unlock) = identity();
    let (key, other) = (numbered(1), numbered(2));
    key.seal(&protection, "", 0).unwrap().create(&path).unwrap();
    assert_eq!(mode(&path), 0o600);
    let second = other.seal(&protection, "", 0).unwrap();
    let before = std::fs::read(&path).unwrap();
    assert!(matches!(
        error_of(second.create(&path)),
        KeyError::Exists(_)
    ));
    assert_eq!(std::fs::read(&path).unwrap(), before);
    let opened = KeyFile::read(&path).unwrap().open(&unlock).unwrap();
    assert_eq!(opened.fingerprint(), key.fingerprint());

    for bad in [0o640, 0o604, 0o660, 0o777] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(bad)).unwrap();
        let error = error_of(KeyFile::read(&path));
        assert!(matches!(error, KeyError::Permissions { .. }));
        assert!(error.to_string().contains("chmod 600"), "{error}");
    }
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o400)).unwrap();
    assert!(KeyFile::read(&path).is_ok());
    assert_eq!(
        names(dir.path()),
        ["custodian-1.key"],
        "nothing is left over"
    );
    assert!(matches!(
        error_of(second.create(&dir.path().join("no/such/folder.key"))),
        KeyError::Io { .. }
    ));
}

#[test]
fn another_passphrase_is_for_the_same_key_only() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.key");
    let (protection, unlock) = identity();
    let (new_protection, new_unlock) = identity();
    let key = numbered(1);
    key.seal(&protection, "", 0).unwrap().create(&path).unwrap();
    let foreign = numbered(2).seal(&new_protection, "", 0).unwrap();
    assert!(matches!(
        error_of(foreign.reseal(&path)),
        KeyError::Tampered(_)
    ));
    let resealed = key.seal(&new_protection, "", 0).unwrap();
    resealed.reseal(&path).unwrap();
    let file = KeyFile::read(&path).unwrap();
    assert!(file.open(&unlock).is_err());
    assert_eq!(*file.open(&new_unlock).unwrap().words(), *key.words());
    assert_eq!((names(dir.path()).len(), mode(&path)), (1, 0o600));
}

#[test]
fn a_rotation_keeps_the_old_key_and_goes_on_after_an_interruption() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.key");
    let (protection, unlock) = identity();
    let (old, new) = (numbered(1), numbered(2));
    old.seal(&protection, "", 0).unwrap().create(&path).unwrap();
    let fresh = new.seal(&protection, "", 0).unwrap();
    // Interrupted between its two steps: the old key is there under both names.
    let retired = dir
        .path()
        .join(format!("a.key.retired-{}", old.fingerprint()));
    KeyFile::read(&path).unwrap().create(&retired).unwrap();
    assert_eq!(fresh.rotate(&path).unwrap(), retired);
    let open = |path: &Path| KeyFile::read(path).unwrap().open(&unlock).unwrap();
    assert_eq!(open(&path).fingerprint(), new.fingerprint());
    assert_eq!(open(&retired).fingerprint(), old.fingerprint());
    assert_eq!((mode(&path), mode(&retired)), (0o600, 0o600));

    // Where the retired name is taken by something else, nothing happens.
    let taken = dir
        .path()
        .join(format!("a.key.retired-{}", new.fingerprint()));
    old.seal(&protection, "other", 0)
        .unwrap()
        .create(&taken)
        .unwrap();
    let third = numbered(3).seal(&protection, "", 0).unwrap();
    assert!(matches!(error_of(third.rotate(&path)), KeyError::Exists(_)));
    assert_eq!(open(&path).fingerprint(), new.fingerprint());
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

/// A PSBT that spends one output of each keychain of a setup, and one foreign output that nothing is known about.
fn spend(setup: &Setup) -> Psbt {
    let output = |value, script| TxOut {
        value: Amount::from_sat(value),
        script_pubkey: script,
    };
    let keychains = [
        bdk_wallet::KeychainKind::External,
        bdk_wallet::KeychainKind::Internal,
    ];
    let funding = Transaction {
        version: transaction::Version::TWO,
        lock_time: LockTime::ZERO,
        input: vec![TxIn::default()],
        output: keychains
            .map(|keychain| output(50_000, setup.script(keychain, 7).unwrap()))
            .to_vec(),
    };
    let txid = funding.compute_txid();
    let outpoints = [
        OutPoint::new(txid, 0),
        OutPoint::new(txid, 1),
        OutPoint::null(),
    ];
    let unsigned = Transaction {
        version: transaction::Version::TWO,
        lock_time: LockTime::ZERO,
        input: outpoints
            .map(|previous_output| TxIn {
                previous_output,
                script_sig: ScriptBuf::new(),
                sequence: Sequence::ENABLE_RBF_NO_LOCKTIME,
                witness: Witness::new(),
            })
            .to_vec(),
        output: vec![output(99_000, setup.coinbase_script().unwrap())],
    };
    let mut psbt = Psbt::from_unsigned_tx(unsigned).unwrap();
    for (index, keychain) in keychains.into_iter().enumerate() {
        psbt.inputs[index].witness_utxo = Some(funding.output[index].clone());
        psbt.inputs[index].non_witness_utxo = Some(funding.clone());
        let descriptor = setup.keychain(keychain).at_derivation_index(7).unwrap();
        psbt.update_input_with_descriptor(index, &descriptor)
            .unwrap();
    }
    psbt
}

fn single_setup() -> Setup {
    Setup::single(Network::Regtest, numbered(1).cosigner(Purpose::Single)).unwrap()
}

fn multisig_setup() -> Setup {
    let cosigners = [1, 2, 3].map(|number| numbered(number).cosigner(Purpose::Multisig).clone());
    Setup::multisig(Network::Regtest, 2, &cosigners).unwrap()
}

#[test]
fn a_key_signs_its_inputs_and_no_others() {
    for setup in [single_setup(), multisig_setup()] {
        let unsigned = spend(&setup);
        let mut psbt = unsigned.clone();
        assert_eq!(numbered(1).sign(&mut psbt).unwrap(), 2);
        let secp = Secp256k1::new();
        for index in [0, 1] {
            let (key, signature) = psbt.inputs[index].partial_sigs.first_key_value().unwrap();
            assert_eq!(psbt.inputs[index].partial_sigs.len(), 1);
            assert_eq!(signature.sighash_type, EcdsaSighashType::All);
            let mut cache = SighashCache::new(&psbt.unsigned_tx);
            let (message, _): (Message, _) = psbt.sighash_ecdsa(index, &mut cache).unwrap();
            secp.verify_ecdsa(&message, &signature.signature, &key.inner)
                .unwrap();
        }
        assert_eq!(psbt.inputs[2], unsigned.inputs[2]);
        assert_eq!(psbt.unsigned_tx, unsigned.unsigned_tx);
        // Signing again changes nothing: the nonce comes from the message (RFC 6979).
        let once = psbt.clone();
        assert_eq!(numbered(1).sign(&mut psbt).unwrap(), 2);
        assert_eq!(psbt, once);
        // A stranger's key finds nothing to do.
        let mut untouched = unsigned.clone();
        assert_eq!(numbered(9).sign(&mut untouched).unwrap(), 0);
        assert_eq!(untouched, unsigned);
    }
}

/// What a hostile coordinator may put into a PSBT: each is refused, and nothing is signed.
#[test]
fn inputs_that_are_not_what_they_seem_are_refused() {
    type Change = fn(&mut Psbt);
    let changes: [(&str, Change); 12] = [
        ("is missing", |psbt| psbt.inputs[1].non_witness_utxo = None),
        ("another than the one it spends", |psbt| {
            let funding = psbt.inputs[1].non_witness_utxo.as_mut().unwrap();
            funding.output[1].value = Amount::from_sat(1);
        }),
        // CVE-2020-14199: the amount is shown smaller than it is, and the rest would be fees.
        ("its amount or script", |psbt| {
            psbt.inputs[1].witness_utxo.as_mut().unwrap().value = Amount::from_sat(10_000);
        }),
        ("its amount or script", |psbt| {
            psbt.inputs[1].witness_utxo.as_mut().unwrap().script_pubkey = ScriptBuf::new();
        }),
        ("SIGHASH_ALL", |psbt| {
            psbt.inputs[1].sighash_type = Some(EcdsaSighashType::None.into());
        }),
        ("SIGHASH_ALL", |psbt| {
            psbt.inputs[1].sighash_type = Some(EcdsaSighashType::AllPlusAnyoneCanPay.into());
        }),
        ("SIGHASH_ALL", |psbt| {
            psbt.inputs[1].sighash_type = Some(PsbtSighashType::from_u32(0x41));
        }),
        ("not one of this key's two accounts", |psbt| {
            for (_, path) in psbt.inputs[1].bip32_derivation.values_mut() {
                *path = path.child(ChildNumber::Normal { index: 0 });
            }
        }),
        ("not one of this key's two accounts", |psbt| {
            for (_, path) in psbt.inputs[1].bip32_derivation.values_mut() {
                *path = DerivationPath::master();
            }
        }),
        ("is not the one at its path", |psbt| {
            psbt.inputs[1].bip32_derivation = psbt.inputs[0]
                .bip32_derivation
                .iter()
                .zip(psbt.inputs[1].bip32_derivation.values())
                .map(|((key, _), origin)| (*key, origin.clone()))
                .collect();
        }),
        ("neither the key's nor its script's", |psbt| {
            psbt.inputs[1].witness_script = Some(ScriptBuf::from_bytes(vec![0x51]));
        }),
        ("final already", |psbt| {
            psbt.inputs[1].final_script_witness = Some(Witness::from_slice(&[[1]]));
        }),
    ];
    for setup in [single_setup(), multisig_setup()] {
        for (expected, change) in changes {
            let mut psbt = spend(&setup);
            change(&mut psbt);
            let before = psbt.clone();
            let error = numbered(1).sign(&mut psbt).unwrap_err().to_string();
            assert!(error.contains(expected), "{expected}: {error}");
            assert!(error.contains("input 1"), "{error}");
            assert_eq!(psbt, before, "{expected}: nothing is signed");
        }
    }
}

/// The script is one that pays the key alone, among the keys of the wallet's own.
#[test]
fn a_script_without_the_key_is_refused() {
    let mut psbt = spend(&multisig_setup());
    let foreign = ScriptBuf::from_bytes(vec![0x51]);
    let mut funding = psbt.inputs[0].non_witness_utxo.clone().unwrap();
    funding.output[0].script_pubkey = foreign.to_p2wsh();
    psbt.unsigned_tx.input[0].previous_output.txid = funding.compute_txid();
    psbt.inputs[0].witness_utxo = Some(funding.output[0].clone());
    psbt.inputs[0].non_witness_utxo = Some(funding);
    psbt.inputs[0].witness_script = Some(foreign);
    let error = numbered(1).sign(&mut psbt).unwrap_err().to_string();
    assert!(error.contains("does not hold the key"), "{error}");
}

#[test]
fn a_taproot_origin_of_ours_is_refused() {
    let mut psbt = spend(&single_setup());
    let key = numbered(1);
    let (public, origin) = psbt.inputs[0].bip32_derivation.first_key_value().unwrap();
    let (public, origin) = (public.x_only_public_key().0, origin.clone());
    psbt.inputs[2]
        .tap_key_origins
        .insert(public, (Vec::new(), origin));
    assert!(key.sign(&mut psbt).is_err());
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
        let mut bytes = right.clone();
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
