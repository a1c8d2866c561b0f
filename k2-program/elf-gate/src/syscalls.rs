//! The syscalls that a program on K2 may import.
//!
//! Source: `register_syscalls` in `programs/bpf_loader/src/syscalls/mod.rs` of Solana 1.14.19, which K2 is aligned with.

/// Those that 1.14 offers to every program, sorted.
pub const ALLOWED: [&str; 25] = [
    "abort",
    "sol_create_program_address",
    "sol_get_clock_sysvar",
    "sol_get_epoch_schedule_sysvar",
    "sol_get_processed_sibling_instruction",
    "sol_get_rent_sysvar",
    "sol_get_return_data",
    "sol_get_stack_height",
    "sol_invoke_signed_c",
    "sol_invoke_signed_rust",
    "sol_keccak256",
    "sol_log_",
    "sol_log_64_",
    "sol_log_compute_units_",
    "sol_log_data",
    "sol_log_pubkey",
    "sol_memcmp_",
    "sol_memcpy_",
    "sol_memmove_",
    "sol_memset_",
    "sol_panic_",
    "sol_secp256k1_recover",
    "sol_set_return_data",
    "sol_sha256",
    "sol_try_find_program_address",
];

/// Syscalls that exist, each with the reason why K2's programs must not import it.
///
/// The feature switches of 1.14 are set per cluster, and nothing published says how K2 has them.
const REFUSED: [(&str, &str); 18] = [
    (
        "sol_alloc_free_",
        "1.14 refuses to deploy programs that import it",
    ),
    ("sol_alt_bn128_compression", LATER),
    ("sol_alt_bn128_group_op", LATER),
    ("sol_big_mod_exp", LATER),
    ("sol_blake3", SWITCHED),
    ("sol_curve_decompress", LATER),
    ("sol_curve_group_op", SWITCHED),
    ("sol_curve_multiscalar_mul", SWITCHED),
    ("sol_curve_pairing_map", LATER),
    ("sol_curve_validate_point", SWITCHED),
    ("sol_get_epoch_rewards_sysvar", LATER),
    ("sol_get_epoch_stake", LATER),
    ("sol_get_fees_sysvar", SWITCHED),
    ("sol_get_last_restart_slot", LATER),
    (
        "sol_get_sysvar",
        "Solana has it since 2.0; take sysvars as accounts, or use crates that call sol_get_clock_sysvar and sol_get_rent_sysvar",
    ),
    ("sol_poseidon", LATER),
    ("sol_remaining_compute_units", LATER),
    ("sol_zk_token_elgamal_op", SWITCHED),
];
const LATER: &str = "Solana got it after 1.14";
const SWITCHED: &str = "in 1.14 it depends on a feature switch of the cluster";

/// Whether a program on K2 may import this.
pub fn is_allowed(name: &str) -> bool {
    ALLOWED.binary_search(&name).is_ok()
}

/// Why this import is refused.
pub(crate) fn refusal(name: &str) -> &'static str {
    match REFUSED.iter().find(|(known, _)| *known == name) {
        Some((_, reason)) => reason,
        None if name.starts_with("__") => {
            "a function of the compiler's run-time library: the code generator (k2-program/sbf/codegen) does not replace it"
        }
        None => "no syscall; was a function left undefined?",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted() {
        assert!(ALLOWED.is_sorted());
    }

    #[test]
    fn nothing_is_both() {
        for (name, _) in REFUSED {
            assert!(!is_allowed(name), "{name}");
        }
    }

    /// solana-sysvar 4 and pinocchio call nothing else for a sysvar: such a program builds, and cannot be deployed on K2.
    #[test]
    fn sol_get_sysvar_is_refused() {
        assert!(!is_allowed("sol_get_sysvar"));
        assert!(refusal("sol_get_sysvar").contains("2.0"));
    }
}
