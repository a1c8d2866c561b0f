//! The networks, and the header rules by which they differ (Bitcoin Core `src/kernel/chainparams.cpp`).

use core::fmt;

use super::{CompactTarget, Hash, Target, TargetError};

/// Blocks of one target (`DifficultyAdjustmentInterval`).
pub const RETARGET_INTERVAL: u32 = 2016;

/// A Bitcoin network; the program's state says which one a pool lives on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Network {
    /// The network whose coins have value.
    Main = 0,
    /// Test network 4 (BIP94).
    Testnet4 = 1,
    /// The default signet (BIP325). Its blocks are signed by two people, and a header does not show that: its proof of work
    /// alone costs next to nothing.
    Signet = 2,
    /// A private chain for tests. Its proof of work costs nothing.
    Regtest = 3,
}

/// A byte that is no [`Network`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownNetwork(pub u8);

impl fmt::Display for UnknownNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "network {} is unknown: 0 is main, 1 testnet4, 2 signet, 3 regtest",
            self.0
        )
    }
}

impl core::error::Error for UnknownNetwork {}

impl TryFrom<u8> for Network {
    type Error = UnknownNetwork;

    fn try_from(byte: u8) -> Result<Self, Self::Error> {
        match byte {
            0 => Ok(Self::Main),
            1 => Ok(Self::Testnet4),
            2 => Ok(Self::Signet),
            3 => Ok(Self::Regtest),
            other => Err(UnknownNetwork(other)),
        }
    }
}

impl From<Network> for u8 {
    fn from(network: Network) -> Self {
        network as Self
    }
}

impl Network {
    /// All of them, by number.
    pub const ALL: [Self; 4] = [Self::Main, Self::Testnet4, Self::Signet, Self::Regtest];

    /// The easiest target (`powLimit`).
    #[must_use]
    pub const fn pow_limit(self) -> Target {
        Target(match self {
            Self::Main | Self::Testnet4 => [u64::MAX, u64::MAX, u64::MAX, 0x0000_0000_ffff_ffff],
            Self::Signet => [0, 0, 0, 0x0000_0377_ae00_0000],
            Self::Regtest => [u64::MAX, u64::MAX, u64::MAX, 0x7fff_ffff_ffff_ffff],
        })
    }

    /// The easiest target a header can carry.
    #[must_use]
    pub const fn pow_limit_bits(self) -> CompactTarget {
        CompactTarget(match self {
            Self::Main | Self::Testnet4 => 0x1d00_ffff,
            Self::Signet => 0x1e03_77ae,
            Self::Regtest => 0x207f_ffff,
        })
    }

    /// Work of a block at [`pow_limit_bits`](Self::pow_limit_bits).
    #[must_use]
    pub const fn pow_limit_work(self) -> u128 {
        match self {
            Self::Main | Self::Testnet4 => 0x0001_0001_0001,
            Self::Signet => 0x0049_d414,
            Self::Regtest => 2,
        }
    }

    /// The target compact bits stand for: Core's `DeriveTarget`.
    ///
    /// # Errors
    /// [`TargetError`], also where it is above the network's limit.
    pub fn target(self, bits: CompactTarget) -> Result<Target, TargetError> {
        let target = Target::from_compact(bits)?;
        if target > self.pow_limit() {
            return Err(TargetError::AboveLimit);
        }
        Ok(target)
    }

    /// Hash of the chain's first block (`hashGenesisBlock`).
    #[must_use]
    pub const fn genesis_hash(self) -> Hash {
        match self {
            Self::Main => [
                0x6f, 0xe2, 0x8c, 0x0a, 0xb6, 0xf1, 0xb3, 0x72, 0xc1, 0xa6, 0xa2, 0x46, 0xae, 0x63,
                0xf7, 0x4f, 0x93, 0x1e, 0x83, 0x65, 0xe1, 0x5a, 0x08, 0x9c, 0x68, 0xd6, 0x19, 0x00,
                0x00, 0x00, 0x00, 0x00,
            ],
            Self::Testnet4 => [
                0x43, 0xf0, 0x8b, 0xda, 0xb0, 0x50, 0xe3, 0x5b, 0x56, 0x7c, 0x86, 0x4b, 0x91, 0xf4,
                0x7f, 0x50, 0xae, 0x72, 0x5a, 0xe2, 0xde, 0x53, 0xbc, 0xfb, 0xba, 0xf2, 0x84, 0xda,
                0x00, 0x00, 0x00, 0x00,
            ],
            Self::Signet => [
                0xf6, 0x1e, 0xee, 0x3b, 0x63, 0xa3, 0x80, 0xa4, 0x77, 0xa0, 0x63, 0xaf, 0x32, 0xb2,
                0xbb, 0xc9, 0x7c, 0x9f, 0xf9, 0xf0, 0x1f, 0x2c, 0x42, 0x25, 0xe9, 0x73, 0x98, 0x81,
                0x08, 0x00, 0x00, 0x00,
            ],
            Self::Regtest => [
                0x06, 0x22, 0x6e, 0x46, 0x11, 0x1a, 0x0b, 0x59, 0xca, 0xaf, 0x12, 0x60, 0x43, 0xeb,
                0x5b, 0xbf, 0x28, 0xc3, 0x4f, 0x3a, 0x5e, 0x33, 0x2a, 0x1f, 0xc7, 0xb2, 0xb7, 0x3c,
                0xf1, 0x88, 0x91, 0x0f,
            ],
        }
    }

    /// Whether the target ever changes (not `fPowNoRetargeting`).
    #[must_use]
    pub const fn retargets(self) -> bool {
        !matches!(self, Self::Regtest)
    }

    /// Whether a block more than twenty minutes after its parent has the easiest target, and must
    /// (`fPowAllowMinDifficultyBlocks`). Never the first block of an epoch.
    #[must_use]
    pub const fn allows_min_difficulty(self) -> bool {
        matches!(self, Self::Testnet4 | Self::Regtest)
    }

    /// Whether the first block of an epoch may lie no more than ten minutes before its parent (BIP94, `enforce_BIP94`).
    /// BIP94's other rule, to retarget from the bits of the epoch's first block, holds on every network here: only where
    /// blocks of the easiest target are allowed could the last block's bits differ from them.
    #[must_use]
    pub const fn forbids_timewarp(self) -> bool {
        matches!(self, Self::Testnet4)
    }

    /// The least header version at a height: versions below 2, 3 and 4 ended with BIP34, BIP66 and BIP65.
    #[must_use]
    pub const fn min_version(self, height: u32) -> i32 {
        let (bip34, bip66, bip65) = match self {
            Self::Main => (227_931, 363_725, 388_381),
            Self::Testnet4 | Self::Signet | Self::Regtest => (1, 1, 1),
        };
        if height >= bip65 {
            4
        } else if height >= bip66 {
            3
        } else if height >= bip34 {
            2
        } else {
            i32::MIN
        }
    }
}
