//! Boots and rounds.

use bitcoin::hashes::Hash as _;
use pow::Work;
use rusqlite::{Connection, Row, params};
use work::RoundNumber;

use super::{rows, tallies};
use crate::{
    CloseOutcome, Mark, OpenOutcome, RoundRecord, RoundState, Seal, SealOutcome, StoreError, Tip,
};

const COLUMNS: &str = "round, opened_at, opened_tip_hash, opened_tip_height, \
    closed_at, closed_tip_hash, closed_tip_height, \
    sealed_at, seal_cid, seal_root, seal_shares, seal_work, shares, work";

pub(super) fn next_boot(db: &Connection) -> Result<u32, StoreError> {
    rows::first(
        db,
        "UPDATE store SET boots = boots + 1 WHERE boots < 4294967295 RETURNING boots",
        (),
        |row| Ok(row.get("boots")?),
    )?
    .ok_or(StoreError::Range("the boot counter"))
}

pub(super) fn open(
    db: &Connection,
    round: RoundNumber,
    mark: &Mark,
) -> Result<OpenOutcome, StoreError> {
    match get(db, round)?.map(|record| record.state) {
        Some(RoundState::Open) => return Ok(OpenOutcome::AlreadyOpen),
        Some(RoundState::Closed(_) | RoundState::Sealed { .. }) => {
            return Ok(OpenOutcome::Finished);
        }
        None => {}
    }
    if let Some(latest) = latest(db)?
        && latest.round > round
    {
        return Ok(OpenOutcome::Behind {
            current: latest.round,
        });
    }
    rows::execute(
        db,
        "INSERT INTO rounds (round, opened_at, opened_tip_hash, opened_tip_height, work) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![
            round.get(),
            mark.at.0,
            mark.tip.hash.to_byte_array(),
            mark.tip.height,
            rows::work_blob(Work::ZERO)
        ],
    )?;
    // Once a round is often enough to keep the statistics small.
    tallies::forget(db, mark.at)?;
    Ok(OpenOutcome::Opened)
}

pub(super) fn close(
    db: &Connection,
    round: RoundNumber,
    mark: &Mark,
) -> Result<CloseOutcome, StoreError> {
    match get(db, round)?.map(|record| record.state) {
        None => return Ok(CloseOutcome::NotOpened),
        Some(RoundState::Closed(_) | RoundState::Sealed { .. }) => {
            return Ok(CloseOutcome::AlreadyClosed);
        }
        Some(RoundState::Open) => {}
    }
    rows::execute(
        db,
        "UPDATE rounds SET closed_at = ?2, closed_tip_hash = ?3, closed_tip_height = ?4 WHERE round = ?1",
        params![
            round.get(),
            mark.at.0,
            mark.tip.hash.to_byte_array(),
            mark.tip.height
        ],
    )?;
    Ok(CloseOutcome::Closed)
}

pub(super) fn seal(
    db: &Connection,
    round: RoundNumber,
    seal: &Seal,
) -> Result<SealOutcome, StoreError> {
    let record = get(db, round)?.ok_or(StoreError::NotClosed(round))?;
    match record.state {
        RoundState::Open => return Err(StoreError::NotClosed(round)),
        RoundState::Sealed { seal: before, .. } if before.is_same_bundle(seal) => {
            return Ok(SealOutcome::AlreadySealed);
        }
        RoundState::Sealed { seal: before, .. } => {
            return Err(StoreError::SealedOtherwise {
                round,
                sealed: before.cid,
            });
        }
        RoundState::Closed(_) => {}
    }
    if seal.shares > record.shares || seal.work > record.work {
        return Err(StoreError::SealExceedsRound(round));
    }
    rows::execute(
        db,
        "UPDATE rounds SET sealed_at = ?2, seal_cid = ?3, seal_root = ?4, seal_shares = ?5, seal_work = ?6
         WHERE round = ?1",
        params![
            round.get(),
            seal.at.0,
            rows::cid_blob(&seal.cid)?,
            seal.root,
            seal.shares,
            rows::work_blob(seal.work)
        ],
    )?;
    Ok(SealOutcome::Sealed)
}

pub(super) fn get(db: &Connection, round: RoundNumber) -> Result<Option<RoundRecord>, StoreError> {
    rows::first(
        db,
        &format!("SELECT {COLUMNS} FROM rounds WHERE round = ?1"),
        [round.get()],
        read,
    )
}

pub(super) fn latest(db: &Connection) -> Result<Option<RoundRecord>, StoreError> {
    Ok(newest(db, 1)?.pop())
}

pub(super) fn newest(db: &Connection, limit: u32) -> Result<Vec<RoundRecord>, StoreError> {
    rows::all(
        db,
        &format!("SELECT {COLUMNS} FROM rounds ORDER BY round DESC LIMIT ?1"),
        [limit],
        read,
    )
}

fn read(row: &Row<'_>) -> Result<RoundRecord, StoreError> {
    let closed = match row.get::<_, Option<u64>>("closed_at")? {
        None => None,
        Some(_) => Some(mark(
            row,
            "closed_at",
            "closed_tip_hash",
            "closed_tip_height",
        )?),
    };
    let seal = match row.get::<_, Option<u64>>("sealed_at")? {
        None => None,
        Some(_) => Some(Seal {
            cid: rows::cid(row, "seal_cid")?,
            root: row.get("seal_root")?,
            shares: row.get("seal_shares")?,
            work: rows::work(row, "seal_work")?,
            at: rows::time(row, "sealed_at")?,
        }),
    };
    Ok(RoundRecord {
        round: rows::round(row, "round")?,
        opened: mark(row, "opened_at", "opened_tip_hash", "opened_tip_height")?,
        state: match (closed, seal) {
            (None, None) => RoundState::Open,
            (Some(closed), None) => RoundState::Closed(closed),
            (Some(closed), Some(seal)) => RoundState::Sealed { closed, seal },
            (None, Some(_)) => return Err(rows::corrupt("sealed_at", "an open round is sealed")),
        },
        shares: row.get("shares")?,
        work: rows::work(row, "work")?,
    })
}

fn mark(row: &Row<'_>, at: &str, hash: &str, height: &str) -> Result<Mark, StoreError> {
    Ok(Mark {
        at: rows::time(row, at)?,
        tip: Tip {
            hash: rows::block_hash(row, hash)?,
            height: row.get(height)?,
        },
    })
}
