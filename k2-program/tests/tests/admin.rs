//! Authority, guardian, pausing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use k2_interface::PoolError;
use k2_interface::state::Pause;
use k2_tests::rewards::address;
use k2_tests::{NOBODY, World};
use solana_sdk_ids::system_program;

#[test]
fn authority_moves_in_two_steps() {
    let mut k2 = World::new("admin/authority");
    let next = k2.somebody("next authority");
    let other = k2.somebody("other");
    let before = k2.config();

    let accept = k2.accept_authority(next);
    k2.send("nothing was proposed", accept.clone())
        .must_fail_with(PoolError::NothingPending);
    let propose = k2.propose_authority(next);
    k2.send(
        "the guardian cannot propose",
        propose.clone().with("authority", k2.guardian),
    )
    .must_fail_with(PoolError::NotAuthority);
    k2.send("the authority proposes", propose).must_succeed();
    let mut wanted = before;
    wanted.pending_authority = address(next);
    assert_eq!(k2.config(), wanted);

    let by_other = k2.accept_authority(other);
    k2.send("somebody else cannot accept", by_other)
        .must_fail_with(PoolError::NotPendingAuthority);
    let by_old = k2.accept_authority(k2.authority);
    k2.send("nor the old one", by_old)
        .must_fail_with(PoolError::NotPendingAuthority);
    let early = k2.set_guardian(other).with("authority", next);
    k2.send("the next one has no power before it accepts", early)
        .must_fail_with(PoolError::NotAuthority);
    k2.send("the next one accepts", accept.clone())
        .must_succeed();
    wanted.authority = address(next);
    wanted.pending_authority = NOBODY;
    assert_eq!(k2.config(), wanted);

    k2.send("once", accept)
        .must_fail_with(PoolError::NothingPending);
    let late = k2.propose_authority(other);
    k2.send("the old one has lost its power", late.clone())
        .must_fail_with(PoolError::NotAuthority);
    k2.send("the new one has it", late.with("authority", next))
        .must_succeed();
    wanted.pending_authority = address(other);
    assert_eq!(k2.config(), wanted);
}

#[test]
fn a_proposed_authority_is_taken_back_or_replaced() {
    let mut k2 = World::new("admin/authority_taken_back");
    let [one, two] = ["one", "two"].map(|name| k2.somebody(name));
    for next in [one, two] {
        let propose = k2.propose_authority(next);
        k2.send("the authority proposes", propose).must_succeed();
    }
    let accept = k2.accept_authority(one);
    k2.send("the first was replaced", accept)
        .must_fail_with(PoolError::NotPendingAuthority);
    let cancel = k2.propose_authority(system_program::ID);
    k2.send("the authority takes it back", cancel)
        .must_succeed();
    let accept = k2.accept_authority(two);
    k2.send("the second was taken back", accept)
        .must_fail_with(PoolError::NothingPending);
    assert_eq!(k2.config().authority, address(k2.authority));
    assert_eq!(k2.config().pending_authority, NOBODY);
}

#[test]
fn the_guardian_is_named_by_the_authority() {
    let mut k2 = World::new("admin/guardian");
    let next = k2.somebody("next guardian");
    let before = k2.config();
    let name = k2.set_guardian(next);
    k2.send(
        "the guardian cannot name another",
        name.clone().with("authority", k2.guardian),
    )
    .must_fail_with(PoolError::NotAuthority);
    let nobody = k2.set_guardian(system_program::ID);
    k2.send("nobody is no guardian", nobody)
        .must_fail_with(PoolError::BadArgument);
    k2.send("the authority names another", name).must_succeed();
    let mut wanted = before;
    wanted.guardian = address(next);
    assert_eq!(k2.config(), wanted);
    let late = k2.pause(k2.guardian, 1);
    k2.send("the old guardian is none any more", late)
        .must_fail_with(PoolError::NotGuardian);
    let pause = k2.pause(next, 1);
    k2.send("the new one is", pause).must_succeed();
}

#[test]
fn pausing_is_the_guardians_resuming_the_authoritys() {
    let mut k2 = World::new("admin/pause");
    let stranger = k2.somebody("stranger");
    let before = k2.config();
    let pause = k2.pause(stranger, Pause::Claim as u8);
    k2.send("a stranger cannot pause", pause)
        .must_fail_with(PoolError::NotGuardian);
    for (by, flags, paused) in [
        (k2.guardian, Pause::Claim as u8, 4),
        (k2.authority, Pause::Mint as u8, 5),
        (k2.guardian, Pause::Claim as u8 | Pause::Redeem as u8, 13),
    ] {
        let pause = k2.pause(by, flags);
        k2.send("guardian and authority add to what is paused", pause)
            .must_succeed();
        let mut wanted = before;
        wanted.paused = paused;
        assert_eq!(k2.config(), wanted);
    }
    let resume = k2.resume(k2.guardian, Pause::Claim as u8);
    k2.send("the guardian cannot resume", resume)
        .must_fail_with(PoolError::NotAuthority);
    // Redeem stays; Rounds was not paused.
    let resume = k2.resume(
        k2.authority,
        Pause::Claim as u8 | Pause::Mint as u8 | Pause::Rounds as u8,
    );
    k2.send("the authority resumes some", resume).must_succeed();
    assert_eq!(k2.config().paused, Pause::Redeem as u8);
    for flags in [0, 16, 0x80, 0xff] {
        let pause = k2.pause(k2.guardian, flags);
        k2.send("flags that mean nothing", pause)
            .must_fail_with(PoolError::BadArgument);
        let resume = k2.resume(k2.authority, flags);
        k2.send("flags that mean nothing, to resume", resume)
            .must_fail_with(PoolError::BadArgument);
    }
    let all = k2.resume(k2.authority, Pause::ALL);
    k2.send("all is resumed", all).must_succeed();
    assert_eq!(k2.config(), before);
}
