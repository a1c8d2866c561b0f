//! The chain a story is told on: who is there, what stands where, what time it is.

use crate::{
    Outcome, Step,
    format::{self, Address, Bytes32, Clock, FEE_PAYER_LAMPORTS, FORMAT, Scenario, State},
    runtime::runtime,
};
use litesvm::LiteSVM;
use sha2::{Digest, Sha256};
use solana_account::Account;
use solana_instruction::Instruction;
use solana_keypair::Keypair;
use solana_loader_v3_interface::state::UpgradeableLoaderState;
use solana_pubkey::Pubkey;
use solana_sdk_ids::{bpf_loader_upgradeable, system_program, sysvar};
use solana_signer::Signer;
use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::{Component, Path, PathBuf},
    sync::{Mutex, PoisonError},
    thread,
};

/// The environment variable that names the folder for scenario files. None are written if it is not set.
pub const SCENARIOS_ENV: &str = "ORCAPOOL_SCENARIOS";

/// Who pays for every transaction.
const FEE_PAYER: &str = "fee payer";

/// Names in use in this test program: two tests must not write the same file.
static NAMES: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// A chain of its own, and the record of what happens on it. When it is dropped it writes `<name>.json` to the folder that
/// [`SCENARIOS_ENV`] names, unless the test failed
/// or [`is_recorded`](Self::is_recorded) says no.
pub struct Recorder {
    pub(crate) svm: LiteSVM,
    pub(crate) scenario: Scenario,
    keypairs: BTreeMap<String, Keypair>,
    only_here: bool,
    pending_clock: Option<Clock>,
    pending_accounts: BTreeMap<Address, Option<State>>,
}

impl Recorder {
    /// A chain at slot 1 and time 1,700,000,000, with the system, loader, SPL Token and Associated Token Account programs.
    ///
    /// `name` is a relative path without extension, such as `claim/twice`, and no other test's name.
    #[track_caller]
    pub fn new(name: &str) -> Self {
        let normal = Path::new(name)
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
        assert!(
            normal && !name.is_empty(),
            "`{name}` is no name for a scenario: a relative path is"
        );
        let new = NAMES
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(name.to_owned());
        assert!(new, "two scenarios are called `{name}`");
        let mut recorder = Self {
            svm: runtime(),
            scenario: Scenario {
                format: FORMAT.to_owned(),
                name: name.to_owned(),
                programs: Vec::new(),
                keypairs: BTreeMap::new(),
                fee_payer: FEE_PAYER.to_owned(),
                clock: Clock {
                    slot: 0,
                    unix_timestamp: 0,
                },
                accounts: Vec::new(),
                steps: Vec::new(),
            },
            keypairs: BTreeMap::new(),
            only_here: false,
            pending_clock: None,
            pending_accounts: BTreeMap::new(),
        };
        let payer = recorder.pubkey(FEE_PAYER);
        recorder.fund(payer, FEE_PAYER_LAMPORTS);
        recorder.set_clock(1, 1_700_000_000);
        recorder
    }

    /// Somebody's keypair, made of the name alone: `alice` is the same in every scenario.
    pub fn keypair(&mut self, name: &str) -> Keypair {
        let seed = Sha256::digest(["orcapool/scenario/keypair/", name].concat());
        self.keypair_from_seed(name, seed.into())
    }

    /// A keypair made of a seed, known as `name`.
    #[track_caller]
    pub fn keypair_from_seed(&mut self, name: &str, seed: [u8; 32]) -> Keypair {
        let known = self
            .scenario
            .keypairs
            .insert(name.to_owned(), Bytes32(seed));
        assert!(
            known.is_none_or(|known| known.0 == seed),
            "`{name}` has another seed already"
        );
        self.keypairs
            .insert(name.to_owned(), Keypair::new_from_array(seed));
        Keypair::new_from_array(seed)
    }

    /// The address of [`keypair`](Self::keypair), who can sign from now on.
    pub fn pubkey(&mut self, name: &str) -> Pubkey {
        self.keypair(name).pubkey()
    }

    /// Sets the time the programs see: slot, and seconds since 1970. Slots never go back.
    #[track_caller]
    pub fn set_clock(&mut self, slot: u64, unix_timestamp: i64) {
        let mut clock = self.svm.get_sysvar::<solana_sysvar::clock::Clock>();
        assert!(
            slot >= clock.slot,
            "slot {slot} is before slot {}",
            clock.slot
        );
        (clock.slot, clock.unix_timestamp) = (slot, unix_timestamp);
        self.svm.set_sysvar(&clock);
        let clock = Clock {
            slot,
            unix_timestamp,
        };
        if self.scenario.steps.is_empty() {
            self.scenario.clock = clock;
        } else {
            self.pending_clock = Some(clock);
        }
    }

    /// The time the programs see.
    pub fn clock(&self) -> Clock {
        self.pending_clock
            .or_else(|| self.scenario.steps.iter().rev().find_map(|step| step.clock))
            .unwrap_or(self.scenario.clock)
    }

    /// Sets the time `slots` slots and `seconds` seconds later.
    pub fn advance(&mut self, slots: u64, seconds: i64) {
        let now = self.clock();
        self.set_clock(now.slot + slots, now.unix_timestamp + seconds);
    }

    /// Deploys a program under the upgradeable loader, as if it had been done in slot 0. Before the first step only.
    #[track_caller]
    pub fn deploy(&mut self, program: Pubkey, elf: &[u8], upgrade_authority: Option<Pubkey>) {
        assert!(
            self.scenario.steps.is_empty(),
            "programs are deployed before the first step"
        );
        self.svm
            .add_program(program, elf)
            .expect("the program loads");
        let state = UpgradeableLoaderState::ProgramData {
            slot: 0,
            upgrade_authority_address: upgrade_authority,
        };
        let mut data = vec![0; UpgradeableLoaderState::size_of_programdata_metadata()];
        wincode::serialize_into(&mut data[..], &state).expect("it fits");
        data.extend_from_slice(elf);
        let account = Account {
            lamports: self.rent(data.len()),
            data,
            owner: bpf_loader_upgradeable::id(),
            ..Account::default()
        };
        self.svm
            .set_account(programdata_address(&program), account)
            .expect("it is no program");
        self.scenario.programs.push(format::Program {
            address: Address(program.to_bytes()),
            elf_sha256: Bytes32(Sha256::digest(elf).into()),
            upgrade_authority: upgrade_authority.map(|authority| Address(authority.to_bytes())),
        });
    }

    /// Gives `address` so many lamports and nothing else: a wallet.
    pub fn fund(&mut self, address: Pubkey, lamports: u64) {
        self.set_account(
            address,
            Account {
                lamports,
                owner: system_program::id(),
                ..Account::default()
            },
        );
    }

    /// Lets `account` stand at `address`, past every rule of the runtime. An account with no lamports is none.
    pub fn set_account(&mut self, address: Pubkey, account: Account) {
        assert!(!account.executable, "programs come with `deploy`");
        let (recorded, state) = (Address(address.to_bytes()), state(&account));
        self.svm
            .set_account(address, account)
            .expect("it is neither a program nor a sysvar");
        if self.scenario.steps.is_empty() {
            self.scenario
                .accounts
                .retain(|account| account.address != recorded);
            self.scenario.accounts.push(format::Account {
                address: recorded,
                state,
            });
        } else {
            self.pending_accounts.insert(recorded, state);
        }
    }

    /// What stands at `address`.
    pub fn account(&self, address: &Pubkey) -> Option<Account> {
        self.svm
            .get_account(address)
            .filter(|account| account.lamports > 0)
    }

    /// The bytes at `address`; none if there is no account.
    pub fn data(&self, address: &Pubkey) -> Vec<u8> {
        self.account(address)
            .map(|account| account.data)
            .unwrap_or_default()
    }

    /// The lamports at `address`.
    pub fn lamports(&self, address: &Pubkey) -> u64 {
        self.account(address).map_or(0, |account| account.lamports)
    }

    /// The least balance of an account of so many bytes.
    pub fn rent(&self, bytes: usize) -> u64 {
        self.svm.minimum_balance_for_rent_exemption(bytes)
    }

    /// Begins a step. Its name is for people; it says who does what.
    pub fn step(&mut self, name: &str) -> Step<'_> {
        Step::new(self, name)
    }

    /// A step of one instruction with nothing more to say about it.
    #[track_caller]
    pub fn send(&mut self, name: &str, instruction: Instruction) -> Outcome {
        self.step(name).instruction(instruction).send()
    }

    /// Nothing of this story is written, because it cannot happen in K2's runtime: say why. An example is a program that runs
    /// while its own ProgramData account is broken; LiteSVM has the program in memory, and 1.14 reads that account at each call.
    pub fn only_here(&mut self, _why: &str) {
        self.only_here = true;
    }

    /// Whether the story will be written, if there is a folder for it: it has a step and is not [`only_here`](Self::only_here).
    pub fn is_recorded(&self) -> bool {
        !self.only_here && !self.scenario.steps.is_empty()
    }

    /// What was recorded so far.
    pub fn scenario(&self) -> &Scenario {
        &self.scenario
    }

    /// The chain as it stands, to go on without a record: signatures and blockhashes are not asked for.
    pub fn unrecorded(&self) -> LiteSVM {
        let svm = self.svm.clone();
        svm.with_sigverify(false).with_blockhash_check(false)
    }

    pub(crate) fn name_of(&self, pubkey: &Pubkey) -> Option<String> {
        self.keypairs
            .iter()
            .find(|(_, keypair)| keypair.pubkey() == *pubkey)
            .map(|(name, _)| name.clone())
    }

    pub(crate) fn keypair_named(&self, name: &str) -> &Keypair {
        self.keypairs
            .get(name)
            .expect("only names of keypairs are used")
    }

    /// What stands at an address, as a scenario has it. Sysvars change by themselves and count as nothing.
    pub(crate) fn state(&self, address: &Address) -> Option<State> {
        let account = self.account(&Pubkey::new_from_array(address.0))?;
        if account.owner == sysvar::id() {
            None
        } else {
            state(&account)
        }
    }

    pub(crate) fn take_pending(&mut self) -> (Option<Clock>, Vec<format::Account>) {
        let accounts = std::mem::take(&mut self.pending_accounts);
        let accounts = accounts
            .into_iter()
            .map(|(address, state)| format::Account { address, state });
        (self.pending_clock.take(), accounts.collect())
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        if thread::panicking() || !self.is_recorded() {
            return;
        }
        if let Some(folder) = env::var_os(SCENARIOS_ENV).filter(|folder| !folder.is_empty()) {
            write(&self.scenario, Path::new(&folder));
        }
    }
}

/// Writes a scenario to `<folder>/<name>.json` and returns that path.
///
/// # Panics
/// If it cannot be written.
pub fn write(scenario: &Scenario, folder: &Path) -> PathBuf {
    let file = folder.join(format!("{}.json", scenario.name));
    fs::create_dir_all(file.parent().expect("it is below the folder"))
        .expect("the folder can be made");
    let json = serde_json::to_string_pretty(scenario).expect("a scenario is JSON");
    fs::write(&file, json).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    file
}

/// The account that holds a program's ELF and names who may replace it.
pub fn programdata_address(program: &Pubkey) -> Pubkey {
    Pubkey::find_program_address(&[program.as_ref()], &bpf_loader_upgradeable::id()).0
}

fn state(account: &Account) -> Option<State> {
    (account.lamports > 0).then(|| State {
        lamports: account.lamports,
        owner: Address(account.owner.to_bytes()),
        executable: account.executable,
        data: account.data.clone(),
    })
}
