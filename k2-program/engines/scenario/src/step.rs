//! One transaction, from its instructions to what it did.

use crate::{
    Execution, Outcome, Recorder,
    format::{self, Address, Expect, InstructionError},
};
use solana_compute_budget_interface::ComputeBudgetInstruction;
use solana_instruction::{Instruction, error::InstructionError as SolanaInstructionError};
use solana_message::Message;
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use solana_transaction::Transaction;
use solana_transaction_error::TransactionError;
use std::collections::{BTreeMap, BTreeSet};

/// The instructions put before a step's own: compute unit limit and price.
const BUDGET_INSTRUCTIONS: u8 = 2;
/// What they cost in LiteSVM together; in 1.14 they are free, so they are granted here besides the step's limit.
const BUDGET_UNITS: u32 = 2 * 150;
/// What the runtime grants an instruction of a transaction that asks for nothing, and the most it grants a transaction.
const DEFAULT_UNITS: u32 = 200_000;
const MOST_UNITS: u32 = 1_400_000;
/// A transaction travels in one packet: the IPv6 minimum of 1,280 bytes less the headers.
const PACKET_BYTES: usize = 1_232;

/// A step that is being told: see [`Recorder::step`].
#[must_use = "nothing happens before `send`"]
pub struct Step<'a> {
    recorder: &'a mut Recorder,
    name: String,
    instructions: Vec<Instruction>,
    compute_limit: Option<u32>,
    ceiling: Option<u64>,
}

impl<'a> Step<'a> {
    pub(crate) fn new(recorder: &'a mut Recorder, name: &str) -> Self {
        Self {
            recorder,
            name: name.to_owned(),
            instructions: Vec::new(),
            compute_limit: None,
            ceiling: None,
        }
    }

    /// One more instruction.
    pub fn instruction(mut self, instruction: Instruction) -> Self {
        self.instructions.push(instruction);
        self
    }

    /// More instructions.
    pub fn instructions(mut self, instructions: impl IntoIterator<Item = Instruction>) -> Self {
        self.instructions.extend(instructions);
        self
    }

    /// What the transaction may spend, in compute units; 200,000 for each instruction if it is not said.
    pub fn compute_limit(mut self, units: u32) -> Self {
        self.compute_limit = Some(units);
        self
    }

    /// What the instructions may spend **in Solana 1.14**, together: checked by the replayers, not here, where some prices
    /// are others.
    pub fn ceiling(mut self, units: u64) -> Self {
        self.ceiling = Some(units);
        self
    }

    /// Sends the transaction, signed by everybody whose account is marked as signer, and writes down what it did.
    ///
    /// # Panics
    /// If it does not fit into a packet, if a signer is nobody of this scenario, or if it failed and yet changed an account.
    #[track_caller]
    pub fn send(self) -> Outcome {
        let Self {
            recorder,
            name,
            instructions,
            compute_limit,
            ceiling,
        } = self;
        let number = recorder.scenario.steps.len() as u64 + 1;
        let compute_limit = compute_limit.unwrap_or_else(|| {
            let count = u32::try_from(instructions.len()).unwrap_or(u32::MAX);
            DEFAULT_UNITS.saturating_mul(count).min(MOST_UNITS)
        });
        let signers = signers(recorder, &name, &instructions);
        let transaction = transaction(recorder, number, compute_limit, &instructions, &signers);
        check_size(&name, &transaction);

        let before = named_accounts(recorder, &instructions);
        let (ending, meta) = match recorder.svm.send_transaction(transaction) {
            Ok(meta) => (Expect::Ok, meta),
            Err(failed) => (ending(&failed.err), failed.meta),
        };
        let accounts_after: Vec<_> = before
            .into_iter()
            .map(|(address, before)| (address, before, recorder.state(&address)))
            .filter(|(_, before, after)| before != after)
            .map(|(address, _, state)| format::Account { address, state })
            .collect();
        assert!(
            ending == Expect::Ok || accounts_after.is_empty(),
            "step `{name}` failed and left a trace: {accounts_after:?}"
        );

        let compute_units = meta
            .compute_units_consumed
            .saturating_sub(u64::from(BUDGET_UNITS));
        let (clock, accounts) = recorder.take_pending();
        recorder.scenario.steps.push(format::Step {
            name: name.clone(),
            clock,
            accounts,
            signers,
            compute_limit,
            instructions: instructions.iter().map(recorded).collect(),
            expect: ending.clone(),
            compute_units,
            ceiling,
            accounts_after,
        });
        let execution = Execution {
            compute_units,
            logs: meta.logs,
            return_data: meta.return_data.data,
        };
        Outcome {
            step: name,
            ending,
            execution,
        }
    }
}

/// Names of those whose signature the instructions ask for, in their order, each once.
#[track_caller]
fn signers(recorder: &Recorder, step: &str, instructions: &[Instruction]) -> Vec<String> {
    let mut signers = Vec::new();
    for meta in instructions
        .iter()
        .flat_map(|instruction| &instruction.accounts)
        .filter(|meta| meta.is_signer)
    {
        let Some(name) = recorder.name_of(&meta.pubkey) else {
            panic!(
                "step `{step}`: {} must sign and is nobody's; make it with `keypair`",
                meta.pubkey
            );
        };
        if name != recorder.scenario.fee_payer && !signers.contains(&name) {
            signers.push(name);
        }
    }
    signers
}

fn transaction(
    recorder: &Recorder,
    number: u64,
    compute_limit: u32,
    instructions: &[Instruction],
    signers: &[String],
) -> Transaction {
    let mut all = vec![
        ComputeBudgetInstruction::set_compute_unit_limit(
            compute_limit.saturating_add(BUDGET_UNITS),
        ),
        ComputeBudgetInstruction::set_compute_unit_price(number),
    ];
    all.extend_from_slice(instructions);
    let payer = recorder.keypair_named(&recorder.scenario.fee_payer);
    let mut keypairs = vec![payer];
    keypairs.extend(signers.iter().map(|name| recorder.keypair_named(name)));
    Transaction::new(
        &keypairs,
        Message::new(&all, Some(&payer.pubkey())),
        recorder.svm.latest_blockhash(),
    )
}

#[track_caller]
fn check_size(step: &str, transaction: &Transaction) {
    // One byte counts the signatures, of 64 bytes each.
    let size = 1 + 64 * transaction.signatures.len() + transaction.message.serialize().len();
    assert!(
        size <= PACKET_BYTES,
        "step `{step}`: a transaction of {size} bytes, and a packet holds {PACKET_BYTES}"
    );
}

/// Every account that the instructions name, the fee payer aside, and what stands there.
fn named_accounts(
    recorder: &Recorder,
    instructions: &[Instruction],
) -> BTreeMap<Address, Option<format::State>> {
    let payer = recorder
        .keypair_named(&recorder.scenario.fee_payer)
        .pubkey();
    let named = instructions.iter().flat_map(|instruction| {
        instruction
            .accounts
            .iter()
            .map(|meta| meta.pubkey)
            .chain([instruction.program_id])
    });
    let named: BTreeSet<Pubkey> = named.filter(|named| *named != payer).collect();
    named
        .into_iter()
        .map(|named| Address(named.to_bytes()))
        .map(|named| (named, recorder.state(&named)))
        .collect()
}

fn recorded(instruction: &Instruction) -> format::Instruction {
    format::Instruction {
        program: Address(instruction.program_id.to_bytes()),
        accounts: instruction
            .accounts
            .iter()
            .map(|meta| format::AccountMeta {
                address: Address(meta.pubkey.to_bytes()),
                is_signer: meta.is_signer,
                is_writable: meta.is_writable,
            })
            .collect(),
        data: instruction.data.clone(),
    }
}

/// The runtime's error in a scenario's words.
fn ending(error: &TransactionError) -> Expect {
    match error {
        TransactionError::InstructionError(index, error) if *index >= BUDGET_INSTRUCTIONS => {
            Expect::Instruction {
                index: index - BUDGET_INSTRUCTIONS,
                error: match error {
                    SolanaInstructionError::Custom(code) => InstructionError::Custom(*code),
                    other => InstructionError::Builtin(variant(other)),
                },
            }
        }
        other => Expect::Transaction(variant(other)),
    }
}

/// The name of an enum's variant, without its fields.
fn variant(value: &impl std::fmt::Debug) -> String {
    format!("{value:?}")
        .chars()
        .take_while(|letter| letter.is_alphanumeric())
        .collect()
}
