//! Drafts: instructions on their way to become a transaction, with the compute budget that every transaction of the pool
//! carries, and the limit of 1,232 bytes checked before anything is sent.

use k2_interface::K2Address;
use k2_interface::instruction::InstructionKind;
use solana_compute_budget_interface::ComputeBudgetInstruction;
use solana_hash::Hash;
use solana_instruction::Instruction;
use solana_message::Message;
use solana_signature::Signature;
use solana_transaction::Transaction;

use crate::address::{address, pubkey};
use crate::keypair::Keypair;

/// The most bytes of a transaction: one IPv6 packet of 1,280 bytes less its headers (Solana's `PACKET_DATA_SIZE`).
pub const MAX_TRANSACTION: usize = 1232;
/// The most compute units a transaction can ask for.
pub const MAX_UNITS: u32 = 1_400_000;

/// Compute units asked for, and what is paid for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// The limit.
    pub units: u32,
    /// Micro-lamports a unit, above the base fee. Zero adds no instruction.
    pub price: u64,
}

impl Budget {
    /// For a simulation: the most units.
    pub const MOST: Self = Self {
        units: MAX_UNITS,
        price: 0,
    };

    /// The largest a budget gets in bytes; what a size is computed with before a price is known.
    const LARGEST: Self = Self {
        units: MAX_UNITS,
        price: 1,
    };
}

/// Why a transaction cannot be made of a draft.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DraftError {
    /// More than [`MAX_TRANSACTION`].
    #[error(
        "the transaction has {size} bytes, {MAX_TRANSACTION} is the most: split it, or put the proof into a buffer"
    )]
    TooLarge {
        /// Its size in bytes.
        size: usize,
    },
    /// A signature is missing.
    #[error("the transaction needs the signature of {0}: give its keypair")]
    MissingSigner(K2Address),
    /// Solana's own words.
    #[error("the transaction cannot be signed: {0}")]
    Sign(String),
}

/// Instructions and who pays for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// Pays the fee and signs.
    pub payer: K2Address,
    /// What is to be done, all or nothing, in this order.
    pub instructions: Vec<Instruction>,
}

/// A signed transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// Its bytes on the wire.
    pub bytes: Vec<u8>,
    /// Its first signature, which is its name.
    pub signature: Signature,
}

impl Draft {
    /// A draft of these instructions.
    #[must_use]
    pub fn new(payer: K2Address, instructions: impl Into<Vec<Instruction>>) -> Self {
        Self {
            payer,
            instructions: instructions.into(),
        }
    }

    fn message(&self, budget: Budget, blockhash: Hash) -> Message {
        let mut instructions = self.budget(budget);
        instructions.extend_from_slice(&self.instructions);
        Message::new_with_blockhash(&instructions, Some(&pubkey(&self.payer)), &blockhash)
    }

    fn budget(&self, budget: Budget) -> Vec<Instruction> {
        let mut instructions = vec![ComputeBudgetInstruction::set_compute_unit_limit(
            budget.units.min(MAX_UNITS),
        )];
        if budget.price > 0 {
            instructions.push(ComputeBudgetInstruction::set_compute_unit_price(
                budget.price,
            ));
        }
        instructions
    }

    /// How many instructions of the compute budget stand before the draft's own.
    pub(crate) const fn budget_instructions(budget: Budget) -> usize {
        if budget.price > 0 { 2 } else { 1 }
    }

    /// Its size in bytes as a transaction, with the largest budget.
    #[must_use]
    pub fn size(&self) -> usize {
        unsigned(self.message(Budget::LARGEST, Hash::default())).len()
    }

    /// Bytes that are left below [`MAX_TRANSACTION`].
    ///
    /// # Errors
    /// [`DraftError::TooLarge`].
    pub fn room(&self) -> Result<usize, DraftError> {
        let size = self.size();
        MAX_TRANSACTION
            .checked_sub(size)
            .ok_or(DraftError::TooLarge { size })
    }

    /// Whether it fits a transaction.
    #[must_use]
    pub fn fits(&self) -> bool {
        self.room().is_ok()
    }

    /// Who must sign, the payer first.
    #[must_use]
    pub fn signers(&self) -> Vec<K2Address> {
        let message = self.message(Budget::MOST, Hash::default());
        let count = usize::from(message.header.num_required_signatures);
        message
            .account_keys
            .iter()
            .take(count)
            .map(address)
            .collect()
    }

    /// Every account that may be written to, the payer included, each once.
    #[must_use]
    pub fn writable(&self) -> Vec<K2Address> {
        let mut writable = vec![self.payer];
        for meta in self.instructions.iter().flat_map(|i| &i.accounts) {
            let key = address(&meta.pubkey);
            if meta.is_writable && !writable.contains(&key) {
                writable.push(key);
            }
        }
        writable
    }

    /// The transaction without signatures, for a simulation.
    ///
    /// # Errors
    /// [`DraftError::TooLarge`].
    pub fn unsigned(&self, budget: Budget) -> Result<Vec<u8>, DraftError> {
        bounded(unsigned(self.message(budget, Hash::default())))
    }

    /// The transaction, signed by those of `keys` it needs.
    ///
    /// # Errors
    /// [`DraftError`].
    pub fn sign(
        &self,
        budget: Budget,
        blockhash: Hash,
        keys: &[&Keypair],
    ) -> Result<Signed, DraftError> {
        let signers = self
            .signers()
            .into_iter()
            .map(|signer| {
                keys.iter()
                    .find(|key| key.address() == signer)
                    .map(|key| key.inner())
                    .ok_or(DraftError::MissingSigner(signer))
            })
            .collect::<Result<Vec<_>, _>>()?;
        let mut transaction = Transaction::new_unsigned(self.message(budget, blockhash));
        transaction
            .try_sign(&signers, blockhash)
            .map_err(|error| DraftError::Sign(error.to_string()))?;
        let signature = transaction.signatures.first().copied().unwrap_or_default();
        Ok(Signed {
            bytes: bounded(encode(&transaction))?,
            signature,
        })
    }

    /// Which instruction of the pool's program stands at this place of the draft.
    #[must_use]
    pub fn kind(&self, place: usize, program: &K2Address) -> Option<InstructionKind> {
        let instruction = self.instructions.get(place)?;
        if address(&instruction.program_id) != *program {
            return None;
        }
        InstructionKind::from_tag(*instruction.data.first()?)
    }
}

fn unsigned(message: Message) -> Vec<u8> {
    encode(&Transaction::new_unsigned(message))
}

fn encode(transaction: &Transaction) -> Vec<u8> {
    // A Vec takes every byte, and the lengths of what a `Message` can be made of fit its length fields; an empty answer
    // would be refused by any node.
    wincode::serialize(transaction).unwrap_or_default()
}

fn bounded(bytes: Vec<u8>) -> Result<Vec<u8>, DraftError> {
    if bytes.len() > MAX_TRANSACTION {
        return Err(DraftError::TooLarge { size: bytes.len() });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use proptest::prelude::*;
    use solana_instruction::AccountMeta;

    use super::*;

    fn instruction(data: usize, signer: &Keypair) -> Instruction {
        Instruction {
            program_id: pubkey(&K2Address::from_bytes([9; 32])),
            accounts: vec![
                AccountMeta::new(pubkey(&K2Address::from_bytes([8; 32])), false),
                AccountMeta::new_readonly(pubkey(&signer.address()), true),
            ],
            data: vec![7; data],
        }
    }

    #[test]
    fn a_transaction_of_1232_bytes_is_made_and_one_more_is_refused() {
        let (payer, other) = (Keypair::from_seed([1; 32]), Keypair::from_seed([2; 32]));
        let draft = |data| Draft::new(payer.address(), [instruction(data, &other)]);
        let largest = (0..MAX_TRANSACTION)
            .rfind(|data| draft(*data).fits())
            .unwrap();
        let keys = [&payer, &other];
        let signed = draft(largest)
            .sign(Budget::LARGEST, Hash::default(), &keys)
            .unwrap();
        assert_eq!(signed.bytes.len(), MAX_TRANSACTION);
        assert_eq!(draft(largest).room(), Ok(0));
        let error = draft(largest + 1)
            .sign(Budget::LARGEST, Hash::default(), &keys)
            .unwrap_err();
        assert_eq!(error, DraftError::TooLarge { size: 1233 });
        assert!(draft(largest + 1).unsigned(Budget::LARGEST).is_err());
    }

    #[test]
    fn a_missing_signature_is_named() {
        let (payer, other) = (Keypair::from_seed([1; 32]), Keypair::from_seed([2; 32]));
        let draft = Draft::new(payer.address(), [instruction(1, &other)]);
        assert_eq!(draft.signers(), [payer.address(), other.address()]);
        assert_eq!(
            draft.sign(Budget::MOST, Hash::default(), &[&payer]),
            Err(DraftError::MissingSigner(other.address()))
        );
        // Keys nobody asked for do no harm.
        let third = Keypair::from_seed([3; 32]);
        assert!(
            draft
                .sign(Budget::MOST, Hash::default(), &[&third, &other, &payer])
                .is_ok()
        );
    }

    proptest! {
        /// The wire format is the one nodes read: what solana-transaction reads back is what was signed.
        #[test]
        fn signatures_verify(data in 0..600_usize, hash: [u8; 32], price: u64) {
            let (payer, other) = (Keypair::from_seed([1; 32]), Keypair::from_seed([2; 32]));
            let draft = Draft::new(payer.address(), [instruction(data, &other)]);
            let budget = Budget { units: 5, price };
            let signed = draft.sign(budget, Hash::new_from_array(hash), &[&payer, &other]).unwrap();
            prop_assert!(signed.bytes.len() <= draft.size());
            let read: Transaction = wincode::deserialize(&signed.bytes).unwrap();
            prop_assert_eq!(read.message.instructions.len(), 1 + Draft::budget_instructions(budget));
            let message = read.message_data();
            for (signature, key) in read.signatures.iter().zip(&read.message.account_keys) {
                prop_assert!(signature.verify(key.as_ref(), &message));
            }
            prop_assert_eq!(read.signatures[0], signed.signature);
        }
    }
}
