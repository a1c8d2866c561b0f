//! What a program that passed is made of.

use serde::Serialize;

/// A program that K2 can load.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// Bytes of the file.
    pub bytes: usize,
    /// Bytes of code; an instruction has 8, or 16 with a 64-bit constant.
    pub code_bytes: u64,
    /// Bytes of constants.
    pub constant_bytes: u64,
    /// Relocations that the loader applies.
    pub relocations: usize,
    /// The syscalls it imports, sorted.
    pub imports: Vec<String>,
    /// Lamports that its account keeps, at 1.14's price of 6,960 per byte for two years' rent.
    pub rent_lamports: u64,
}

/// `DEFAULT_LAMPORTS_PER_BYTE_YEAR` times the two years of `DEFAULT_EXEMPTION_THRESHOLD` (Solana 1.14, `sdk/program/src/rent.rs`).
const LAMPORTS_PER_BYTE: u64 = 3_480 * 2;
/// Every account pays for these besides its data (`ACCOUNT_STORAGE_OVERHEAD`).
const ACCOUNT_OVERHEAD: u64 = 128;
/// Metadata of the upgradeable loader before the program (`UpgradeableLoaderState::size_of_programdata_metadata`).
pub(crate) const PROGRAM_DATA_METADATA: u64 = 45;

/// Lamports that keep a program account of `bytes` bytes alive.
pub(crate) fn rent(bytes: usize) -> u64 {
    let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
    bytes
        .saturating_add(PROGRAM_DATA_METADATA)
        .saturating_add(ACCOUNT_OVERHEAD)
        .saturating_mul(LAMPORTS_PER_BYTE)
}
