//! Addresses: [`K2Address`] is what the pool speaks, `Pubkey` what Solana's crates speak. This is the only place where
//! one becomes the other, and where addresses every Solana cluster has in common are named.

use k2_interface::K2Address;
use solana_pubkey::Pubkey;

/// For Solana's crates.
#[must_use]
pub const fn pubkey(address: &K2Address) -> Pubkey {
    Pubkey::new_from_array(*address.as_bytes())
}

/// From Solana's crates.
#[must_use]
pub const fn address(pubkey: &Pubkey) -> K2Address {
    K2Address::from_bytes(pubkey.to_bytes())
}

/// The system program.
pub const SYSTEM_PROGRAM: K2Address = address(&solana_system_interface::program::ID);
/// The SPL Token program; K2 has the stock one.
pub const TOKEN_PROGRAM: K2Address = address(&spl_token_interface::ID);
/// The associated token account program.
pub const ASSOCIATED_TOKEN_PROGRAM: K2Address =
    address(&spl_associated_token_account_interface::program::ID);
/// The compute budget program.
pub const COMPUTE_BUDGET_PROGRAM: K2Address = address(&solana_sdk_ids::compute_budget::ID);
/// The loader of programs that can be upgraded.
pub const UPGRADEABLE_LOADER: K2Address = address(&solana_sdk_ids::bpf_loader_upgradeable::ID);
/// Where burned lamports go.
pub const INCINERATOR: K2Address = address(&solana_sdk_ids::incinerator::ID);
/// The sysvar that holds K2's clock.
pub const CLOCK: K2Address = address(&solana_sdk_ids::sysvar::clock::ID);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_two_types_hold_the_same_bytes() {
        let address_ = K2Address::from_bytes([7; 32]);
        assert_eq!(address(&pubkey(&address_)), address_);
        assert_eq!(pubkey(&address_).to_string(), address_.to_string());
    }

    #[test]
    fn common_addresses_are_those_of_every_cluster() {
        for (address, text) in [
            (SYSTEM_PROGRAM, "11111111111111111111111111111111"),
            (TOKEN_PROGRAM, "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA"),
            (
                ASSOCIATED_TOKEN_PROGRAM,
                "ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL",
            ),
            (
                COMPUTE_BUDGET_PROGRAM,
                "ComputeBudget111111111111111111111111111111",
            ),
            (
                UPGRADEABLE_LOADER,
                "BPFLoaderUpgradeab1e11111111111111111111111",
            ),
            (INCINERATOR, "1nc1nerator11111111111111111111111111111111"),
            (CLOCK, "SysvarC1ock11111111111111111111111111111111"),
        ] {
            assert_eq!(address.to_string(), text);
        }
    }
}
