//! How the redeemers share the network's fee.

use bitcoin::Amount;

/// Splits `fee` evenly over the payouts, none of them above its cap; what one cannot bear, the others do. A remainder of
/// single satoshis goes to the first ones that have room, so there is one answer only.
///
/// None: all caps together are below the fee.
pub(super) fn split(fee: Amount, caps: &[Amount]) -> Option<Vec<Amount>> {
    let mut ascending: Vec<u64> = caps.iter().map(|cap| cap.to_sat()).collect();
    ascending.sort_unstable();
    // The level up to which all caps are filled: caps below it are exhausted, the others share the rest evenly.
    let mut left = fee.to_sat();
    let mut level = u64::MAX;
    for (at, cap) in ascending.iter().enumerate() {
        let share = left / (ascending.len() - at) as u64;
        if *cap > share {
            level = share;
            break;
        }
        left -= cap;
    }
    let mut shares: Vec<u64> = caps.iter().map(|cap| cap.to_sat().min(level)).collect();
    let split: u64 = shares.iter().sum();
    let mut remainder = fee.to_sat().checked_sub(split)?;
    for (share, cap) in shares.iter_mut().zip(caps) {
        if remainder > 0 && *share < cap.to_sat() {
            *share += 1;
            remainder -= 1;
        }
    }
    (remainder == 0).then(|| shares.into_iter().map(Amount::from_sat).collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sats(fee: u64, caps: &[u64]) -> Option<Vec<u64>> {
        let caps: Vec<_> = caps.iter().copied().map(Amount::from_sat).collect();
        let shares = split(Amount::from_sat(fee), &caps)?;
        Some(shares.into_iter().map(Amount::to_sat).collect())
    }

    #[test]
    fn shares_are_even_as_far_as_caps_allow() {
        for (fee, caps, shares) in [
            (0, &[][..], Some(&[][..])),
            (1, &[], None),
            (0, &[5, 0], Some(&[0, 0])),
            (9, &[10, 10, 10], Some(&[3, 3, 3])),
            (10, &[10, 10, 10], Some(&[4, 3, 3])),
            (11, &[3, 10, 10], Some(&[3, 4, 4])),
            (11, &[10, 2, 10], Some(&[5, 2, 4])),
            (12, &[0, 2, 10], Some(&[0, 2, 10])),
            (13, &[0, 2, 10], None),
            (7, &[0, 0, 7], Some(&[0, 0, 7])),
        ] {
            assert_eq!(sats(fee, caps).as_deref(), shares, "{fee} of {caps:?}");
        }
    }

    proptest! {
        #[test]
        fn a_split_is_the_fee_and_nobody_pays_above_the_cap(
            fee in 0_u64..5_000,
            caps in prop::collection::vec(0_u64..500, 0..20),
        ) {
            let Some(shares) = sats(fee, &caps) else {
                prop_assert!(caps.iter().sum::<u64>() < fee);
                return Ok(());
            };
            prop_assert_eq!(shares.iter().sum::<u64>(), fee);
            for (share, cap) in shares.iter().zip(&caps) {
                prop_assert!(share <= cap);
                // Whoever has room left pays as much as anybody, to the satoshi.
                let most = shares.iter().max().unwrap();
                prop_assert!(share == cap || share + 1 >= *most);
            }
        }
    }
}
