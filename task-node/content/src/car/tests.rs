#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use proptest::prelude::*;

use bytes::{Bytes, BytesMut};
use tokio_util::codec::Decoder as _;
use unsigned_varint::encode;

use super::{
    decoder::{CARV2_PRAGMA, Header},
    write::{write_header, write_length, write_section},
    *,
};
use crate::{
    Cid, DagLimits, DagViolation,
    block::{Block, BlockError, CID_BYTES, Codec, MAX_BLOCK_BYTES},
    dag_cbor,
    store::BlockStore,
    store::MemoryStore,
};

const LIMITS: DagLimits = DagLimits {
    max_blocks: 100,
    max_total_bytes: 8 << 20,
    max_depth: 4,
};

fn leaf(bytes: impl Into<Vec<u8>>) -> Block {
    Block::new(Codec::Raw, bytes.into()).unwrap()
}

/// A root that links every leaf, as a bundle does; the root comes first.
fn bundle(leaves: &[Vec<u8>]) -> Vec<Block> {
    let leaves: Vec<Block> = leaves.iter().cloned().map(leaf).collect();
    let links: Vec<Cid> = leaves.iter().map(|leaf| *leaf.cid()).collect();
    let mut blocks = vec![dag_cbor::encode(&links).unwrap()];
    blocks.extend(leaves);
    blocks
}

fn car_of(root: Cid, blocks: &[Block]) -> Vec<u8> {
    let mut out = BytesMut::new();
    write_header(&mut out, root).unwrap();
    for block in blocks {
        write_section(&mut out, block);
    }
    out.to_vec()
}

fn small_bundle() -> (Vec<Block>, Vec<u8>) {
    let blocks = bundle(&[b"one".to_vec(), b"two".to_vec(), Vec::new()]);
    let car = car_of(*blocks[0].cid(), &blocks);
    (blocks, car)
}

async fn store_of(blocks: &[Block]) -> Arc<dyn BlockStore> {
    let store = MemoryStore::new();
    for block in blocks {
        store.put(block).await.unwrap();
    }
    Arc::new(store)
}

/// Written out by hand from the specification.
#[tokio::test]
async fn bytes_of_a_car() {
    let root = leaf("hello world\n");
    let mut expected = vec![0x3a];
    expected.extend_from_slice(b"\xa2\x65roots\x81\xd8\x2a\x58\x25\x00\x01\x55\x12\x20");
    expected.extend_from_slice(root.cid().hash().digest());
    expected.extend_from_slice(b"\x67version\x01");
    expected.push(36 + 12);
    expected.extend_from_slice(b"\x01\x55\x12\x20");
    expected.extend_from_slice(root.cid().hash().digest());
    expected.extend_from_slice(b"hello world\n");

    let mut car = Vec::new();
    let store = store_of(std::slice::from_ref(&root)).await;
    let report = export(&*store, *root.cid(), LIMITS, &mut car)
        .await
        .unwrap();
    assert_eq!(car, expected);
    assert_eq!(report.blocks, 1);
    assert_eq!(report.bytes, expected.len() as u64);
}

#[tokio::test]
async fn export_and_import_stream() {
    let (blocks, car) = small_bundle();
    let root = *blocks[0].cid();
    let store = store_of(&blocks).await;
    let parts: Vec<Bytes> = export_stream(Arc::clone(&store), root, LIMITS)
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    assert_eq!(parts.concat(), car);

    let target = MemoryStore::new();
    let report = import(&car[..], Some(root), &target, LIMITS).await.unwrap();
    assert_eq!((report.blocks, report.missing), (4, vec![]));
    for block in &blocks {
        assert_eq!(target.get(block.cid()).await.unwrap().as_ref(), Some(block));
    }
}

#[tokio::test]
async fn an_incomplete_store_is_not_exported_in_silence() {
    let (blocks, car) = small_bundle();
    let root = *blocks[0].cid();
    let store = store_of(&blocks[..2]).await;
    let mut out = Vec::new();
    let error = export(&*store, root, LIMITS, &mut out).await.unwrap_err();
    assert!(matches!(error, CarError::Missing(cid) if cid == *blocks[2].cid()));
    assert!(car.starts_with(&out));
    let absent = *leaf("absent").cid();
    assert!(matches!(
        export_stream(store, absent, LIMITS).await.err(),
        Some(CarError::Missing(cid)) if cid == absent
    ));
}

#[test]
fn every_cut_is_noticed() {
    let (blocks, car) = small_bundle();
    let ends: Vec<usize> = (0..=blocks.len())
        .map(|whole| car_of(*blocks[0].cid(), &blocks[..whole]).len())
        .collect();
    assert_eq!(ends.last(), Some(&car.len()));
    for cut in 0..car.len() {
        match read_all(&car[..cut], LIMITS) {
            // Between two sections a CAR looks whole; its links tell.
            Ok(contents) => {
                assert!(ends.contains(&cut));
                assert!(!contents.missing.is_empty());
            }
            Err(CarError::Truncated) => assert!(!ends.contains(&cut)),
            Err(other) => panic!("cut at {cut}: {other}"),
        }
    }
    assert!(read_all(&car, LIMITS).unwrap().missing.is_empty());
}

#[test]
fn trailing_bytes_are_refused() {
    let (_, car) = small_bundle();
    for tail in [&b"\0"[..], b"\x01\x00", b"garbage", &[0xff; 16], &[0; 64]] {
        let mut longer = car.clone();
        longer.extend_from_slice(tail);
        assert!(read_all(&longer, LIMITS).is_err(), "{tail:x?}");
    }
}

#[test]
fn lengths_are_bounded_before_they_are_waited_for() {
    let (blocks, _) = small_bundle();
    let head = car_of(*blocks[0].cid(), &[]);
    for length in [
        0,
        1,
        35,
        (CID_BYTES + MAX_BLOCK_BYTES + 1) as u64,
        1 << 40,
        (1 << 63) - 1,
    ] {
        let mut bytes = BytesMut::from(&head[..]);
        bytes.extend_from_slice(encode::u64(length, &mut encode::u64_buffer()));
        let mut decoder = CarDecoder::new(LIMITS);
        decoder.decode(&mut bytes).unwrap().unwrap();
        let before = bytes.capacity();
        assert!(
            matches!(decoder.decode(&mut bytes), Err(CarError::BadSection { length: l }) if l == length)
        );
        assert!(bytes.capacity() <= before);
        assert!(matches!(
            read_all(encode::u64(1 << 40, &mut encode::u64_buffer()), LIMITS),
            Err(CarError::HeaderTooLarge { .. })
        ));
    }
    // Endless continuation bits, and a length spelled longer than needed.
    for length in [&[0xff; 32][..], &[0xba, 0x00]] {
        assert!(matches!(read_all(length, LIMITS), Err(CarError::BadLength)));
    }
}

#[test]
fn headers_of_other_kinds_are_refused_by_name() {
    let roots = |n: usize, version| {
        let header = Header {
            roots: vec![*leaf("x").cid(); n],
            version,
        };
        let body = dag_cbor::encode(&header).unwrap();
        let mut out = BytesMut::new();
        write_length(&mut out, body.bytes().len());
        out.extend_from_slice(body.bytes());
        read_all(&out, LIMITS)
    };
    assert!(matches!(roots(0, 1), Err(CarError::NotOneRoot(0))));
    assert!(matches!(roots(2, 1), Err(CarError::NotOneRoot(2))));
    assert!(matches!(roots(1, 2), Err(CarError::UnsupportedVersion(2))));
    assert!(matches!(roots(1, 1), Ok(CarContents { blocks, .. }) if blocks.is_empty()));
    let mut carv2 = vec![CARV2_PRAGMA.len() as u8];
    carv2.extend_from_slice(CARV2_PRAGMA);
    assert!(matches!(
        read_all(&carv2, LIMITS),
        Err(CarError::UnsupportedVersion(2))
    ));
    assert!(matches!(
        read_all(
            b"<!DOCTYPE html><html><body>sign in to continue, please</body></html>",
            LIMITS
        ),
        Err(CarError::BadHeader(_))
    ));
}

#[test]
fn a_block_with_another_hash_is_refused() {
    let (blocks, _) = small_bundle();
    let mut car = car_of(*blocks[0].cid(), &blocks[..2]);
    *car.last_mut().unwrap() ^= 1;
    assert!(matches!(
        read_all(&car, LIMITS),
        Err(CarError::BadBlock {
            index: 1,
            error: BlockError::HashMismatch
        })
    ));
}

#[test]
fn other_kinds_of_cid_are_refused() {
    let content = leaf("x");
    for (at, byte) in [(0usize, 2u8), (1, 0x70), (2, 0x13), (3, 31)] {
        let mut car = car_of(*content.cid(), std::slice::from_ref(&content));
        let section = car.len() - 1 - CID_BYTES;
        car[section + at] = byte;
        assert!(
            matches!(
                read_all(&car, LIMITS),
                Err(CarError::BadCid { index: 0 } | CarError::BadBlock { index: 0, .. })
            ),
            "byte {at}"
        );
    }
}

#[tokio::test]
async fn a_peer_cannot_fill_the_store() {
    let (blocks, _) = small_bundle();
    let root = *blocks[0].cid();
    // A block nobody asked for.
    let stranger = leaf("stranger");
    let store = MemoryStore::new();
    let car = car_of(root, &[blocks[0].clone(), stranger.clone()]);
    assert!(matches!(
        import(&car[..], None, &store, LIMITS).await,
        Err(CarError::Dag(DagViolation::Unexpected { cid })) if cid == *stranger.cid()
    ));
    assert!(!store.has(stranger.cid()).await.unwrap());
    // Another DAG than the one asked for: not one block of it.
    let other = MemoryStore::new();
    let error = import(&car[..], Some(*stranger.cid()), &other, LIMITS)
        .await
        .unwrap_err();
    assert!(matches!(error, CarError::WrongRoot { .. }));
    assert_eq!(other.list().count().await, 0);
    // The same block for ever.
    let limits = DagLimits {
        max_blocks: 10,
        ..LIMITS
    };
    let mut endless = blocks.clone();
    endless.extend(vec![blocks[1].clone(); 7]);
    assert!(matches!(
        read_all(&car_of(root, &endless), limits),
        Err(CarError::TooManySections { limit: 10 })
    ));
    endless.truncate(10);
    assert_eq!(
        read_all(&car_of(root, &endless), limits).unwrap().blocks,
        blocks
    );
    // More bytes than allowed, by repetition.
    let big = bundle(&[vec![1; 1000]]);
    let limits = DagLimits {
        max_total_bytes: 2500,
        ..LIMITS
    };
    let car = car_of(*big[0].cid(), &[&big[..], &big[1..], &big[1..]].concat());
    assert!(matches!(
        read_all(&car, limits),
        Err(CarError::TooManyBytes { limit: 2500 })
    ));
}

/// A reader that hands out a byte at a time must give the same result as one big read.
#[tokio::test]
async fn any_cut_into_reads_gives_the_same() {
    let (blocks, car) = small_bundle();
    let bytes = car
        .iter()
        .map(|byte| Ok::<_, std::io::Error>(Bytes::from(vec![*byte])));
    let reader = tokio_util::io::StreamReader::new(stream::iter(bytes.collect::<Vec<_>>()));
    let store = MemoryStore::new();
    let report = import(reader, None, &store, LIMITS).await.unwrap();
    assert_eq!((report.blocks, report.missing), (blocks.len(), vec![]));
}

#[tokio::test]
async fn a_stream_that_breaks_is_an_error() {
    let (_, car) = small_bundle();
    let parts = [
        Ok(Bytes::from(car[..80].to_vec())),
        Err(std::io::Error::other("reset")),
    ];
    let reader = tokio_util::io::StreamReader::new(stream::iter(parts));
    let store = MemoryStore::new();
    assert!(matches!(
        import(reader, None, &store, LIMITS).await,
        Err(CarError::Io(_))
    ));
}

proptest! {
    #[test]
    fn round_trip(leaves in proptest::collection::vec(
        proptest::collection::vec(any::<u8>(), 0..300), 0..12)
    ) {
        let blocks = bundle(&leaves);
        let root = *blocks[0].cid();
        let mut car = Vec::new();
        futures::executor::block_on(async {
            let store = store_of(&blocks).await;
            export(&*store, root, LIMITS, &mut car).await.unwrap();
        });
        let contents = read_all(&car, LIMITS).unwrap();
        let mut distinct: Vec<Block> = Vec::new();
        for block in blocks {
            if !distinct.contains(&block) {
                distinct.push(block);
            }
        }
        prop_assert_eq!(contents, CarContents { root, blocks: distinct, missing: vec![] });
    }

    #[test]
    fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = read_all(&bytes, LIMITS);
        // Behind a good header, so that sections are reached too.
        let mut car = car_of(*leaf("x").cid(), &[]);
        car.extend_from_slice(&bytes);
        let good = read_all(&car, LIMITS).is_ok();
        prop_assert_eq!(good, bytes.is_empty());
    }

    #[test]
    fn an_altered_byte_never_passes(at in any::<prop::sample::Index>(), flip in 1u8..) {
        let (blocks, mut car) = small_bundle();
        let at = at.index(car.len());
        car[at] ^= flip;
        // Whatever is still read as whole is the very same DAG.
        if let Ok(contents) = read_all(&car, LIMITS) {
            prop_assert!(!(contents.missing.is_empty() && contents.root == *blocks[0].cid()));
        }
    }
}
