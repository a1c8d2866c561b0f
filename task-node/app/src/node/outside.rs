//! What a status says of the world outside: whether gateways answer, and what K2 holds for this node's key.
//!
//! Asked only when somebody asks for the status, and at most once a minute: nobody can make this node a hammer.

use std::sync::Arc;
use std::time::Duration;

use content::Source;
use futures::future::join_all;
use k2_client::{Client, K2Rpc, RpcOptions, SendOptions};
use k2_interface::Role;
use tokio::sync::Mutex;
use work::{K2Address, RoundNumber};

use super::Node;
use super::status::of_root;
use crate::status::{GatewayFact, K2Fact};

/// How long an answer is good.
const GOOD_FOR: Duration = Duration::from_secs(60);
/// How long one question may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// The world outside as it was seen last.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    pub(super) gateways: Vec<GatewayFact>,
    pub(super) k2: Option<K2Fact>,
}

/// Whom to ask.
pub(super) struct Outside {
    gateways: Vec<Source>,
    http: reqwest::Client,
    /// Or why it cannot be asked: a wrong URL must not keep a node from mining.
    k2: Option<Result<Client, String>>,
    seen: Mutex<Option<(tokio::time::Instant, Seen)>>,
}

impl Outside {
    /// `rpc` is asked only if `program` is one: the configuration's default is none.
    ///
    /// # Errors
    /// No HTTP client can be made.
    pub(super) fn new(
        gateways: Vec<Source>,
        rpc: &[String],
        program: K2Address,
    ) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder()
            .timeout(PATIENCE)
            .tls_backend_preconfigured(chain::tls::client_config()?)
            .build()?;
        let k2 = (program.as_bytes() != &[0; 32] && !rpc.is_empty())
            .then(|| -> anyhow::Result<Client> {
                let options = RpcOptions {
                    timeout: PATIENCE,
                    attempts: 1,
                    ..RpcOptions::new(rpc.to_vec())
                };
                let rpc = Arc::new(K2Rpc::new(&options)?);
                Ok(Client::new(rpc, program, SendOptions::default()))
            })
            .map(|client| client.map_err(|error| format!("{error:#}")));
        Ok(Self {
            gateways,
            http,
            k2,
            seen: Mutex::new(None),
        })
    }

    /// What was seen in the last minute, or is seen now.
    pub(super) async fn look(&self, node: &Node) -> Seen {
        // Held while asking: whoever comes meanwhile gets the same answer.
        let mut seen = self.seen.lock().await;
        if let Some((at, seen)) = seen.as_ref()
            && at.elapsed() < GOOD_FOR
        {
            return seen.clone();
        }
        let (gateways, k2) = tokio::join!(
            join_all(self.gateways.iter().map(|source| self.gateway(source))),
            self.k2(node)
        );
        let now = Seen { gateways, k2 };
        *seen = Some((tokio::time::Instant::now(), now.clone()));
        now
    }

    /// Any answer will do: whatever it says of a CID without content, somebody is there.
    async fn gateway(&self, source: &Source) -> GatewayFact {
        let asked = match source.probe_url() {
            Some(url) => self.http.get(url).send().await.map(drop),
            None => Ok(()),
        };
        let trouble = match asked {
            Ok(()) => None,
            Err(error) => Some(if error.is_timeout() {
                format!("no answer in {} s", PATIENCE.as_secs())
            } else if error.is_connect() {
                "no connection".to_owned()
            } else {
                error.without_url().to_string()
            }),
        };
        GatewayFact {
            url: source.to_string(),
            trouble,
        }
    }

    async fn k2(&self, node: &Node) -> Option<K2Fact> {
        let client = match self.k2.as_ref()? {
            Ok(client) => client,
            Err(error) => return Some(K2Fact::Away(error.clone())),
        };
        let asked = tokio::time::timeout(PATIENCE, ask(client, node)).await;
        Some(match asked {
            Err(_) => K2Fact::Away(format!("no answer in {} s", PATIENCE.as_secs())),
            Ok(Err(error)) => K2Fact::Away(format!("{error:#}")),
            Ok(Ok(fact)) => fact,
        })
    }
}

async fn ask(client: &Client, node: &Node) -> anyhow::Result<K2Fact> {
    let accounts = client.accounts();
    let config = accounts.config().await?;
    let mut claimed = 0_u64;
    for role in [Role::Operator, Role::Miner] {
        if let Some(ledger) = accounts.ledger(role, &node.key).await? {
            claimed = claimed.saturating_add(ledger.claimed.get());
        }
    }
    let rewards = config.rewards;
    if rewards.finalized.get() == 0 {
        return Ok(K2Fact::Known {
            finalized: None,
            claimed,
            claimable: None,
            agrees: None,
        });
    }
    let round = rewards.round.get();
    let own = match RoundNumber::try_from(round) {
        Ok(number) => node.store.settlement(number).await?,
        Err(_) => None,
    };
    let (key, root) = (node.key, rewards.root);
    let (agrees, claimable) = match own {
        None => (None, None),
        Some(bytes) => {
            let reading = tokio::task::spawn_blocking(move || of_root(&bytes, key, root));
            let (agrees, leaves) = reading.await??;
            (Some(agrees), agrees.then(|| leaves.saturating_sub(claimed)))
        }
    };
    Ok(K2Fact::Known {
        finalized: Some(round),
        claimed,
        claimable,
        agrees,
    })
}
