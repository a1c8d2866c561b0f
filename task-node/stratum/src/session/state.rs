//! The states of a session and the ways between them.
//!
//! ```text
//! Connected --subscribe--> Subscribed --authorize--> Working
//!     \------authorize---> Authorized --subscribe------/
//! ```

use k2_interface::K2Address;
use work::Extranonce1;

use crate::Lease;

/// Where a session stands.
#[derive(Debug)]
pub(crate) enum State {
    /// Nothing is known of the client.
    Connected,
    /// It has an extranonce1, but nobody to be paid.
    Subscribed { lease: Lease },
    /// It has named who is paid, but has no extranonce1.
    Authorized { miner: K2Address },
    /// It can be given jobs.
    Working { lease: Lease, miner: K2Address },
}

/// A step that is not possible from where a session stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum IllegalTransition {
    /// A claim names one miner, and one session has one.
    #[error("this connection already mines for another K2 address: open a second one")]
    OtherMiner,
}

impl State {
    pub(crate) fn lease(&self) -> Option<&Lease> {
        match self {
            Self::Subscribed { lease } | Self::Working { lease, .. } => Some(lease),
            Self::Connected | Self::Authorized { .. } => None,
        }
    }

    pub(crate) fn lease_mut(&mut self) -> Option<&mut Lease> {
        match self {
            Self::Subscribed { lease } | Self::Working { lease, .. } => Some(lease),
            Self::Connected | Self::Authorized { .. } => None,
        }
    }

    pub(crate) fn miner(&self) -> Option<K2Address> {
        match self {
            Self::Authorized { miner } | Self::Working { miner, .. } => Some(*miner),
            Self::Connected | Self::Subscribed { .. } => None,
        }
    }

    /// Extranonce1 and miner of a session that can be given jobs.
    pub(crate) fn working(&self) -> Option<(Extranonce1, K2Address)> {
        match self {
            Self::Working { lease, miner } => Some((lease.extranonce1(), *miner)),
            _ => None,
        }
    }

    /// Gives the session an extranonce1. A session that has one keeps it.
    pub(crate) fn subscribe(&mut self, new: Lease) {
        *self = match std::mem::replace(self, Self::Connected) {
            Self::Connected => Self::Subscribed { lease: new },
            Self::Authorized { miner } => Self::Working { lease: new, miner },
            kept => kept,
        };
    }

    /// Gives the session a miner.
    pub(crate) fn authorize(&mut self, new: K2Address) -> Result<(), IllegalTransition> {
        if self.miner().is_some_and(|miner| miner != new) {
            return Err(IllegalTransition::OtherMiner);
        }
        *self = match std::mem::replace(self, Self::Connected) {
            Self::Connected => Self::Authorized { miner: new },
            Self::Subscribed { lease } => Self::Working { lease, miner: new },
            kept => kept,
        };
        Ok(())
    }
}
