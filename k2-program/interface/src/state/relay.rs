//! The Bitcoin header relay: the last 192 blocks of the best chain, and branches on their way to become it.

use zerocopy::little_endian::{U32, U64, U128};

use super::{Head, account};
use crate::K2Address;
use crate::bitcoin::network::RETARGET_INTERVAL;
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

    /// The epoch of the block at this height, if the relay remembers it.
    #[must_use]
    pub fn epoch(&self, height: u32) -> Option<&EpochSlot> {
        let start = height - height % RETARGET_INTERVAL;
        self.epochs
            .get((height / RETARGET_INTERVAL) as usize % EPOCH_SLOTS)
            .filter(|epoch| epoch.bits.get() != 0 && epoch.start_height.get() == start)
    }

    /// Whether the block at this height is too old for its outputs to be used.
    ///
    /// Counted not from the tip but from the ring's oldest block, which never falls: where a shorter branch has more work
    /// the tip does fall (testnet4's easy blocks), and an output whose record is closed must not come back above the horizon.
    #[must_use]
    pub const fn is_below_horizon(&self, height: u32, mint_horizon: u32) -> bool {
        (height as u64) + (mint_horizon as u64) < self.reached()
    }

    /// Whether the record of an output in the block at this height may be closed: the block lies so far below the horizon
    /// that the output does too wherever the deepest re-organisation could have put it.
    #[must_use]
    pub const fn is_record_closable(&self, height: u32, mint_horizon: u32) -> bool {
        (height as u64) + (mint_horizon as u64) + (MAX_REORG as u64) < self.reached()
    }

    /// The lowest block whose records cannot be closed.
    #[must_use]
    pub const fn records_from(&self, mint_horizon: u32) -> u32 {
        let closable = (mint_horizon as u64) + (MAX_REORG as u64);
        // Not above the height of a block.
        self.reached().saturating_sub(closable) as u32
    }

    /// The highest tip there has been; before the ring is full, what fills it.
    const fn reached(&self) -> u64 {
        self.oldest_height.get() as u64 + (RING as u64 - 1)
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

#[cfg(test)]
mod tests {
    use zerocopy::FromZeros as _;

    use super::{EpochSlot, MAX_REORG, RING, Relay};

    fn relay(oldest: u32, tip: u32) -> Relay {
        let mut relay = Relay::new_zeroed();
        relay.oldest_height = oldest.into();
        relay.tip_height = tip.into();
        relay
    }

    #[test]
    fn entries_are_those_of_the_ring() {
        let mut relay = relay(900_000, 900_191);
        relay.ring[900_191 % RING].time = 7.into();
        assert_eq!(relay.entry(899_999), None);
        assert!(relay.entry(900_000).is_some());
        assert_eq!(relay.entry(900_191).map(|entry| entry.time.get()), Some(7));
        assert_eq!(relay.entry(900_192), None);
        assert_eq!(relay.confirmations(900_191), 1);
        assert_eq!(relay.confirmations(900_092), 100);
        assert_eq!(relay.confirmations(900_192), 0);
    }

    #[test]
    fn epochs_are_found_by_height() {
        let mut relay = relay(0, 0);
        relay.epochs[446 % 3] = EpochSlot {
            start_height: (446 * 2016).into(),
            start_time: 1.into(),
            bits: 0x1702_0000.into(),
            work: 9.into(),
        };
        assert_eq!(relay.epoch(446 * 2016 - 1), None);
        assert!(relay.epoch(446 * 2016).is_some());
        assert!(relay.epoch(447 * 2016 - 1).is_some());
        assert_eq!(relay.epoch(449 * 2016), None);
        // An empty slot looks like epoch 0.
        assert_eq!(relay.epoch(0), None);
    }

    #[test]
    fn an_output_is_used_or_its_record_is_closed_never_both() {
        let (horizon, oldest) = (1_000, 900_000 - RING as u32 + 1);
        // The tip does not count, whether it is what was reached or has fallen.
        for tip in [900_000, 899_000] {
            let relay = relay(oldest, tip);
            assert!(relay.is_below_horizon(898_999, horizon));
            assert!(!relay.is_below_horizon(899_000, horizon));
            let closable = 899_000 - MAX_REORG;
            assert!(relay.is_record_closable(closable - 1, horizon));
            assert!(!relay.is_record_closable(closable, horizon));
        }
        assert!(!relay(0, 10).is_below_horizon(0, 217));
        assert!(!relay(0, u32::MAX).is_record_closable(u32::MAX, u32::MAX));
    }
}
