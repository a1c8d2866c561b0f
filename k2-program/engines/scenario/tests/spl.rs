//! Stories with nothing but the programs every engine brings. Recorded, they are what shows that the engines themselves
//! agree, whatever a program of ours does.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use scenario::{
    Recorder, SOL,
    format::{Expect, InstructionError},
};
use solana_account::Account;
use solana_instruction::{AccountMeta, Instruction};
use solana_program_pack::Pack;
use solana_pubkey::Pubkey;
use solana_system_interface::instruction as system;
use spl_associated_token_account_interface::{
    address::get_associated_token_address, instruction::create_associated_token_account,
};
use spl_token_interface::{
    error::TokenError,
    instruction as token,
    state::{Account as TokenAccount, Mint},
};

const TOKEN: Pubkey = spl_token_interface::ID;

#[test]
fn a_token_from_its_mint_to_its_end() {
    let mut k2 = Recorder::new("spl/token");
    let [alice, bob, mint] = ["alice", "bob", "mint"].map(|name| k2.pubkey(name));
    k2.fund(alice, 10 * SOL);
    let rent = k2.rent(Mint::LEN);
    let (from, to) = (
        get_associated_token_address(&alice, &mint),
        get_associated_token_address(&bob, &mint),
    );

    k2.step("alice makes a mint")
        .instruction(system::create_account(
            &alice,
            &mint,
            rent,
            Mint::LEN as u64,
            &TOKEN,
        ))
        .instruction(token::initialize_mint2(&TOKEN, &mint, &alice, None, 8).unwrap())
        .ceiling(5_000)
        .send()
        .must_succeed();
    k2.step("alice pays for both token accounts")
        .instruction(create_associated_token_account(
            &alice, &alice, &mint, &TOKEN,
        ))
        .instruction(create_associated_token_account(&alice, &bob, &mint, &TOKEN))
        .ceiling(80_000)
        .send()
        .must_succeed();
    k2.step("alice mints")
        .instruction(token::mint_to(&TOKEN, &mint, &from, &alice, &[], 1_000).unwrap())
        .ceiling(5_000)
        .send()
        .must_succeed();
    k2.send(
        "bob may not mint",
        token::mint_to(&TOKEN, &mint, &to, &bob, &[], 1).unwrap(),
    )
    .must_fail_with(TokenError::OwnerMismatch as u32);
    k2.send(
        "alice pays bob",
        token::transfer(&TOKEN, &from, &to, &alice, &[], 400).unwrap(),
    )
    .must_succeed();
    // The same transaction once more: only the compute unit price tells them apart.
    k2.send(
        "alice pays bob again",
        token::transfer(&TOKEN, &from, &to, &alice, &[], 400).unwrap(),
    )
    .must_succeed();
    k2.send(
        "alice has 200 left",
        token::transfer(&TOKEN, &from, &to, &alice, &[], 201).unwrap(),
    )
    .must_fail_with(TokenError::InsufficientFunds as u32);
    assert_eq!(
        (
            k2.token_balance(&from),
            k2.token_balance(&to),
            k2.mint_supply(&mint)
        ),
        (200, 800, 1_000)
    );

    k2.step("bob burns all he has and closes his account")
        .instruction(token::burn(&TOKEN, &to, &mint, &bob, &[], 800).unwrap())
        .instruction(token::close_account(&TOKEN, &to, &bob, &bob, &[]).unwrap())
        .ceiling(10_000)
        .send()
        .must_succeed();
    assert!(k2.account(&to).is_none());
    assert_eq!(
        (k2.mint_supply(&mint), k2.lamports(&bob)),
        (200, k2.rent(TokenAccount::LEN))
    );
}

#[test]
fn a_transaction_is_all_or_nothing() {
    let mut k2 = Recorder::new("spl/all-or-nothing");
    let [alice, bob] = ["alice", "bob"].map(|name| k2.pubkey(name));
    k2.fund(alice, 2 * SOL);
    k2.step("the second transfer is too large")
        .instruction(system::transfer(&alice, &bob, SOL))
        .instruction(system::transfer(&alice, &bob, SOL + 1))
        .send()
        .must_end(&Expect::Instruction {
            index: 1,
            error: InstructionError::Custom(1),
        });
    assert_eq!((k2.lamports(&alice), k2.lamports(&bob)), (2 * SOL, 0));
    k2.send(
        "an account with less than its rent",
        system::transfer(&alice, &bob, 1),
    )
    .must_end(&Expect::Transaction("InsufficientFundsForRent".to_owned()));

    let mut unsigned = system::transfer(&alice, &bob, SOL);
    unsigned.accounts[0].is_signer = false;
    k2.send("nobody signs for alice", unsigned)
        .must_fail_as("MissingRequiredSignature");
}

#[test]
fn accounts_can_be_put_in_place() {
    let mut k2 = Recorder::new("spl/prepared");
    let [alice, bob] = ["alice", "bob"].map(|name| k2.pubkey(name));
    let [mint, from, to] = [1, 2, 3].map(|byte| Pubkey::new_from_array([byte; 32]));
    k2.fund(alice, SOL);
    k2.set_mint(mint, alice, 500, 8);
    k2.set_token_account(from, mint, alice, 500);
    k2.set_token_account(to, mint, bob, 0);
    let transfer = |amount| token::transfer(&TOKEN, &from, &to, &alice, &[], amount).unwrap();
    k2.send("alice pays bob", transfer(100)).must_succeed();
    let right = k2.account(&to).unwrap();
    k2.set_account(
        to,
        Account {
            owner: alice,
            ..right.clone()
        },
    );
    k2.send("bob's account belongs to another program", transfer(100))
        .must_fail_as("ExternalAccountDataModified");
    k2.set_account(to, right);
    k2.send("it is what it was", transfer(100)).must_succeed();
    assert_eq!(k2.token_balance(&to), 200);

    let steps = &k2.scenario().steps;
    assert_eq!(
        (steps[1].accounts.len(), steps[1].accounts_after.len()),
        (1, 0)
    );
    assert_eq!(
        (steps[2].accounts.len(), steps[2].accounts_after.len()),
        (1, 2)
    );
}

/// An address lookup table remembers the slot in which it was deactivated, and who builds one needs no program of ours.
#[test]
fn the_clock_can_be_set() {
    let mut k2 = Recorder::new("spl/clock");
    let alice = k2.pubkey("alice");
    k2.fund(alice, SOL);
    let tables = [1, 2].map(|byte| Pubkey::new_from_array([byte; 32]));
    let lookup_table = solana_sdk_ids::address_lookup_table::ID;
    for table in tables {
        let account = Account {
            lamports: SOL,
            data: table_state(u64::MAX, &alice),
            owner: lookup_table,
            ..Account::default()
        };
        k2.set_account(table, account);
    }
    let deactivate = |table| {
        let accounts = vec![
            AccountMeta::new(table, false),
            AccountMeta::new_readonly(alice, true),
        ];
        Instruction {
            program_id: lookup_table,
            accounts,
            data: 3u32.to_le_bytes().to_vec(),
        }
    };

    k2.set_clock(1_000, 1_750_000_000);
    k2.send("alice deactivates a table", deactivate(tables[0]))
        .must_succeed();
    k2.advance(77, 31);
    k2.send(
        "alice deactivates the other one later",
        deactivate(tables[1]),
    )
    .must_succeed();
    assert_eq!(k2.data(&tables[0]), table_state(1_000, &alice));
    assert_eq!(k2.data(&tables[1]), table_state(1_077, &alice));
    assert_eq!(
        (k2.clock().slot, k2.clock().unix_timestamp),
        (1_077, 1_750_000_031)
    );

    let scenario = k2.scenario();
    assert_eq!(scenario.clock.slot, 1_000);
    assert_eq!(
        scenario
            .steps
            .iter()
            .map(|step| step.clock.map(|clock| clock.slot))
            .collect::<Vec<_>>(),
        [None, Some(1_077)]
    );
}

/// `ProgramState::LookupTable`: tag, deactivation slot, last extended slot and index, authority, padding.
fn table_state(deactivation_slot: u64, authority: &Pubkey) -> Vec<u8> {
    [
        &1u32.to_le_bytes()[..],
        &deactivation_slot.to_le_bytes(),
        &[0; 9],
        &[1],
        authority.as_ref(),
        &[0; 2],
    ]
    .concat()
}
