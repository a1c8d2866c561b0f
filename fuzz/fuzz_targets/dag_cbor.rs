//! DAG-CBOR blocks: what is accepted has one form, and no link goes unseen.
#![no_main]

use content::dag_cbor::{decode_slice, encode, links_of_slice};
use content::{Block, Codec};
use ipld_core::ipld::Ipld;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let links = links_of_slice(bytes);
    if let Ok(value) = decode_slice::<Ipld>(bytes) {
        let block = encode(&value).unwrap();
        assert_eq!(&block.bytes()[..], bytes);
        let mut found = Vec::new();
        collect(&value, &mut found);
        if let Ok(mut links) = links {
            links.sort();
            found.sort();
            assert_eq!(links, found);
        }
    }
    for codec in [Codec::Raw, Codec::DagCbor] {
        let block = Block::new(codec, bytes.to_vec()).unwrap();
        assert_eq!(Block::verify(block.cid(), bytes.to_vec()), Ok(block));
    }
});

fn collect(value: &Ipld, into: &mut Vec<content::Cid>) {
    match value {
        Ipld::Link(cid) => into.push(*cid),
        Ipld::List(values) => values.iter().for_each(|value| collect(value, into)),
        Ipld::Map(values) => values.values().for_each(|value| collect(value, into)),
        _ => {}
    }
}
