//! One scenario in one engine, compared step by step.

use crate::{
    engine::{self, pubkey, Engine, Mode},
    format::{compare, Address, Expect, Instruction, InstructionError, Scenario, State, Step},
};
use solana_sdk::{
    compute_budget::ComputeBudgetInstruction,
    instruction::{self, AccountMeta},
    signature::Keypair,
    transaction::{Transaction, TransactionError},
};
use std::collections::{BTreeMap, BTreeSet};

/// The instructions put before a step's own: compute unit limit and price.
const BUDGET_INSTRUCTIONS: u8 = 2;

/// What became of a step.
pub struct Report {
    /// [`Step::name`].
    pub name: String,
    /// What it spent, if it succeeded.
    pub compute_units: Option<u64>,
    /// [`Step::ceiling`].
    pub ceiling: Option<u64>,
    /// What was not as recorded; empty if all was.
    pub differences: Vec<String>,
    /// What the programs wrote.
    pub logs: Vec<String>,
}

/// Replays a whole scenario. It goes on after a difference: the state stays what this engine made of it.
pub async fn replay(
    scenario: &Scenario,
    elfs: &BTreeMap<[u8; 32], Vec<u8>>,
    mode: Mode,
) -> Result<Vec<Report>, String> {
    let mut engine = Engine::start(mode).await;
    engine.set_clock(scenario.clock);
    for program in &scenario.programs {
        let elf = elfs.get(&program.elf_sha256.0).ok_or_else(|| {
            format!(
                "no --program file has the SHA-256 {:?} of {}",
                program.elf_sha256, program.address
            )
        })?;
        engine.put_program(program, elf)?;
    }
    for account in &scenario.accounts {
        engine.put(account.address, account.state.as_ref());
    }
    let mut keypairs = BTreeMap::new();
    for (name, seed) in &scenario.keypairs {
        keypairs.insert(name.as_str(), engine::keypair(&seed.0)?);
    }
    let mut reports = Vec::with_capacity(scenario.steps.len());
    for (number, step) in (1..).zip(&scenario.steps) {
        let report = run_step(&mut engine, scenario, step, number, &keypairs).await;
        reports
            .push(report.map_err(|error| format!("step {} `{}`: {}", number, step.name, error))?);
    }
    Ok(reports)
}

async fn run_step(
    engine: &mut Engine,
    scenario: &Scenario,
    step: &Step,
    number: u64,
    keypairs: &BTreeMap<&str, Keypair>,
) -> Result<Report, String> {
    for account in &step.accounts {
        engine.put(account.address, account.state.as_ref());
    }
    if let Some(clock) = step.clock {
        engine.set_clock(clock);
    }
    let keypair = |name: &String| {
        keypairs
            .get(name.as_str())
            .ok_or_else(|| format!("no keypair `{}`", name))
    };
    let payer = keypair(&scenario.fee_payer)?;
    let mut signers = vec![payer];
    for name in &step.signers {
        signers.push(keypair(name)?);
    }
    let mut instructions = vec![
        ComputeBudgetInstruction::set_compute_unit_limit(step.compute_limit),
        ComputeBudgetInstruction::set_compute_unit_price(number),
    ];
    instructions.extend(step.instructions.iter().map(solana_instruction));
    let payer = engine::address(payer);
    let transaction = Transaction::new_with_payer(&instructions, Some(&pubkey(payer)));

    let mut named: BTreeSet<Address> = step.instructions.iter().flat_map(addresses).collect();
    named.extend(step.accounts_after.iter().map(|account| account.address));
    named.remove(&payer);
    let mut expected: BTreeMap<Address, Option<State>> = BTreeMap::new();
    for address in named {
        expected.insert(address, engine.get(address).await?);
    }
    expected.extend(
        step.accounts_after
            .iter()
            .map(|account| (account.address, account.state.clone())),
    );

    let outcome = engine.send(transaction, &signers).await?;
    let mut differences = Vec::new();
    let got = ending(&outcome.result);
    if got != step.expect {
        differences.push(format!("outcome: want {}, got {}", step.expect, got));
    }
    for (address, wanted) in &expected {
        if let Err(difference) = compare(wanted.as_ref(), engine.get(*address).await?.as_ref()) {
            differences.push(format!("account {}: {}", address, difference));
        }
    }
    if let (Some(ceiling), Some(units)) = (step.ceiling, outcome.compute_units) {
        if units > ceiling {
            differences.push(format!(
                "{} compute units, above the ceiling of {}",
                units, ceiling
            ));
        }
    }
    Ok(Report {
        name: step.name.clone(),
        compute_units: outcome.compute_units,
        ceiling: step.ceiling,
        differences,
        logs: outcome.logs,
    })
}

fn solana_instruction(instruction: &Instruction) -> instruction::Instruction {
    let meta = |meta: &crate::format::AccountMeta| AccountMeta {
        pubkey: pubkey(meta.address),
        is_signer: meta.is_signer,
        is_writable: meta.is_writable,
    };
    instruction::Instruction {
        program_id: pubkey(instruction.program),
        accounts: instruction.accounts.iter().map(meta).collect(),
        data: instruction.data.clone(),
    }
}

fn addresses(instruction: &Instruction) -> impl Iterator<Item = Address> + '_ {
    instruction
        .accounts
        .iter()
        .map(|meta| meta.address)
        .chain(Some(instruction.program))
}

/// The engine's result in a scenario's words.
fn ending(result: &Result<(), TransactionError>) -> Expect {
    match result {
        Ok(()) => Expect::Ok,
        Err(TransactionError::InstructionError(index, error)) if *index >= BUDGET_INSTRUCTIONS => {
            Expect::Instruction {
                index: index - BUDGET_INSTRUCTIONS,
                error: match error {
                    instruction::InstructionError::Custom(code) => InstructionError::Custom(*code),
                    other => InstructionError::Builtin(variant(other)),
                },
            }
        }
        Err(other) => Expect::Transaction(variant(other)),
    }
}

/// The name of an enum's variant, without its fields.
fn variant(value: &dyn std::fmt::Debug) -> String {
    format!("{:?}", value)
        .chars()
        .take_while(|letter| letter.is_alphanumeric())
        .collect()
}
