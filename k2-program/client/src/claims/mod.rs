//! Claims: from a reward list to tokens in the owner's account.

#[cfg(test)]
mod tests;

use k2_interface::reward_tree::{self, ProofError};
use k2_interface::state::Config;
use k2_interface::{K2Address, PoolError, RewardLeaf, Role};
use ledger::RewardList;
use serde::Serialize;
use solana_signature::Signature;

use crate::accounts::{AccountError, TokenAccount};
use crate::client::Client;
use crate::keypair::Keypair;
use crate::send::{Confirmed, SendError};
use crate::transaction::Draft;
use crate::views::role_name;

/// Why nothing was claimed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClaimError {
    /// An account.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// The transaction.
    #[error(transparent)]
    Send(#[from] SendError),
    /// The program would refuse it.
    #[error("{0}")]
    Rule(PoolError),
    /// The list is not the one in force.
    #[error(
        "this is the list of round {list}, the program pays by that of round {finalized}: get the list {cid}"
    )]
    OtherList {
        /// The list's round.
        list: u64,
        /// The round in force.
        finalized: u64,
        /// The CID of the list in force.
        cid: String,
    },
    /// The proof fails.
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// No such leaf.
    #[error("{owner} has no entry as {role} in the list of round {round}")]
    NoEntry {
        /// Whose.
        owner: K2Address,
        /// As what.
        role: &'static str,
        /// The list's round.
        round: u64,
    },
    /// Something that is no token account stands where the owner's tokens would go.
    #[error(
        "{address} is a token account of somebody else: its owner gave it away and must claim to another one"
    )]
    DestinationLost {
        /// The associated token account.
        address: K2Address,
    },
}

/// A leaf of the finalized tree and its proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimProof {
    /// The leaf.
    pub leaf: RewardLeaf,
    /// Its siblings, leaf level first.
    pub siblings: Vec<[u8; 32]>,
}

impl ClaimProof {
    /// What `owner` may claim in `role` by this list.
    ///
    /// # Errors
    /// [`ClaimError::NoEntry`].
    pub fn of(list: &RewardList, role: Role, owner: K2Address) -> Result<Self, ClaimError> {
        let (leaf, siblings) = list.leaf(role, owner).ok_or(ClaimError::NoEntry {
            owner,
            role: role_name(role),
            round: list.round().get(),
        })?;
        Ok(Self { leaf, siblings })
    }

    /// Whether the program pays by it.
    ///
    /// # Errors
    /// [`ClaimError`]: what the program would say, and more.
    pub fn check(&self, config: &Config) -> Result<(), ClaimError> {
        let rewards = &config.rewards;
        if rewards.finalized.get() == 0 {
            return Err(ClaimError::Rule(PoolError::NothingFinalized));
        }
        if self.leaf.round != rewards.round.get() {
            return Err(ClaimError::OtherList {
                list: self.leaf.round,
                finalized: rewards.round.get(),
                cid: crate::views::list_cid(&rewards.list)
                    .map(|cid| cid.to_string())
                    .unwrap_or_default(),
            });
        }
        let count = rewards.leaf_count.get();
        Ok(reward_tree::verify(
            &rewards.root,
            &self.leaf,
            count,
            &self.siblings,
        )?)
    }
}

/// What a claim would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Claimable {
    /// Who is paid.
    pub owner: K2Address,
    /// As what.
    pub role: &'static str,
    /// Everything earned, in sats.
    pub cumulative: u64,
    /// Claimed before, in sats.
    pub claimed: u64,
    /// What a claim pays now, in sats.
    pub amount: u64,
    /// The owner's associated token account.
    pub destination: K2Address,
    /// Whether that exists; a claim creates it.
    pub destination_exists: bool,
}

/// What a claim has done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Claimed {
    /// What it paid, and to whom.
    #[serde(flatten)]
    pub claim: Claimable,
    /// The transaction; `None`: there was nothing to claim.
    #[serde(serialize_with = "crate::views::signature")]
    pub signature: Option<Signature>,
}

/// Claims by one list.
#[derive(Debug, Clone, Copy)]
pub struct Claims<'a> {
    client: &'a Client,
}

impl<'a> Claims<'a> {
    /// Claims at the client's program.
    #[must_use]
    pub const fn new(client: &'a Client) -> Self {
        Self { client }
    }

    /// What a claim would pay. Checks the proof.
    ///
    /// # Errors
    /// [`ClaimError`]; nothing left to claim is no error.
    pub async fn look(&self, proof: &ClaimProof) -> Result<Claimable, ClaimError> {
        let accounts = self.client.accounts();
        proof.check(&accounts.config().await?)?;
        let leaf = &proof.leaf;
        let ledger = accounts.ledger(leaf.role, &leaf.owner).await?;
        let claimed = ledger.map_or(0, |ledger| ledger.claimed.get());
        let destination = self.client.program().token_account(&leaf.owner).address;
        let account = accounts.token_account(destination).await?;
        let lost = |account: &TokenAccount| account.owner != leaf.owner;
        if account.as_ref().is_some_and(lost) {
            return Err(ClaimError::DestinationLost {
                address: destination,
            });
        }
        Ok(Claimable {
            owner: leaf.owner,
            role: role_name(leaf.role),
            cumulative: leaf.cumulative,
            claimed,
            amount: leaf.cumulative.saturating_sub(claimed),
            destination,
            destination_exists: account.is_some(),
        })
    }

    /// The draft of a claim: it creates the owner's token account where that is missing. Both fit one transaction, also at
    /// the greatest depth.
    #[must_use]
    pub fn draft(&self, payer: K2Address, proof: &ClaimProof, destination_exists: bool) -> Draft {
        let program = self.client.program();
        let mut instructions = Vec::with_capacity(2);
        if !destination_exists {
            instructions.push(program.create_token_account(payer, proof.leaf.owner));
        }
        instructions.push(program.claim(payer, &proof.leaf, &proof.siblings));
        Draft::new(payer, instructions)
    }

    /// Pays the leaf's owner everything not claimed yet.
    ///
    /// # Errors
    /// [`ClaimError`]; nothing left to claim is no error.
    pub async fn claim(&self, payer: &Keypair, proof: &ClaimProof) -> Result<Claimed, ClaimError> {
        let claim = self.look(proof).await?;
        if claim.amount == 0 {
            return Ok(Claimed {
                claim,
                signature: None,
            });
        }
        let signature = match self.pay(payer, proof, &claim).await {
            Ok(confirmed) => Some(confirmed.signature),
            // Somebody else paid the fee for it meanwhile.
            Err(error) if error.is(PoolError::NothingToClaim) => None,
            Err(error) => return Err(error.into()),
        };
        tracing::info!(owner = %claim.owner, role = claim.role, sats = claim.amount, "claimed");
        Ok(Claimed { claim, signature })
    }

    async fn pay(
        &self,
        payer: &Keypair,
        proof: &ClaimProof,
        claim: &Claimable,
    ) -> Result<Confirmed, SendError> {
        let mut draft = self.draft(payer.address(), proof, claim.destination_exists);
        match self.client.send(&draft, &[payer]).await {
            Err(error) if !claim.destination_exists && is_old_program(&error) => {
                let program = self.client.program();
                let once = program.create_token_account_once(payer.address(), claim.owner);
                if let Some(create) = draft.instructions.first_mut() {
                    *create = once;
                }
                self.client.send(&draft, &[payer]).await
            }
            result => result,
        }
    }
}

/// The associated token account program knows no `CreateIdempotent`: it takes no instruction data at all, or cannot read it.
fn is_old_program(error: &SendError) -> bool {
    use solana_instruction::error::InstructionError::{BorshIoError, InvalidInstructionData};
    use solana_transaction_error::TransactionError::InstructionError;
    let SendError::Refused(failure) = error else {
        return false;
    };
    failure.instruction() == Some(0)
        && failure.kind().is_none()
        && match failure.fault() {
            crate::k2::Fault::Known(InstructionError(_, InvalidInstructionData | BorshIoError)) => {
                true
            }
            // Solana 1.14 writes BorshIoError with a text, which newer crates do not read.
            crate::k2::Fault::Instruction(_, text) => text.contains("BorshIoError"),
            _ => false,
        }
}
