//! The Stratum server: sessions, dialects, vardiff, limits.

mod current_work;
mod random;
mod settings;
mod sink;

pub use current_work::CurrentWork;
pub use random::{NoRandomness, OsRandomness, Randomness, SessionId, SessionIdError};
pub use settings::{Limits, PortSettings, ServerSettings, SessionSettings};
pub use sink::{BlockSink, Recorded, ShareSink, SinkError};
