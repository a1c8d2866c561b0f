//! The Stratum server: sessions, dialects, vardiff, limits.
//!
//! The way of a message: bytes -> line (at most 8 KiB) -> [`Session::on_line`] -> [`Action`]s. A [`Session`] is a pure state
//! machine; [`Server`] is the thin shell of sockets and tasks around it.
//!
//! # Use
//! The application publishes [`CurrentWork`] through a watch channel, gives a [`ShareSink`] and a [`BlockSink`], starts a
//! [`Server`] and hands it listeners ([`Server::listen`]) or single streams ([`Server::serve_stream`], for the built-in
//! miner). Dropping work, shares or blocks is impossible by construction: a share is answered only after the sink has it,
//! and a recording runs to its end even if the miner or the listener is gone.

mod bouncer;
mod configure;
mod connection;
mod current_work;
mod extranonce_allocator;
mod fuzzing;
mod jobs;
mod message;
mod random;
mod seen_shares;
mod server;
mod session;
mod settings;
mod sink;
mod stats;
mod user;
mod vardiff;

pub use current_work::CurrentWork;
pub use extranonce_allocator::{AllocateError, ExtranonceAllocator, Lease};
pub use fuzzing::feed;
pub use message::MAX_LINE_BYTES;
pub use random::{NoRandomness, OsRandomness, Randomness, SessionId, SessionIdError};
pub use seen_shares::{Attempt, NodeSeenShares};
pub use server::{Server, ServerParts};
pub use session::{Action, DisconnectReason, Moment, Session, SessionContext, Ticket};
pub use settings::{Limits, PortSettings, ServerSettings, SessionSettings};
pub use sink::{BlockSink, Recorded, ShareSink, SinkError};
pub use stats::{Rejected, ServerStats, StatsTable, WorkerStats};
pub use user::{UserName, UserNameError};
