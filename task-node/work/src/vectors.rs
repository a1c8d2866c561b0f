//! Real blocks and other pools' shares through the share check and the merkle code.
//!
//! The pool's coinbase has one shape, these have others: [`Job::foreign`] takes the bytes as they are.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use bitcoin::block::Header;
use bitcoin::consensus::{deserialize, serialize};
use bitcoin::hashes::{Hash as _, sha256d};
use bitcoin::{Block, BlockHash, Network, Transaction};
use pow::ShareDifficulty;
use serde::Deserialize;

use crate::{
    BlockTemplate, Claim, DuplicateFilter, Extranonce, Freshness, Job, JobTemplate, K2Address,
    RejectReason, RoundNumber, ShareContext, ShareFields, TaskId, TemplateParts, UnixTime, Verdict,
    VersionMask, check_share, merkle,
};

fn claim(difficulty: ShareDifficulty) -> Claim {
    Claim {
        task: TaskId::from_bytes([1; 32]),
        round: RoundNumber::ZERO,
        node: K2Address::from_bytes([2; 32]),
        miner: K2Address::from_bytes([3; 32]),
        difficulty,
        extension: Vec::new(),
    }
}

/// Where the twelve bytes that stand for the extranonces begin. Any place inside the coinbase will do.
struct Cut {
    prefix: Vec<u8>,
    extranonce: Extranonce,
    suffix: Vec<u8>,
}

fn cut(coinbase: &[u8], at: usize) -> Cut {
    let end = at + Extranonce::BYTES;
    Cut {
        prefix: coinbase[..at].to_vec(),
        extranonce: Extranonce::from_bytes(coinbase[at..end].try_into().unwrap()),
        suffix: coinbase[end..].to_vec(),
    }
}

/// One share of a foreign job.
struct Vector {
    height: u32,
    /// The header the share must make; `version` before rolling.
    header: Header,
    branch: Vec<merkle::Hash>,
    coinbase: Vec<u8>,
    extranonce_at: usize,
    version_bits: Option<u32>,
    hash: BlockHash,
}

impl Vector {
    fn check(&self, difficulty: ShareDifficulty) -> crate::CheckedShare {
        let cut = cut(&self.coinbase, self.extranonce_at);
        let template =
            JobTemplate::foreign(self.height, &self.header, self.branch.clone()).unwrap();
        let job = Job::foreign(template, claim(difficulty), cut.prefix, cut.suffix).unwrap();
        assert_eq!(job.coinbase(&cut.extranonce), self.coinbase);
        let fields = ShareFields {
            extranonce: cut.extranonce,
            ntime: self.header.time,
            nonce: self.header.nonce,
            version_bits: self.version_bits,
        };
        check_share(
            &ShareContext {
                job: &Arc::new(job),
                freshness: Freshness::Current,
                version_mask: VersionMask::BIP320,
                now: UnixTime(u64::from(self.header.time)),
            },
            &fields,
            &mut DuplicateFilter::new(8),
        )
    }

    /// Credited at the hardest step its hash meets, refused one step above.
    fn holds_exactly(&self, is_block: bool) {
        let luck = pow::Target::from_be_bytes({
            let mut bytes = self.hash.to_byte_array();
            bytes.reverse();
            bytes
        });
        let difficulty = ShareDifficulty::for_target(luck).easier();
        let checked = self.check(difficulty);
        assert_eq!(checked.hash, self.hash);
        assert_eq!(checked.block.is_some(), is_block);
        let Verdict::Credited(share) = checked.verdict else {
            unreachable!("{:?}", checked.verdict)
        };
        assert_eq!(share.hash(), self.hash);
        assert_eq!(share.is_block(), is_block);
        assert_eq!(share.work(), difficulty.work());

        let checked = self.check(difficulty.harder().harder());
        assert_eq!(checked.hash, self.hash);
        assert_eq!(checked.block.is_some(), is_block);
        assert!(matches!(
            checked.verdict,
            Verdict::Rejected(RejectReason::LowDifficulty)
        ));
    }
}

fn header_with(version: u32, prev: BlockHash, bits: u32, time: u32, nonce: u32) -> Header {
    Header {
        version: bitcoin::block::Version::from_consensus(version as i32),
        prev_blockhash: prev,
        merkle_root: bitcoin::TxMerkleNode::all_zeros(),
        time,
        bits: bitcoin::CompactTarget::from_consensus(bits),
        nonce,
    }
}

/// Undoes the word order of Stratum's prevhash, written down here a second time on purpose.
fn from_stratum_order(text: &str) -> BlockHash {
    let bytes = hex::decode(text).unwrap();
    let words: Vec<u8> = bytes
        .chunks(4)
        .flat_map(|word| word.iter().rev().copied())
        .collect();
    BlockHash::from_byte_array(words.try_into().unwrap())
}

#[test]
fn slush_job_of_the_first_stratum_documentation() {
    // https://en.bitcoin.it/wiki/Stratum_mining_protocol: job "bf", extranonce1 08000002, extranonce2 00000001.
    let coinb1 = "01000000010000000000000000000000000000000000000000000000000000000000000000ffffffff\
                  20020862062f503253482f04b8864e5008";
    let coinb2 = "072f736c7573682f000000000100f2052a010000001976a914d23fcdf86f7e756a64a7a9688ef9903327\
                  048ed988ac00000000";
    let prev_text = "4d16b6f85af6e2198f44ae2a6de67f78487ae5611b77c6c0440b921e00000000";
    let prev = from_stratum_order(prev_text);
    assert_eq!(
        prev.to_string(),
        "00000000440b921e1b77c6c0487ae5616de67f788f44ae2a5af6e2194d16b6f8"
    );
    assert_eq!(
        crate::hex_fields::stratum_prev_hash(prev.as_ref()),
        prev_text
    );
    let vector = Vector {
        height: 0x0003_0208, // long before the coinbase carried its height; any will do
        header: header_with(2, prev, 0x1c2a_c4af, 0x504e_86ed, 0xb295_7c02),
        branch: Vec::new(),
        coinbase: hex::decode(format!("{coinb1}0800000200000001{coinb2}")).unwrap(),
        // The docs' extranonces have eight bytes together; four of coinb1 make it twelve.
        extranonce_at: coinb1.len() / 2 - 4,
        version_bits: None,
        hash: "000000002076870fe65a2b6eeed84fa892c0db924f1482243a6247d931dcab32"
            .parse()
            .unwrap(),
    };
    // The network's difficulty was 5.98 in this job: the documentation's share is a block.
    vector.holds_exactly(true);
    // Its difficulty is 7.885781: six is met, eight is not.
    let six = ShareDifficulty::at_most(7.885_781).unwrap();
    assert_eq!(six.to_string(), "6");
    assert!(matches!(vector.check(six).verdict, Verdict::Credited(_)));
    assert!(matches!(
        vector.check(six.harder()).verdict,
        Verdict::Rejected(RejectReason::LowDifficulty)
    ));
}

#[derive(Deserialize)]
struct Mainnet {
    height: u32,
    hash: BlockHash,
    header: String,
    coinbase: String,
    branch: Vec<String>,
}

fn hashes(texts: &[String]) -> Vec<merkle::Hash> {
    texts
        .iter()
        .map(|text| crate::hex_fields::exactly(text).unwrap())
        .collect()
}

#[test]
fn mainnet_block_702861_with_a_rolled_version() {
    let block: Mainnet =
        serde_json::from_str(include_str!("../tests/data/mainnet_702861.json")).unwrap();
    let txids: Vec<merkle::Hash> = include_bytes!("../tests/data/mainnet_702861.txids")
        .chunks_exact(32)
        .map(|id| id.try_into().unwrap())
        .collect();
    assert_eq!(txids.len(), 2_499);
    let branch = merkle::coinbase_branch(&txids);
    assert_eq!(branch.len(), 12);
    assert_eq!(branch, hashes(&block.branch));

    let mut header: Header = deserialize(&hex::decode(&block.header).unwrap()).unwrap();
    let coinbase = hex::decode(&block.coinbase).unwrap();
    let leaf = sha256d::Hash::hash(&coinbase).to_byte_array();
    assert_eq!(
        merkle::root_from_branch(leaf, &branch),
        header.merkle_root.to_byte_array()
    );
    assert_eq!(header.version.to_consensus(), 0x3fff_e004);
    // The job said 0x20000004 and the miner rolled every bit of BIP320.
    header.version = bitcoin::block::Version::from_consensus(0x2000_0004);
    Vector {
        height: block.height,
        header,
        branch,
        coinbase,
        extranonce_at: 60,
        version_bits: Some(0x1fff_e000),
        hash: block.hash,
    }
    .holds_exactly(true);
}

/// A block as the node would have offered it: its transactions, without the coinbase.
fn template_parts(block: &Block, height: u32, coinbase: &Transaction) -> TemplateParts {
    TemplateParts {
        height,
        prev_hash: block.header.prev_blockhash.to_byte_array(),
        version: block.header.version.to_consensus(),
        nbits: block.header.bits.to_consensus(),
        min_time: block.header.time - 60,
        cur_time: block.header.time,
        coinbase_value: coinbase.output.iter().map(|o| o.value.to_sat()).sum(),
        transactions: block.txdata[1..].iter().map(serialize).collect(),
        witness_commitment_script: coinbase
            .output
            .iter()
            .map(|output| output.script_pubkey.to_bytes())
            .find(|script| script.starts_with(&[0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed])),
    }
}

#[test]
fn testnet_block_924634_taken_apart_and_put_together() {
    let bytes = include_bytes!("../tests/data/testnet_924634.block");
    let block: Block = deserialize(bytes).unwrap();
    let mut coinbase = block.txdata[0].clone();
    let parts = template_parts(&block, 924_634, &coinbase);
    // BlockTemplate recomputes the witness commitment and compares it.
    let template = BlockTemplate::new(&parts, Network::Testnet).unwrap();
    assert_eq!(template.branch.len(), 4);
    assert!(template.witness_commitment.is_some());

    for input in &mut coinbase.input {
        input.witness.clear();
    }
    let vector = Vector {
        height: 924_634,
        header: block.header,
        branch: template.branch.clone(),
        coinbase: serialize(&coinbase),
        extranonce_at: 70,
        version_bits: None,
        hash: "000000000000045e0b1660b6445b5e5c5ab63c9a4f956be7e1e69be04fa4497b"
            .parse()
            .unwrap(),
    };
    vector.holds_exactly(true);

    // What the share check hands out becomes the very block the network took.
    let found = vector.check(ShareDifficulty::ONE).block.unwrap();
    let assembled = template.assemble(&found).unwrap();
    assert_eq!(serialize(&assembled), bytes);
}

#[derive(Deserialize)]
struct Recording {
    height: u32,
    previous: BlockHash,
    version: u32,
    bits: String,
    mintime: u32,
    curtime: u32,
    coinbasevalue: u64,
    commitment: String,
    transactions: Vec<String>,
    coinb1: String,
    coinb2: String,
    extranonce1: String,
    branch: Vec<String>,
    submit: Submit,
    hash: BlockHash,
}

#[derive(Deserialize)]
struct Submit {
    extranonce2: String,
    ntime: String,
    nonce: String,
    version_bits: String,
}

fn word(text: &str) -> u32 {
    u32::from_be_bytes(crate::hex_fields::exactly(text).unwrap())
}

#[test]
fn public_pool_recording_of_a_bitaxe_share() {
    let recording: Recording =
        serde_json::from_str(include_str!("../tests/data/testnet_2442185.json")).unwrap();
    let mut parts = TemplateParts {
        height: recording.height,
        prev_hash: recording.previous.to_byte_array(),
        version: recording.version as i32,
        nbits: word(&recording.bits),
        min_time: recording.mintime,
        cur_time: recording.curtime,
        coinbase_value: recording.coinbasevalue,
        transactions: recording
            .transactions
            .iter()
            .map(|raw| hex::decode(raw).unwrap())
            .collect(),
        witness_commitment_script: Some(hex::decode(&recording.commitment).unwrap()),
    };
    let template = BlockTemplate::new(&parts, Network::Testnet).unwrap();
    assert_eq!(template.branch, hashes(&recording.branch));

    let submit = &recording.submit;
    let vector = Vector {
        height: recording.height,
        header: header_with(
            recording.version,
            recording.previous,
            word(&recording.bits),
            word(&submit.ntime),
            word(&submit.nonce),
        ),
        branch: template.branch,
        coinbase: hex::decode(
            [
                &*recording.coinb1,
                &recording.extranonce1,
                &submit.extranonce2,
                &recording.coinb2,
            ]
            .concat(),
        )
        .unwrap(),
        extranonce_at: recording.coinb1.len() / 2 - 4,
        version_bits: Some(word(&submit.version_bits)),
        hash: recording.hash,
    };
    vector.holds_exactly(false);
    // public-pool XORs the bits instead of replacing them; for this job both give one version. Without them it is
    // another header.
    let without = Vector {
        version_bits: None,
        ..vector
    };
    assert_ne!(without.check(ShareDifficulty::MIN).hash, recording.hash);

    // One flipped bit in the node's commitment and nobody mines on it.
    if let Some(script) = &mut parts.witness_commitment_script {
        script[37] ^= 1;
    }
    assert_eq!(
        BlockTemplate::new(&parts, Network::Testnet).unwrap_err(),
        crate::TemplateError::WitnessCommitment
    );
}
