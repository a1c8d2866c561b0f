//! One connection: bytes to lines, actions to tasks, and a queue that cannot grow without bound.

use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use bytes::BytesMut;
use futures::{FutureExt as _, StreamExt as _};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadHalf};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::codec::{AnyDelimiterCodec, AnyDelimiterCodecError, FramedRead};
use tracing::{debug, error, warn};
use work::CreditedShare;

use crate::server::Inner;
use crate::{
    Action, DisconnectReason, MAX_LINE_BYTES, Moment, PortSettings, Recorded, Session, SinkError,
    Ticket,
};

/// With this much unsent no further line is read: whoever does not read replies cannot ask for more.
const PAUSE_READING_AT: usize = 64 * 1024;
/// With this much unsent the client is dropped. The longest single line, a list of 5,000 transactions, fits.
const MAX_UNSENT: usize = 1024 * 1024;

type Outcome = (Ticket, Result<Recorded, SinkError>);

struct Connection<'a> {
    server: &'a Arc<Inner>,
    session: Session,
    unsent: BytesMut,
    /// When something was last written, or became unsent.
    progress: Instant,
    outcomes: mpsc::UnboundedSender<Outcome>,
    /// Set once the connection is to end: until then replies may still be delivered.
    closing: Option<Instant>,
    reason: Option<DisconnectReason>,
}

/// Serves one client to the end. `Some` says why the server ended it.
pub(crate) async fn serve<S>(
    server: &Arc<Inner>,
    stream: S,
    port: PortSettings,
) -> Option<DisconnectReason>
where
    S: AsyncRead + AsyncWrite + Send + Unpin,
{
    // Dropped last: a connection counts until its extranonce is free again.
    let _counted = server.sessions.stats().connection();
    let (read, mut write) = tokio::io::split(stream);
    // At most MAX_PENDING outcomes are under way: Session::wants_lines sees to it.
    let (outcomes, mut recorded) = mpsc::unbounded_channel();
    let mut lines = lines(read);
    let mut work = server.work.subscribe();
    let mut tick = tokio::time::interval(server.limits.tick);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);

    let mut connection = Connection {
        server,
        session: Session::new(
            Arc::clone(&server.sessions),
            port,
            Moment::of(&*server.clock),
        ),
        unsent: BytesMut::new(),
        progress: Instant::now(),
        outcomes,
        closing: None,
        reason: None,
    };
    work.mark_changed();

    while !connection.is_over() {
        let open = connection.closing.is_none();
        let listening =
            open && connection.session.wants_lines() && connection.unsent.len() < PAUSE_READING_AT;
        let now = || Moment::of(&*server.clock);
        // In this order: a flood of lines starves neither time nor work, and a line is judged against the latest work.
        let actions = tokio::select! {
            biased;
            () = server.stop.cancelled(), if open => {
                let actions = connection.session.on_shutdown();
                connection.close_within(server.limits.shutdown_grace);
                actions
            }
            _ = tick.tick() => {
                if connection.is_stuck() {
                    connection.reason = Some(DisconnectReason::SlowReader);
                    break;
                }
                if open { connection.session.on_tick(now()) } else { Vec::new() }
            }
            Some((ticket, outcome)) = recorded.recv() => {
                if let Err(error) = &outcome {
                    error!(%error, "a share could not be recorded; its miner is asked to submit it again");
                }
                connection.session.on_recorded(ticket, &outcome, now())
            }
            written = write_some(&mut write, &mut connection.unsent), if !connection.unsent.is_empty() => {
                if let Err(error) = written {
                    debug!(%error, "cannot write");
                    break;
                }
                connection.progress = Instant::now();
                Vec::new()
            }
            Ok(()) = work.changed(), if open => {
                let latest = work.borrow_and_update().clone();
                match latest {
                    Some(work) => connection.session.on_work(&work, now()),
                    None => connection.session.on_no_work(),
                }
            }
            line = lines.next(), if listening => match line {
                Some(Ok(line)) => connection.session.on_line(&line, now()),
                Some(Err(AnyDelimiterCodecError::MaxChunkLengthExceeded)) => {
                    vec![Action::Disconnect(DisconnectReason::LineTooLong)]
                }
                Some(Err(AnyDelimiterCodecError::Io(error))) => {
                    debug!(%error, "cannot read");
                    break;
                }
                // The client may only have closed its side, and still wait for replies.
                None => {
                    connection.close_within(server.limits.write_timeout);
                    Vec::new()
                }
            }
        };
        connection.perform(actions);
    }

    connection.reason
}

impl Connection<'_> {
    fn perform(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Send(line) => self.queue(&line),
                Action::Block {
                    work,
                    block,
                    miner,
                    worker,
                } => {
                    let blocks = Arc::clone(&self.server.blocks);
                    self.server.tasks.spawn(async move {
                        blocks.found(work, *block, miner, &worker).await;
                    });
                }
                Action::Record {
                    ticket,
                    share,
                    worker,
                    at,
                } => self.record(ticket, *share, worker, at),
                Action::Disconnect(reason) => {
                    self.reason = Some(reason);
                    self.close_within(self.server.limits.write_timeout);
                }
            }
        }
    }

    fn queue(&mut self, line: &[u8]) {
        if self.unsent.is_empty() {
            self.progress = Instant::now();
        }
        self.unsent.extend_from_slice(line);
        if self.unsent.len() > MAX_UNSENT {
            self.reason = Some(DisconnectReason::SlowReader);
            self.unsent.clear();
            self.closing = Some(Instant::now());
        }
    }

    /// Records in a task of its own, which outlives the connection: a share that was received is not lost because its miner
    /// is gone.
    fn record(&self, ticket: Ticket, share: CreditedShare, worker: Arc<str>, at: work::UnixTime) {
        let shares = Arc::clone(&self.server.shares);
        let outcomes = self.outcomes.clone();
        self.server.tasks.spawn(async move {
            let recording = AssertUnwindSafe(shares.record(share, &worker, at)).catch_unwind();
            let outcome = recording
                .await
                .unwrap_or_else(|_| Err(SinkError::new("the share sink panicked")));
            if let Err(mpsc::error::SendError((_, Err(error)))) = outcomes.send((ticket, outcome)) {
                // Its job is gone with the session, so it cannot come again.
                warn!(%error, "a share could not be recorded, and its miner is gone");
            }
        });
    }

    fn close_within(&mut self, limit: std::time::Duration) {
        self.closing.get_or_insert(Instant::now() + limit);
    }

    /// Nothing is left to deliver, or the time for it is over.
    fn is_over(&self) -> bool {
        self.closing.is_some_and(|deadline| {
            let delivered = self.unsent.is_empty() && self.session.pending() == 0;
            delivered || Instant::now() >= deadline
        })
    }

    fn is_stuck(&self) -> bool {
        !self.unsent.is_empty() && self.progress.elapsed() > self.server.limits.write_timeout
    }
}

fn lines<R: AsyncRead>(read: ReadHalf<R>) -> FramedRead<ReadHalf<R>, AnyDelimiterCodec> {
    let codec =
        AnyDelimiterCodec::new_with_max_length(b"\n".to_vec(), b"\n".to_vec(), MAX_LINE_BYTES);
    FramedRead::with_capacity(read, codec, 1024)
}

/// Writes what the stream takes now. Cancelling it loses nothing: either bytes are written and gone from `unsent`, or not.
async fn write_some<W: AsyncWrite + Unpin>(write: &mut W, unsent: &mut BytesMut) -> io::Result<()> {
    if write.write_buf(unsent).await? == 0 {
        return Err(io::ErrorKind::WriteZero.into());
    }
    if unsent.is_empty() {
        write.flush().await?;
    }
    Ok(())
}
