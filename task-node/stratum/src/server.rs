//! The server: listeners, connections and the tasks that record shares.
//!
//! All rules of the protocol are in [`crate::Session`]; this is the shell around it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};
use work::Clock;

use crate::bouncer::{Bouncer, Origin};
use crate::connection::serve;
use crate::{
    BlockSink, CurrentWork, ExtranonceAllocator, Limits, NodeSeenShares, PortSettings, Randomness,
    ServerSettings, ServerStats, SessionContext, ShareSink, StatsTable,
};

/// The first and the longest pause after an error of `accept` (most often: no file descriptors left).
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// What a server is made of.
pub struct ServerParts {
    /// What the operator set.
    pub settings: ServerSettings,
    /// What to mine; `None` until there is something. A later `None` ends the connections of those who have jobs, so that
    /// they go on with their next pool.
    pub work: watch::Receiver<Option<Arc<CurrentWork>>>,
    /// Where shares go.
    pub shares: Arc<dyn ShareSink>,
    /// Where blocks go.
    pub blocks: Arc<dyn BlockSink>,
    /// The clocks.
    pub clock: Arc<dyn Clock>,
    /// Where session ids come from.
    pub random: Arc<dyn Randomness>,
    /// How often this node was started, from the store: keeps the extranonces of two runs apart.
    pub boot: u32,
}

/// A running server. Clones are the same server.
#[derive(Clone)]
pub struct Server {
    inner: Arc<Inner>,
}

/// What connections need of their server.
pub(crate) struct Inner {
    pub(crate) limits: Limits,
    pub(crate) sessions: Arc<SessionContext>,
    pub(crate) shares: Arc<dyn ShareSink>,
    pub(crate) blocks: Arc<dyn BlockSink>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) work: watch::Sender<Option<Arc<CurrentWork>>>,
    /// Connections, recordings and block submissions.
    pub(crate) tasks: TaskTracker,
    pub(crate) stop: CancellationToken,
    slots: Arc<Semaphore>,
    bouncer: Mutex<Bouncer>,
}

impl Inner {
    fn bouncer(&self) -> MutexGuard<'_, Bouncer> {
        self.bouncer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Server {
    /// Starts a server without any way in. Must be called within a Tokio runtime.
    #[must_use]
    pub fn start(parts: ServerParts) -> Self {
        let limits = parts.settings.limits;
        let sessions = SessionContext::new(
            parts.settings.session,
            Arc::new(ExtranonceAllocator::new(parts.boot, parts.random)),
            Arc::new(NodeSeenShares::new(limits.remembered_shares)),
            Arc::new(StatsTable::default()),
        );
        let inner = Arc::new(Inner {
            sessions: Arc::new(sessions),
            shares: parts.shares,
            blocks: parts.blocks,
            clock: parts.clock,
            work: watch::Sender::new(None),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            slots: Arc::new(Semaphore::new(
                limits.max_connections.min(Semaphore::MAX_PERMITS),
            )),
            bouncer: Mutex::new(Bouncer::new(limits.max_connections_per_ip, limits.ban)),
            limits,
        });
        inner.tasks.spawn(follow(Arc::clone(&inner), parts.work));
        Self { inner }
    }

    /// Serves everybody who connects to `listener`, until [`Self::shutdown`].
    pub async fn listen(&self, listener: TcpListener, port: PortSettings) {
        let inner = &self.inner;
        let mut pause = ACCEPT_PAUSE;
        loop {
            let accepted = tokio::select! {
                () = inner.stop.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, address)) => {
                    pause = ACCEPT_PAUSE;
                    self.admit(stream, address, port);
                }
                Err(error) => {
                    warn!(%error, "cannot accept a Stratum connection; next try in {pause:?}");
                    tokio::select! {
                        () = inner.stop.cancelled() => return,
                        () = tokio::time::sleep(pause) => {}
                    }
                    pause = (pause * 2).min(LONGEST_ACCEPT_PAUSE);
                }
            }
        }
    }

    fn admit(&self, stream: TcpStream, address: SocketAddr, port: PortSettings) {
        let inner = Arc::clone(&self.inner);
        let Ok(slot) = Arc::clone(&inner.slots).try_acquire_owned() else {
            debug!(%address, "turned away: no connection left");
            return;
        };
        let origin = Origin::from(address.ip());
        if let Err(reason) = inner.bouncer().enter(origin, inner.clock.monotonic()) {
            debug!(%address, %reason, "turned away");
            return;
        }
        // A share or a job is one small packet: waiting for more to send costs a round trip.
        if let Err(error) = stream.set_nodelay(true) {
            debug!(%address, %error, "no TCP_NODELAY");
        }
        self.inner.tasks.spawn(async move {
            let reason = serve(&inner, stream, port).await;
            if let Some(reason) = reason {
                info!(%address, %reason, "connection ended");
            }
            let points = reason.map_or(0, crate::DisconnectReason::ban_points);
            inner
                .bouncer()
                .leave(origin, points, inner.clock.monotonic());
            drop(slot);
        });
    }

    /// Serves one client over any stream, until it leaves or [`Self::shutdown`]; the built-in miner comes in here. Limits on
    /// the number of connections do not apply.
    pub async fn serve_stream<S>(&self, stream: S, port: PortSettings)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin,
    {
        let serving = serve(&self.inner, stream, port);
        if let Some(reason) = Box::pin(self.inner.tasks.track_future(serving)).await {
            info!(%reason, "stream ended");
        }
    }

    /// Connections, workers and shares.
    #[must_use]
    pub fn stats(&self) -> ServerStats {
        self.inner
            .sessions
            .stats()
            .snapshot(self.inner.clock.monotonic())
    }

    /// Tells every client to come back later, waits (for a bounded time) until shares on their way are recorded and
    /// answered, and closes everything.
    pub async fn shutdown(&self) {
        self.inner.stop.cancel();
        self.inner.tasks.close();
        // Connections give up after one grace; the rest is for what they left behind.
        let limit = self.inner.limits.shutdown_grace * 2;
        if tokio::time::timeout(limit, self.inner.tasks.wait())
            .await
            .is_err()
        {
            warn!(
                "shares were still being recorded at the end of the shutdown; they were not acknowledged"
            );
        }
    }
}

/// Passes new work on to the sessions, but tells the memory of shares first: a session that works on a block must not meet a
/// memory of the one before.
async fn follow(inner: Arc<Inner>, mut work: watch::Receiver<Option<Arc<CurrentWork>>>) {
    loop {
        let latest = work.borrow_and_update().clone();
        if let Some(latest) = &latest {
            inner.sessions.seen().building_on(latest.prev_hash());
        }
        inner.work.send_replace(latest);
        tokio::select! {
            () = inner.stop.cancelled() => return,
            changed = work.changed() => if changed.is_err() {
                return;
            },
        }
    }
}
