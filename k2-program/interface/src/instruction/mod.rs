//! The program's instructions: one tag byte, the arguments in Borsh, and where it says so a tail of bytes that is read in
//! place: headers, proofs, siblings.

mod accounts;
mod args;
mod error;

use alloc::vec::Vec;

use borsh::{BorshDeserialize, BorshSerialize};

pub use accounts::{AccountSpec, Is, When};
pub use args::*;
pub use error::InstructionError;

use crate::layout::{Described, Field};

/// The most headers of one instruction: more do not fit a transaction of 1,232 bytes with its accounts.
pub const MAX_HEADERS: usize = 10;
/// The most inputs of a deposit: for each the program searches one derived address, at 1,500 compute units and more a try,
/// and the transaction has 32 bytes more.
pub const MAX_DEPOSIT_INPUTS: usize = 8;

/// From `/// what it does`, `Name = tag`, `{ args: Arguments; tail }` - either may be missing - this makes the kinds with
/// their names and documentation, and reading and writing.
macro_rules! instructions {
    ($($(#[doc = $doc:literal])+ $name:ident = $tag:literal { $($field:ident: $args:ident)? $(; $tail:ident)? })+) => {
        /// Which instruction. The number is the tag byte.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum InstructionKind { $($(#[doc = $doc])+ $name = $tag,)+ }

        /// An instruction: its fixed arguments, and the bytes that follow them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[allow(missing_docs)] // the fields say what their types say
        pub enum Instruction<'a> { $($(#[doc = $doc])+ $name { $($field: $args,)? $($tail: &'a [u8],)? },)+ }

        impl InstructionKind {
            /// All instructions, by tag.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// Its name, as in the IDL.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)+ }
            }

            /// What it does.
            #[must_use]
            pub const fn doc(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+),)+ }
            }

            /// Its fixed arguments.
            #[must_use]
            pub const fn fields(self) -> &'static [Field] {
                match self { $(Self::$name => { let fields: &[Field] = &[]; $(let fields = { let _ = fields; $args::FIELDS };)? fields })+ }
            }

            /// What follows the arguments: `headers`, `piece`, `proof`, `siblings`, or nothing.
            #[must_use]
            pub const fn tail(self) -> Option<&'static str> {
                match self { $(Self::$name => { let tail = None; $(let tail = { let _: Option<&str> = tail; Some(stringify!($tail)) };)? tail })+ }
            }
        }

        impl<'a> Instruction<'a> {
            /// Reads instruction data. Allocates nothing.
            ///
            /// # Errors
            /// [`InstructionError`]. What the arguments say is checked by the program, not here.
            pub fn parse(data: &'a [u8]) -> Result<Self, InstructionError> {
                let (&tag, rest) = data.split_first().ok_or(InstructionError::Length)?;
                let kind = InstructionKind::from_tag(tag).ok_or(InstructionError::UnknownTag(tag))?;
                match kind {
                    $(InstructionKind::$name => {
                        $(let ($field, rest) = arguments::<$args>(rest)?;)?
                        $(let ($tail, rest) = (rest, &[][..]);)?
                        end(rest)?;
                        Ok(Self::$name { $($field,)? $($tail,)? })
                    })+
                }
            }

            /// Which instruction it is.
            #[must_use]
            pub const fn kind(&self) -> InstructionKind {
                match self { $(Self::$name { .. } => InstructionKind::$name,)+ }
            }

            /// The instruction data.
            #[must_use]
            pub fn encode(&self) -> Vec<u8> {
                let mut data = Vec::from([self.kind() as u8]);
                match self {
                    $(Self::$name { $($field,)? $($tail,)? } => {
                        // A Vec takes every byte: Borsh has no other error to report for fixed layouts.
                        $(let _ = $field.serialize(&mut data);)?
                        $(data.extend_from_slice($tail);)?
                    })+
                }
                data
            }
        }
    };
}

instructions! {
    /// Creates configuration, operators' set, mint, vault and escrow. Only the program's upgrade authority may, so
    /// that nobody can set up the program before its owner does.
    Initialize = 0 { args: Initialize }

    /// Sets the relay's checkpoint. Anybody can compare it with Bitcoin; until it is set nothing can be minted.
    InitializeRelay = 1 { args: InitializeRelay; headers }

    /// Extends the best chain, or replaces its end by a branch with more work that fits one transaction. At most 10
    /// headers; the first one's previous block must be in the ring, at most 24 below the tip.
    SubmitHeaders = 2 { ; headers }

    /// Collects a branch too long for one transaction. As soon as it has more work than the best chain it becomes
    /// the best chain, and the account is closed.
    SubmitFork = 3 { args: SubmitFork; headers }

    /// Gives up a branch and returns the rent.
    CloseFork = 4 {}

    /// Opens a cursor at the ring's oldest block.
    OpenCursor = 5 { args: CursorId }

    /// Walks down: the first header must be the cursor's block, each next one its predecessor. At most 10.
    AdvanceCursor = 6 { ; headers }

    /// Returns the rent.
    CloseCursor = 7 {}

    /// Opens a proof buffer and pays the rent of all of it.
    OpenBuffer = 8 { args: OpenBuffer }

    /// Writes the next piece; the account grows by it.
    WriteBuffer = 9 { args: WriteBuffer; piece }

    /// Returns the rent.
    CloseBuffer = 10 {}

    /// Mints what a coinbase output pays to custody, once its block has 100 confirmations, into the vault. Once.
    MintCoinbase = 11 { args: ProveOutput; proof }

    /// Mints what an ordinary output pays to custody's deposit script into the vault. Once; and not where an input
    /// spends an output that was minted itself.
    MintDeposit = 12 { args: ProveOutput; proof }

    /// Closes the record of an output whose block is below the mint horizon.
    CloseDeposit = 13 {}

    /// The same for the record of a payout.
    ClosePayout = 14 {}

    /// First step: names the next authority.
    ProposeAuthority = 15 { args: NewAuthority }

    /// Second step: the next authority takes over.
    AcceptAuthority = 16 {}

    /// Names the guardian.
    SetGuardian = 17 { args: NewGuardian }

    /// Sets pause bits.
    Pause = 18 { args: PauseFlags }

    /// Clears pause bits.
    Resume = 19 { args: PauseFlags }

    /// Announces new custody scripts.
    ProposeCustody = 20 { args: ProposeCustody }

    /// Takes the announcement back.
    CancelCustody = 21 {}

    /// Puts announced scripts in force once their delay is over. Anybody may.
    ActivateCustody = 22 {}

    /// Sets how many operators must attest.
    SetQuorum = 23 { args: SetQuorum }

    /// Admits an operator to the set, with its bond. Both it and the authority sign: a bond alone would let
    /// somebody buy a quorum.
    RegisterOperator = 24 {}

    /// Takes an operator out of the set; by itself, or by the authority.
    LeaveOperator = 25 {}

    /// Returns the bond of an operator that has left.
    WithdrawBond = 26 {}

    /// Burns the bond of an operator that attested two different roots for one round, and takes it out of the set.
    /// Anybody may.
    SlashOperator = 27 {}

    /// Proposes a reward root, and attests it.
    ProposeRound = 28 { args: RoundRoot }

    /// Attests a proposed root; all of it must be what the operator computed itself.
    AttestRound = 29 { args: RoundRoot }

    /// Puts a root in force: attested by the quorum, unchallenged for the challenge slots, and no more in total
    /// than was minted. Anybody may.
    FinalizeRound = 30 {}

    /// Ends a proposal that is not finalized yet.
    VetoRound = 31 {}

    /// Returns the rent of a proposal of a round that is past, once the operators that signed it could no longer be
    /// slashed for it.
    CloseProposal = 32 {}

    /// Pays an owner everything earned and not yet claimed, to its own token account. Anybody may pay the fee.
    Claim = 33 { args: Claim; siblings }

    /// Locks wrapped sats for BTC to a script.
    RequestRedeem = 34 { args: RequestRedeem }

    /// Burns a redemption's tokens against the proof that it was paid: a later block, an output to its script of at
    /// least amount - max_fee, and its id in an OP_RETURN output. Where others are named there too, the output must be
    /// at its id's place among them. Anybody may.
    SettleRedeem = 35 { args: ProveOutput; proof }

    /// Returns the tokens of a redemption that expired. Anybody may.
    RefundRedeem = 36 { args: RefundRedeem }

    /// Returns the rent of a redemption that is settled or refunded.
    CloseRedemption = 37 {}
}

impl InstructionKind {
    /// The instruction with this tag.
    #[must_use]
    pub const fn from_tag(tag: u8) -> Option<Self> {
        if (tag as usize) < Self::ALL.len() {
            Some(Self::ALL[tag as usize])
        } else {
            None
        }
    }
}

fn arguments<T: BorshDeserialize>(mut data: &[u8]) -> Result<(T, &[u8]), InstructionError> {
    let args = T::deserialize(&mut data).map_err(|_| InstructionError::Length)?;
    Ok((args, data))
}

const fn end(rest: &[u8]) -> Result<(), InstructionError> {
    if rest.is_empty() {
        Ok(())
    } else {
        Err(InstructionError::Length)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeSet;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::{Instruction, InstructionError, InstructionKind, When};

    #[test]
    fn tags_and_names_are_unique_and_stable() {
        let names: BTreeSet<_> = InstructionKind::ALL
            .iter()
            .map(|kind| kind.name())
            .collect();
        assert_eq!(names.len(), InstructionKind::ALL.len());
        for (tag, kind) in InstructionKind::ALL.iter().copied().enumerate() {
            assert_eq!(kind as usize, tag);
            assert_eq!(InstructionKind::from_tag(tag as u8), Some(kind));
        }
        assert_eq!(
            InstructionKind::from_tag(InstructionKind::ALL.len() as u8),
            None
        );
    }

    #[test]
    fn account_names_are_unique_and_optional_ones_come_last() {
        for kind in InstructionKind::ALL.iter().copied() {
            let accounts = kind.accounts();
            let names: BTreeSet<_> = accounts.iter().map(|account| account.name).collect();
            assert_eq!(names.len(), accounts.len(), "{kind:?}");
            let first = accounts
                .iter()
                .position(|account| account.when != When::Always);
            let always = accounts
                .iter()
                .filter(|account| account.when == When::Always)
                .count();
            assert_eq!(first.unwrap_or(always), always, "{kind:?}");
        }
    }

    proptest! {
        /// One encoding of one instruction: what is read is written back the same.
        #[test]
        fn parsing_is_the_inverse_of_encoding(tag in 0..InstructionKind::ALL.len() as u8, rest: Vec<u8>) {
            let kind = InstructionKind::from_tag(tag).unwrap();
            let size: usize = kind.fields().iter().map(|field| field.size).sum();
            let mut data = Vec::from([tag]);
            data.extend(rest.iter().chain(core::iter::repeat(&7)).take(size));
            if kind.tail().is_some() {
                data.extend(&rest);
            }
            let instruction = Instruction::parse(&data).unwrap();
            prop_assert_eq!(instruction.kind(), kind);
            prop_assert_eq!(instruction.encode(), data.clone());
            if kind.tail().is_none() {
                data.push(0);
                prop_assert_eq!(Instruction::parse(&data), Err(InstructionError::Length));
                data.pop();
            }
            if size > 0 {
                prop_assert_eq!(Instruction::parse(&data[..size]), Err(InstructionError::Length));
            }
        }

        #[test]
        fn any_bytes_are_answered(data: Vec<u8>) {
            if let Ok(instruction) = Instruction::parse(&data) {
                prop_assert_eq!(instruction.encode(), data);
            }
        }
    }
}
