//! The node that submitted a bundle, as one more source of it.
//!
//! Its URL is a stranger's word. So it is asked for blocks and nothing else, with a client of its own: the host is
//! resolved once, only addresses that [`Reach`] allows are connected to, no redirect is followed, and no proxy asked,
//! which would resolve the host again by itself.

use std::{net::SocketAddr, sync::Arc};

use cid::Cid;
use reqwest::{
    Url,
    dns::{Addrs, Name, Resolve, Resolving},
};
use tokio::sync::OnceCell;

use super::{
    NodeUrl, SourceError,
    http::{CONNECT_TIMEOUT, Client},
    reach::Reach,
    source::Source,
};
use crate::{block::Block, car::CarError, dag::Frontier, store::BlockStore};

/// Addresses of one host that are tried.
const MAX_ADDRESSES: usize = 8;

#[derive(Debug)]
pub(super) struct Submitter {
    source: Source,
    url: Url,
    reach: Reach,
    /// Made when it is first asked.
    client: OnceCell<Result<Client, SourceError>>,
}

impl Submitter {
    pub(super) fn new(url: &NodeUrl, reach: Reach) -> Self {
        Self {
            source: Source::of_node(url),
            url: url.url().clone(),
            reach,
            client: OnceCell::new(),
        }
    }

    /// For reports.
    pub(super) const fn source(&self) -> &Source {
        &self.source
    }

    /// As [`Client::get_block`]; `like` has its limits.
    pub(super) async fn get_block(&self, like: &Client, cid: &Cid) -> Result<Block, SourceError> {
        let client = self.client(like).await?;
        client.get_block(&self.source, cid).await
    }

    /// As [`Client::get_car`].
    pub(super) async fn get_car(
        &self,
        like: &Client,
        frontier: &mut Frontier,
        store: &dyn BlockStore,
    ) -> Result<Result<usize, CarError>, SourceError> {
        let client = self.client(like).await?;
        client.get_car(&self.source, frontier, store).await
    }

    async fn client(&self, like: &Client) -> Result<&Client, SourceError> {
        let made = self.client.get_or_init(async || {
            let addresses = self.addresses().await?;
            like.only_to(Arc::new(Pinned(addresses)))
                .map_err(|error| SourceError::Unreachable(error.to_string()))
        });
        made.await.as_ref().map_err(Clone::clone)
    }

    /// Where its host is, as far as that may be connected to.
    async fn addresses(&self) -> Result<Vec<SocketAddr>, SourceError> {
        let unreachable =
            |error: std::io::Error| SourceError::Unreachable(format!("its host: {error}"));
        let found: Vec<SocketAddr> = match self.url.domain() {
            // An address: nothing is looked up.
            None => self.url.socket_addrs(|| None).map_err(unreachable)?,
            Some(domain) => {
                let port = self.url.port_or_known_default().unwrap_or_default();
                let looking = tokio::net::lookup_host((domain, port));
                tokio::time::timeout(CONNECT_TIMEOUT, looking)
                    .await
                    .map_err(|_| SourceError::Timeout(CONNECT_TIMEOUT))?
                    .map_err(unreachable)?
                    .collect()
            }
        };
        let reach = self.reach;
        let allowed: Vec<SocketAddr> = found
            .into_iter()
            .filter(|address| reach.allows(address.ip()))
            .take(MAX_ADDRESSES)
            .collect();
        if allowed.is_empty() {
            return Err(SourceError::NotPublic);
        }
        Ok(allowed)
    }
}

/// Resolves every name to the addresses that were checked, so that none is connected to that was not.
#[derive(Debug)]
struct Pinned(Vec<SocketAddr>);

impl Resolve for Pinned {
    fn resolve(&self, _: Name) -> Resolving {
        let addresses: Addrs = Box::new(self.0.clone().into_iter());
        Box::pin(async { Ok(addresses) })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    async fn addresses(url: &str, reach: Reach) -> Result<Vec<SocketAddr>, SourceError> {
        let url: NodeUrl = url.parse().unwrap();
        Submitter::new(&url, reach).addresses().await
    }

    #[tokio::test]
    async fn addresses_are_judged_however_they_are_written() {
        for url in [
            "http://127.0.0.1:8338",
            "http://0x7f000001:8338",
            "http://2130706433:8338",
            "http://0177.1:8338",
            "http://[::1]:8338",
            "http://[::ffff:127.0.0.1]:8338",
            "http://[::ffff:a00:1]:8338",
            // A name is judged by what it resolves to.
            "http://localhost:8338",
        ] {
            let refused = addresses(url, Reach::Public).await;
            assert_eq!(refused, Err(SourceError::NotPublic), "{url}");
            let allowed = addresses(url, Reach::PrivateToo).await.unwrap();
            assert!(
                allowed.iter().all(|address| address.port() == 8338),
                "{url}"
            );
        }
        for url in [
            "http://169.254.169.254",
            "http://[::ffff:169.254.169.254]",
            "http://0.0.0.0:8338",
            "http://[::]:8338",
        ] {
            let refused = addresses(url, Reach::PrivateToo).await;
            assert_eq!(refused, Err(SourceError::NotPublic), "{url}");
        }
        let public = addresses("http://1.1.1.1:8338", Reach::Public).await;
        assert_eq!(public, Ok(vec!["1.1.1.1:8338".parse().unwrap()]));
    }

    #[tokio::test]
    async fn every_name_is_where_it_was_looked_up() {
        let address: SocketAddr = "1.1.1.1:8338".parse().unwrap();
        let pinned = Pinned(vec![address]);
        for name in ["node.example", "node.example.", "other.example"] {
            let resolved = pinned.resolve(name.parse().unwrap()).await.unwrap();
            assert_eq!(resolved.collect::<Vec<_>>(), [address], "{name}");
        }
    }
}
