//! The form of a bundle: one set of shares is one CID, and nothing that is read makes a panic.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use bytes::Bytes;
use pow::ShareDifficulty;
use proptest::prelude::*;
use rounds::{
    Bundle, BundleBuilder, BundleError, BundleRoot, ChunkError, EncodedBundle, MAX_CHUNK_BYTES,
    Part, SHARES_PER_CHUNK, chunks_to_open, decode_chunk, decode_claims_block, decode_jobs_block,
};
use support::*;
use work::{Extranonce, K2Address, ShareFields};

/// What a share is made of; its proof of work is the audit's business.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Made {
    tip: u32,
    miner: u8,
    harder: bool,
    extranonce: u8,
    ntime: u32,
    nonce: u32,
    bits: u32,
    is_block: bool,
}

fn made() -> impl Strategy<Value = Made> {
    (
        FIRST_TIP..FIRST_TIP + 3,
        0..3_u8,
        any::<bool>(),
        any::<u8>(),
        0..1000_u32,
        any::<u32>(),
        0..4_u32,
    )
        .prop_map(
            |(tip, miner, harder, extranonce, ntime, nonce, bits)| Made {
                tip,
                miner,
                harder,
                extranonce,
                ntime: OPENED_AT as u32 + ntime,
                nonce,
                bits: bits << 13,
                // A header is a block or not: a function of the rest.
                is_block: nonce.is_multiple_of(16),
            },
        )
}

fn build(shares: &[Made]) -> EncodedBundle {
    let mut builder = BundleBuilder::new(head());
    for share in shares {
        // The time of the template is not committed to; the bundle must not depend on it.
        let mut parts = parts(share.tip);
        parts.cur_time += share.nonce % 100;
        let job = builder.job(&template_paying(&parts, &payout())).unwrap();
        let difficulty = if share.harder {
            difficulty().harder()
        } else {
            difficulty()
        };
        let fields = ShareFields {
            extranonce: Extranonce::from_bytes([share.extranonce; 12]),
            ntime: share.ntime,
            nonce: share.nonce,
            version_bits: Some(share.bits),
        };
        builder
            .push(
                job,
                address(share.miner),
                difficulty,
                &[],
                &fields,
                share.is_block,
            )
            .unwrap();
    }
    builder.finish().unwrap()
}

fn read(bundle: &EncodedBundle) -> Result<Bundle, BundleError> {
    let blocks = Blocks::of(bundle);
    Bundle::read(&bundle.cid, &blocks.get(&bundle.cid).unwrap(), |cid| {
        blocks.get(cid)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn one_set_of_shares_is_one_cid(shares in prop::collection::vec(made(), 0..60), seed: u64) {
        let bundle = build(&shares);
        let mut shuffled = shares.clone();
        // Any other order, and some of the shares twice.
        shuffled.sort_by_key(|share| (u64::from(share.nonce) ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        shuffled.extend(shares.iter().take(5).cloned());
        prop_assert_eq!(build(&shuffled).cid, bundle.cid);
    }

    #[test]
    fn what_is_read_is_what_was_written(shares in prop::collection::vec(made(), 0..60)) {
        let bundle = build(&shares);
        let read = read(&bundle).unwrap();
        let mut found: Vec<_> = read
            .present()
            .flat_map(|chunk| read.shares(chunk).unwrap())
            .map(|share| {
                let claim = &read.claims()[share.claim as usize];
                (
                    read.jobs()[share.job as usize].height(),
                    *claim.miner.as_bytes(),
                    claim.difficulty,
                    share.extranonce,
                    share.ntime,
                    share.nonce,
                    share.version_bits,
                )
            })
            .collect();
        let mut expected: Vec<_> = shares
            .iter()
            .map(|share| (
                share.tip + 1,
                [share.miner; 32],
                if share.harder { difficulty().harder() } else { difficulty() },
                Extranonce::from_bytes([share.extranonce; 12]),
                share.ntime,
                share.nonce,
                share.bits,
            ))
            .collect();
        found.sort();
        expected.sort();
        expected.dedup();
        prop_assert_eq!(&found, &expected);
        prop_assert_eq!(bundle.root.totals().shares, expected.len() as u64);
        prop_assert_eq!(BundleRoot::decode(Blocks::of(&bundle).get(&bundle.cid).unwrap().as_ref()).unwrap(), bundle.root);
    }

    #[test]
    fn garbage_is_answered(bytes in prop::collection::vec(any::<u8>(), 0..600), count: u32) {
        let _ = BundleRoot::decode(&bytes);
        let _ = decode_jobs_block(&bytes, count);
        let _ = decode_claims_block(&bytes, count);
    }

    #[test]
    fn bent_blocks_are_answered(
        shares in prop::collection::vec(made(), 1..20),
        block: prop::sample::Index,
        at: prop::sample::Index,
        byte: u8,
    ) {
        let bundle = build(&shares);
        let block = block.get(&bundle.blocks);
        let mut bytes = block.bytes().to_vec();
        *at.get_mut(&mut bytes) = byte;
        // The parsers see the bytes as they are, as if a CID fitted to them.
        let _ = BundleRoot::decode(&bytes);
        let _ = decode_jobs_block(&bytes, 1);
        let _ = decode_claims_block(&bytes, 1);
        let root = Blocks::of(&bundle).get(&bundle.cid).unwrap();
        let blocks = Blocks::of(&bundle);
        let _ = Bundle::read(&bundle.cid, &root, |cid| {
            if cid == block.cid() { Some(Bytes::from(bytes.clone())) } else { blocks.get(cid) }
        })
        .and_then(|bundle| bundle.present().try_for_each(|chunk| bundle.shares(chunk).map(drop)));
    }
}

/// A CBOR array that claims 2^64 - 1 entries.
const ENDLESS: [u8; 9] = [0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];

/// p2poolv2 v0.13: a length prefix from a peer was believed, and the memory for it reserved, before a byte of it was there.
#[test]
fn oom_by_length_prefix_p2poolv2_v0_13() {
    let mut buffer = unsigned_varint::encode::u64_buffer();
    for count in [8193, u64::from(u32::MAX), u64::MAX] {
        let mut chunk = unsigned_varint::encode::u64(count, &mut buffer).to_vec();
        chunk.resize(1000, 0);
        assert_eq!(
            decode_chunk(&chunk, &[0], 1),
            Err(ChunkError::Count(count)),
            "{count}"
        );
    }
    // A CBOR array, map, byte string and text of 2^63 entries each.
    for kind in [0x9b_u8, 0xbb, 0x5b, 0x7b] {
        let bytes = [&[kind, 0x80][..], &[0; 40]].concat();
        assert!(BundleRoot::decode(&bytes).is_err());
        assert!(decode_jobs_block(&bytes, 1).is_err());
        assert!(decode_claims_block(&bytes, 1).is_err());
    }
}

#[test]
fn huge_lengths_and_deep_nesting() {
    for bytes in [
        ENDLESS.to_vec(),
        vec![0x81; 200_000],
        vec![0xa1; 200_000],
        vec![0x5b; 9],
    ] {
        assert!(BundleRoot::decode(&bytes).is_err());
        assert!(decode_jobs_block(&bytes, u32::MAX).is_err());
        assert!(decode_claims_block(&bytes, u32::MAX).is_err());
    }
    assert!(matches!(
        BundleRoot::decode(&vec![0; 2 << 20]),
        Err(BundleError::RootTooLong(_))
    ));
}

/// A round of many miners, jobs and shares: tables and shares over several blocks.
fn long_round(shares: u32) -> EncodedBundle {
    let mut builder = BundleBuilder::new(head());
    let mut jobs = Vec::new();
    for n in 0..400_u32 {
        let mut parts = parts(FIRST_TIP);
        // Another value is another job; sixteen outputs would make larger ones still.
        parts.coinbase_value += u64::from(n);
        jobs.push(builder.job(&template_paying(&parts, &payout())).unwrap());
    }
    for n in 0..shares {
        let mut miner = [0; 32];
        miner[..4].copy_from_slice(&(n % 8000).to_be_bytes());
        let fields = ShareFields {
            extranonce: Extranonce::from_bytes([0; 12]),
            ntime: OPENED_AT as u32,
            nonce: n,
            version_bits: Some(0),
        };
        let job = jobs[n as usize % jobs.len()];
        builder
            .push(
                job,
                K2Address::from_bytes(miner),
                ShareDifficulty::ONE,
                &[],
                &fields,
                false,
            )
            .unwrap();
    }
    builder.finish().unwrap()
}

#[test]
fn no_block_grows_with_the_round() {
    let shares = 3 * SHARES_PER_CHUNK as u32 + 1;
    let bundle = long_round(shares);
    assert!(
        bundle
            .blocks
            .iter()
            .all(|block| block.bytes().len() <= MAX_CHUNK_BYTES)
    );
    assert_eq!(bundle.root.chunks().len(), 4);
    assert_eq!(bundle.root.chunks()[3].shares, 1);
    let read = read(&bundle).unwrap();
    assert_eq!(read.jobs().len(), 400);
    assert_eq!(read.claims().len(), 8000);
    let count: usize = read
        .present()
        .map(|chunk| read.shares(chunk).unwrap().len())
        .sum();
    assert_eq!(count, shares as usize);
    // The 8000 claims do not fit into one block.
    assert!(bundle.root.links().count() >= 4 + 1 + 2);
    // The root comes last: whoever stores in order never has it without its parts.
    assert_eq!(bundle.blocks.last().unwrap().cid(), &bundle.cid);
}

#[test]
fn a_sample_opens_chunks_by_their_work() {
    let bundle = long_round(3 * SHARES_PER_CHUNK as u32 + 1);
    let open = |seed: u8, samples| {
        chunks_to_open(&bundle.cid, &bundle.root, &[seed; 32], samples).unwrap()
    };
    assert_eq!(open(1, 40), open(1, 40));
    assert_eq!(open(1, 0), Vec::<usize>::new());
    // Three whole chunks carry nearly all the work; the last share is one in 24,577.
    let often: Vec<usize> = (0..40).flat_map(|seed| open(seed, 1)).collect();
    for chunk in 0..3 {
        let hits = often.iter().filter(|&&c| c == chunk).count();
        assert!((4..=28).contains(&hits), "chunk {chunk}: {hits} of 40");
    }
    // What is not opened need not be fetched.
    let opened = open(3, 1);
    let blocks = Blocks::of(&bundle);
    let parts = Bundle::read_parts(&bundle.cid, bundle.root.clone(), &opened, &mut |cid| {
        blocks.get(cid)
    })
    .unwrap();
    assert_eq!(parts.present().collect::<Vec<_>>(), opened);
    let absent = (0..4).find(|chunk| !opened.contains(chunk)).unwrap();
    assert!(matches!(
        parts.shares(absent),
        Err(BundleError::Missing { part: Part::Shares, index, .. }) if index == absent
    ));
}
