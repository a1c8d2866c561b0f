//! Kernels: loops that try nonces. The only place where the way of hashing shows; one file each.

mod portable;

use std::fmt;
use std::ops::RangeInclusive;

use pow::Target;

pub use portable::PortableKernel;
pub(crate) use portable::compress;

/// SHA-256's initial state (FIPS 180-4, 5.3.3).
pub(crate) const INITIAL_STATE: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// A block header made ready for trying nonces: its first 64 bytes are hashed once and for all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreparedHeader {
    /// The state after the first block.
    pub midstate: [u32; 8],
    /// Bytes 64 to 76: the end of the merkle root, time, nBits. The nonce follows.
    pub tail: [u8; 12],
}

impl PreparedHeader {
    /// Prepares a serialised header; the nonce in it does not matter.
    #[must_use]
    pub fn new(header: &[u8; 80]) -> Self {
        let mut first = [0; 64];
        first.copy_from_slice(&header[..64]);
        let mut tail = [0; 12];
        tail.copy_from_slice(&header[64..76]);
        let mut midstate = INITIAL_STATE;
        compress(&mut midstate, first);
        Self { midstate, tail }
    }
}

/// A loop that tries nonces on one header.
pub trait Kernel: fmt::Debug + Send + Sync {
    /// Its name in logs.
    fn name(&self) -> &'static str;

    /// The lowest nonce of the range whose double SHA-256 meets `target`: exactly what trying them in order with
    /// [`pow::Sha256d`] finds.
    fn search(
        &self,
        header: &PreparedHeader,
        target: &Target,
        nonces: RangeInclusive<u32>,
    ) -> Option<u32>;
}
