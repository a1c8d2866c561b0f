#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use k2_interface::state::{Config, Kind, Ledger};
use k2_interface::{K2Address, PoolError, RewardLeaf, RewardTree, Role};
use solana_instruction::error::InstructionError;
use solana_program_pack::Pack as _;
use solana_transaction_error::TransactionError;
use zerocopy::FromZeros as _;

use super::{ClaimError, ClaimProof, Claims};
use crate::address::{ASSOCIATED_TOKEN_PROGRAM, TOKEN_PROGRAM, address, pubkey};
use crate::k2::Fault;
use crate::keypair::Keypair;
use crate::testing::{PROGRAM, Shelf};

const OWNER: K2Address = K2Address::from_bytes([2; 32]);

fn payer() -> Keypair {
    Keypair::from_seed([1; 32])
}

/// The tree of round 10 with three leaves, in force; the owner's is the middle one.
fn setting() -> (Arc<Shelf>, ClaimProof, Config) {
    let other = |tag| K2Address::from_bytes([tag; 32]);
    let entries = [
        (Role::Miner, other(1), 10),
        (Role::Miner, OWNER, 500),
        (Role::Operator, OWNER, 7),
    ];
    let tree = RewardTree::build(PROGRAM, 10, entries).unwrap().unwrap();
    let leaf = RewardLeaf {
        program: PROGRAM,
        round: 10,
        index: 1,
        role: Role::Miner,
        owner: OWNER,
        cumulative: 500,
    };
    let proof = ClaimProof {
        leaf,
        siblings: tree.proof(1).unwrap(),
    };
    let mut config = Config::new_zeroed();
    config.rewards.finalized = 1.into();
    config.rewards.round = 10.into();
    config.rewards.total = 517.into();
    config.rewards.leaf_count = 3.into();
    config.rewards.root = tree.root();
    let shelf = Arc::new(Shelf::default());
    shelf.put(Shelf::program().config(), Kind::Config, config);
    (shelf, proof, config)
}

fn ledger(shelf: &Shelf, claimed: u64) {
    let mut ledger = Ledger::new_zeroed();
    ledger.owner = OWNER;
    ledger.claimed = claimed.into();
    let address = Shelf::program().ledger(Role::Miner, &OWNER).address;
    shelf.put(address, Kind::Ledger, ledger);
}

fn token_account(shelf: &Shelf, owner: K2Address) {
    let program = Shelf::program();
    let account = spl_token_interface::state::Account {
        mint: pubkey(&program.mint()),
        owner: pubkey(&owner),
        state: spl_token_interface::state::AccountState::Initialized,
        ..Default::default()
    };
    let mut data = vec![0; spl_token_interface::state::Account::LEN];
    account.pack_into_slice(&mut data);
    shelf.put_raw(program.token_account(&OWNER).address, TOKEN_PROGRAM, &data);
}

/// The programs of what was sent, without the compute budget, and their first byte of data.
fn calls(shelf: &Shelf) -> Vec<Vec<(K2Address, Option<u8>)>> {
    shelf
        .sent()
        .iter()
        .map(|transaction| {
            let message = &transaction.message;
            let call = |i: &solana_message::compiled_instruction::CompiledInstruction| {
                let program = address(&message.account_keys[usize::from(i.program_id_index)]);
                (program, i.data.first().copied())
            };
            message.instructions.iter().skip(1).map(call).collect()
        })
        .collect()
}

const CLAIM: (K2Address, Option<u8>) = (PROGRAM, Some(33));

#[tokio::test(start_paused = true)]
async fn a_first_claim_creates_the_token_account() {
    let (shelf, proof, _) = setting();
    let client = shelf.client();
    let claimed = Claims::new(&client).claim(&payer(), &proof).await.unwrap();
    assert_eq!(claimed.claim.amount, 500);
    assert!(claimed.signature.is_some());
    let create = (ASSOCIATED_TOKEN_PROGRAM, Some(1));
    assert_eq!(calls(&shelf), [vec![create, CLAIM]]);
}

#[tokio::test(start_paused = true)]
async fn a_later_claim_pays_the_difference() {
    let (shelf, proof, _) = setting();
    ledger(&shelf, 480);
    token_account(&shelf, OWNER);
    let client = shelf.client();
    let claimed = Claims::new(&client).claim(&payer(), &proof).await.unwrap();
    assert_eq!(claimed.claim.amount, 20);
    assert_eq!(calls(&shelf), [vec![CLAIM]]);
}

#[tokio::test(start_paused = true)]
async fn nothing_left_is_no_error_and_no_fee() {
    let (shelf, proof, _) = setting();
    ledger(&shelf, 500);
    let client = shelf.client();
    let claimed = Claims::new(&client).claim(&payer(), &proof).await.unwrap();
    assert_eq!((claimed.claim.amount, claimed.signature), (0, None));
    // Nor is it when somebody else was faster.
    let (shelf, proof, _) = setting();
    let code = PoolError::NothingToClaim.code();
    let fault = TransactionError::InstructionError(2, InstructionError::Custom(code));
    shelf.fail_with(vec![Fault::Known(fault)]);
    let client = shelf.client();
    let claimed = Claims::new(&client).claim(&payer(), &proof).await.unwrap();
    assert_eq!(claimed.signature, None);
    assert_eq!(calls(&shelf).len(), 0);
}

/// Before 2022 the associated token account program had no CreateIdempotent.
#[tokio::test(start_paused = true)]
async fn an_old_token_account_program_is_spoken_to_in_its_own_words() {
    for fault in [
        Fault::Known(TransactionError::InstructionError(
            1,
            InstructionError::InvalidInstructionData,
        )),
        Fault::Instruction(1, "{\"BorshIoError\":\"Unknown\"}".into()),
    ] {
        let (shelf, proof, _) = setting();
        shelf.fail_with(vec![fault]);
        let client = shelf.client();
        Claims::new(&client).claim(&payer(), &proof).await.unwrap();
        let create = (ASSOCIATED_TOKEN_PROGRAM, Some(0));
        assert_eq!(calls(&shelf), [vec![create, CLAIM]]);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_in_force_is_told_before_it_costs_a_fee() {
    let (shelf, proof, config) = setting();
    let client = shelf.client();
    let claims = Claims::new(&client);
    let mut later = proof.clone();
    later.leaf.round = 11;
    let error = claims.claim(&payer(), &later).await.unwrap_err();
    assert!(
        matches!(
            error,
            ClaimError::OtherList {
                list: 11,
                finalized: 10,
                ..
            }
        ),
        "{error}"
    );
    assert!(error.to_string().contains("bafyrei"), "{error}");
    let mut more = proof.clone();
    more.leaf.cumulative += 1;
    let error = claims.claim(&payer(), &more).await.unwrap_err();
    assert!(matches!(error, ClaimError::Proof(_)), "{error}");
    let mut nothing = config;
    nothing.rewards.finalized = 0.into();
    shelf.put(Shelf::program().config(), Kind::Config, nothing);
    let error = claims.claim(&payer(), &proof).await.unwrap_err();
    assert!(
        matches!(error, ClaimError::Rule(PoolError::NothingFinalized)),
        "{error}"
    );
    assert_eq!(calls(&shelf).len(), 0);
}

/// Whoever owns an associated token account can hand it on; tokens must not follow.
#[tokio::test(start_paused = true)]
async fn a_token_account_that_was_given_away_is_not_paid() {
    let (shelf, proof, _) = setting();
    token_account(&shelf, K2Address::from_bytes([66; 32]));
    let client = shelf.client();
    let error = Claims::new(&client)
        .claim(&payer(), &proof)
        .await
        .unwrap_err();
    assert!(
        matches!(error, ClaimError::DestinationLost { .. }),
        "{error}"
    );
    assert_eq!(calls(&shelf).len(), 0);
}
