//! What a miner asks for (`mining.suggest_difficulty`, `d=`) and what a bundle claims: announced = enforced.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pow::{NBits, ShareDifficulty, Target};

fuzz_target!(|input: (f64, u32, [u8; 32])| {
    let (wanted, bits, target) = input;
    let (low, high) = (
        ShareDifficulty::at_most(wanted),
        ShareDifficulty::at_least(wanted),
    );
    assert_eq!(low.is_ok(), wanted.is_finite() && wanted > 0.0);
    assert_eq!(low.is_ok(), high.is_ok());
    if let (Ok(low), Ok(high)) = (low, high) {
        assert!(low <= high && high <= low.harder());
        assert!(low.announced() <= wanted || low == ShareDifficulty::MIN);
        assert!(high.announced() >= wanted || high == ShareDifficulty::MAX);
        exact(low);
        exact(high);
    }
    if let Ok(nbits) = NBits::from_consensus(bits)
        && let Ok(step) = ShareDifficulty::try_from(nbits)
    {
        assert_eq!(step.nbits(), nbits);
        exact(step);
    }
    let target = Target::from_be_bytes(target);
    let step = ShareDifficulty::for_target(target);
    assert!(step.target() <= target || step == ShareDifficulty::MAX);
});

/// The announced number leads back to the very step whose target is enforced.
fn exact(step: ShareDifficulty) {
    assert_eq!(ShareDifficulty::at_most(step.announced()), Ok(step));
    assert_eq!(ShareDifficulty::at_least(step.announced()), Ok(step));
    assert_eq!(ShareDifficulty::for_target(step.target()), step);
}
