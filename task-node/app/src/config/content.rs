//! `[content]` and `[ipfs]`: whom this node asks for blocks, and which IPFS node pins its own.

use std::fs::File;
use std::io::Read as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use content::Source;
use content::kubo::{Credentials, Endpoint};
use zeroize::Zeroizing;

use super::parsed::Complaints;
use super::raw::{RawConfig, RawIpfs};

/// Gateways that Koii's own programs ask and that can hand out single blocks or CARs, so that what they say can be
/// checked. Left out of Koii's list: the two S3 buckets (files by name, no blocks), gateway.ipfs.io (ipfs.io again), and
/// ipfs.eth.aragon.network (a company's own, for its app).
pub const PUBLIC_GATEWAYS: [&str; 4] = [
    "https://ipfs-gateway.koii.live",
    "https://{cid}.ipfs.w3s.link",
    "https://{cid}.ipfs.dweb.link",
    "https://ipfs.io",
];

/// The longest file of credentials read, in bytes.
const MAX_AUTH_BYTES: u64 = 4096;

/// Whom a node asks for blocks, and which IPFS node pins its own.
#[derive(Debug, Clone)]
pub struct ContentSettings {
    /// Other nodes, and gateways the operator or the task names.
    pub gateways: Vec<Source>,
    /// Public gateways.
    pub public_gateways: Vec<Source>,
    /// How long one source may take.
    pub timeout: Duration,
    /// Whether submitters' nodes are asked on private networks too.
    pub private_submitters: bool,
    rpc: Option<Endpoint>,
    auth_file: Option<PathBuf>,
}

impl ContentSettings {
    /// The operator's IPFS node, if there is one. Reads the file of its credentials.
    ///
    /// # Errors
    /// The file cannot be read, or holds no credentials.
    pub fn rpc(&self) -> anyhow::Result<Option<Endpoint>> {
        let Some(endpoint) = &self.rpc else {
            return Ok(None);
        };
        let Some(path) = &self.auth_file else {
            return Ok(Some(endpoint.clone()));
        };
        let mut line = Zeroizing::new(String::new());
        File::open(path)
            .and_then(|file| file.take(MAX_AUTH_BYTES + 1).read_to_string(&mut line))
            .with_context(|| format!("ipfs.auth_file {}", path.display()))?;
        let credentials: Credentials = line
            .parse()
            .with_context(|| format!("ipfs.auth_file {}", path.display()))?;
        let endpoint = endpoint.clone().with_credentials(credentials);
        Ok(Some(endpoint.context("ipfs.rpc and ipfs.auth_file")?))
    }

    /// Everybody to ask, in order: the operator's own IPFS node, which may have it on its disk; other nodes; and then
    /// those that serve the whole world.
    ///
    /// # Errors
    /// As [`rpc`](Self::rpc).
    pub fn sources(&self) -> anyhow::Result<Vec<Source>> {
        let rpc = self.rpc()?.map(Source::from);
        let named = self.gateways.iter().chain(&self.public_gateways);
        Ok(rpc.into_iter().chain(named.cloned()).collect())
    }
}

impl RawIpfs {
    /// The public gateways in force. Nothing of a private chain is ever out in the world, so there are none by default.
    #[must_use]
    pub fn effective_gateways(&self, network: &str) -> Vec<String> {
        match &self.gateways {
            Some(gateways) => gateways.clone(),
            None if network == "regtest" => Vec::new(),
            None => PUBLIC_GATEWAYS.map(str::to_owned).to_vec(),
        }
    }
}

pub(super) fn parse(raw: &RawConfig, complaints: &mut Complaints) -> ContentSettings {
    let sources = |key: &str, urls: &[String], complaints: &mut Complaints| {
        urls.iter()
            .enumerate()
            .filter_map(|(index, url)| {
                let url = url.trim().trim_end_matches('/');
                complaints.check(&format!("{key}[{index}]"), url.parse::<Source>())
            })
            .collect()
    };
    let gateways = sources("content.gateways", &raw.content.gateways, complaints);
    let public = raw.ipfs.effective_gateways(&raw.bitcoin.network);
    let public_gateways = sources("ipfs.gateways", &public, complaints);
    let rpc = raw.ipfs.rpc.trim();
    let rpc = if rpc.is_empty() {
        complaints.require(raw.ipfs.auth_file.is_none(), || {
            "ipfs.auth_file is for an IPFS node: give ipfs.rpc too".to_owned()
        });
        None
    } else {
        complaints.check("ipfs.rpc", rpc.parse::<Endpoint>())
    };
    complaints.require((1..=3600).contains(&raw.content.timeout_seconds), || {
        "content.timeout_seconds must be 1 to 3600".to_owned()
    });
    ContentSettings {
        gateways,
        public_gateways,
        timeout: Duration::from_secs(raw.content.timeout_seconds),
        private_submitters: raw.content.private_submitters,
        rpc,
        auth_file: raw.ipfs.auth_file.clone(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn parsed(raw: &RawConfig) -> Result<ContentSettings, Vec<String>> {
        let mut complaints = Complaints::default();
        let settings = parse(raw, &mut complaints);
        if complaints.0.is_empty() {
            Ok(settings)
        } else {
            Err(complaints.0)
        }
    }

    fn shown(sources: &[Source]) -> Vec<String> {
        sources.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn public_gateways_are_asked_last_and_never_about_a_private_chain() {
        let mut raw = RawConfig::default();
        raw.content.gateways = vec!["http://node:8080/".to_owned()];
        raw.ipfs.rpc = "http://127.0.0.1:5001".to_owned();
        let mut expected = vec!["http://127.0.0.1:5001", "http://node:8080"];
        raw.bitcoin.network = "regtest".to_owned();
        let sources = parsed(&raw).unwrap().sources().unwrap();
        assert_eq!(shown(&sources), expected);
        raw.bitcoin.network = "mainnet".to_owned();
        let sources = parsed(&raw).unwrap().sources().unwrap();
        expected.extend(PUBLIC_GATEWAYS);
        assert_eq!(shown(&sources), expected);
        raw.ipfs.gateways = Some(Vec::new());
        assert_eq!(parsed(&raw).unwrap().sources().unwrap().len(), 2);
    }

    #[test]
    fn wrong_urls_are_named_by_key_and_not_repeated() {
        let mut raw = RawConfig::default();
        raw.content.gateways = vec!["http://ok".to_owned(), "ftp://u:hunter2@host".to_owned()];
        raw.ipfs.gateways = Some(vec!["hunter2".to_owned()]);
        raw.ipfs.rpc = "/ip4/127.0.0.1/tcp/5001?hunter2".to_owned();
        let complaints = parsed(&raw).unwrap_err().join("\n");
        for key in ["content.gateways[1]", "ipfs.gateways[0]", "ipfs.rpc"] {
            assert!(complaints.contains(key), "{complaints}");
        }
        assert!(!complaints.contains("hunter2"), "{complaints}");
        raw = RawConfig::default();
        raw.ipfs.auth_file = Some("/auth".into());
        assert!(parsed(&raw).unwrap_err()[0].contains("ipfs.auth_file"));
    }

    #[test]
    fn credentials_come_from_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("auth");
        let mut raw = RawConfig::default();
        raw.ipfs.rpc = "http://127.0.0.1:5001".to_owned();
        raw.ipfs.auth_file = Some(file.clone());
        let settings = parsed(&raw).unwrap();
        let error = format!("{:#}", settings.rpc().unwrap_err());
        assert!(error.contains("ipfs.auth_file"), "{error}");
        std::fs::write(&file, "hunter2\n").unwrap();
        let error = format!("{:#}", settings.rpc().unwrap_err());
        assert!(
            error.contains("bearer:TOKEN") && !error.contains("hunter2"),
            "{error}"
        );
        std::fs::write(&file, "bearer:hunter2\n").unwrap();
        assert!(settings.rpc().unwrap().is_some());
    }
}
