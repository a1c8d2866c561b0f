//! The program's derived addresses: one method for every seed list of [`k2_interface::pda`].

use k2_interface::state::Kind;
use k2_interface::{K2Address, Role, pda};
use solana_pubkey::Pubkey;

use crate::address::{
    ASSOCIATED_TOKEN_PROGRAM, TOKEN_PROGRAM, UPGRADEABLE_LOADER, address, pubkey,
};

/// A derived address and its bump.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Derived {
    /// The address.
    pub address: K2Address,
    /// The canonical bump: the highest that leaves the curve.
    pub bump: u8,
}

fn derive(program: &K2Address, seeds: &[&[u8]]) -> Derived {
    let (found, bump) = Pubkey::find_program_address(seeds, &pubkey(program));
    Derived {
        address: address(&found),
        bump,
    }
}

/// A Bitcoin output: transaction id in internal byte order, and which of its outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Outpoint {
    /// The transaction, in internal byte order.
    pub txid: [u8; 32],
    /// Which of its outputs.
    pub vout: u32,
}

impl From<bitcoin::OutPoint> for Outpoint {
    fn from(outpoint: bitcoin::OutPoint) -> Self {
        use bitcoin::hashes::Hash as _;
        Self {
            txid: outpoint.txid.to_byte_array(),
            vout: outpoint.vout,
        }
    }
}

/// A deployed program and the addresses that belong to it. Those that exist once are derived once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Program {
    id: K2Address,
    config: K2Address,
    token_authority: K2Address,
    mint: K2Address,
    vault: K2Address,
    escrow: K2Address,
    operators: K2Address,
    relay: K2Address,
    program_data: K2Address,
}

impl Program {
    /// The program with this id.
    #[must_use]
    pub fn new(id: K2Address) -> Self {
        let one = |seed: &[u8]| derive(&id, &[seed]).address;
        Self {
            id,
            config: one(pda::CONFIG),
            token_authority: one(pda::TOKEN_AUTHORITY),
            mint: one(pda::MINT),
            vault: one(pda::VAULT),
            escrow: one(pda::ESCROW),
            operators: one(pda::OPERATORS),
            relay: one(pda::RELAY),
            program_data: derive(&UPGRADEABLE_LOADER, &[id.as_bytes()]).address,
        }
    }

    /// The program itself.
    #[must_use]
    pub const fn id(&self) -> K2Address {
        self.id
    }

    /// The configuration.
    #[must_use]
    pub const fn config(&self) -> K2Address {
        self.config
    }

    /// Signs for mint, vault and escrow.
    #[must_use]
    pub const fn token_authority(&self) -> K2Address {
        self.token_authority
    }

    /// The wrapped token's mint.
    #[must_use]
    pub const fn mint(&self) -> K2Address {
        self.mint
    }

    /// The vault.
    #[must_use]
    pub const fn vault(&self) -> K2Address {
        self.vault
    }

    /// The escrow.
    #[must_use]
    pub const fn escrow(&self) -> K2Address {
        self.escrow
    }

    /// The operators' set.
    #[must_use]
    pub const fn operators(&self) -> K2Address {
        self.operators
    }

    /// The relay.
    #[must_use]
    pub const fn relay(&self) -> K2Address {
        self.relay
    }

    /// What the upgradeable loader keeps about the program: its code and its upgrade authority.
    #[must_use]
    pub const fn program_data(&self) -> K2Address {
        self.program_data
    }

    /// The payer's fork account.
    #[must_use]
    pub fn fork(&self, payer: &K2Address) -> Derived {
        derive(&self.id, &[pda::FORK, payer.as_bytes()])
    }

    /// One of the payer's cursors.
    #[must_use]
    pub fn cursor(&self, payer: &K2Address, id: u32) -> Derived {
        derive(
            &self.id,
            &[pda::CURSOR, payer.as_bytes(), &id.to_le_bytes()],
        )
    }

    /// One of the payer's proof buffers.
    #[must_use]
    pub fn buffer(&self, payer: &K2Address, id: u32) -> Derived {
        derive(
            &self.id,
            &[pda::BUFFER, payer.as_bytes(), &id.to_le_bytes()],
        )
    }

    /// The record that an output has been minted.
    #[must_use]
    pub fn deposit(&self, outpoint: &Outpoint) -> Derived {
        derive(
            &self.id,
            &[pda::DEPOSIT, &outpoint.txid, &outpoint.vout.to_le_bytes()],
        )
    }

    /// The record that an output has settled a redemption.
    #[must_use]
    pub fn payout(&self, outpoint: &Outpoint) -> Derived {
        derive(
            &self.id,
            &[pda::PAYOUT, &outpoint.txid, &outpoint.vout.to_le_bytes()],
        )
    }

    /// An operator's bond.
    #[must_use]
    pub fn operator(&self, key: &K2Address) -> Derived {
        derive(&self.id, &[pda::OPERATOR, key.as_bytes()])
    }

    /// A proposal.
    #[must_use]
    pub fn proposal(&self, round: u64, proposer: &K2Address) -> Derived {
        derive(
            &self.id,
            &[pda::ROUND, &round.to_le_bytes(), proposer.as_bytes()],
        )
    }

    /// What an owner has claimed in a role.
    #[must_use]
    pub fn ledger(&self, role: Role, owner: &K2Address) -> Derived {
        derive(&self.id, &[pda::LEDGER, &[role.into()], owner.as_bytes()])
    }

    /// A redemption.
    #[must_use]
    pub fn redemption(&self, id: u64) -> Derived {
        derive(&self.id, &[pda::REDEMPTION, &id.to_le_bytes()])
    }

    /// The owner's associated token account for the wrapped token.
    #[must_use]
    pub fn token_account(&self, owner: &K2Address) -> Derived {
        derive(
            &ASSOCIATED_TOKEN_PROGRAM,
            &[
                owner.as_bytes(),
                TOKEN_PROGRAM.as_bytes(),
                self.mint.as_bytes(),
            ],
        )
    }

    /// The address of an account that exists once, by what it holds.
    #[must_use]
    pub const fn single(&self, kind: Kind) -> Option<K2Address> {
        match kind {
            Kind::Config => Some(self.config),
            Kind::Operators => Some(self.operators),
            Kind::Relay => Some(self.relay),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::HashSet;

    use super::*;

    fn program() -> Program {
        Program::new(K2Address::from_bytes([1; 32]))
    }

    #[test]
    fn no_two_seed_lists_meet() {
        let (p, key) = (program(), K2Address::from_bytes([2; 32]));
        let outpoint = Outpoint {
            txid: *key.as_bytes(),
            vout: 0,
        };
        let all = [
            p.config(),
            p.token_authority(),
            p.mint(),
            p.vault(),
            p.escrow(),
            p.operators(),
            p.relay(),
            p.program_data(),
            p.fork(&key).address,
            p.cursor(&key, 0).address,
            p.buffer(&key, 0).address,
            p.cursor(&key, 1).address,
            p.deposit(&outpoint).address,
            p.payout(&outpoint).address,
            p.operator(&key).address,
            p.proposal(0, &key).address,
            p.proposal(1, &key).address,
            p.ledger(Role::Miner, &key).address,
            p.ledger(Role::Operator, &key).address,
            p.redemption(0).address,
            p.token_account(&key).address,
        ];
        assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len());
    }

    #[test]
    fn the_token_account_is_the_one_every_wallet_derives() {
        let (p, key) = (program(), K2Address::from_bytes([2; 32]));
        let stock = spl_associated_token_account_interface::address::get_associated_token_address(
            &pubkey(&key),
            &pubkey(&p.mint()),
        );
        assert_eq!(p.token_account(&key).address, address(&stock));
    }
}
