//! Layouts of the program's accounts.
//!
//! Every account starts with a [`Head`]. All are read and written in place: integers are little-endian byte arrays, so a
//! layout has alignment 1 and no padding on any machine. Sizes are asserted at compile time; a change of a layout is a new
//! `version`.

mod config;
mod operators;
mod proofs;
mod records;
mod relay;
mod rounds;

pub use config::{
    Config, Custody, CustodyScripts, MintWindow, PackedScript, Parameters, Pause, Rewards, Totals,
};
pub use operators::{MAX_OPERATORS, Operator, OperatorSet, OperatorSlot, OperatorState};
pub use proofs::{Buffer, Cursor, MAX_PROOF};
pub use records::{Record, Redemption, RedemptionState};
pub use relay::{EPOCH_SLOTS, EpochSlot, Fork, MAX_FORK, MAX_REORG, RING, Relay, RelayEntry};
pub use rounds::{Ledger, Proposal, ProposalState};

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::layout::{Described, pod};

/// The first bytes of every account of the program.
pub const MAGIC: [u8; 4] = *b"ORCA";
/// The layouts' version.
pub const VERSION: u8 = 1;

pod! {
    /// What an account is.
    pub struct Head {
        /// [`MAGIC`].
        pub magic: [u8; 4],
        /// A [`Kind`].
        pub kind: u8,
        /// [`VERSION`].
        pub version: u8,
        /// The bump of the account's own address.
        pub bump: u8,
        /// Zero.
        pub reserved: u8,
    }
}

impl Head {
    /// The head of a new account.
    #[must_use]
    pub const fn new(kind: Kind, bump: u8) -> Self {
        Self {
            magic: MAGIC,
            kind: kind as u8,
            version: VERSION,
            bump,
            reserved: 0,
        }
    }
}

/// What an account of the program holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
#[non_exhaustive]
pub enum Kind {
    /// [`Config`].
    Config = 1,
    /// [`OperatorSet`].
    Operators = 2,
    /// [`Relay`].
    Relay = 3,
    /// [`Fork`].
    Fork = 4,
    /// [`Cursor`].
    Cursor = 5,
    /// [`Buffer`].
    Buffer = 6,
    /// A [`Record`] of a minted output.
    Deposit = 7,
    /// A [`Record`] of an output that settled a redemption.
    Payout = 8,
    /// [`Operator`].
    Operator = 9,
    /// [`Proposal`].
    Proposal = 10,
    /// [`Ledger`].
    Ledger = 11,
    /// [`Redemption`].
    Redemption = 12,
}

/// An account layout. The account may be longer only where the layout says so ([`Buffer`]).
pub trait Account: Described + FromBytes + IntoBytes + KnownLayout + Immutable + Unaligned {
    /// The kinds that have this layout.
    const KINDS: &'static [Kind];
    /// Whether bytes follow the layout.
    const HAS_TAIL: bool = false;

    /// The head.
    fn head(&self) -> &Head;
}

/// Why bytes are not an account of the wanted kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StateError {
    /// Shorter or longer than the layout, or empty.
    Length,
    /// Not an account of this program, of another kind, or of another version.
    Kind,
}

impl core::fmt::Display for StateError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Length => "the account's length is not that of the wanted kind",
            Self::Kind => "the account is of another kind or version",
        })
    }
}

impl core::error::Error for StateError {}

fn check<T: Account>(account: &T, kind: Kind) -> Result<(), StateError> {
    let head = account.head();
    if head.magic == MAGIC
        && head.kind == kind as u8
        && head.version == VERSION
        && T::KINDS.contains(&kind)
    {
        Ok(())
    } else {
        Err(StateError::Kind)
    }
}

/// Reads an account in place.
///
/// # Errors
/// [`StateError`] where the bytes are not an account of this kind.
pub fn load<T: Account>(data: &[u8], kind: Kind) -> Result<&T, StateError> {
    let (account, rest) = T::ref_from_prefix(data).map_err(|_| StateError::Length)?;
    if !T::HAS_TAIL && !rest.is_empty() {
        return Err(StateError::Length);
    }
    check(account, kind)?;
    Ok(account)
}

/// Opens an account for writing in place.
///
/// # Errors
/// As [`load`].
pub fn load_mut<T: Account>(data: &mut [u8], kind: Kind) -> Result<&mut T, StateError> {
    let (account, rest) = T::mut_from_prefix(data).map_err(|_| StateError::Length)?;
    if !T::HAS_TAIL && !rest.is_empty() {
        return Err(StateError::Length);
    }
    check(account, kind)?;
    Ok(account)
}

/// Writes the head into a new account, whose bytes are all zero, and opens it.
///
/// # Errors
/// [`StateError::Length`]; [`StateError::Kind`] where the account is not empty.
pub fn create<T: Account>(data: &mut [u8], kind: Kind, bump: u8) -> Result<&mut T, StateError> {
    let (head, _) = Head::mut_from_prefix(data).map_err(|_| StateError::Length)?;
    if head.as_bytes() != [0; 8] {
        return Err(StateError::Kind);
    }
    *head = Head::new(kind, bump);
    load_mut(data, kind)
}

/// Implements [`Account`] and asserts the layout's size.
macro_rules! account {
    ($type:ty, $size:literal, [$($kind:ident),+]) => {
        impl super::Account for $type {
            const KINDS: &'static [super::Kind] = &[$(super::Kind::$kind),+];
            fn head(&self) -> &super::Head {
                &self.head
            }
        }
        const _: () = assert!(size_of::<$type>() == $size);
    };
}
use account;
