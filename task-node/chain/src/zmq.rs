//! New-block notices over ZMQ (`-zmqpubhashblock`), the fastest way to hear of a block.
//!
//! ZMQ is a hint, never the truth: a notice only makes the watcher ask the node sooner than its next poll. Messages
//! can be lost (`-zmqpubhashblockhwm`), a subscription can die without a word (DATUM gateway #37), and the endpoint
//! may be that of another process. So the subscription is compared with `getzmqnotifications`, gaps in the sequence
//! are counted, and a connection that stays silent about a block others reported is opened anew ([`Hearing`]).

use std::{
    collections::VecDeque,
    fmt,
    str::FromStr,
    sync::Arc,
    time::{Duration, Instant},
};

use bitcoin::{BlockHash, hashes::Hash as _};
use futures::StreamExt as _;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use zeromq::{Socket as _, SocketEvent, SocketRecv as _, SubSocket};

use crate::{
    backoff::Backoff,
    error::NodeError,
    node::{BitcoinNode, ZmqNotification},
};

const TOPIC: &str = "hashblock";

/// Time to connect and shake hands.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a notice may trail behind the same news from another source before the connection counts as dead.
const GRACE: Duration = Duration::from_secs(10);

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

/// A parsed `hashblock` message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Notice {
    hash: BlockHash,
    sequence: u32,
}

/// Three frames: topic, hash in display order (the reverse of the header's byte order), counter as u32 little endian.
fn parse_notice<T: AsRef<[u8]>>(frames: &[T]) -> Option<Notice> {
    let [topic, hash, sequence] = frames else {
        return None;
    };
    if topic.as_ref() != TOPIC.as_bytes() {
        return None;
    }
    let mut hash: [u8; 32] = hash.as_ref().try_into().ok()?;
    hash.reverse();
    let sequence = u32::from_le_bytes(sequence.as_ref().try_into().ok()?);
    Some(Notice {
        hash: BlockHash::from_byte_array(hash),
        sequence,
    })
}

/// Counts messages lost on one connection.
#[derive(Debug, Default)]
struct Sequence {
    next: Option<u32>,
}

impl Sequence {
    /// How many messages are missing before this one. The counter wraps; going backwards means a restarted node.
    fn observe(&mut self, sequence: u32) -> u32 {
        let missed = self.next.map_or(0, |next| sequence.wrapping_sub(next));
        self.next = Some(sequence.wrapping_add(1));
        if missed > u32::MAX / 2 { 0 } else { missed }
    }
}

/// Notices a subscription that has gone deaf: another source told of a tip, and ZMQ never did.
#[derive(Debug, Default)]
struct Hearing {
    heard: VecDeque<BlockHash>,
    awaited: Option<(BlockHash, Instant)>,
}

impl Hearing {
    const REMEMBERED: usize = 64;

    fn heard(&mut self, hash: BlockHash) {
        // A burst of blocks is one piece of news: whatever was awaited, this connection is alive.
        self.awaited = None;
        if self.heard.len() == Self::REMEMBERED {
            self.heard.pop_front();
        }
        self.heard.push_back(hash);
    }

    fn known_elsewhere(&mut self, hash: BlockHash, now: Instant) {
        if self.awaited.is_none() && !self.heard.contains(&hash) {
            self.awaited = Some((hash, now));
        }
    }

    fn is_deaf(&self, now: Instant) -> bool {
        self.awaited
            .is_some_and(|(_, since)| now.saturating_duration_since(since) >= GRACE)
    }
}

/// The state of one subscription, for `/healthz` and `doctor`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ZmqStatus {
    /// Connected and subscribed.
    pub connected: bool,
    /// Messages received.
    pub received: u64,
    /// Messages known to be lost, from gaps in the sequence.
    pub missed: u64,
    /// Times the connection was opened.
    pub connections: u64,
}

/// A running subscription. Dropping it does not stop the task; the token given to [`subscribe`] does.
#[derive(Debug)]
pub struct Subscription {
    status: watch::Receiver<ZmqStatus>,
    known_elsewhere: mpsc::Sender<BlockHash>,
}

impl Subscription {
    /// Its current state.
    pub fn status(&self) -> ZmqStatus {
        *self.status.borrow()
    }

    /// A receiver of state changes.
    pub fn watch(&self) -> watch::Receiver<ZmqStatus> {
        self.status.clone()
    }

    /// Tells the subscription of a tip the pool learned of; if ZMQ stays silent about it, it reconnects.
    pub fn tip_is_known(&self, hash: BlockHash) {
        // Full means the task is busy connecting, when it could not be deaf anyway.
        let _ = self.known_elsewhere.try_send(hash);
    }
}

/// Subscribes to `hashblock` on `endpoint` and sends each hash to `notices` until `cancel`. `publisher` is the node
/// that should be behind the address; its list is compared with it and a difference is logged.
pub fn subscribe(
    publisher: Arc<dyn BitcoinNode>,
    endpoint: ZmqEndpoint,
    notices: mpsc::Sender<BlockHash>,
    cancel: CancellationToken,
) -> Subscription {
    let (status_tx, status) = watch::channel(ZmqStatus::default());
    let (known_elsewhere, known_rx) = mpsc::channel(16);
    let task = Task {
        publisher,
        endpoint,
        notices,
        status: status_tx,
        known_elsewhere: known_rx,
    };
    tokio::spawn(async move {
        let _ = cancel.run_until_cancelled(task.run()).await;
    });
    Subscription {
        status,
        known_elsewhere,
    }
}

struct Task {
    publisher: Arc<dyn BitcoinNode>,
    endpoint: ZmqEndpoint,
    notices: mpsc::Sender<BlockHash>,
    status: watch::Sender<ZmqStatus>,
    known_elsewhere: mpsc::Receiver<BlockHash>,
}

impl Task {
    async fn run(mut self) {
        let mut backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(10));
        let mut last_check = None;
        loop {
            self.check(&mut last_check).await;
            let heard_before = self.status.borrow().received;
            let end = self.listen().await;
            self.status.send_modify(|s| s.connected = false);
            // Only a message proves that the right publisher was on the other side.
            if self.status.borrow().received > heard_before {
                backoff.reset();
            }
            let wait = backoff.failed();
            tracing::warn!(endpoint = %self.endpoint, reason = %end, ?wait,
                "ZMQ subscription ended; new blocks are found by polling until it is back");
            tokio::time::sleep(wait).await;
        }
    }

    async fn check(&self, last: &mut Option<ZmqCheck>) {
        match check_node(&*self.publisher, &self.endpoint).await {
            Ok(check) => {
                if last.as_ref() != Some(&check) {
                    if check == ZmqCheck::Announced {
                        tracing::info!(endpoint = %self.endpoint, node = self.publisher.name(), "ZMQ: {check}");
                    } else {
                        tracing::warn!(endpoint = %self.endpoint, node = self.publisher.name(),
                            "ZMQ: {check}; until then new blocks are found by polling");
                    }
                    *last = Some(check);
                }
            }
            Err(error) => {
                tracing::debug!(endpoint = %self.endpoint, %error, "ZMQ: the publishers cannot be listed")
            }
        }
    }

    /// One connection from beginning to end; returns why it ended.
    async fn listen(&mut self) -> String {
        let mut socket = SubSocket::new();
        let mut events = socket.monitor();
        let endpoint = self.endpoint.to_string();
        let connect = async {
            socket.connect(&endpoint).await?;
            socket.subscribe(TOPIC).await
        };
        match tokio::time::timeout(CONNECT_TIMEOUT, connect).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return error.to_string(),
            Err(_) => return format!("no connection within {CONNECT_TIMEOUT:?}"),
        }
        self.status.send_modify(|s| {
            s.connected = true;
            s.connections += 1;
        });
        tracing::info!(%endpoint, "ZMQ: subscribed to new blocks");
        let mut sequence = Sequence::default();
        let mut hearing = Hearing::default();
        let mut tick = tokio::time::interval(Duration::from_secs(1));
        loop {
            tokio::select! {
                message = socket.recv() => match message {
                    Ok(message) => self.receive(&message.into_vec(), &mut sequence, &mut hearing),
                    Err(error) => return error.to_string(),
                },
                // The socket would reconnect by itself, but silently and with waits of up to 30 s.
                event = events.next() => if matches!(event, None | Some(SocketEvent::Disconnected(_) | SocketEvent::Closed)) {
                    return "the node closed the connection".into();
                },
                Some(hash) = self.known_elsewhere.recv() => hearing.known_elsewhere(hash, Instant::now()),
                _ = tick.tick() => if hearing.is_deaf(Instant::now()) {
                    return format!("no notice of a block that was known {GRACE:?} ago");
                },
            }
        }
    }

    fn receive<T: AsRef<[u8]>>(
        &self,
        frames: &[T],
        sequence: &mut Sequence,
        hearing: &mut Hearing,
    ) {
        let Some(notice) = parse_notice(frames) else {
            tracing::warn!(endpoint = %self.endpoint, frames = frames.len(), "ZMQ: a message that is no hashblock notice");
            return;
        };
        let missed = sequence.observe(notice.sequence);
        if missed > 0 {
            tracing::warn!(endpoint = %self.endpoint, missed, "ZMQ: notices were lost");
        }
        self.status.send_modify(|s| {
            s.received += 1;
            s.missed += u64::from(missed);
        });
        hearing.heard(notice.hash);
        // Full means a look at the node is due already, and it will see this block too.
        let _ = self.notices.try_send(notice.hash);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use proptest::prelude::*;

    use super::*;

    fn hash(n: u8) -> BlockHash {
        BlockHash::from_byte_array([n; 32])
    }

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

    #[test]
    fn a_notice_carries_the_hash_in_display_order() {
        let text = "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f";
        let display = <[u8; 32] as bitcoin::hex::FromHex>::from_hex(text).unwrap();
        let notice = parse_notice(&[
            b"hashblock".to_vec(),
            display.to_vec(),
            7_u32.to_le_bytes().to_vec(),
        ])
        .unwrap();
        assert_eq!(notice.hash.to_string(), text);
        assert_eq!(notice.sequence, 7);
    }

    #[test]
    fn lost_notices_are_counted_across_the_wrap_and_not_after_a_restart() {
        let mut sequence = Sequence::default();
        assert_eq!(sequence.observe(u32::MAX - 1), 0);
        assert_eq!(sequence.observe(u32::MAX), 0);
        assert_eq!(sequence.observe(2), 2);
        assert_eq!(sequence.observe(3), 0);
        assert_eq!(sequence.observe(0), 0);
        assert_eq!(sequence.observe(1), 0);
    }

    #[test]
    fn silently_dead_subscription_datum_37() {
        let start = Instant::now();
        let mut hearing = Hearing::default();
        hearing.heard(hash(1));
        hearing.known_elsewhere(hash(1), start);
        assert!(
            !hearing.is_deaf(start + 10 * GRACE),
            "the notice came first"
        );

        hearing.known_elsewhere(hash(2), start);
        assert!(!hearing.is_deaf(start), "a moment's delay is not deafness");
        hearing.known_elsewhere(hash(3), start + GRACE);
        assert!(
            hearing.is_deaf(start + GRACE),
            "later blocks do not restart the clock"
        );

        hearing.heard(hash(3));
        assert!(!hearing.is_deaf(start + 10 * GRACE), "alive after all");
    }

    proptest! {
        #[test]
        fn no_frames_panic(frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..5)) {
            let _ = parse_notice(&frames);
        }

        #[test]
        fn no_text_panics_the_endpoint_parser(text in ".{0,60}|tcp://.{0,40}") {
            let _ = text.parse::<ZmqEndpoint>();
        }
    }
}
