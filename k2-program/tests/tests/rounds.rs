//! Rounds: a reward root is proposed, attested, challenged, put in force.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use k2_interface::instruction::RoundRoot;
use k2_interface::state::{Kind, Pause, Proposal, ProposalState, Rewards};
use k2_interface::{AccountFault, PoolError, Role, pda};
use k2_tests::World;
use k2_tests::rewards::{RewardList, address};
use solana_pubkey::Pubkey;

/// A list of one entry: the root of round `round` after `previous`.
fn root(k2: &World, round: u64, sats: u64, previous: [u8; 32]) -> RoundRoot {
    RewardList::new(k2.program, round, &[(Role::Miner, k2.payer, sats)]).root(previous)
}

fn proposal(k2: &World, round: u64, proposer: Pubkey) -> Proposal {
    k2.read(k2.proposal_key(round, proposer), Kind::Proposal)
}

/// Ann proposes it and bob attests it, which is the quorum of two.
#[track_caller]
fn agree(k2: &mut World, [ann, bob]: [Pubkey; 2], root: RoundRoot) {
    let propose = k2.propose(ann, root);
    k2.send("ann proposes a root", propose).must_succeed();
    let attest = k2.attest(bob, ann, root);
    k2.send("bob attests it", attest).must_succeed();
}

/// They agree, nobody challenges, and the root is in force.
#[track_caller]
fn put_in_force(k2: &mut World, operators: [Pubkey; 2], root: RoundRoot) {
    agree(k2, operators, root);
    k2.wait(100);
    let finalize = k2.finalize(root.round, operators[0]);
    k2.send("the root is put in force", finalize).must_succeed();
}

#[test]
fn from_a_proposal_to_a_root_in_force() {
    let mut k2 = World::new("rounds/story");
    let [ann, bob, cyd] = k2.operators_named(["ann", "bob", "cyd"]);
    let sats = k2.earn(1);
    let root_1 = root(&k2, 7, sats, [0; 32]);

    let config = k2.config();
    let lamports = k2.k2.lamports(&ann);
    let propose = k2.propose(ann, root_1);
    k2.send("ann proposes", propose).must_succeed();
    let proposed = k2.slot();
    let mut wanted = proposal(&k2, 7, ann);
    assert_eq!(
        wanted.head.bump,
        k2.bump(&[pda::ROUND, &7_u64.to_le_bytes(), ann.as_ref()])
    );
    assert_eq!(wanted.round.get(), 7);
    assert_eq!(wanted.proposer, address(ann));
    assert_eq!(wanted.root, root_1.root);
    assert_eq!(wanted.previous_root, [0; 32]);
    assert_eq!(wanted.list, root_1.list);
    assert_eq!(wanted.total.get(), sats);
    assert_eq!(wanted.proposed_slot.get(), proposed);
    assert_eq!(wanted.quorum_slot.get(), 0);
    assert_eq!(wanted.leaf_count.get(), 1);
    assert_eq!(wanted.votes.get(), 1);
    assert_eq!(wanted.state, ProposalState::Open as u8);
    let rent = k2.k2.rent(size_of::<Proposal>());
    assert_eq!(k2.k2.lamports(&ann), lamports - rent);

    k2.wait(3);
    let attest = k2.attest(cyd, ann, root_1);
    k2.send("cyd attests", attest).must_succeed();
    wanted.votes = 0b101.into();
    wanted.quorum_slot = (proposed + 3).into();
    assert_eq!(proposal(&k2, 7, ann), wanted);

    k2.wait(2);
    let attest = k2.attest(bob, ann, root_1);
    k2.send("bob too: the challenge does not begin again", attest)
        .must_succeed();
    wanted.votes = 0b111.into();
    assert_eq!(proposal(&k2, 7, ann), wanted);
    assert_eq!(k2.config(), config);

    let finalize = k2.finalize(7, ann);
    k2.wait(97);
    k2.send("a slot too early", finalize.clone())
        .must_fail_with(PoolError::InChallenge);
    k2.wait(1);
    k2.send("anybody puts it in force", finalize.clone())
        .must_succeed();
    wanted.state = ProposalState::Finalized as u8;
    assert_eq!(proposal(&k2, 7, ann), wanted);
    let mut finalized = config;
    finalized.rewards = Rewards {
        finalized: 1.into(),
        round: 7.into(),
        total: sats.into(),
        leaf_count: 1.into(),
        root: root_1.root,
        list: root_1.list,
    };
    assert_eq!(k2.config(), finalized);
    k2.send("once", finalize).must_fail_with(PoolError::NotOpen);

    let root_2 = root(&k2, 8, sats, root_1.root);
    put_in_force(&mut k2, [bob, cyd], root_2);
    assert_eq!(k2.config().rewards.finalized.get(), 2);
    assert_eq!(k2.config().rewards.round.get(), 8);
    assert_eq!(k2.config().rewards.root, root_2.root);
}

#[test]
fn what_cannot_be_proposed() {
    let mut k2 = World::new("rounds/not_proposed");
    let [ann, bob] = k2.operators_named(["ann", "bob"]);
    let sats = k2.earn(1);
    let first = root(&k2, 7, sats, [0; 32]);
    let stranger = k2.somebody("stranger");
    let refuse = |k2: &mut World, what, operator, root, error: PoolError| {
        let propose = k2.propose(operator, root);
        k2.send(what, propose).must_fail_with(error);
    };
    refuse(
        &mut k2,
        "a stranger's",
        stranger,
        first,
        PoolError::NotOperator,
    );
    let authority = k2.authority;
    refuse(
        &mut k2,
        "the authority's",
        authority,
        first,
        PoolError::NotOperator,
    );
    for (what, error, root) in [
        (
            "an empty root",
            PoolError::NullRoot,
            RoundRoot {
                root: [0; 32],
                ..first
            },
        ),
        (
            "no leaves",
            PoolError::BadLeafCount,
            RoundRoot {
                leaf_count: 0,
                ..first
            },
        ),
        (
            "too many leaves",
            PoolError::BadLeafCount,
            RoundRoot {
                leaf_count: (1 << 20) + 1,
                ..first
            },
        ),
        (
            "a root after one that is not",
            PoolError::StaleRoot,
            root(&k2, 7, sats, [1; 32]),
        ),
    ] {
        refuse(&mut k2, what, ann, root, error);
    }
    put_in_force(&mut k2, [ann, bob], first);
    for (what, error, root) in [
        (
            "the round in force",
            PoolError::OldRound,
            root(&k2, 7, sats, first.root),
        ),
        (
            "an earlier round",
            PoolError::OldRound,
            root(&k2, 6, sats, first.root),
        ),
        (
            "a root after none",
            PoolError::StaleRoot,
            root(&k2, 8, sats, [0; 32]),
        ),
        (
            "less than was earned before",
            PoolError::TotalFalls,
            root(&k2, 8, sats - 1, first.root),
        ),
    ] {
        refuse(&mut k2, what, bob, root, error);
    }
    let most = RoundRoot {
        leaf_count: 1 << 20,
        ..root(&k2, 8, sats, first.root)
    };
    let propose = k2.propose(ann, most);
    k2.send("the most leaves", propose.clone()).must_succeed();
    k2.send("one root a round from each", propose)
        .must_fault("proposal", AccountFault::AlreadyInitialized);
    let elsewhere = k2.propose(ann, root(&k2, 9, sats, first.root));
    let place = k2.proposal_key(10, ann);
    k2.send(
        "at another round's address",
        elsewhere.with("proposal", place),
    )
    .must_fault("proposal", AccountFault::WrongAddress);
    let skipped = k2.propose(bob, root(&k2, 100, sats, first.root));
    k2.send("rounds may be skipped", skipped).must_succeed();
}

#[test]
fn a_slot_of_the_operators_own() {
    let mut k2 = World::new("rounds/same_slot");
    let ann = k2.somebody("ann");
    let register = k2.register(ann);
    k2.send("ann joins", register).must_succeed();
    let root = root(&k2, 1, 0, [0; 32]);
    let propose = k2.propose(ann, root);
    k2.send("not in the slot in which she joined", propose.clone())
        .must_fail_with(PoolError::JoinedLater);
    k2.wait(1);
    k2.send("in the next one", propose).must_succeed();
    let bob = k2.somebody("bob");
    let register = k2.register(bob);
    k2.send("bob joins in the slot of the proposal", register)
        .must_succeed();
    k2.wait(1);
    let attest = k2.attest(bob, ann, root);
    k2.send("bob was not there before it", attest)
        .must_fail_with(PoolError::JoinedLater);
}

#[test]
fn an_attestation_says_everything_again() {
    let mut k2 = World::new("rounds/attest");
    let [ann, bob] = k2.operators_named(["ann", "bob"]);
    let stranger = k2.somebody("stranger");
    let one = root(&k2, 5, 0, [0; 32]);
    let propose = k2.propose(ann, one);
    k2.send("ann proposes", propose).must_succeed();
    let before = proposal(&k2, 5, ann);
    let key = k2.proposal_key(5, ann);
    for (what, other) in [
        ("another round", RoundRoot { round: 6, ..one }),
        (
            "another root",
            RoundRoot {
                root: [9; 32],
                ..one
            },
        ),
        (
            "another root before it",
            RoundRoot {
                previous_root: [9; 32],
                ..one
            },
        ),
        (
            "another list",
            RoundRoot {
                list: [9; 32],
                ..one
            },
        ),
        ("another total", RoundRoot { total: 1, ..one }),
        (
            "another number of leaves",
            RoundRoot {
                leaf_count: 2,
                ..one
            },
        ),
    ] {
        let attest = k2.attest(bob, ann, other).with("proposal", key);
        k2.send(what, attest).must_fail_with(PoolError::OtherRoot);
    }
    let attest = k2.attest(stranger, ann, one);
    k2.send("a stranger", attest)
        .must_fail_with(PoolError::NotOperator);
    let attest = k2.attest(ann, ann, one);
    k2.send("who proposed has attested", attest)
        .must_fail_with(PoolError::AlreadyAttested);
    let leave = k2.leave(bob, bob);
    let attest = k2.attest(bob, ann, one);
    assert_eq!(proposal(&k2, 5, ann), before);
    k2.send("bob attests", attest.clone()).must_succeed();
    k2.send("once", attest.clone())
        .must_fail_with(PoolError::AlreadyAttested);
    k2.send("bob leaves", leave).must_succeed();
    k2.send("and is no operator any more", attest)
        .must_fail_with(PoolError::NotOperator);
}

#[test]
fn nothing_is_attested_that_cannot_come_in_force() {
    let mut k2 = World::new("rounds/attest_ended");
    let [ann, bob, cyd] = k2.operators_named(["ann", "bob", "cyd"]);
    let vetoed = root(&k2, 1, 0, [0; 32]);
    let propose = k2.propose(ann, vetoed);
    k2.send("ann proposes round 1", propose).must_succeed();
    let veto = k2.veto(k2.guardian, 1, ann);
    k2.send("vetoed", veto.clone()).must_succeed();
    k2.send("once", veto).must_fail_with(PoolError::NotOpen);
    let attest = k2.attest(bob, ann, vetoed);
    k2.send("not after a veto", attest)
        .must_fail_with(PoolError::NotOpen);

    let five = root(&k2, 5, 0, [0; 32]);
    let six = root(&k2, 6, 0, [0; 32]);
    for (operator, root) in [(ann, five), (bob, six), (cyd, five)] {
        let propose = k2.propose(operator, root);
        k2.send("rounds 5 and 6 are proposed", propose)
            .must_succeed();
    }
    let attest = k2.attest(bob, ann, five);
    k2.send("bob attests ann's", attest).must_succeed();
    k2.wait(100);
    let finalize = k2.finalize(5, ann);
    k2.send("round 5 is put in force", finalize).must_succeed();
    let attest = k2.attest(cyd, ann, five);
    k2.send("not after it is in force", attest)
        .must_fail_with(PoolError::NotOpen);
    let attest = k2.attest(bob, cyd, five);
    k2.send("not for a round that is past", attest)
        .must_fail_with(PoolError::OldRound);
    let attest = k2.attest(ann, bob, six);
    k2.send("not after another root than the one in force", attest)
        .must_fail_with(PoolError::StaleRoot);
    // The same list is proposed again on the right root, and nobody has said two things.
    let again = RoundRoot {
        previous_root: five.root,
        ..six
    };
    let propose = k2.propose(ann, again);
    k2.send("ann proposes round 6 on it", propose)
        .must_succeed();
    let attest = k2.attest(bob, ann, again);
    k2.send("bob, who had proposed it on none, attests", attest)
        .must_succeed();
    let slash = k2.slash(bob, k2.proposal_key(6, ann), k2.proposal_key(6, bob));
    k2.send("that is no equivocation", slash)
        .must_fail_with(PoolError::NoEquivocation);
}

#[test]
fn what_is_not_put_in_force() {
    let mut k2 = World::new("rounds/not_final");
    let operators @ [ann, bob] = k2.operators_named(["ann", "bob"]);
    let one = root(&k2, 1, 0, [0; 32]);
    let propose = k2.propose(ann, one);
    k2.send("ann proposes", propose).must_succeed();
    k2.wait(1_000);
    let finalize = k2.finalize(1, ann);
    k2.send("one of two is no quorum", finalize.clone())
        .must_fail_with(PoolError::NoQuorum);
    let attest = k2.attest(bob, ann, one);
    k2.send("bob attests", attest).must_succeed();
    k2.send("the challenge begins with the quorum", finalize.clone())
        .must_fail_with(PoolError::InChallenge);
    let veto = k2.veto(k2.payer, 1, ann);
    k2.send("not everybody may veto", veto)
        .must_fail_with(PoolError::NotGuardian);
    let veto = k2.veto(k2.authority, 1, ann);
    k2.send("the authority may", veto).must_succeed();
    k2.wait(100);
    k2.send("and then it is not put in force", finalize)
        .must_fail_with(PoolError::NotOpen);

    // Two roots of different rounds have their quorum; the first one in force makes the other stale.
    let two = root(&k2, 2, 0, [0; 32]);
    let three = root(&k2, 3, 0, [0; 32]);
    agree(&mut k2, operators, three);
    agree(&mut k2, operators, two);
    k2.wait(100);
    let finalize = k2.finalize(2, ann);
    k2.send("round 2 is put in force", finalize).must_succeed();
    let finalize = k2.finalize(3, ann);
    k2.send("round 3 does not build on it", finalize)
        .must_fail_with(PoolError::StaleRoot);
    let four = root(&k2, 4, 0, two.root);
    let propose = k2.propose(bob, root(&k2, 3, 0, two.root));
    k2.send("bob proposes it again", propose).must_succeed();
    let attest = k2.attest(ann, bob, root(&k2, 3, 0, two.root));
    k2.send("ann attests it", attest).must_succeed();
    put_in_force(&mut k2, operators, four);
    let finalize = k2.finalize(3, bob);
    k2.send("round 3 after round 4", finalize)
        .must_fail_with(PoolError::OldRound);
    assert_eq!(k2.config().rewards.finalized.get(), 2);
}

#[test]
fn no_more_than_was_minted() {
    let mut k2 = World::new("rounds/covered");
    let operators @ [ann, _] = k2.operators_named(["ann", "bob"]);
    let sats = k2.earn(1);
    let one = root(&k2, 1, sats + 1, [0; 32]);
    agree(&mut k2, operators, one);
    k2.wait(100);
    let finalize = k2.finalize(1, ann);
    k2.send("a sat more than was minted", finalize.clone())
        .must_fail_with(PoolError::NotCovered);
    k2.earn(1);
    k2.send("as soon as it is there", finalize).must_succeed();
    assert_eq!(k2.config().rewards.total.get(), sats + 1);
}

/// The votes of operators that have left do not count any more; the challenge begins again with the vote that brings the
/// quorum back.
#[test]
fn a_quorum_lost_is_a_challenge_again() {
    let mut k2 = World::new("rounds/quorum_lost");
    let [ann, bob, cyd] = k2.operators_named(["ann", "bob", "cyd"]);
    let one = root(&k2, 1, 0, [0; 32]);
    agree(&mut k2, [ann, bob], one);
    let first = proposal(&k2, 1, ann).quorum_slot.get();
    assert_eq!(first, k2.slot());
    k2.wait(50);
    let leave = k2.leave(bob, bob);
    k2.send("bob leaves", leave).must_succeed();
    // Somebody at bob's place does not inherit his vote.
    let [dan] = k2.operators_named(["dan"]);
    assert_eq!(k2.operators().slots[1].operator, address(dan));
    k2.wait(50);
    let finalize = k2.finalize(1, ann);
    k2.send("one vote is left", finalize.clone())
        .must_fail_with(PoolError::NoQuorum);
    let attest = k2.attest(dan, ann, one);
    k2.send("dan was not there", attest)
        .must_fail_with(PoolError::JoinedLater);
    let attest = k2.attest(cyd, ann, one);
    k2.send("cyd makes it two", attest).must_succeed();
    assert_eq!(proposal(&k2, 1, ann).quorum_slot.get(), k2.slot());
    assert_eq!(proposal(&k2, 1, ann).votes.get(), 0b111);
    k2.wait(99);
    k2.send("too early", finalize.clone())
        .must_fail_with(PoolError::InChallenge);
    k2.wait(1);
    k2.send("in force", finalize).must_succeed();
}

#[test]
fn the_quorum_of_now_counts() {
    let mut k2 = World::new("rounds/quorum_changes");
    let [ann, bob, cyd] = k2.operators_named(["ann", "bob", "cyd"]);
    let one = root(&k2, 1, 0, [0; 32]);
    agree(&mut k2, [ann, bob], one);
    let raise = k2.set_quorum(3);
    k2.send("the quorum rises", raise).must_succeed();
    k2.wait(100);
    let finalize = k2.finalize(1, ann);
    k2.send("two of three no longer suffice", finalize.clone())
        .must_fail_with(PoolError::NoQuorum);
    let attest = k2.attest(cyd, ann, one);
    k2.send("the third attests", attest).must_succeed();
    k2.send("with it the challenge begins again", finalize.clone())
        .must_fail_with(PoolError::InChallenge);
    k2.wait(100);
    k2.send("in force", finalize).must_succeed();

    // A proposal that has enough only because the quorum fell never had its challenge.
    let two = root(&k2, 2, 0, one.root);
    agree(&mut k2, [ann, bob], two);
    assert_eq!(proposal(&k2, 2, ann).quorum_slot.get(), 0);
    let lower = k2.set_quorum(2);
    k2.send("the quorum falls", lower).must_succeed();
    k2.wait(1_000);
    let finalize = k2.finalize(2, ann);
    k2.send("nobody was told to look at it", finalize.clone())
        .must_fail_with(PoolError::NoQuorum);
    let attest = k2.attest(cyd, ann, two);
    k2.send("one more vote begins it", attest).must_succeed();
    k2.send("not before it is over", finalize.clone())
        .must_fail_with(PoolError::InChallenge);
    k2.wait(100);
    k2.send("in force", finalize).must_succeed();
}

#[test]
fn a_slashed_operators_vote_does_not_count() {
    let mut k2 = World::new("rounds/slashed_vote");
    let [ann, bob, cyd] = k2.operators_named(["ann", "bob", "cyd"]);
    let one = root(&k2, 1, 0, [0; 32]);
    agree(&mut k2, [ann, bob], one);
    let other = RoundRoot {
        list: [1; 32],
        ..one
    };
    let propose = k2.propose(bob, other);
    k2.send("bob proposes something else", propose)
        .must_succeed();
    let slash = k2.slash(bob, k2.proposal_key(1, ann), k2.proposal_key(1, bob));
    k2.send("bob is slashed", slash).must_succeed();
    k2.wait(100);
    let finalize = k2.finalize(1, ann);
    k2.send("his vote went with him", finalize)
        .must_fail_with(PoolError::NoQuorum);
    let attest = k2.attest(cyd, bob, other);
    k2.send("his proposal stays, with no vote", attest)
        .must_succeed();
    assert_eq!(proposal(&k2, 1, bob).quorum_slot.get(), 0);
}

#[test]
fn rounds_can_be_paused_but_not_the_veto() {
    let mut k2 = World::new("rounds/paused");
    let operators @ [ann, bob] = k2.operators_named(["ann", "bob"]);
    let [one, two] = [1, 2].map(|round| root(&k2, round, 0, [0; 32]));
    agree(&mut k2, operators, one);
    let propose = k2.propose(ann, two);
    k2.send("round 2 is proposed", propose).must_succeed();
    k2.wait(100);
    let pause = k2.pause(k2.guardian, Pause::Rounds as u8);
    k2.send("the guardian pauses rounds", pause).must_succeed();
    let calls = [
        k2.propose(bob, two),
        k2.attest(bob, ann, two),
        k2.finalize(1, ann),
    ];
    for call in calls.clone() {
        k2.send("paused", call).must_fail_with(PoolError::Paused);
    }
    let veto = k2.veto(k2.guardian, 1, ann);
    k2.send("a veto is still possible", veto).must_succeed();
    let resume = k2.resume(k2.authority, Pause::Rounds as u8);
    k2.send("resumed", resume).must_succeed();
    let [propose, attest, finalize] = calls;
    for call in [propose, attest] {
        k2.send("goes on", call).must_succeed();
    }
    k2.send("what was vetoed meanwhile does not", finalize)
        .must_fail_with(PoolError::NotOpen);
}

#[test]
fn a_proposal_is_closed_when_it_is_no_evidence_any_more() {
    let mut k2 = World::new("rounds/close");
    let operators @ [ann, bob] = k2.operators_named(["ann", "bob"]);
    let [one, two, three] = [1, 2, 3].map(|round| root(&k2, round, 0, [0; 32]));
    let propose = k2.propose(bob, one);
    k2.send("bob proposes round 1", propose).must_succeed();
    let propose = k2.propose(bob, three);
    k2.send("and round 3", propose).must_succeed();
    agree(&mut k2, operators, two);
    let proposed = k2.slot();
    k2.wait(100);
    let finalize = k2.finalize(2, ann);
    k2.send("round 2 is put in force", finalize).must_succeed();

    let finalized = k2.close_proposal(2, ann);
    let past = k2.close_proposal(1, bob);
    let open = k2.close_proposal(3, bob);
    k2.wait(1_899);
    assert_eq!(k2.slot(), proposed + 1_999);
    for call in [&finalized, &past, &open] {
        k2.send("a slot too early", call.clone())
            .must_fail_with(PoolError::StillNeeded);
    }
    k2.wait(1);
    k2.send("it could still be attested", open.clone())
        .must_fail_with(PoolError::StillNeeded);
    k2.send(
        "the rent is the proposer's",
        past.clone().with("rent_receiver", ann),
    )
    .must_fault("rent_receiver", AccountFault::WrongAddress);
    let rent = k2.k2.rent(size_of::<Proposal>());
    for (call, proposer) in [(finalized, ann), (past, bob)] {
        let lamports = k2.k2.lamports(&proposer);
        let key = call.key("proposal");
        k2.send("anybody closes it", call).must_succeed();
        assert!(k2.is_gone(key));
        assert_eq!(k2.k2.lamports(&proposer), lamports + rent);
    }
    let veto = k2.veto(k2.guardian, 3, bob);
    k2.send("the open one is vetoed", veto).must_succeed();
    k2.send("and closed", open).must_succeed();
    assert!(k2.is_gone(k2.proposal_key(3, bob)));
    // A round that is past stays past, and one that was vetoed may be tried again.
    let again = k2.propose(bob, root(&k2, 1, 0, two.root));
    k2.send("round 1 is past for good", again)
        .must_fail_with(PoolError::OldRound);
    let again = k2.propose(bob, root(&k2, 3, 0, two.root));
    k2.send("round 3 is not", again).must_succeed();
    assert_eq!(k2.config().rewards.root, two.root);
}
