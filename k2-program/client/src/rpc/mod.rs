//! [`K2Rpc`]: the cluster over JSON-RPC, in the dialect of Solana 1.14 that K2 speaks.
//!
//! A thin layer on `reqwest`. Why not `solana-rpc-client`: it brings a second `reqwest`, speaks a newer dialect, reads
//! answers of any size, and retries by rules of its own, where a payout needs to know exactly whether a transaction can
//! still land. Of its ~90 methods this client needs eleven.

mod endpoint;
#[cfg(test)]
mod tests;
mod wire;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use chain::words::clip;
use k2_interface::K2Address;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use solana_hash::Hash;
use solana_signature::Signature;

use crate::error::K2Error;
use crate::k2::{
    AccountData, AccountFilter, At, Commitment, EpochInfo, K2, LatestBlockhash, SignatureStatus,
    Simulation,
};
use endpoint::{Call, Endpoint};
use wire::WithContext;

/// An honest answer about a few numbers.
const SMALL: usize = 256 << 10;
/// A hundred accounts of 10 KB in base64, and some text.
const ACCOUNTS: usize = 4 << 20;

/// How to reach the cluster.
#[derive(Debug, Clone)]
pub struct RpcOptions {
    /// The nodes, best first: `https://mainnet.koii.network`, `127.0.0.1:8899`. The next one is asked when one fails, and
    /// asked first from then on.
    pub endpoints: Vec<String>,
    /// Time for one call to one node, answer included.
    pub timeout: Duration,
    /// How often all nodes are tried before a call is given up.
    pub attempts: u32,
    /// The pause after the first failed round over all nodes; it doubles with each.
    pub backoff: Duration,
    /// The longest list of a program's accounts accepted, in bytes of JSON.
    pub max_program_accounts: usize,
}

impl RpcOptions {
    /// 15 s a call, 5 rounds, pauses of 0.25, 0.5, 1 and 2 s, 32 MiB.
    #[must_use]
    pub fn new(endpoints: Vec<String>) -> Self {
        Self {
            endpoints,
            timeout: Duration::from_secs(15),
            attempts: 5,
            backoff: Duration::from_millis(250),
            max_program_accounts: 32 << 20,
        }
    }
}

/// A K2 cluster over JSON-RPC.
#[derive(Debug)]
pub struct K2Rpc {
    name: String,
    http: reqwest::Client,
    endpoints: Vec<Endpoint>,
    /// The node that answered last.
    current: AtomicUsize,
    attempts: u32,
    backoff: Duration,
    max_program_accounts: usize,
}

/// Whether a call may be made twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Repeat {
    Harmless,
    /// Only where it was certainly not read.
    Forbidden,
}

impl K2Rpc {
    /// Prepares the client; nothing is sent yet.
    ///
    /// # Errors
    /// [`K2Error::Config`].
    pub fn new(options: &RpcOptions) -> Result<Self, K2Error> {
        let endpoints = options
            .endpoints
            .iter()
            .map(|address| Endpoint::new(address, options.timeout))
            .collect::<Result<Vec<_>, _>>()?;
        if endpoints.is_empty() {
            return Err(K2Error::Config {
                node: "(none)".into(),
                reason: "no RPC address is configured".into(),
            });
        }
        let names: Vec<&str> = endpoints.iter().map(|e| e.name.as_str()).collect();
        Ok(Self {
            name: names.join(", "),
            http: endpoint::http_client()?,
            endpoints,
            current: AtomicUsize::new(0),
            attempts: options.attempts.max(1),
            backoff: options.backoff,
            max_program_accounts: options.max_program_accounts,
        })
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: &'static str,
        params: Value,
        limit: usize,
    ) -> Result<T, K2Error> {
        let call = Call {
            method,
            params: &params,
            limit,
        };
        self.try_all(call, Repeat::Harmless).await
    }

    async fn try_all<T: DeserializeOwned>(
        &self,
        call: Call<'_>,
        repeat: Repeat,
    ) -> Result<T, K2Error> {
        let count = self.endpoints.len();
        let mut pause = self.backoff;
        let mut failures = Vec::new();
        for round in 0..self.attempts {
            if round > 0 {
                let asked = failures.iter().filter_map(retry_after).max();
                tokio::time::sleep(asked.unwrap_or_default().max(pause)).await;
                pause = pause.saturating_mul(2);
            }
            failures = Vec::with_capacity(count);
            let first = self.current.load(Ordering::Relaxed);
            for (place, endpoint) in self
                .endpoints
                .iter()
                .enumerate()
                .cycle()
                .skip(first)
                .take(count)
            {
                match endpoint.call(&self.http, call).await {
                    Ok(answer) => {
                        self.current.store(place, Ordering::Relaxed);
                        return Ok(answer);
                    }
                    Err(error) => {
                        let again = error.is_transient()
                            && (repeat == Repeat::Harmless || error.is_refused_unread());
                        if !again {
                            return Err(error);
                        }
                        tracing::debug!(%error, "asking on");
                        failures.push(error);
                    }
                }
            }
            // Waiting helps against none of these.
            if failures
                .iter()
                .all(|e| matches!(e, K2Error::TooLarge { .. } | K2Error::BadAnswer { .. }))
            {
                break;
            }
        }
        Err(match failures.pop() {
            Some(only) if failures.is_empty() => only,
            last => K2Error::AllFailed {
                method: call.method,
                failures: failures.into_iter().chain(last).collect(),
            },
        })
    }

    fn bad(&self, method: &'static str, reason: String) -> K2Error {
        K2Error::BadAnswer {
            node: self.name.clone(),
            method,
            reason,
        }
    }
}

const fn retry_after(error: &K2Error) -> Option<Duration> {
    match error {
        K2Error::RateLimited { retry_after, .. } => *retry_after,
        _ => None,
    }
}

#[async_trait]
impl K2 for K2Rpc {
    fn name(&self) -> &str {
        &self.name
    }

    async fn accounts(
        &self,
        addresses: &[K2Address],
        commitment: Commitment,
    ) -> Result<At<Vec<Option<AccountData>>>, K2Error> {
        const METHOD: &str = "getMultipleAccounts";
        let params = json!([addresses, { "encoding": "base64", "commitment": commitment }]);
        let answer: WithContext<Vec<Option<wire::AccountJson>>> =
            self.ask(METHOD, params, ACCOUNTS).await?;
        answer
            .check(|list| wire::check_accounts(list, addresses.len()))
            .map_err(|reason| self.bad(METHOD, reason))
    }

    async fn program_accounts(
        &self,
        program: &K2Address,
        filters: &[AccountFilter],
        commitment: Commitment,
    ) -> Result<Vec<(K2Address, AccountData)>, K2Error> {
        const METHOD: &str = "getProgramAccounts";
        let params = json!([program, {
            "encoding": "base64", "commitment": commitment, "filters": wire::filters(filters),
        }]);
        let list = self.ask(METHOD, params, self.max_program_accounts).await?;
        wire::check_keyed(list, program).map_err(|reason| self.bad(METHOD, reason))
    }

    async fn account_head(
        &self,
        address: &K2Address,
        length: usize,
        commitment: Commitment,
    ) -> Result<Option<AccountData>, K2Error> {
        const METHOD: &str = "getMultipleAccounts";
        let params = json!([[address], {
            "encoding": "base64", "commitment": commitment, "dataSlice": wire::head(length),
        }]);
        let answer: WithContext<Vec<Option<wire::AccountJson>>> =
            self.ask(METHOD, params, ACCOUNTS).await?;
        let answer = answer
            .check(|list| wire::check_accounts(list, 1))
            .map_err(|reason| self.bad(METHOD, reason))?;
        Ok(answer.value.into_iter().next().flatten())
    }

    async fn program_account_heads(
        &self,
        program: &K2Address,
        filters: &[AccountFilter],
        length: usize,
        commitment: Commitment,
    ) -> Result<Vec<(K2Address, AccountData)>, K2Error> {
        const METHOD: &str = "getProgramAccounts";
        let params = json!([program, {
            "encoding": "base64", "commitment": commitment, "filters": wire::filters(filters),
            "dataSlice": wire::head(length),
        }]);
        let list = self.ask(METHOD, params, self.max_program_accounts).await?;
        wire::check_keyed(list, program).map_err(|reason| self.bad(METHOD, reason))
    }

    async fn latest_blockhash(&self, commitment: Commitment) -> Result<LatestBlockhash, K2Error> {
        const METHOD: &str = "getLatestBlockhash";
        let answer: WithContext<wire::BlockhashJson> = self
            .ask(METHOD, json!([{ "commitment": commitment }]), SMALL)
            .await?;
        let json = answer.into_value();
        let hash: Hash = json
            .blockhash
            .parse()
            .map_err(|_| self.bad(METHOD, format!("blockhash {}", clip(&json.blockhash))))?;
        Ok(LatestBlockhash {
            hash,
            last_valid_block_height: json.last_valid_block_height,
        })
    }

    async fn epoch_info(&self, commitment: Commitment) -> Result<EpochInfo, K2Error> {
        let json: wire::EpochInfoJson = self
            .ask("getEpochInfo", json!([{ "commitment": commitment }]), SMALL)
            .await?;
        Ok(EpochInfo {
            slot: json.absolute_slot,
            block_height: json.block_height,
            epoch: json.epoch,
        })
    }

    async fn balance(&self, address: &K2Address, commitment: Commitment) -> Result<u64, K2Error> {
        let answer: WithContext<u64> = self
            .ask(
                "getBalance",
                json!([address, { "commitment": commitment }]),
                SMALL,
            )
            .await?;
        Ok(answer.into_value())
    }

    async fn minimum_balance(&self, bytes: usize) -> Result<u64, K2Error> {
        self.ask("getMinimumBalanceForRentExemption", json!([bytes]), SMALL)
            .await
    }

    async fn simulate(
        &self,
        transaction: &[u8],
        watch: &[K2Address],
        commitment: Commitment,
    ) -> Result<Simulation, K2Error> {
        const METHOD: &str = "simulateTransaction";
        let params = json!([BASE64.encode(transaction), {
            "encoding": "base64",
            "sigVerify": false,
            "replaceRecentBlockhash": true,
            "commitment": commitment,
            "accounts": { "encoding": "base64", "addresses": watch },
        }]);
        let answer: WithContext<wire::SimulationJson> = self.ask(METHOD, params, ACCOUNTS).await?;
        wire::check_simulation(answer.into_value(), watch.len())
            .map_err(|reason| self.bad(METHOD, reason))
    }

    async fn send(&self, transaction: &[u8]) -> Result<(), K2Error> {
        // Simulated before; a preflight on a node that is a little behind would refuse what is right.
        let params = json!([BASE64.encode(transaction), {
            "encoding": "base64", "skipPreflight": true,
        }]);
        // The signature it answers is known already, and is the transaction's own.
        let _: serde::de::IgnoredAny = self.ask("sendTransaction", params, SMALL).await?;
        Ok(())
    }

    async fn signature_statuses(
        &self,
        signatures: &[Signature],
        history: bool,
    ) -> Result<At<Vec<Option<SignatureStatus>>>, K2Error> {
        const METHOD: &str = "getSignatureStatuses";
        let texts: Vec<String> = signatures.iter().map(ToString::to_string).collect();
        let params = json!([texts, { "searchTransactionHistory": history }]);
        let answer: WithContext<Vec<Option<wire::StatusJson>>> =
            self.ask(METHOD, params, SMALL).await?;
        answer
            .check(|list| wire::check_statuses(list, signatures.len()))
            .map_err(|reason| self.bad(METHOD, reason))
    }

    async fn prioritization_fees(
        &self,
        accounts: &[K2Address],
    ) -> Result<Option<Vec<u64>>, K2Error> {
        match self
            .ask::<Vec<wire::FeeJson>>("getRecentPrioritizationFees", json!([accounts]), SMALL)
            .await
        {
            Ok(list) => Ok(Some(
                list.into_iter().map(|f| f.prioritization_fee).collect(),
            )),
            Err(K2Error::Unsupported { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn request_airdrop(
        &self,
        address: &K2Address,
        lamports: u64,
    ) -> Result<Signature, K2Error> {
        const METHOD: &str = "requestAirdrop";
        let params = json!([address, lamports]);
        let call = Call {
            method: METHOD,
            params: &params,
            limit: SMALL,
        };
        let text: String = self.try_all(call, Repeat::Forbidden).await?;
        text.parse()
            .map_err(|_| self.bad(METHOD, format!("signature {}", clip(&text))))
    }

    async fn version(&self) -> Result<String, K2Error> {
        let json: wire::VersionJson = self.ask("getVersion", json!([]), SMALL).await?;
        Ok(clip(&json.core))
    }

    async fn genesis_hash(&self) -> Result<Hash, K2Error> {
        const METHOD: &str = "getGenesisHash";
        let text: String = self.ask(METHOD, json!([]), SMALL).await?;
        text.parse()
            .map_err(|_| self.bad(METHOD, format!("hash {}", clip(&text))))
    }
}
