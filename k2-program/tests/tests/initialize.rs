//! Initialize: everything is there afterwards, once, and only its owner could do it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use k2_interface::instruction::Initialize;
use k2_interface::state::{Custody, CustodyScripts, MintWindow, Parameters, Rewards, Totals};
use k2_interface::{AccountFault, PoolError, pda};
use k2_tests::rewards::address;
use k2_tests::{NOBODY, World, scripts};
use scenario::SOL;
use solana_program_pack::Pack as _;
use solana_pubkey::Pubkey;
use solana_sdk_ids::system_program;
use spl_token_interface::state::{Account as TokenAccount, AccountState, Mint};

#[test]
fn a_pool_is_set_up() {
    let mut k2 = World::deployed("initialize/sets_up");
    let rules = k2.rules();
    let initialize = k2.initialize(rules);
    k2.send("the upgrade authority initializes the program", initialize)
        .must_succeed();

    let config = k2.config();
    assert_eq!(config.head.bump, k2.bump(&[pda::CONFIG]));
    assert_eq!(config.network, 3);
    assert_eq!(config.paused, 0);
    assert_eq!(config.quorum, 2);
    assert_eq!(
        config.token_authority_bump,
        k2.bump(&[pda::TOKEN_AUTHORITY])
    );
    assert_eq!(config.authority, address(k2.authority));
    assert_eq!(config.pending_authority, NOBODY);
    assert_eq!(config.guardian, address(k2.guardian));
    assert_eq!(config.mint, address(k2.mint_key()));
    assert_eq!(config.vault, address(k2.vault_key()));
    assert_eq!(config.escrow, address(k2.escrow_key()));
    assert_eq!(config.token_authority, address(k2.token_authority_key()));
    assert_eq!(
        config.parameters,
        Parameters {
            deposit_confirmations: 6.into(),
            mint_horizon: 400.into(),
            mint_window_blocks: 144.into(),
            redeem_expiry_blocks: 30.into(),
            custody_grace_blocks: 10.into(),
            mint_window_cap: 100_000_000_000.into(),
            supply_cap: 2_100_000_000_000_000.into(),
            redeem_min: 10_000.into(),
            challenge_slots: 100.into(),
            custody_delay_slots: 1_000.into(),
            unbonding_slots: 2_000.into(),
            bond_lamports: (5 * SOL).into(),
        }
    );
    let none = CustodyScripts {
        coinbase: scripts::NONE,
        deposit: scripts::NONE,
    };
    assert_eq!(
        config.custody,
        Custody {
            epoch: 0.into(),
            previous_until: 0.into(),
            active: CustodyScripts {
                coinbase: scripts::coinbase(),
                deposit: scripts::deposit(),
            },
            previous: none,
            pending: none,
            pending_slot: 0.into(),
        }
    );
    assert_eq!(
        config.window,
        MintWindow {
            start_height: 0.into(),
            minted: 0.into(),
        }
    );
    assert_eq!(
        config.totals,
        Totals {
            proved_in: 0.into(),
            burned: 0.into(),
            claimed: 0.into(),
            escrowed: 0.into(),
            redemptions: 0.into(),
        }
    );
    assert_eq!(
        config.rewards,
        Rewards {
            finalized: 0.into(),
            round: 0.into(),
            total: 0.into(),
            leaf_count: 0.into(),
            root: [0; 32],
            list: [0; 32],
        }
    );

    let operators = k2.operators();
    assert_eq!(operators.head.bump, k2.bump(&[pda::OPERATORS]));
    assert_eq!(operators.count, 0);
    assert!(operators.slots.iter().all(|slot| slot.operator == NOBODY));

    let mint = Mint::unpack(&k2.k2.data(&k2.mint_key())).unwrap();
    assert_eq!(mint.decimals, 8);
    assert_eq!(mint.supply, 0);
    assert_eq!(mint.mint_authority, Some(k2.token_authority_key()).into());
    assert_eq!(mint.freeze_authority, None.into());
    for key in [k2.vault_key(), k2.escrow_key()] {
        let account = TokenAccount::unpack(&k2.k2.data(&key)).unwrap();
        assert_eq!(account.mint, k2.mint_key());
        assert_eq!(account.owner, k2.token_authority_key());
        assert_eq!(account.amount, 0);
        assert_eq!(account.state, AccountState::Initialized);
        assert_eq!(account.delegate, None.into());
        assert_eq!(account.close_authority, None.into());
    }
    assert!(k2.is_gone(k2.token_authority_key()), "it holds nothing");
}

#[test]
fn only_once() {
    let mut k2 = World::new("initialize/once");
    let config = k2.config();
    let again = k2.initialize(k2.rules());
    k2.send("the pool cannot be set up again", again)
        .must_fault("config", AccountFault::AlreadyInitialized);
    let mut other = k2.rules();
    other.authority = address(k2.upgrade_authority);
    let again = k2.initialize(other);
    k2.send("nor with other rules", again)
        .must_fault("config", AccountFault::AlreadyInitialized);
    assert_eq!(k2.config(), config);
}

/// Neodyme ND-JIT1-I1: whoever comes first to a permissionless initialization owns what others think is theirs.
#[test]
fn nobody_but_the_upgrade_authority() {
    let mut k2 = World::deployed("initialize/front_run");
    let thief = k2.somebody("thief");
    let mut rules = k2.rules();
    rules.authority = address(thief);
    let initialize = k2.initialize(rules).with("upgrade_authority", thief);
    k2.send("a thief comes first", initialize)
        .must_fail_with(PoolError::NotUpgradeAuthority);
    let initialize = k2.initialize(rules);
    k2.send(
        "the thief passes the authority without its signature",
        initialize.signed("upgrade_authority", false),
    )
    .must_fault("upgrade_authority", AccountFault::NotSigner);
    assert!(k2.is_gone(k2.config_key()));
}

#[test]
fn a_program_that_is_frozen_has_nobody_to_initialize_it() {
    let mut k2 = World::deployed_by("initialize/frozen", false);
    let initialize = k2.initialize(k2.rules());
    k2.send("the former authority tries", initialize)
        .must_fail_with(PoolError::NotUpgradeAuthority);
    assert!(k2.is_gone(k2.config_key()));
}

/// Wormhole, 2022: an account that only looked like the one to ask.
#[test]
fn program_data_is_the_loaders_own() {
    let mut k2 = World::deployed("initialize/program_data");
    let thief = k2.somebody("thief");
    let initialize = k2.initialize(k2.rules());
    let real = initialize.key("program_data");
    let mut forged = k2.k2.account(&real).unwrap();
    forged.data[13..45].copy_from_slice(thief.as_ref());

    let elsewhere = Pubkey::new_from_array([7; 32]);
    k2.k2.set_account(elsewhere, forged.clone());
    let call = initialize
        .clone()
        .with("upgrade_authority", thief)
        .with("program_data", elsewhere);
    k2.send("a copy that names the thief, at another address", call)
        .must_fault("program_data", AccountFault::WrongAddress);

    // Nobody but the loader can put anything at the real address; if somebody could, it would not be believed either.
    forged.owner = system_program::ID;
    k2.k2.set_account(real, forged);
    let call = initialize.with("upgrade_authority", thief);
    k2.send("a copy of another owner, at the real address", call)
        .must_fault("program_data", AccountFault::WrongOwner);
}

/// Anybody can send lamports to an address before there is an account; `create_account` would then fail for ever.
#[test]
fn lamports_sent_before_stop_nothing() {
    let mut k2 = World::deployed("initialize/lamports_before");
    let keys = [
        k2.config_key(),
        k2.operators_key(),
        k2.mint_key(),
        k2.vault_key(),
        k2.escrow_key(),
    ];
    // Less than the rent, exactly it, more than it.
    for (key, lamports) in keys.into_iter().zip([1, 2 * SOL, 1_461_600, 2_039_280, 7]) {
        k2.k2.fund(key, lamports);
    }
    let initialize = k2.initialize(k2.rules());
    k2.send("the pool is set up all the same", initialize)
        .must_succeed();
    assert_eq!(k2.config().authority, address(k2.authority));
    assert_eq!(k2.operators().count, 0);
    assert_eq!(k2.k2.lamports(&keys[1]), 2 * SOL);
    assert_eq!(k2.k2.lamports(&keys[0]), k2.k2.rent(682));
}

/// The bounds themselves are tested beside their code; here: that each is asked at all, and what it answers.
#[test]
fn rules_outside_their_bounds() {
    let mut k2 = World::deployed("initialize/bounds");
    let good = k2.rules();
    let bad = PoolError::BadArgument;
    let cases: [(&str, PoolError, Initialize); 20] = [
        (
            "an unknown network",
            PoolError::UnknownNetwork,
            Initialize { network: 4, ..good },
        ),
        (
            "no quorum",
            PoolError::BadQuorum,
            Initialize { quorum: 0, ..good },
        ),
        (
            "a quorum above all places",
            PoolError::BadQuorum,
            Initialize { quorum: 33, ..good },
        ),
        (
            "no authority",
            bad,
            Initialize {
                authority: NOBODY,
                ..good
            },
        ),
        (
            "no guardian",
            bad,
            Initialize {
                guardian: NOBODY,
                ..good
            },
        ),
        (
            "no confirmations",
            bad,
            Initialize {
                deposit_confirmations: 0,
                ..good
            },
        ),
        (
            "a horizon in the ring",
            bad,
            Initialize {
                mint_horizon: 216,
                ..good
            },
        ),
        (
            "no window",
            bad,
            Initialize {
                mint_window_blocks: 0,
                ..good
            },
        ),
        (
            "no time to redeem",
            bad,
            Initialize {
                redeem_expiry_blocks: 6,
                ..good
            },
        ),
        (
            "no grace",
            bad,
            Initialize {
                custody_grace_blocks: 0,
                ..good
            },
        ),
        (
            "a window without sats",
            bad,
            Initialize {
                mint_window_cap: 0,
                ..good
            },
        ),
        (
            "no supply",
            bad,
            Initialize {
                supply_cap: 0,
                ..good
            },
        ),
        (
            "more than all bitcoins",
            bad,
            Initialize {
                supply_cap: 2_100_000_000_000_001,
                ..good
            },
        ),
        (
            "redemptions of dust",
            bad,
            Initialize {
                redeem_min: 999,
                ..good
            },
        ),
        (
            "no challenge",
            bad,
            Initialize {
                challenge_slots: 0,
                ..good
            },
        ),
        (
            "custody without delay",
            bad,
            Initialize {
                custody_delay_slots: 0,
                ..good
            },
        ),
        (
            "bonds back before the challenge is over",
            bad,
            Initialize {
                unbonding_slots: 99,
                ..good
            },
        ),
        (
            "no bond",
            bad,
            Initialize {
                bond_lamports: 0,
                ..good
            },
        ),
        (
            "main with regtest's delays",
            bad,
            Initialize { network: 0, ..good },
        ),
        (
            "the same script twice",
            bad,
            Initialize {
                deposit_script: good.coinbase_script,
                ..good
            },
        ),
    ];
    for (what, error, rules) in cases {
        let initialize = k2.initialize(rules);
        k2.send(what, initialize).must_fail_with(error);
    }

    let mut op_return = good.coinbase_script;
    op_return[1] = 0x6a;
    let mut padded = scripts::p2wpkh("padded");
    padded[34] = 1;
    let mut too_long = good.coinbase_script;
    too_long[0] = 35;
    for (what, script) in [
        ("a script nobody can spend", op_return),
        ("a script with something behind it", padded),
        ("a script longer than its bytes", too_long),
    ] {
        let coinbase = k2.initialize(Initialize {
            coinbase_script: script,
            ..good
        });
        k2.send(what, coinbase).must_fail_with(PoolError::BadScript);
        let deposit = k2.initialize(Initialize {
            deposit_script: script,
            ..good
        });
        k2.send(&format!("{what}, for deposits"), deposit)
            .must_fail_with(PoolError::BadScript);
    }
    let none = k2.initialize(Initialize {
        coinbase_script: scripts::NONE,
        ..good
    });
    k2.send("no script for coinbases", none)
        .must_fail_with(PoolError::BadScript);
    assert!(k2.is_gone(k2.config_key()));

    let none = k2.initialize(Initialize {
        deposit_script: scripts::NONE,
        ..good
    });
    k2.send("no script for deposits is allowed", none)
        .must_succeed();
    assert_eq!(k2.config().custody.active.deposit, scripts::NONE);
}
