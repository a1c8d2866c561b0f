//! Whether a header may follow its parent: proof of work, targets and times, as Bitcoin Core judges a header.
//!
//! The caller keeps the chain (and its forks); [`Context`] is what one needs to know of it to judge the next header.
//!
//! | rule | Bitcoin Core |
//! |---|---|
//! | the header names its parent | `AcceptBlockHeader` |
//! | `nBits` is what the epoch, the retarget or the twenty-minute exception demands | `GetNextWorkRequired` |
//! | the hash meets that target | `CheckProofOfWork` |
//! | the time is after the median of the last eleven blocks' | `ContextualCheckBlockHeader`, time-too-old |
//! | an epoch's first block is no more than 600 s before its parent (testnet4) | same, time-timewarp-attack (BIP94) |
//! | the time is not far ahead of the clock | same, time-too-new |
//! | the version is not an outdated one | same, bad-version (BIP34, BIP66, BIP65) |
//!
//! What a header cannot show is not judged: that the block's transactions are valid. A miner who makes an invalid block
//! throws away its reward, so what may rest on one block is bounded by what a block earns.

use super::network::RETARGET_INTERVAL;
use super::{CompactTarget, Hash, Header, Network, Target, TargetError, TimeWindow};

/// How many seconds a header may be ahead of the clock. Core allows two hours against the node's own clock. K2's clock is
/// a stake-weighted estimate that lags and drifts by minutes to an hour, and a relay that refuses a block the network has
/// accepted stands still; twice as much keeps it going and lets nobody do more than date a block two hours later.
pub const MAX_FUTURE: i64 = 4 * 60 * 60;

/// How many seconds the first block of an epoch may be before its parent (BIP94, `MAX_TIMEWARP`).
pub const MAX_TIMEWARP: u32 = 600;

/// Seconds after the parent beyond which a test network's block has the easiest target: twice `nPowTargetSpacing`.
pub const MIN_DIFFICULTY_AFTER: u32 = 20 * 60;

errors! {
    /// Why a header may not follow. One variant per rule, in the order of the checks but for [`Self::Overflow`].
    pub enum HeaderError {
        /// It names another parent.
        PreviousHash = 1 => "the header does not follow its parent: order the headers by height, without gaps",
        /// Its bits are not those demanded.
        Bits = 2 => "the header's difficulty bits are not those its height demands: is it of another network or chain?",
        /// Its hash is above its target.
        ProofOfWork = 3 => "the header's hash does not meet its target: it is no mined block",
        /// Its time is not after the median time past.
        TimeTooOld = 4 => "the header's time is not after the median time of the eleven blocks before it",
        /// The first block of an epoch is too far before its parent.
        TimeWarp = 5 => "the epoch's first header is more than 600 s before the header before it (BIP94)",
        /// Its time is too far ahead of the clock.
        TimeTooNew = 6 => "the header's time is more than four hours ahead of the clock: submit it later",
        /// Its version is outdated at its height.
        Version = 7 => "the header's version ended with BIP34, BIP66 or BIP65 below this height",
        /// The height or the chain's work would overflow.
        Overflow = 8 => "the chain's height or work would overflow: the chain's state is not a real one",
    }
}

/// A run of 2,016 blocks with one target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Epoch {
    start_height: u32,
    start_time: u32,
    bits: CompactTarget,
    work: u128,
    target: Target,
}

impl Epoch {
    /// An epoch from its first block.
    ///
    /// # Errors
    /// [`TargetError`] where the bits are no target of the network.
    pub fn new(
        network: Network,
        start_height: u32,
        start_time: u32,
        bits: CompactTarget,
    ) -> Result<Self, TargetError> {
        let target = network.target(bits)?;
        Ok(Self {
            start_height,
            start_time,
            bits,
            work: target.work()?,
            target,
        })
    }

    /// An epoch that was kept: its work is taken as it is instead of being computed again.
    ///
    /// # Errors
    /// [`TargetError`] where the bits are no target.
    pub fn from_stored(
        start_height: u32,
        start_time: u32,
        bits: CompactTarget,
        work: u128,
    ) -> Result<Self, TargetError> {
        Ok(Self {
            start_height,
            start_time,
            bits,
            work,
            target: Target::from_compact(bits)?,
        })
    }

    /// Height of its first block, a multiple of 2,016.
    #[must_use]
    pub const fn start_height(&self) -> u32 {
        self.start_height
    }

    /// Time of its first block.
    #[must_use]
    pub const fn start_time(&self) -> u32 {
        self.start_time
    }

    /// Its compact target.
    #[must_use]
    pub const fn bits(&self) -> CompactTarget {
        self.bits
    }

    /// Work of one block at its target.
    #[must_use]
    pub const fn work(&self) -> u128 {
        self.work
    }

    /// Its target.
    #[must_use]
    pub const fn target(&self) -> &Target {
        &self.target
    }

    /// Whether the block at this height belongs to it.
    #[must_use]
    pub const fn contains(&self, height: u32) -> bool {
        self.start_height.is_multiple_of(RETARGET_INTERVAL)
            && height >= self.start_height
            && height - self.start_height < RETARGET_INTERVAL
    }

    /// The compact target of the next epoch, given the time of this one's last block.
    #[must_use]
    pub fn next_bits(&self, network: Network, last_time: u32) -> CompactTarget {
        if network.retargets() {
            self.target
                .retarget(self.start_time, last_time, &network.pow_limit())
        } else {
            self.bits
        }
    }
}

/// The block the next header must follow, and what its rules need of the blocks before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Context {
    /// Whose rules.
    pub network: Network,
    /// The parent's height.
    pub height: u32,
    /// The parent's hash.
    pub hash: Hash,
    /// The parent's time.
    pub time: u32,
    /// Work of the chain up to and including the parent.
    pub chain_work: u128,
    /// The parent's epoch.
    pub epoch: Epoch,
    /// Times of the last blocks, the parent's being the last.
    pub times: TimeWindow,
}

/// A block that has been accepted, and is the context's parent now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// Its height.
    pub height: u32,
    /// Its hash.
    pub hash: Hash,
    /// Its time.
    pub time: u32,
    /// Work of the chain up to and including it.
    pub chain_work: u128,
    /// Whether it is the first block of an epoch: the context's epoch is another one then.
    pub new_epoch: bool,
}

impl Context {
    /// Judges the next header by the network's rules and moves on to it. `now_unix` is the clock in Unix seconds. Where
    /// it is refused the context stays as it was.
    ///
    /// # Errors
    /// [`HeaderError`] names the rule that was broken.
    pub fn extend(
        &mut self,
        header: &Header<'_>,
        now_unix: i64,
        sha256: impl Fn(&[&[u8]]) -> Hash,
    ) -> Result<Accepted, HeaderError> {
        if *header.prev_hash() != self.hash {
            return Err(HeaderError::PreviousHash);
        }
        let height = self.height.checked_add(1).ok_or(HeaderError::Overflow)?;
        let time = header.time();
        if height.is_multiple_of(RETARGET_INTERVAL) {
            self.extend_epoch(header, height, now_unix, sha256)
        } else if self.network.allows_min_difficulty()
            && time > self.time.saturating_add(MIN_DIFFICULTY_AFTER)
        {
            // The exception leaves no choice: such a block must have the easiest target.
            let bits = self.network.pow_limit_bits();
            if header.bits() != bits {
                return Err(HeaderError::Bits);
            }
            let target = Target::from_compact(bits).map_err(|_| HeaderError::Bits)?;
            let hash = proven(header, &target, sha256)?;
            self.check_rest(header, height, now_unix)?;
            self.accept(height, hash, time, self.network.pow_limit_work(), false)
        } else {
            if header.bits() != self.epoch.bits {
                return Err(HeaderError::Bits);
            }
            let hash = proven(header, &self.epoch.target, sha256)?;
            self.check_rest(header, height, now_unix)?;
            self.accept(height, hash, time, self.epoch.work, false)
        }
    }

    /// The first header of the next epoch.
    #[inline(never)]
    fn extend_epoch(
        &mut self,
        header: &Header<'_>,
        height: u32,
        now_unix: i64,
        sha256: impl Fn(&[&[u8]]) -> Hash,
    ) -> Result<Accepted, HeaderError> {
        let time = header.time();
        let bits = self.epoch.next_bits(self.network, self.time);
        if header.bits() != bits {
            return Err(HeaderError::Bits);
        }
        let epoch =
            Epoch::new(self.network, height, time, bits).map_err(|_| HeaderError::Overflow)?;
        let hash = proven(header, &epoch.target, sha256)?;
        self.check_rest(header, height, now_unix)?;
        if self.network.forbids_timewarp() && time < self.time.saturating_sub(MAX_TIMEWARP) {
            return Err(HeaderError::TimeWarp);
        }
        let accepted = self.accept(height, hash, time, epoch.work, true)?;
        self.epoch = epoch;
        Ok(accepted)
    }

    /// The rules that ask for neither target nor hash.
    #[inline]
    fn check_rest(
        &self,
        header: &Header<'_>,
        height: u32,
        now_unix: i64,
    ) -> Result<(), HeaderError> {
        let time = header.time();
        if time <= self.times.median() {
            return Err(HeaderError::TimeTooOld);
        }
        if i64::from(time) > now_unix.saturating_add(MAX_FUTURE) {
            return Err(HeaderError::TimeTooNew);
        }
        if header.version() < self.network.min_version(height) {
            return Err(HeaderError::Version);
        }
        Ok(())
    }

    #[inline]
    fn accept(
        &mut self,
        height: u32,
        hash: Hash,
        time: u32,
        work: u128,
        new_epoch: bool,
    ) -> Result<Accepted, HeaderError> {
        let chain_work = self
            .chain_work
            .checked_add(work)
            .ok_or(HeaderError::Overflow)?;
        self.height = height;
        self.hash = hash;
        self.time = time;
        self.chain_work = chain_work;
        self.times.push(time);
        Ok(Accepted {
            height,
            hash,
            time,
            chain_work,
            new_epoch,
        })
    }
}

/// The header's hash, if it meets the target.
#[inline]
fn proven(
    header: &Header<'_>,
    target: &Target,
    sha256: impl Fn(&[&[u8]]) -> Hash,
) -> Result<Hash, HeaderError> {
    let hash = header.hash(sha256);
    if target.is_met_by(&hash) {
        Ok(hash)
    } else {
        Err(HeaderError::ProofOfWork)
    }
}
