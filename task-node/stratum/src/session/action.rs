//! What a session wants done, and when it is asked.

use std::sync::Arc;
use std::time::Duration;

use k2_interface::K2Address;
use work::{Clock, CreditedShare, FoundBlock, UnixTime};

use crate::CurrentWork;

/// One moment on both clocks: the wall clock for ntime and records, the monotonic one for everything that lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The wall clock; it may step.
    pub wall: UnixTime,
    /// Time since some fixed moment of this process.
    pub monotonic: Duration,
}

impl Moment {
    /// Now, by `clock`.
    #[must_use]
    pub fn of(clock: &dyn Clock) -> Self {
        Self {
            wall: clock.now(),
            monotonic: clock.monotonic(),
        }
    }
}

/// Names a share that is being recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub(crate) u64);

/// What a session wants done, in this order.
#[derive(Debug, Clone)]
pub enum Action {
    /// Send this line, newline included.
    Send(Vec<u8>),
    /// A header met the block target: hand it to the node now.
    Block {
        /// The work it was found on.
        work: Arc<CurrentWork>,
        /// The header and coinbase.
        block: Box<FoundBlock>,
        /// Who found it.
        miner: K2Address,
        /// With which worker.
        worker: Arc<str>,
    },
    /// Make this share durable, then tell the session with [`crate::Session::on_recorded`].
    Record {
        /// To be repeated there.
        ticket: Ticket,
        /// The share.
        share: Box<CreditedShare>,
        /// The worker that found it.
        worker: Arc<str>,
        /// When it arrived.
        at: UnixTime,
    },
    /// Send what is queued, then close the connection. No further action follows.
    Disconnect(DisconnectReason),
}

/// Why a connection ends from this side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DisconnectReason {
    /// Line after line that is no message.
    #[error("too many lines that are no Stratum message")]
    Garbage,
    /// A line that does not end.
    #[error("a line longer than 8 KiB")]
    LineTooLong,
    /// One rejected share after the other.
    #[error("nothing but rejected shares")]
    TooManyRejects,
    /// The client never came to work.
    #[error("not subscribed and authorized in time")]
    NotAuthorized,
    /// The client never sent an accepted share.
    #[error("no accepted share in time")]
    NoShares,
    /// The client fell silent.
    #[error("silent for too long")]
    Idle,
    /// The client does not read.
    #[error("does not read what it is sent")]
    SlowReader,
    /// What it worked on is not to be mined any more, and there is nothing else. Stratum has no word for that; a client
    /// whose connection ends goes on with its next pool.
    #[error("no work to give")]
    NoWork,
    /// There is no extranonce1 left, or no randomness.
    #[error("no extranonce to give")]
    NoExtranonce,
}

impl DisconnectReason {
    /// What it counts towards a ban; at 100 an address is banned. Slowness and silence are rarely malice.
    #[must_use]
    pub const fn ban_points(self) -> u32 {
        match self {
            Self::Garbage | Self::LineTooLong => 50,
            Self::TooManyRejects => 34,
            Self::NotAuthorized | Self::SlowReader => 10,
            Self::NoShares | Self::Idle | Self::NoWork | Self::NoExtranonce => 0,
        }
    }
}
