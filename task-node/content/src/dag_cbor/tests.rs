#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;

use ipld_core::ipld::Ipld;
use proptest::prelude::*;
use serde_bytes::ByteBuf;

use super::*;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Sample {
    format: u16,
    name: String,
    digest: ByteBuf,
    chunks: Vec<Cid>,
    totals: BTreeMap<String, u64>,
}

fn raw(bytes: &'static [u8]) -> Block {
    Block::new(Codec::Raw, bytes).unwrap()
}

fn sample() -> Sample {
    Sample {
        format: 1,
        name: "näme".to_owned(),
        digest: ByteBuf::from(vec![7; 32]),
        chunks: vec![*raw(b"a").cid(), *raw(b"b").cid(), *raw(b"a").cid()],
        totals: BTreeMap::from([("work".to_owned(), u64::MAX), ("shares".to_owned(), 3)]),
    }
}

/// Runs on an eighth of a tokio worker's stack of 2 MiB.
fn on_small_stack<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    std::thread::Builder::new()
        .stack_size(256 * 1024)
        .spawn(f)
        .unwrap()
        .join()
        .unwrap()
}

#[test]
fn keys_are_sorted_by_length_then_bytes() {
    let block = encode(&BTreeMap::from([("b", 1), ("aa", 2), ("a", 3)])).unwrap();
    assert_eq!(&block.bytes()[..], b"\xa3\x61a\x03\x61b\x01\x62aa\x02");
}

#[test]
fn round_trip_and_links_in_order() {
    let sample = sample();
    let block = encode(&sample).unwrap();
    assert_eq!(decode::<Sample>(&block).unwrap(), sample);
    assert_eq!(links(&block).unwrap(), sample.chunks);
    assert_eq!(links(&raw(b"\xa0")).unwrap(), []);
    assert_eq!(decode::<Sample>(&raw(b"\xa0")), Err(CborError::NotDagCbor));
}

#[test]
fn a_second_spelling_is_refused() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Two {
        a: u64,
        b: u64,
    }
    let good = b"\xa2\x61a\x01\x61b\x02";
    assert_eq!(decode_slice::<Two>(good).unwrap(), Two { a: 1, b: 2 });
    for (what, bytes) in [
        ("keys unsorted", &b"\xa2\x61b\x02\x61a\x01"[..]),
        ("long integer", b"\xa2\x61a\x18\x01\x61b\x02"),
        ("long map length", b"\xb8\x02\x61a\x01\x61b\x02"),
        ("long text length", b"\xa2\x78\x01a\x01\x61b\x02"),
        ("unknown field", b"\xa3\x61a\x01\x61b\x02\x61c\x03"),
    ] {
        assert_eq!(
            decode_slice::<Two>(bytes),
            Err(CborError::NotCanonical),
            "{what}"
        );
    }
    for (what, bytes) in [
        ("trailing byte", &b"\xa2\x61a\x01\x61b\x02\x00"[..]),
        ("repeated key", b"\xa3\x61a\x01\x61a\x01\x61b\x02"),
        ("indefinite map", b"\xbf\x61a\x01\x61b\x02\xff"),
        ("truncated", b"\xa2\x61a\x01\x61b"),
        ("empty", b""),
    ] {
        assert!(
            matches!(decode_slice::<Two>(bytes), Err(CborError::Decode(_))),
            "{what}"
        );
    }
    // A map type swallows a repeated key in silence; the comparison does not.
    assert_eq!(
        decode_slice::<BTreeMap<String, u64>>(b"\xa2\x61a\x01\x61a\x02"),
        Err(CborError::NotCanonical)
    );
    // A float of 32 bits, and one that is none.
    assert!(decode_slice::<f64>(b"\xfa\x3f\x80\x00\x00").is_err());
    assert!(decode_slice::<f64>(b"\xfb\x7f\xf8\x00\x00\x00\x00\x00\x00").is_err());
    assert_eq!(
        decode_slice::<f64>(b"\xfb\x3f\xf0\x00\x00\x00\x00\x00\x00"),
        Ok(1.0)
    );
}

#[test]
fn trailing_data_hides_no_links() {
    let mut bytes = encode(&sample()).unwrap().into_bytes().to_vec();
    bytes.push(0xa0);
    assert!(matches!(links_of_slice(&bytes), Err(CborError::Decode(_))));
}

#[test]
fn links_of_other_forms_are_refused() {
    let hash = *raw(b"a").cid().hash();
    let block = encode(&vec![Cid::new_v1(0x70, hash)]).unwrap();
    assert_eq!(
        links(&block),
        Err(CborError::Block(BlockError::UnsupportedCodec(0x70)))
    );
    for bytes in [
        &b"\xd8\x2a\x41\x00"[..],    // an empty CID
        b"\xd8\x2a\x42\x01\x01",     // no multibase identity prefix
        b"\xd8\x2a\x61a",            // a text
        b"\xd8\x2b\x41\x00",         // another tag
        b"\xc2\x41\x01",             // a big number
        b"\xd8\x2a\xd8\x2a\x41\x00", // a tag within a tag
        b"\xd8\x2a\x5b\xff\xff\xff\xff\xff\xff\xff\xff\x00",
    ] {
        assert!(links_of_slice(bytes).is_err(), "{bytes:x?}");
    }
}

/// Lengths of up to 2^64 - 1 in front of nothing: an error, at once and without the memory they ask for.
#[test]
fn huge_lengths_are_errors() {
    for head in [0x5bu8, 0x7b, 0x9b, 0xbb] {
        for length in [u64::MAX, 1 << 62, u64::from(u32::MAX), 1 << 30] {
            let mut bytes = vec![head];
            bytes.extend_from_slice(&length.to_be_bytes());
            assert!(links_of_slice(&bytes).is_err());
            assert!(decode_slice::<Ipld>(&bytes).is_err());
            assert!(decode_slice::<Sample>(&bytes).is_err());
            assert!(decode_slice::<Vec<[u64; 4]>>(&bytes).is_err());
            assert!(decode_slice::<BTreeMap<String, ByteBuf>>(&bytes).is_err());
            // Also where a struct would skip it as an unknown field.
            let mut field = b"\xa1\x61x".to_vec();
            field.extend_from_slice(&bytes);
            assert!(decode_slice::<Sample>(&field).is_err());
        }
    }
}

/// A block full of opening brackets (or link tags) must end in an error, not in a stack overflow.
#[test]
fn deep_nesting_is_an_error() {
    on_small_stack(|| {
        for unit in [
            &b"\x81"[..],
            b"\xa1\x61a",
            b"\xd8\x2a",
            b"\x9f",
            b"\xa1\x81",
            b"\xbf",
        ] {
            let deep = unit.repeat(MAX_BLOCK_BYTES / unit.len());
            assert!(links_of_slice(&deep).is_err());
            assert!(decode_slice::<Ipld>(&deep).is_err());
            assert!(decode_slice::<Sample>(&deep).is_err());
            let mut field = b"\xa1\x61x".to_vec();
            field.extend_from_slice(&deep[..deep.len() - 3]);
            assert!(decode_slice::<Sample>(&field).is_err());
        }
        // Well-formed but deep is refused the same way; what a bundle needs is far from it.
        let nested = |depth: usize| {
            let mut bytes = vec![0x81; depth];
            bytes.push(0x01);
            bytes
        };
        let limit = shape::MAX_DEPTH;
        assert!(links_of_slice(&nested(limit)).is_ok());
        assert!(decode_slice::<Ipld>(&nested(limit)).is_ok());
        let error = Err(CborError::TooDeep { limit });
        assert_eq!(links_of_slice(&nested(limit + 1)).map(|_| ()), error);
        assert_eq!(decode_slice::<Ipld>(&nested(limit + 1)).map(|_| ()), error);
    });
}

#[test]
fn messages_neither_flood_nor_forge_the_log() {
    #[derive(Debug, Serialize, Deserialize)]
    enum Kind {
        A,
    }
    let text = "\n\u{1b}[2J".repeat(1000);
    let block = encode(&text).unwrap();
    let Err(CborError::Decode(message)) = decode::<Kind>(&block) else {
        panic!("read a kind out of {text:?}");
    };
    assert!(message.chars().count() <= 160);
    assert!(!message.chars().any(char::is_control));
    assert_eq!(
        format!("{:?}", decode::<Kind>(&encode("A").unwrap())),
        "Ok(A)"
    );
}

fn arb_ipld() -> impl Strategy<Value = Ipld> {
    let leaf = prop_oneof![
        Just(Ipld::Null),
        any::<bool>().prop_map(Ipld::Bool),
        any::<i64>().prop_map(|n| Ipld::Integer(i128::from(n))),
        any::<u64>().prop_map(|n| Ipld::Integer(i128::from(n))),
        ".{0,8}".prop_map(Ipld::String),
        proptest::collection::vec(any::<u8>(), 0..40).prop_map(Ipld::Bytes),
        any::<[u8; 4]>()
            .prop_map(|b| Ipld::Link(*Block::new(Codec::Raw, b.to_vec()).unwrap().cid())),
    ];
    leaf.prop_recursive(6, 64, 8, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..8).prop_map(Ipld::List),
            proptest::collection::btree_map(".{0,6}", inner, 0..8).prop_map(Ipld::Map),
        ]
    })
}

proptest! {
    #[test]
    fn values_come_back_with_their_links(value in arb_ipld()) {
        let block = encode(&value).unwrap();
        prop_assert_eq!(&decode::<Ipld>(&block).unwrap(), &value);
        let mut expected = Vec::new();
        value.references(&mut expected);
        let mut found = links(&block).unwrap();
        // `references` visits in key order, `links` in the order of the bytes.
        expected.sort();
        found.sort();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn what_is_read_is_what_was_written(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = links_of_slice(&bytes);
        let _ = decode_slice::<Sample>(&bytes);
        if let Ok(value) = decode_slice::<Ipld>(&bytes) {
            prop_assert_eq!(encode(&value).unwrap().into_bytes(), bytes);
        }
    }

    #[test]
    fn altered_blocks_are_another_value_or_none(
        at in any::<prop::sample::Index>(),
        flip in 1u8..,
    ) {
        let mut bytes = encode(&sample()).unwrap().into_bytes().to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        let _ = links_of_slice(&bytes);
        if let Ok(value) = decode_slice::<Sample>(&bytes) {
            prop_assert_ne!(value, sample());
        }
    }
}
