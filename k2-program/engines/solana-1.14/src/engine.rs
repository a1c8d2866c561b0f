//! Solana 1.14.19 as a place where a scenario's transactions happen.

use crate::format::{Address, Clock, Program, State};
use solana_program_test::{BanksClientError, ProgramTest, ProgramTestContext};
use solana_sdk::{
    account::{Account, AccountSharedData},
    bpf_loader_upgradeable::{self, UpgradeableLoaderState},
    clock,
    pubkey::Pubkey,
    rent::Rent,
    signature::{Keypair, Signer},
    sysvar,
    transaction::{Transaction, TransactionError},
};

/// How programs are executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Compiled to machine code.
    Jit,
    /// Interpreted.
    Interpreter,
}

impl Mode {
    /// For the report.
    pub fn name(self) -> &'static str {
        match self {
            Self::Jit => "jit",
            Self::Interpreter => "interpreter",
        }
    }
}

/// What a transaction did.
pub struct Outcome {
    /// How it ended.
    pub result: Result<(), TransactionError>,
    /// What it spent. 1.14 does not say it for a transaction that failed.
    pub compute_units: Option<u64>,
    /// What the programs wrote.
    pub logs: Vec<String>,
}

/// One bank, from genesis.
pub struct Engine {
    context: ProgramTestContext,
}

impl Engine {
    /// A chain with the SPL programs and nothing else. The bank stays in its slot; only the Clock sysvar moves, because
    /// that is all a program can see of time.
    pub async fn start(mode: Mode) -> Self {
        let mut test = ProgramTest::default();
        test.prefer_bpf(true);
        test.use_bpf_jit(mode == Mode::Jit);
        Self {
            context: test.start_with_context().await,
        }
    }

    /// Lets `state` stand at `address`, past every rule.
    pub fn put(&mut self, address: Address, state: Option<&State>) {
        let account = match state {
            None => AccountSharedData::default(),
            Some(state) => AccountSharedData::from(Account {
                lamports: state.lamports,
                data: state.data.clone(),
                owner: pubkey(state.owner),
                executable: state.executable,
                rent_epoch: 0,
            }),
        };
        self.context.set_account(&pubkey(address), &account);
    }

    /// Puts a program under the upgradeable loader, as if deployed in slot 0.
    pub fn put_program(&mut self, program: &Program, elf: &[u8]) -> Result<(), String> {
        let loader = bpf_loader_upgradeable::id();
        let address = pubkey(program.address);
        let (programdata_address, _) = Pubkey::find_program_address(&[address.as_ref()], &loader);
        let serialized =
            |state: &UpgradeableLoaderState, size: usize| -> Result<AccountSharedData, String> {
                let lamports = Rent::default().minimum_balance(size);
                AccountSharedData::new_data_with_space(lamports, state, size, &loader)
                    .map_err(|error| error.to_string())
            };

        let metadata = UpgradeableLoaderState::size_of_programdata_metadata();
        let state = UpgradeableLoaderState::ProgramData {
            slot: 0,
            upgrade_authority_address: program.upgrade_authority.map(pubkey),
        };
        let mut account = Account::from(serialized(&state, metadata + elf.len())?);
        account.data.truncate(metadata);
        account.data.extend_from_slice(elf);
        self.context
            .set_account(&programdata_address, &account.into());

        let state = UpgradeableLoaderState::Program {
            programdata_address,
        };
        let mut account = Account::from(serialized(
            &state,
            UpgradeableLoaderState::size_of_program(),
        )?);
        account.executable = true;
        self.context.set_account(&address, &account.into());
        Ok(())
    }

    /// Sets the Clock sysvar.
    pub fn set_clock(&self, now: Clock) {
        self.context.set_sysvar(&clock::Clock {
            slot: now.slot,
            unix_timestamp: now.unix_timestamp,
            ..clock::Clock::default()
        });
    }

    /// What stands at `address`. A sysvar's account changes by itself and is never reported.
    pub async fn get(&mut self, address: Address) -> Result<Option<State>, String> {
        let account = self.context.banks_client.get_account(pubkey(address)).await;
        let account = account.map_err(|error| error.to_string())?;
        Ok(account
            .filter(|account| account.lamports > 0 && account.owner != sysvar::id())
            .map(|account| State {
                lamports: account.lamports,
                owner: Address(account.owner.to_bytes()),
                executable: account.executable,
                data: account.data,
            }))
    }

    /// Signs, simulates (only that tells compute units) and executes a transaction; both have to agree.
    pub async fn send(
        &mut self,
        mut transaction: Transaction,
        signers: &[&Keypair],
    ) -> Result<Outcome, String> {
        let banks = &mut self.context.banks_client;
        let blockhash = banks
            .get_latest_blockhash()
            .await
            .map_err(|error| error.to_string())?;
        transaction
            .try_sign(&signers.to_vec(), blockhash)
            .map_err(|error| format!("cannot be signed: {}", error))?;
        let simulated = banks
            .simulate_transaction(transaction.clone())
            .await
            .map_err(|error| error.to_string())?;
        let result = match banks.process_transaction(transaction).await {
            Ok(()) => Ok(()),
            Err(BanksClientError::TransactionError(error)) => Err(error),
            Err(BanksClientError::SimulationError { err, .. }) => Err(err),
            Err(error) => return Err(error.to_string()),
        };
        let expected = simulated.result.unwrap_or(Ok(()));
        if result != expected {
            return Err(format!(
                "simulated as {:?}, executed as {:?}",
                expected, result
            ));
        }
        let (units, logs) = simulated
            .simulation_details
            .map(|it| (it.units_consumed, it.logs))
            .unwrap_or_default();
        Ok(Outcome {
            compute_units: result.is_ok().then(|| units),
            result,
            logs,
        })
    }
}

/// The same 32 bytes in Solana's type.
pub fn pubkey(address: Address) -> Pubkey {
    Pubkey::new_from_array(address.0)
}

/// The keypair of a seed.
pub fn keypair(seed: &[u8; 32]) -> Result<Keypair, String> {
    solana_sdk::signature::keypair_from_seed(seed).map_err(|error| error.to_string())
}

/// The address of a keypair.
pub fn address(keypair: &Keypair) -> Address {
    Address(keypair.pubkey().to_bytes())
}
