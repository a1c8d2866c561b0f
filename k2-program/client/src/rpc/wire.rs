//! The JSON of Solana 1.14's RPC, parsed once into the types of [`crate::k2`]. Only the fields that are used are named, so
//! that fields newer nodes add do no harm, and nothing unknown is kept in memory.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use chain::words::clip;
use k2_interface::K2Address;
use serde::Deserialize;
use serde_json::{Value, json};
use solana_transaction_error::TransactionError;

use crate::k2::{AccountData, AccountFilter, At, Commitment, Fault, SignatureStatus, Simulation};

/// Codes of Solana's `RpcCustomError` and of JSON-RPC that this client acts on.
pub(super) mod code {
    /// JSON-RPC: the node has no such method.
    pub(in crate::rpc) const METHOD_NOT_FOUND: i64 = -32601;
    /// JSON-RPC: the node's own fault.
    pub(in crate::rpc) const INTERNAL: i64 = -32603;
    /// The node has not got the block yet.
    pub(in crate::rpc) const BLOCK_NOT_AVAILABLE: i64 = -32004;
    /// The node is behind.
    pub(in crate::rpc) const UNHEALTHY: i64 = -32005;
    /// The node keeps no transaction history.
    pub(in crate::rpc) const NO_HISTORY: i64 = -32011;
    /// The node is behind the slot the question is about.
    pub(in crate::rpc) const MIN_CONTEXT_SLOT: i64 = -32016;
}

/// Why an answer cannot be used. The caller adds the node and the method.
pub(super) type Reason = String;

#[derive(Debug, Deserialize)]
pub(super) struct Answer<T> {
    // Spelled out, as `Option<T>` alone would demand `T: Default` for a missing field.
    #[serde(default = "none")]
    pub(super) result: Option<T>,
    #[serde(default)]
    pub(super) error: Option<RpcErrorJson>,
}

const fn none<T>() -> Option<T> {
    None
}

#[derive(Debug, Deserialize)]
pub(super) struct RpcErrorJson {
    pub(super) code: i64,
    #[serde(default)]
    pub(super) message: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct WithContext<T> {
    context: ContextJson,
    value: T,
}

#[derive(Debug, Deserialize)]
struct ContextJson {
    slot: u64,
}

impl<T> WithContext<T> {
    pub(super) fn into_value(self) -> T {
        self.value
    }

    /// The value, checked, and its slot.
    pub(super) fn check<U>(
        self,
        check: impl FnOnce(T) -> Result<U, Reason>,
    ) -> Result<At<U>, Reason> {
        Ok(At {
            slot: self.context.slot,
            value: check(self.value)?,
        })
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct AccountJson {
    lamports: u64,
    owner: K2Address,
    executable: bool,
    /// `[bytes, "base64"]`
    data: (String, String),
}

pub(super) fn check_account(json: AccountJson) -> Result<AccountData, Reason> {
    let (text, encoding) = json.data;
    if encoding != "base64" {
        return Err(format!(
            "an account in {} instead of base64",
            clip(&encoding)
        ));
    }
    Ok(AccountData {
        lamports: json.lamports,
        owner: json.owner,
        executable: json.executable,
        data: BASE64
            .decode(text)
            .map_err(|e| format!("an account that is not base64: {e}"))?,
    })
}

/// Exactly as many accounts as were asked for.
pub(super) fn check_accounts(
    list: Vec<Option<AccountJson>>,
    expected: usize,
) -> Result<Vec<Option<AccountData>>, Reason> {
    if list.len() != expected {
        return Err(format!("{} accounts instead of {expected}", list.len()));
    }
    list.into_iter()
        .map(|account| account.map(check_account).transpose())
        .collect()
}

/// A slice of an account's data: its first bytes.
pub(super) fn head(length: usize) -> Value {
    json!({ "offset": 0, "length": length })
}

#[derive(Debug, Deserialize)]
pub(super) struct KeyedAccountJson {
    pubkey: K2Address,
    account: AccountJson,
}

pub(super) fn check_keyed(
    list: Vec<KeyedAccountJson>,
    program: &K2Address,
) -> Result<Vec<(K2Address, AccountData)>, Reason> {
    list.into_iter()
        .map(|keyed| {
            let account = check_account(keyed.account)?;
            if account.owner != *program {
                return Err(format!("account {} of another program", keyed.pubkey));
            }
            Ok((keyed.pubkey, account))
        })
        .collect()
}

pub(super) fn filters(filters: &[AccountFilter]) -> Value {
    filters
        .iter()
        .map(|filter| match filter {
            AccountFilter::Size(size) => json!({ "dataSize": size }),
            AccountFilter::Bytes { offset, bytes } => {
                json!({ "memcmp": { "offset": offset, "bytes": bs58::encode(bytes).into_string() } })
            }
        })
        .collect()
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BlockhashJson {
    pub(super) blockhash: String,
    pub(super) last_valid_block_height: u64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct EpochInfoJson {
    pub(super) absolute_slot: u64,
    pub(super) block_height: u64,
    pub(super) epoch: u64,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum FaultJson {
    Known(TransactionError),
    /// Solana 1.14 writes `BorshIoError` with a text, for one.
    Instruction {
        #[serde(rename = "InstructionError")]
        error: (u8, Value),
    },
    Other(Value),
}

impl From<FaultJson> for Fault {
    fn from(json: FaultJson) -> Self {
        match json {
            FaultJson::Known(error) => Self::Known(error),
            FaultJson::Instruction {
                error: (index, value),
            } => Self::Instruction(index, clip(&value.to_string())),
            FaultJson::Other(value) => Self::Other(clip(&value.to_string())),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SimulationJson {
    err: Option<FaultJson>,
    #[serde(default)]
    logs: Option<Vec<String>>,
    #[serde(default)]
    accounts: Option<Vec<Option<AccountJson>>>,
    #[serde(default)]
    units_consumed: Option<u64>,
}

/// More lines than any honest program prints: the runtime stops at 10,000 bytes.
const MAX_LOGS: usize = 1000;

pub(super) fn check_simulation(json: SimulationJson, watched: usize) -> Result<Simulation, Reason> {
    let accounts = match json.accounts {
        Some(accounts) => check_accounts(accounts, watched)?,
        None if watched == 0 || json.err.is_some() => vec![None; watched],
        None => return Err("the accounts asked for are missing".into()),
    };
    Ok(Simulation {
        fault: json.err.map(Into::into),
        logs: json
            .logs
            .unwrap_or_default()
            .iter()
            .take(MAX_LOGS)
            .map(|line| clip(line))
            .collect(),
        units: json.units_consumed,
        accounts,
    })
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StatusJson {
    slot: u64,
    err: Option<FaultJson>,
    /// `null` once the block is rooted.
    confirmations: Option<u64>,
    #[serde(default)]
    confirmation_status: Option<Commitment>,
}

pub(super) fn check_statuses(
    list: Vec<Option<StatusJson>>,
    expected: usize,
) -> Result<Vec<Option<SignatureStatus>>, Reason> {
    if list.len() != expected {
        return Err(format!("{} statuses instead of {expected}", list.len()));
    }
    let status = |json: StatusJson| SignatureStatus {
        slot: json.slot,
        fault: json.err.map(Into::into),
        commitment: json
            .confirmation_status
            .unwrap_or(match json.confirmations {
                None => Commitment::Finalized,
                Some(_) => Commitment::Processed,
            }),
    };
    Ok(list.into_iter().map(|json| json.map(status)).collect())
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FeeJson {
    pub(super) prioritization_fee: u64,
}

#[derive(Debug, Deserialize)]
pub(super) struct VersionJson {
    #[serde(rename = "solana-core")]
    pub(super) core: String,
}
