//! The Bitcoin header relay: the last 192 blocks of the best chain, and branches on their way to become it.

use zerocopy::little_endian::{U32, U64, U128};

use super::{Head, account};
use crate::K2Address;
use crate::layout::pod;

/// Blocks the relay remembers: 100 for a coinbase to mature, and some 15 hours to submit it. 52 bytes each, so that the
/// account stays below the 10,240 bytes a program may create in one instruction.
pub const RING: usize = 192;
/// The deepest re-organisation the relay follows, in blocks taken back.
pub const MAX_REORG: u32 = 24;
/// The most headers of one branch.
pub const MAX_FORK: usize = 64;
/// Epochs the relay remembers: a re-organisation may step back over a retarget, and its branch over it again.
pub const EPOCH_SLOTS: usize = 3;

pod! {
    /// One block of the best chain.
    pub struct RelayEntry {
        /// Its hash, in internal byte order.
        pub hash: [u8; 32],
        /// Work of the chain up to and including it.
        pub chain_work: U128,
        /// Its header's time, Unix seconds.
        pub time: U32,
    }
}

pod! {
    /// A retarget epoch: 2,016 blocks with one target.
    pub struct EpochSlot {
        /// Height of its first block.
        pub start_height: U32,
        /// Time of its first block.
        pub start_time: U32,
        /// Its compact target; zero: this slot is empty.
        pub bits: U32,
        /// Work of one block at it.
        pub work: U128,
    }
}

pod! {
    /// The relay. The block at height `h` is entry `h % 192`; the epoch of height `h` is slot `h / 2016 % 3`.
    pub struct Relay {
        /// Kind and version.
        pub head: Head,
        /// A [`Network`](crate::bitcoin::Network), as in the configuration.
        pub network: u8,
        /// Height of the best block.
        pub tip_height: U32,
        /// Height of the oldest block in the ring; never falls.
        pub oldest_height: U32,
        /// The last epochs.
        pub epochs: [EpochSlot; EPOCH_SLOTS],
        /// The last blocks.
        pub ring: [RelayEntry; RING],
    }
}

account!(Relay, 10085, [Relay]);

pod! {
    /// A branch that leaves the best chain after `base_height`, until it has more work than the best chain.
    pub struct Fork {
        /// Kind and version.
        pub head: Head,
        /// Who pays for it and gets the rent back.
        pub payer: K2Address,
        /// Height of the last common block.
        pub base_height: U32,
        /// Blocks collected.
        pub count: U32,
        /// Hash of the last common block.
        pub base_hash: [u8; 32],
        /// Epoch of the branch's last block.
        pub epoch: EpochSlot,
        /// The slot at which it was opened.
        pub opened_slot: U64,
        /// The blocks.
        pub entries: [RelayEntry; MAX_FORK],
    }
}

account!(Fork, 3444, [Fork]);

impl Relay {
    /// The best chain's block at this height, if the ring still has it.
    #[must_use]
    pub fn entry(&self, height: u32) -> Option<&RelayEntry> {
        if height < self.oldest_height.get() || height > self.tip_height.get() {
            return None;
        }
        self.ring.get(height as usize % RING)
    }

    /// Confirmations of the best chain's block at this height; zero above the tip.
    #[must_use]
    pub const fn confirmations(&self, height: u32) -> u32 {
        match self.tip_height.get().checked_sub(height) {
            Some(above) => above.saturating_add(1),
            None => 0,
        }
    }
}
