//! A chain on which the pool exists, and its people.

use std::{env, fs};

use k2_interface::bitcoin::Network;
use k2_interface::instruction::{
    self as args, AccountSpec, Instruction, InstructionKind, Is, When,
};
use k2_interface::state::{self, Account, Config, Kind, OperatorSet, PackedScript, Relay};
use k2_interface::{K2Address, Role, pda};
use scenario::{Recorder, SOL};
use solana_instruction::AccountMeta;
use solana_pubkey::Pubkey;
use solana_sdk_ids::{bpf_loader_upgradeable, incinerator, system_program};
use spl_associated_token_account_interface::address::get_associated_token_address_and_bump_seed;

use crate::bitcoin::Chain;
use crate::rewards::{RewardList, address};
use crate::{Call, Sent, scripts};

/// The environment variable that holds the path of the program under test.
pub const PROGRAM_ENV: &str = "ORCAPOOL_K2_PROGRAM";

/// A pool on its chain.
pub struct World {
    /// The chain, and the record of what happens on it.
    pub k2: Recorder,
    /// The program.
    pub program: Pubkey,
    /// May replace the program, and so initialize it.
    pub upgrade_authority: Pubkey,
    /// The pool's authority.
    pub authority: Pubkey,
    /// Its guardian.
    pub guardian: Pubkey,
    /// Pays rents.
    pub payer: Pubkey,
    /// Bitcoin, as the pool sees it.
    pub chain: Chain,
}

/// An `orcapool_k2.so`.
fn program_file() -> Vec<u8> {
    let Some(path) = env::var_os(PROGRAM_ENV).filter(|path| !path.is_empty()) else {
        panic!(
            "{PROGRAM_ENV} is not set: it names the program to test, which scripts/build-program builds and prints"
        );
    };
    fs::read(&path).unwrap_or_else(|error| panic!("{PROGRAM_ENV}={}: {error}", path.display()))
}

impl World {
    /// A chain with the program, which nobody has initialized yet.
    #[track_caller]
    pub fn deployed(story: &str) -> Self {
        Self::deployed_by(story, true)
    }

    /// A chain with the program, that is upgradable or frozen.
    #[track_caller]
    pub fn deployed_by(story: &str, upgradable: bool) -> Self {
        let mut k2 = Recorder::new(story);
        let names = [
            "program",
            "upgrade authority",
            "authority",
            "guardian",
            "payer",
        ];
        let [program, upgrade_authority, authority, guardian, payer] =
            names.map(|name| k2.pubkey(name));
        k2.deploy(
            program,
            &program_file(),
            upgradable.then_some(upgrade_authority),
        );
        for key in [upgrade_authority, authority, guardian, payer] {
            k2.fund(key, 1_000 * SOL);
        }
        // Slots begin high enough that nothing is confused with the zero that means "never".
        k2.set_clock(1_000, 1_700_000_000);
        Self {
            k2,
            program,
            upgrade_authority,
            authority,
            guardian,
            payer,
            chain: Chain::regtest(),
        }
    }

    /// A pool on regtest with the rules of [`World::rules`].
    #[track_caller]
    pub fn new(story: &str) -> Self {
        let mut world = Self::deployed(story);
        let initialize = world.initialize(world.rules());
        world.send("the pool is set up", initialize).must_succeed();
        world
    }

    /// Rules under which everything happens quickly, on regtest.
    pub fn rules(&self) -> args::Initialize {
        args::Initialize {
            network: Network::Regtest.into(),
            quorum: 2,
            authority: address(self.authority),
            guardian: address(self.guardian),
            deposit_confirmations: 6,
            mint_horizon: 400,
            mint_window_blocks: 144,
            redeem_expiry_blocks: 30,
            custody_grace_blocks: 10,
            mint_window_cap: 1_000 * BTC,
            supply_cap: 21_000_000 * BTC,
            redeem_min: 10_000,
            challenge_slots: 100,
            custody_delay_slots: 1_000,
            unbonding_slots: 2_000,
            bond_lamports: 5 * SOL,
            coinbase_script: scripts::coinbase(),
            deposit_script: scripts::deposit(),
        }
    }

    /// Somebody with 100 SOL.
    pub fn somebody(&mut self, name: &str) -> Pubkey {
        let key = self.k2.pubkey(name);
        if self.k2.lamports(&key) == 0 {
            self.k2.fund(key, 100 * SOL);
        }
        key
    }

    /// Sends one instruction.
    #[track_caller]
    pub fn send(&mut self, step: &str, call: Call) -> Sent {
        let outcome = self.k2.send(step, call.clone().into());
        Sent { call, outcome }
    }

    /// Operators by these names, in the set from the slot before now on.
    #[track_caller]
    pub fn operators_named<const N: usize>(&mut self, names: [&str; N]) -> [Pubkey; N] {
        let keys = names.map(|name| self.somebody(name));
        for (name, key) in names.iter().zip(keys) {
            let register = self.register(key);
            self.send(&format!("{name} becomes an operator"), register)
                .must_succeed();
        }
        self.wait(1);
        keys
    }

    // ---- addresses ---------------------------------------------------------------------------------------------------

    /// The derived address of these seeds.
    pub fn derived(&self, seeds: &[&[u8]]) -> Pubkey {
        Pubkey::find_program_address(seeds, &self.program).0
    }

    /// The bump of the derived address of these seeds.
    pub fn bump(&self, seeds: &[&[u8]]) -> u8 {
        Pubkey::find_program_address(seeds, &self.program).1
    }

    /// The configuration.
    pub fn config_key(&self) -> Pubkey {
        self.derived(&[pda::CONFIG])
    }

    /// The operators' set.
    pub fn operators_key(&self) -> Pubkey {
        self.derived(&[pda::OPERATORS])
    }

    /// The relay.
    pub fn relay_key(&self) -> Pubkey {
        self.derived(&[pda::RELAY])
    }

    /// The wrapped token's mint.
    pub fn mint_key(&self) -> Pubkey {
        self.derived(&[pda::MINT])
    }

    /// The vault.
    pub fn vault_key(&self) -> Pubkey {
        self.derived(&[pda::VAULT])
    }

    /// The escrow.
    pub fn escrow_key(&self) -> Pubkey {
        self.derived(&[pda::ESCROW])
    }

    /// Who signs for mint, vault and escrow.
    pub fn token_authority_key(&self) -> Pubkey {
        self.derived(&[pda::TOKEN_AUTHORITY])
    }

    /// An operator's account.
    pub fn operator_key(&self, operator: Pubkey) -> Pubkey {
        self.derived(&[pda::OPERATOR, operator.as_ref()])
    }

    /// A proposal.
    pub fn proposal_key(&self, round: u64, proposer: Pubkey) -> Pubkey {
        self.derived(&[pda::ROUND, &round.to_le_bytes(), proposer.as_ref()])
    }

    /// An owner's ledger in a role.
    pub fn ledger_key(&self, role: Role, owner: Pubkey) -> Pubkey {
        self.derived(&[pda::LEDGER, &[role.into()], owner.as_ref()])
    }

    /// A redemption.
    pub fn redemption_key(&self, id: u64) -> Pubkey {
        self.derived(&[pda::REDEMPTION, &id.to_le_bytes()])
    }

    /// Somebody's associated token account of the wrapped token, and its bump.
    pub fn associated(&self, owner: Pubkey) -> (Pubkey, u8) {
        let token = spl_token_interface::ID;
        get_associated_token_address_and_bump_seed(
            &owner,
            &self.mint_key(),
            &spl_associated_token_account_interface::program::ID,
            &token,
        )
    }

    // ---- accounts ----------------------------------------------------------------------------------------------------

    /// What stands at an address, which must be of this kind.
    #[track_caller]
    pub fn read<T: Account + Copy>(&self, key: Pubkey, kind: Kind) -> T {
        let account = self
            .k2
            .account(&key)
            .unwrap_or_else(|| panic!("there is no {kind:?} at {key}"));
        assert_eq!(
            account.owner, self.program,
            "{kind:?} at {key} is not the program's"
        );
        let least = self.k2.rent(account.data.len());
        assert!(
            account.lamports >= least,
            "{kind:?} at {key} is not rent-exempt"
        );
        *state::load(&account.data, kind)
            .unwrap_or_else(|error| panic!("{kind:?} at {key}: {error}"))
    }

    /// The configuration.
    #[track_caller]
    pub fn config(&self) -> Config {
        self.read(self.config_key(), Kind::Config)
    }

    /// The operators' set.
    #[track_caller]
    pub fn operators(&self) -> OperatorSet {
        self.read(self.operators_key(), Kind::Operators)
    }

    /// The relay.
    #[track_caller]
    pub fn relay(&self) -> Relay {
        self.read(self.relay_key(), Kind::Relay)
    }

    /// Whether nothing stands at this address.
    pub fn is_gone(&self, key: Pubkey) -> bool {
        self.k2.account(&key).is_none()
    }

    /// The slot.
    pub fn slot(&self) -> u64 {
        self.k2.clock().slot
    }

    /// Goes to this many slots later.
    pub fn wait(&mut self, slots: u64) {
        self.k2
            .advance(slots, i64::try_from(slots).unwrap() * 2 / 5);
    }

    // ---- instructions ------------------------------------------------------------------------------------------------

    /// An instruction with its accounts. `keys` names those whose address does not follow from what they are. Accounts
    /// that are not always passed are passed if they are named here; `spent` as often as it is.
    #[track_caller]
    pub fn call(&self, instruction: &Instruction<'_>, keys: &[(&str, Pubkey)]) -> Call {
        let kind = instruction.kind();
        let mut accounts = Vec::new();
        for spec in kind.accounts() {
            let named = keys.iter().filter(|(name, _)| *name == spec.name);
            let mut keys: Vec<Pubkey> = named.map(|(_, key)| *key).collect();
            if keys.is_empty() && spec.when == When::Always {
                keys.push(self.usual(kind, spec));
            }
            for key in keys {
                let meta = AccountMeta {
                    pubkey: key,
                    is_signer: spec.signer,
                    is_writable: spec.writable,
                };
                accounts.push((*spec, meta));
            }
        }
        for (name, _) in keys {
            assert!(
                kind.accounts().iter().any(|spec| spec.name == *name),
                "{kind:?} has no account `{name}`"
            );
        }
        Call {
            kind,
            program: self.program,
            data: instruction.encode(),
            accounts,
        }
    }

    /// The address of an account that there is one of.
    #[track_caller]
    fn usual(&self, kind: InstructionKind, spec: &AccountSpec) -> Pubkey {
        match spec.is {
            Is::Config => self.config_key(),
            Is::Operators => self.operators_key(),
            Is::Relay => self.relay_key(),
            Is::Mint => self.mint_key(),
            Is::Vault => self.vault_key(),
            Is::Escrow => self.escrow_key(),
            Is::TokenAuthority => self.token_authority_key(),
            Is::TokenProgram => spl_token_interface::ID,
            Is::SystemProgram => system_program::ID,
            Is::ProgramData => {
                Pubkey::find_program_address(&[self.program.as_ref()], &bpf_loader_upgradeable::ID)
                    .0
            }
            Is::Incinerator => incinerator::ID,
            Is::Key if spec.name == "payer" => self.payer,
            Is::Key if spec.name == "authority" => self.authority,
            Is::Key if spec.name == "upgrade_authority" => self.upgrade_authority,
            _ => panic!("say which account is `{}` of {kind:?}", spec.name),
        }
    }

    /// Initialize.
    pub fn initialize(&self, args: args::Initialize) -> Call {
        self.call(&Instruction::Initialize { args }, &[])
    }

    /// ProposeAuthority, by the authority.
    pub fn propose_authority(&self, key: Pubkey) -> Call {
        self.call(
            &Instruction::ProposeAuthority {
                args: args::NewAuthority { key: address(key) },
            },
            &[],
        )
    }

    /// AcceptAuthority.
    pub fn accept_authority(&self, by: Pubkey) -> Call {
        self.call(
            &Instruction::AcceptAuthority {},
            &[("pending_authority", by)],
        )
    }

    /// SetGuardian, by the authority.
    pub fn set_guardian(&self, key: Pubkey) -> Call {
        self.call(
            &Instruction::SetGuardian {
                args: args::NewGuardian { key: address(key) },
            },
            &[],
        )
    }

    /// Pause.
    pub fn pause(&self, by: Pubkey, flags: u8) -> Call {
        let args = args::PauseFlags { flags };
        self.call(
            &Instruction::Pause { args },
            &[("guardian_or_authority", by)],
        )
    }

    /// Resume.
    pub fn resume(&self, by: Pubkey, flags: u8) -> Call {
        let args = args::PauseFlags { flags };
        self.call(&Instruction::Resume { args }, &[("authority", by)])
    }

    /// ProposeCustody, by the authority.
    pub fn propose_custody(
        &self,
        coinbase_script: PackedScript,
        deposit_script: PackedScript,
    ) -> Call {
        let args = args::ProposeCustody {
            coinbase_script,
            deposit_script,
        };
        self.call(&Instruction::ProposeCustody { args }, &[])
    }

    /// CancelCustody.
    pub fn cancel_custody(&self, by: Pubkey) -> Call {
        self.call(
            &Instruction::CancelCustody {},
            &[("guardian_or_authority", by)],
        )
    }

    /// ActivateCustody.
    pub fn activate_custody(&self) -> Call {
        self.call(&Instruction::ActivateCustody {}, &[])
    }

    /// SetQuorum, by the authority.
    pub fn set_quorum(&self, quorum: u8) -> Call {
        self.call(
            &Instruction::SetQuorum {
                args: args::SetQuorum { quorum },
            },
            &[],
        )
    }

    /// RegisterOperator.
    pub fn register(&self, operator: Pubkey) -> Call {
        let account = self.operator_key(operator);
        self.call(
            &Instruction::RegisterOperator {},
            &[("operator_key", operator), ("operator", account)],
        )
    }

    /// LeaveOperator.
    pub fn leave(&self, operator: Pubkey, by: Pubkey) -> Call {
        let account = self.operator_key(operator);
        self.call(
            &Instruction::LeaveOperator {},
            &[("operator_key_or_authority", by), ("operator", account)],
        )
    }

    /// WithdrawBond.
    pub fn withdraw_bond(&self, operator: Pubkey) -> Call {
        let account = self.operator_key(operator);
        self.call(
            &Instruction::WithdrawBond {},
            &[("operator_key", operator), ("operator", account)],
        )
    }

    /// SlashOperator, by two proposals.
    pub fn slash(&self, operator: Pubkey, one: Pubkey, other: Pubkey) -> Call {
        let account = self.operator_key(operator);
        let keys = [
            ("operator", account),
            ("one_proposal", one),
            ("other_proposal", other),
        ];
        self.call(&Instruction::SlashOperator {}, &keys)
    }

    /// ProposeRound.
    pub fn propose(&self, operator: Pubkey, args: args::RoundRoot) -> Call {
        let proposal = self.proposal_key(args.round, operator);
        self.call(
            &Instruction::ProposeRound { args },
            &[("operator_key", operator), ("proposal", proposal)],
        )
    }

    /// AttestRound, of what `proposer` proposed.
    pub fn attest(&self, operator: Pubkey, proposer: Pubkey, args: args::RoundRoot) -> Call {
        let proposal = self.proposal_key(args.round, proposer);
        self.call(
            &Instruction::AttestRound { args },
            &[("operator_key", operator), ("proposal", proposal)],
        )
    }

    /// FinalizeRound.
    pub fn finalize(&self, round: u64, proposer: Pubkey) -> Call {
        let proposal = self.proposal_key(round, proposer);
        self.call(&Instruction::FinalizeRound {}, &[("proposal", proposal)])
    }

    /// VetoRound.
    pub fn veto(&self, by: Pubkey, round: u64, proposer: Pubkey) -> Call {
        let proposal = self.proposal_key(round, proposer);
        self.call(
            &Instruction::VetoRound {},
            &[("guardian_or_authority", by), ("proposal", proposal)],
        )
    }

    /// CloseProposal.
    pub fn close_proposal(&self, round: u64, proposer: Pubkey) -> Call {
        let proposal = self.proposal_key(round, proposer);
        self.call(
            &Instruction::CloseProposal {},
            &[("rent_receiver", proposer), ("proposal", proposal)],
        )
    }

    /// Claim of the entry at `index`, to its owner's associated token account.
    pub fn claim(&self, list: &RewardList, index: usize) -> Call {
        let (args, siblings) = list.claim(index);
        let (role, owner, _) = list.entry(index);
        self.claim_with(args, &siblings, role, owner)
    }

    /// Claim with any arguments; the destination is the owner's associated token account.
    pub fn claim_with(
        &self,
        mut args: args::Claim,
        siblings: &[u8],
        role: Role,
        owner: Pubkey,
    ) -> Call {
        let (destination, bump) = self.associated(owner);
        args.destination_bump = bump;
        let keys = [
            ("owner", owner),
            ("destination", destination),
            ("ledger", self.ledger_key(role, owner)),
        ];
        self.call(&Instruction::Claim { args, siblings }, &keys)
    }

    /// RequestRedeem, from the owner's associated token account, as the next redemption.
    pub fn request_redeem(
        &self,
        owner: Pubkey,
        amount: u64,
        max_fee: u64,
        script: PackedScript,
    ) -> Call {
        let redemption = self.redemption_key(self.config().totals.redemptions.get());
        let args = args::RequestRedeem {
            amount,
            max_fee,
            script,
        };
        let keys = [
            ("owner", owner),
            ("source", self.associated(owner).0),
            ("redemption", redemption),
        ];
        self.call(&Instruction::RequestRedeem { args }, &keys)
    }

    /// RefundRedeem, to the owner's associated token account.
    pub fn refund_redeem(&self, id: u64, owner: Pubkey) -> Call {
        let (destination, destination_bump) = self.associated(owner);
        let args = args::RefundRedeem { destination_bump };
        let keys = [
            ("redemption", self.redemption_key(id)),
            ("owner", owner),
            ("destination", destination),
        ];
        self.call(&Instruction::RefundRedeem { args }, &keys)
    }

    /// CloseRedemption.
    pub fn close_redemption(&self, id: u64, payer: Pubkey) -> Call {
        let keys = [
            ("rent_receiver", payer),
            ("redemption", self.redemption_key(id)),
        ];
        self.call(&Instruction::CloseRedemption {}, &keys)
    }
}

/// Sats of a BTC.
pub const BTC: u64 = 100_000_000;

/// No key.
pub const NOBODY: K2Address = K2Address::from_bytes([0; 32]);
