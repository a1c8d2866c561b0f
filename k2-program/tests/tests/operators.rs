//! Operators: joining with a bond, leaving, being slashed, and the quorum.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use k2_interface::instruction::RoundRoot;
use k2_interface::state::{Kind, Operator, OperatorState, Proposal};
use k2_interface::{AccountFault, PoolError, Role, pda};
use k2_tests::rewards::{RewardList, address};
use k2_tests::{NOBODY, World};
use scenario::SOL;
use solana_pubkey::Pubkey;
use solana_sdk_ids::incinerator;

const BOND: u64 = 5 * SOL;

fn account(k2: &World, operator: Pubkey) -> Operator {
    k2.read(k2.operator_key(operator), Kind::Operator)
}

/// A root of a round; another one for another tag.
fn root(k2: &World, round: u64, tag: u64) -> RoundRoot {
    let list = RewardList::new(k2.program, round, &[(Role::Miner, k2.payer, tag)]);
    RoundRoot {
        total: 0,
        ..list.root([0; 32])
    }
}

#[test]
fn an_operator_joins_with_its_bond() {
    let mut k2 = World::new("operators/joins");
    let ann = k2.somebody("ann");
    let before = k2.k2.lamports(&ann);
    let register = k2.register(ann);
    k2.send("ann becomes an operator", register.clone())
        .must_succeed();

    let rent = k2.k2.rent(size_of::<Operator>());
    let operator = account(&k2, ann);
    assert_eq!(operator.head.bump, k2.bump(&[pda::OPERATOR, ann.as_ref()]));
    assert_eq!(operator.operator, address(ann));
    assert_eq!(operator.bond.get(), BOND);
    assert_eq!(operator.joined_slot.get(), k2.slot());
    assert_eq!(operator.left_slot.get(), 0);
    assert_eq!(operator.index, 0);
    assert_eq!(operator.state, OperatorState::Active as u8);
    assert_eq!(k2.k2.lamports(&k2.operator_key(ann)), rent + BOND);
    assert_eq!(k2.k2.lamports(&ann), before - rent - BOND);
    let set = k2.operators();
    assert_eq!(set.count, 1);
    assert_eq!(set.slots[0].operator, address(ann));
    assert_eq!(set.slots[0].joined_slot.get(), k2.slot());
    assert!(set.slots[1..].iter().all(|slot| slot.operator == NOBODY));

    k2.send("once", register)
        .must_fail_with(PoolError::AlreadyOperator);
    k2.wait(10);
    let [bob] = k2.operators_named(["bob"]);
    assert_eq!(account(&k2, bob).index, 1);
    assert_eq!(k2.operators().count, 2);
    assert_eq!(k2.operators().slots[0], set.slots[0]);
}

#[test]
fn a_bond_alone_buys_no_place() {
    let mut k2 = World::new("operators/needs_authority");
    let eve = k2.somebody("eve");
    let register = k2.register(eve);
    k2.send(
        "eve signs for the authority",
        register.clone().with("authority", eve),
    )
    .must_fail_with(PoolError::NotAuthority);
    k2.send(
        "the guardian does",
        register.clone().with("authority", k2.guardian),
    )
    .must_fail_with(PoolError::NotAuthority);
    k2.send(
        "the authority did not sign",
        register.clone().signed("authority", false),
    )
    .must_fault("authority", AccountFault::NotSigner);
    k2.send("eve did not sign", register.signed("operator_key", false))
        .must_fault("operator_key", AccountFault::NotSigner);
    let poor = k2.k2.pubkey("poor");
    k2.k2.fund(poor, BOND);
    let register = k2.register(poor);
    // The system program's own error: too few lamports, as the rent comes on top.
    k2.send("the bond must be there", register)
        .must_fail_with(1_u32);
    assert_eq!(k2.operators().count, 0);
}

#[test]
fn lamports_at_the_address_before_are_the_operators() {
    let mut k2 = World::new("operators/lamports_before");
    let ann = k2.somebody("ann");
    let key = k2.operator_key(ann);
    k2.k2.fund(key, 20 * SOL);
    k2.operators_named(["ann"]);
    assert_eq!(k2.k2.lamports(&key), 25 * SOL);
    assert_eq!(account(&k2, ann).bond.get(), BOND);
}

#[test]
fn the_quorum_stays_more_than_half() {
    let mut k2 = World::new("operators/quorum");
    // The quorum is 2 from the beginning, before anybody is there.
    k2.operators_named(["ann", "bob", "cyd"]);
    let dan = k2.somebody("dan");
    let register = k2.register(dan);
    k2.send(
        "with a fourth, two would not be more than half",
        register.clone(),
    )
    .must_fail_with(PoolError::BadQuorum);
    for (quorum, why) in [
        (0, "none"),
        (1, "one of three"),
        (5, "two more than there are"),
        (255, "no number of operators"),
    ] {
        let set = k2.set_quorum(quorum);
        k2.send(why, set).must_fail_with(PoolError::BadQuorum);
    }
    let set = k2.set_quorum(3);
    k2.send("a stranger cannot", set.clone().with("authority", dan))
        .must_fail_with(PoolError::NotAuthority);
    let before = k2.config();
    k2.send("three of three", set).must_succeed();
    assert_eq!(k2.config().quorum, 3);
    assert_eq!(k2.config().parameters, before.parameters);
    k2.send("now a fourth may join", register).must_succeed();
    let set = k2.set_quorum(2);
    k2.send("and two are too few", set)
        .must_fail_with(PoolError::BadQuorum);
    let set = k2.set_quorum(5);
    k2.send("one more than there are is allowed", set)
        .must_succeed();
    assert_eq!(k2.config().quorum, 5);
}

/// With one operator and a quorum of one nobody else could ever join, were the quorum bounded by the operators there are.
#[test]
fn one_becomes_two() {
    let mut k2 = World::deployed("operators/one_becomes_two");
    let mut rules = k2.rules();
    rules.quorum = 1;
    let initialize = k2.initialize(rules);
    k2.send("a pool of one", initialize).must_succeed();
    let two = k2.set_quorum(2);
    k2.send("nobody is there: one is the most", two.clone())
        .must_fail_with(PoolError::BadQuorum);
    k2.operators_named(["ann"]);
    let bob = k2.somebody("bob");
    let register = k2.register(bob);
    k2.send("one of two is no majority", register.clone())
        .must_fail_with(PoolError::BadQuorum);
    k2.send("the quorum first", two).must_succeed();
    k2.send("then the second", register).must_succeed();
}

#[test]
fn there_are_32_places() {
    let mut k2 = World::deployed("operators/full");
    let mut rules = k2.rules();
    rules.quorum = 32;
    let initialize = k2.initialize(rules);
    k2.send("a pool for many", initialize).must_succeed();
    let names: Vec<String> = (0..33).map(|number| format!("operator {number}")).collect();
    let keys: Vec<Pubkey> = names.iter().map(|name| k2.somebody(name)).collect();
    for key in &keys[..32] {
        let register = k2.register(*key);
        k2.send("one more", register).must_succeed();
    }
    assert_eq!(k2.operators().count, 32);
    let register = k2.register(keys[32]);
    k2.send("too many", register.clone())
        .must_fail_with(PoolError::OperatorsFull);
    let set = k2.set_quorum(33);
    k2.send("no quorum above all places", set)
        .must_fail_with(PoolError::BadQuorum);
    let set = k2.set_quorum(16);
    k2.send("half is not more than half", set)
        .must_fail_with(PoolError::BadQuorum);
    let set = k2.set_quorum(17);
    k2.send("17 of 32", set).must_succeed();
    let leave = k2.leave(keys[7], keys[7]);
    k2.send("the eighth leaves", leave).must_succeed();
    k2.send("its place is free", register).must_succeed();
    assert_eq!(account(&k2, keys[32]).index, 7);
    assert_eq!(k2.operators().slots[7].operator, address(keys[32]));
}

#[test]
fn an_operator_leaves_and_has_its_bond_back_later() {
    let mut k2 = World::new("operators/leaves");
    let [ann, bob] = k2.operators_named(["ann", "bob"]);
    let before = account(&k2, ann);
    let withdraw = k2.withdraw_bond(ann);
    k2.send("not while it is active", withdraw.clone())
        .must_fail_with(PoolError::StillActive);
    let leave = k2.leave(ann, bob);
    k2.send("bob cannot send ann away", leave)
        .must_fail_with(PoolError::NotAuthority);
    let leave = k2.leave(ann, k2.guardian);
    k2.send("nor can the guardian", leave)
        .must_fail_with(PoolError::NotAuthority);
    let leave = k2.leave(ann, ann);
    k2.send("ann leaves", leave.clone()).must_succeed();
    let left = k2.slot();
    let mut wanted = before;
    wanted.state = OperatorState::Leaving as u8;
    wanted.left_slot = left.into();
    assert_eq!(account(&k2, ann), wanted);
    assert_eq!(k2.operators().count, 1);
    assert_eq!(k2.operators().slots[0].operator, NOBODY);
    assert_eq!(k2.operators().slots[0].joined_slot.get(), 0);
    assert_eq!(k2.operators().slots[1].operator, address(bob));
    k2.send("once", leave)
        .must_fail_with(PoolError::NotOperator);
    let register = k2.register(ann);
    k2.send(
        "it cannot join while its old signatures count",
        register.clone(),
    )
    .must_fail_with(PoolError::AlreadyOperator);

    k2.k2.set_clock(left + 1_999, 1_700_010_000);
    k2.send("a slot too early", withdraw.clone())
        .must_fail_with(PoolError::NotYet);
    k2.wait(1);
    let all = k2.k2.lamports(&k2.operator_key(ann));
    let lamports = k2.k2.lamports(&ann);
    k2.send("ann has its bond back", withdraw.clone())
        .must_succeed();
    assert!(k2.is_gone(k2.operator_key(ann)));
    assert_eq!(k2.k2.lamports(&ann), lamports + all);
    k2.send("once only", withdraw)
        .must_fault("operator", AccountFault::Uninitialized);
    k2.send("and may join again", register).must_succeed();
    assert_eq!(account(&k2, ann).joined_slot.get(), k2.slot());
}

#[test]
fn the_authority_may_send_one_away_but_not_take_its_bond() {
    let mut k2 = World::new("operators/sent_away");
    let [ann] = k2.operators_named(["ann"]);
    let leave = k2.leave(ann, k2.authority);
    k2.send("the authority sends ann away", leave)
        .must_succeed();
    assert_eq!(k2.operators().count, 0);
    k2.wait(2_000);
    let withdraw = k2.withdraw_bond(ann);
    k2.send(
        "the authority cannot withdraw its bond",
        withdraw.clone().with("operator_key", k2.authority),
    )
    .must_fault("operator_key", AccountFault::WrongAddress);
    k2.send(
        "ann must sign",
        withdraw.clone().signed("operator_key", false),
    )
    .must_fault("operator_key", AccountFault::NotSigner);
    k2.send("ann withdraws", withdraw).must_succeed();
    assert!(k2.is_gone(k2.operator_key(ann)));
}

/// Ann attests two roots for round 1: her own proposal and bob's.
fn equivocation(k2: &mut World) -> ([Pubkey; 3], [Pubkey; 2]) {
    let [ann, bob, cyd] = k2.operators_named(["ann", "bob", "cyd"]);
    let (one, other) = (root(k2, 1, 1), root(k2, 1, 2));
    for (operator, root) in [(ann, one), (bob, other)] {
        let propose = k2.propose(operator, root);
        k2.send("a root for round 1", propose).must_succeed();
    }
    let attest = k2.attest(ann, bob, other);
    k2.send("ann attests another one", attest).must_succeed();
    let proposals = [ann, bob].map(|proposer| k2.proposal_key(1, proposer));
    ([ann, bob, cyd], proposals)
}

#[test]
fn two_roots_cost_the_bond() {
    let mut k2 = World::new("operators/slashed");
    let ([ann, bob, cyd], [one, other]) = equivocation(&mut k2);
    for (operator, who) in [(bob, "bob attested one"), (cyd, "cyd attested none")] {
        let slash = k2.slash(operator, one, other);
        k2.send(who, slash)
            .must_fail_with(PoolError::NoEquivocation);
    }
    for key in [one, other] {
        let slash = k2.slash(ann, key, key);
        k2.send("one proposal twice", slash)
            .must_fail_with(PoolError::NoEquivocation);
    }
    let slash = k2.slash(ann, one, other);
    let thief = k2.somebody("thief");
    k2.send(
        "nobody gets the bond",
        slash.clone().with("incinerator", thief),
    )
    .must_fault("incinerator", AccountFault::WrongAddress);
    let bond = k2.k2.lamports(&k2.operator_key(ann));
    let burned = k2.k2.lamports(&incinerator::ID);
    k2.send("anybody shows both", slash.clone()).must_succeed();
    assert!(k2.is_gone(k2.operator_key(ann)));
    assert_eq!(k2.k2.lamports(&incinerator::ID), burned + bond);
    assert_eq!(k2.operators().count, 2);
    assert_eq!(k2.operators().slots[0].operator, NOBODY);
    assert_eq!(k2.operators().slots[1].operator, address(bob));
    k2.send("once", slash)
        .must_fault("operator", AccountFault::Uninitialized);
}

#[test]
fn leaving_does_not_save_the_bond() {
    let mut k2 = World::new("operators/slashed_while_leaving");
    let ([ann, ..], [one, other]) = equivocation(&mut k2);
    let leave = k2.leave(ann, ann);
    k2.send("ann leaves in the same slot", leave).must_succeed();
    // Somebody else takes the place: not their vote, not their bond.
    let [dan] = k2.operators_named(["dan"]);
    assert_eq!(account(&k2, dan).index, account(&k2, ann).index);
    k2.wait(1_500);
    let slash = k2.slash(dan, one, other);
    k2.send("dan did not attest at that place", slash)
        .must_fail_with(PoolError::NoEquivocation);
    let slash = k2.slash(ann, one, other);
    k2.send("ann did", slash).must_succeed();
    assert!(k2.is_gone(k2.operator_key(ann)));
    // Dan is still there.
    assert_eq!(k2.operators().count, 3);
    assert_eq!(k2.operators().slots[0].operator, address(dan));
    assert_eq!(account(&k2, dan).state, OperatorState::Active as u8);
}

#[test]
fn a_predecessor_does_not_pay_for_its_successor() {
    let mut k2 = World::new("operators/successor");
    let [ann, bob] = k2.operators_named(["ann", "bob"]);
    let leave = k2.leave(ann, ann);
    k2.send("ann leaves", leave).must_succeed();
    let [dan] = k2.operators_named(["dan"]);
    let (one, other) = (root(&k2, 1, 1), root(&k2, 1, 2));
    for (operator, root) in [(dan, one), (bob, other)] {
        let propose = k2.propose(operator, root);
        k2.send("a root for round 1", propose).must_succeed();
    }
    let attest = k2.attest(dan, bob, other);
    k2.send("dan attests both", attest).must_succeed();
    let [one, other] = [dan, bob].map(|proposer| k2.proposal_key(1, proposer));
    let slash = k2.slash(ann, one, other);
    k2.send("ann had left: not her votes", slash)
        .must_fail_with(PoolError::NoEquivocation);
    let slash = k2.slash(dan, one, other);
    k2.send("dan's they are", slash).must_succeed();
    assert_eq!(account(&k2, ann).state, OperatorState::Leaving as u8);
    assert!(k2.is_gone(k2.operator_key(dan)));
}

#[test]
fn what_is_no_equivocation() {
    let mut k2 = World::new("operators/no_equivocation");
    let [ann, bob] = k2.operators_named(["ann", "bob"]);
    let same = root(&k2, 1, 1);
    for operator in [ann, bob] {
        let propose = k2.propose(operator, same);
        k2.send("both propose the same", propose).must_succeed();
    }
    let attest = k2.attest(ann, bob, same);
    k2.send("ann attests bob's too", attest).must_succeed();
    let slash = k2.slash(ann, k2.proposal_key(1, ann), k2.proposal_key(1, bob));
    k2.send("the same content is no second root", slash)
        .must_fail_with(PoolError::NoEquivocation);
    let later = root(&k2, 2, 2);
    let propose = k2.propose(ann, later);
    k2.send("ann proposes round 2", propose).must_succeed();
    let slash = k2.slash(ann, k2.proposal_key(1, ann), k2.proposal_key(2, ann));
    k2.send("another round is no second root", slash)
        .must_fail_with(PoolError::NoEquivocation);

    // Each single difference is one.
    let other = root(&k2, 3, 3);
    for (round, other) in [
        (
            3,
            RoundRoot {
                list: [9; 32],
                ..other
            },
        ),
        (4, RoundRoot { total: 1, ..other }),
        (
            5,
            RoundRoot {
                leaf_count: 2,
                ..other
            },
        ),
        (
            6,
            RoundRoot {
                root: [9; 32],
                ..other
            },
        ),
    ] {
        let first = RoundRoot {
            round,
            ..root(&k2, 3, 3)
        };
        let second = RoundRoot { round, ..other };
        let propose = k2.propose(bob, first);
        k2.send("bob proposes", propose).must_succeed();
        let propose = k2.propose(ann, second);
        k2.send("ann proposes something a little different", propose)
            .must_succeed();
        let attest = k2.attest(ann, bob, first);
        k2.send("and attests bob's", attest).must_succeed();
        let proposals = [ann, bob].map(|proposer| k2.proposal_key(round, proposer));
        let slash = k2.slash(ann, proposals[1], proposals[0]);
        k2.send("that costs the bond", slash).must_succeed();
        k2.operators_named(["ann"]);
    }
}

#[test]
fn a_veto_frees_those_who_compute_again() {
    let mut k2 = World::new("operators/veto");
    let ([ann, bob, _], [one, other]) = equivocation(&mut k2);
    let veto = k2.veto(k2.guardian, 1, bob);
    k2.send("the guardian vetoes bob's root", veto)
        .must_succeed();
    let slash = k2.slash(ann, one, other);
    k2.send("ann's vote on it does not count against her", slash)
        .must_fail_with(PoolError::NoEquivocation);
    let slash = k2.slash(ann, other, one);
    k2.send("in either order", slash)
        .must_fail_with(PoolError::NoEquivocation);
    assert_eq!(account(&k2, ann).state, OperatorState::Active as u8);
    let proposal: Proposal = k2.read(other, Kind::Proposal);
    assert_eq!(proposal.state, 2);
}
