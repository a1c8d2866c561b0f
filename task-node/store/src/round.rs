//! A round as the store knows it: opened, closed, sealed, and never back.

use bitcoin::BlockHash;
use cid::Cid;
use pow::Work;
use work::{RoundNumber, UnixTime};

/// The best block of the Bitcoin chain at some moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tip {
    /// Its hash.
    pub hash: BlockHash,
    /// Its height.
    pub height: u32,
}

/// When something happened, on both clocks that matter to an auditor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Mark {
    /// Wall clock.
    pub at: UnixTime,
    /// The chain's tip then.
    pub tip: Tip,
}

/// What a round's bundle turned out to be. Two seals are the same if all but `at` agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seal {
    /// Root of the bundle.
    pub cid: Cid,
    /// The Merkle-sum root over its shares.
    pub root: [u8; 32],
    /// How many shares it holds; never more than the store has for the round.
    pub shares: u64,
    /// Their work; never more than the store has for the round.
    pub work: Work,
    /// When it was sealed.
    pub at: UnixTime,
}

impl Seal {
    /// Whether both name the same bundle, whenever they were made: a seal repeated after a crash is later than the first.
    #[must_use]
    pub fn is_same_bundle(&self, other: &Self) -> bool {
        (self.cid, self.root, self.shares, self.work)
            == (other.cid, other.root, other.shares, other.work)
    }
}

/// How far a round has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoundState {
    /// It takes shares.
    Open,
    /// It takes no more shares.
    Closed(Mark),
    /// Its bundle is fixed.
    Sealed {
        /// When it was closed.
        closed: Mark,
        /// The bundle.
        seal: Seal,
    },
}

impl RoundState {
    /// When it was closed, if it was.
    #[must_use]
    pub const fn closed(&self) -> Option<&Mark> {
        match self {
            Self::Open => None,
            Self::Closed(closed) | Self::Sealed { closed, .. } => Some(closed),
        }
    }

    /// Its bundle, if it is sealed.
    #[must_use]
    pub const fn seal(&self) -> Option<&Seal> {
        match self {
            Self::Open | Self::Closed(_) => None,
            Self::Sealed { seal, .. } => Some(seal),
        }
    }
}

/// One round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoundRecord {
    /// Its number.
    pub round: RoundNumber,
    /// When it was opened.
    pub opened: Mark,
    /// How far it has come.
    pub state: RoundState,
    /// How many shares it holds.
    pub shares: u64,
    /// Their work.
    pub work: Work,
}

/// What [`crate::ShareStore::open_round`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum OpenOutcome {
    /// The round is new and takes shares now.
    Opened,
    /// It was open before; nothing changed.
    AlreadyOpen,
    /// It was closed or sealed before and stays so.
    Finished,
    /// It was never opened and a later one was: rounds only move forward.
    Behind {
        /// The highest round the store has seen.
        current: RoundNumber,
    },
}

/// What [`crate::ShareStore::close_round`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum CloseOutcome {
    /// It was open and is closed now.
    Closed,
    /// It was closed or sealed before; nothing changed.
    AlreadyClosed,
    /// It was never opened.
    NotOpened,
}

/// What [`crate::ShareStore::seal_round`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum SealOutcome {
    /// It was closed and is sealed now.
    Sealed,
    /// It was sealed as the same bundle before; nothing changed, its `at` is the first one.
    AlreadySealed,
}
