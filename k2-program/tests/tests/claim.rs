//! Claims: what a leaf says, less what was paid before, to whom it belongs, once.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use k2_interface::instruction::Claim;
use k2_interface::state::{Config, Kind, Ledger, Pause};
use k2_interface::{AccountFault, PoolError, RewardLeaf, Role, pda};
use k2_tests::World;
use k2_tests::rewards::{Entry, RewardList, address};
use solana_pubkey::Pubkey;

/// What a claim may cost at the greatest depth, in 1.14's compute units.
const CEILING: u64 = 20_000;

fn ledger(k2: &World, role: Role, owner: Pubkey) -> Ledger {
    k2.read(k2.ledger_key(role, owner), Kind::Ledger)
}

/// The list is in force as the one of this round.
#[track_caller]
fn in_force(k2: &mut World, round: u64, entries: &[Entry]) -> RewardList {
    let list = RewardList::new(k2.program, round, entries);
    k2.put_in_force(&list);
    list
}

/// A pool with two operators, sats in its vault, and miners with token accounts.
fn pool<const N: usize>(story: &str, names: [&str; N]) -> (World, u64, [Pubkey; N]) {
    let mut k2 = World::new(story);
    k2.operators_named(["ann", "bob"]);
    let sats = k2.earn(1);
    let owners = names.map(|name| k2.holder(name));
    (k2, sats, owners)
}

#[test]
fn everything_since_the_last_claim() {
    let (mut k2, sats, [mia, max]) = pool("claim/story", ["mia", "max"]);
    let list = in_force(
        &mut k2,
        1,
        &[
            (Role::Miner, mia, 700),
            (Role::Operator, mia, 20),
            (Role::Miner, max, 300),
        ],
    );
    let before = k2.config();
    let claim = k2.claim(&list, 0);
    let payer = k2.k2.lamports(&k2.payer);
    k2.send("mia claims as a miner", claim.clone())
        .must_succeed();
    let wanted = ledger(&k2, Role::Miner, mia);
    assert_eq!(
        wanted.head.bump,
        k2.bump(&[pda::LEDGER, &[0], mia.as_ref()])
    );
    assert_eq!(wanted.owner, address(mia));
    assert_eq!(wanted.claimed.get(), 700);
    assert_eq!(wanted.role, 0);
    assert_eq!(k2.balance(mia), 700);
    assert_eq!(k2.k2.token_balance(&k2.vault_key()), sats - 700);
    assert_eq!(
        k2.k2.lamports(&k2.payer),
        payer - k2.k2.rent(size_of::<Ledger>())
    );
    let mut config = before;
    config.totals.claimed = 700.into();
    assert_eq!(k2.config(), config);
    k2.send("once", claim)
        .must_fail_with(PoolError::NothingToClaim);

    let claim = k2.claim(&list, 1);
    k2.send("and as an operator", claim).must_succeed();
    assert_eq!(k2.balance(mia), 720);
    assert_eq!(ledger(&k2, Role::Operator, mia).claimed.get(), 20);
    assert_eq!(ledger(&k2, Role::Miner, mia), wanted);

    // Max comes after three rounds: one claim pays all of them.
    let entries = [
        (Role::Miner, max, 1_000),
        (Role::Miner, mia, 700),
        (Role::Operator, mia, 25),
    ];
    let list_2 = in_force(&mut k2, 2, &entries);
    let claim = k2.claim(&list, 2);
    k2.send("the list of round 1 is no longer in force", claim)
        .must_fail_with(PoolError::WrongRoot);
    let entries = [
        (Role::Miner, max, 1_500),
        (Role::Miner, mia, 700),
        (Role::Operator, mia, 31),
    ];
    let list_3 = in_force(&mut k2, 3, &entries);
    let claim = k2.claim(&list_3, 0);
    k2.send("max claims three rounds at once", claim)
        .must_succeed();
    assert_eq!(k2.balance(max), 1_500);
    let claim = k2.claim(&list_3, 1);
    k2.send("mia has mined nothing since", claim)
        .must_fail_with(PoolError::NothingToClaim);
    let claim = k2.claim(&list_3, 2);
    k2.send("but operated", claim).must_succeed();
    assert_eq!(k2.balance(mia), 731);
    assert_eq!(k2.config().totals.claimed.get(), 2_231);
    assert_eq!(k2.k2.token_balance(&k2.vault_key()), sats - 2_231);
    drop(list_2);
}

#[test]
fn before_there_is_anything() {
    let (mut k2, _, [mia]) = pool("claim/nothing", ["mia"]);
    let list = RewardList::new(k2.program, 1, &[(Role::Miner, mia, 700)]);
    let claim = k2.claim(&list, 0);
    k2.send("nothing was finalized", claim)
        .must_fail_with(PoolError::NothingFinalized);
    // Nomad, 2022: the root nobody had set was believed.
    let zero = Claim {
        role: 0,
        index: 0,
        cumulative: 700,
        destination_bump: 0,
    };
    let claim = k2.claim_with(zero, &[], Role::Miner, mia);
    k2.send("the empty root is none", claim)
        .must_fail_with(PoolError::NothingFinalized);
    assert!(k2.is_gone(k2.ledger_key(Role::Miner, mia)));
}

#[test]
fn a_leaf_is_taken_as_it_is_or_not_at_all() {
    let (mut k2, _, [mia, max, eve]) = pool("claim/leaf", ["mia", "max", "eve"]);
    let entries = [
        (Role::Miner, mia, 700),
        (Role::Miner, max, 300),
        (Role::Operator, max, 30),
        (Role::Miner, eve, 1),
        (Role::Operator, eve, 2),
    ];
    let list = in_force(&mut k2, 4, &entries);
    let (good, siblings) = list.claim(3);
    let (_, of_mia) = list.claim(0);
    let longer = [siblings.clone(), vec![0; 32]].concat();
    for (what, error, args, siblings) in [
        (
            "more than the leaf says",
            PoolError::WrongRoot,
            Claim {
                cumulative: 2,
                ..good
            },
            &siblings[..],
        ),
        (
            "less than it says",
            PoolError::WrongRoot,
            Claim {
                cumulative: 0,
                ..good
            },
            &siblings,
        ),
        (
            "in another place",
            PoolError::WrongRoot,
            Claim { index: 2, ..good },
            &siblings,
        ),
        (
            "in no place",
            PoolError::IndexOutOfRange,
            Claim { index: 5, ..good },
            &siblings,
        ),
        (
            "beyond the tree",
            PoolError::IndexOutOfRange,
            Claim {
                index: 8 + 3,
                ..good
            },
            &siblings,
        ),
        ("another's siblings", PoolError::WrongRoot, good, &of_mia),
        (
            "a sibling too few",
            PoolError::ProofLength,
            good,
            &siblings[32..],
        ),
        ("a sibling too many", PoolError::ProofLength, good, &longer),
        (
            "a byte too many",
            PoolError::ProofLength,
            good,
            &longer[..97],
        ),
        ("no siblings", PoolError::ProofLength, good, &[]),
    ] {
        let claim = k2.claim_with(args, siblings, Role::Miner, eve);
        k2.send(what, claim).must_fail_with(error);
    }
    for (bit, _) in siblings.iter().enumerate().step_by(7) {
        let mut flipped = siblings.clone();
        flipped[bit] ^= 1;
        let claim = k2.claim_with(good, &flipped, Role::Miner, eve);
        k2.send("a bit of a sibling", claim)
            .must_fail_with(PoolError::WrongRoot);
    }
    let other_role = Claim { role: 1, ..good };
    let claim = k2.claim_with(other_role, &siblings, Role::Operator, eve);
    k2.send("in another role", claim)
        .must_fail_with(PoolError::WrongRoot);
    let no_role = Claim { role: 2, ..good };
    let claim = k2.claim_with(no_role, &siblings, Role::Miner, eve);
    k2.send("in no role", claim)
        .must_fail_with(PoolError::UnknownRole);
    let (rich, siblings) = list.claim(0);
    let claim = k2.claim_with(rich, &siblings, Role::Miner, eve);
    k2.send("mia's leaf for eve", claim)
        .must_fail_with(PoolError::WrongRoot);
    // A node in a leaf's place, a leaf of another program, of another round.
    let other_program = RewardList::new(k2.authority, 4, &entries);
    let other_round = RewardList::new(k2.program, 5, &entries);
    for (what, list) in [
        ("another program's", other_program),
        ("another round's", other_round),
    ] {
        let claim = k2.claim(&list, 3);
        k2.send(what, claim).must_fail_with(PoolError::WrongRoot);
    }
    let claim = k2.claim(&list, 3);
    k2.send("eve's own", claim).must_succeed();
    assert_eq!(k2.balance(eve), 1);
}

#[test]
fn to_whom_it_belongs() {
    let (mut k2, _, [mia, eve]) = pool("claim/destination", ["mia", "eve"]);
    let list = in_force(&mut k2, 1, &[(Role::Miner, mia, 700)]);
    let claim = k2.claim(&list, 0);
    let eves = k2.associated(eve).0;
    k2.send(
        "eve sends mia's claim to herself",
        claim.clone().with("destination", eves),
    )
    .must_fail_with(PoolError::NotYours);
    k2.send(
        "and says she is the owner",
        claim.clone().with("destination", eves).with("owner", eve),
    )
    .must_fail_with(PoolError::WrongRoot);
    // Another token account of mia's: perhaps one that a contract holds for her.
    let (aside, mint) = (k2.k2.pubkey("mia's other account"), k2.mint_key());
    k2.k2.set_token_account(aside, mint, mia, 0);
    let to_other = claim.clone().with("destination", aside);
    k2.send(
        "not to another account of hers, unless she says so",
        to_other.clone(),
    )
    .must_fail_with(PoolError::NotYours);
    let mut wrong_bump = claim.clone();
    let at = wrong_bump.data.len() - list.claim(0).1.len() - 1;
    wrong_bump.data[at] = wrong_bump.data[at].wrapping_sub(1);
    k2.send("by another bump", wrong_bump)
        .must_fail_with(PoolError::NotYours);
    let vault = k2.vault_key();
    k2.send("into the vault", claim.clone().with("destination", vault))
        .must_fail_with(PoolError::NotYours);

    let (other_mint, token_authority) = (k2.k2.pubkey("another mint"), k2.token_authority_key());
    k2.k2.set_mint(other_mint, token_authority, 0, 8);
    let of_other = k2.k2.pubkey("an account of another mint");
    k2.k2.set_token_account(of_other, other_mint, mia, 0);
    k2.send(
        "into an account of another mint",
        claim.clone().with("destination", of_other),
    )
    .must_fault("destination", AccountFault::WrongMint);
    k2.send("into a mint", claim.clone().with("destination", mint))
        .must_fault("destination", AccountFault::NotTokenAccount);

    k2.send("mia signs and says where", to_other.signed("owner", true))
        .must_succeed();
    assert_eq!(k2.k2.token_balance(&aside), 700);
    assert_eq!(k2.balance(mia), 0);
    k2.send("once, wherever to", claim)
        .must_fail_with(PoolError::NothingToClaim);
}

/// A second ledger would pay everything a second time.
#[test]
fn one_ledger_for_an_owner_and_role() {
    let (mut k2, _, [mia, max]) = pool("claim/ledger", ["mia", "max"]);
    let list = in_force(
        &mut k2,
        1,
        &[
            (Role::Miner, mia, 700),
            (Role::Operator, mia, 20),
            (Role::Miner, max, 300),
        ],
    );
    let first = k2.claim(&list, 0);
    let (canonical, bump) = (
        first.key("ledger"),
        k2.bump(&[pda::LEDGER, &[0], mia.as_ref()]),
    );
    let others: Vec<Pubkey> = (0..bump)
        .rev()
        .filter_map(|bump| {
            let seeds: [&[u8]; 4] = [pda::LEDGER, &[0], mia.as_ref(), &[bump]];
            Pubkey::create_program_address(&seeds, &k2.program).ok()
        })
        .take(3)
        .collect();
    assert_eq!(others.len(), 3);
    for at in &others {
        k2.send(
            "a ledger at another bump",
            first.clone().with("ledger", *at),
        )
        .must_fault("ledger", AccountFault::WrongAddress);
    }
    let operators = k2.ledger_key(Role::Operator, mia);
    k2.send(
        "at her other role's address",
        first.with("ledger", operators),
    )
    .must_fault("ledger", AccountFault::WrongAddress);
    for index in [0, 1, 2] {
        let claim = k2.claim(&list, index);
        k2.send("each claims", claim).must_succeed();
    }
    let second = in_force(
        &mut k2,
        2,
        &[
            (Role::Miner, mia, 800),
            (Role::Operator, mia, 20),
            (Role::Miner, max, 300),
        ],
    );
    let claim = k2.claim(&second, 0);
    for (what, key) in [
        ("her ledger as an operator", operators),
        ("max's ledger", k2.ledger_key(Role::Miner, max)),
        ("none, at another bump", others[0]),
        ("nothing", k2.k2.pubkey("nothing")),
    ] {
        k2.send(what, claim.clone().with("ledger", key))
            .must_fault("ledger", AccountFault::WrongAddress);
    }
    let config = k2.config_key();
    k2.send(
        "the configuration for a ledger",
        claim.clone().with("ledger", config),
    )
    .must_fault("ledger", AccountFault::WrongAddress);
    let set = k2.operators_key();
    k2.send(
        "the operators for a ledger",
        claim.clone().with("ledger", set),
    )
    .must_fault("ledger", AccountFault::WrongKind);
    k2.send("her ledger", claim).must_succeed();
    assert_eq!(k2.k2.account(&canonical).unwrap().owner, k2.program);
    assert_eq!(k2.balance(mia), 820);
}

#[test]
fn lamports_at_the_ledgers_address_before() {
    let (mut k2, _, [mia]) = pool("claim/lamports_before", ["mia"]);
    let list = in_force(&mut k2, 1, &[(Role::Miner, mia, 700)]);
    let key = k2.ledger_key(Role::Miner, mia);
    k2.k2.fund(key, 1_000);
    let claim = k2.claim(&list, 0);
    k2.send("mia claims", claim).must_succeed();
    assert_eq!(k2.k2.lamports(&key), k2.k2.rent(size_of::<Ledger>()));
    assert_eq!(ledger(&k2, Role::Miner, mia).claimed.get(), 700);
}

/// A quorum may finalize a list whose leaves are more than its total. Then the last to come are short, but never anybody
/// outside: not who was minted for later, and not who redeems.
#[test]
fn a_list_that_does_not_add_up() {
    let (mut k2, _, [mia, max]) = pool("claim/does_not_add_up", ["mia", "max"]);
    let list = RewardList::new(
        k2.program,
        1,
        &[(Role::Miner, mia, 700), (Role::Miner, max, 300)],
    );
    let mut root = list.root([0; 32]);
    root.total = 999;
    k2.put_root_in_force(root);
    let claim = k2.claim(&list, 0);
    k2.send("mia comes first", claim).must_succeed();
    let claim = k2.claim(&list, 1);
    k2.send("max is short", claim)
        .must_fail_with(PoolError::VaultShort);
    assert_eq!(k2.config().totals.claimed.get(), 700);
    assert!(k2.is_gone(k2.ledger_key(Role::Miner, max)));
}

/// Cumulative amounts never fall in an honest list; if one does, nothing is paid and nothing taken.
#[test]
fn a_list_that_takes_something_back() {
    let (mut k2, _, [mia, max]) = pool("claim/takes_back", ["mia", "max"]);
    let list = in_force(&mut k2, 1, &[(Role::Miner, mia, 700)]);
    let claim = k2.claim(&list, 0);
    k2.send("mia claims", claim).must_succeed();
    let list = in_force(
        &mut k2,
        2,
        &[(Role::Miner, mia, 600), (Role::Miner, max, 100)],
    );
    let claim = k2.claim(&list, 0);
    k2.send("a smaller sum is no claim", claim)
        .must_fail_with(PoolError::NothingToClaim);
    assert_eq!(ledger(&k2, Role::Miner, mia).claimed.get(), 700);
    // And what mia has too much, max has too little.
    let claim = k2.claim(&list, 1);
    k2.send("max is short", claim)
        .must_fail_with(PoolError::VaultShort);
}

#[test]
fn claims_can_be_paused() {
    let (mut k2, _, [mia]) = pool("claim/paused", ["mia"]);
    let list = in_force(&mut k2, 1, &[(Role::Miner, mia, 700)]);
    let pause = k2.pause(k2.guardian, Pause::Claim as u8);
    k2.send("the guardian pauses claims", pause).must_succeed();
    let claim = k2.claim(&list, 0);
    k2.send("paused", claim.clone())
        .must_fail_with(PoolError::Paused);
    let resume = k2.resume(k2.authority, Pause::Claim as u8);
    k2.send("resumed", resume).must_succeed();
    k2.send("mia claims", claim).must_succeed();
}

/// A proof of twenty siblings in a tree of 2^20 leaves, built from its path alone: the other leaves' hashes could be
/// anything.
fn deepest(k2: &World, owner: Pubkey, round: u64, sats: u64) -> ([u8; 32], Claim, Vec<u8>) {
    use sha2::{Digest as _, Sha256};
    let index = 0b1010_0110_1001_0111_0011;
    let leaf = RewardLeaf {
        program: address(k2.program),
        round,
        index,
        role: Role::Miner,
        owner: address(owner),
        cumulative: sats,
    };
    let (mut hash, mut siblings) = (leaf.hash(), Vec::new());
    for level in 0..20_u8 {
        let sibling: [u8; 32] = Sha256::digest([level]).into();
        let pair = if index >> level & 1 == 0 {
            [hash, sibling]
        } else {
            [sibling, hash]
        };
        hash = Sha256::digest([&[1][..], &pair[0], &pair[1]].concat()).into();
        siblings.extend(sibling);
    }
    let claim = Claim {
        role: 0,
        index,
        cumulative: sats,
        destination_bump: 0,
    };
    (hash, claim, siblings)
}

#[test]
fn the_deepest_tree_and_what_it_costs() {
    let (mut k2, _, [mia]) = pool("claim/deepest", ["mia"]);
    for (round, sats, step) in [
        (1, 700, "the first claim makes the ledger"),
        (2, 800, "later ones find it"),
    ] {
        let (root, claim, siblings) = deepest(&k2, mia, round, sats);
        let mut proposed = RewardList::new(k2.program, round, &[(Role::Miner, mia, sats)])
            .root(k2.config().rewards.root);
        proposed.root = root;
        proposed.leaf_count = 1 << 20;
        k2.put_root_in_force(proposed);
        // A transaction with twenty siblings has room for one signature: who pays its fee pays the rent too.
        let payer = k2.k2.pubkey("fee payer");
        let call = k2
            .claim_with(claim, &siblings, Role::Miner, mia)
            .with("payer", payer);
        k2.send_within(CEILING, step, call).must_succeed();
    }
    assert_eq!(k2.balance(mia), 800);
    let config: Config = k2.config();
    assert_eq!(config.totals.claimed.get(), 800);
}
