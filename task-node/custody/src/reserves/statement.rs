//! What a proof states, as one message; the outpoint that commits to it.

use std::fmt::Write as _;

use bitcoin::hashes::{Hash as _, sha256, sha256d};
use bitcoin::{Amount, BlockHash, Network, OutPoint, Txid};
use k2_interface::K2Address;
use serde::{Deserialize, Serialize};

/// The format's name and version: the first line of the message, and of the file.
pub const FORMAT: &str = "orcapool/reserves/1";

/// What BIP127 puts before a message.
const PREFIX: &str = "Proof-of-Reserves: ";

/// What a proof is bound to: one Bitcoin block, one slot of K2, and what the program had minted and burned there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// The Bitcoin network.
    pub bitcoin: Network,
    /// The K2 cluster's genesis hash, in base58 as addresses are.
    pub k2: K2Address,
    /// The pool's program.
    pub program: K2Address,
    /// The wrapped token.
    pub mint: K2Address,
    /// The finalized slot that the totals are of.
    pub slot: u64,
    /// Everything ever minted, in sats.
    #[serde(with = "bitcoin::amount::serde::as_sat")]
    pub proved_in: Amount,
    /// Everything ever burned, in sats.
    #[serde(with = "bitcoin::amount::serde::as_sat")]
    pub burned: Amount,
    /// Height of the block at whose end the coins are unspent.
    pub height: u32,
    /// Its hash.
    pub block: BlockHash,
    /// Transactions up to that block that pay redemptions which are still open at the slot: their bitcoin has left the
    /// reserves, and their tokens are burned as soon as they are settled. By height and txid.
    pub paid: Vec<Paid>,
}

/// A confirmed transaction that pays open redemptions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Paid {
    /// Which.
    pub txid: Txid,
    /// Height of its block.
    pub height: u32,
    /// The open redemptions it pays, ascending.
    pub ids: Vec<u64>,
}

impl Statement {
    /// Wrapped sats at the slot; `None`: more burned than minted, which cannot be.
    #[must_use]
    pub fn supply(&self) -> Option<Amount> {
        self.proved_in.checked_sub(self.burned)
    }

    /// The message: one text for one statement.
    #[must_use]
    pub fn message(&self) -> String {
        let Self {
            bitcoin,
            k2,
            program,
            mint,
            slot,
            proved_in,
            burned,
            height,
            block,
            paid,
        } = self;
        let (proved_in, burned) = (proved_in.to_sat(), burned.to_sat());
        let supply = self.supply().unwrap_or_default().to_sat();
        let mut message = format!(
            "{FORMAT}\n\
             bitcoin {bitcoin}\n\
             k2 {k2}\n\
             program {program}\n\
             mint {mint}\n\
             slot {slot}\n\
             supply {supply} sat = {proved_in} minted - {burned} burned\n\
             block {height} {block}\n"
        );
        for Paid { txid, height, ids } in paid {
            let ids: Vec<_> = ids.iter().map(u64::to_string).collect();
            // Writing to a string cannot fail.
            let _ = writeln!(message, "paid {height} {txid} {}", ids.join(","));
        }
        message
    }

    /// The output that the proof's first input spends: its txid is the SHA-256 of the prefixed message (BIP127), in the
    /// order of the hash's bytes.
    ///
    /// No transaction has this txid. A txid is the SHA-256 of a SHA-256, of 32 bytes therefore, and the message is longer:
    /// the two would be a collision.
    #[must_use]
    pub fn challenge(&self) -> OutPoint {
        let hash = sha256::Hash::hash(format!("{PREFIX}{}", self.message()).as_bytes());
        let txid = Txid::from_raw_hash(sha256d::Hash::from_byte_array(hash.to_byte_array()));
        OutPoint::new(txid, 0)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(in crate::reserves) fn statement() -> Statement {
        Statement {
            bitcoin: Network::Regtest,
            k2: K2Address::from_bytes([1; 32]),
            program: K2Address::from_bytes([2; 32]),
            mint: K2Address::from_bytes([3; 32]),
            slot: 1_000,
            proved_in: Amount::from_sat(10_000_000_000),
            burned: Amount::from_sat(1_000_000),
            height: 250,
            block: BlockHash::from_byte_array([4; 32]),
            paid: Vec::new(),
        }
    }

    pub(in crate::reserves) fn any_statement() -> impl Strategy<Value = Statement> {
        let hash = any::<[u8; 32]>();
        let paid = (
            hash,
            0..=u32::MAX,
            prop::collection::vec(0..=u64::MAX, 1..4),
        )
            .prop_map(|(txid, height, ids)| Paid {
                txid: Txid::from_byte_array(txid),
                height,
                ids,
            });
        (
            (hash, hash, hash, hash),
            (any::<u64>(), any::<u64>(), any::<u64>(), any::<u32>()),
            prop::sample::select(vec![Network::Bitcoin, Network::Signet, Network::Regtest]),
            prop::collection::vec(paid, 0..3),
        )
            .prop_map(
                |((k2, program, mint, block), (slot, one, other, height), bitcoin, paid)| {
                    Statement {
                        bitcoin,
                        k2: K2Address::from_bytes(k2),
                        program: K2Address::from_bytes(program),
                        mint: K2Address::from_bytes(mint),
                        slot,
                        proved_in: Amount::from_sat(one.max(other)),
                        burned: Amount::from_sat(one.min(other)),
                        height,
                        block: BlockHash::from_byte_array(block),
                        paid,
                    }
                },
            )
    }

    #[test]
    fn the_message_reads_like_this() {
        let mut statement = statement();
        statement.paid.push(Paid {
            txid: Txid::from_byte_array([5; 32]),
            height: 249,
            ids: vec![3, 7],
        });
        let (k2, program, mint) = (statement.k2, statement.program, statement.mint);
        assert_eq!(
            statement.message(),
            format!(
                "orcapool/reserves/1\nbitcoin regtest\nk2 {k2}\nprogram {program}\nmint {mint}\nslot 1000\n\
                 supply 9999000000 sat = 10000000000 minted - 1000000 burned\nblock 250 {}\npaid 249 {} 3,7\n",
                "04".repeat(32),
                "05".repeat(32)
            )
        );
    }

    /// BIP127: SHA-256 of "Proof-of-Reserves: " and the message, index 0. Computed with the other SHA-256 of the house.
    #[test]
    fn the_challenge_is_bip127s() {
        use sha2::Digest as _;

        let statement = statement();
        let message = format!("Proof-of-Reserves: {}", statement.message());
        let expected: [u8; 32] = sha2::Sha256::digest(message).into();
        let challenge = statement.challenge();
        assert_eq!(challenge.txid.to_byte_array(), expected);
        assert_eq!(challenge.vout, 0);
    }

    proptest! {
        /// The message is what is signed: two statements with one message could be exchanged.
        #[test]
        fn another_statement_is_another_challenge(one in any_statement(), other in any_statement()) {
            prop_assert_eq!(one == other, one.challenge() == other.challenge());
        }

        /// Were the message 32 bytes long, a transaction whose SHA-256 it is would have the challenge's txid.
        #[test]
        fn a_message_is_never_the_hash_of_a_transaction(statement in any_statement()) {
            prop_assert!(statement.message().len() > 32);
        }
    }
}
