//! The built-in miner: search loops and a Stratum V1 client.
//!
//! ```text
//! pool line -> Session (pure) -> MiningWork -> Engine (threads) -> Kernel (nonce loop)
//!                 ^                                  |
//!                 +------------- Solution <----------+
//! ```
//!
//! - [`search`] and [`Kernel`] - the hash loop; faster kernels take a file each in `kernel/`.
//! - [`Engine`] - threads that search the latest [`MiningWork`] and hand out [`Solution`]s.
//! - `session` - the protocol as a state machine without sockets or clocks.
//! - [`Miner`] - the shell: connects, reconnects, stops; [`MinerStats`] says how it goes.
//!
//! The pool is not trusted: whatever it sends, memory stays bounded and no share below the announced difficulty is sent.

mod backoff;
mod client;
mod difficulty;
mod engine;
mod kernel;
mod message;
mod mining_work;
mod notify;
mod pool_url;
mod search;
mod session;
mod stats;
mod throttle;

pub use client::{Miner, MinerSettings, SessionEnd, StatsHandle};
pub use difficulty::{AnnouncedDifficultyError, target_of_difficulty};
pub use engine::{Engine, EngineError, EngineSettings, Solution};
pub use kernel::{Kernel, PortableKernel, PreparedHeader};
pub use mining_work::MiningWork;
pub use notify::{NotifiedJob, NotifyError};
pub use pool_url::{PoolUrl, PoolUrlError};
pub use search::search;
pub use session::SessionError;
pub use stats::{MinerStats, Rejections};
