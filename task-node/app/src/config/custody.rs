//! `[custody]` in checked types.

use std::path::PathBuf;

use bitcoin::{Amount, FeeRate, Network};
use chain::Auth;
use custody::watch::{Login, Source};

use super::parsed::{Complaints, ConfigError, bitcoin_node, network};
use super::raw::RawConfig;

/// The highest fee rate that may be configured, in sats a virtual byte: above it, nobody means it.
const MAX_FEE_RATE: u64 = 1_000;
/// The highest fee of one transaction that may be configured: 0.1 BTC.
const MAX_FEE_SATS: u64 = 10_000_000;

/// What the commands on the pool's Bitcoin need of a configuration; a custodian's has no more of it than this.
#[derive(Debug, Clone)]
pub struct CustodySettings {
    /// The wallet's folder.
    pub dir: PathBuf,
    /// The Bitcoin network.
    pub network: Network,
    /// Where blocks come from, best first; there may be none.
    pub sources: Vec<Source>,
    /// No transaction pays a higher fee rate.
    pub max_fee_rate: FeeRate,
    /// No transaction pays a higher fee.
    pub max_fee: Amount,
    /// A redemption that expires within so many blocks is not paid any more.
    pub expiry_margin: u32,
    /// Confirmations after which a payout counts as made.
    pub confirmations: u32,
}

impl TryFrom<&RawConfig> for CustodySettings {
    type Error = ConfigError;

    fn try_from(raw: &RawConfig) -> Result<Self, Self::Error> {
        let mut complaints = Complaints::default();
        match parse(raw, &mut complaints) {
            Some(settings) if complaints.0.is_empty() => Ok(settings),
            _ => Err(ConfigError(complaints.0)),
        }
    }
}

fn parse(raw: &RawConfig, complaints: &mut Complaints) -> Option<CustodySettings> {
    let custody = &raw.custody;
    complaints.require(
        (1..=MAX_FEE_RATE).contains(&custody.max_fee_rate_sat_vb),
        || format!("custody.max_fee_rate_sat_vb must be 1 to {MAX_FEE_RATE}"),
    );
    complaints.require((1..=MAX_FEE_SATS).contains(&custody.max_fee_sats), || {
        format!("custody.max_fee_sats must be 1 to {MAX_FEE_SATS}")
    });
    complaints.require((3..=1_000).contains(&custody.expiry_margin_blocks), || {
        "custody.expiry_margin_blocks must be 3 to 1000".to_owned()
    });
    complaints.require((1..=100).contains(&custody.confirmations), || {
        "custody.confirmations must be 1 to 100".to_owned()
    });
    let url = custody.url.trim();
    let server = |complaints: &mut Complaints, example: &str| {
        complaints.require(!url.is_empty(), || {
            format!("custody.url is required, for example {example}")
        });
        url.to_owned()
    };
    let sources = match custody.backend.as_str() {
        "bitcoind" => {
            complaints.require(url.is_empty(), || {
                "custody.url is for backend = \"esplora\" or \"electrum\"; a bitcoind stands in [[bitcoin.nodes]]".to_owned()
            });
            Vec::new()
        }
        "esplora" => vec![Source::Esplora {
            url: server(complaints, "\"http://127.0.0.1:3000\""),
        }],
        "electrum" => vec![Source::Electrum {
            url: server(complaints, "\"ssl://electrum.example:50002\""),
        }],
        other => {
            complaints.0.push(format!(
                "custody.backend: `{other}` is none of bitcoind, esplora, electrum"
            ));
            Vec::new()
        }
    };
    let network = complaints.check("bitcoin.network", network(&raw.bitcoin.network))?;
    let sources = if sources.is_empty() {
        let nodes = raw.bitcoin.nodes.iter().enumerate();
        nodes
            .filter_map(|(index, node)| bitcoin_node(index, node, network, complaints))
            .map(|(options, _)| Source::Bitcoind {
                url: options.url,
                login: match options.auth {
                    Auth::CookieFile(path) => Login::CookieFile(path),
                    Auth::Password { user, password } => Login::Password {
                        user,
                        password: password.into(),
                    },
                },
            })
            .collect()
    } else {
        sources
    };
    Some(CustodySettings {
        dir: custody
            .dir
            .clone()
            .unwrap_or_else(|| raw.data_dir.join("custody")),
        network,
        sources,
        max_fee_rate: FeeRate::from_sat_per_vb(custody.max_fee_rate_sat_vb)?,
        max_fee: Amount::from_sat(custody.max_fee_sats),
        expiry_margin: custody.expiry_margin_blocks,
        confirmations: custody.confirmations,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::config::raw::RawBitcoinNode;

    #[test]
    fn a_node_is_asked_unless_a_server_is_named() {
        let mut raw = RawConfig::default();
        raw.bitcoin.nodes.push(RawBitcoinNode {
            url: "http://127.0.0.1:8332".to_owned(),
            user: Some("alice".to_owned()),
            password: Some("hunter2".to_owned()),
            ..RawBitcoinNode::default()
        });
        let settings = CustodySettings::try_from(&raw).unwrap();
        assert_eq!(settings.dir, PathBuf::from("./data/custody"));
        assert_eq!(settings.max_fee_rate, FeeRate::from_sat_per_vb_u32(50));
        assert!(matches!(
            settings.sources.as_slice(),
            [Source::Bitcoind { .. }]
        ));
        assert!(!format!("{settings:?}").contains("hunter2"));

        raw.custody.backend = "electrum".to_owned();
        let error = CustodySettings::try_from(&raw).unwrap_err().to_string();
        assert!(error.contains("custody.url is required"), "{error}");
        raw.custody.url = "tcp://127.0.0.1:50001".to_owned();
        raw.custody.dir = Some(PathBuf::from("/keys"));
        let settings = CustodySettings::try_from(&raw).unwrap();
        assert!(matches!(
            settings.sources.as_slice(),
            [Source::Electrum { .. }]
        ));
        assert_eq!(settings.dir, PathBuf::from("/keys"));
    }

    #[test]
    fn every_wrong_key_is_named() {
        let mut raw = RawConfig::default();
        raw.custody.backend = "blockbook".to_owned();
        raw.custody.max_fee_rate_sat_vb = 0;
        raw.custody.max_fee_sats = 100_000_000;
        raw.custody.confirmations = 0;
        raw.custody.expiry_margin_blocks = 0;
        let error = CustodySettings::try_from(&raw).unwrap_err().to_string();
        for key in [
            "custody.backend: `blockbook`",
            "custody.max_fee_rate_sat_vb must",
            "custody.max_fee_sats must",
            "custody.confirmations must",
            "custody.expiry_margin_blocks must",
        ] {
            assert!(error.contains(key), "{key}: {error}");
        }
    }
}
