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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use std::sync::mpsc::{Receiver, Sender, channel};

    use tempfile::TempDir;

    use super::*;

    const SCHEMA: &str = "PRAGMA journal_mode = wal; PRAGMA foreign_keys = on;
        CREATE TABLE parents (id INTEGER PRIMARY KEY) STRICT;
        CREATE TABLE children (parent INTEGER REFERENCES parents (id) DEFERRABLE INITIALLY DEFERRED) STRICT;";

    fn start() -> (TempDir, Connection, Writer) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("groups");
        let db = Connection::open(&path).unwrap();
        db.execute_batch(SCHEMA).unwrap();
        (
            folder,
            Connection::open(&path).unwrap(),
            Writer::spawn(db).unwrap(),
        )
    }

    fn insert(id: u32) -> impl FnMut(&Connection) -> Result<(), StoreError> + Send + 'static {
        move |db| {
            db.execute("INSERT INTO parents VALUES (?1)", [id])?;
            Ok(())
        }
    }

    fn ids(db: &Connection) -> Vec<u32> {
        db.prepare("SELECT id FROM parents ORDER BY id")
            .unwrap()
            .query_map((), |row| row.get(0))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap()
    }

    /// Keeps the thread busy from the first poll on, so that what is sent meanwhile becomes one group.
    async fn hold(writer: &Writer, release: Receiver<()>) {
        let (started, wait) = channel();
        let mut held = Box::pin(writer.write(move |_| {
            started.send(()).unwrap();
            release.recv().unwrap();
            Ok(())
        }));
        let mut waited = false;
        std::future::poll_fn(|context| {
            let poll = held.as_mut().poll(context);
            if !waited {
                wait.recv().unwrap();
                waited = true;
            }
            poll
        })
        .await
        .unwrap();
    }

    async fn release(hold: Sender<()>) {
        hold.send(()).unwrap();
    }

    #[tokio::test]
    async fn a_group_is_one_transaction() {
        let (_folder, reader, writer) = start();
        let (go, stop) = channel();
        let look = move |db: &Connection| Ok((ids(db), ids(&reader)));
        let ((), one, seen, two, ()) = tokio::join!(
            biased;
            hold(&writer, stop),
            writer.write(insert(1)),
            writer.write(look),
            writer.write(insert(2)),
            release(go)
        );
        one.unwrap();
        two.unwrap();
        let (inside, outside) = seen.unwrap();
        assert_eq!(
            inside,
            [1],
            "the neighbour before is in the same transaction"
        );
        assert_eq!(outside, [], "which nobody sees before its commit");
    }

    #[tokio::test]
    async fn what_a_failing_command_wrote_is_undone() {
        let (_folder, reader, writer) = start();
        let (go, stop) = channel();
        let fail = |db: &Connection| {
            insert(2)(db)?;
            Err::<(), _>(StoreError::Busy)
        };
        let ((), one, two, three, ()) = tokio::join!(
            biased;
            hold(&writer, stop),
            writer.write(insert(1)),
            writer.write(fail),
            writer.write(insert(3)),
            release(go)
        );
        one.unwrap();
        assert!(matches!(two, Err(StoreError::Busy)), "{two:?}");
        three.unwrap();
        assert_eq!(ids(&reader), [1, 3]);
    }

    /// A deferred foreign key fails only at the commit, for all that are in it.
    #[tokio::test]
    async fn a_failing_commit_fails_only_who_caused_it() {
        let (_folder, reader, writer) = start();
        let (go, stop) = channel();
        let orphan = |db: &Connection| {
            db.execute("INSERT INTO children VALUES (99)", ())?;
            Ok(())
        };
        let ((), one, two, three, ()) = tokio::join!(
            biased;
            hold(&writer, stop),
            writer.write(insert(1)),
            writer.write(orphan),
            writer.write(insert(3)),
            release(go)
        );
        one.unwrap();
        assert!(matches!(two, Err(StoreError::Database(_))), "{two:?}");
        three.unwrap();
        assert_eq!(ids(&reader), [1, 3]);
    }

    /// SQLite undoes the whole transaction when the disk is full.
    #[tokio::test]
    async fn a_full_disk_fails_only_who_filled_it() {
        let (_folder, reader, writer) = start();
        let (go, stop) = channel();
        let limit = |db: &Connection| {
            db.execute_batch("CREATE TABLE blobs (body BLOB) STRICT")?;
            let pages: u32 = db.pragma_query_value(None, "page_count", |row| row.get(0))?;
            db.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))?;
            Ok(())
        };
        writer.write(limit).await.unwrap();
        let big = |db: &Connection| {
            db.execute("INSERT INTO blobs VALUES (zeroblob(100000))", ())?;
            Ok(())
        };
        let ((), one, two, three, ()) = tokio::join!(
            biased;
            hold(&writer, stop),
            writer.write(insert(1)),
            writer.write(big),
            writer.write(insert(3)),
            release(go)
        );
        one.unwrap();
        assert!(matches!(two, Err(StoreError::DiskFull)), "{two:?}");
        three.unwrap();
        assert_eq!(ids(&reader), [1, 3]);
    }

    #[tokio::test]
    async fn after_a_panic_everyone_is_told() {
        let (_folder, reader, writer) = start();
        let died = writer
            .write(|db| -> Result<(), _> {
                insert(1)(db)?;
                panic!("a bug, made for this test");
            })
            .await;
        assert!(matches!(died, Err(StoreError::Closed)), "{died:?}");
        let later = writer.write(insert(2)).await;
        assert!(matches!(later, Err(StoreError::Closed)), "{later:?}");
        drop(writer);
        assert_eq!(ids(&reader), []);
    }
}
