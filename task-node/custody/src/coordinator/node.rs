//! What a coordinator asks of a node beside the chain: to take a transaction, and what fee it takes to be mined soon.

use std::time::Duration;

use bdk_bitcoind_rpc::bitcoincore_rpc::{self, RpcApi as _, jsonrpc};
use bdk_electrum::electrum_client::{self, Client as ElectrumClient, ElectrumApi as _};
use bdk_esplora::esplora_client::{BlockingClient, Builder};
use bitcoin::{Amount, FeeRate, Transaction};

use crate::watch::{Source, connect};

/// Time for one answer.
const TIMEOUT: Duration = Duration::from_secs(60);
/// `RPC_VERIFY_ALREADY_IN_UTXO_SET` of Bitcoin Core: the transaction has its block.
const ALREADY_IN_CHAIN: i32 = -27;
/// Fees are wanted that are mined within so many blocks: a payout is not urgent, and must not wait for its expiry.
const TARGET: u16 = 6;

/// Why a node did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// It says no.
    #[error("{node} refuses the transaction: {reason}")]
    Refused {
        /// Which.
        node: String,
        /// In its words.
        reason: String,
    },
    /// It cannot be asked.
    #[error("{node} does not answer as it should: {reason}")]
    Source {
        /// Which.
        node: String,
        /// What happened.
        reason: String,
    },
}

/// Gives a transaction to a node. One that the node has already, in its memory pool or in a block, is as good as taken.
///
/// # Errors
/// [`NodeError`].
pub fn send(source: &Source, transaction: &Transaction) -> Result<(), NodeError> {
    match source {
        Source::Bitcoind { url, login } => {
            let client = connect(url, login).map_err(|error| failed(url, &error))?;
            match client.send_raw_transaction(transaction) {
                Ok(_) => Ok(()),
                Err(bitcoincore_rpc::Error::JsonRpc(jsonrpc::Error::Rpc(error))) => {
                    if error.code == ALREADY_IN_CHAIN {
                        return Ok(());
                    }
                    Err(refused(url, &error.message))
                }
                Err(error) => Err(failed(url, &error)),
            }
        }
        Source::Esplora { url } => {
            let answer = esplora(url).broadcast(transaction);
            answer.or_else(|error| forgiven(url, &error.to_string()))
        }
        Source::Electrum { url } => {
            let client = electrum(url)?;
            let answer = client.transaction_broadcast(transaction).map(|_| ());
            answer.or_else(|error| forgiven(url, &error.to_string()))
        }
    }
}

/// The fee rate of transactions that are mined within some blocks, and no less than the node's memory pool takes. None: the
/// node has seen too few blocks to know.
///
/// # Errors
/// [`NodeError::Source`].
pub fn fee_rate(source: &Source) -> Result<Option<FeeRate>, NodeError> {
    match source {
        Source::Bitcoind { url, login } => {
            let client = connect(url, login).map_err(|error| failed(url, &error))?;
            let estimate = client.estimate_smart_fee(TARGET, None);
            let estimate = estimate.map_err(|error| failed(url, &error))?.fee_rate;
            let pool = client.get_mempool_info();
            let least = pool.map_err(|error| failed(url, &error))?.mempool_min_fee;
            Ok(estimate.map(|estimate| per_kvb(estimate.max(least))))
        }
        Source::Esplora { url } => {
            let estimates = esplora(url).get_fee_estimates();
            let estimates = estimates.map_err(|error| failed(url, &error))?;
            // Sats a virtual byte, as a decimal.
            let estimate = estimates.get(&TARGET).map(|rate| *rate / 100_000.0);
            Ok(estimate.and_then(from_btc_per_kvb))
        }
        Source::Electrum { url } => {
            let client = electrum(url)?;
            let estimate = client.estimate_fee(TARGET.into(), None);
            // -1: not known.
            Ok(from_btc_per_kvb(
                estimate.map_err(|error| failed(url, &error))?,
            ))
        }
    }
}

/// A server's decimal, which becomes an amount of whole sats here and nowhere else.
fn from_btc_per_kvb(rate: f64) -> Option<FeeRate> {
    let rate = Amount::from_btc((rate * 1e8).round() / 1e8).ok()?;
    (rate > Amount::ZERO).then(|| per_kvb(rate))
}

/// Sats per 1000 virtual bytes, which are 4000 weight units. Rounded up: below the least rate nothing is relayed.
fn per_kvb(rate: Amount) -> FeeRate {
    let rate = FeeRate::from_sat_per_kwu(rate.to_sat().div_ceil(4));
    rate.max(FeeRate::BROADCAST_MIN)
}

/// Servers hand on their node's sentence.
fn forgiven(url: &str, reason: &str) -> Result<(), NodeError> {
    let known = [
        "txn-already-in-mempool",
        "txn-already-known",
        "already in block chain",
        "already in utxo set",
    ];
    if known.iter().any(|sentence| reason.contains(sentence)) {
        return Ok(());
    }
    Err(refused(url, reason))
}

fn esplora(url: &str) -> BlockingClient {
    Builder::new(url.trim_end_matches('/'))
        .timeout(TIMEOUT.as_secs())
        .build_blocking()
}

fn electrum(url: &str) -> Result<ElectrumClient, NodeError> {
    let config = electrum_client::Config::builder()
        .timeout(Some(TIMEOUT))
        .build();
    ElectrumClient::from_config(url, config).map_err(|error| failed(url, &error))
}

fn refused(node: &str, reason: &str) -> NodeError {
    NodeError::Refused {
        node: node.to_owned(),
        reason: reason.chars().take(300).collect(),
    }
}

fn failed(node: &str, error: &impl std::fmt::Display) -> NodeError {
    NodeError::Source {
        node: node.to_owned(),
        reason: error.to_string().chars().take(300).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_rounded_up_and_never_below_what_is_relayed() {
        let kvb = |sats| per_kvb(Amount::from_sat(sats)).to_sat_per_kwu();
        assert_eq!(kvb(4_000), 1_000);
        assert_eq!(kvb(4_001), 1_001);
        assert_eq!(kvb(1), 250);
    }

    #[test]
    fn a_servers_decimal_is_a_rate_or_none() {
        let rate = |btc| from_btc_per_kvb(btc).map(FeeRate::to_sat_per_kwu);
        assert_eq!(rate(0.00012345), Some(3_087));
        for none in [-1.0, 0.0, f64::NAN, f64::INFINITY, 1e300, -1e-30] {
            assert_eq!(rate(none), None, "{none}");
        }
    }

    #[test]
    fn what_a_server_has_already_is_taken() {
        let sentence = "sendrawtransaction RPC error -27: Transaction already in block chain";
        assert!(forgiven("x", sentence).is_ok());
        assert!(forgiven("x", "min relay fee not met").is_err());
    }
}
