//! `orcapool doctor`: what is wrong, and what to do.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use chain::peer::{PeersNode, PeersOptions, Testimony};
use chain::zmq::check_node;
use chain::{BitcoinNode, RpcNode, ZmqCheck};
use content::fetch::SourceError;
use content::{KuboError, KuboRpc};
use futures::future::join_all;
use serde::Serialize;
use work::SystemClock;

use super::{configuration, healthcheck, output};
use crate::cli::ConfigArgs;
use crate::config::{Config, ContentSettings};
use crate::node::{bitcoin_mode, peer_text, relay_witness};

/// How long a peer may take to answer.
const PEER_PATIENCE: Duration = Duration::from_secs(5);

/// How one check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Ok,
    Warning,
    Problem,
}

/// One line of the doctor's findings.
#[derive(Debug, Serialize)]
struct Finding {
    part: String,
    outcome: Outcome,
    message: String,
}

impl Finding {
    fn new(part: impl Into<String>, outcome: Outcome, message: impl Into<String>) -> Self {
        Self {
            part: part.into(),
            outcome,
            message: message.into(),
        }
    }
}

pub(super) async fn run(args: &ConfigArgs, json: bool) -> anyhow::Result<ExitCode> {
    let mut findings = Vec::new();
    match configuration(args) {
        Err(error) => findings.push(Finding::new(
            "configuration",
            Outcome::Problem,
            format!("{error:#}"),
        )),
        Ok(config) => {
            findings.push(Finding::new(
                "configuration",
                Outcome::Ok,
                "every key is right",
            ));
            findings.extend(examine(&config).await);
        }
    }
    let sick = findings
        .iter()
        .any(|finding| finding.outcome == Outcome::Problem);
    if json {
        output::json(&findings)?;
    } else {
        for finding in &findings {
            let mark = match finding.outcome {
                Outcome::Ok => "ok     ",
                Outcome::Warning => "warning",
                Outcome::Problem => "PROBLEM",
            };
            output::line(&format!("{mark}  {}: {}", finding.part, finding.message))?;
        }
    }
    Ok(if sick {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

async fn examine(config: &Config) -> Vec<Finding> {
    let mut findings = vec![data_dir(&config.data_dir)];
    // A running node holds the store and the ports; then it is the one to ask.
    let running = running_node(config.http.listen).await;
    match &running {
        Some(message) => findings.push(Finding::new("node", Outcome::Ok, message.clone())),
        None => {
            findings.push(store(config));
            findings.push(port("http", config.http.listen));
            findings.extend(
                config
                    .stratum
                    .listen
                    .iter()
                    .map(|address| port("stratum", *address)),
            );
        }
    }
    findings.push(mode(config));
    if let Some(options) = &config.bitcoin_peers {
        bitcoin_peers(config, options.clone(), &mut findings).await;
    }
    for (options, zmq) in &config.bitcoin_nodes {
        let part = format!("bitcoin node {}", options.name);
        match RpcNode::new(options.clone()) {
            Err(error) => findings.push(Finding::new(part, Outcome::Problem, error.to_string())),
            Ok(node) => {
                let node: Arc<dyn BitcoinNode> = Arc::new(node);
                let alive = bitcoin_node(&part, node.as_ref(), &mut findings).await;
                match zmq {
                    None => findings.push(Finding::new(
                        part,
                        Outcome::Warning,
                        "no zmq_hashblock is configured: new blocks are noticed by long poll and polling, up to a second later",
                    )),
                    Some(_) if !alive => {}
                    Some(endpoint) => findings.push(match check_node(node.as_ref(), endpoint).await {
                        Ok(ZmqCheck::Announced) => Finding::new(
                            part,
                            Outcome::Ok,
                            format!("publishes hashblock on {endpoint}"),
                        ),
                        Ok(other) => Finding::new(part, Outcome::Warning, other.to_string()),
                        Err(error) => Finding::new(part, Outcome::Warning, error.to_string()),
                    }),
                }
            }
        }
    }
    findings.extend(ipfs_node(&config.content).await);
    findings.extend(peers(&config.content).await);
    findings.extend(public_url(config));
    findings
}

fn mode(config: &Config) -> Finding {
    let alone = config.bitcoin_peers.as_ref().map(|peers| peers.quorum) == Some(1);
    let outcome = if alone { Outcome::Warning } else { Outcome::Ok };
    Finding::new("bitcoin", outcome, bitcoin_mode(config))
}

async fn bitcoin_peers(config: &Config, options: PeersOptions, findings: &mut Vec<Finding>) {
    let node = match PeersNode::new(options, Arc::new(SystemClock::new())) {
        Ok(node) => node,
        Err(error) => {
            findings.push(Finding::new(
                "bitcoin peers",
                Outcome::Problem,
                error.to_string(),
            ));
            return;
        }
    };
    node.refresh().await;
    let status = node.status();
    for peer in &status {
        let outcome = match &peer.failure {
            None if peer.offers => Outcome::Ok,
            _ => Outcome::Warning,
        };
        findings.push(Finding::new(
            format!("bitcoin peer {}", peer.name),
            outcome,
            peer_text(peer),
        ));
    }
    let (quorum, _) = node.quorum();
    let offering = status.iter().filter(|peer| peer.offers).count();
    if offering < quorum {
        findings.push(Finding::new(
            "bitcoin peers",
            Outcome::Warning,
            format!(
                "{offering} of the {quorum} templates that must agree: blocks are mined without transactions until more peers \
                 answer (add some to bitcoin.peers)"
            ),
        ));
    }
    if bitcoin_node("bitcoin peers", &node, findings).await {
        findings.extend(relay(config, &node).await);
    }
}

/// K2's relay beside the peers' chain; nothing where there is no program.
async fn relay(config: &Config, node: &PeersNode) -> Option<Finding> {
    let read = match relay_witness::client(config) {
        Ok(None) => return None,
        Ok(Some(k2)) => relay_witness::read(&k2).await,
        Err(error) => Err(error),
    };
    let (outcome, message) = match read {
        Ok(Some(witness)) => {
            node.hear(witness);
            match node.testimony() {
                Some((testimony, _)) => of_relay(&testimony),
                None => (Outcome::Warning, "the peers fell silent".to_owned()),
            }
        }
        Ok(None) => (
            Outcome::Ok,
            "is not set up: the peers' chain goes by its own work alone".to_owned(),
        ),
        Err(error) => (
            Outcome::Warning,
            format!("cannot be read: {error:#}; the peers' chain goes by its own work alone"),
        ),
    };
    Some(Finding::new("relay", outcome, message))
}

fn of_relay(testimony: &Testimony) -> (Outcome, String) {
    if testimony.may_be_news() {
        let text = format!("{testimony}, or are about to tell of them");
        return (Outcome::Warning, text);
    }
    if testimony.is_against_peers() {
        let text = format!(
            "{testimony}. The node mines and judges nothing on it: add other peers to bitcoin.peers"
        );
        return (Outcome::Problem, text);
    }
    let outcome = match relay_witness::is_wrong(testimony) {
        true => Outcome::Warning,
        false => Outcome::Ok,
    };
    (outcome, testimony.to_string())
}

fn data_dir(dir: &Path) -> Finding {
    match crate::node::check_data_dir(dir) {
        Ok(()) => Finding::new(
            "data directory",
            Outcome::Ok,
            format!("{} is writable", dir.display()),
        ),
        Err(error) => Finding::new("data directory", Outcome::Problem, error.to_string()),
    }
}

fn store(config: &Config) -> Finding {
    match crate::node::open_store(config) {
        Ok(_) => Finding::new("store", Outcome::Ok, "opens"),
        Err(error) => Finding::new("store", Outcome::Problem, format!("{error:#}")),
    }
}

fn port(part: &str, address: SocketAddr) -> Finding {
    match TcpListener::bind(address) {
        Ok(_) => Finding::new(part, Outcome::Ok, format!("{address} is free")),
        Err(error) => Finding::new(
            part,
            Outcome::Problem,
            format!(
                "{address} cannot be used ({error}): stop what listens there (`ss -ltnp`), or choose another port \
                 (a Koii host itself uses 3003, 3333 and 30017)"
            ),
        ),
    }
}

async fn running_node(listen: SocketAddr) -> Option<String> {
    let answer = healthcheck::ask(listen).await.ok()?;
    Some(format!(
        "is running on {}: {}",
        healthcheck::own_address(listen),
        answer.message
    ))
}

async fn bitcoin_node(part: &str, node: &dyn BitcoinNode, findings: &mut Vec<Finding>) -> bool {
    match node.chain_info().await {
        Err(error) => {
            findings.push(Finding::new(part, Outcome::Problem, error.to_string()));
            false
        }
        Ok(info) => {
            let (outcome, text) = if info.initial_block_download {
                (
                    Outcome::Warning,
                    format!(
                        "is still synchronising: {:.2} % (miners get work when it is done)",
                        f64::from(info.verification_ppm) / 10_000.0
                    ),
                )
            } else {
                (
                    Outcome::Ok,
                    format!("is on {} at height {}", info.network, info.height),
                )
            };
            findings.push(Finding::new(part, outcome, text));
            if let Err(error) = node.block_template().await {
                findings.push(Finding::new(
                    part,
                    if info.initial_block_download {
                        Outcome::Warning
                    } else {
                        Outcome::Problem
                    },
                    format!("gives no usable template: {error}"),
                ));
            }
            true
        }
    }
}

/// The IPFS node that pins this node's bundles. Without it the pool goes on, so trouble with it is a warning.
async fn ipfs_node(settings: &ContentSettings) -> Option<Finding> {
    let part = "ipfs node";
    let rpc = match settings.rpc() {
        Ok(rpc) => KuboRpc::new(rpc?),
        Err(error) => return Some(Finding::new(part, Outcome::Problem, format!("{error:#}"))),
    };
    let rpc = match rpc {
        Ok(rpc) => rpc,
        Err(error) => return Some(Finding::new(part, Outcome::Problem, error.to_string())),
    };
    let place = rpc.endpoint().to_string();
    let answer = tokio::time::timeout(PEER_PATIENCE, rpc.version()).await;
    let (outcome, message) = match answer {
        Ok(Ok(version)) => (
            Outcome::Ok,
            format!("{place} answers, version {}", version.version),
        ),
        Ok(Err(KuboError::Answer(SourceError::Status(401 | 403)))) => (
            Outcome::Warning,
            format!("{place} does not let this node in: give its credentials in ipfs.auth_file"),
        ),
        Ok(Err(error)) => (
            Outcome::Warning,
            format!("{place}: {error}; bundles are not pinned, only served from here"),
        ),
        Err(_) => (
            Outcome::Warning,
            format!("{place} does not answer; bundles are not pinned, only served from here"),
        ),
    };
    Some(Finding::new(part, outcome, message))
}

/// Where submissions say that this node is, if they do.
fn public_url(config: &Config) -> Option<Finding> {
    let url = config.http.public_url.as_ref()?;
    let (outcome, message) = if url.is_private_address() && !config.content.private_submitters {
        (
            Outcome::Warning,
            format!("{url} is in a private network: other nodes do not follow it there"),
        )
    } else {
        (
            Outcome::Ok,
            format!("{url}: who audits this node's rounds looks for them there"),
        )
    };
    Some(Finding::new("http.public_url", outcome, message))
}

async fn peers(settings: &ContentSettings) -> Vec<Finding> {
    let mut findings = Vec::new();
    if settings.gateways.is_empty() {
        findings.push(Finding::new(
            "peers",
            Outcome::Warning,
            "content.gateways is empty: bundles of others come only from IPFS, where their operators put them there, \
             and from nodes that say where they are; list the other nodes' URLs",
        ));
    }
    let client = chain::tls::client_config()
        .map_err(anyhow::Error::new)
        .and_then(|tls| {
            Ok(reqwest::Client::builder()
                .tls_backend_preconfigured(tls)
                .timeout(PEER_PATIENCE)
                .build()?)
        });
    let client = match client {
        Ok(client) => client,
        Err(error) => {
            let message = format!("cannot be asked: {error:#}");
            findings.push(Finding::new("peers", Outcome::Problem, message));
            return findings;
        }
    };
    let named = settings.gateways.iter().map(|source| ("peer", source));
    let public = settings.public_gateways.iter();
    let sources = named.chain(public.map(|source| ("gateway", source)));
    let asked = sources.filter_map(|(kind, source)| {
        let request = client.get(source.probe_url()?).send();
        Some(async move {
            let part = format!("{kind} {source}");
            match request.await {
                // Whatever it says of a CID without content, somebody is there.
                Ok(_) => Finding::new(part, Outcome::Ok, "answers"),
                Err(error) => Finding::new(
                    part,
                    Outcome::Warning,
                    format!("does not answer: {}", error.without_url()),
                ),
            }
        })
    });
    findings.extend(join_all(asked).await);
    findings
}
