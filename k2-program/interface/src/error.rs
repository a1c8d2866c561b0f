//! Every reason the program refuses an instruction with, as the number it reports (`Custom` in Solana's terms).
//!
//! - A rule that is broken is a [`PoolError`], 100 to 999.
//! - A wrong account is an [`AccountFault`] and the account's place in the instruction: `(place + 1) << 16 | fault`.

use core::fmt;

use crate::instruction::InstructionKind;

/// An enum of numbers that never change their meaning, each with its message.
macro_rules! numbered {
    ($(#[doc = $doc:literal])+ pub enum $enum:ident: $repr:ident { $($name:ident = $number:literal => $message:literal,)+ }) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr($repr)]
        #[non_exhaustive]
        pub enum $enum { $(#[doc = $message] $name = $number,)+ }

        impl $enum {
            /// All of them, by number.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// Its name, as in the IDL.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)+ }
            }

            /// What happened, and what to do.
            #[must_use]
            pub const fn message(self) -> &'static str {
                match self { $(Self::$name => $message,)+ }
            }
        }

        impl fmt::Display for $enum {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.message())
            }
        }
    };
}

numbered! {
    /// A broken rule.
    pub enum PoolError: u32 {
        // Any instruction
        UnknownInstruction = 100 => "no such instruction: is the client newer than the program?",
        InstructionLength = 101 => "the instruction's data has the wrong length",
        BadArgument = 102 => "an argument is outside its range: see the instruction's documentation",
        Overflow = 103 => "an amount would overflow",
        Paused = 104 => "paused: `orcapool k2 status` shows what and by whom it can be resumed",
        NotAuthority = 105 => "only the pool's authority may do this",
        NotGuardian = 106 => "only the guardian or the authority may do this",
        NotUpgradeAuthority = 107 => "only the program's upgrade authority may initialize it",
        NotPendingAuthority = 108 => "only the proposed authority may accept",
        NotPayer = 109 => "only who opened this account may use it",
        NotYet = 110 => "too early: the delay is not over yet",
        NothingPending = 111 => "nothing is pending",
        UnknownNetwork = 112 => "the network is 0 (main), 1 (testnet4), 2 (signet) or 3 (regtest)",
        BadScript = 113 => "the script is not P2PKH, P2SH, P2WPKH, P2WSH or P2TR",

        // Relay
        HeaderCount = 200 => "give 1 to 10 headers of 80 bytes each (at the relay's initialization 1 to 11: 80 bytes, then 48 each)",
        UnknownParent = 201 => "the first header does not continue a block the relay knows: submit from the relay's tip on",
        NotLinked = 202 => "a header does not follow the one before it",
        WrongBits = 203 => "a header's difficulty bits are not those of its height",
        NotEnoughWork = 204 => "a header's hash does not meet its target",
        TimeTooOld = 205 => "a header's time is not above the median time past",
        TimeTooNew = 206 => "a header's time is more than four hours ahead of K2's clock",
        TimeWarp = 207 => "an epoch's first header is more than 600 s before the block before it (BIP94)",
        ReorgTooDeep = 208 => "the branch takes back more than 24 blocks",
        NotMoreWork = 209 => "the branch has no more work than the relay's chain: nothing to do",
        EpochUnknown = 210 => "the relay does not remember the retarget epoch this branch needs",
        BadCheckpoint = 211 => "the checkpoint's headers, epoch and height do not fit each other",
        ForkMoved = 212 => "the branch's base is no longer on the best chain: close the fork account and begin again",
        ForkFull = 213 => "the fork account is full: close it and begin again",
        ForkBase = 214 => "the fork account holds a branch from another height: close it first",
        BadTarget = 215 => "a compact target is negative, zero or above the network's limit",
        OldVersion = 216 => "a header's version ended with BIP34, BIP66 or BIP65 below its height",
        CheckpointFinal = 217 => "the branch takes back blocks of the relay's checkpoint, which are final",

        // Proofs
        UnknownBlock = 300 => "the proof's block is not on the relay's best chain at this height",
        BlockNotInRing = 301 => "the relay's ring does not reach this height: relay newer headers, or use a cursor for older blocks",
        Immature = 302 => "too few confirmations: wait for more blocks, and relay them",
        BelowHorizon = 303 => "the block lies below the mint horizon",
        AboveHorizon = 304 => "the record must stay: its block could still be proved",
        BadTransaction = 305 => "the transaction is not in its canonical form without witness",
        BadTransactionLength = 306 => "a transaction of 64 bytes, or of more than 10,000, cannot be proved",
        BadMerkleBranch = 307 => "the merkle branch is malformed",
        WrongMerkleRoot = 308 => "the merkle branch leads to another root than the header's",
        NotCoinbase = 309 => "the transaction must be the block's coinbase",
        IsCoinbase = 310 => "the transaction must not be a coinbase",
        BadProof = 311 => "the proof is cut short, or has bytes left over",
        NoSuchOutput = 312 => "the transaction has no output of this number",
        BufferIncomplete = 313 => "the buffer does not hold the proof that was announced",
        BufferRange = 314 => "pieces must be written in order and fit the announced length",
        CursorHeader = 315 => "the header is not the block the cursor stands on",
        CursorAtGenesis = 316 => "the cursor stands on the chain's first block: nothing is below it",
        TooManyInputs = 317 => "a deposit with more than 8 inputs cannot be minted: pay custody with fewer",

        // Minting
        ForeignScript = 400 => "the output does not pay a custody script in force at its height",
        Dust = 401 => "the output's value is below the dust limit",
        AlreadyUsed = 402 => "this output has been used already",
        WindowCap = 403 => "the mint window's cap is reached: submit it again when the window has passed",
        SupplyCap = 404 => "the supply cap is reached",
        SpendsMinted = 405 => "the deposit spends an output that was minted itself",
        DepositsDisabled = 406 => "ordinary deposits are not enabled",

        // Operators and rounds
        OperatorsFull = 500 => "all 32 places for operators are taken",
        AlreadyOperator = 501 => "this operator is registered already",
        NotOperator = 502 => "only an operator of the set may do this",
        BadQuorum = 503 => "the quorum must be more than half of the operators, and at most one more than there are",
        StillActive = 504 => "the operator has not left yet",
        NoEquivocation = 505 => "the proposals do not show this operator attesting two different roots of one round",
        NullRoot = 506 => "the root is empty",
        BadLeafCount = 507 => "a reward tree has 1 to 1048576 leaves",
        OldRound = 508 => "a later round is finalized already, or this one",
        StaleRoot = 509 => "the proposal builds on another root than the one finalized last",
        TotalFalls = 510 => "the total is below that of the root finalized last",
        NotCovered = 511 => "the total is above what was minted: mint the round's coinbases first",
        OtherRoot = 512 => "the proposal says something else: compute the round again before attesting",
        AlreadyAttested = 513 => "this operator has attested the proposal already",
        NotOpen = 514 => "the proposal is finalized or vetoed",
        NoQuorum = 515 => "too few operators have attested the proposal",
        InChallenge = 516 => "the challenge slots are not over yet",
        JoinedLater = 517 => "an operator cannot attest a proposal made before it joined",
        StillNeeded = 518 => "the proposal must stay: its round is not past, or its signers could still be slashed",

        // Claims
        NothingFinalized = 600 => "no reward root has been finalized yet",
        UnknownRole = 601 => "role 0 is a miner, 1 an operator",
        IndexOutOfRange = 602 => "the leaf's index is not below the tree's number of leaves",
        ProofLength = 603 => "the proof must have exactly one sibling per level of the tree",
        WrongRoot = 604 => "the proof leads to another root: take it from the list finalized last",
        NothingToClaim = 605 => "everything has been claimed already",
        NotYours = 606 => "pay to the owner's associated token account, or let the owner sign",
        VaultShort = 607 => "the claims exceed the finalized total: the list does not add up",

        // Redemptions
        BelowMinimum = 700 => "the payout would be below the least redemption or the script's dust limit",
        RedemptionNotOpen = 701 => "the redemption is settled or refunded already",
        NotExpired = 702 => "the redemption has not expired yet",
        PaidTooEarly = 703 => "the payout's block is not after the request",
        WrongDestination = 704 => "the output does not pay the redemption's script",
        Underpaid = 705 => "the output pays less than the redemption asks for",
        IdNotNamed = 706 => "the transaction does not name this redemption in an OP_RETURN output",
        TooFewTokens = 707 => "the token account holds less than the amount",
        RedemptionOpen = 708 => "the redemption is still open: it can be closed once it is settled or refunded",
        OtherPayout = 709 => "the output pays another redemption: of several that are named each is paid by the output at its place",
    }
}

impl PoolError {
    /// The number the program reports.
    #[must_use]
    pub const fn code(self) -> u32 {
        self as u32
    }

    /// The error with this number.
    #[must_use]
    pub fn from_code(code: u32) -> Option<Self> {
        Self::ALL.iter().copied().find(|error| error.code() == code)
    }
}

impl core::error::Error for PoolError {}

impl From<PoolError> for u32 {
    fn from(error: PoolError) -> Self {
        error.code()
    }
}

numbered! {
    /// What is wrong with an account; the messages follow the account's name.
    pub enum AccountFault: u8 {
        NotSigner = 1 => "did not sign",
        NotWritable = 2 => "is not writable",
        WrongOwner = 3 => "belongs to another program",
        WrongAddress = 4 => "is not the account that belongs here",
        WrongKind = 5 => "holds something else",
        Uninitialized = 6 => "does not exist yet",
        AlreadyInitialized = 7 => "exists already",
        WrongMint = 8 => "is a token account of another mint",
        NotTokenAccount = 9 => "is not an initialized token account",
        Missing = 10 => "is missing",
        Extra = 11 => "is one too many",
    }
}

impl AccountFault {
    /// The number the program reports for the account at this place.
    #[must_use]
    pub const fn at(self, place: usize) -> u32 {
        (place as u32 + 1) << 16 | self as u32
    }
}

/// Why the program refused, read back from its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// A broken rule.
    Rule(PoolError),
    /// A wrong account, and its place.
    Account(AccountFault, usize),
    /// A number this version does not know.
    Unknown(u32),
}

impl Refusal {
    /// Reads the number a program error carries.
    #[must_use]
    pub fn from_code(code: u32) -> Self {
        if let Some(error) = PoolError::from_code(code) {
            return Self::Rule(error);
        }
        let fault = AccountFault::ALL
            .iter()
            .copied()
            .find(|fault| *fault as u32 == code & 0xffff);
        match (fault, code >> 16) {
            (Some(fault), place @ 1..) => Self::Account(fault, place as usize - 1),
            _ => Self::Unknown(code),
        }
    }

    /// In words, with the account's name in this instruction.
    #[must_use]
    pub const fn of(self, instruction: InstructionKind) -> Explained {
        Explained {
            refusal: self,
            instruction,
        }
    }
}

/// A [`Refusal`] of one instruction, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Explained {
    refusal: Refusal,
    instruction: InstructionKind,
}

impl fmt::Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.instruction.name();
        match self.refusal {
            Refusal::Rule(error) => write!(f, "{name}: {error}"),
            Refusal::Account(fault, place) => match self.instruction.accounts().get(place) {
                Some(account) => write!(
                    f,
                    "{name}: the account `{}` {}",
                    account.name,
                    fault.message()
                ),
                None => write!(f, "{name}: account {place} {}", fault.message()),
            },
            Refusal::Unknown(code) => {
                write!(f, "{name}: error {code}, which this version does not know")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::string::ToString;

    use super::{AccountFault, PoolError, Refusal};
    use crate::instruction::InstructionKind;

    #[test]
    fn numbers_are_read_back() {
        for error in PoolError::ALL {
            assert!((100..1000).contains(&error.code()));
            assert_eq!(Refusal::from_code(error.code()), Refusal::Rule(*error));
        }
        for fault in AccountFault::ALL {
            for place in [0, 1, 31] {
                assert_eq!(
                    Refusal::from_code(fault.at(place)),
                    Refusal::Account(*fault, place)
                );
            }
        }
        assert_eq!(Refusal::from_code(0), Refusal::Unknown(0));
        assert_eq!(Refusal::from_code(0x2_00ff), Refusal::Unknown(0x2_00ff));
    }

    #[test]
    fn accounts_are_named() {
        let refusal = Refusal::from_code(AccountFault::NotSigner.at(0));
        assert_eq!(
            refusal.of(InstructionKind::Claim).to_string(),
            "Claim: the account `payer` did not sign"
        );
    }
}
