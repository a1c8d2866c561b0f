//! Shares counted per worker, difficulty and minute, so that statistics never read the shares themselves.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use pow::{ShareDifficulty, Work};
use rusqlite::{Connection, params};
use work::UnixTime;

use super::rows;
use crate::{StoreError, WORKER_STATS_SECONDS, WorkerStats};

fn minute(time: UnixTime) -> u64 {
    time.0 / 60
}

pub(super) fn add(
    db: &Connection,
    worker: i64,
    difficulty: ShareDifficulty,
    at: UnixTime,
) -> Result<(), StoreError> {
    rows::execute(
        db,
        "INSERT INTO tallies (minute, worker, difficulty, shares, last_at) VALUES (?1, ?2, ?3, 1, ?4)
         ON CONFLICT (minute, worker, difficulty)
         DO UPDATE SET shares = shares + 1, last_at = max(last_at, excluded.last_at)",
        params![minute(at), worker, rows::nbits(difficulty), at.0],
    )?;
    Ok(())
}

/// Forgets what lies beyond the window that is promised.
pub(super) fn forget(db: &Connection, now: UnixTime) -> Result<(), StoreError> {
    rows::execute(
        db,
        "DELETE FROM tallies WHERE minute < ?1",
        [minute(now.minus(WORKER_STATS_SECONDS))],
    )?;
    Ok(())
}

pub(super) fn by_worker(
    db: &Connection,
    since: UnixTime,
    limit: u32,
) -> Result<Vec<WorkerStats>, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT t.worker, t.difficulty, w.miner, w.name, sum(t.shares) AS shares, max(t.last_at) AS last_at
         FROM tallies t JOIN workers w ON w.id = t.worker
         WHERE t.minute >= ?1 GROUP BY t.worker, t.difficulty",
    )?;
    let mut found = statement.query([minute(since)])?;
    let mut workers: BTreeMap<i64, WorkerStats> = BTreeMap::new();
    while let Some(row) = found.next()? {
        let shares: u64 = row.get("shares")?;
        let last_share = rows::time(row, "last_at")?;
        let work = rows::difficulty(row, "difficulty")?
            .work()
            .saturating_mul(shares);
        let stats = workers.entry(row.get("worker")?).or_insert(WorkerStats {
            miner: rows::address(row, "miner")?,
            worker: row.get("name")?,
            shares: 0,
            work: Work::ZERO,
            last_share,
        });
        stats.shares = stats.shares.saturating_add(shares);
        stats.work = stats
            .work
            .checked_add(work)
            .ok_or(StoreError::Range("the work of a worker"))?;
        stats.last_share = stats.last_share.max(last_share);
    }
    let mut stats: Vec<_> = workers.into_values().collect();
    stats.sort_unstable_by(|a, b| {
        (Reverse(a.work), a.miner, &a.worker).cmp(&(Reverse(b.work), b.miner, &b.worker))
    });
    stats.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    Ok(stats)
}
