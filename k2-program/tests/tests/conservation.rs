//! What must hold after every instruction, over thousands of random ones: proved, minted, finalized, claimed, redeemed,
//! refunded, re-organised, right and wrong.
//!
//! Every walk begins with a new seed, which a failure names:
//!
//! - `ORCAPOOL_K2_SEED` walks that one again
//! - `ORCAPOOL_K2_STEPS` walks so many steps instead of 3,000

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::hash_map::RandomState;
use std::env;
use std::hash::{BuildHasher as _, Hasher as _};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use k2_interface::instruction::InstructionKind;
use k2_tests::walk::{Rng, Tally, Walk};

/// Steps of one walk; a new pool begins after them.
const STEPS_OF_A_WALK: u64 = 500;

fn from_env(name: &str) -> Option<u64> {
    let value = env::var(name).ok()?;
    Some(
        value
            .parse()
            .unwrap_or_else(|_| panic!("{name}={value} is no number")),
    )
}

#[test]
fn no_sat_is_made_or_lost() {
    // The standard library seeds its hash maps from the system's randomness.
    let random = || RandomState::new().build_hasher().finish();
    let seed = from_env("ORCAPOOL_K2_SEED").unwrap_or_else(random);
    let steps = from_env("ORCAPOOL_K2_STEPS").unwrap_or(3_000);
    let mut seeds = Rng::new(seed);
    let mut tally = Tally::new();
    let walks = steps.div_ceil(STEPS_OF_A_WALK);
    let mut number = 0;
    // Rare things need luck: a few more walks where one is missing.
    while number < walks || steps >= 3_000 && number < 4 * walks && missing(&tally).is_some() {
        let walked = catch_unwind(AssertUnwindSafe(|| {
            let mut walk = Walk::new(&format!("conservation/{number}"), seeds.next());
            for _ in 0..STEPS_OF_A_WALK {
                walk.step();
            }
            walk.tally().clone()
        }));
        match walked {
            Ok(walked) => {
                for (kind, (succeeded, refused)) in walked {
                    let count = tally.entry(kind).or_default();
                    *count = (count.0 + succeeded, count.1 + refused);
                }
            }
            Err(panic) => {
                eprintln!(
                    "walk {number} of ORCAPOOL_K2_SEED={seed} ORCAPOOL_K2_STEPS={steps} failed"
                );
                resume_unwind(panic);
            }
        }
        number += 1;
    }
    for (kind, (succeeded, refused)) in &tally {
        eprintln!(
            "{:18} succeeded {succeeded:6} times, was refused {refused:6} times",
            kind.name()
        );
    }
    assert!(
        steps < 3_000 || missing(&tally).is_none(),
        "ORCAPOOL_K2_SEED={seed}: no walk came to {:?}",
        missing(&tally)
    );
}

/// An instruction that has not yet both succeeded and been refused.
fn missing(tally: &Tally) -> Option<InstructionKind> {
    let mut kinds = InstructionKind::ALL.iter().copied();
    kinds.find(|kind| {
        let (succeeded, refused) = tally.get(kind).copied().unwrap_or_default();
        // With those two a walk begins.
        let begins = matches!(
            kind,
            InstructionKind::Initialize | InstructionKind::InitializeRelay
        );
        succeeded == 0 || refused == 0 && !begins
    })
}
