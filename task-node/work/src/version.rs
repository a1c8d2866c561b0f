//! Version rolling (BIP310) inside the bits BIP320 sets aside.

use std::fmt;

/// The header version bits a miner may roll.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct VersionMask(u32);

impl VersionMask {
    /// No bit may be rolled: the miner never negotiated version rolling.
    pub const NONE: Self = Self(0);
    /// The sixteen bits of BIP320. The pool never offers more: a bundle stores rolled bits relative to this mask.
    pub const BIP320: Self = Self(0x1fff_e000);

    /// The bits both sides agree on: `wanted` cut down to BIP320.
    #[must_use]
    pub const fn negotiate(wanted: u32) -> Self {
        Self(wanted & Self::BIP320.0)
    }

    /// The mask as a number.
    #[must_use]
    pub const fn to_u32(self) -> u32 {
        self.0
    }

    /// Whether no bit outside the mask is set in `bits` (BIP310 obliges the pool to reject otherwise).
    #[must_use]
    pub const fn allows(self, bits: u32) -> bool {
        bits & !self.0 == 0
    }

    /// The version that results from rolling: the job's bits outside the mask, the miner's inside (BIP310).
    #[must_use]
    pub const fn roll(self, version: u32, bits: u32) -> u32 {
        (version & !self.0) | (bits & self.0)
    }
}

impl fmt::Display for VersionMask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

impl fmt::Debug for VersionMask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VersionMask({self})")
    }
}
