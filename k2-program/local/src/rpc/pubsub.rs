//! Subscriptions of one WebSocket connection: `signature`, `account`, `slot` and `root`.
//!
//! Pulled, not pushed: after a change of the bank the connection asks what there is to say. A slow client therefore
//! misses intermediate states of an account, as on a cluster, and costs no memory.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use solana_account::AccountSharedData;
use solana_account_decoder::{UiAccountEncoding, UiDataSliceConfig};
use solana_commitment_config::CommitmentLevel;
use solana_pubkey::Pubkey;
use solana_rpc_client_types::{
    config::{RpcAccountInfoConfig, RpcSignatureSubscribeConfig},
    response::{ProcessedSignatureResult, ReceivedSignatureResult, RpcSignatureResult, SlotInfo},
};
use solana_signature::Signature;

use super::{
    accounts::encode,
    error::RpcError,
    params::{Params, signature},
    respond, to_json, with_context,
};
use crate::bank::Bank;

/// Subscriptions a connection may have at a time.
const MAX_SUBSCRIPTIONS: usize = 1_000;
/// Slots that are told one by one where many have passed at once; of more, only the newest.
const MAX_SLOTS_AT_ONCE: u64 = 64;

#[derive(Debug)]
enum Subscription {
    Signature {
        signature: Signature,
        commitment: CommitmentLevel,
        /// Whether it still has to be told that the transaction has arrived.
        tell_received: bool,
    },
    Account {
        key: Pubkey,
        commitment: CommitmentLevel,
        encoding: UiAccountEncoding,
        slice: Option<UiDataSliceConfig>,
        last: Option<AccountSharedData>,
    },
    Slot {
        last: u64,
    },
    Root {
        last: u64,
    },
}

/// What one connection has subscribed to.
#[derive(Debug, Default)]
pub struct Subscriptions {
    next_id: u64,
    all: BTreeMap<u64, Subscription>,
}

impl Subscriptions {
    /// Answers a message of the client; `None` where there is nothing to say, as to web3.js' keep-alive `ping`.
    pub fn handle(&mut self, bank: &Bank, message: &[u8]) -> Option<String> {
        respond(message, |method, params| self.call(bank, method, params))
    }

    fn call(
        &mut self,
        bank: &Bank,
        method: &str,
        params: Option<&Value>,
    ) -> Result<Value, RpcError> {
        let subscription = match method {
            "signatureSubscribe" => {
                let params = Params::new(params, 2)?;
                let config: RpcSignatureSubscribeConfig = params.optional(1)?.unwrap_or_default();
                Subscription::Signature {
                    signature: signature(&params.required::<String>(0, "signature")?)?,
                    commitment: level(config.commitment),
                    tell_received: config.enable_received_notification == Some(true),
                }
            }
            "accountSubscribe" => {
                let params = Params::new(params, 2)?;
                let key = params.address(0)?;
                let config: RpcAccountInfoConfig = params.optional(1)?.unwrap_or_default();
                let commitment = level(config.commitment);
                Subscription::Account {
                    key,
                    commitment,
                    encoding: config.encoding.unwrap_or(UiAccountEncoding::Binary),
                    slice: config.data_slice,
                    last: bank.account(&key, bank.slot_at(commitment)).cloned(),
                }
            }
            "slotSubscribe" => {
                Params::new(params, 0)?;
                Subscription::Slot { last: bank.slot() }
            }
            "rootSubscribe" => {
                Params::new(params, 0)?;
                Subscription::Root {
                    last: bank.slot_at(CommitmentLevel::Finalized),
                }
            }
            "signatureUnsubscribe"
            | "accountUnsubscribe"
            | "slotUnsubscribe"
            | "rootUnsubscribe" => {
                let id: u64 = Params::new(params, 1)?.required(0, "subscription")?;
                return match self.all.remove(&id) {
                    Some(_) => Ok(json!(true)),
                    None => Err(RpcError::invalid_params("Invalid subscription id.")),
                };
            }
            _ => return Err(RpcError::method_not_found()),
        };
        if self.all.len() >= MAX_SUBSCRIPTIONS {
            return Err(RpcError::internal(format!(
                "at most {MAX_SUBSCRIPTIONS} subscriptions a connection: unsubscribe from some"
            )));
        }
        let id = self.next_id;
        self.next_id += 1;
        self.all.insert(id, subscription);
        Ok(json!(id))
    }

    /// What there is to tell since the last time. A signature's subscription ends with its notification.
    pub fn notifications(&mut self, bank: &Bank) -> Vec<String> {
        let mut messages = Vec::new();
        self.all
            .retain(|id, subscription| match subscription.news(bank) {
                Ok(news) => {
                    for (method, result) in news.told {
                        let params = json!({ "result": result, "subscription": id });
                        let message =
                            json!({ "jsonrpc": "2.0", "method": method, "params": params });
                        messages.push(message.to_string());
                    }
                    !news.ended
                }
                Err(error) => {
                    tracing::debug!(id, ?error, "subscription ended");
                    false
                }
            });
        messages
    }
}

fn level(config: Option<solana_commitment_config::CommitmentConfig>) -> CommitmentLevel {
    config.map_or(CommitmentLevel::Finalized, |config| config.commitment)
}

#[derive(Default)]
struct News {
    told: Vec<(&'static str, Value)>,
    ended: bool,
}

impl Subscription {
    fn news(&mut self, bank: &Bank) -> Result<News, RpcError> {
        let mut news = News::default();
        match self {
            Self::Signature {
                signature,
                commitment,
                tell_received,
            } => {
                let Some(record) = bank.transaction(signature) else {
                    return Ok(news);
                };
                if std::mem::take(tell_received) {
                    let received = RpcSignatureResult::ReceivedSignature(
                        ReceivedSignatureResult::ReceivedSignature,
                    );
                    news.told.push((
                        "signatureNotification",
                        with_context(record.slot, received)?,
                    ));
                }
                let slot = bank.slot_at(*commitment);
                if record.slot <= slot {
                    let err = record.meta.status.clone().err().map(Into::into);
                    let result =
                        RpcSignatureResult::ProcessedSignature(ProcessedSignatureResult { err });
                    news.told
                        .push(("signatureNotification", with_context(slot, result)?));
                    news.ended = true;
                }
            }
            Self::Account {
                key,
                commitment,
                encoding,
                slice,
                last,
            } => {
                let slot = bank.slot_at(*commitment);
                let account = bank.account(key, slot);
                if account != last.as_ref() {
                    *last = account.cloned();
                    // A closed account is told as one without lamports and data.
                    let account = last.clone().unwrap_or_default();
                    let account = encode(bank, key, &account, *encoding, *slice, slot)?;
                    news.told
                        .push(("accountNotification", with_context(slot, account)?));
                }
            }
            Self::Slot { last } => {
                let slot = bank.slot();
                let first = (*last + 1).max(slot.saturating_sub(MAX_SLOTS_AT_ONCE - 1));
                for slot in first..=slot {
                    let info = SlotInfo {
                        slot,
                        parent: slot.saturating_sub(1),
                        root: slot.saturating_sub(crate::bank::FINALIZED_DEPTH),
                    };
                    news.told.push(("slotNotification", to_json(info)?));
                }
                *last = slot;
            }
            Self::Root { last } => {
                let root = bank.slot_at(CommitmentLevel::Finalized);
                let first = (*last + 1).max(root.saturating_sub(MAX_SLOTS_AT_ONCE - 1));
                for root in first..=root {
                    news.told.push(("rootNotification", json!(root)));
                }
                *last = root;
            }
        }
        Ok(news)
    }
}
