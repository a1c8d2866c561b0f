//! The coinbase and the block around it, held against rust-bitcoin and the BIPs.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use bitcoin::absolute::LockTime;
use bitcoin::consensus::{deserialize, serialize};
use bitcoin::hashes::{Hash as _, sha256d};
use bitcoin::{Block, Transaction};
use common::*;
use pow::ShareDifficulty;
use serde_json::Value;
use work::{
    AssembleError, Extranonce, Extranonce1, FoundBlock, JobId, LiveTemplate, MAX_POOL_TAG_BYTES,
    PoolTag, ShareFields, VersionMask, merkle,
};

fn block_of(template: &LiveTemplate, base: &ShareFields) -> (Block, FoundBlock) {
    let job = std::sync::Arc::new(template.job(claim(ShareDifficulty::MIN)));
    let share = find_block(&job, base, VersionMask::NONE);
    let found = check(&context(&job), &share, &mut filter()).block.unwrap();
    (template.block().assemble(&found).unwrap(), found)
}

#[test]
fn bip34_height_is_what_consensus_reads() {
    let heights = (1..=17).chain([
        127,
        128,
        255,
        256,
        32_767,
        32_768,
        65_535,
        65_536,
        840_000,
        8_388_607,
        8_388_608,
        16_777_216,
        i32::MAX as u32,
    ]);
    for height in heights {
        let (block, _) = block_of(&live(&parts(height, REGTEST_BITS, &[])), &fields(0));
        let coinbase = &block.txdata[0];
        let script = coinbase.input[0].script_sig.as_bytes();
        assert!((2..=100).contains(&script.len()), "{height}");
        if height <= 16 {
            // Core compares the beginning of the script with `CScript() << height`, which is OP_1 to OP_16 here.
            // rust-bitcoin reads pushes only.
            assert_eq!(u32::from(script[0]), 0x50 + height);
        } else {
            assert_eq!(block.bip34_block_height(), Ok(u64::from(height)));
        }
        // BIP54: locked to the height before, and not final, so the lock counts.
        assert_eq!(
            coinbase.lock_time,
            LockTime::from_height(height - 1).unwrap_or(LockTime::from_consensus(height - 1))
        );
        assert_eq!(coinbase.lock_time.to_consensus_u32(), height - 1);
        assert!(coinbase.input[0].sequence.enables_absolute_lock_time());
        assert!(coinbase.is_coinbase());
    }
}

#[test]
fn a_found_block_validates_miningcore_743() {
    for transactions in [
        vec![],
        vec![transaction(1, true)],
        (0..9)
            .map(|seed| transaction(seed, seed % 2 == 0))
            .collect(),
    ] {
        let template = live(&parts(200, REGTEST_BITS, &transactions));
        let (block, found) = block_of(&template, &fields(0));
        assert!(block.check_merkle_root());
        assert!(block.check_witness_commitment());
        assert_eq!(block.block_hash(), found.hash);
        assert_eq!(block.txdata[1..], transactions);
        assert_eq!(
            block.header.validate_pow(block.header.target()),
            Ok(found.hash)
        );
        // The whole value goes to the payout script, nothing is lost or made.
        let coinbase = &block.txdata[0];
        assert_eq!(coinbase.output.len(), 2);
        assert_eq!(coinbase.output[0].value, template.block().coinbase_value());
        assert_eq!(
            coinbase.output[0].script_pubkey.as_script(),
            payout().as_script()
        );
        assert_eq!(coinbase.output[1].value, bitcoin::Amount::ZERO);
        // One witness item of 32 zero bytes, which the stripped form a miner hashes does not have.
        assert_eq!(coinbase.input[0].witness.len(), 1);
        let bytes = serialize(&block);
        assert_eq!(deserialize::<Block>(&bytes).unwrap(), block);
    }
}

#[test]
fn a_node_without_segwit_gets_a_block_without_witness_p2pool_343() {
    let mut plain = parts(200, REGTEST_BITS, &[transaction(1, false)]);
    plain.witness_commitment_script = None;
    let (block, _) = block_of(&live(&plain), &fields(0));
    assert!(block.check_merkle_root());
    assert!(block.txdata[0].input[0].witness.is_empty());
    assert_eq!(block.txdata[0].output.len(), 1);
}

#[test]
fn a_find_of_another_template_is_not_assembled() {
    let template = live(&parts(200, REGTEST_BITS, &[transaction(1, true)]));
    let other = live(&parts(200, REGTEST_BITS, &[transaction(2, true)]));
    let (_, found) = block_of(&template, &fields(0));
    assert_eq!(
        other.block().assemble(&found),
        Err(AssembleError::OtherTemplate)
    );
    let mut elsewhere = parts(200, REGTEST_BITS, &[transaction(1, true)]);
    elsewhere.prev_hash = [0x22; 32];
    assert_eq!(
        live(&elsewhere).block().assemble(&found),
        Err(AssembleError::OtherTemplate)
    );
    let mut cut = found;
    cut.coinbase.pop();
    assert_eq!(
        template.block().assemble(&cut),
        Err(AssembleError::Coinbase)
    );
}

#[test]
fn no_extranonce_and_no_tag_can_fill_a_block_with_signature_operations() {
    // Legacy counting looks into the coinbase script too: 0xae is CHECKMULTISIG, twenty operations each, and
    // `getblocktemplate` leaves no room for it. As data of a push they count nothing.
    let template = live(&parts(200, REGTEST_BITS, &[]));
    let job = template.job(claim(ShareDifficulty::MIN));
    let coinbase: Transaction =
        deserialize(&job.coinbase(&Extranonce::from_bytes([0xae; 12]))).unwrap();
    let script = &coinbase.input[0].script_sig;
    assert_eq!(script.count_sigops_legacy(), 0);
    // The claim is where DESIGN puts it: the second push.
    let mut pushes = script.instructions_minimal().skip(1);
    let push = pushes.next().unwrap().unwrap();
    let data = push.push_bytes().unwrap().as_bytes().to_vec();
    assert_eq!(data[..5], *b"KOII\x01");
    assert_eq!(data[5..], job.claim().hash());
    let push = pushes.next().unwrap().unwrap();
    assert_eq!(push.push_bytes().unwrap().as_bytes(), [0xae; 12]);
    let push = pushes.next().unwrap().unwrap();
    assert_eq!(push.push_bytes().unwrap().as_bytes(), b"/orcapool/");
    assert!(pushes.next().is_none());
}

#[test]
fn the_longest_tag_at_the_greatest_height_stays_within_100_bytes() {
    let template = parts(i32::MAX as u32, REGTEST_BITS, &[]);
    let block = std::sync::Arc::new(
        work::BlockTemplate::new(&template, bitcoin::Network::Regtest).unwrap(),
    );
    for length in [0, 1, MAX_POOL_TAG_BYTES] {
        let tag = PoolTag::new(vec![b'x'; length]).unwrap();
        let live = LiveTemplate::new(block.clone(), &payout(), tag).unwrap();
        let (block, _) = block_of(&live, &fields(0));
        let script = &block.txdata[0].input[0].script_sig;
        assert!(script.len() <= 100);
        assert!(script.instructions().all(|instruction| instruction.is_ok()));
    }
    assert!(PoolTag::new(vec![b'x'; MAX_POOL_TAG_BYTES + 1]).is_err());
}

/// What a miner does with a notify line, written from the protocol alone.
fn header_of_notify(line: &[u8], extranonce: &Extranonce, fields: &ShareFields) -> Vec<u8> {
    let message: Value = serde_json::from_slice(line).unwrap();
    assert_eq!(message["id"], Value::Null);
    assert_eq!(message["method"], "mining.notify");
    let params = message["params"].as_array().unwrap();
    assert_eq!(params.len(), 9);
    let bytes = |index: usize| hex::decode(params[index].as_str().unwrap()).unwrap();
    let word = |index: usize| {
        u32::from_str_radix(params[index].as_str().unwrap(), 16)
            .unwrap()
            .to_le_bytes()
    };
    let coinbase = [&bytes(2)[..], extranonce.as_bytes(), &bytes(3)].concat();
    let mut root = sha256d::Hash::hash(&coinbase).to_byte_array();
    for sibling in params[4].as_array().unwrap() {
        let sibling = hex::decode(sibling.as_str().unwrap()).unwrap();
        root = sha256d::Hash::hash(&[&root[..], &sibling].concat()).to_byte_array();
    }
    let mut header = word(5).to_vec();
    header.extend(
        bytes(1)
            .chunks(4)
            .flat_map(|word| word.iter().rev().copied()),
    );
    header.extend(root);
    header.extend(fields.ntime.to_le_bytes());
    header.extend(word(6));
    header.extend(fields.nonce.to_le_bytes());
    assert_eq!(word(7), NOW.to_le_bytes());
    header
}

#[test]
fn a_miner_that_reads_the_notify_line_hashes_the_pool_s_header() {
    for count in [0_u8, 1, 2, 5, 30] {
        let transactions: Vec<Transaction> =
            (0..count).map(|seed| transaction(seed, true)).collect();
        let template = live(&parts(840_000, HARD_BITS, &transactions));
        let job = template.job(claim(ShareDifficulty::ONE));
        let share = ShareFields {
            extranonce: Extranonce::join(
                Extranonce1::from_u32(0xdead_beef),
                [1, 2, 3, 4, 5, 6, 7, 8],
            ),
            ..fields(0x0102_0304)
        };
        for (clean, id) in [(true, 0_u32), (false, u32::MAX)] {
            let line = template.notify().line(JobId(id), job.claim_hash(), clean);
            assert_eq!(line.last(), Some(&b'\n'));
            assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
            let message: Value = serde_json::from_slice(&line).unwrap();
            assert_eq!(message["params"][8], clean);
            let said = message["params"][0].as_str().unwrap();
            assert_eq!(said.parse::<JobId>(), Ok(JobId(id)));
            assert_eq!(
                header_of_notify(&line, &share.extranonce, &share),
                job.header(&share, VersionMask::NONE)
            );
        }
        // The halves the job itself knows are the ones in the line.
        let line = template.notify().line(JobId(1), job.claim_hash(), true);
        let message: Value = serde_json::from_slice(&line).unwrap();
        assert_eq!(message["params"][2], hex::encode(job.coinbase_prefix()));
        assert_eq!(message["params"][3], hex::encode(job.coinbase_suffix()));
    }
}

#[test]
fn an_auditor_s_job_is_the_pool_s_job() {
    // The auditor has the job template's bytes and the claim, no block template.
    let template = live(&parts(
        200,
        HARD_BITS,
        &[transaction(1, true), transaction(2, true)],
    ));
    let bytes = template.job_template().encode().unwrap();
    let read = std::sync::Arc::new(work::JobTemplate::decode(&bytes).unwrap());
    let theirs = work::Job::new(read, claim(ShareDifficulty::ONE)).unwrap();
    let ours = template.job(claim(ShareDifficulty::ONE));
    assert_eq!(theirs.template_id(), template.id());
    let share = fields(9);
    assert_eq!(
        theirs.header(&share, VersionMask::NONE),
        ours.header(&share, VersionMask::NONE)
    );
    // Any other claim is another header.
    let mut other = claim(ShareDifficulty::ONE);
    other.miner = work::K2Address::from_bytes([4; 32]);
    assert_ne!(
        template.job(other).header(&share, VersionMask::NONE),
        ours.header(&share, VersionMask::NONE)
    );
    assert_eq!(
        ours.template().branch(),
        merkle::coinbase_branch(&{
            let ids: Vec<merkle::Hash> = template
                .block()
                .transactions()
                .iter()
                .map(|transaction| transaction.compute_txid().to_byte_array())
                .collect();
            ids
        })
    );
}
