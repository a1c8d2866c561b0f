//! A program is deployed and upgraded by transactions, as `solana program deploy` does it, and then runs.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{SOL, blockhash, call, funded, keypair, node, send, sign};
use k2_local::{Node, program_data_address};
use serde_json::json;
use solana_account::ReadableAccount;
use solana_instruction::Instruction;
use solana_keypair::Keypair;
use solana_loader_v3_interface::{
    instruction::{close_any, create_buffer, deploy_with_max_program_len, upgrade, write},
    state::UpgradeableLoaderState,
};
use solana_signer::Signer;
use solana_transaction_error::TransactionError;

/// Writes `elf` into a new buffer account, packet by packet.
fn fill_buffer(node: &Node, payer: &Keypair, buffer: &Keypair, elf: &[u8]) {
    let (authority, key) = (payer.pubkey(), buffer.pubkey());
    let len = UpgradeableLoaderState::size_of_buffer(elf.len());
    let rent = node.bank().minimum_balance_for_rent_exemption(len);
    let create = create_buffer(&authority, &key, &authority, rent, elf.len()).unwrap();
    send(node, &sign(&create, &[payer, buffer], blockhash(node))).unwrap();
    for (n, chunk) in elf.chunks(1_000).enumerate() {
        let offset = u32::try_from(n * 1_000).unwrap();
        let write = write(&key, &authority, offset, chunk.to_vec());
        send(node, &sign(&[write], &[payer], blockhash(node))).unwrap();
    }
}

/// Calls the program with nothing: the token program refuses that by its own error 12.
fn runs(node: &Node, payer: &Keypair, program: &Keypair) {
    let empty = Instruction {
        program_id: program.pubkey(),
        accounts: vec![],
        data: vec![],
    };
    let error = send(node, &sign(&[empty], &[payer], blockhash(node))).unwrap_err();
    let data = error.data.unwrap();
    assert_eq!(
        data["err"],
        json!({ "InstructionError": [0, { "Custom": 12 }] }),
        "{data}"
    );
    let logs = data["logs"].to_string();
    assert!(
        logs.contains(&format!("Program {} consumed", program.pubkey())),
        "{logs}"
    );
}

/// Deploys `elf` as `program`, which `payer` may then upgrade.
fn deploy(node: &Node, payer: &Keypair, program: &Keypair, elf: &[u8]) {
    let (authority, id, buffer) = (payer.pubkey(), program.pubkey(), keypair(3));
    fill_buffer(node, payer, &buffer, elf);
    let len = UpgradeableLoaderState::size_of_program();
    let rent = node.bank().minimum_balance_for_rent_exemption(len);
    let key = buffer.pubkey();
    let deploy =
        deploy_with_max_program_len(&authority, &id, &key, &authority, rent, elf.len(), true);
    send(
        node,
        &sign(&deploy.unwrap(), &[payer, program], blockhash(node)),
    )
    .unwrap();
    node.advance(1);
}

#[test]
fn deploy_run_and_upgrade() {
    let node = node();
    let payer = funded(&node, 1, 100 * SOL);
    let (program, second) = (keypair(2), keypair(4));
    let (authority, id) = (payer.pubkey(), program.pubkey());
    // A program that is at hand on every chain.
    let elf = node
        .bank()
        .account(&spl_token_interface::ID, 1)
        .unwrap()
        .data()
        .to_vec();

    deploy(&node, &payer, &program, &elf);
    runs(&node, &payer, &program);
    let data = program_data_address(&id);
    let shown = json!([data.to_string(), { "encoding": "jsonParsed", "commitment": "processed" }]);
    let shown = call(&node, "getAccountInfo", shown)["value"]["data"]["parsed"]["info"].clone();
    assert_eq!(shown["authority"], authority.to_string());

    fill_buffer(&node, &payer, &second, &elf);
    let upgrade = upgrade(&id, &second.pubkey(), &authority, &authority, true);
    // Only its authority may.
    let thief = funded(&node, 5, SOL);
    let mut stolen = upgrade.clone();
    for account in &mut stolen.accounts {
        if account.is_signer {
            account.pubkey = thief.pubkey();
        }
    }
    send(&node, &sign(&[stolen], &[&thief], blockhash(&node))).unwrap_err();
    send(&node, &sign(&[upgrade], &[&payer], blockhash(&node))).unwrap();
    node.advance(1);
    runs(&node, &payer, &program);
    let slot = node.bank().slot() - 1;
    let account = node.bank().account(&data, slot).unwrap().data()[4..12].to_vec();
    assert_eq!(account, slot.to_le_bytes(), "the slot of the upgrade");
}

/// A closed program whose ProgramData account is given lamports in the same transaction cannot be loaded any more, and the
/// engine panics over it after some of the accounts are written. Nothing of that may stay.
#[test]
fn what_the_engine_panics_over_is_undone() {
    let node = node();
    let payer = funded(&node, 1, 100 * SOL);
    let elf = node
        .bank()
        .account(&spl_token_interface::ID, 1)
        .unwrap()
        .data()
        .to_vec();
    // The engine writes a transaction's accounts in their order, and it has to come to the data first.
    let program = (10..)
        .map(keypair)
        .find(|key| program_data_address(&key.pubkey()) < key.pubkey());
    let program = program.unwrap();
    deploy(&node, &payer, &program, &elf);
    let (id, authority) = (program.pubkey(), payer.pubkey());
    let data = program_data_address(&id);
    let state = |node: &Node| {
        let bank = node.bank();
        let accounts = bank.accounts_where(bank.slot(), |_| true);
        accounts
            .into_iter()
            .map(|(key, account)| (key, account.clone()))
            .collect::<Vec<_>>()
    };
    let before = state(&node);
    let end = [
        close_any(&data, &authority, Some(&authority), Some(&id), false),
        solana_system_interface::instruction::transfer(&authority, &data, SOL),
    ];
    let transaction = sign(&end, &[&payer], blockhash(&node));
    let sanitized = node.bank().sanitize(transaction).unwrap();
    let result = node.bank().process(&sanitized);
    // What the bank answers for a panic; a refusal by the loader would be another error.
    assert_eq!(result, Err(TransactionError::SanitizeFailure));
    assert_eq!(state(&node), before);
    runs(&node, &payer, &program);
}
