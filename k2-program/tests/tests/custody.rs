//! Custody scripts: announced, waited for, taken back or put in force.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use k2_interface::PoolError;
use k2_interface::state::CustodyScripts;
use k2_tests::{World, scripts};

const NO_SCRIPTS: CustodyScripts = CustodyScripts {
    coinbase: scripts::NONE,
    deposit: scripts::NONE,
};

fn next() -> CustodyScripts {
    CustodyScripts {
        coinbase: scripts::p2tr("next coinbases"),
        deposit: scripts::p2wpkh("next deposits"),
    }
}

#[test]
fn a_rotation() {
    let mut k2 = World::new("custody/rotation");
    k2.start_relay();
    k2.mine_and_relay(5);
    let before = k2.config();
    let activate = k2.activate_custody();
    k2.send("nothing was announced", activate.clone())
        .must_fail_with(PoolError::NothingPending);
    let propose = k2.propose_custody(next().coinbase, next().deposit);
    k2.send(
        "the guardian cannot announce",
        propose.clone().with("authority", k2.guardian),
    )
    .must_fail_with(PoolError::NotAuthority);
    k2.send("the authority announces new scripts", propose)
        .must_succeed();
    let mut wanted = before;
    wanted.custody.pending = next();
    wanted.custody.pending_slot = (k2.slot() + 1_000).into();
    assert_eq!(k2.config(), wanted);

    k2.wait(999);
    k2.send("a slot too early", activate.clone())
        .must_fail_with(PoolError::NotYet);
    k2.wait(1);
    k2.mine_and_relay(2);
    k2.send("anybody puts them in force", activate.clone())
        .must_succeed();
    wanted.custody.epoch = 1.into();
    wanted.custody.previous = wanted.custody.active;
    // Honoured for ten blocks after the relay's best one.
    wanted.custody.previous_until = 17.into();
    wanted.custody.active = next();
    wanted.custody.pending = NO_SCRIPTS;
    wanted.custody.pending_slot = 0.into();
    assert_eq!(k2.config(), wanted);
    k2.send("once", activate)
        .must_fail_with(PoolError::NothingPending);
}

#[test]
fn an_announcement_can_be_taken_back() {
    let mut k2 = World::new("custody/cancel");
    k2.start_relay();
    let stranger = k2.somebody("stranger");
    let before = k2.config();
    let cancel = k2.cancel_custody(k2.guardian);
    k2.send("there is nothing yet", cancel)
        .must_fail_with(PoolError::NothingPending);
    for (who, by) in [
        ("the guardian", k2.guardian),
        ("the authority", k2.authority),
    ] {
        let propose = k2.propose_custody(next().coinbase, scripts::NONE);
        k2.send("new scripts are announced", propose).must_succeed();
        assert_ne!(k2.config(), before);
        let cancel = k2.cancel_custody(stranger);
        k2.send("a stranger cannot take it back", cancel)
            .must_fail_with(PoolError::NotGuardian);
        k2.wait(2_000);
        let cancel = k2.cancel_custody(by);
        k2.send(&format!("{who} takes it back"), cancel.clone())
            .must_succeed();
        assert_eq!(k2.config(), before);
        k2.send("once", cancel)
            .must_fail_with(PoolError::NothingPending);
        let activate = k2.activate_custody();
        k2.send("then nothing comes in force", activate)
            .must_fail_with(PoolError::NothingPending);
    }
}

/// Whoever steals the authority must not be able to announce something harmless and exchange it at the last moment.
#[test]
fn another_announcement_waits_again() {
    let mut k2 = World::new("custody/restart");
    k2.start_relay();
    let propose = k2.propose_custody(next().coinbase, next().deposit);
    k2.send("scripts are announced", propose).must_succeed();
    k2.wait(999);
    let thief = scripts::p2wpkh("thief");
    let propose = k2.propose_custody(thief, scripts::NONE);
    k2.send("others are, a slot before they come in force", propose)
        .must_succeed();
    assert_eq!(k2.config().custody.pending_slot.get(), k2.slot() + 1_000);
    k2.wait(999);
    let activate = k2.activate_custody();
    k2.send("they wait as long", activate)
        .must_fail_with(PoolError::NotYet);
}

#[test]
fn scripts_that_are_refused() {
    let mut k2 = World::new("custody/refused");
    let before = k2.config();
    let (coinbase, deposit) = (scripts::coinbase(), scripts::deposit());
    let new = scripts::p2sh("new");
    let mut op_return = new;
    op_return[1] = 0x6a;
    let mut padded = new;
    padded[34] = 1;
    for (what, error, coinbase, deposit) in [
        ("those in force", PoolError::BadArgument, coinbase, deposit),
        ("the same twice", PoolError::BadArgument, new, new),
        (
            "deposits to where coinbases went",
            PoolError::BadArgument,
            new,
            coinbase,
        ),
        (
            "coinbases to where deposits went",
            PoolError::BadArgument,
            deposit,
            new,
        ),
        (
            "none for coinbases",
            PoolError::BadScript,
            scripts::NONE,
            new,
        ),
        (
            "a script nobody can spend",
            PoolError::BadScript,
            op_return,
            deposit,
        ),
        (
            "a script nobody can spend, for deposits",
            PoolError::BadScript,
            coinbase,
            op_return,
        ),
        (
            "something behind the script",
            PoolError::BadScript,
            padded,
            deposit,
        ),
    ] {
        let propose = k2.propose_custody(coinbase, deposit);
        k2.send(what, propose).must_fail_with(error);
    }
    assert_eq!(k2.config(), before);
    let propose = k2.propose_custody(coinbase, scripts::NONE);
    k2.send("deposits may be ended alone", propose)
        .must_succeed();
}

/// Custody's own coins lie at the scripts of before: they must not become deposits, not even two rotations later while the
/// scripts are honoured.
#[test]
fn former_coinbases_are_no_deposits() {
    let mut k2 = World::new("custody/mixed");
    k2.start_relay();
    let propose = k2.propose_custody(next().coinbase, scripts::deposit());
    k2.send("the coinbases' script changes", propose)
        .must_succeed();
    k2.wait(1_000);
    let activate = k2.activate_custody();
    k2.send("it comes in force", activate).must_succeed();
    let newer = scripts::p2pkh("newer");
    for (what, coinbase, deposit) in [
        (
            "deposits to the former coinbases' script",
            newer,
            scripts::coinbase(),
        ),
        ("deposits to the present one", newer, next().coinbase),
        (
            "coinbases to the deposits' script",
            scripts::deposit(),
            newer,
        ),
    ] {
        let propose = k2.propose_custody(coinbase, deposit);
        k2.send(what, propose)
            .must_fail_with(PoolError::BadArgument);
    }
    let back = k2.propose_custody(scripts::coinbase(), scripts::deposit());
    k2.send("back to the former is allowed", back)
        .must_succeed();
    k2.wait(1_000);
    let activate = k2.activate_custody();
    k2.send("it comes in force again", activate).must_succeed();
    let custody = k2.config().custody;
    assert_eq!(custody.epoch.get(), 2);
    assert_eq!(custody.active.coinbase, scripts::coinbase());
    assert_eq!(custody.previous.coinbase, next().coinbase);
}

#[test]
fn without_a_relay_nothing_comes_in_force() {
    let mut k2 = World::new("custody/no_relay");
    let propose = k2.propose_custody(next().coinbase, next().deposit);
    k2.send("scripts are announced", propose).must_succeed();
    k2.wait(1_000);
    let activate = k2.activate_custody();
    k2.send("there is no height to count from", activate)
        .must_fault("relay", k2_interface::AccountFault::Uninitialized);
}
