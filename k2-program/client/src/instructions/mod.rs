//! One builder for every instruction. The accounts are made from the list the program itself checks them against
//! ([`InstructionKind::accounts`]): their order, signatures and writability stand in one place only.
//!
//! A builder derives every address the program fixes; only keys that are somebody's choice are parameters.

mod admin;
mod operators;
mod prove;
mod relay;
mod rewards;
#[cfg(test)]
mod tests;

use k2_interface::K2Address;
use k2_interface::instruction::{AccountSpec, Instruction as Call, InstructionKind, Is, When};
use k2_interface::state::PackedScript;
use solana_instruction::{AccountMeta, Instruction};

use crate::address::{INCINERATOR, SYSTEM_PROGRAM, TOKEN_PROGRAM, pubkey};
use crate::pda::Program;

pub use prove::{Anchoring, Location, ProofBytes};

/// Nothing: "no script", or the end of a packed one.
pub const NO_SCRIPT: PackedScript = [0; 35];

/// Accounts by the names of the instruction's list. One name may come several times ([`When::PerInput`]).
type Named<'a> = &'a [(&'static str, K2Address)];

impl Program {
    /// The instruction, with its accounts in their order. A required account that is neither fixed by the program nor
    /// named would be left out, and the program refuse the instruction; a test shows that no builder forgets one.
    pub(crate) fn instruction(&self, call: &Call<'_>, named: Named<'_>) -> Instruction {
        Instruction {
            program_id: pubkey(&self.id()),
            accounts: self.accounts(call.kind(), named),
            data: call.encode(),
        }
    }

    fn accounts(&self, kind: InstructionKind, named: Named<'_>) -> Vec<AccountMeta> {
        let mut metas = Vec::with_capacity(named.len() + 4);
        for spec in kind.accounts() {
            let mut found = named
                .iter()
                .filter(|(name, _)| *name == spec.name)
                .peekable();
            match self.fixed(spec) {
                Some(address) if found.peek().is_none() => metas.push(meta(spec, &address)),
                _ if spec.when == When::PerInput => {
                    metas.extend(found.map(|(_, address)| meta(spec, address)));
                }
                _ => metas.extend(found.next().map(|(_, address)| meta(spec, address))),
            }
        }
        metas
    }

    /// The addresses that do not depend on the instruction.
    const fn fixed(&self, spec: &AccountSpec) -> Option<K2Address> {
        Some(match spec.is {
            Is::Config => self.config(),
            Is::Operators => self.operators(),
            Is::Relay => self.relay(),
            Is::Mint => self.mint(),
            Is::Vault => self.vault(),
            Is::Escrow => self.escrow(),
            Is::TokenAuthority => self.token_authority(),
            Is::TokenProgram => TOKEN_PROGRAM,
            Is::SystemProgram => SYSTEM_PROGRAM,
            Is::ProgramData => self.program_data(),
            Is::Incinerator => INCINERATOR,
            _ => return None,
        })
    }
}

const fn meta(spec: &AccountSpec, address: &K2Address) -> AccountMeta {
    AccountMeta {
        pubkey: pubkey(address),
        is_signer: spec.signer,
        is_writable: spec.writable,
    }
}
