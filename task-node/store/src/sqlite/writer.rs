//! One thread writes, and commits whole groups.
//!
//! A durable commit costs one flush of the disk, whether it holds one share or a thousand. So the thread takes all commands
//! that wait, runs them in one transaction, and answers each only after the commit. Under load the flush is shared by all;
//! when idle nobody waits for company.
//!
//! Commands are neighbours, not partners: each runs in a savepoint of its own, and when the transaction as a whole fails
//! (a full disk undoes all of it), each is run again alone, so that everyone gets the answer to their own command.

use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use crate::StoreError;

/// How many commands may wait; beyond it callers wait, which is what slows miners down to the disk's pace.
const QUEUE: usize = 4096;
/// How many commands share one commit at most: bounds what a crash undoes and how long the first of them waits.
const GROUP: usize = 1024;

/// Writes through one connection, on a thread of its own.
#[derive(Debug)]
pub(super) struct Writer {
    /// `None` only while dropping.
    queue: Option<mpsc::Sender<Box<dyn Command>>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread.
    pub(super) fn spawn(db: Connection) -> std::io::Result<Self> {
        let (queue, commands) = mpsc::channel(QUEUE);
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || run(db, commands))?;
        Ok(Self {
            queue: Some(queue),
            thread: Some(thread),
        })
    }

    /// Runs `work` in a transaction and answers once it is durable. `work` may run twice, the first time undone; it must
    /// do nothing but read and write the connection it is given.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        work: impl FnMut(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let command = Pending {
            work,
            result: Err(StoreError::Closed),
            reply,
        };
        let queue = self.queue.as_ref().ok_or(StoreError::Closed)?;
        queue
            .send(Box::new(command))
            .await
            .map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }
}

impl Drop for Writer {
    /// Waits until all commands are durable and the file is closed.
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the store's writer thread panicked");
        }
    }
}

/// A command whose result type is forgotten.
trait Command: Send {
    /// Runs it and keeps the result; false if it failed and must be undone.
    fn run(&mut self, db: &Connection) -> bool;
    /// The transaction around it failed.
    fn fail(&mut self, error: StoreError);
    /// Gives the result to whoever waits for it, if they still do.
    fn answer(self: Box<Self>);
}

struct Pending<T, F> {
    work: F,
    result: Result<T, StoreError>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Command for Pending<T, F>
where
    T: Send,
    F: FnMut(&Connection) -> Result<T, StoreError> + Send,
{
    fn run(&mut self, db: &Connection) -> bool {
        self.result = (self.work)(db);
        self.result.is_ok()
    }

    fn fail(&mut self, error: StoreError) {
        self.result = Err(error);
    }

    fn answer(self: Box<Self>) {
        let Self { result, reply, .. } = *self;
        // Whoever gave up waiting needs no answer.
        drop(reply.send(result));
    }
}

fn run(db: Connection, mut commands: mpsc::Receiver<Box<dyn Command>>) {
    let mut group = Vec::with_capacity(GROUP);
    while commands.blocking_recv_many(&mut group, GROUP) > 0 {
        commit_group(&db, &mut group);
        for command in group.drain(..) {
            command.answer();
        }
    }
    if let Err((_, error)) = db.close() {
        tracing::error!(%error, "closing the store failed; what was acknowledged is in its write-ahead log");
    }
}

/// Runs all commands in one transaction, or, if that fails as a whole, each in one of its own.
fn commit_group(db: &Connection, group: &mut [Box<dyn Command>]) {
    let Err(undone) = transaction(db, group) else {
        return;
    };
    if group.len() > 1 {
        tracing::warn!(
            ?undone,
            commands = group.len(),
            "a group commit failed; trying each command alone"
        );
        for alone in group.chunks_mut(1) {
            commit_group(db, alone);
        }
    } else if let (Undone::Outside(error), [command]) = (undone, group) {
        command.fail(error);
    }
}

/// Why nothing of a transaction is kept.
#[derive(Debug)]
enum Undone {
    /// SQLite undid all of it because of one command, as it does when the disk is full or fails. That command has the error.
    ByCommand,
    /// Beginning or committing failed.
    Outside(StoreError),
}

impl From<rusqlite::Error> for Undone {
    fn from(error: rusqlite::Error) -> Self {
        Self::Outside(error.into())
    }
}

/// One transaction. On an error nothing of it is kept and no transaction is open.
fn transaction(db: &Connection, group: &mut [Box<dyn Command>]) -> Result<(), Undone> {
    let done = run_group(db, group);
    if !db.is_autocommit()
        && let Err(error) = db.execute_batch("ROLLBACK")
    {
        tracing::error!(%error, "rolling back failed");
    }
    done
}

fn run_group(db: &Connection, group: &mut [Box<dyn Command>]) -> Result<(), Undone> {
    statement(db, "BEGIN IMMEDIATE")?;
    for command in group {
        statement(db, "SAVEPOINT command")?;
        if !command.run(db) {
            if db.is_autocommit() {
                return Err(Undone::ByCommand);
            }
            statement(db, "ROLLBACK TO command")?;
        }
        statement(db, "RELEASE command")?;
    }
    Ok(statement(db, "COMMIT")?)
}

fn statement(db: &Connection, sql: &str) -> rusqlite::Result<()> {
    db.prepare_cached(sql)?.execute(())?;
    Ok(())
}
