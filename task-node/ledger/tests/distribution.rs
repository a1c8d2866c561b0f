//! Distributions over whole sequences of rounds, and their encoding.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use bitcoin::Amount;
use k2_interface::K2Address;
use k2_interface::reward_tree::{self, Role};
use ledger::{
    CumulativeError, Distribution, DistributionError, DistributionInput, Fee, MAX_BOUNTY, Record,
    Share, Stake, Window,
};
use pow::Work;
use proptest::prelude::*;
use work::RoundNumber;

const PROGRAM: K2Address = K2Address::from_bytes([0x11; 32]);

fn key(byte: u8) -> K2Address {
    K2Address::from_bytes([byte; 32])
}

fn round(number: u64) -> RoundNumber {
    RoundNumber::new(number).unwrap()
}

fn sats(sats: u64) -> Amount {
    Amount::from_sat(sats)
}

/// A window of the given (work, miner, node) in one round.
fn window(number: u64, shares: &[(u64, u8, u8)]) -> Window {
    let mut window = Window::new(Work::from_hashes(1 << 70)).unwrap();
    let shares = (0_u8..)
        .zip(shares)
        .map(|(index, (work, miner, node))| Share {
            round: round(number),
            height: 1,
            hash: [index; 32],
            work: Work::from_hashes(u128::from(*work)),
            miner: key(*miner),
            node: key(*node),
        });
    window.add_round(round(number), shares).unwrap();
    window
}

fn input<'a>(
    number: u64,
    window: &'a Window,
    previous: Option<&'a Distribution>,
) -> DistributionInput<'a> {
    DistributionInput {
        program: PROGRAM,
        round: round(number),
        window,
        fee: Fee::from_ppm(10_000).unwrap(),
        bounty: 1000,
        pot: sats(625_000_000),
        leaf_minimum: sats(1),
        previous,
    }
}

/// Rounds 4 and 9 of a pool of two nodes and three miners.
fn two_rounds() -> (Distribution, Distribution) {
    let first = window(4, &[(100, 1, 10), (50, 2, 10), (25, 1, 20)]);
    let first = Distribution::compute(&input(4, &first, None)).unwrap();
    let second = window(9, &[(7, 3, 20), (100, 2, 20)]);
    let second = Distribution::compute(&input(9, &second, Some(&first))).unwrap();
    (first, second)
}

#[test]
fn a_distribution_by_hand() {
    let first = window(4, &[(100, 1, 10), (50, 2, 10), (25, 1, 20)]);
    let first = Distribution::compute(&DistributionInput {
        pot: sats(17_500),
        bounty: 100,
        ..input(4, &first, None)
    })
    .unwrap();
    let miners = &first.record().miners;
    for (role, owner, earned) in [
        // 1 % of 100 sats a hash goes to the node.
        (Role::Miner, 1, 125 * 99),
        (Role::Miner, 2, 50 * 99),
        (Role::Operator, 10, 150),
        (Role::Operator, 20, 25),
    ] {
        assert_eq!(miners.of(Stake::new(role, key(owner))), sats(earned));
    }
    assert_eq!(miners.total(), sats(17_500));
    // 150 : 25 of 100 is 85.71 : 14.28.
    let list = first.koii_list();
    assert_eq!(list.get(&key(10).to_string()), Some(&86));
    assert_eq!(list.get(&key(20).to_string()), Some(&14));
    assert_eq!(list.len(), 2);
    assert_eq!(first.record().leaf_count, 4);
}

#[test]
fn nobody_worked() {
    let empty = window(4, &[]);
    let first = Distribution::compute(&input(4, &empty, None)).unwrap();
    assert_eq!(first.record().undistributed, sats(625_000_000));
    assert_eq!(first.record().root, None);
    assert_eq!(first.record().leaf_count, 0);
    assert_eq!(first.koii_list().len(), 0);
    assert_eq!(first.leaves().count(), 0);
    assert_eq!(first.tree(), Ok(None));
    assert_eq!(
        Distribution::from_bytes(&first.to_bytes().unwrap()),
        Ok(first)
    );

    // An empty round keeps everybody's earnings provable, under its own root.
    let (_, second) = two_rounds();
    let empty = window(10, &[]);
    let third = Distribution::compute(&input(10, &empty, Some(&second))).unwrap();
    assert_eq!(third.record().miners, second.record().miners);
    assert_eq!(third.record().undistributed, third.record().pot);
    assert_ne!(third.record().root, second.record().root);
}

#[test]
fn every_leaf_is_provable_on_k2() {
    let (_, second) = two_rounds();
    let record = second.record();
    let tree = second.tree().unwrap().unwrap();
    let root = record.root.unwrap();
    let mut total = Amount::ZERO;
    for leaf in second.leaves() {
        let proof = tree.proof(leaf.index).unwrap();
        assert_eq!(
            reward_tree::verify(&root, &leaf, record.leaf_count, &proof),
            Ok(())
        );
        assert_eq!(second.leaf(Stake::new(leaf.role, leaf.owner)), Some(leaf));
        total += sats(leaf.cumulative);
    }
    assert_eq!(total, sats(2 * 625_000_000));
    assert_eq!(second.leaf(Stake::new(Role::Miner, key(99))), None);
}

/// Below the least amount an entry adds up without a leaf, until it has enough: dust cannot fill the tree, and it is
/// not lost.
#[test]
fn dust_waits_for_its_leaf_monero_p2pool_388() {
    let shares = [(999, 1, 10), (1, 2, 10)];
    let mut previous = None;
    for number in 1..=3 {
        let window = window(number, &shares);
        let next = Distribution::compute(&DistributionInput {
            pot: sats(1000),
            fee: Fee::NONE,
            leaf_minimum: sats(3),
            ..input(number, &window, previous.as_ref())
        })
        .unwrap();
        let small = Stake::new(Role::Miner, key(2));
        assert_eq!(next.record().miners.of(small), sats(number));
        assert_eq!(next.leaf(small).is_some(), number == 3);
        assert_eq!(next.record().leaf_count, 1 + u32::from(number == 3));
        assert_eq!(
            Distribution::from_bytes(&next.to_bytes().unwrap()).as_ref(),
            Ok(&next)
        );
        previous = Some(next);
    }
    // And a leaf once given is never taken away.
    let window = window(9, &shares);
    let raised = DistributionInput {
        leaf_minimum: sats(4),
        ..input(9, &window, previous.as_ref())
    };
    assert_eq!(
        Distribution::compute(&raised),
        Err(DistributionError::LeafMinimumRaised {
            before: sats(3),
            after: sats(4)
        })
    );
}

#[test]
fn refusals() {
    let (first, second) = two_rounds();
    let shares = window(9, &[(1, 1, 10)]);
    let base = input(9, &shares, Some(&first));
    let refused = |input: DistributionInput<'_>| Distribution::compute(&input).unwrap_err();
    assert_eq!(
        refused(DistributionInput {
            bounty: MAX_BOUNTY + 1,
            ..base
        }),
        DistributionError::BountyTooLarge(MAX_BOUNTY + 1)
    );
    assert_eq!(
        refused(DistributionInput {
            round: round(8),
            ..base
        }),
        DistributionError::WindowAfterRound {
            round: round(8),
            newest: round(9)
        }
    );
    // The same round twice would pay it twice.
    assert_eq!(
        refused(DistributionInput {
            previous: Some(&second),
            ..base
        }),
        DistributionError::RoundOrder {
            previous: round(9),
            round: round(9)
        }
    );
    assert_eq!(
        refused(DistributionInput {
            program: key(1),
            ..base
        }),
        DistributionError::OtherProgram {
            expected: PROGRAM,
            found: key(1)
        }
    );
    for pot in [Amount::MAX_MONEY, Amount::MAX] {
        assert_eq!(
            refused(DistributionInput { pot, ..base }),
            DistributionError::Cumulative(CumulativeError::Overflow)
        );
    }
    // The largest bounty is still exact.
    let rich = DistributionInput {
        bounty: MAX_BOUNTY,
        ..base
    };
    let list = Distribution::compute(&rich).unwrap().koii_list();
    assert_eq!(list.values().sum::<i64>(), (1 << 53) - 1);
}

#[test]
fn a_distribution_continues_only_its_predecessor() {
    let (first, second) = two_rounds();
    assert_eq!(first.check_continues(None), Ok(()));
    assert_eq!(second.check_continues(Some(&first)), Ok(()));
    assert_eq!(
        second.check_continues(None),
        Err(DistributionError::WrongGrowth {
            growth: sats(1_250_000_000),
            distributed: sats(625_000_000)
        })
    );
    assert!(matches!(
        first.check_continues(Some(&second)),
        Err(DistributionError::RoundOrder { .. })
    ));
    // Somebody's earnings left out and given to others: the sum is right, the list is not.
    let other = window(4, &[(175, 9, 10)]);
    let other = Distribution::compute(&input(4, &other, None)).unwrap();
    assert!(matches!(
        second.check_continues(Some(&other)),
        Err(DistributionError::Cumulative(
            CumulativeError::Shrinking { .. }
        ))
    ));
}

/// Whatever field of a distribution is altered, it is no longer one.
#[test]
fn every_altered_field_is_refused() {
    let (_, good) = two_rounds();
    let refused = |alter: fn(&mut Record)| {
        let mut record = good.record().clone();
        alter(&mut record);
        assert_ne!(&record, good.record(), "the change changes nothing");
        Distribution::try_from(record).unwrap_err()
    };
    let inconsistent = DistributionError::Inconsistent;
    for (field, alter) in [
        ("format", (|r| r.format.push('0')) as fn(&mut Record)),
        ("window", |r| r.window = Work::ZERO),
        ("reached", |r| r.reached = Work::from_hashes(1 << 71)),
        ("undistributed", |r| r.reached = Work::ZERO),
        ("undistributed", |r| r.undistributed = sats(1)),
        ("operators", |r| r.bounty += 1),
        ("operators", |r| r.operators.clear()),
        ("operators", |r| r.operators[0].amount += 1),
        ("operators", |r| r.operators.push(r.operators[0])),
        ("operators", |r| {
            // Slashing one to pay another more: the sum is right.
            let mut slashed = r.operators[0];
            slashed.node = key(30);
            slashed.amount = -5;
            r.operators[0].amount += 5;
            r.operators.push(slashed);
        }),
        ("miners", |r| r.pot = sats(1_250_000_001)),
        ("root", |r| r.program = key(1)),
        ("root", |r| r.round = round(10)),
        ("root", |r| r.root = Some([0; 32])),
        ("leaf_count", |r| r.leaf_count += 1),
        ("leaf_count", |r| r.leaf_minimum = sats(1 << 40)),
        ("root", |r| {
            let mut entries: Vec<_> = r.miners.entries().to_vec();
            entries[0].sats = sats(entries[0].sats.to_sat() + 1);
            entries[1].sats = sats(entries[1].sats.to_sat() - 1);
            r.miners = entries.try_into().unwrap();
        }),
    ] {
        assert_eq!(refused(alter), inconsistent(field));
    }
    assert_eq!(
        refused(|r| r.bounty = u64::MAX),
        DistributionError::BountyTooLarge(u64::MAX)
    );
}

/// All nodes must write these very bytes. A change here is another format and needs another name.
#[test]
fn the_encoding_written_down() {
    let shares = window(4, &[(3, 1, 10)]);
    let small = Distribution::compute(&DistributionInput {
        pot: sats(300),
        bounty: 7,
        ..input(4, &shares, None)
    })
    .unwrap();
    assert_eq!(hex::encode(small.to_bytes().unwrap()), ENCODED);
}

/// Computed from the DAG-CBOR specification and the formulas of `k2_interface::reward_tree` by another implementation
/// (Python).
const ENCODED: &str = concat!(
    "ae6366656519271063706f7419012c64726f6f745820d321f2cf2c85ba43d7b7e293c285296e25e70c11cf2fe133f42f44b35dd5",
    "80cc65726f756e640466626f756e74790766666f726d6174776f726361706f6f6c2f646973747269627574696f6e2f31666d696e",
    "65727382a364726f6c65006473617473190129656f776e6572582001010101010101010101010101010101010101010101010101",
    "01010101010101a364726f6c6501647361747303656f776e657258200a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a",
    "0a0a0a0a0a0a0a0a6677696e646f7750000000000000004000000000000000006770726f6772616d582011111111111111111111",
    "1111111111111111111111111111111111111111111167726561636865645000000000000000000000000000000003696f706572",
    "61746f727381a2646e6f646558200a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a66616d6f756e",
    "74076a6c6561665f636f756e74026c6c6561665f6d696e696d756d016d756e646973747269627574656400",
);

#[test]
fn only_the_canonical_bytes_are_read() {
    let (_, good) = two_rounds();
    let bytes = good.to_bytes().unwrap();
    assert_eq!(Distribution::from_bytes(&bytes).as_ref(), Ok(&good));
    for length in 0..bytes.len() {
        assert!(Distribution::from_bytes(&bytes[..length]).is_err());
    }
    let mut longer = bytes.clone();
    longer.push(0);
    assert!(Distribution::from_bytes(&longer).is_err());
    // Any other byte anywhere is refused, or says something else that is a distribution all the same (another fee,
    // say); then it does not read as this one.
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut wrong = bytes.clone();
            wrong[at] ^= 1 << bit;
            assert_ne!(Distribution::from_bytes(&wrong).as_ref(), Ok(&good));
        }
    }
    // The same round number, but not in its shortest form.
    let position = bytes
        .windows(7)
        .position(|window| window == b"\x65round\x09")
        .unwrap();
    let mut padded = bytes;
    padded.splice(position + 6..position + 7, [0x18, 9]);
    assert!(matches!(
        Distribution::from_bytes(&padded),
        Err(DistributionError::Encoding(_))
    ));
}

#[test]
fn people_can_read_it_too() {
    let (_, good) = two_rounds();
    let json = serde_json::to_string(&good).unwrap();
    assert!(json.contains(&key(10).to_string()), "{json}");
    assert!(
        json.contains("\"window\":\"1180591620717411303424\""),
        "{json}"
    );
    assert_eq!(serde_json::from_str::<Distribution>(&json).unwrap(), good);
}

/// One round of a random pool: its shares (work, miner, node), its pot and bounty, and how many rounds passed before.
type RandomRound = (Vec<(u64, u8, u8)>, u64, u64, u64);

fn random_rounds() -> impl Strategy<Value = Vec<RandomRound>> {
    let share = (1_u64..1 << 40, 0_u8..12, 0_u8..4);
    let round = (
        prop::collection::vec(share, 0..12),
        0_u64..=1_000_000_000,
        0..=MAX_BOUNTY,
        1_u64..4,
    );
    prop::collection::vec(round, 1..10)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    /// Over any sequence of rounds: every sat that came in is earned by somebody or still undistributed, nobody's
    /// earnings shrink, operators get exactly the bounty, and two nodes that saw the shares in other orders write the
    /// same bytes.
    #[test]
    fn no_sat_is_lost_or_made(rounds in random_rounds(), ppm in 0_u32..=1_000_000) {
        let mut previous: Option<Distribution> = None;
        let (mut number, mut paid_in, mut carried) = (0, 0, 0);
        for (shares, pot, bounty, later) in rounds {
            number += later;
            let forward = window(number, &shares);
            let shuffled: Vec<_> = shares.iter().rev().copied().collect();
            let backward = window(number, &shuffled);
            paid_in += pot;
            let base = DistributionInput {
                fee: Fee::from_ppm(ppm).unwrap(),
                pot: sats(pot + carried),
                bounty,
                leaf_minimum: sats(1000),
                ..input(number, &forward, previous.as_ref())
            };
            let next = Distribution::compute(&base).unwrap();
            let same = Distribution::compute(&DistributionInput { window: &backward, ..base }).unwrap();
            let bytes = next.to_bytes().unwrap();
            prop_assert_eq!(&bytes, &same.to_bytes().unwrap());
            let read = Distribution::from_bytes(&bytes);
            prop_assert_eq!(read.as_ref(), Ok(&next));

            let record = next.record();
            carried = record.undistributed.to_sat();
            prop_assert_eq!(record.miners.total().to_sat() + carried, paid_in);
            let due = if shares.is_empty() { 0 } else { bounty };
            prop_assert_eq!(next.koii_list().values().sum::<i64>(), i64::try_from(due).unwrap());
            if let Some(previous) = &previous {
                for leaf in previous.leaves() {
                    let now = next.leaf(Stake::new(leaf.role, leaf.owner)).unwrap();
                    prop_assert!(now.cumulative >= leaf.cumulative);
                }
            }
            previous = Some(next);
        }
    }

    #[test]
    fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(Distribution::from_bytes(&bytes).is_err());
    }
}
