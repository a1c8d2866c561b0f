//! Every case on the same inputs natively and in the Solana machine.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use difftest::cases;
use litesvm::LiteSVM;
use litesvm::types::{FailedTransactionMetadata, TransactionMetadata};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use solana_compute_budget::compute_budget::ComputeBudget;
use solana_instruction::Instruction;
use solana_keypair::Keypair;
use solana_message::Message;
use solana_pubkey::Pubkey;
use solana_signer::Signer as _;
use solana_transaction::Transaction;

/// The Solana machine with the cases in it.
struct Machine {
    svm: LiteSVM,
    payer: Keypair,
    program: Pubkey,
}

impl Machine {
    fn new() -> Self {
        let path = std::env::var_os("ORCAPOOL_SBF_SELFTEST").expect(
            "ORCAPOOL_SBF_SELFTEST names the cases as a program: export ORCAPOOL_SBF_SELFTEST=$(scripts/build-program --selftest | tail -n 1)",
        );
        // Some cases take more than a transaction may on a cluster; only the results matter here.
        let mut budget = ComputeBudget::new_with_defaults(false);
        budget.compute_unit_limit = 1_000_000_000;
        let mut svm = LiteSVM::new()
            .with_compute_budget(budget)
            .with_sigverify(false)
            .with_blockhash_check(false)
            .with_transaction_history(0);
        let (payer, program) = (Keypair::new(), Pubkey::new_unique());
        svm.add_program(program, &std::fs::read(path).expect("the selftest program"))
            .unwrap();
        svm.airdrop(&payer.pubkey(), 1_000_000_000_000).unwrap();
        Self {
            svm,
            payer,
            program,
        }
    }

    fn run(&self, data: &[u8]) -> Result<Vec<u8>, Box<FailedTransactionMetadata>> {
        let instruction = Instruction {
            program_id: self.program,
            accounts: Vec::new(),
            data: data.to_vec(),
        };
        let message = Message::new(&[instruction], Some(&self.payer.pubkey()));
        let transaction = Transaction::new(&[&self.payer], message, self.svm.latest_blockhash());
        let info = self
            .svm
            .simulate_transaction(transaction)
            .map_err(Box::new)?;
        let TransactionMetadata { return_data, .. } = info.meta;
        Ok(return_data.data)
    }
}

/// The same natively; `None` is a panic.
fn native(data: &[u8]) -> Option<Vec<u8>> {
    catch_unwind(AssertUnwindSafe(|| {
        difftest::run(data).expect("a case of that number")
    }))
    .ok()
}

/// The runtime cuts zeros off the end of return data.
fn cut(mut bytes: Vec<u8>) -> Vec<u8> {
    while bytes.last() == Some(&0) {
        bytes.pop();
    }
    bytes
}

/// Bytes that are often zeros or ones over a whole word: limits, powers of two and their neighbours are where mistakes are.
fn inputs(max: usize) -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        4 => any::<[u8; 8]>(),
        2 => Just([0; 8]),
        2 => Just([0xff; 8]),
        2 => (0_u32..64).prop_map(|bit| (1_u64 << bit).to_le_bytes()),
        2 => (0_u32..64).prop_map(|bit| (1_u64 << bit).wrapping_sub(1).to_le_bytes()),
        1 => (0_u32..64).prop_map(|bit| (u64::MAX << bit).to_le_bytes()),
        2 => (0_u64..20).prop_map(u64::to_le_bytes),
        1 => (0_u64..20).prop_map(|small| small.wrapping_neg().to_le_bytes()),
        1 => (0_u64..300).prop_map(|near| (u64::from(u32::MAX) - 150 + near).to_le_bytes()),
    ];
    prop::collection::vec(word, 1..=max.div_ceil(8)).prop_map(|words| words.concat())
}

/// Compares one case on many inputs. A difference is shrunk to the shortest input that shows it.
fn compare(machine: &Machine, index: usize) {
    let case = &cases::ALL[index];
    // With its stack area in every message, a panic per input would be a very long log.
    let outcomes = RefCell::new((0_u32, 0_u32));
    let mut runner = TestRunner::new(Config {
        cases: 200,
        failure_persistence: None,
        ..Config::default()
    });
    let result = runner.run(&inputs(120), |input| {
        let data = [&[u8::try_from(index).unwrap()], &input[..]].concat();
        match (native(&data), machine.run(&data)) {
            (Some(expected), Ok(found)) => {
                outcomes.borrow_mut().0 += 1;
                prop_assert_eq!(cut(expected), cut(found));
            }
            (None, Err(_)) if case.panics => outcomes.borrow_mut().1 += 1,
            (None, Err(_)) => prop_assert!(false, "it panics in both: a mistake in the case"),
            (None, Ok(found)) => prop_assert!(
                false,
                "it panics natively, and as a program it gives {:?}",
                found
            ),
            (_, Err(failed)) => prop_assert!(
                false,
                "as a program it fails: {:?}\n{}",
                failed.err,
                failed.meta.logs.join("\n")
            ),
        }
        Ok(())
    });
    if let Err(error) = result {
        panic!("{case:?}: {error}");
    }
    let (passed, panicked) = outcomes.into_inner();
    assert!(passed > 0, "{case:?} never ran to its end");
    assert_eq!(
        panicked > 0,
        case.panics,
        "{case:?} panicked {panicked} times"
    );
}

fn compare_module(module: &str) {
    let machine = Machine::new();
    let mut compared = 0;
    for (index, case) in cases::ALL.iter().enumerate() {
        if case.name.split("::").next() == Some(module) {
            compare(&machine, index);
            compared += 1;
        }
    }
    assert!(compared > 0, "no cases in {module}");
}

#[test]
fn integers() {
    compare_module("integers");
}

#[test]
fn wide() {
    compare_module("wide");
}

#[test]
fn calls() {
    compare_module("calls");
}

#[test]
fn memory() {
    compare_module("memory");
}

#[test]
fn data() {
    compare_module("data");
}

#[test]
fn floats() {
    compare_module("floats");
}

#[test]
fn panics() {
    std::panic::set_hook(Box::new(|info| {
        // Those of the cases are expected; the test's own end up in its result.
        if !info
            .location()
            .is_some_and(|place| place.file().contains("difftest/src"))
        {
            eprintln!("{info}");
        }
    }));
    compare_module("panics");
}

/// The comparison itself: a program that computed something else would be seen.
#[test]
fn a_difference_is_seen() {
    let machine = Machine::new();
    let found = cut(machine.run(&[3, 1, 2, 3]).unwrap());
    assert_eq!(found, cut(native(&[3, 1, 2, 3]).unwrap()));
    assert_ne!(found, cut(native(&[3, 1, 2, 4]).unwrap()));
    assert!(machine.run(&[u8::MAX]).is_err(), "there is no such case");
}
