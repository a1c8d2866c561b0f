//! What the server tells about itself: connections, workers, their difficulty, shares and hash rate.
//!
//! For people and dashboards only. Nothing here is money: who earned what is in the store.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use k2_interface::K2Address;
use pow::{ShareDifficulty, Work};
use work::{RejectReason, UnixTime};

use crate::Moment;

/// Workers remembered. Beyond that the one that has been away longest is forgotten.
const MAX_WORKERS: usize = 10_000;
/// The hash rate is an average that forgets with this time constant.
const RATE_SECONDS: f64 = 300.0;

/// A snapshot of the server.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerStats {
    /// Open connections, whether authorized or not.
    pub connections: usize,
    /// Workers seen since the start, by address and name.
    pub workers: Vec<WorkerStats>,
}

/// One worker: everything that authorized under one address and name.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkerStats {
    /// Who is paid.
    pub miner: K2Address,
    /// The name below the address.
    pub worker: String,
    /// What the client last called itself, cut to 64 printable ASCII characters.
    pub user_agent: String,
    /// Sessions open now.
    pub sessions: usize,
    /// The difficulty of the job sent last.
    pub difficulty: Option<ShareDifficulty>,
    /// Shares acknowledged.
    pub accepted: u64,
    /// The work of those shares.
    pub work: Work,
    /// Shares refused, by reason.
    pub rejected: Rejected,
    /// Hashes per second, estimated from the work of the last minutes.
    pub hash_rate: f64,
    /// When the last share was acknowledged.
    pub last_share: Option<UnixTime>,
}

/// Shares refused, by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rejected {
    /// Unknown or expired job, another previous block, a closed round.
    pub stale: u64,
    /// Submitted before.
    pub duplicate: u64,
    /// Above the job's target.
    pub low_difficulty: u64,
    /// ntime out of bounds.
    pub time: u64,
    /// Version bits outside the mask.
    pub version_bits: u64,
    /// Anything else: malformed fields, no room.
    pub other: u64,
}

impl Rejected {
    fn count(&mut self, reason: RejectReason) {
        let counter = match reason {
            RejectReason::Stale => &mut self.stale,
            RejectReason::Duplicate => &mut self.duplicate,
            RejectReason::LowDifficulty => &mut self.low_difficulty,
            RejectReason::NtimeTooOld | RejectReason::NtimeTooNew => &mut self.time,
            RejectReason::VersionBits => &mut self.version_bits,
            _ => &mut self.other,
        };
        *counter += 1;
    }
}

/// The counters behind [`ServerStats`].
#[derive(Debug, Default)]
pub struct StatsTable {
    connections: AtomicUsize,
    workers: Mutex<HashMap<Key, Row>>,
}

type Key = (K2Address, Arc<str>);

#[derive(Debug, Default)]
struct Row {
    user_agent: String,
    sessions: usize,
    difficulty: Option<ShareDifficulty>,
    accepted: u64,
    work: Work,
    rejected: Rejected,
    rate: HashRate,
    last_share: Option<UnixTime>,
    last_active: Duration,
}

impl StatsTable {
    /// What is known at `now` (time since the start of the process).
    #[must_use]
    pub fn snapshot(&self, now: Duration) -> ServerStats {
        let mut workers: Vec<WorkerStats> = self
            .lock()
            .iter()
            .map(|((miner, worker), row)| WorkerStats {
                miner: *miner,
                worker: worker.to_string(),
                user_agent: row.user_agent.clone(),
                sessions: row.sessions,
                difficulty: row.difficulty,
                accepted: row.accepted,
                work: row.work,
                rejected: row.rejected,
                hash_rate: row.rate.per_second(now),
                last_share: row.last_share,
            })
            .collect();
        workers.sort_by(|a, b| (a.miner, &a.worker).cmp(&(b.miner, &b.worker)));
        ServerStats {
            connections: self.connections.load(Ordering::Relaxed),
            workers,
        }
    }

    /// Counts a connection until the guard is dropped.
    pub(crate) fn connection(self: &Arc<Self>) -> ConnectionCount {
        self.connections.fetch_add(1, Ordering::Relaxed);
        ConnectionCount(Arc::clone(self))
    }

    /// Counts a session of a worker until the handle is dropped.
    pub(crate) fn worker(
        self: &Arc<Self>,
        miner: K2Address,
        worker: &Arc<str>,
        user_agent: &str,
        now: Duration,
    ) -> WorkerHandle {
        let key = (miner, Arc::clone(worker));
        let mut workers = self.lock();
        if workers.len() >= MAX_WORKERS && !workers.contains_key(&key) {
            let away = workers
                .iter()
                .filter(|(_, row)| row.sessions == 0)
                .min_by_key(|(_, row)| row.last_active)
                .map(|(key, _)| key.clone());
            if let Some(away) = away {
                workers.remove(&away);
            }
        }
        let listed = workers.len() < MAX_WORKERS || workers.contains_key(&key);
        if listed {
            let row = match workers.entry(key.clone()) {
                Entry::Occupied(row) => row.into_mut(),
                Entry::Vacant(place) => place.insert(Row {
                    rate: HashRate::since(now),
                    ..Row::default()
                }),
            };
            row.sessions += 1;
            row.user_agent = user_agent.to_owned();
            row.last_active = now;
        }
        drop(workers);
        WorkerHandle {
            table: Arc::clone(self),
            key,
            listed,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Row>> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that is open.
#[derive(Debug)]
pub(crate) struct ConnectionCount(Arc<StatsTable>);

impl Drop for ConnectionCount {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One session's hold on a worker's row. A row with a holder is never forgotten.
#[derive(Debug)]
pub(crate) struct WorkerHandle {
    table: Arc<StatsTable>,
    key: Key,
    /// False where the table was full of connected workers: nothing is counted then.
    listed: bool,
}

impl WorkerHandle {
    pub(crate) fn name(&self) -> &Arc<str> {
        &self.key.1
    }

    pub(crate) fn difficulty(&self, difficulty: ShareDifficulty) {
        self.with(|row| row.difficulty = Some(difficulty));
    }

    pub(crate) fn accepted(&self, work: Work, now: Moment) {
        self.with(|row| {
            row.accepted += 1;
            row.work += work;
            row.rate.add(work, now.monotonic);
            row.last_share = Some(now.wall);
            row.last_active = now.monotonic;
        });
    }

    pub(crate) fn rejected(&self, reason: RejectReason) {
        self.with(|row| row.rejected.count(reason));
    }

    fn with(&self, change: impl FnOnce(&mut Row)) {
        if self.listed
            && let Some(row) = self.table.lock().get_mut(&self.key)
        {
            change(row);
        }
    }
}

impl Drop for WorkerHandle {
    fn drop(&mut self) {
        self.with(|row| row.sessions = row.sessions.saturating_sub(1));
    }
}

/// An exponentially forgetting sum of work.
#[derive(Debug, Clone, Copy, Default)]
struct HashRate {
    started: Duration,
    updated: Duration,
    hashes: f64,
}

impl HashRate {
    fn since(now: Duration) -> Self {
        Self {
            started: now,
            updated: now,
            hashes: 0.0,
        }
    }

    fn add(&mut self, work: Work, now: Duration) {
        self.hashes = self.decayed(now) + work.to_hashes() as f64;
        self.updated = self.updated.max(now);
    }

    fn per_second(&self, now: Duration) -> f64 {
        // A young average has not had the time to fill up; divide by what it can hold by now, at least ten seconds' worth.
        let age = now.saturating_sub(self.started).as_secs_f64().max(10.0);
        self.decayed(now) / (RATE_SECONDS * (1.0 - (-age / RATE_SECONDS).exp()))
    }

    fn decayed(&self, now: Duration) -> f64 {
        let passed = now.saturating_sub(self.updated).as_secs_f64();
        self.hashes * (-passed / RATE_SECONDS).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment {
            wall: UnixTime(1_700_000_000 + seconds),
            monotonic: Duration::from_secs(seconds),
        }
    }

    #[test]
    fn hash_rate_follows_the_work_and_forgets() {
        let mut rate = HashRate::since(Duration::ZERO);
        for second in 1..=120 {
            rate.add(Work::from_hashes(1_000_000), Duration::from_secs(second));
        }
        let steady = rate.per_second(Duration::from_secs(120));
        assert!((0.9e6..1.1e6).contains(&steady), "{steady}");
        let later = rate.per_second(Duration::from_secs(120 + 3_600));
        assert!(later < 100.0, "{later}");
    }

    #[test]
    fn workers_are_bounded_and_connected_ones_stay() {
        let table = Arc::new(StatsTable::default());
        let miner = K2Address::from_bytes([1; 32]);
        let kept = table.worker(miner, &Arc::from("kept"), "agent", Duration::ZERO);
        kept.accepted(Work::from_hashes(5), at(1));
        for number in 0..MAX_WORKERS + 10 {
            let name = Arc::from(format!("w{number}"));
            drop(table.worker(
                miner,
                &name,
                "",
                Duration::from_millis(2_000 + number as u64),
            ));
        }
        let stats = table.snapshot(Duration::from_secs(20));
        assert_eq!(stats.workers.len(), MAX_WORKERS);
        assert!(
            stats
                .workers
                .iter()
                .any(|row| row.worker == "kept" && row.accepted == 1 && row.sessions == 1)
        );
        let newest = format!("w{}", MAX_WORKERS + 9);
        assert!(stats.workers.iter().any(|row| row.worker == newest));
        assert!(stats.workers.iter().all(|row| row.worker != "w0"));
    }

    #[test]
    fn a_worker_survives_its_sessions() {
        let table = Arc::new(StatsTable::default());
        let miner = K2Address::from_bytes([1; 32]);
        let name = Arc::from("rig");
        for second in 0..3 {
            let session = table.worker(miner, &name, "agent", Duration::from_secs(second));
            session.accepted(Work::from_hashes(7), at(second));
            session.rejected(RejectReason::Duplicate);
        }
        let stats = table.snapshot(Duration::from_secs(3));
        assert_eq!(stats.workers.len(), 1);
        let row = &stats.workers[0];
        assert_eq!(
            (row.accepted, row.rejected.duplicate, row.sessions),
            (3, 3, 0)
        );
        assert_eq!(row.work, Work::from_hashes(21));
        assert_eq!(row.last_share, Some(at(2).wall));
        let connection = table.connection();
        assert_eq!(table.snapshot(Duration::ZERO).connections, 1);
        drop(connection);
        assert_eq!(table.snapshot(Duration::ZERO).connections, 0);
    }
}
