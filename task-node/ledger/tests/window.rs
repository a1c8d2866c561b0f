//! The window against the plain definition: sort everything, walk until the work is reached.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;

use k2_interface::{K2Address, Role};
use ledger::{Earner, Fee, PplnsError, Share, Stake, Window};
use pow::Work;
use proptest::prelude::*;
use ruint::aliases::U256;
use work::RoundNumber;

fn round(number: u64) -> RoundNumber {
    RoundNumber::new(number).unwrap()
}

fn share(number: u64, height: u32, hash: u8, work: u128, miner: u8, node: u8) -> Share {
    Share {
        round: round(number),
        height,
        hash: [hash; 32],
        work: Work::from_hashes(work),
        miner: K2Address::from_bytes([miner; 32]),
        node: K2Address::from_bytes([node; 32]),
    }
}

fn fill(size: u128, shares: &[Share]) -> Window {
    let mut by_round: BTreeMap<RoundNumber, Vec<Share>> = BTreeMap::new();
    for share in shares {
        by_round.entry(share.round).or_default().push(*share);
    }
    let mut window = Window::new(Work::from_hashes(size)).unwrap();
    for (round, shares) in by_round.iter().rev() {
        window.add_round(*round, shares.iter().copied()).unwrap();
    }
    window
}

/// The definition, without streaming or grouping.
fn by_definition(size: u128, mut shares: Vec<Share>) -> BTreeMap<Earner, Work> {
    shares.sort_by(|a, b| {
        (b.round, b.height)
            .cmp(&(a.round, a.height))
            .then_with(|| a.hash.cmp(&b.hash))
    });
    let mut missing = size;
    let mut counted: BTreeMap<Earner, Work> = BTreeMap::new();
    for share in shares {
        let work = share.work.to_hashes().min(missing);
        if work == 0 {
            break;
        }
        missing -= work;
        let (miner, node) = (share.miner, share.node);
        *counted.entry(Earner { miner, node }).or_default() += Work::from_hashes(work);
    }
    counted
}

/// Shares of a few rounds and heights with distinct hashes.
fn shares() -> impl Strategy<Value = Vec<Share>> {
    let one = (
        0_u64..4,
        0_u32..4,
        1_u128..1000,
        0_u8..4,
        0_u8..3,
        any::<[u8; 31]>(),
    );
    prop::collection::vec(one, 0..60).prop_map(|list| {
        (0..)
            .zip(list)
            .map(|(number, (round, height, work, miner, node, random))| {
                let mut share = share(round, height, 0, work, miner, node);
                share.hash[..31].copy_from_slice(&random);
                share.hash[31] = number;
                share
            })
            .collect()
    })
}

proptest! {
    #[test]
    fn the_window_is_what_its_definition_says(size in 1_u128..40_000, shares in shares()) {
        let window = fill(size, &shares);
        let all: u128 = shares.iter().map(|share| share.work.to_hashes()).sum();
        prop_assert_eq!(window.reached().to_hashes(), all.min(size));
        prop_assert_eq!(window.is_full(), all >= size);
        prop_assert_eq!(window.counted(), &by_definition(size, shares));
    }

    #[test]
    fn the_order_of_delivery_does_not_matter(size in 1_u128..40_000, (one, other) in shares().prop_flat_map(
        |shares| (Just(shares.clone()), Just(shares).prop_shuffle()),
    )) {
        prop_assert_eq!(fill(size, &one), fill(size, &other));
    }

    #[test]
    fn weights_lose_nothing(size in 1_u128..40_000, shares in shares(), ppm in 0_u32..=1_000_000) {
        let window = fill(size, &shares);
        let reached = U256::from(window.reached().to_hashes());
        prop_assert_eq!(window.node_weights().into_values().sum::<U256>(), reached);
        let stakes = window.stake_weights(Fee::from_ppm(ppm).unwrap());
        let of = |role: Role| -> U256 {
            stakes.iter().filter(|(stake, _)| stake.role == role).map(|(_, weight)| *weight).sum()
        };
        prop_assert_eq!(of(Role::Operator), reached * U256::from(ppm));
        prop_assert_eq!(of(Role::Miner), reached * U256::from(1_000_000 - ppm));
    }

    /// Another share of one's own never lowers one's weight, wherever it falls.
    #[test]
    fn more_work_never_weighs_less(size in 1_u128..40_000, shares in shares(), at in 0_u64..4, height in 0_u32..4, work in 1_u128..1000, hash in any::<u8>()) {
        let more = share(at, height, hash, work, 1, 1);
        let weight = |shares: &[Share]| {
            let weights = fill(size, shares).stake_weights(Fee::NONE);
            weights.get(&Stake::new(Role::Miner, more.miner)).copied().unwrap_or_default()
        };
        let before = weight(&shares);
        let with: Vec<_> = shares.into_iter().chain([more]).collect();
        prop_assert!(weight(&with) >= before);
    }
}

/// Equal headers are the auditor's business; the window still answers the same for every order of delivery.
#[test]
fn even_equal_hashes_have_one_order() {
    let list = [
        share(1, 1, 7, 5, 1, 1),
        share(1, 1, 7, 4, 2, 1),
        share(1, 1, 7, 5, 3, 1),
    ];
    let expected = fill(6, &list);
    for order in [[0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        assert_eq!(fill(6, &order.map(|index: usize| list[index])), expected);
    }
}

#[test]
fn refusals_leave_the_window_as_it_was() {
    assert_eq!(Window::new(Work::ZERO), Err(PplnsError::EmptyWindow));
    let mut window = fill(100, &[share(5, 1, 1, 10, 1, 1)]);
    let before = window.clone();
    let mut refused = |number, shares: &[Share]| {
        let error = window
            .add_round(round(number), shares.iter().copied())
            .unwrap_err();
        assert_eq!(window, before);
        error
    };
    for given in [5, 6] {
        let (last, given) = (round(5), round(given));
        assert_eq!(
            refused(given.get(), &[]),
            PplnsError::RoundOrder { last, given }
        );
    }
    let (expected, found) = (round(4), round(3));
    assert_eq!(
        refused(4, &[share(4, 1, 1, 10, 1, 1), share(3, 1, 2, 10, 1, 1)]),
        PplnsError::ForeignShare { expected, found }
    );
    assert_eq!(
        refused(
            4,
            &[share(4, 9, 1, u128::MAX, 1, 1), share(4, 9, 2, 1, 1, 1)]
        ),
        PplnsError::Overflow {
            round: round(4),
            height: 9
        }
    );
}

#[test]
fn the_largest_amounts_of_work_are_counted_exactly() {
    let list = [
        share(1, 2, 1, u128::MAX - 1, 1, 1),
        share(1, 1, 1, u128::MAX, 2, 1),
    ];
    let window = fill(u128::MAX, &list);
    let works: Vec<_> = window
        .counted()
        .values()
        .map(|work| work.to_hashes())
        .collect();
    assert_eq!(works, [u128::MAX - 1, 1]);
    let weights = window.stake_weights(Fee::from_ppm(1).unwrap());
    let total: U256 = weights.into_values().sum();
    assert_eq!(total, U256::from(u128::MAX) * U256::from(1_000_000));
}

/// p2poolv2 #610 read the tip again while it computed a payout, and the window moved under it. Here nothing can: size
/// and shares come in once, and the same input gives the same window, whatever the caller learns meanwhile.
#[test]
fn window_is_a_pure_function_p2poolv2_610() {
    let list: Vec<_> = (0..50)
        .map(|n| share(u64::from(n) % 3, u32::from(n) % 5, n, 7, n % 4, n % 2))
        .collect();
    let window = fill(200, &list);
    assert_eq!(window, fill(200, &list));
    // A round that arrives after the window is full, or a newer tip, changes nothing.
    let mut later = window.clone();
    let oldest = later.oldest_round().unwrap();
    if let Some(older) = oldest.previous() {
        later.add_round(older, []).unwrap();
    }
    assert!(
        later
            .add_round(round(9), [share(9, 9, 0, 1000, 9, 9)])
            .is_err()
    );
    assert_eq!(later, window);
}

/// Monero p2pool #412: a node that had synced deeper history computed other rewards at the window's far end. Rounds
/// beyond the end change nothing, however much of them a node has.
#[test]
fn deeper_history_does_not_move_the_boundary_monero_p2pool_412() {
    let near = [
        share(9, 30, 2, 60, 1, 1),
        share(8, 20, 3, 60, 2, 1),
        share(8, 20, 1, 60, 3, 1),
    ];
    for size in 1..=180 {
        let shallow = fill(size, &near);
        let deep: Vec<_> = (0..8)
            .flat_map(|old| (0..20).map(move |height| share(old, height, 0, 1000, 4, 2)))
            .chain(near)
            .collect();
        assert_eq!(fill(size, &deep), shallow, "{size}");
    }
}

/// miningcore #1328, #289, #52: shares of a window's edge paid twice or not at all. Windows of every size from one unit
/// to all work: each step hands exactly one more unit to exactly one miner and takes none from anybody.
#[test]
fn each_unit_of_window_counts_once_miningcore_1328_289_52() {
    let list: Vec<_> = (0..12)
        .map(|n| {
            share(
                u64::from(n) / 4,
                u32::from(n) / 2,
                n ^ 5,
                u128::from(n) % 4 + 1,
                n,
                1,
            )
        })
        .collect();
    let all: u128 = list.iter().map(|share| share.work.to_hashes()).sum();
    let mut before = BTreeMap::new();
    for size in 1..=all {
        let counted = fill(size, &list).counted().clone();
        let raised: Vec<_> = counted
            .iter()
            .filter(|(earner, work)| before.get(*earner) != Some(*work))
            .map(|(earner, work)| {
                let earlier = before.get(earner).copied().unwrap_or(Work::ZERO);
                work.to_hashes() - earlier.to_hashes()
            })
            .collect();
        assert_eq!(raised, [1], "{size}");
        assert!(before.keys().all(|earner| counted.contains_key(earner)));
        before = counted;
    }
    // Each share has been counted in full, none more than once.
    assert_eq!(before, by_definition(u128::MAX, list));
}
