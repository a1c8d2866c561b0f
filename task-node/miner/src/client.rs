//! The shell around [`Session`](crate::session) and [`Engine`]: sockets, time and the counters.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tokio_util::codec::{FramedRead, LinesCodec, LinesCodecError};
use tokio_util::sync::CancellationToken;

use crate::backoff::Backoff;
use crate::message::printable;
use crate::session::{Account, Action, Session, SessionError};
use crate::stats::RateMeter;
use crate::{Engine, EngineError, EngineSettings, MinerStats, PoolUrl, Solution};

/// The longest line read: a job with the largest coinbase [`crate::NotifiedJob`] takes.
const MAX_LINE: usize = 300 * 1024;
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);
/// A pool that does not read is as good as gone.
const WRITE_PATIENCE: Duration = Duration::from_secs(10);
/// How long a stop waits for the answers to shares already sent.
const STOP_PATIENCE: Duration = Duration::from_secs(2);
const TICK: Duration = Duration::from_secs(1);
/// What a pool says is logged so many times a tick, or a hostile one would fill the disk.
const LOGLINES: u32 = 5;

/// What to mine for.
#[derive(Debug, Clone)]
pub struct MinerSettings {
    /// The pool.
    pub pool: PoolUrl,
    /// The user name: for this pool `<K2 address>.<worker>`.
    pub user: String,
    /// The password; most pools ignore it.
    pub password: String,
    /// The share difficulty to ask for.
    pub suggest_difficulty: Option<f64>,
    /// How to search.
    pub engine: EngineSettings,
}

/// How a connection ended.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum SessionEnd {
    /// As asked.
    Stopped,
    /// The pool wants a new connection.
    Reconnect {
        /// On this port, if the pool names one.
        port: Option<u16>,
        /// Not before this.
        wait: Duration,
    },
    /// Something went wrong.
    Failed(SessionError),
}

/// Reads the counters of a running [`Miner`].
#[derive(Debug, Clone, Default)]
pub struct StatsHandle(Arc<Mutex<MinerStats>>);

impl StatsHandle {
    /// The counters as they are now.
    #[must_use]
    pub fn snapshot(&self) -> MinerStats {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn update(&self, change: impl FnOnce(&mut MinerStats)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// The built-in miner.
#[derive(Debug)]
pub struct Miner {
    settings: MinerSettings,
    engine: Engine,
    solutions: mpsc::Receiver<Solution>,
    stats: StatsHandle,
    rate: RateMeter,
    started: Instant,
    sessions: u64,
    loglines: u32,
}

impl Miner {
    /// Starts the search threads; they rest until [`Self::run`] brings work.
    ///
    /// # Errors
    /// [`EngineError`].
    pub fn new(settings: MinerSettings) -> Result<Self, EngineError> {
        let (engine, solutions) = Engine::start(&settings.engine)?;
        Ok(Self {
            settings,
            engine,
            solutions,
            stats: StatsHandle::default(),
            rate: RateMeter::default(),
            started: Instant::now(),
            sessions: 0,
            loglines: LOGLINES,
        })
    }

    /// The counters; stays valid while the miner runs.
    #[must_use]
    pub fn stats(&self) -> StatsHandle {
        self.stats.clone()
    }

    /// Mines until `cancel`, connecting again whenever the connection ends.
    pub async fn run(mut self, cancel: CancellationToken) -> MinerStats {
        let mut backoff = Backoff::new();
        let mut pool = self.settings.pool.clone();
        while !cancel.is_cancelled() {
            let before = self.stats.snapshot().jobs;
            let connected = tokio::select! {
                () = cancel.cancelled() => break,
                connected = connect(&pool) => connected,
            };
            let end = match connected {
                Ok(stream) => self.serve(stream, &cancel).await,
                Err(error) => SessionEnd::Failed(error),
            };
            // A pool that gave work is a pool; one that only picks up is not hammered.
            if self.stats.snapshot().jobs > before {
                backoff.reset();
            }
            let wait = match end {
                SessionEnd::Stopped => break,
                SessionEnd::Reconnect { port, wait } => {
                    tracing::info!(?port, ?wait, "the pool asks to connect again");
                    pool = self
                        .settings
                        .pool
                        .with_port(port.unwrap_or(self.settings.pool.port()));
                    wait.max(backoff.failed())
                }
                SessionEnd::Failed(error) => {
                    let wait = backoff.failed();
                    tracing::warn!(%pool, %error, ?wait, "mining is interrupted");
                    self.stats
                        .update(|stats| stats.last_error = Some(error.to_string()));
                    // Whatever port it was sent to, home is the configured one.
                    pool = self.settings.pool.clone();
                    wait
                }
            };
            tokio::select! {
                () = cancel.cancelled() => break,
                () = tokio::time::sleep(wait) => {}
            }
        }
        self.stats.snapshot()
    }

    /// Mines over one connection, until it ends or `cancel`.
    pub async fn serve<S>(&mut self, stream: S, cancel: &CancellationToken) -> SessionEnd
    where
        S: AsyncRead + AsyncWrite + Send,
    {
        self.sessions += 1;
        self.stats.update(|stats| stats.connections += 1);
        let mut session = Session::new(
            self.sessions,
            Account {
                user: self.settings.user.clone(),
                password: self.settings.password.clone(),
                suggest_difficulty: self.settings.suggest_difficulty,
                host: self.settings.pool.host().to_owned(),
            },
        );
        let end = self.talk(stream, &mut session, cancel).await;
        self.engine.set_work(None);
        let unanswered = session.unanswered() as u64;
        self.sample();
        self.stats.update(|stats| {
            stats.authorized = false;
            stats.unanswered += unanswered;
        });
        end
    }

    async fn talk<S>(
        &mut self,
        stream: S,
        session: &mut Session,
        cancel: &CancellationToken,
    ) -> SessionEnd
    where
        S: AsyncRead + AsyncWrite + Send,
    {
        let (reader, mut writer) = tokio::io::split(stream);
        let mut lines = FramedRead::new(reader, LinesCodec::new_with_max_length(MAX_LINE));
        let mut ticks = tokio::time::interval(TICK);
        let mut stopping = None;
        let mut actions = session.connected(self.now());
        loop {
            for action in actions {
                if let Some(end) = self.perform(action, &mut writer).await {
                    return end;
                }
            }
            if let Some(deadline) = stopping
                && (session.unanswered() == 0 || self.now() >= deadline)
            {
                return SessionEnd::Stopped;
            }
            actions = tokio::select! {
                () = cancel.cancelled(), if stopping.is_none() => {
                    self.engine.set_work(None);
                    stopping = Some(self.now() + STOP_PATIENCE);
                    // What was found goes out before we go.
                    let mut last = Vec::new();
                    while let Ok(solution) = self.solutions.try_recv() {
                        last.extend(session.found(&solution, self.now()));
                    }
                    last
                }
                line = lines.next() => match line {
                    Some(Ok(line)) => session.line(&line, self.now()),
                    Some(Err(LinesCodecError::MaxLineLengthExceeded)) => {
                        return SessionEnd::Failed(SessionError::LineTooLong(MAX_LINE));
                    }
                    Some(Err(LinesCodecError::Io(error))) => return SessionEnd::Failed(io_error(&error)),
                    None => return SessionEnd::Failed(SessionError::Closed),
                },
                Some(solution) = self.solutions.recv(), if session.takes_solutions() && stopping.is_none() => {
                    session.found(&solution, self.now())
                }
                _ = ticks.tick() => {
                    self.sample();
                    self.loglines = LOGLINES;
                    session.tick(self.now())
                }
            };
        }
    }

    /// Does what the session wants; an end where that is one.
    async fn perform(
        &mut self,
        action: Action,
        writer: &mut (impl AsyncWrite + Unpin),
    ) -> Option<SessionEnd> {
        match action {
            Action::Send(mut line) => {
                line.push('\n');
                return match timeout(WRITE_PATIENCE, writer.write_all(line.as_bytes())).await {
                    Ok(Ok(())) => None,
                    Ok(Err(error)) => Some(SessionEnd::Failed(io_error(&error))),
                    Err(_) => Some(SessionEnd::Failed(SessionError::Silent)),
                };
            }
            Action::Work(work) => {
                tracing::debug!(job = work.job.id, target = %work.target, "new work");
                self.engine.set_work(Some(work));
            }
            Action::Authorized => {
                tracing::info!(pool = %self.settings.pool, "mining");
                self.stats.update(|stats| stats.authorized = true);
            }
            Action::Job { target } => self.stats.update(|stats| {
                stats.jobs += 1;
                stats.difficulty = Some(target.difficulty_for_display());
            }),
            Action::Submitted => self.stats.update(|stats| stats.submitted += 1),
            Action::Accepted => self.stats.update(|stats| stats.accepted += 1),
            Action::Rejected(error) => {
                if self.may_log() {
                    tracing::info!(code = error.code, reason = error.message, "share refused");
                }
                self.stats.update(|stats| {
                    stats.rejected.count(error.code);
                    stats.last_rejection = Some(printable(&error.message));
                });
            }
            Action::Discarded => self.stats.update(|stats| stats.discarded += 1),
            Action::Message(text) => {
                if self.may_log() {
                    tracing::info!(text, "message of the pool");
                }
            }
            Action::Reconnect { port, wait } => return Some(SessionEnd::Reconnect { port, wait }),
            Action::Fail(error) => return Some(SessionEnd::Failed(error)),
        }
        None
    }

    fn may_log(&mut self) -> bool {
        let may = self.loglines > 0;
        self.loglines = self.loglines.saturating_sub(1);
        may
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn sample(&mut self) {
        let hashes = self.engine.hashes();
        let rate = self.rate.sample(self.now(), hashes);
        self.stats.update(|stats| {
            stats.hashes = hashes;
            stats.hash_rate = rate;
        });
    }
}

async fn connect(pool: &PoolUrl) -> Result<TcpStream, SessionError> {
    let stream = timeout(
        CONNECT_PATIENCE,
        TcpStream::connect((pool.host(), pool.port())),
    )
    .await
    .map_err(|_| SessionError::Silent)?
    .map_err(|error| io_error(&error))?;
    // Shares are single small lines: none should wait for another.
    stream.set_nodelay(true).map_err(|error| io_error(&error))?;
    Ok(stream)
}

fn io_error(error: &std::io::Error) -> SessionError {
    SessionError::Io(error.to_string())
}
