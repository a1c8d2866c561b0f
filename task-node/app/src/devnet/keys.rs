//! The keypairs of a devnet: from hashes of names, so that each run has the same addresses, and anybody has the keys.

use k2_client::Keypair;
use sha2::{Digest as _, Sha256};
use work::K2Address;

/// The keypair of a name.
pub(super) fn keypair(name: &str) -> Keypair {
    Keypair::from_seed(Sha256::digest(format!("orcapool devnet {name}")).into())
}

/// Its address.
pub(super) fn address(name: &str) -> K2Address {
    keypair(name).address()
}
