//! Parameters of a call: a list by position, read one by one into the types of Solana's own client crates.

use std::str::FromStr;

use serde::de::DeserializeOwned;
use serde_json::Value;
use solana_commitment_config::{CommitmentConfig, CommitmentLevel};
use solana_pubkey::Pubkey;
use solana_signature::Signature;

use super::error::RpcError;
use crate::bank::Bank;

/// The parameters of one call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Params<'a>(&'a [Value]);

impl<'a> Params<'a> {
    /// Takes a request's `params`: a list of at most `most` values, or nothing.
    pub(crate) fn new(params: Option<&'a Value>, most: usize) -> Result<Self, RpcError> {
        let values = match params {
            None | Some(Value::Null) => &[],
            Some(Value::Array(values)) => values.as_slice(),
            Some(_) => {
                return Err(RpcError::invalid_params(
                    "Invalid params: expected a list of parameters by position",
                ));
            }
        };
        if values.len() > most {
            return Err(RpcError::invalid_params(format!(
                "Invalid parameters: Expected from 0 to {most} parameters, got {}.",
                values.len()
            )));
        }
        Ok(Self(values))
    }

    /// Parameter `index`, or `None` where it is absent or null.
    pub(crate) fn optional<T: DeserializeOwned>(
        &self,
        index: usize,
    ) -> Result<Option<T>, RpcError> {
        match self.0.get(index) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => T::deserialize(value)
                .map(Some)
                .map_err(|error| RpcError::invalid_params(format!("Invalid params: {error}."))),
        }
    }

    /// Parameter `index`, called `name` in the error if it is missing.
    pub(crate) fn required<T: DeserializeOwned>(
        &self,
        index: usize,
        name: &str,
    ) -> Result<T, RpcError> {
        self.optional(index)?.ok_or_else(|| {
            RpcError::invalid_params(format!(
                "Invalid params: parameter {index} ({name}) is missing."
            ))
        })
    }

    /// Parameter `index` as an address.
    pub(crate) fn address(&self, index: usize) -> Result<Pubkey, RpcError> {
        address(&self.required::<String>(index, "address")?)
    }
}

/// Reads a base58 address.
pub(crate) fn address(text: &str) -> Result<Pubkey, RpcError> {
    Pubkey::from_str(text)
        .map_err(|error| RpcError::invalid_params(format!("Invalid param: {error:?}")))
}

/// Reads a base58 signature.
pub(crate) fn signature(text: &str) -> Result<Signature, RpcError> {
    Signature::from_str(text)
        .map_err(|error| RpcError::invalid_params(format!("Invalid param: {error:?}")))
}

/// The slot a call at `commitment` sees; a cluster's default is `finalized`.
pub(crate) fn slot_of(
    bank: &Bank,
    commitment: Option<CommitmentConfig>,
    min_context_slot: Option<u64>,
) -> Result<u64, RpcError> {
    let level = commitment.map_or(CommitmentLevel::Finalized, |config| config.commitment);
    let slot = bank.slot_at(level);
    match min_context_slot {
        Some(wanted) if wanted > slot => Err(RpcError::min_context_slot(slot)),
        _ => Ok(slot),
    }
}
