//! Where a node publishes: the configured address, and what the node says about it.

use std::{fmt, str::FromStr};

use crate::{
    error::NodeError,
    node::{BitcoinNode, ZmqNotification},
};

/// A publisher's address, `tcp://host:port`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZmqEndpoint {
    host: String,
    port: u16,
}

impl ZmqEndpoint {
    /// `tcp://127.0.0.1:port`.
    pub fn loopback(port: u16) -> Self {
        Self {
            host: "127.0.0.1".into(),
            port,
        }
    }
}

/// Not an address this build can subscribe to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a ZMQ address must look like tcp://127.0.0.1:28332")]
pub struct InvalidZmqEndpoint;

impl FromStr for ZmqEndpoint {
    type Err = InvalidZmqEndpoint;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (host, port) = text
            .strip_prefix("tcp://")
            .and_then(|rest| rest.rsplit_once(':'))
            .ok_or(InvalidZmqEndpoint)?;
        let port = port.parse().map_err(|_| InvalidZmqEndpoint)?;
        let inner = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        let valid = match inner {
            Some(v6) => v6.parse::<std::net::Ipv6Addr>().is_ok(),
            None => {
                !host.is_empty()
                    && host.len() <= 253
                    && host
                        .bytes()
                        .all(|b| b.is_ascii_alphanumeric() || b"-._*".contains(&b))
            }
        };
        if port == 0 || !valid {
            return Err(InvalidZmqEndpoint);
        }
        Ok(Self {
            host: host.to_ascii_lowercase(),
            port,
        })
    }
}

impl fmt::Display for ZmqEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tcp://{}:{}", self.host, self.port)
    }
}

/// What the node's own list of publishers says about the configured address.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ZmqCheck {
    /// The node publishes `hashblock` on this port.
    Announced,
    /// The node publishes no `hashblock` at all: `zmqpubhashblock=` is missing, or the build has no ZMQ.
    Absent,
    /// It publishes `hashblock`, but on these addresses. Right only if a port is mapped in between.
    Elsewhere(Vec<String>),
}

impl fmt::Display for ZmqCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Announced => f.write_str("the node publishes new blocks on this address"),
            Self::Absent => f.write_str(
                "the node publishes no new blocks over ZMQ; add zmqpubhashblock= with this address to bitcoin.conf and restart it",
            ),
            Self::Elsewhere(addresses) => {
                write!(f, "the node publishes new blocks on {}, not on this address", addresses.join(", "))
            }
        }
    }
}

/// Compares the configured address with the node's list. Ports must agree; hosts need not, since a node that binds
/// `0.0.0.0`, a container name and `127.0.0.1` can all be the same place.
pub fn check_endpoint(endpoint: &ZmqEndpoint, published: &[ZmqNotification]) -> ZmqCheck {
    let blocks: Vec<&ZmqNotification> = published
        .iter()
        .filter(|n| n.kind == "pubhashblock")
        .collect();
    if blocks.is_empty() {
        ZmqCheck::Absent
    } else if blocks.iter().any(|n| {
        n.address
            .parse::<ZmqEndpoint>()
            .is_ok_and(|a| a.port == endpoint.port)
    }) {
        ZmqCheck::Announced
    } else {
        ZmqCheck::Elsewhere(blocks.iter().map(|n| n.address.clone()).collect())
    }
}

/// Asks the node and compares.
pub async fn check_node(
    node: &dyn BitcoinNode,
    endpoint: &ZmqEndpoint,
) -> Result<ZmqCheck, NodeError> {
    Ok(check_endpoint(endpoint, &node.zmq_notifications().await?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn endpoints_are_tcp_host_and_port() {
        for good in [
            "tcp://127.0.0.1:28332",
            "tcp://node:1",
            "tcp://[::1]:28332",
            "tcp://*:28332",
        ] {
            assert_eq!(good.parse::<ZmqEndpoint>().unwrap().to_string(), good);
        }
        for bad in [
            "",
            "127.0.0.1:28332",
            "tcp://",
            "tcp://:1",
            "tcp://a",
            "tcp://a:0",
            "tcp://a:65536",
            "ipc:///tmp/x",
            "tcp://a b:1",
            "tcp://::1:28332",
            "tcp://[zz]:1",
            "tcp://a:1\n",
        ] {
            assert!(bad.parse::<ZmqEndpoint>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_configured_endpoint_is_compared_with_the_nodes_list() {
        let publishes = |kind: &str, address: &str| ZmqNotification {
            kind: kind.into(),
            address: address.into(),
        };
        let ours: ZmqEndpoint = "tcp://127.0.0.1:28332".parse().unwrap();
        assert_eq!(check_endpoint(&ours, &[]), ZmqCheck::Absent);
        assert_eq!(
            check_endpoint(&ours, &[publishes("pubrawtx", "tcp://127.0.0.1:28332")]),
            ZmqCheck::Absent
        );
        assert_eq!(
            check_endpoint(&ours, &[publishes("pubhashblock", "tcp://0.0.0.0:28332")]),
            ZmqCheck::Announced
        );
        assert_eq!(
            check_endpoint(
                &ours,
                &[
                    publishes("pubhashblock", "tcp://127.0.0.1:28333"),
                    publishes("pubhashblock", "ipc:///x")
                ]
            ),
            ZmqCheck::Elsewhere(vec!["tcp://127.0.0.1:28333".into(), "ipc:///x".into()])
        );
    }

    proptest! {
        #[test]
        fn no_text_panics_the_endpoint_parser(text in ".{0,60}|tcp://.{0,40}") {
            let _ = text.parse::<ZmqEndpoint>();
        }
    }
}
