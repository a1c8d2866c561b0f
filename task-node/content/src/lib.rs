//! Content-addressed data: blocks, DAGs, CAR files, the block store, and where missing blocks come from.
//!
//! A round's bundle is a small DAG: a DAG-CBOR root that links raw chunks of packed shares. Its CID is all that
//! stands on K2, so everything here rests on one rule: a [`Block`] exists only if its bytes hash to its CID.
//!
//! 1. [`dag_cbor`] turns serde types into canonical blocks and back; two spellings of one value cannot both be read.
//! 2. A [`BlockStore`] keeps blocks; [`DirStore`] does so on disk and survives a kill at any moment.
//! 3. [`dag`] walks from a root within [`DagLimits`]; [`car`] moves a whole DAG as one CARv1 stream.
//! 4. A [`Fetcher`] gets what is missing from other nodes, trustless gateways and IPFS nodes; [`gateway`] is what this
//!    node needs to answer as one itself.
//! 5. [`KuboRpc`] has an IPFS node of the operator's pin what this node seals.
//!
//! Nothing from outside is believed before it is hashed, and nothing is read past a limit given by the caller.

pub mod block;
pub mod car;
pub mod dag;
pub mod dag_cbor;
pub mod fetch;
pub mod gateway;
pub mod kubo;
pub mod store;

pub use block::{Block, BlockError, Codec, MAX_BLOCK_BYTES, parse_cid};
pub use cid::Cid;
pub use dag::{DagError, DagLimits, DagViolation};
pub use fetch::{DagReport, FetchError, FetchOptions, Fetcher, NodeUrl, Source};
pub use gateway::Format;
pub use kubo::{KuboError, KuboRpc};
pub use store::{BlockStore, DirStore, MemoryStore, StoreError};
