//! Claims, redemptions, and the token accounts they pay to.

use k2_interface::instruction::{Claim, Instruction as Call, RefundRedeem, RequestRedeem};
use k2_interface::{K2Address, RewardLeaf};
use solana_instruction::Instruction;
use spl_associated_token_account_interface::instruction as associated;

use crate::address::{TOKEN_PROGRAM, pubkey};
use crate::pda::Program;

impl Program {
    /// Pays a leaf's owner, to its associated token account. Anybody may pay the fee.
    #[must_use]
    pub fn claim(&self, payer: K2Address, leaf: &RewardLeaf, siblings: &[[u8; 32]]) -> Instruction {
        let destination = self.token_account(&leaf.owner);
        let args = Claim {
            role: leaf.role.into(),
            index: leaf.index,
            cumulative: leaf.cumulative,
            destination_bump: destination.bump,
        };
        self.instruction(
            &Call::Claim {
                args,
                siblings: siblings.as_flattened(),
            },
            &[
                ("payer", payer),
                ("ledger", self.ledger(leaf.role, &leaf.owner).address),
                ("owner", leaf.owner),
                ("destination", destination.address),
            ],
        )
    }

    /// Pays a leaf's owner to any token account of the wrapped mint. The owner signs.
    #[must_use]
    pub fn claim_to(
        &self,
        payer: K2Address,
        leaf: &RewardLeaf,
        siblings: &[[u8; 32]],
        destination: K2Address,
    ) -> Instruction {
        let mut instruction = self.claim(payer, leaf, siblings);
        let own = pubkey(&self.token_account(&leaf.owner).address);
        for meta in &mut instruction.accounts {
            if meta.pubkey == pubkey(&leaf.owner) {
                meta.is_signer = true;
            } else if meta.pubkey == own {
                meta.pubkey = pubkey(&destination);
            }
        }
        instruction
    }

    /// Locks wrapped sats from `source` for BTC. `id`: the configuration's count of redemptions so far.
    #[must_use]
    pub fn request_redeem(
        &self,
        payer: K2Address,
        owner: K2Address,
        source: K2Address,
        id: u64,
        args: RequestRedeem,
    ) -> Instruction {
        self.instruction(
            &Call::RequestRedeem { args },
            &[
                ("payer", payer),
                ("owner", owner),
                ("source", source),
                ("redemption", self.redemption(id).address),
            ],
        )
    }

    /// Returns the tokens of an expired redemption to its owner's associated token account.
    #[must_use]
    pub fn refund_redeem(&self, id: u64, owner: K2Address) -> Instruction {
        let destination = self.token_account(&owner);
        let args = RefundRedeem {
            destination_bump: destination.bump,
        };
        self.instruction(
            &Call::RefundRedeem { args },
            &[
                ("redemption", self.redemption(id).address),
                ("owner", owner),
                ("destination", destination.address),
            ],
        )
    }

    /// Returns the rent of a redemption that is settled or refunded to who paid it.
    #[must_use]
    pub fn close_redemption(&self, id: u64, rent_receiver: K2Address) -> Instruction {
        self.instruction(
            &Call::CloseRedemption {},
            &[
                ("rent_receiver", rent_receiver),
                ("redemption", self.redemption(id).address),
            ],
        )
    }

    /// Creates the owner's associated token account for the wrapped token, unless it exists.
    #[must_use]
    pub fn create_token_account(&self, payer: K2Address, owner: K2Address) -> Instruction {
        associated::create_associated_token_account_idempotent(
            &pubkey(&payer),
            &pubkey(&owner),
            &pubkey(&self.mint()),
            &pubkey(&TOKEN_PROGRAM),
        )
    }

    /// As [`Self::create_token_account`] for associated token account programs from before 2022, which know no
    /// `CreateIdempotent`: fails where the account exists.
    #[must_use]
    pub fn create_token_account_once(&self, payer: K2Address, owner: K2Address) -> Instruction {
        associated::create_associated_token_account(
            &pubkey(&payer),
            &pubkey(&owner),
            &pubkey(&self.mint()),
            &pubkey(&TOKEN_PROGRAM),
        )
    }
}
