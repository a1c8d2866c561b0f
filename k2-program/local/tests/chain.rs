//! The chain's rules as a cluster has them: blockhashes, duplicates, fees, commitment, clock, programs.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{SOL, balance, blockhash, call, funded, genesis, keypair, node, send, sign, transfer};
use k2_local::{Bank, GenesisError, GenesisProgram, program_data_address};
use serde_json::json;
use solana_account::ReadableAccount;
use solana_instruction::Instruction;
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use solana_sysvar::clock::Clock;
use solana_transaction_error::TransactionError;

#[test]
fn a_transaction_moves_lamports_and_pays_its_fee() {
    let node = node();
    let alice = funded(&node, 1, 10 * SOL);
    let bob = keypair(2).pubkey();
    send(&node, &transfer(&alice, &bob, 3 * SOL, blockhash(&node))).unwrap();
    assert_eq!(balance(&node, &bob, "processed"), 3 * SOL);
    assert_eq!(
        balance(&node, &alice.pubkey(), "processed"),
        7 * SOL - 5_000
    );
}

#[test]
fn a_blockhash_older_than_150_slots_is_refused() {
    let node = node();
    let alice = funded(&node, 1, 10 * SOL);
    let to = keypair(2).pubkey();
    let old = blockhash(&node);
    node.advance(150);
    send(&node, &transfer(&alice, &to, SOL, old)).expect("it may still be used");
    node.advance(1);
    let error = send(&node, &transfer(&alice, &to, 2 * SOL, old)).unwrap_err();
    assert_eq!(error.code, -32002);
    assert_eq!(
        error.message,
        "Transaction simulation failed: Blockhash not found"
    );
    assert_eq!(error.data.unwrap()["err"], json!("BlockhashNotFound"));
    // Without preflight a cluster answers with the signature and drops it.
    let params = json!([
        common::wire(&transfer(&alice, &to, 2 * SOL, old)),
        { "encoding": "base64", "skipPreflight": true },
    ]);
    call(&node, "sendTransaction", params);
    assert_eq!(balance(&node, &to, "processed"), SOL);
}

#[test]
fn a_transaction_counts_once_for_as_long_as_it_could_be_replayed() {
    let node = node();
    let alice = funded(&node, 1, 10 * SOL);
    let to = keypair(2).pubkey();
    let transaction = transfer(&alice, &to, SOL, blockhash(&node));
    send(&node, &transaction).unwrap();
    for _ in 0..=150 {
        let error = send(&node, &transaction).unwrap_err();
        assert_eq!(error.data.unwrap()["err"], json!("AlreadyProcessed"));
        node.advance(1);
    }
    let error = send(&node, &transaction).unwrap_err();
    assert_eq!(error.data.unwrap()["err"], json!("BlockhashNotFound"));
    assert_eq!(balance(&node, &to, "processed"), SOL);
}

#[test]
fn a_signature_over_something_else_is_refused() {
    let node = node();
    let alice = funded(&node, 1, 10 * SOL);
    let mut transaction = transfer(&alice, &keypair(2).pubkey(), SOL, blockhash(&node));
    transaction.signatures[0] = alice.sign_message(b"something else");
    let error = send(&node, &transaction).unwrap_err();
    assert_eq!(
        (error.code, error.message.as_str()),
        (-32003, "Transaction signature verification failure")
    );
    let sanitized = node.bank().sanitize(transaction).unwrap();
    let error = node.bank().process(&sanitized).unwrap_err();
    assert_eq!(error, TransactionError::SignatureFailure);
    assert_eq!(balance(&node, &alice.pubkey(), "processed"), 10 * SOL);
}

#[test]
fn a_transaction_that_fails_while_it_runs_pays_and_is_in_the_ledger() {
    let node = node();
    let alice = funded(&node, 1, 2 * SOL);
    let transaction = transfer(&alice, &keypair(2).pubkey(), 5 * SOL, blockhash(&node));
    let error = send(&node, &transaction).unwrap_err();
    assert_eq!(
        error.data.as_ref().unwrap()["err"],
        json!({ "InstructionError": [0, { "Custom": 1 }] })
    );
    assert!(error.data.unwrap()["logs"].as_array().unwrap().len() > 1);
    assert_eq!(
        balance(&node, &alice.pubkey(), "processed"),
        2 * SOL,
        "preflight costs nothing"
    );

    let params =
        json!([common::wire(&transaction), { "encoding": "base64", "skipPreflight": true }]);
    let signature = call(&node, "sendTransaction", params);
    assert_eq!(
        balance(&node, &alice.pubkey(), "processed"),
        2 * SOL - 5_000
    );
    let status = call(&node, "getSignatureStatuses", json!([[signature]]));
    assert_eq!(
        status["value"][0]["err"],
        json!({ "InstructionError": [0, { "Custom": 1 }] })
    );
}

#[test]
fn who_has_nothing_cannot_pay_and_leaves_no_trace() {
    let node = node();
    let transaction = transfer(&keypair(1), &keypair(2).pubkey(), SOL, blockhash(&node));
    let params =
        json!([common::wire(&transaction), { "encoding": "base64", "skipPreflight": true }]);
    let signature = call(&node, "sendTransaction", params);
    let status = call(&node, "getSignatureStatuses", json!([[signature]]));
    assert_eq!(status["value"], json!([null]));
    assert_eq!(node.bank().transaction_count(), 0);
}

#[test]
fn each_commitment_sees_the_state_of_its_slot() {
    let node = node();
    node.advance(40);
    let alice = funded(&node, 1, 10 * SOL).pubkey();
    let seen = |node: &_| {
        ["processed", "confirmed", "finalized"].map(|level| balance(node, &alice, level))
    };
    assert_eq!(seen(&node), [10 * SOL, 0, 0]);
    node.advance(1);
    assert_eq!(seen(&node), [10 * SOL, 10 * SOL, 0]);
    node.bank().airdrop(alice, SOL).unwrap();
    assert_eq!(seen(&node), [11 * SOL, 10 * SOL, 0]);
    node.advance(30);
    assert_eq!(seen(&node), [11 * SOL, 11 * SOL, 0]);
    node.advance(1);
    assert_eq!(seen(&node), [11 * SOL, 11 * SOL, 10 * SOL]);
    node.advance(1);
    assert_eq!(seen(&node), [11 * SOL, 11 * SOL, 11 * SOL]);
}

#[test]
fn the_clock_of_programs_and_of_blocks_moves_with_the_slots() {
    let node = node();
    node.advance(1_000);
    let bank = node.bank();
    assert_eq!(bank.slot(), 1_001);
    assert_eq!(bank.time_of(bank.slot()), common::GENESIS_TIME + 400);
    let account = bank
        .account(&solana_sdk_ids::sysvar::clock::ID, bank.slot())
        .unwrap();
    let clock: Clock = bincode::deserialize(account.data()).unwrap();
    assert_eq!(
        (clock.slot, clock.unix_timestamp),
        (1_001, common::GENESIS_TIME + 400)
    );
    // SlotHashes: a length, then slots with their hashes, the newest first; the slot itself has none yet.
    let hashes = bank
        .account(&solana_sdk_ids::sysvar::slot_hashes::ID, bank.slot())
        .unwrap();
    assert_eq!(
        hashes.data()[..16],
        [511_u64.to_le_bytes(), 1_000_u64.to_le_bytes()].concat()
    );
}

#[test]
fn one_genesis_and_the_same_transactions_make_the_same_chain() {
    let chains = [node(), node()];
    for node in &chains {
        let alice = funded(node, 1, 10 * SOL);
        node.advance(5);
        send(
            node,
            &transfer(&alice, &keypair(2).pubkey(), SOL, blockhash(node)),
        )
        .unwrap();
        node.advance(5);
    }
    let [one, other] = &chains;
    assert_eq!(blockhash(one), blockhash(other));
    assert_eq!(one.bank().genesis_hash(), other.bank().genesis_hash());
    let all = |node: &k2_local::Node| {
        let bank = node.bank();
        let accounts = bank.accounts_where(bank.slot(), |_| true);
        accounts
            .into_iter()
            .map(|(key, account)| (key, account.clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(all(one), all(other));
    let mut later = genesis();
    later.unix_time += 1;
    assert_ne!(
        Bank::new(&later).unwrap().genesis_hash(),
        one.bank().genesis_hash()
    );
}

#[test]
fn equal_airdrops_of_one_slot_are_two() {
    let node = node();
    let key = keypair(1).pubkey();
    let signatures = [0, 1].map(|_| node.bank().airdrop(key, SOL).unwrap());
    assert_ne!(signatures[0], signatures[1]);
    assert_eq!(balance(&node, &key, "processed"), 2 * SOL);
}

#[test]
fn the_faucet_is_not_bottomless() {
    let mut genesis = genesis();
    genesis.faucet_lamports = 5 * SOL;
    let mut bank = Bank::new(&genesis).unwrap();
    let key = keypair(1).pubkey();
    bank.airdrop(key, 4 * SOL).unwrap();
    assert!(bank.airdrop(key, 4 * SOL).is_err());
    assert_eq!(bank.account(&key, bank.slot()).unwrap().lamports(), 4 * SOL);
}

#[test]
fn genesis_programs_belong_to_the_upgradeable_loader_and_name_their_authority() {
    // Any valid shared object will do: the token program's own, taken from a chain.
    let elf = {
        let bank = node()
            .bank()
            .account(&spl_token_interface::ID, 1)
            .unwrap()
            .clone();
        bank.data().to_vec()
    };
    let (id, authority) = (
        Pubkey::new_from_array([9; 32]),
        Pubkey::new_from_array([8; 32]),
    );
    let mut genesis = genesis();
    genesis.programs.push(GenesisProgram {
        id,
        elf: elf.clone(),
        upgrade_authority: Some(authority),
    });
    let bank = Bank::new(&genesis).unwrap();
    let loader = solana_sdk_ids::bpf_loader_upgradeable::ID;
    let program = bank.account(&id, 1).unwrap();
    assert!(program.executable());
    assert_eq!(*program.owner(), loader);
    let address = program_data_address(&id);
    assert_eq!(
        program.data(),
        [&2_u32.to_le_bytes(), address.as_ref()].concat()
    );
    let data = bank.account(&address, 1).unwrap();
    assert!(!data.executable());
    assert_eq!(*data.owner(), loader);
    // State 3 (ProgramData), slot 0, Some(authority), then the code.
    let head = [
        &3_u32.to_le_bytes()[..],
        &0_u64.to_le_bytes(),
        &[1],
        authority.as_ref(),
    ]
    .concat();
    assert_eq!(data.data()[..45], head);
    assert_eq!(data.data()[45..], elf);
}

#[test]
fn what_is_no_program_is_refused_at_genesis() {
    let mut genesis = genesis();
    let id = Pubkey::new_from_array([9; 32]);
    genesis.programs.push(GenesisProgram {
        id,
        elf: b"\x7fELF and no more".to_vec(),
        upgrade_authority: None,
    });
    assert!(
        matches!(Bank::new(&genesis), Err(GenesisError::Program { id: refused, .. }) if refused == id)
    );
    genesis.programs.clear();
    genesis.slot_millis = 0;
    assert!(matches!(
        Bank::new(&genesis),
        Err(GenesisError::NoSlotLength)
    ));
}

#[test]
fn the_token_program_is_the_classic_one() {
    let node = node();
    let bank = node.bank();
    let token = bank.account(&spl_token_interface::ID, bank.slot()).unwrap();
    assert_eq!(*token.owner(), solana_sdk_ids::bpf_loader::ID);
    let associated = bank.account(
        &spl_associated_token_account_interface::program::ID,
        bank.slot(),
    );
    assert!(associated.unwrap().executable());
    // K2's Rent sysvar: 3,480 lamports a byte and year, exempt from two years on.
    let rent = bank
        .account(&solana_sdk_ids::sysvar::rent::ID, bank.slot())
        .unwrap();
    let expected = [&3_480_u64.to_le_bytes()[..], &2.0_f64.to_le_bytes(), &[50]].concat();
    assert_eq!(rent.data(), expected);
    assert_eq!(bank.minimum_balance_for_rent_exemption(165), 2_039_280);
}

#[test]
fn a_program_not_there_is_named_so() {
    let node = node();
    let alice = funded(&node, 1, SOL);
    let missing = Pubkey::new_from_array([3; 32]);
    let call = Instruction {
        program_id: missing,
        accounts: vec![],
        data: vec![],
    };
    let error = send(&node, &sign(&[call], &[&alice], blockhash(&node))).unwrap_err();
    assert_eq!(error.code, -32002);
    assert_eq!(
        balance(&node, &alice.pubkey(), "processed"),
        SOL,
        "it never ran, so it costs nothing"
    );
}
