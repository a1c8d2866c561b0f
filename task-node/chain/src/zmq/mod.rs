//! New-block notices over ZMQ (`-zmqpubhashblock`), the fastest way to hear of a block.
//!
//! ZMQ is a hint, never the truth: a notice only makes the watcher ask the node sooner than its next poll. Messages
//! can be lost (`-zmqpubhashblockhwm`), a subscription can die without a word (DATUM gateway #37), and the endpoint
//! may be that of another process. So the subscription is compared with `getzmqnotifications`, gaps in the sequence
//! are counted, and a connection that stays silent about a block others reported is opened anew (`notice::Hearing`).

mod endpoint;
mod notice;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bitcoin::BlockHash;
use futures::StreamExt as _;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use zeromq::{Socket as _, SocketEvent, SocketRecv as _, SubSocket};

pub use endpoint::{InvalidZmqEndpoint, ZmqCheck, ZmqEndpoint, check_endpoint, check_node};
use notice::{GRACE, Hearing, Sequence, TOPIC, parse_notice};

use crate::{backoff::Backoff, node::BitcoinNode};

/// Time to connect and shake hands.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

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

    /// Tells the subscription of a block that has just become the tip; if ZMQ stays silent about it, it reconnects.
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
        let mut told = false;
        loop {
            self.check(&mut last_check).await;
            let before = *self.status.borrow();
            let end = self.listen().await;
            self.status.send_modify(|s| s.connected = false);
            let after = *self.status.borrow();
            // Only a message proves that the right publisher was on the other side.
            if after.received > before.received {
                backoff.reset();
            }
            let wait = backoff.failed();
            // Said once for each time it is lost, not for each vain try to get it back.
            if after.connections > before.connections || !told {
                told = true;
                tracing::warn!(endpoint = %self.endpoint, reason = %end,
                    "no ZMQ subscription; new blocks are found by polling until it is back");
            } else {
                tracing::debug!(endpoint = %self.endpoint, reason = %end, ?wait, "still no ZMQ subscription");
            }
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
        // News from before this connection could not have come over it.
        while self.known_elsewhere.try_recv().is_ok() {}
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
