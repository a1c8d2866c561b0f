//! The two extranonces: the pool's part, which keeps sessions apart, and the miner's part, which it counts through.

use std::fmt;

/// Bytes of extranonce1, the session's own part.
pub const EXTRANONCE1_BYTES: usize = 4;
/// Bytes of extranonce2, the part the miner varies. Eight, so that no hardware runs out of it between two jobs.
pub const EXTRANONCE2_BYTES: usize = 8;

/// The part of the coinbase that is unique to one Stratum session of one node.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Extranonce1([u8; EXTRANONCE1_BYTES]);

impl Extranonce1 {
    /// The extranonce1 with this number, big-endian on the wire.
    #[must_use]
    pub const fn from_u32(number: u32) -> Self {
        Self(number.to_be_bytes())
    }

    /// Its number.
    #[must_use]
    pub const fn to_u32(self) -> u32 {
        u32::from_be_bytes(self.0)
    }

    /// The bytes as they stand in the coinbase.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; EXTRANONCE1_BYTES] {
        &self.0
    }
}

impl fmt::Display for Extranonce1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.to_u32())
    }
}

impl fmt::Debug for Extranonce1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Extranonce1({self})")
    }
}

/// Extranonce1 followed by extranonce2, as they stand in the coinbase.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Extranonce([u8; Extranonce::BYTES]);

impl Extranonce {
    /// Its size.
    pub const BYTES: usize = EXTRANONCE1_BYTES + EXTRANONCE2_BYTES;

    /// Joins the session's and the miner's part.
    #[must_use]
    pub fn join(extranonce1: Extranonce1, extranonce2: [u8; EXTRANONCE2_BYTES]) -> Self {
        let mut bytes = [0; Self::BYTES];
        bytes[..EXTRANONCE1_BYTES].copy_from_slice(&extranonce1.0);
        bytes[EXTRANONCE1_BYTES..].copy_from_slice(&extranonce2);
        Self(bytes)
    }

    /// The extranonce with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    /// The bytes as they stand in the coinbase.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }
}

impl fmt::Debug for Extranonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Extranonce({})", hex::encode(self.0))
    }
}
