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

use std::collections::BTreeSet;

use cid::Cid;
use sha2::{Digest, Sha256};

use crate::bundle_error::BundleError;
use crate::bundle_root::BundleRoot;

/// The whole, in parts per million.
const PPM: u32 = 1_000_000;
const DOMAIN: &[u8] = b"orcapool/sample/1";
/// More samples than chunks exist make no difference to anybody honest.
const MAX_SAMPLES: u32 = 1 << 16;

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
    }
}
