#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use bitcoin::constants::genesis_block;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn header_json() -> Value {
    // getblockheader of the mainnet genesis block.
    json!({
        "hash": "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f", "confirmations": 900_000,
        "height": 0, "version": 1, "versionHex": "00000001",
        "merkleroot": "4a5e1e4baab89f3a32518a88c31bc87f618f76673e2cc77ab2127b7afdeda33b",
        "time": 1231006505, "mediantime": 1231006505, "nonce": 2083236893, "bits": "1d00ffff", "difficulty": 1,
        "chainwork": "0000000000000000000000000000000000000000000000000000000100010001", "nTx": 1,
    })
}

fn genesis() -> BlockHash {
    genesis_block(Network::Bitcoin).block_hash()
}

fn header(json: &Value) -> Result<HeaderInfo, Reason> {
    check_header(
        &HeaderJson::deserialize(json).map_err(|e| e.to_string())?,
        genesis(),
    )
}

#[test]
fn the_genesis_header_is_rebuilt_and_hashed() {
    let info = header(&header_json()).unwrap();
    assert_eq!(info.header, genesis_block(Network::Bitcoin).header);
    assert_eq!(
        info.standing,
        Standing::Active {
            confirmations: 900_000
        }
    );
    assert_eq!(info.chain_work, info.header.work());
}

#[test]
fn each_altered_header_field_is_noticed_by_the_hash() {
    for (field, value) in [
        ("version", json!(2)),
        ("merkleroot", json!("00".repeat(32))),
        ("time", json!(1231006506)),
        ("nonce", json!(0)),
        ("bits", json!("1d00fffe")),
        ("previousblockhash", json!("11".repeat(32))),
    ] {
        let mut altered = header_json();
        altered[field] = value;
        assert!(header(&altered).unwrap_err().contains("hash to"), "{field}");
    }
}

#[test]
fn a_header_is_stale_at_minus_one_and_nothing_else_is_accepted_below_one() {
    let with = |confirmations: i64| {
        let mut json = header_json();
        json["confirmations"] = json!(confirmations);
        header(&json)
    };
    assert_eq!(with(-1).unwrap().standing, Standing::Stale);
    assert_eq!(
        with(1).unwrap().standing,
        Standing::Active { confirmations: 1 }
    );
    for bad in [0, -2, i64::MIN, i64::MAX] {
        assert!(with(bad).is_err(), "{bad}");
    }
}

#[test]
fn numbers_outside_their_range_and_odd_hex_are_errors() {
    for (field, value) in [
        ("time", json!(-1)),
        ("time", json!(4_294_967_296_u64)),
        ("nonce", json!(1.5)),
        ("height", json!("0")),
        ("bits", json!("1d00fff")),
        ("bits", json!("1d00ffff00")),
        ("bits", json!("zzzzzzzz")),
        ("chainwork", json!("01")),
        ("chainwork", json!("é".repeat(32))),
        ("merkleroot", json!(null)),
    ] {
        let mut altered = header_json();
        altered[field] = value.clone();
        assert!(header(&altered).is_err(), "{field} = {value}");
    }
}

#[test]
fn a_block_must_be_the_one_asked_for_and_whole() {
    let block = genesis_block(Network::Bitcoin);
    let hex = consensus::encode::serialize_hex(&block);
    assert_eq!(check_block(&hex, block.block_hash()).unwrap(), block);

    let other = genesis_block(Network::Regtest).block_hash();
    assert!(check_block(&hex, other).unwrap_err().contains("instead of"));
    assert!(
        check_block(&format!("{hex}00"), block.block_hash())
            .unwrap_err()
            .contains("decoded")
    );
    assert!(check_block(&hex[..hex.len() - 2], block.block_hash()).is_err());

    let mut swapped = block.clone();
    swapped.txdata[0].lock_time = bitcoin::absolute::LockTime::from_consensus(7);
    let hex = consensus::encode::serialize_hex(&swapped);
    assert!(
        check_block(&hex, block.block_hash())
            .unwrap_err()
            .contains("Merkle")
    );
}

fn template_json() -> Value {
    json!({
        "capabilities": ["proposal"], "version": 536870912, "rules": ["csv", "!segwit", "taproot"],
        "previousblockhash": "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206",
        "transactions": [{"data": "00ff", "txid": "", "fee": 1}], "coinbaseaux": {}, "coinbasevalue": 5000000000_u64,
        "longpollid": "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e22060",
        "target": "7fffff0000000000000000000000000000000000000000000000000000000000",
        "mintime": 1296688603, "curtime": 1763716000, "bits": "207fffff", "height": 1,
        "default_witness_commitment": "6a24aa21a9ed",
    })
}

fn template(json: &Value) -> Result<CheckedTemplate, Reason> {
    check_template(TemplateJson::deserialize(json).map_err(|e| e.to_string())?)
}

#[test]
fn a_template_is_taken_apart() {
    let CheckedTemplate::Parts {
        parts,
        long_poll,
        costs,
    } = template(&template_json()).unwrap()
    else {
        panic!("no parts");
    };
    assert_eq!(parts.height, 1);
    assert_eq!(parts.nbits, 0x207f_ffff);
    assert_eq!(parts.min_time, 1296688603);
    assert_eq!(parts.transactions, [vec![0x00, 0xff]]);
    assert_eq!(
        parts.witness_commitment_script,
        Some(vec![0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed])
    );
    assert!(long_poll.unwrap().starts_with("0f9188"));
    assert_eq!(costs, None, "one of its transactions is without sigops");
}

#[test]
fn a_forced_rule_nobody_told_us_about_stops_mining() {
    let mut json = template_json();
    json["rules"] = json!(["csv", "!segwit", "!covenants"]);
    assert!(
        matches!(template(&json), Ok(CheckedTemplate::UnknownRule(rule)) if rule == "!covenants")
    );
    json["rules"] = json!(["csv", "!segwit", "!signet", "covenants"]);
    assert!(matches!(template(&json), Ok(CheckedTemplate::Parts { .. })));
}

#[test]
fn a_template_whose_target_is_not_its_bits_is_refused_sri_2340() {
    let mut json = template_json();
    json["target"] = json!("00000000ffff0000000000000000000000000000000000000000000000000000");
    assert!(template(&json).unwrap_err().contains("does not belong"));
}

#[test]
fn hostile_template_fields_are_errors() {
    for (field, value) in [
        ("coinbasevalue", json!(-1)),
        ("coinbasevalue", json!(1e30)),
        ("height", json!(-1)),
        ("transactions", json!([{"data": "abc"}])),
        ("transactions", json!([{}])),
        ("transactions", json!({"0": "00"})),
        ("longpollid", json!("x".repeat(LongPollId::MAX_LEN + 1))),
        ("longpollid", json!("a\r\nb")),
        ("default_witness_commitment", json!("6")),
        ("previousblockhash", json!("0f91")),
        ("rules", json!("segwit")),
    ] {
        let mut json = template_json();
        json[field] = value.clone();
        assert!(template(&json).is_err(), "{field} = {value}");
    }
}

#[test]
fn submit_answers_follow_bip22() {
    assert_eq!(submit_outcome(None), SubmitOutcome::Accepted);
    assert_eq!(submit_outcome(Some("duplicate")), SubmitOutcome::Duplicate);
    assert_eq!(
        submit_outcome(Some("inconclusive")),
        SubmitOutcome::Inconclusive
    );
    assert_eq!(
        submit_outcome(Some("duplicate-inconclusive")),
        SubmitOutcome::Inconclusive
    );
    // Known to be invalid is not good news, whatever its first word is.
    assert_eq!(
        submit_outcome(Some("duplicate-invalid")),
        SubmitOutcome::Rejected("duplicate-invalid".into())
    );
    assert_eq!(
        submit_outcome(Some("high-hash")),
        SubmitOutcome::Rejected("high-hash".into())
    );
}

#[test]
fn progress_is_clamped_for_display() {
    let info = |progress: Value| {
        let json = json!({
            "chain": "regtest", "blocks": 1, "headers": 1, "bestblockhash": "00".repeat(32),
            "chainwork": "00".repeat(32), "initialblockdownload": false, "verificationprogress": progress,
            "difficulty": 4.656542373906925e-10,
        });
        check_chain_info(ChainInfoJson::deserialize(&json).unwrap(), Network::Regtest).unwrap()
    };
    assert_eq!(info(json!(0.5)).verification_ppm, 500_000);
    assert_eq!(info(json!(1e300)).verification_ppm, 1_000_000);
    assert_eq!(info(json!(-4)).verification_ppm, 0);
    assert_eq!(info(json!(1)).difficulty, "4.656542373906925e-10");
}

/// Any JSON value, three levels deep, with the field names the parsers look for.
fn any_json() -> impl Strategy<Value = Value> {
    let names = prop::sample::select(vec![
        "chain",
        "blocks",
        "bits",
        "target",
        "transactions",
        "data",
        "time",
        "confirmations",
        "height",
        "rules",
        "previousblockhash",
        "chainwork",
        "type",
        "address",
        "curtime",
        "mintime",
        "coinbasevalue",
        "version",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,80}".prop_map(Value::from),
        "[0-9a-f]{64}".prop_map(Value::from),
        "[0-9a-f]{8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 32, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
            prop::collection::hash_map(names.clone(), inner, 0..8).prop_map(|m| m
                .into_iter()
                .map(|(k, v)| (k.to_owned(), v))
                .collect::<serde_json::Map<_, _>>()
                .into()),
        ]
    })
}

proptest! {
    #[test]
    fn no_json_panics_a_parser(json in any_json()) {
        let _ = header(&json);
        let _ = template(&json);
        let _ = ChainInfoJson::deserialize(&json).map(|j| check_chain_info(j, Network::Bitcoin));
        let _ = Vec::<NotificationJson>::deserialize(&json).map(check_notifications);
    }

    #[test]
    fn a_good_template_with_one_field_replaced_never_panics(
        field in prop::sample::select(vec![
            "version", "rules", "previousblockhash", "transactions", "coinbasevalue", "longpollid", "target",
            "mintime", "curtime", "bits", "height", "default_witness_commitment",
        ]),
        value in any_json(),
    ) {
        let mut json = template_json();
        json[field] = value;
        let _ = template(&json);
    }

    #[test]
    fn no_text_panics_the_block_parser(hex in "[0-9a-fA-F]{0,400}|.{0,100}") {
        prop_assert!(check_block(&hex, genesis()).is_err());
    }
}
