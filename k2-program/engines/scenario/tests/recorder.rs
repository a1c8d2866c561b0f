//! What the recorder refuses, and what it writes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use proptest::prelude::*;
use scenario::{
    Recorder, SOL,
    format::{
        Account, Address, Bytes32, Clock, Expect, InstructionError, Scenario, State, compare,
    },
};
use solana_instruction::Instruction;
use solana_pubkey::Pubkey;
use solana_system_interface::instruction as system;

#[test]
fn a_scenario_is_read_as_it_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let mut k2 = Recorder::new("recorder/written");
    let [alice, bob] = ["alice", "bob"].map(|name| k2.pubkey(name));
    k2.fund(alice, 2 * SOL);
    k2.step("alice pays bob")
        .instruction(system::transfer(&alice, &bob, SOL))
        .ceiling(300)
        .send()
        .must_succeed();
    k2.send("and cannot again", system::transfer(&alice, &bob, 2 * SOL))
        .must_fail_with(1);

    let file = scenario::write(k2.scenario(), folder.path());
    assert_eq!(file, folder.path().join("recorder/written.json"));
    let read: Scenario = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    assert_eq!(&read, k2.scenario());
    let [first, second] = &read.steps[..] else {
        panic!("two steps")
    };
    assert_eq!(
        (first.signers.as_slice(), first.compute_limit),
        (["alice".to_owned()].as_slice(), 200_000)
    );
    assert_eq!(
        (&first.expect, first.ceiling, first.accounts_after.len()),
        (&Expect::Ok, Some(300), 2)
    );
    assert_eq!(
        second.expect,
        Expect::Instruction {
            index: 0,
            error: InstructionError::Custom(1)
        }
    );
    assert!(second.accounts_after.is_empty());
}

#[test]
fn a_story_may_stay_untold() {
    let mut k2 = Recorder::new("recorder/untold");
    let [alice, bob] = ["alice", "bob"].map(|name| k2.pubkey(name));
    assert!(!k2.is_recorded(), "nothing has happened");
    k2.fund(alice, 2 * SOL);
    k2.send("alice pays bob", system::transfer(&alice, &bob, SOL))
        .must_succeed();
    assert!(k2.is_recorded());
    k2.only_here("it is nobody's business");
    assert!(!k2.is_recorded());
}

#[test]
fn unknown_fields_are_refused() {
    let clock = r#"{"slot": 1, "unix_timestamp": 2}"#;
    assert_eq!(
        serde_json::from_str::<Clock>(clock).unwrap(),
        Clock {
            slot: 1,
            unix_timestamp: 2
        }
    );
    let more = r#"{"slot": 1, "unix_timestamp": 2, "epoch": 3}"#;
    assert!(
        serde_json::from_str::<Clock>(more)
            .unwrap_err()
            .to_string()
            .contains("epoch")
    );
}

#[test]
fn everybody_is_the_same_in_every_scenario() {
    let (mut one, mut two) = (
        Recorder::new("recorder/one"),
        Recorder::new("recorder/other"),
    );
    assert_eq!(one.pubkey("alice"), two.pubkey("alice"));
    assert_ne!(one.pubkey("alice"), one.pubkey("bob"));
}

#[test]
#[should_panic(expected = "two scenarios are called `recorder/twice`")]
fn two_tests_cannot_write_the_same_file() {
    let _first = Recorder::new("recorder/twice");
    let _second = Recorder::new("recorder/twice");
}

#[test]
#[should_panic(expected = "is no name for a scenario")]
fn a_scenario_stays_in_its_folder() {
    let _outside = Recorder::new("../elsewhere");
}

#[test]
#[should_panic(expected = "must sign and is nobody's")]
fn a_stranger_cannot_sign() {
    let mut k2 = Recorder::new("recorder/stranger");
    let stranger = Pubkey::new_from_array([7; 32]);
    let _ = k2.send("a stranger pays", system::transfer(&stranger, &stranger, 1));
}

#[test]
#[should_panic(expected = "and a packet holds 1232")]
fn a_transaction_fits_into_a_packet() {
    let mut k2 = Recorder::new("recorder/packet");
    let program = Pubkey::new_from_array([7; 32]);
    let _ = k2.send(
        "too much",
        Instruction {
            program_id: program,
            accounts: Vec::new(),
            data: vec![0; 1_100],
        },
    );
}

#[test]
#[should_panic(expected = "want ok, got instruction 0: custom 1\n")]
fn a_step_that_ends_otherwise_fails_the_test() {
    let mut k2 = Recorder::new("recorder/otherwise");
    let [alice, bob] = ["alice", "bob"].map(|name| k2.pubkey(name));
    k2.fund(alice, SOL);
    k2.send("alice has less", system::transfer(&alice, &bob, 2 * SOL))
        .must_succeed();
}

#[test]
#[should_panic(expected = "slot 9 is before slot 10")]
fn time_goes_on() {
    let mut k2 = Recorder::new("recorder/time");
    k2.set_clock(10, 5);
    k2.set_clock(9, 6);
}

fn states() -> impl Strategy<Value = State> {
    (
        1u64..,
        any::<[u8; 32]>(),
        any::<bool>(),
        prop::collection::vec(any::<u8>(), 0..100),
    )
        .prop_map(|(lamports, owner, executable, data)| State {
            lamports,
            owner: Address(owner),
            executable,
            data,
        })
}

proptest! {
    #[test]
    fn states_are_read_as_they_were_written(address: [u8; 32], state in prop::option::of(states())) {
        let account = Account { address: Address(address), state };
        let json = serde_json::to_string(&account).unwrap();
        prop_assert_eq!(serde_json::from_str::<Account>(&json).unwrap(), account);
    }

    #[test]
    fn only_equal_states_compare_as_equal(one in states(), other in states(), at: prop::sample::Index, bit in 0u32..8) {
        prop_assert_eq!(compare(Some(&one), Some(&one)), Ok(()));
        prop_assert_eq!(compare(Some(&one), Some(&other)).is_ok(), one == other);
        prop_assert!(compare(Some(&one), None).is_err() && compare(None, Some(&one)).is_err());
        let mut flipped = one.clone();
        if !flipped.data.is_empty() {
            let at = at.index(flipped.data.len());
            flipped.data[at] ^= 1 << bit;
            let difference = compare(Some(&one), Some(&flipped)).unwrap_err();
            prop_assert!(difference.contains(&format!("from byte {at}:")), "{}", difference);
        }
    }

    #[test]
    fn addresses_are_read_as_they_were_written(bytes: [u8; 32]) {
        prop_assert_eq!(Address(bytes).to_string().parse::<Address>(), Ok(Address(bytes)));
        let hex = serde_json::to_string(&Bytes32(bytes)).unwrap();
        prop_assert_eq!(serde_json::from_str::<Bytes32>(&hex).unwrap(), Bytes32(bytes));
    }

    #[test]
    fn no_text_makes_an_address_panic(text: String) {
        if let Ok(address) = text.parse::<Address>() {
            prop_assert_eq!(address.to_string(), text);
        }
    }
}
