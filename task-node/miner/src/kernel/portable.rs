//! The kernel for every machine: the `sha2` crate's compression function, which uses the processor's SHA extensions where
//! there are any.

use std::ops::RangeInclusive;
use std::slice;

use pow::Target;
use sha2::compress256;
use sha2::digest::generic_array::GenericArray;
use sha2::digest::typenum::U64;

use super::{INITIAL_STATE, Kernel, PreparedHeader};

type Block = GenericArray<u8, U64>;

/// One compression of one block.
pub(crate) fn compress(state: &mut [u32; 8], block: [u8; 64]) {
    compress256(state, slice::from_ref(&Block::from(block)));
}

/// Two compressions a nonce instead of three, and one word of the digest decides almost always.
#[derive(Debug, Clone, Copy, Default)]
pub struct PortableKernel;

impl Kernel for PortableKernel {
    fn name(&self) -> &'static str {
        "portable"
    }

    fn search(
        &self,
        header: &PreparedHeader,
        target: &Target,
        nonces: RangeInclusive<u32>,
    ) -> Option<u32> {
        // Second block of the header: 16 bytes of it, the padding, its length of 640 bits.
        let mut second = Block::from([0; 64]);
        second[..12].copy_from_slice(&header.tail);
        second[16] = 0x80;
        second[62..].copy_from_slice(&640_u16.to_be_bytes());
        // The second hash: 32 bytes, the padding, 256 bits.
        let mut outer = Block::from([0; 64]);
        outer[32] = 0x80;
        outer[62..].copy_from_slice(&256_u16.to_be_bytes());

        let [a, b, c, d, ..] = target.to_be_bytes();
        let top = u32::from_be_bytes([a, b, c, d]);

        for nonce in nonces {
            second[12..16].copy_from_slice(&nonce.to_le_bytes());
            let mut state = header.midstate;
            compress256(&mut state, slice::from_ref(&second));
            write_digest(&mut outer[..32], &state);
            let mut state = INITIAL_STATE;
            compress256(&mut state, slice::from_ref(&outer));
            // The digest is a little-endian number: its last word is the top one.
            if state[7].swap_bytes() > top {
                continue;
            }
            let mut hash = [0; 32];
            write_digest(&mut hash, &state);
            if target.is_met_by_le(&hash) {
                return Some(nonce);
            }
        }
        None
    }
}

fn write_digest(bytes: &mut [u8], state: &[u32; 8]) {
    for (bytes, word) in bytes.chunks_exact_mut(4).zip(state) {
        bytes.copy_from_slice(&word.to_be_bytes());
    }
}
