//! Where shares and blocks go: the two seams between the server and the application.

use std::sync::Arc;

use async_trait::async_trait;
use k2_interface::K2Address;
use work::{CreditedShare, FoundBlock, UnixTime};

use crate::CurrentWork;

/// What became of a credited share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recorded {
    /// It is durable: only now may the miner hear `true`.
    Stored,
    /// The same header was stored before.
    Duplicate,
    /// The round of its job takes no more shares.
    RoundClosed,
    /// The round of its job has no room for another share.
    RoundFull,
}

/// A share could not be made durable; whether it reached the disk is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SinkError(String);

impl SinkError {
    /// An error with a text for the log. The miner only hears that it may submit the share again.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

/// Makes shares durable.
///
/// The sink is the final judge of duplicates: the server's own filter knows neither the shares of an earlier process nor
/// those before a re-organisation. After an error the miner may submit the same share again, and the sink sees it again.
#[async_trait]
pub trait ShareSink: Send + Sync {
    /// Resolves once the share is durable. The server runs it to its end even if the miner is gone by then.
    async fn record(
        &self,
        share: CreditedShare,
        worker: &str,
        at: UnixTime,
    ) -> Result<Recorded, SinkError>;
}

/// Takes blocks.
#[async_trait]
pub trait BlockSink: Send + Sync {
    /// A header met the block target: hand it to the Bitcoin node. Called before the share is judged, in a task of its own,
    /// also for shares that earn nothing. `work` is what the block was found on ([`work::BlockTemplate::assemble`]).
    async fn found(
        &self,
        work: Arc<CurrentWork>,
        block: FoundBlock,
        miner: K2Address,
        worker: &str,
    );
}
