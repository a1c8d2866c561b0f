//! The real Rust client over real sockets, with slots that pass by themselves.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::{net::TcpListener, time::Duration};

use common::{SOL, genesis, keypair, sign};
use k2_local::{Advance, LocalK2, LocalK2Options, StartError};
use solana_commitment_config::CommitmentConfig;
use solana_keypair::Keypair;
use solana_program_pack::Pack;
use solana_pubkey::Pubkey;
use solana_rpc_client::nonblocking::rpc_client::RpcClient;
use solana_rpc_client_types::{
    config::{
        RpcAccountInfoConfig, RpcProgramAccountsConfig, RpcTransactionConfig, UiAccountEncoding,
    },
    filter::{Memcmp, RpcFilterType},
    request::TokenAccountsFilter,
};
use solana_signer::Signer;
use solana_transaction::versioned::VersionedTransaction;
use solana_transaction_status::UiTransactionEncoding;
use spl_associated_token_account_interface::{
    address::get_associated_token_address, instruction::create_associated_token_account,
};
use spl_token_interface::{
    instruction::{initialize_mint2, mint_to, transfer_checked},
    state::Mint,
};

/// A local K2 on a free pair of ports, with slots short enough for tests to wait for.
async fn start(slot_millis: u64) -> (LocalK2, RpcClient) {
    let mut genesis = genesis();
    genesis.slot_millis = slot_millis;
    let mut options = LocalK2Options::new(genesis);
    options.port = 0;
    let k2 = LocalK2::start(options).await.unwrap();
    let client = RpcClient::new_with_commitment(k2.rpc_url(), CommitmentConfig::confirmed());
    (k2, client)
}

async fn airdrop(client: &RpcClient, to: &Pubkey, lamports: u64) {
    let signature = client.request_airdrop(to, lamports).await.unwrap();
    wait_for(client, &signature, CommitmentConfig::confirmed()).await;
}

async fn wait_for(
    client: &RpcClient,
    signature: &solana_signature::Signature,
    commitment: CommitmentConfig,
) {
    while !client
        .confirm_transaction_with_commitment(signature, commitment)
        .await
        .unwrap()
        .value
    {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn execute(
    client: &RpcClient,
    instructions: &[solana_instruction::Instruction],
    signers: &[&Keypair],
) -> VersionedTransaction {
    let blockhash = client.get_latest_blockhash().await.unwrap();
    let transaction = sign(instructions, signers, blockhash);
    client
        .send_and_confirm_transaction(&transaction)
        .await
        .unwrap();
    transaction
}

#[tokio::test]
async fn airdrop_and_transfer() {
    let (k2, client) = start(50).await;
    assert_eq!(k2.ws_addr().port(), k2.addr().port() + 1);
    client.get_health().await.unwrap();
    client.get_version().await.unwrap();
    assert_eq!(
        client.get_identity().await.unwrap(),
        k2.node().bank().identity()
    );
    assert_eq!(
        client.get_genesis_hash().await.unwrap(),
        k2.node().bank().genesis_hash()
    );

    let (alice, bob) = (keypair(1), keypair(2).pubkey());
    airdrop(&client, &alice.pubkey(), 10 * SOL).await;
    let transfer = solana_system_interface::instruction::transfer(&alice.pubkey(), &bob, SOL);
    let transaction = execute(&client, &[transfer], &[&alice]).await;
    assert_eq!(client.get_balance(&bob).await.unwrap(), SOL);
    assert_eq!(
        client.get_balance(&alice.pubkey()).await.unwrap(),
        9 * SOL - 5_000
    );
    let VersionedTransaction { signatures, .. } = &transaction;

    let status = client
        .get_signature_statuses(signatures)
        .await
        .unwrap()
        .value;
    assert!(
        status[0]
            .as_ref()
            .unwrap()
            .satisfies_commitment(CommitmentConfig::confirmed())
    );
    let config = RpcTransactionConfig {
        encoding: Some(UiTransactionEncoding::JsonParsed),
        commitment: Some(CommitmentConfig::confirmed()),
        max_supported_transaction_version: Some(0),
    };
    let read = client
        .get_transaction_with_config(&signatures[0], config)
        .await
        .unwrap();
    let meta = read.transaction.meta.unwrap();
    assert_eq!(meta.fee, 5_000);
    assert_eq!(meta.pre_balances[0] - meta.post_balances[0], SOL + 5_000);
    assert_eq!(read.block_time, Some(k2.node().bank().time_of(read.slot)));
    // This method's default is finalized, whatever the client was made with.
    assert!(
        client
            .get_signatures_for_address(&bob)
            .await
            .unwrap()
            .is_empty()
    );

    wait_for(&client, &signatures[0], CommitmentConfig::finalized()).await;
    let slot = client
        .get_slot_with_commitment(CommitmentConfig::finalized())
        .await
        .unwrap();
    assert!(slot >= read.slot);
    let listed = client.get_signatures_for_address(&bob).await.unwrap();
    assert_eq!(listed[0].signature, signatures[0].to_string());
    k2.stop().await;
    assert!(client.get_health().await.is_err());
}

#[tokio::test]
async fn tokens_are_minted_and_transferred() {
    let (k2, client) = start(20).await;
    let (alice, mint, bob) = (keypair(1), keypair(2), keypair(3));
    airdrop(&client, &alice.pubkey(), 10 * SOL).await;
    let [from, to] =
        [&alice, &bob].map(|owner| get_associated_token_address(&owner.pubkey(), &mint.pubkey()));
    let token = spl_token_interface::ID;
    let rent = client
        .get_minimum_balance_for_rent_exemption(Mint::LEN)
        .await
        .unwrap();
    let payer = alice.pubkey();
    let key = mint.pubkey();
    let mint_it = [
        solana_system_interface::instruction::create_account(&payer, &key, rent, 82, &token),
        initialize_mint2(&token, &key, &payer, None, 8).unwrap(),
        create_associated_token_account(&payer, &payer, &key, &token),
        create_associated_token_account(&payer, &bob.pubkey(), &key, &token),
        mint_to(&token, &key, &from, &payer, &[], 50_00000000).unwrap(),
    ];
    execute(&client, &mint_it, &[&alice, &mint]).await;
    let pay = transfer_checked(&token, &from, &key, &to, &payer, &[], 12_50000000, 8).unwrap();
    let paid = execute(&client, &[pay], &[&alice]).await;

    assert_eq!(
        client.get_token_supply(&key).await.unwrap().amount,
        "5000000000"
    );
    let balance = client.get_token_account_balance(&to).await.unwrap();
    assert_eq!(
        (balance.amount.as_str(), balance.ui_amount_string.as_str()),
        ("1250000000", "12.5")
    );
    let owned = client
        .get_token_accounts_by_owner(&bob.pubkey(), TokenAccountsFilter::Mint(key))
        .await
        .unwrap();
    assert_eq!(owned[0].pubkey, to.to_string());
    assert_eq!(
        client.get_token_largest_accounts(&key).await.unwrap().len(),
        2
    );
    let account = client.get_token_account(&from).await.unwrap().unwrap();
    assert_eq!(account.token_amount.amount, "3750000000");

    let config = RpcTransactionConfig {
        encoding: Some(UiTransactionEncoding::Json),
        commitment: Some(CommitmentConfig::confirmed()),
        max_supported_transaction_version: None,
    };
    let read = client
        .get_transaction_with_config(&paid.signatures[0], config)
        .await
        .unwrap();
    let meta = read.transaction.meta.unwrap();
    let (before, after) = (
        meta.pre_token_balances.unwrap(),
        meta.post_token_balances.unwrap(),
    );
    assert_eq!(before.len(), 2);
    let moved: Vec<_> = after
        .iter()
        .map(|balance| balance.ui_token_amount.amount.as_str())
        .collect();
    assert!(
        moved.contains(&"1250000000") && moved.contains(&"3750000000"),
        "{moved:?}"
    );

    // Token accounts of the mint, as an indexer finds them: by size and by the mint's bytes.
    let config = RpcProgramAccountsConfig {
        filters: Some(vec![
            RpcFilterType::DataSize(165),
            RpcFilterType::Memcmp(Memcmp::new_base58_encoded(0, key.as_ref())),
        ]),
        account_config: RpcAccountInfoConfig {
            encoding: Some(UiAccountEncoding::Base64),
            ..RpcAccountInfoConfig::default()
        },
        ..RpcProgramAccountsConfig::default()
    };
    let found = client
        .get_program_ui_accounts_with_config(&token, config)
        .await
        .unwrap();
    assert_eq!(found.len(), 2);
    k2.stop().await;
}

#[tokio::test]
async fn slots_pass_by_themselves_and_blockhashes_change() {
    let (k2, client) = start(10).await;
    let first = client.get_latest_blockhash().await.unwrap();
    let slot = client.get_slot().await.unwrap();
    let later = client.get_new_latest_blockhash(&first).await.unwrap();
    assert_ne!(first, later);
    while client.get_slot().await.unwrap() < slot + 160 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let valid = client
        .is_blockhash_valid(&first, CommitmentConfig::confirmed())
        .await
        .unwrap();
    assert!(!valid);
    k2.stop().await;
}

#[tokio::test]
async fn a_taken_port_is_an_error_that_names_it() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut options = LocalK2Options::new(genesis());
    options.port = taken.local_addr().unwrap().port();
    options.advance = Advance::ByHand;
    let error = LocalK2::start(options).await.unwrap_err();
    assert!(
        matches!(error, StartError::Listen { address, .. } if address == taken.local_addr().unwrap())
    );
}
