//! What the end-to-end tests share: a pool of real processes, a devnet with its custodians, and a Stratum
//! client small enough to lie with.

pub mod custodians;
pub mod devnet;
mod ipfs_node;
mod pool;
mod stratum_client;

pub use ipfs_node::IpfsNode;
pub use pool::{PoolOptions, TestNode, TestPool, orcapool_binary};
pub use stratum_client::{Answer, StratumClient};

use work::K2Address;

/// A K2 address that differs for every name.
#[must_use]
pub fn address(name: &str) -> K2Address {
    use sha2::{Digest as _, Sha256};
    K2Address::from_bytes(Sha256::digest(name).into())
}
