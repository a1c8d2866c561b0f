//! Errors of the JSON-RPC, with the codes and words clients of a Solana cluster know.

use serde_json::{Value, json};
use solana_rpc_client_types::response::RpcSimulateTransactionResult;
use solana_transaction_error::TransactionError;

/// A JSON-RPC error: a code, a sentence, for some codes more.
#[derive(Clone, Debug, PartialEq)]
pub struct RpcError {
    /// JSON-RPC 2.0's own codes, or a cluster's (-32001 to -32016).
    pub code: i64,
    /// For people.
    pub message: String,
    /// What the code's clients expect beside it.
    pub data: Option<Value>,
}

impl RpcError {
    fn new(code: i64, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            data: None,
        }
    }

    /// -32700: no JSON.
    pub(crate) fn parse() -> Self {
        Self::new(-32700, "Parse error")
    }

    /// -32600: JSON, but no request.
    pub(crate) fn invalid_request(message: impl Into<String>) -> Self {
        Self::new(-32600, message)
    }

    /// -32601: a method this endpoint does not have.
    pub(crate) fn method_not_found() -> Self {
        Self::new(-32601, "Method not found")
    }

    /// -32602: parameters that do not fit.
    pub(crate) fn invalid_params(message: impl Into<String>) -> Self {
        Self::new(-32602, message)
    }

    /// -32603: not the caller's fault, or the faucet's refusal.
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(-32603, message)
    }

    /// -32002: a transaction that would fail was not sent.
    pub(crate) fn preflight(
        error: &TransactionError,
        result: &RpcSimulateTransactionResult,
    ) -> Self {
        Self {
            data: serde_json::to_value(result).ok(),
            ..Self::new(-32002, format!("Transaction simulation failed: {error}"))
        }
    }

    /// -32003
    pub(crate) fn signature_verification() -> Self {
        Self::new(-32003, "Transaction signature verification failure")
    }

    /// -32004
    pub(crate) fn block_not_available(slot: u64) -> Self {
        Self::new(-32004, format!("Block not available for slot {slot}"))
    }

    /// -32012: an answer larger than this endpoint gives.
    pub(crate) fn scan_too_large() -> Self {
        Self::new(
            -32012,
            "scan aborted: the accumulated scan results exceeded the limit; use dataSlice or filters",
        )
    }

    /// -32015: a transaction of a version the caller did not say it can read.
    pub(crate) fn unsupported_version(version: u8) -> Self {
        Self::new(
            -32015,
            format!(
                "Transaction version ({version}) is not supported by the requesting client. Please try the \
                 request again with the following configuration parameter: \
                 \"maxSupportedTransactionVersion\": {version}"
            ),
        )
    }

    /// -32016: the caller wants a later state than there is.
    pub(crate) fn min_context_slot(slot: u64) -> Self {
        Self {
            data: Some(json!({ "contextSlot": slot })),
            ..Self::new(-32016, "Minimum context slot has not been reached")
        }
    }

    /// The `error` member of a response.
    pub(crate) fn to_json(&self) -> Value {
        let mut error = json!({ "code": self.code, "message": self.message });
        if let (Some(data), Some(object)) = (&self.data, error.as_object_mut()) {
            object.insert("data".to_owned(), data.clone());
        }
        error
    }
}
