//! A notified job with everything of the session that goes into its headers, and how its search space is cut.
//!
//! A *ticket* is the right to try all nonces of one header without nonce. The engine counts tickets up and never starts
//! over, because a pool may send the same coinbase twice (a difficulty that goes up and comes back, a template that did
//! not change): starting over would find, and send, the same shares again.

use pow::{Algorithm, Sha256d, Target};
use work::VersionMask;

use crate::NotifiedJob;

/// Longest extranonce2 this miner fills. Pools use 4 to 8.
pub(crate) const MAX_EXTRANONCE2: usize = 16;
/// How far ntime may be rolled once extranonce2 and version bits are used up: the tightest limit among pools (btcpool).
const MAX_NTIME_ROLL: u64 = 600;

/// A job of one session, at one difficulty.
#[derive(Debug, Clone)]
pub struct MiningWork {
    /// The connection it belongs to.
    pub session: u64,
    /// Its number among the jobs of this session, rising.
    pub sequence: u64,
    /// What the pool said.
    pub job: NotifiedJob,
    /// The session's part of the coinbase.
    pub extranonce1: Vec<u8>,
    /// Bytes of the miner's part.
    pub extranonce2_size: usize,
    /// The version bits that may be rolled; `None` where rolling was not negotiated.
    pub version_mask: Option<VersionMask>,
    /// What a share must meet. Fixed when the job arrived: a later `set_difficulty` is for later jobs.
    pub target: Target,
}

/// Everything of a header but its nonce.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Slice {
    pub(crate) extranonce2: Vec<u8>,
    pub(crate) ntime: u32,
    /// Present exactly where rolling was negotiated.
    pub(crate) version_bits: Option<u32>,
}

impl MiningWork {
    /// The slice of `ticket`. `first` is the ticket the work began with; `None` when the space is used up.
    pub(crate) fn slice(&self, ticket: u64, first: u64) -> Option<Slice> {
        // Extranonce2 goes on from the ticket, the rarer rolls from the beginning of this work.
        let nth = ticket.wrapping_sub(first);
        let round = match self.extranonce2_size {
            8.. => 0,
            size => nth >> (8 * size),
        };
        let mask = self.version_mask.map_or(0, VersionMask::to_u32);
        let versions = 1_u64 << mask.count_ones();
        let roll = round / versions;
        if roll > MAX_NTIME_ROLL {
            return None;
        }
        // XOR with the job's own bits makes the first version the unrolled one.
        let bits = (self.job.version & mask) ^ deposit(round % versions, mask);
        Some(Slice {
            extranonce2: big_endian(ticket, self.extranonce2_size),
            ntime: self.job.ntime.checked_add(u32::try_from(roll).ok()?)?,
            version_bits: self.version_mask.map(|_| bits),
        })
    }

    /// The header of a slice, its nonce zero.
    pub(crate) fn header(&self, slice: &Slice) -> [u8; 80] {
        let coinbase = [
            &self.job.coinbase1[..],
            &self.extranonce1,
            &slice.extranonce2,
            &self.job.coinbase2,
        ]
        .concat();
        let root = work::merkle::root_from_branch(Sha256d::hash(&coinbase), &self.job.branch);
        let version = match (self.version_mask, slice.version_bits) {
            (Some(mask), Some(bits)) => mask.roll(self.job.version, bits),
            _ => self.job.version,
        };
        let mut header = [0; 80];
        header[..4].copy_from_slice(&version.to_le_bytes());
        header[4..36].copy_from_slice(&self.job.prev_hash);
        header[36..68].copy_from_slice(&root);
        header[68..72].copy_from_slice(&slice.ntime.to_le_bytes());
        header[72..76].copy_from_slice(&self.job.nbits.to_le_bytes());
        header
    }
}

/// The low `size` bytes of `number`, big-endian, zeros before.
fn big_endian(number: u64, size: usize) -> Vec<u8> {
    let bytes = number.to_be_bytes();
    match size.checked_sub(bytes.len()) {
        Some(zeros) => [&vec![0; zeros][..], &bytes].concat(),
        None => bytes[bytes.len() - size..].to_vec(),
    }
}

/// Spreads the low bits of `number` over the set bits of `mask`.
fn deposit(number: u64, mask: u32) -> u32 {
    let mut number = number;
    let mut bits = 0;
    for place in (0..32).map(|shift| 1_u32 << shift) {
        if mask & place != 0 {
            if number & 1 == 1 {
                bits |= place;
            }
            number >>= 1;
        }
    }
    bits
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    pub(crate) fn slush_work(extranonce2_size: usize, mask: Option<u32>) -> MiningWork {
        MiningWork {
            session: 0,
            sequence: 0,
            job: NotifiedJob::parse(crate::notify::tests::slush().as_array().unwrap()).unwrap(),
            extranonce1: vec![8, 0, 0, 2],
            extranonce2_size,
            version_mask: mask.map(VersionMask::negotiate),
            target: Target::DIFFICULTY_ONE,
        }
    }

    #[test]
    fn the_documented_share_is_found_on_the_documented_job() {
        let mut work = slush_work(4, None);
        work.job.ntime = 0x504e_86ed;
        let slice = work.slice(1, 0).unwrap();
        assert_eq!(slice.extranonce2, [0, 0, 0, 1]);
        let header = work.header(&slice);
        // 7.885781: eight is not met.
        let six = pow::ShareDifficulty::at_most(7.0).unwrap().target();
        let nonce = 0xb295_7c02;
        assert_eq!(
            crate::search(&header, &six, nonce - 10_000..=nonce + 9),
            Some(nonce)
        );
        let eight = pow::ShareDifficulty::at_least(7.9).unwrap().target();
        assert_eq!(
            crate::search(&header, &eight, nonce - 10_000..=nonce + 9),
            None
        );
    }

    #[test]
    fn a_space_of_nothing_but_nonces_is_rolled_and_ends() {
        let work = slush_work(0, Some(0x0000_6000));
        let slices: Vec<Slice> = (50..).map_while(|ticket| work.slice(ticket, 50)).collect();
        // Four versions for each of 601 seconds.
        assert_eq!(slices.len(), 4 * 601);
        assert_eq!(slices[0].ntime, work.job.ntime);
        assert_eq!(slices[0].version_bits, Some(0));
        assert_eq!(slices[2_403].ntime, work.job.ntime + 600);
        let headers: HashSet<[u8; 80]> = slices.iter().map(|s| work.header(s)).collect();
        assert_eq!(headers.len(), slices.len());
    }

    #[test]
    fn the_job_s_own_bits_come_first_when_rolling() {
        let mut work = slush_work(0, Some(0x0000_6000));
        work.job.version = 0x2000_2000;
        let versions: Vec<u32> = (0..4)
            .map(|ticket| {
                let header = work.header(&work.slice(ticket, 0).unwrap());
                u32::from_le_bytes(header[..4].try_into().unwrap())
            })
            .collect();
        assert_eq!(
            versions,
            [0x2000_2000, 0x2000_0000, 0x2000_6000, 0x2000_4000]
        );
    }

    #[test]
    fn time_does_not_wrap_around() {
        let mut work = slush_work(0, None);
        work.job.ntime = u32::MAX - 1;
        assert!(work.slice(1, 0).is_some());
        assert!(work.slice(2, 0).is_none());
    }

    proptest! {
        /// Two tickets of one work are never one header, whatever the sizes and wherever the count stands.
        #[test]
        fn tickets_are_disjoint(size in 0..=10_usize, mask in prop::option::of(any::<u32>()), first: u64, a in 0..100_000_u64, b in 0..100_000_u64) {
            prop_assume!(a != b);
            let work = slush_work(size, mask);
            let (one, other) = (work.slice(first.wrapping_add(a), first), work.slice(first.wrapping_add(b), first));
            if let (Some(one), Some(other)) = (one, other) {
                prop_assert_ne!(work.header(&one), work.header(&other));
                prop_assert_eq!(one.extranonce2.len(), size);
                // The pool would refuse bits outside the mask.
                if let Some(mask) = work.version_mask {
                    prop_assert!(mask.allows(one.version_bits.unwrap()));
                } else {
                    prop_assert_eq!(one.version_bits, None);
                }
            }
        }
    }
}
