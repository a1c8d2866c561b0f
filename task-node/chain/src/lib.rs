//! The Bitcoin node: templates, new blocks, submission, headers, fail-over.
//!
//! The way of a template through this crate:
//!
//! 1. [`RpcNode`] asks one `bitcoind` (`getblocktemplate`, also as a long poll) and lets only validated answers in.
//! 2. [`FailoverNode`] puts several nodes behind the same [`BitcoinNode`] trait: the best healthy one is asked, a
//!    found block goes to all of them.
//! 3. [`watcher::spawn`] decides when to ask (a ZMQ notice, the long poll, a poll, the refresh interval) and what to
//!    publish, and hands out [`TemplateUpdate`]s with `clean` set when the previous block changed.
//!
//! Without a node of one's own, [`peer`] takes the place of step 1: templates and headers of other task nodes, compared.
//!
//! [`headers`] answers the auditor's questions about the past; [`bitcoind`] starts a node for devnet and tests.
//! Nothing a node says is believed where it can be checked, and nothing it says can panic or exhaust the pool.

mod backoff;
pub mod bitcoind;
mod error;
mod failover;
mod feed;
#[doc(hidden)]
pub mod fuzzing;
pub mod headers;
mod health;
mod node;
pub mod peer;
mod rpc;
mod tip_guard;
pub mod tls;
pub mod watcher;
mod wire;
pub mod words;
pub mod zmq;

pub use bitcoind::{Bitcoind, BitcoindError, BitcoindOptions, PrivateChain, StoppedBitcoind};
pub use error::NodeError;
pub use failover::{FailoverNode, FailoverOptions, MemberStatus};
pub use feed::{TemplateFeed, TemplateUpdate, WatcherPhase, WatcherStatus};
pub use headers::{HeaderFacts, RequiredBits};
pub use health::Condition;
pub use node::{
    BitcoinNode, ChainInfo, HeaderInfo, LongPollId, NodeTemplate, Standing, SubmitOutcome,
    TransactionCost, ZmqNotification,
};
pub use rpc::{Auth, RpcNode, RpcOptions};
pub use watcher::WatcherOptions;
pub use zmq::{ZmqCheck, ZmqEndpoint, ZmqStatus};
