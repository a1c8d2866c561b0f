use std::vec;
use std::vec::Vec;

use bitcoin::absolute::LockTime;
use bitcoin::consensus::serialize;
use bitcoin::hashes::Hash as _;
use bitcoin::{Amount, OutPoint, ScriptBuf, Sequence, Txid, Witness};
use proptest::prelude::*;

use super::sha256;
use crate::bitcoin::proof::{MAX_BLOCK_LEN, ProofError};
use crate::bitcoin::{
    CoinbaseProof, Hash, Header, MerkleError, PaymentProof, TxError, merkle, sha256d,
};

fn transaction(outpoint: OutPoint, script_sig: Vec<u8>) -> Vec<u8> {
    serialize(&bitcoin::Transaction {
        version: bitcoin::transaction::Version::TWO,
        lock_time: LockTime::ZERO,
        input: vec![bitcoin::TxIn {
            previous_output: outpoint,
            script_sig: ScriptBuf::from_bytes(script_sig),
            sequence: Sequence::MAX,
            witness: Witness::new(),
        }],
        output: vec![bitcoin::TxOut {
            value: Amount::from_sat(5000),
            script_pubkey: ScriptBuf::from_bytes(vec![0x51; 22]),
        }],
    })
}

fn coinbase() -> Vec<u8> {
    transaction(OutPoint::null(), vec![3, 1, 2, 3])
}

/// A coinbase with so many outputs of 34 bytes each, beside 60 bytes of its own.
fn coinbase_with(outputs: usize) -> Vec<u8> {
    let mut transaction: bitcoin::Transaction =
        bitcoin::consensus::deserialize(&coinbase()).unwrap();
    transaction.output[0].value = Amount::ZERO;
    transaction.output[0].script_pubkey = ScriptBuf::from_bytes(vec![0x51; 25]);
    let output = transaction.output[0].clone();
    transaction.output = vec![output; outputs];
    serialize(&transaction)
}

fn payment(number: u32) -> Vec<u8> {
    let mut outpoint = OutPoint::null();
    outpoint.vout = number;
    transaction(outpoint, vec![])
}

fn txid(transaction: &[u8]) -> Hash {
    sha256d(&[transaction], sha256)
}

/// A header with this root.
fn header(root: Hash) -> [u8; 80] {
    let mut header = [3; 80];
    header[36..68].copy_from_slice(&root);
    header
}

/// A block of a coinbase and so many payments.
struct Block {
    header: [u8; 80],
    transactions: Vec<Vec<u8>>,
    txids: Vec<Hash>,
}

impl Block {
    fn new(payments: u32) -> Self {
        Self::of(
            [coinbase()]
                .into_iter()
                .chain((0..payments).map(payment))
                .collect(),
        )
    }

    fn of(transactions: Vec<Vec<u8>>) -> Self {
        let txids: Vec<Hash> = transactions.iter().map(|bytes| txid(bytes)).collect();
        let siblings = merkle::branch(&txids, 0, sha256).unwrap();
        let root = merkle::root_from_branch(&txids[0], 0, &siblings, sha256).unwrap();
        Self {
            header: header(root),
            transactions,
            txids,
        }
    }

    fn branch(&self, index: u32) -> Vec<Hash> {
        merkle::branch(&self.txids, index, sha256).unwrap()
    }

    fn coinbase_proof(&self) -> Result<Vec<u8>, ProofError> {
        CoinbaseProof::encode(&self.header, &self.transactions[0], &self.branch(0))
    }

    fn payment_proof(&self, index: u32) -> Result<Vec<u8>, ProofError> {
        PaymentProof::encode(
            &self.header,
            &self.transactions[index as usize],
            index,
            &self.branch(index),
            &self.transactions[0],
            &self.branch(0),
        )
    }
}

fn verify_coinbase(bytes: &[u8]) -> Result<Hash, ProofError> {
    Ok(CoinbaseProof::parse(bytes)?.verify(sha256)?.txid)
}

fn verify_payment(bytes: &[u8]) -> Result<Hash, ProofError> {
    Ok(PaymentProof::parse(bytes)?.verify(sha256)?.txid)
}

#[test]
fn everything_in_a_block_is_proved_one_way() {
    for payments in 0..20 {
        let block = Block::new(payments);
        let bytes = block.coinbase_proof().unwrap();
        let proof = CoinbaseProof::parse(&bytes).unwrap();
        let proven = proof.verify(sha256).unwrap();
        assert_eq!(proven.txid, block.txids[0]);
        assert_eq!(proven.block_hash, sha256d(&[&block.header], sha256));
        assert_eq!(proven.transaction.as_bytes(), block.transactions[0]);
        assert_eq!(proof.header(), Header::parse(&block.header).unwrap());
        assert_eq!(proof.transaction(), &proven.transaction);
        for index in 1..=payments {
            let bytes = block.payment_proof(index).unwrap();
            let proof = PaymentProof::parse(&bytes).unwrap();
            let proven = proof.verify(sha256).unwrap();
            assert_eq!(proven.txid, block.txids[index as usize]);
            assert_eq!(proven.block_hash, sha256d(&[&block.header], sha256));
            assert_eq!(proof.transaction(), &proven.transaction);
            assert_eq!(proof.header().as_bytes(), block.header);
        }
    }
}

#[test]
fn a_coinbase_is_no_payment_and_a_payment_no_coinbase() {
    let block = Block::new(3);
    assert_eq!(block.payment_proof(0), Err(ProofError::IsCoinbase));
    // Index 0 is the coinbase's, whatever is said to stand there.
    let refused = PaymentProof::encode(
        &block.header,
        &block.transactions[1],
        0,
        &block.branch(0),
        &block.transactions[0],
        &block.branch(0),
    );
    assert_eq!(refused, Err(ProofError::IsCoinbase));
    // At another index it would still be one.
    let refused = PaymentProof::encode(
        &block.header,
        &block.transactions[0],
        1,
        &block.branch(0),
        &block.transactions[0],
        &block.branch(0),
    );
    assert_eq!(refused, Err(ProofError::IsCoinbase));
    let refused = CoinbaseProof::encode(&block.header, &block.transactions[1], &block.branch(1));
    assert_eq!(refused, Err(ProofError::NotCoinbase));
    let refused = PaymentProof::encode(
        &block.header,
        &block.transactions[1],
        1,
        &block.branch(1),
        &block.transactions[2],
        &block.branch(2),
    );
    assert_eq!(refused, Err(ProofError::NotCoinbase));
}

#[test]
fn branches_lead_to_the_headers_root() {
    let block = Block::new(6);
    let mut other = Block::new(6);
    other.header = header([9; 32]);
    assert_eq!(
        verify_coinbase(&other.coinbase_proof().unwrap()),
        Err(ProofError::Root)
    );
    assert_eq!(
        verify_payment(&other.payment_proof(4).unwrap()),
        Err(ProofError::Root)
    );
    // The coinbase of another block with as many transactions.
    let foreign = Block::of(
        [transaction(OutPoint::null(), vec![3, 9, 9, 9])]
            .into_iter()
            .chain((0..6).map(payment))
            .collect(),
    );
    let mixed = PaymentProof::encode(
        &block.header,
        &block.transactions[4],
        4,
        &block.branch(4),
        &foreign.transactions[0],
        &foreign.branch(0),
    );
    assert_eq!(
        verify_payment(&mixed.unwrap()),
        Err(ProofError::CoinbaseRoot)
    );
}

#[test]
fn malformed_branches_are_named() {
    let block = Block::new(6);
    let mut bytes = block.payment_proof(4).unwrap();
    let index_at = 80 + 2 + block.transactions[4].len();
    bytes[index_at + 3] = 0x80;
    assert_eq!(
        verify_payment(&bytes),
        Err(ProofError::Branch(MerkleError::Index))
    );

    let deep = [[1; 32]; 21];
    let bytes = CoinbaseProof::encode(&block.header, &block.transactions[0], &deep).unwrap();
    assert_eq!(
        verify_coinbase(&bytes),
        Err(ProofError::Branch(MerkleError::Depth))
    );
}

#[test]
fn cve_2012_2459_the_repetition_is_not_proved() {
    let block = Block::new(2);
    let mut repeated = block.txids.clone();
    repeated.push(block.txids[2]);
    let bytes = PaymentProof::encode(
        &block.header,
        &block.transactions[2],
        3,
        &merkle::branch(&repeated, 3, sha256).unwrap(),
        &block.transactions[0],
        &block.branch(0),
    );
    let refused = verify_payment(&bytes.unwrap());
    assert_eq!(refused, Err(ProofError::Branch(MerkleError::Duplicate)));
}

/// The attack the coinbase's branch is there against: 64 bytes in a block, taken for two ids one level further down.
#[test]
fn ghsa_wg2x_rv86_mmpx_a_level_below_the_leaves_is_refused() {
    let fake = payment(77);
    // What an attacker grinds for: a transaction of 64 bytes whose first half is the id of one that exists nowhere. Here its
    // form does not matter, because whoever checks the proof never sees it as a transaction.
    let node = [txid(&fake), [5; 32]].concat();
    let block = Block::of(vec![coinbase(), node]);
    let siblings = [[5; 32], block.txids[0]];
    let root = merkle::root_from_branch(&txid(&fake), 0b10, &siblings, sha256).unwrap();
    assert_eq!(
        root,
        block.header[36..68],
        "by the tree alone the attack succeeds"
    );

    // The coinbase's branch has one level, the fake's two.
    let coinbase_siblings = block.branch(0);
    let unequal = PaymentProof::encode(
        &block.header,
        &fake,
        0b10,
        &siblings,
        &block.transactions[0],
        &coinbase_siblings,
    );
    assert_eq!(unequal, Err(ProofError::Unencodable));
    // A level more, made up: it leads elsewhere.
    for extra in [[0; 32], [5; 32], block.txids[0], block.txids[1]] {
        for longer in [[extra, coinbase_siblings[0]], [coinbase_siblings[0], extra]] {
            let bytes = PaymentProof::encode(
                &block.header,
                &fake,
                0b10,
                &siblings,
                &block.transactions[0],
                &longer,
            );
            assert_eq!(
                verify_payment(&bytes.unwrap()),
                Err(ProofError::CoinbaseRoot)
            );
        }
    }
}

/// The other direction: an inner node shown as a leaf.
#[test]
fn cve_2017_12842_a_level_above_the_leaves_is_refused() {
    let block = Block::new(3);
    let node = |at: usize| block.txids[at..at + 2].concat();
    let siblings = [txid(&node(2))];
    let root = merkle::root_from_branch(&txid(&node(0)), 0, &siblings, sha256).unwrap();
    assert_eq!(
        root,
        block.header[36..68],
        "by the tree alone the attack succeeds"
    );
    let refused = CoinbaseProof::encode(&block.header, &node(0), &siblings);
    assert_eq!(refused, Err(ProofError::Transaction(TxError::NodeLength)));
    let refused = PaymentProof::encode(
        &block.header,
        &block.transactions[1],
        1,
        &siblings,
        &node(0),
        &siblings,
    );
    assert_eq!(refused, Err(ProofError::Coinbase(TxError::NodeLength)));
    let refused = PaymentProof::encode(
        &block.header,
        &node(2),
        1,
        &[txid(&node(0))],
        &block.transactions[0],
        &siblings,
    );
    assert_eq!(refused, Err(ProofError::Transaction(TxError::NodeLength)));
}

/// A miner chooses how long his coinbase is, and must not choose by it what can be proved of his block.
#[test]
fn a_payment_is_proved_whatever_its_blocks_coinbase() {
    for (outputs, least) in [(350, 11_900), (26_500, 900_000), (29_240, 994_000)] {
        let transactions = vec![coinbase_with(outputs), payment(0), payment(1)];
        let block = Block::of(transactions);
        let length = block.transactions[0].len();
        assert!((least..MAX_BLOCK_LEN).contains(&length), "{length}");
        let bytes = block.payment_proof(2).unwrap();
        assert!(bytes.len() <= PaymentProof::MAX_LEN);
        assert_eq!(verify_payment(&bytes), Ok(block.txids[2]));
        assert!(block.coinbase_proof().is_err(), "it is parsed there");
    }
}

/// Two transactions that fill a block, and the deepest branches there are.
#[test]
fn the_largest_proof_is_a_blocks() {
    let count_len = 1;
    let payment = transaction(OutPoint::new(Txid::from_byte_array([7; 32]), 0), vec![]);
    let room = MAX_BLOCK_LEN - 80 - count_len - payment.len();
    let mut coinbase = coinbase();
    coinbase.resize(room, 0);
    let siblings = [[7; 32]; 15];
    let bytes = PaymentProof::encode(
        &header([0; 32]),
        &payment,
        1,
        &siblings,
        &coinbase,
        &siblings,
    );
    assert_eq!(bytes.unwrap().len(), PaymentProof::MAX_LEN);
}

/// The coinbase beside a payment begins as every coinbase does: one input, and that one null.
#[test]
fn a_coinbase_begins_as_one() {
    let block = Block::new(3);
    let honest = block.payment_proof(2).unwrap();
    let coinbase_at = honest.len() - 2 * 32 - block.transactions[0].len();
    for at in 0..block.transactions[0].len() {
        let mut bytes = honest.clone();
        bytes[coinbase_at + at] ^= 1;
        let wanted = match at {
            4..41 => ProofError::NotCoinbase,
            // What it says else its id commits to.
            _ => ProofError::CoinbaseRoot,
        };
        assert_eq!(verify_payment(&bytes), Err(wanted), "byte {at}");
    }
    let mut witness = honest;
    witness[coinbase_at + 4..coinbase_at + 6].copy_from_slice(&[0, 1]);
    assert_eq!(
        PaymentProof::parse(&witness),
        Err(ProofError::Coinbase(TxError::Witness))
    );
}

/// An inner node has 64 bytes, and nothing of that length is shown as a coinbase, though one that begins right might be.
#[test]
fn a_coinbase_of_64_bytes_is_refused() {
    for length in 0..100 {
        let mut bytes = coinbase();
        bytes.resize(length, 0);
        let block = Block::of(vec![bytes, payment(0)]);
        let proof = block.payment_proof(1);
        match length {
            0..60 => assert_eq!(proof, Err(ProofError::Coinbase(TxError::Length))),
            64 => assert_eq!(proof, Err(ProofError::Coinbase(TxError::NodeLength))),
            _ => assert_eq!(verify_payment(&proof.unwrap()), Ok(block.txids[1])),
        }
    }
}

#[test]
fn a_coinbase_longer_than_the_proof_is_cut_short() {
    let block = Block::new(3);
    let honest = block.payment_proof(2).unwrap();
    let length_at = honest.len() - 2 * 32 - block.transactions[0].len() - 4;
    for length in [u32::MAX, 1 << 31, honest.len() as u32] {
        let mut bytes = honest.clone();
        bytes[length_at..length_at + 4].copy_from_slice(&length.to_le_bytes());
        assert_eq!(PaymentProof::parse(&bytes), Err(ProofError::Truncated));
    }
}

#[test]
fn what_cannot_be_encoded_is_refused() {
    let block = Block::new(1);
    let long = vec![0; 1 << 16];
    assert_eq!(
        CoinbaseProof::encode(&block.header, &long, &[]),
        Err(ProofError::Unencodable)
    );
    let deep = vec![[0; 32]; 256];
    let refused = PaymentProof::encode(
        &block.header,
        &block.transactions[1],
        1,
        &deep,
        &block.transactions[0],
        &deep,
    );
    assert_eq!(refused, Err(ProofError::Unencodable));
    let refused = CoinbaseProof::encode(&block.header, &long[..100], &[]);
    assert!(matches!(refused, Err(ProofError::Transaction(_))));
}

proptest! {
    #[test]
    fn nothing_is_missing_and_nothing_follows(payments in 1..12_u32, index: prop::sample::Index, extra in 1..64_usize) {
        let block = Block::new(payments);
        let index = index.index(payments as usize) as u32 + 1;
        let mut bytes = block.payment_proof(index).unwrap();
        for end in 0..bytes.len() {
            prop_assert_eq!(PaymentProof::parse(&bytes[..end]), Err(ProofError::Truncated));
        }
        bytes.resize(bytes.len() + extra, 0);
        prop_assert_eq!(PaymentProof::parse(&bytes), Err(ProofError::Trailing));

        let mut bytes = block.coinbase_proof().unwrap();
        for end in 0..bytes.len() {
            prop_assert!(verify_coinbase(&bytes[..end]).is_err());
        }
        bytes.resize(bytes.len() + extra, 0);
        let expected = if extra % 32 == 0 { ProofError::Root } else { ProofError::Trailing };
        prop_assert_eq!(verify_coinbase(&bytes), Err(expected));
    }

    /// What follows a coinbase's null input need not be a transaction's: the root commits to it. Any other bytes do not.
    #[test]
    fn a_coinbase_is_what_the_root_commits_to(
        version: [u8; 4],
        rest in prop::collection::vec(any::<u8>(), 24..2_000),
        others in 1..6_u32,
        change: prop::sample::Index,
        by in 1..=255_u8,
    ) {
        let honest = coinbase();
        let bytes = [&version[..], &honest[4..41], &rest[..]].concat();
        let block = Block::of([bytes].into_iter().chain((0..others).map(payment)).collect());
        let mut proof = block.payment_proof(others).unwrap();
        prop_assert_eq!(verify_payment(&proof), Ok(block.txids[others as usize]));
        let at = proof.len() - 32 * block.branch(0).len() - 41 - rest.len();
        let change = change.index(41 + rest.len());
        proof[at + change] ^= by;
        prop_assert!(verify_payment(&proof).is_err());
    }

    #[test]
    fn noise_is_refused(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        prop_assert!(verify_coinbase(&bytes).is_err());
        prop_assert!(verify_payment(&bytes).is_err());
    }
}
