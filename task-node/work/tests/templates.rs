//! Templates from a node that is hostile or broken, and job templates from a bundle that is.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use bitcoin::Network;
use bitcoin::consensus::serialize;
use common::*;
use proptest::prelude::*;
use work::{
    BlockTemplate, JobTemplate, JobTemplateError, MAX_JOB_TEMPLATE_BYTES, TemplateError,
    TemplateParts, block_subsidy,
};

fn refused(change: impl FnOnce(&mut TemplateParts)) -> TemplateError {
    let mut template = parts(
        200,
        REGTEST_BITS,
        &[transaction(1, true), transaction(2, false)],
    );
    change(&mut template);
    BlockTemplate::new(&template, Network::Regtest).unwrap_err()
}

#[test]
fn every_field_that_cannot_be_right_is_named() {
    assert_eq!(refused(|t| t.height = 0), TemplateError::Height(0));
    assert_eq!(
        refused(|t| t.height = 1 << 31),
        TemplateError::Height(1 << 31)
    );
    for bits in [0, 0x1d80_ffff, 0xff12_3456, 0x2000_00ff, 0x0300_0001] {
        assert!(matches!(
            refused(|t| t.nbits = bits),
            TemplateError::Bits(_)
        ));
    }
    assert_eq!(
        refused(|t| t.min_time = NOW + 1),
        TemplateError::Times {
            min_time: NOW + 1,
            cur_time: NOW
        }
    );
    let subsidy = block_subsidy(Network::Regtest, 200).to_sat();
    assert_eq!(
        refused(|t| t.coinbase_value = subsidy - 1),
        TemplateError::BelowSubsidy {
            given: subsidy - 1,
            subsidy
        }
    );
    assert_eq!(
        refused(|t| t.coinbase_value = 2_100_000_000_000_001),
        TemplateError::AboveMaxMoney(2_100_000_000_000_001)
    );
    assert_eq!(
        refused(|t| {
            t.transactions[1].pop();
        }),
        TemplateError::Transaction(1)
    );
    // Trailing bytes are not part of a transaction.
    assert_eq!(
        refused(|t| t.transactions[0].push(0)),
        TemplateError::Transaction(0)
    );
    let mut coinbase = transaction(1, false);
    coinbase.input[0].previous_output = bitcoin::OutPoint::null();
    assert_eq!(
        refused(|t| t.transactions[1] = serialize(&coinbase)),
        TemplateError::Coinbase(1)
    );
    let mut heavy = transaction(1, false);
    heavy.output[0].script_pubkey = bitcoin::ScriptBuf::from_bytes(vec![0; 1_000_000]);
    assert!(matches!(
        refused(|t| t.transactions[1] = serialize(&heavy)),
        TemplateError::TooHeavy(_)
    ));
}

#[test]
fn a_commitment_to_other_transactions_is_refused() {
    let cases: [fn(&mut TemplateParts); 6] = [
        |t| t.witness_commitment_script = None, // though a transaction has a witness
        |t| t.witness_commitment_script = Some(Vec::new()),
        |t| t.transactions.swap(0, 1),
        |t| {
            t.transactions.pop();
        },
        |t| {
            if let Some(script) = &mut t.witness_commitment_script {
                script[6] ^= 1;
            }
        },
        // An output the pool did not ask for, behind a right commitment.
        |t| {
            if let Some(script) = &mut t.witness_commitment_script {
                script.push(0x51);
            }
        },
    ];
    for change in cases {
        assert_eq!(refused(change), TemplateError::WitnessCommitment);
    }
}

/// Found by this test: twelve bytes decode as a transaction without inputs and outputs, so a template could hold more
/// transactions than a block's tree has places, and the round's bundle could not be read by anybody.
#[test]
fn a_transaction_without_inputs_or_outputs_is_refused() {
    let nothing = hex::decode("010000000001000000000000").unwrap();
    assert_eq!(
        refused(|t| t.transactions[1] = nothing),
        TemplateError::EmptyTransaction(1)
    );
    let mut no_output = transaction(1, false);
    no_output.output.clear();
    assert_eq!(
        refused(|t| t.transactions[0] = serialize(&no_output)),
        TemplateError::EmptyTransaction(0)
    );
}

#[test]
fn the_deepest_tree_a_block_can_hold_is_one_an_auditor_reads() {
    // The smallest transaction with an input and an output weighs 60 bytes or 240 units.
    let mut smallest = transaction(1, false);
    smallest.output[0].script_pubkey = bitcoin::ScriptBuf::new();
    assert_eq!(smallest.weight().to_wu(), 240);
    let count = 4_000_000 / 240;
    let mut template = parts(200, REGTEST_BITS, &[]);
    template.witness_commitment_script = None;
    template.transactions = vec![serialize(&smallest); count];
    let live = live(&template);
    assert_eq!(live.job_template().branch().len(), 15);
    let bytes = live.job_template().encode().unwrap();
    assert_eq!(JobTemplate::decode(&bytes).unwrap(), **live.job_template());
    template.transactions.push(serialize(&smallest));
    assert!(matches!(
        BlockTemplate::new(&template, Network::Regtest),
        Err(TemplateError::TooHeavy(_))
    ));
}

#[test]
fn a_negative_version_keeps_its_bits() {
    let mut template = parts(200, HARD_BITS, &[]);
    template.version = -1;
    assert_eq!(live(&template).job_template().version(), u32::MAX);
}

fn encoded() -> Vec<u8> {
    live(&parts(
        200,
        HARD_BITS,
        &[transaction(1, true), transaction(2, true)],
    ))
    .job_template()
    .encode()
    .unwrap()
}

#[test]
fn a_job_template_has_one_encoding() {
    let bytes = encoded();
    assert!(JobTemplate::decode(&bytes).is_ok());
    // Trailing bytes.
    assert!(JobTemplate::decode(&[&bytes[..], &[0]].concat()).is_err());
    // Every shorter beginning.
    for end in 0..bytes.len() {
        assert!(JobTemplate::decode(&bytes[..end]).is_err(), "{end}");
    }
    // The map header 0xaa (ten entries) written in two bytes: the same value, another form.
    assert_eq!(bytes[0], 0xaa);
    assert!(JobTemplate::decode(&[&[0xb8, 10], &bytes[1..]].concat()).is_err());
    // As an indefinite map.
    assert!(JobTemplate::decode(&[&[0xbf], &bytes[1..], &[0xff]].concat()).is_err());
    // The key "tag" renamed: an unknown key, and one missing.
    let at = bytes.windows(4).position(|w| w == b"\x63tag").unwrap();
    let mut renamed = bytes;
    renamed[at + 1] = b'T';
    assert!(JobTemplate::decode(&renamed).is_err());
    assert!(matches!(
        JobTemplate::decode(&vec![0; MAX_JOB_TEMPLATE_BYTES + 1]),
        Err(JobTemplateError::Encoding(_))
    ));
}

/// A flipped bit either makes the bytes unreadable or another job template with another name.
#[test]
fn one_altered_bit_is_never_the_same_job() {
    let bytes = encoded();
    let job = JobTemplate::decode(&bytes).unwrap();
    for index in 0..bytes.len() {
        for bit in 0..8 {
            let mut altered = bytes.clone();
            altered[index] ^= 1 << bit;
            if let Ok(other) = JobTemplate::decode(&altered) {
                assert_ne!(other, job, "byte {index} bit {bit}");
                assert_ne!(other.id().unwrap(), job.id().unwrap());
            }
        }
    }
}

/// A nested array as deep as the size limit allows must not exhaust the stack.
#[test]
fn deep_nesting_is_an_error() {
    for opener in [0x81, 0xa1, 0xc1, 0x9f] {
        assert!(JobTemplate::decode(&vec![opener; MAX_JOB_TEMPLATE_BYTES]).is_err());
    }
    // Lengths that promise more than there is.
    for start in [
        &[0x9b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff][..],
        &[0xbb, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        &[0x5b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
    ] {
        assert!(JobTemplate::decode(start).is_err());
    }
}

prop_compose! {
    fn any_parts()(
        height in prop_oneof![Just(0_u32), 1..900_000_u32, any::<u32>()],
        prev_hash: [u8; 32],
        version: i32,
        nbits in prop_oneof![Just(REGTEST_BITS), Just(HARD_BITS), any::<u32>()],
        min_time: u32,
        cur_time: u32,
        coinbase_value in prop_oneof![0..6_000_000_000_u64, any::<u64>()],
        transactions in prop::collection::vec(
            prop_oneof![
                (any::<u8>(), any::<bool>()).prop_map(|(seed, segwit)| serialize(&transaction(seed, segwit))),
                prop::collection::vec(any::<u8>(), 0..100),
            ],
            0..6,
        ),
        witness_commitment_script in prop::option::of(prop::collection::vec(any::<u8>(), 0..50)),
    ) -> TemplateParts {
        TemplateParts {
            height, prev_hash, version, nbits, min_time, cur_time, coinbase_value, transactions,
            witness_commitment_script,
        }
    }
}

proptest! {
    #[test]
    fn a_hostile_template_is_refused_or_sound(parts in any_parts()) {
        if let Ok(template) = BlockTemplate::new(&parts, Network::Regtest) {
            prop_assert!(template.height() > 0);
            prop_assert!(template.coinbase_value() >= block_subsidy(Network::Regtest, template.height()));
            prop_assert_eq!(template.transactions().len(), parts.transactions.len());
        }
    }

    /// What the pool writes, an auditor reads.
    #[test]
    fn a_sound_template_survives_the_bundle(
        height in 1..i32::MAX as u32, version: i32, prev_hash: [u8; 32], behind in 0..10_000_u32, fees in 0..1_000_000_u64,
        seeds in prop::collection::vec((any::<u8>(), any::<bool>()), 0..20),
    ) {
        let transactions: Vec<_> = seeds.iter().map(|(seed, segwit)| transaction(*seed, *segwit)).collect();
        let mut parts = parts(height, HARD_BITS, &transactions);
        parts.version = version;
        parts.prev_hash = prev_hash;
        parts.min_time = NOW - behind;
        parts.coinbase_value += fees;
        let live = live(&parts);
        let job = live.job_template();
        let bytes = job.encode().unwrap();
        prop_assert!(bytes.len() <= MAX_JOB_TEMPLATE_BYTES);
        let read = JobTemplate::decode(&bytes).unwrap();
        prop_assert_eq!(&read, &**job);
        prop_assert_eq!(read.id().unwrap(), live.id());
        prop_assert_eq!(read.total_value().to_sat(), parts.coinbase_value);
    }

    #[test]
    fn garbage_is_answered(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(JobTemplate::decode(&bytes).is_err());
    }

    #[test]
    fn altered_bytes_are_answered(at in any::<prop::sample::Index>(), value: u8) {
        let mut bytes = encoded();
        let at = at.index(bytes.len());
        bytes[at] = value;
        if let Ok(job) = JobTemplate::decode(&bytes) {
            prop_assert_eq!(job.encode().unwrap(), bytes);
        }
    }
}
