//! Recordings with one thing altered. Every replayer must find fault with each of them, in each of its modes: a replayer that
//! compares nothing would call everything equal. (Solana 1.14 built with a newer compiler does just that: its JIT reports
//! success without having run anything.)

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use scenario::{
    Recorder, SCENARIOS_ENV, SOL,
    format::{Expect, InstructionError, MUST_DIFFER, Scenario},
};
use solana_account::Account;
use solana_instruction::{AccountMeta, Instruction};
use solana_pubkey::Pubkey;
use solana_sdk_ids::address_lookup_table;
use spl_token_interface::instruction as token;
use std::path::Path;

/// Alice pays Bob in tokens, cannot pay more than she has, and then does something that depends on the time.
fn recording() -> Scenario {
    let mut k2 = Recorder::new("altered/original");
    let [alice, bob] = ["alice", "bob"].map(|name| k2.pubkey(name));
    let [mint, from, to, table] = [1, 2, 3, 4].map(|byte| Pubkey::new_from_array([byte; 32]));
    k2.fund(alice, SOL);
    k2.set_mint(mint, alice, 500, 8);
    k2.set_token_account(from, mint, alice, 500);
    k2.set_token_account(to, mint, bob, 0);
    let pay = |amount| {
        token::transfer(&spl_token_interface::ID, &from, &to, &alice, &[], amount).unwrap()
    };
    k2.step("alice pays bob")
        .instruction(pay(100))
        .ceiling(5_000)
        .send()
        .must_succeed();
    k2.send("she has no more than 400", pay(401))
        .must_fail_with(1);

    k2.advance(10, 4);
    let data = [
        &1u32.to_le_bytes()[..],
        &[0xff; 8],
        &[0; 9],
        &[1],
        alice.as_ref(),
        &[0; 2],
    ]
    .concat();
    k2.set_account(
        table,
        Account {
            lamports: SOL,
            data,
            owner: address_lookup_table::ID,
            ..Account::default()
        },
    );
    let accounts = vec![
        AccountMeta::new(table, false),
        AccountMeta::new_readonly(alice, true),
    ];
    let data = 3u32.to_le_bytes().to_vec();
    k2.send(
        "alice deactivates a lookup table",
        Instruction {
            program_id: address_lookup_table::ID,
            accounts,
            data,
        },
    )
    .must_succeed();
    k2.scenario().clone()
}

#[test]
fn each_alteration_is_written_for_the_replayers() {
    type Alter = fn(&mut Scenario);
    let alterations: [(&str, Alter); 10] = [
        ("failure instead of success", |it| {
            it.steps[0].expect = Expect::Transaction("AccountInUse".to_owned())
        }),
        ("success instead of failure", |it| {
            it.steps[1].expect = Expect::Ok
        }),
        ("another error number", |it| {
            it.steps[1].expect = Expect::Instruction {
                index: 0,
                error: InstructionError::Custom(2),
            };
        }),
        ("another instruction failed", |it| {
            it.steps[1].expect = Expect::Instruction {
                index: 1,
                error: InstructionError::Custom(1),
            };
        }),
        ("one lamport more", |it| {
            it.steps[0].accounts_after[0]
                .state
                .as_mut()
                .unwrap()
                .lamports += 1
        }),
        ("one bit of data", |it| {
            it.steps[0].accounts_after[1].state.as_mut().unwrap().data[164] ^= 1
        }),
        ("a closed account", |it| {
            it.steps[0].accounts_after[0].state = None
        }),
        ("a change that is not recorded", |it| {
            it.steps[0].accounts_after.clear()
        }),
        ("another time", |it| {
            it.steps[2].clock.as_mut().unwrap().slot += 1
        }),
        ("a ceiling below the cost", |it| {
            it.steps[0].ceiling = Some(4_000)
        }),
    ];
    let original = recording();
    for (name, alter) in alterations {
        let mut altered = original.clone();
        alter(&mut altered);
        assert_ne!(altered, original, "{name}");
        altered.name = format!("{MUST_DIFFER}{name}");
        if let Some(folder) = std::env::var_os(SCENARIOS_ENV) {
            scenario::write(&altered, Path::new(&folder));
        }
    }
}
