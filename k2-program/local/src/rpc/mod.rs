//! The JSON-RPC of a Solana cluster over a [`Bank`]: requests in, responses out, no socket.
//!
//! Requests and responses are the types of Solana's own client crates wherever they have one. A request never ends the
//! process: what is malformed gets the error a cluster gives, and a panic anywhere below becomes -32603.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde::Serialize;
use serde_json::{Value, json};
use solana_rpc_client_types::response::{Response, RpcResponseContext};
use tokio::sync::watch;

pub use self::error::RpcError;
use self::params::Params;
use crate::bank::Bank;

mod accounts;
mod cluster;
mod error;
mod ledger;
mod params;
pub mod pubsub;
mod send;
mod tokens;

/// Largest body taken, as on a cluster: 50 KiB.
pub const MAX_REQUEST_BYTES: usize = 50 * 1024;
/// Requests of one batch.
const MAX_BATCH: usize = 256;
/// Bytes that the answers of one batch may have together; the rest is refused.
const MAX_RESPONSE_BYTES: usize = 64 * 1024 * 1024;

/// A bank that several connections share.
#[derive(Debug)]
pub struct Node {
    bank: Mutex<Bank>,
    changed: watch::Sender<()>,
}

impl Node {
    /// Serves `bank`.
    #[must_use]
    pub fn new(bank: Bank) -> Self {
        Self {
            bank: Mutex::new(bank),
            changed: watch::Sender::new(()),
        }
    }

    /// The bank, for one caller at a time.
    pub fn bank(&self) -> MutexGuard<'_, Bank> {
        // The bank undoes what a panic interrupts, so that a poisoned lock is no reason to stop.
        self.bank.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets slots pass and tells the subscribers.
    pub fn advance(&self, slots: u64) {
        self.bank().advance(slots);
        self.notify();
    }

    /// Sees something after each change of the bank.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    fn notify(&self) {
        self.changed.send_replace(());
    }

    /// Answers the body of a POST request: a call, or a batch of calls. `None` where nothing is to be said, because all
    /// of them are notifications.
    #[must_use]
    pub fn handle(&self, body: &[u8]) -> Option<String> {
        respond(body, |method, params| self.call(method, params))
    }

    /// Answers one call.
    ///
    /// # Errors
    /// What the caller is told.
    pub fn call(&self, method: &str, params: Option<&Value>) -> Result<Value, RpcError> {
        let at_most = |most| Params::new(params, most);
        match method {
            "getHealth" => cluster::health(at_most(0)?),
            "getVersion" => cluster::version(at_most(0)?),
            "getIdentity" => cluster::identity(&self.bank(), at_most(0)?),
            "getGenesisHash" => cluster::genesis_hash(&self.bank(), at_most(0)?),
            "getSlot" => cluster::slot(&self.bank(), at_most(1)?),
            "getBlockHeight" => cluster::slot(&self.bank(), at_most(1)?),
            "getSlotLeader" => cluster::slot_leader(&self.bank(), at_most(1)?),
            "getBlockTime" => cluster::block_time(&self.bank(), at_most(1)?),
            "getBlocks" => cluster::blocks(&self.bank(), at_most(3)?),
            "getFirstAvailableBlock" | "minimumLedgerSlot" => cluster::first_block(at_most(0)?),
            "getEpochInfo" => cluster::epoch_info(&self.bank(), at_most(1)?),
            "getEpochSchedule" => cluster::epoch_schedule(at_most(0)?),
            "getTransactionCount" => cluster::transaction_count(&self.bank(), at_most(1)?),
            "getLatestBlockhash" => cluster::latest_blockhash(&self.bank(), at_most(1)?),
            "getRecentBlockhash" => cluster::recent_blockhash(&self.bank(), at_most(1)?),
            "isBlockhashValid" => cluster::is_blockhash_valid(&self.bank(), at_most(2)?),
            "getRecentPrioritizationFees" => {
                cluster::prioritization_fees(&self.bank(), at_most(1)?)
            }

            "getBalance" => accounts::balance(&self.bank(), at_most(2)?),
            "getAccountInfo" => accounts::account_info(&self.bank(), at_most(2)?),
            "getMultipleAccounts" => accounts::multiple_accounts(&self.bank(), at_most(2)?),
            "getProgramAccounts" => accounts::program_accounts(&self.bank(), at_most(2)?),
            "getMinimumBalanceForRentExemption" => {
                accounts::minimum_balance(&self.bank(), at_most(2)?)
            }

            "getTokenAccountBalance" => tokens::account_balance(&self.bank(), at_most(2)?),
            "getTokenSupply" => tokens::supply(&self.bank(), at_most(2)?),
            "getTokenAccountsByOwner" => tokens::by_owner(&self.bank(), at_most(3)?),
            "getTokenAccountsByDelegate" => tokens::by_delegate(&self.bank(), at_most(3)?),
            "getTokenLargestAccounts" => tokens::largest(&self.bank(), at_most(2)?),

            "getFeeForMessage" => send::fee_for_message(&self.bank(), at_most(2)?),
            "simulateTransaction" => send::simulate_transaction(&self.bank(), at_most(2)?),
            "sendTransaction" => {
                let params = at_most(2)?;
                let sent = send::send_transaction(&mut self.bank(), params);
                self.notify();
                sent
            }
            "requestAirdrop" => {
                let params = at_most(3)?;
                let sent = send::request_airdrop(&mut self.bank(), params);
                self.notify();
                sent
            }

            "getSignatureStatuses" => ledger::signature_statuses(&self.bank(), at_most(2)?),
            "getTransaction" => ledger::transaction(&self.bank(), at_most(2)?),
            "getSignaturesForAddress" => ledger::signatures_for_address(&self.bank(), at_most(2)?),
            _ => Err(RpcError::method_not_found()),
        }
    }
}

/// `value` as a cluster wraps it: with the slot it was read at.
fn with_context(slot: u64, value: impl Serialize) -> Result<Value, RpcError> {
    to_json(Response {
        context: RpcResponseContext::new(slot),
        value,
    })
}

fn to_json(value: impl Serialize) -> Result<Value, RpcError> {
    serde_json::to_value(value)
        .map_err(|error| RpcError::internal(format!("Internal error: {error}")))
}

/// Takes a body apart, lets `call` answer each request and puts the answers together (JSON-RPC 2.0, sections 4 to 6).
pub(crate) fn respond(
    body: &[u8],
    mut call: impl FnMut(&str, Option<&Value>) -> Result<Value, RpcError>,
) -> Option<String> {
    let refuse = |error: RpcError| {
        Some(json!({ "jsonrpc": "2.0", "error": error.to_json(), "id": null }).to_string())
    };
    match serde_json::from_slice(body) {
        Err(_) => refuse(RpcError::parse()),
        Ok(Value::Array(batch)) if batch.is_empty() => {
            refuse(RpcError::invalid_request("Invalid request"))
        }
        Ok(Value::Array(batch)) if batch.len() > MAX_BATCH => refuse(RpcError::invalid_request(
            format!("Invalid request: at most {MAX_BATCH} calls in a batch"),
        )),
        Ok(Value::Array(batch)) => {
            let mut answers: Vec<String> = Vec::new();
            let mut bytes = 0;
            for request in &batch {
                let answer = if bytes <= MAX_RESPONSE_BYTES {
                    respond_one(request, &mut call)
                } else {
                    respond_one(request, &mut |_, _| Err(RpcError::scan_too_large()))
                };
                if let Some(answer) = answer {
                    bytes += answer.len();
                    answers.push(answer);
                }
            }
            (!answers.is_empty()).then(|| format!("[{}]", answers.join(",")))
        }
        Ok(request) => respond_one(&request, &mut call),
    }
}

fn respond_one(
    request: &Value,
    call: &mut impl FnMut(&str, Option<&Value>) -> Result<Value, RpcError>,
) -> Option<String> {
    let invalid = RpcError::invalid_request("Invalid request");
    let id = request.get("id");
    let id_holds = matches!(
        id,
        None | Some(Value::Null | Value::Number(_) | Value::String(_))
    );
    let version_holds = request.get("jsonrpc").and_then(Value::as_str) == Some("2.0");
    let method = request.get("method").and_then(Value::as_str);
    let result = match method {
        Some(method) if id_holds && version_holds => {
            let params = request.get("params");
            catch_unwind(AssertUnwindSafe(|| call(method, params))).unwrap_or_else(|_| {
                tracing::error!(method, "a JSON-RPC call panicked: please report it");
                Err(RpcError::internal("Internal error"))
            })
        }
        _ => {
            // Nobody knows whether this was meant as a notification, so it is answered.
            let id = id.filter(|_| id_holds);
            return Some(
                json!({ "jsonrpc": "2.0", "error": invalid.to_json(), "id": id }).to_string(),
            );
        }
    };
    // A notification is carried out and not answered.
    let id = id?;
    Some(
        match result {
            Ok(result) => json!({ "jsonrpc": "2.0", "result": result, "id": id }),
            Err(error) => json!({ "jsonrpc": "2.0", "error": error.to_json(), "id": id }),
        }
        .to_string(),
    )
}
