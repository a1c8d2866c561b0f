//! Whole units from weights, by the method of largest remainders (Hamilton).
//!
//! Every key first gets the whole part of its exact quota `pot * weight / total`. The units that are left, fewer than
//! there are keys, go one each to the largest fractional parts; between equal ones the lesser key comes first. So
//! nobody is a whole unit away from the exact quota, more weight never gets less, and the parts add up to the pot
//! exactly: rounding every part down would leave dust that belongs to somebody, rounding to nearest can pay out more
//! than there is.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use ruint::Uint;
use ruint::aliases::U256;

/// A 64-bit pot times a 256-bit weight.
type Product = Uint<320, 5>;

/// Why weights cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RoundingError {
    /// Their sum leaves 256 bits.
    #[error("the weights add up to more than 256 bits: use a smaller unit of weight")]
    Overflow,
}

/// A pot divided.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Apportionment<K> {
    /// Who gets how many units; nobody is listed with none.
    pub parts: BTreeMap<K, u64>,
    /// The whole pot if nobody has weight, otherwise 0.
    pub undistributed: u64,
}

/// Divides `pot` units in proportion to `weights`. The parts and the undistributed rest add up to `pot`.
///
/// # Errors
/// [`RoundingError::Overflow`] if the weights' sum leaves 256 bits.
pub fn apportion<K: Ord + Copy>(
    pot: u64,
    weights: &BTreeMap<K, U256>,
) -> Result<Apportionment<K>, RoundingError> {
    let total = weights
        .values()
        .try_fold(U256::ZERO, |sum, weight| sum.checked_add(*weight))
        .ok_or(RoundingError::Overflow)?;
    if total.is_zero() {
        return Ok(Apportionment {
            parts: BTreeMap::new(),
            undistributed: pot,
        });
    }

    let wide_total = Product::from(total);
    let mut left = pot;
    let mut quotas = Vec::with_capacity(weights.len());
    for (key, weight) in weights {
        let product = Product::from(*weight) * Product::from(pot);
        let (whole, remainder) = product.div_rem(wide_total);
        // A quota is at most the pot, and all whole parts together are too.
        let whole: u64 = whole.saturating_to();
        left -= whole;
        quotas.push((Reverse(remainder), *key, whole));
    }
    // The remainders add up to `left` totals and each is less than one, so there are more than `left` keys with one
    // (unless nothing is left): no key without weight is reached.
    let extra = usize::try_from(left).unwrap_or(usize::MAX);
    if extra > 0 && extra < quotas.len() {
        quotas.select_nth_unstable(extra);
    }
    for (_, _, units) in quotas.iter_mut().take(extra) {
        *units += 1;
    }
    Ok(Apportionment {
        parts: quotas
            .into_iter()
            .filter(|(_, _, units)| *units > 0)
            .map(|(_, key, units)| (key, units))
            .collect(),
        undistributed: 0,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn weights(list: &[u128]) -> BTreeMap<u32, U256> {
        (0..).zip(list.iter().map(|w| U256::from(*w))).collect()
    }

    fn parts(pot: u64, list: &[u128]) -> Vec<u64> {
        let divided = apportion(pot, &weights(list)).unwrap();
        (0..list.len() as u32)
            .map(|key| divided.parts.get(&key).copied().unwrap_or(0))
            .collect()
    }

    #[test]
    fn known_apportionments() {
        assert_eq!(parts(100, &[1, 1, 1]), [34, 33, 33]);
        assert_eq!(parts(2, &[1, 1, 1]), [1, 1, 0]);
        assert_eq!(parts(0, &[1, 2]), [0, 0]);
        assert_eq!(parts(7, &[0, 5, 0]), [0, 7, 0]);
        // Wikipedia's example of the method: ten seats.
        assert_eq!(
            parts(10, &[47_000, 16_000, 15_800, 12_000, 6_100, 3_100]),
            [5, 2, 1, 1, 1, 0]
        );
        // 1/3 and 2/3 of one unit: the larger remainder wins, not the lesser key.
        assert_eq!(parts(1, &[1, 2]), [0, 1]);
        assert_eq!(parts(u64::MAX, &[u128::MAX]), [u64::MAX]);
    }

    #[test]
    fn without_weight_the_pot_comes_back() {
        for list in [&[][..], &[0], &[0, 0, 0]] {
            let divided = apportion(5, &weights(list)).unwrap();
            assert_eq!(divided.undistributed, 5);
            assert_eq!(divided.parts, BTreeMap::new());
        }
    }

    #[test]
    fn the_largest_weights_are_exact_and_larger_ones_refused() {
        let half = U256::MAX >> 1;
        let exact = BTreeMap::from([(0, half), (1, half), (2, U256::ONE)]);
        let divided = apportion(u64::MAX, &exact).unwrap();
        assert_eq!(divided.parts.values().sum::<u64>(), u64::MAX);
        let beyond = BTreeMap::from([(0, U256::MAX), (1, U256::ONE)]);
        assert_eq!(apportion(1, &beyond), Err(RoundingError::Overflow));
    }

    fn any_weights() -> impl Strategy<Value = Vec<u128>> {
        let weight = prop_oneof![
            Just(0),
            1..10_u128,
            any::<u64>().prop_map(u128::from),
            any::<u128>()
        ];
        prop::collection::vec(weight, 0..40)
    }

    proptest! {
        #[test]
        fn parts_add_up_and_stay_within_one_unit_of_the_quota(pot: u64, list in any_weights()) {
            let divided = apportion(pot, &weights(&list)).unwrap();
            let sum: u128 = divided.parts.values().map(|units| u128::from(*units)).sum();
            prop_assert_eq!(sum + u128::from(divided.undistributed), u128::from(pot));
            let total: Product = list.iter().map(|w| Product::from(*w)).sum();
            prop_assert_eq!(divided.undistributed > 0, total.is_zero() && pot > 0);
            for (key, weight) in (0_u32..).zip(&list) {
                let units = divided.parts.get(&key).copied();
                prop_assert_ne!(units, Some(0));
                // |units - pot * weight / total| < 1, multiplied out.
                let got = Product::from(units.unwrap_or(0)) * total;
                let exact = Product::from(*weight) * Product::from(pot);
                prop_assert!(total.is_zero() || got.abs_diff(exact) < total);
            }
        }

        #[test]
        fn more_weight_never_gets_less(pot in 0_u64..1000, list in any_weights()) {
            let got = parts(pot, &list);
            for (a, weight_a) in list.iter().enumerate() {
                for (b, weight_b) in list.iter().enumerate() {
                    prop_assert!(weight_a <= weight_b || got[a] >= got[b]);
                    // Equal weights: at most one unit apart, the lesser key first.
                    if weight_a == weight_b && a < b {
                        prop_assert!(got[a] == got[b] || got[a] == got[b] + 1);
                    }
                }
            }
        }

        #[test]
        fn own_part_is_monotone_in_own_weight(
            pot in 0_u64..1000,
            list in prop::collection::vec(0_u128..1000, 1..12),
            at: prop::sample::Index,
            more in 1_u128..1000,
        ) {
            let at = at.index(list.len());
            let mut raised = list.clone();
            raised[at] += more;
            prop_assert!(parts(pot, &raised)[at] >= parts(pot, &list)[at]);
        }

        #[test]
        fn only_ratios_matter(pot: u64, list in prop::collection::vec(0_u128..1 << 40, 0..20), factor in 1_u128..1 << 60) {
            let scaled: Vec<_> = list.iter().map(|w| w * factor).collect();
            prop_assert_eq!(parts(pot, &scaled), parts(pot, &list));
        }
    }
}
