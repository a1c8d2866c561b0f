//! CAR files from nodes and gateways: read whole or in pieces, the same blocks, each hashing to its name.
#![no_main]

use bytes::BytesMut;
use content::car::{CarDecoder, CarItem, read_all};
use content::{Block, DagLimits};
use libfuzzer_sys::fuzz_target;
use tokio_util::codec::Decoder;

const LIMITS: DagLimits = DagLimits {
    max_blocks: 8,
    max_total_bytes: 2048,
    max_depth: 3,
};

fuzz_target!(|input: (u8, &[u8])| {
    let (step, bytes) = input;
    let whole = read_all(bytes, LIMITS);
    if let Ok(contents) = &whole {
        assert!(contents.blocks.len() <= LIMITS.max_blocks);
        for block in &contents.blocks {
            assert!(Block::verify(block.cid(), block.bytes().clone()).is_ok());
        }
    }
    // The same stream as a socket delivers it.
    let mut decoder = CarDecoder::new(LIMITS);
    let mut buffer = BytesMut::new();
    let mut blocks = Vec::new();
    let pieces = bytes.chunks(usize::from(step) + 1).map(Some).chain([None]);
    for piece in pieces {
        loop {
            let item = match piece {
                Some(_) => decoder.decode(&mut buffer),
                None => decoder.decode_eof(&mut buffer),
            };
            match item {
                Ok(Some(CarItem::Block(block))) => {
                    if !blocks.contains(&block) {
                        blocks.push(block);
                    }
                }
                Ok(Some(CarItem::Root(_))) => {}
                Ok(None) => break,
                Err(_) => return assert!(whole.is_err(), "only the pieces were refused"),
            }
        }
        buffer.extend_from_slice(piece.unwrap_or_default());
    }
    if let Ok(contents) = whole {
        assert_eq!(blocks, contents.blocks);
    }
});
