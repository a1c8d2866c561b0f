//! Which part of a bundle to audit when it is too large to fetch whole.
//!
//! The auditor opens the chunks that hold `q` randomly chosen expected hashes, so a chunk is as likely to be opened as
//! it claims work. The choice is a Fiat-Shamir one: a hash of the bundle's CID and of a K2 block hash that came after
//! the submission. The submitter could not know it when it made the bundle, and every auditor makes the same choice.
//! (The CID commits to the Merkle-sum root and to the tables, which the chunks' own digests do not.)
//!
//! # How many
//! If a part `f` of the claimed work lies in chunks that would not pass, all `q` samples miss it with probability
//! `(1 - f)^q`. One bad share spoils its whole chunk of 8192, so a forger who spreads lies is found at once; the most it
//! can hope for is to inflate one chunk.
//!
//! | f      | q for 2^-20 | q for 2^-40 |
//! |--------|-------------|-------------|
//! | 10 %   | 132         | 264         |
//! | 5 %    | 271         | 541         |
//! | 1 %    | 1380        | 2759        |
//!
//! Chunks repeat among the samples, so at most as many are fetched as there are.
//!
//! A chunk that claims less work than its shares have is opened less often than it should be, one that claims none
//! never. That gains nobody anything: who pays opens every chunk, and pays only for those that are what the root says
//! ([`crate::AcceptedBundle`]).

use std::collections::BTreeSet;
use std::num::NonZeroU32;

use cid::Cid;
use sha2::{Digest, Sha256};

use crate::bundle_error::BundleError;
use crate::bundle_root::BundleRoot;

/// The whole, in parts per million.
const PPM: u32 = 1_000_000;
const DOMAIN: &[u8] = b"orcapool/sample/1";
/// More samples than chunks exist make no difference to anybody honest.
pub const MAX_SAMPLES: u32 = 1 << 16;

/// How many samples a node takes that was asked for no other number: it misses false shares with 5 % of the work one
/// time in a million, and fetches two fifths of the largest bundle there can be.
pub const USUAL_SAMPLES: NonZeroU32 = match NonZeroU32::new(271) {
    Some(samples) => samples,
    None => NonZeroU32::MIN,
};

/// The chunks to open, by position, each once. `seed` is the hash of a K2 block after the submission.
///
/// # Errors
/// [`BundleError::Overflow`]; never for a root that was read.
pub fn chunks_to_open(
    cid: &Cid,
    root: &BundleRoot,
    seed: &[u8; 32],
    samples: u32,
) -> Result<Vec<usize>, BundleError> {
    let tree = root.sum_tree()?;
    let total = tree.work().to_hashes();
    if total == 0 {
        return Ok(Vec::new());
    }
    let base = Sha256::new()
        .chain_update(DOMAIN)
        .chain_update(cid.to_bytes())
        .chain_update(seed);
    let chosen: BTreeSet<usize> = (0..samples.min(MAX_SAMPLES))
        .filter_map(|sample| {
            let digest = base.clone().chain_update(sample.to_be_bytes()).finalize();
            // Totals are far below 2^100, so the remainder of 128 random bits is biased by less than 2^-28.
            let random = digest
                .iter()
                .take(16)
                .fold(0_u128, |n, byte| (n << 8) | u128::from(*byte));
            tree.locate(random % total)
        })
        .collect();
    Ok(chosen.into_iter().collect())
}

/// How many samples miss a part of `fraction_ppm` parts per million of the work with a probability of at most
/// 2^-`bits`. `None` for a part of nothing, or when that would take more than 65,536.
#[must_use]
pub fn samples_for(fraction_ppm: u32, bits: u32) -> Option<u32> {
    // The probability, as a fraction of 2^100 that is rounded up at each step, so the result errs on the safe side.
    const SCALE: u32 = 100;
    let keep = u128::from(PPM.checked_sub(fraction_ppm)?);
    let limit = 1_u128 << SCALE.checked_sub(bits)?;
    let mut missed = 1_u128 << SCALE;
    for samples in 0..=MAX_SAMPLES {
        if missed <= limit {
            return Some(samples);
        }
        missed = (missed * keep).div_ceil(u128::from(PPM));
    }
    None
}

/// What so many samples show: the smallest part of the work, in parts per million, that they miss with a probability of
/// at most 2^-`bits`. `None` for no sample at all.
#[must_use]
pub fn part_found(samples: u32, bits: u32) -> Option<u32> {
    let enough = |part: u32| samples_for(part, bits).is_some_and(|needed| needed <= samples);
    if !enough(PPM) {
        return None;
    }
    // A greater part takes fewer samples.
    let (mut missed, mut found) = (0, PPM);
    while found - missed > 1 {
        let middle = missed + (found - missed) / 2;
        if enough(middle) {
            found = middle;
        } else {
            missed = middle;
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_documented_numbers() {
        for (fraction, bits, samples) in [
            (100_000, 20, 132),
            (100_000, 40, 264),
            (50_000, 20, 271),
            (50_000, 40, 541),
            (10_000, 20, 1380),
            (10_000, 40, 2759),
            (1_000_000, 40, 1),
        ] {
            assert_eq!(
                samples_for(fraction, bits),
                Some(samples),
                "{fraction} {bits}"
            );
        }
        assert_eq!(samples_for(0, 1), None);
        assert_eq!(samples_for(1_000_001, 1), None);
        assert_eq!(samples_for(0, 0), Some(0));
        assert_eq!(samples_for(50_000, 20), Some(USUAL_SAMPLES.get()));
    }

    #[test]
    fn what_a_number_of_samples_shows() {
        assert_eq!(part_found(0, 20), None);
        assert_eq!(
            part_found(1, 20),
            Some(1_000_000),
            "2^-20 is just below one in a million"
        );
        for samples in [2, 10, 132, 271, 1380, 20_000] {
            let part = part_found(samples, 20).unwrap();
            assert!(samples_for(part, 20).unwrap() <= samples, "{samples}");
            // Below 2^-20 of a part per million nothing is smaller.
            assert!(samples_for(part - 1, 20).is_none_or(|needed| needed > samples));
        }
    }
}
