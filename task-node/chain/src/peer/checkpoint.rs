//! Where trust begins: a block that the operator took from somewhere else.

use std::{fmt, str::FromStr};

use bitcoin::{BlockHash, Network, constants::genesis_block};

/// A block everybody may rely on. All of its ancestors follow from its hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint {
    /// Its height.
    pub height: u32,
    /// Its hash.
    pub hash: BlockHash,
}

/// A text that is no checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not of the form HEIGHT:HASH (any synchronised node prints the hash: `bitcoin-cli getblockhash HEIGHT`)"
)]
pub struct CheckpointError;

impl Checkpoint {
    /// The first block of a chain.
    #[must_use]
    pub fn genesis(network: Network) -> Self {
        Self {
            height: 0,
            hash: genesis_block(network).block_hash(),
        }
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.height, self.hash)
    }
}

impl FromStr for Checkpoint {
    type Err = CheckpointError;

    fn from_str(text: &str) -> Result<Self, CheckpointError> {
        let (height, hash) = text.trim().split_once(':').ok_or(CheckpointError)?;
        Ok(Self {
            height: height.parse().map_err(|_| CheckpointError)?,
            hash: hash.parse().map_err(|_| CheckpointError)?,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_checkpoint_is_read_as_it_is_written() {
        let genesis = Checkpoint::genesis(Network::Bitcoin);
        assert_eq!(genesis.to_string().parse::<Checkpoint>(), Ok(genesis));
        for bad in ["", "1", "1:", ":00", "-1:00", "1:zz", "x:00"] {
            assert_eq!(bad.parse::<Checkpoint>(), Err(CheckpointError), "{bad}");
        }
    }
}
