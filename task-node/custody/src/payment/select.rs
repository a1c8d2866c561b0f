//! Which coins a payment spends.

use std::collections::BTreeSet;

use bitcoin::{Amount, OutPoint};

use crate::view::Coin;

/// The most coins one payment spends: 41 bytes each, they leave room for a payout in what can be proved to K2
/// ([`MAX_PROVABLE`](super::MAX_PROVABLE)).
pub(super) const MAX_INPUTS: usize = 100;

/// Chooses coins that are worth `target` together, with nothing or no less than `least_change` left.
///
/// All of `forced`, then the largest of `free`, because every input costs the redeemers; the last one is the smallest that
/// will do, so that large coins are not broken up for little. The order in which coins are given does not matter. None: it
/// cannot be done with [`MAX_INPUTS`] coins.
pub(super) fn select<'a>(
    forced: &[&'a Coin],
    free: &[&'a Coin],
    target: Amount,
    least_change: Amount,
) -> Option<Vec<&'a Coin>> {
    let mut seen: BTreeSet<OutPoint> = BTreeSet::new();
    let mut chosen = Vec::new();
    let mut sum = Amount::ZERO;
    for coin in forced {
        if seen.insert(coin.outpoint) {
            sum = sum.checked_add(coin.txout.value)?;
            chosen.push(*coin);
        }
    }
    let mut free: Vec<&Coin> = free
        .iter()
        .copied()
        .filter(|coin| seen.insert(coin.outpoint))
        .collect();
    free.sort_unstable_by_key(|coin| (std::cmp::Reverse(coin.txout.value), coin.outpoint));
    let enough = |sum: Amount| {
        sum.checked_sub(target)
            .is_some_and(|change| change == Amount::ZERO || change >= least_change)
    };
    let mut next = 0;
    while !enough(sum) || chosen.is_empty() {
        let rest = free.get(next..)?;
        // The smallest that ends it, if there is one; else the largest.
        let last = rest
            .iter()
            .rev()
            .find(|coin| sum.checked_add(coin.txout.value).is_some_and(enough));
        let coin = last.or(rest.first())?;
        sum = sum.checked_add(coin.txout.value)?;
        chosen.push(*coin);
        if last.is_some() {
            break;
        }
        next += 1;
    }
    chosen.sort_unstable_by_key(|coin| coin.outpoint);
    (chosen.len() <= MAX_INPUTS).then_some(chosen)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use bdk_wallet::KeychainKind;
    use bitcoin::hashes::Hash as _;
    use bitcoin::{ScriptBuf, TxOut, Txid};
    use proptest::prelude::*;

    use super::*;

    fn coins(values: &[u64]) -> Vec<Coin> {
        (0_u8..)
            .zip(values)
            .map(|(tag, value)| Coin {
                outpoint: OutPoint::new(Txid::from_byte_array([tag; 32]), 0),
                txout: TxOut {
                    value: Amount::from_sat(*value),
                    script_pubkey: ScriptBuf::new(),
                },
                keychain: KeychainKind::External,
                index: 0,
                height: Some(1),
                is_coinbase: false,
            })
            .collect()
    }

    fn values(forced: &[u64], free: &[u64], target: u64) -> Option<Vec<u64>> {
        let all = coins(&[forced, free].concat());
        let (forced, free) = all.split_at(forced.len());
        let chosen = select(
            &forced.iter().collect::<Vec<_>>(),
            &free.iter().collect::<Vec<_>>(),
            Amount::from_sat(target),
            Amount::from_sat(300),
        )?;
        let mut values: Vec<_> = chosen
            .iter()
            .map(|coin| coin.txout.value.to_sat())
            .collect();
        values.sort_unstable();
        Some(values)
    }

    #[test]
    fn few_coins_and_no_large_one_for_little() {
        for (forced, free, target, chosen) in [
            (
                &[][..],
                &[1_000, 5_000, 2_000][..],
                1_500,
                Some(&[2_000][..]),
            ),
            (&[], &[1_000, 5_000, 2_000], 5_500, Some(&[1_000, 5_000])),
            (&[], &[1_000, 5_000, 2_000], 1_000, Some(&[1_000])),
            (
                &[],
                &[1_000, 5_000, 2_000],
                8_000,
                Some(&[1_000, 2_000, 5_000]),
            ),
            (&[], &[1_000], 900, None),
            (&[], &[1_000, 400], 900, Some(&[400, 1_000])),
            (&[], &[1_000], 1_001, None),
            (&[700], &[5_000, 900], 600, Some(&[700, 900])),
            (&[700, 800], &[], 1_500, Some(&[700, 800])),
            (&[700, 800], &[9_000], 100, Some(&[700, 800])),
        ] {
            assert_eq!(
                values(forced, free, target).as_deref(),
                chosen,
                "{free:?} for {target}"
            );
        }
    }

    proptest! {
        #[test]
        fn what_is_left_is_nothing_or_no_dust(
            forced in prop::collection::vec(1_u64..5_000, 0..4),
            free in prop::collection::vec(1_u64..5_000, 0..12),
            target in 1_u64..20_000,
        ) {
            let Some(chosen) = values(&forced, &free, target) else {
                // Then not even everything would do, or it would leave dust.
                let all: u64 = forced.iter().chain(&free).sum();
                prop_assert!(all < target || (1..300).contains(&(all - target)));
                return Ok(());
            };
            let sum: u64 = chosen.iter().sum();
            prop_assert!(sum == target || sum >= target + 300);
            for value in &forced {
                prop_assert!(chosen.contains(value));
            }
            // No choice of fewer coins is worth as much.
            let mut largest = free;
            largest.sort_unstable_by(|a, b| b.cmp(a));
            if let Some(fewer) = (chosen.len() - forced.len()).checked_sub(1) {
                let most: u64 = forced.iter().chain(largest.iter().take(fewer)).sum();
                prop_assert!(most < target + 300);
            }
        }

        #[test]
        fn the_order_of_coins_does_not_matter(
            values in prop::collection::vec(1_u64..5_000, 1..12),
            target in 1_u64..10_000,
        ) {
            let all = coins(&values);
            let forwards: Vec<_> = all.iter().collect();
            let backwards: Vec<_> = all.iter().rev().collect();
            let (target, dust) = (Amount::from_sat(target), Amount::from_sat(300));
            prop_assert_eq!(
                select(&[], &forwards, target, dust),
                select(&[], &backwards, target, dust)
            );
        }
    }
}
