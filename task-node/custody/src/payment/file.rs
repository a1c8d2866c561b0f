//! PSBT files, binary (BIP174) or base64.

use std::str::FromStr as _;

use bitcoin::Psbt;

/// The most bytes a file may hold, in base64: a sweep of as many inputs as nodes relay, some 950, each with a coinbase
/// transaction of 4,000 bytes, takes a third of it.
pub const MAX_PSBT_FILE: usize = 16 << 20;

/// The first bytes of a binary file (BIP174).
const MAGIC: &[u8] = b"psbt\xff";

/// Why a file is no PSBT.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// Too large.
    #[error("{0} bytes are more than a PSBT of this pool has")]
    Length(usize),
    /// Neither form.
    #[error("this is no PSBT, neither binary nor base64")]
    Form,
    /// Its content.
    #[error("the PSBT is damaged: {0}")]
    Psbt(String),
}

/// Reads the content of a file.
///
/// # Errors
/// [`FileError`].
pub fn read_psbt(content: &[u8]) -> Result<Psbt, FileError> {
    if content.len() > MAX_PSBT_FILE {
        return Err(FileError::Length(content.len()));
    }
    if content.starts_with(MAGIC) {
        return Psbt::deserialize(content).map_err(|error| FileError::Psbt(error.to_string()));
    }
    let text = std::str::from_utf8(content).map_err(|_| FileError::Form)?;
    let text: String = text.split_ascii_whitespace().collect();
    if !text.starts_with("cHNidP8") {
        return Err(FileError::Form);
    }
    Psbt::from_str(&text).map_err(|error| FileError::Psbt(error.to_string()))
}
