//! Drafts and proofs as a file: JSON, read strictly. One draft or proof has exactly one text, so nothing can be changed in a
//! file without being noticed.

use bitcoin::{Amount, Psbt, Transaction, consensus};
use serde::{Deserialize, Serialize};

use super::draft::Draft;
use super::statement::{FORMAT, Statement};
use super::transaction::{Claim, ClaimError, ProvedCoin};
use super::verify::Proof;

/// The largest file that is read, in bytes: a proof of 2,000 coins that each come from a payout of 100 outputs fits.
pub const MAX_FILE: usize = 32 << 20;

/// Why bytes are no draft or proof.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// Too large.
    #[error("the file has {0} bytes; a proof has at most {MAX_FILE}")]
    TooLarge(usize),
    /// Not this JSON.
    #[error("this is no proof of reserves: {0}")]
    Json(#[from] serde_json::Error),
    /// Another version.
    #[error("the format is {0:?}, and this version of orcapool reads {FORMAT:?}")]
    Format(String),
    /// The claims do not fit together.
    #[error(transparent)]
    Claim(#[from] ClaimError),
    /// The PSBT cannot be read.
    #[error("its PSBT cannot be read: {0}")]
    Psbt(String),
    /// The transaction cannot be read.
    #[error("its transaction cannot be read: {0}")]
    Transaction(String),
    /// Neither or both.
    #[error("it must hold a PSBT (a draft) or a transaction (a proof), and only one of them")]
    Stage,
    /// The same in other letters.
    #[error("the file is not as it was written: take the original one, byte by byte")]
    Altered,
}

/// What a file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::large_enum_variant)] // short-lived
pub enum File {
    /// Not signed by all.
    Draft(Draft),
    /// Finished.
    Proof(Proof),
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Json {
    format: String,
    statement: Statement,
    /// Sats.
    #[serde(with = "bitcoin::amount::serde::as_sat")]
    mature: Amount,
    /// Sats.
    #[serde(with = "bitcoin::amount::serde::as_sat")]
    immature: Amount,
    coins: Vec<ProvedCoin>,
    /// Base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    psbt: Option<String>,
    /// Hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    transaction: Option<String>,
}

impl File {
    /// Reads a file.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, FileError> {
        if bytes.len() > MAX_FILE {
            return Err(FileError::TooLarge(bytes.len()));
        }
        let json: Json = serde_json::from_slice(bytes)?;
        if json.format != FORMAT {
            return Err(FileError::Format(json.format.chars().take(40).collect()));
        }
        let claim = Claim::new(json.statement, json.coins)?;
        if (claim.mature(), claim.immature()) != (json.mature, json.immature) {
            return Err(ClaimError::Totals.into());
        }
        let file = match (json.psbt, json.transaction) {
            (Some(psbt), None) => {
                let psbt: Psbt = psbt
                    .parse()
                    .map_err(|error| FileError::Psbt(format!("{error}")))?;
                Self::Draft(Draft::from_parts(claim, psbt)?)
            }
            (None, Some(hex)) => {
                let transaction: Transaction = consensus::encode::deserialize_hex(&hex)
                    .map_err(|error| FileError::Transaction(error.to_string()))?;
                Self::Proof(Proof::new(claim, transaction)?)
            }
            _ => return Err(FileError::Stage),
        };
        if file.encode()? != bytes {
            return Err(FileError::Altered);
        }
        Ok(file)
    }

    /// The one text of it.
    ///
    /// # Errors
    /// [`FileError::Json`], which does not happen.
    pub fn encode(&self) -> Result<Vec<u8>, FileError> {
        let (claim, psbt, transaction) = match self {
            Self::Draft(draft) => (draft.claim(), Some(draft.psbt().to_string()), None),
            Self::Proof(proof) => (
                proof.claim(),
                None,
                Some(consensus::encode::serialize_hex(proof.transaction())),
            ),
        };
        let json = Json {
            format: FORMAT.to_owned(),
            statement: claim.statement().clone(),
            mature: claim.mature(),
            immature: claim.immature(),
            coins: claim.coins().to_vec(),
            psbt,
            transaction,
        };
        let mut text = serde_json::to_vec_pretty(&json)?;
        text.push(b'\n');
        Ok(text)
    }
}
