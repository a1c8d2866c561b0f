//! Real headers and transactions of Bitcoin: accepted as they are, refused with any one bit flipped.
#![allow(clippy::unwrap_used)]

use k2_interface::bitcoin::network::RETARGET_INTERVAL;
use k2_interface::bitcoin::{
    CoinbaseProof, Context, Epoch, Hash, Header, Network, PaymentProof, Proven, Target, TimeWindow,
    Transaction, proof::ProofError,
};
use serde_json::Value;
use sha2::{Digest, Sha256};

fn sha256(parts: &[&[u8]]) -> Hash {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}

fn hex(value: &Value) -> Vec<u8> {
    bitcoin::hex::FromHex::from_hex(value.as_str().unwrap()).unwrap()
}

fn hashes(value: &Value) -> Vec<Hash> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|hash| hex(hash).try_into().unwrap())
        .collect()
}

fn vectors(json: &str) -> Vec<Value> {
    serde_json::from_str::<Vec<Value>>(json).unwrap()
}

fn meets_its_target(header: &Header<'_>) -> bool {
    Target::from_compact(header.bits()).is_ok_and(|target| target.is_met_by(&header.hash(sha256)))
}

/// A run of consecutive headers, and the first header of the epoch it begins in.
struct Run {
    what: String,
    height: u32,
    epoch_first: Vec<u8>,
    headers: Vec<Vec<u8>>,
}

fn runs() -> Vec<Run> {
    vectors(include_str!("vectors/headers.json"))
        .into_iter()
        .map(|run| Run {
            what: run["what"].to_string(),
            height: run["first_height"].as_u64().unwrap().try_into().unwrap(),
            epoch_first: hex(&run["epoch_first"]),
            headers: run["headers"].as_array().unwrap().iter().map(hex).collect(),
        })
        .collect()
}

impl Run {
    /// Where the run's first header is the parent.
    fn context(&self) -> Context {
        let parent = Header::parse(&self.headers[0]).unwrap();
        let first = Header::parse(&self.epoch_first).unwrap();
        assert!(meets_its_target(&parent) && meets_its_target(&first));
        assert_eq!(parent.bits(), first.bits());
        Context {
            network: Network::Main,
            height: self.height,
            hash: parent.hash(sha256),
            time: parent.time(),
            chain_work: 0,
            epoch: Epoch::new(
                Network::Main,
                self.height - self.height % RETARGET_INTERVAL,
                first.time(),
                first.bits(),
            )
            .unwrap(),
            times: TimeWindow::new(parent.time()),
        }
    }
}

const NOW: i64 = 1_800_000_000;

#[test]
fn real_headers_are_accepted() {
    let mut retargets = Vec::new();
    for run in runs() {
        let mut context = run.context();
        let mut work = 0;
        for (bytes, height) in run.headers.iter().zip(run.height..).skip(1) {
            let header = Header::parse(bytes).unwrap();
            let bits_before = context.epoch.bits();
            let block = context.extend(&header, NOW, sha256).unwrap();
            assert_eq!(block.height, height);
            assert_eq!(block.new_epoch, height % RETARGET_INTERVAL == 0);
            if block.new_epoch {
                assert_ne!(context.epoch.bits(), bits_before, "{}", run.what);
                retargets.push(height);
            }
            work += context.epoch.work();
            assert_eq!(block.chain_work, work);
            assert_eq!(context.epoch.bits(), header.bits());
        }
    }
    assert_eq!(retargets, [32_256, 437_472, 554_400, 866_880]);
}

#[test]
fn real_headers_with_one_bit_flipped_are_not() {
    for run in runs() {
        let mut context = run.context();
        for bytes in &run.headers[1..] {
            let mut flipped = bytes.clone();
            for bit in 0..8 * bytes.len() {
                flipped[bit / 8] ^= 1 << (bit % 8);
                let header = Header::parse(&flipped).unwrap();
                assert!(context.clone().extend(&header, NOW, sha256).is_err());
                flipped[bit / 8] ^= 1 << (bit % 8);
            }
            assert_eq!(&flipped, bytes);
            context
                .extend(&Header::parse(bytes).unwrap(), NOW, sha256)
                .unwrap();
        }
        // A parent that differs in one bit is not the parent.
        let next = Header::parse(&run.headers[1]).unwrap();
        for bit in 0..256 {
            let mut context = run.context();
            context.hash[bit / 8] ^= 1 << (bit % 8);
            assert!(context.extend(&next, NOW, sha256).is_err());
        }
    }
}

/// Every real header follows only its own parent.
#[test]
fn real_headers_out_of_order_are_refused() {
    for run in runs() {
        let mut context = run.context();
        for at in 1..run.headers.len() {
            for (other, bytes) in run.headers.iter().enumerate() {
                let result = context
                    .clone()
                    .extend(&Header::parse(bytes).unwrap(), NOW, sha256);
                assert_eq!(result.is_ok(), other == at);
            }
            let header = Header::parse(&run.headers[at]).unwrap();
            context.extend(&header, NOW, sha256).unwrap();
        }
    }
}

/// The proofs of one vector: a coinbase's, and where there is a payment that one too.
fn proofs(vector: &Value) -> (Vec<u8>, Option<Vec<u8>>) {
    let header: [u8; 80] = hex(&vector["header"]).try_into().unwrap();
    let coinbase = hex(&vector["coinbase"]);
    let coinbase_siblings = hashes(&vector["coinbase_siblings"]);
    let payment = vector.get("transaction").map(|transaction| {
        PaymentProof::encode(
            &header,
            &hex(transaction),
            vector["index"].as_u64().unwrap().try_into().unwrap(),
            &hashes(&vector["siblings"]),
            &coinbase,
            &coinbase_siblings,
        )
        .unwrap()
    });
    (
        CoinbaseProof::encode(&header, &coinbase, &coinbase_siblings).unwrap(),
        payment,
    )
}

fn verify_coinbase(bytes: &[u8]) -> Result<Proven<'_>, ProofError> {
    CoinbaseProof::parse(bytes)?.verify(sha256)
}

fn verify_payment(bytes: &[u8]) -> Result<Proven<'_>, ProofError> {
    PaymentProof::parse(bytes)?.verify(sha256)
}

#[test]
fn real_proofs_are_accepted() {
    let mut depths = Vec::new();
    for vector in vectors(include_str!("vectors/proofs.json")) {
        let header = hex(&vector["header"]);
        let header = Header::parse(&header).unwrap();
        assert!(meets_its_target(&header));
        let (coinbase, payment) = proofs(&vector);
        let proven = verify_coinbase(&coinbase).unwrap();
        assert_eq!(proven.block_hash, header.hash(sha256));
        assert!(proven.transaction.is_coinbase());
        if let Some(payment) = payment {
            let bytes = hex(&vector["transaction"]);
            let proven = verify_payment(&payment).unwrap();
            assert_eq!(proven.block_hash, header.hash(sha256));
            assert_eq!(proven.transaction, Transaction::parse(&bytes).unwrap());
            let theirs: bitcoin::Transaction = bitcoin::consensus::deserialize(&bytes).unwrap();
            assert_eq!(
                &proven.txid,
                AsRef::<[u8; 32]>::as_ref(&theirs.compute_txid())
            );
            assert_eq!(proven.transaction.outputs().len(), theirs.output.len());
        }
        depths.push(hashes(&vector["coinbase_siblings"]).len());
    }
    assert_eq!(depths, [0, 1, 12, 12, 12, 12, 4, 11]);
}

/// Flips every bit: the proof must be refused, or be about a block nobody has mined.
fn flip(bytes: &[u8], verify: fn(&[u8]) -> Result<Proven<'_>, ProofError>) {
    let mut bytes = bytes.to_vec();
    for bit in 0..8 * bytes.len() {
        bytes[bit / 8] ^= 1 << (bit % 8);
        match verify(&bytes) {
            Err(_) => {}
            Ok(proven) => {
                let header = Header::parse(&bytes[..80]).unwrap();
                assert_eq!(proven.block_hash, header.hash(sha256));
                assert!(
                    bit < 640 && !meets_its_target(&header),
                    "bit {bit} says nothing"
                );
            }
        }
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
}

#[test]
fn real_proofs_with_one_bit_flipped_are_not() {
    for vector in vectors(include_str!("vectors/proofs.json")) {
        let (coinbase, payment) = proofs(&vector);
        flip(&coinbase, verify_coinbase);
        // 72,000 flips of the longest one take as long as all the others together, and show nothing new.
        if let Some(payment) = payment.filter(|payment| payment.len() < 2000) {
            flip(&payment, verify_payment);
        }
    }
}
