//! SHA-256d: Bitcoin's double SHA-256 over the 80-byte header.

use sha2::{Digest, Sha256};

use crate::{Algorithm, Target};

/// Double SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sha256d;

impl Algorithm for Sha256d {
    const NAME: &'static str = "sha256d";
    const DIFFICULTY_ONE: Target = Target::DIFFICULTY_ONE;

    fn hash(header: &[u8]) -> [u8; 32] {
        Sha256::digest(Sha256::digest(header)).into()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn hashes_the_bitcoin_genesis_header() {
        // Source: Bitcoin mainnet block 0.
        let header = concat!(
            "01000000",
            "0000000000000000000000000000000000000000000000000000000000000000",
            "3ba3edfd7a7b12b27ac72c3e67768f617fc81bc3888a51323a9fb8aa4b1e5e4a",
            "29ab5f49ffff001d1dac2b7c"
        );
        let bytes: Vec<u8> = (0..header.len())
            .step_by(2)
            .map(|i| u8::from_str_radix(&header[i..i + 2], 16).unwrap())
            .collect();
        let mut hash = Sha256d::hash(&bytes);
        assert!(Target::DIFFICULTY_ONE.is_met_by_le(&hash));
        hash.reverse();
        let display: String = hash.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(
            display,
            "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f"
        );
    }
}
