//! The block subsidy.

use bitcoin::{Amount, Network};

/// Subsidy at `height`: 50 BTC, halved every 210,000 blocks (every 150 on regtest).
///
/// Source: Bitcoin Core `validation.cpp` `GetBlockSubsidy`, `chainparams.cpp` `nSubsidyHalvingInterval`.
#[must_use]
pub fn block_subsidy(network: Network, height: u32) -> Amount {
    let interval = match network {
        Network::Regtest => 150,
        _ => 210_000,
    };
    let halvings = height / interval;
    // Core: a shift by 64 or more is undefined in C++, so the subsidy is zero from there on.
    Amount::from_sat(5_000_000_000_u64.checked_shr(halvings).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_subsidies() {
        for (network, height, sats) in [
            (Network::Bitcoin, 0, 5_000_000_000),
            (Network::Bitcoin, 209_999, 5_000_000_000),
            (Network::Bitcoin, 702_861, 625_000_000),
            (Network::Bitcoin, 840_000, 312_500_000),
            (Network::Bitcoin, 6_930_000, 0),
            (Network::Bitcoin, u32::MAX, 0),
            (Network::Regtest, 149, 5_000_000_000),
            (Network::Regtest, 150, 2_500_000_000),
        ] {
            assert_eq!(block_subsidy(network, height).to_sat(), sats);
        }
    }
}
