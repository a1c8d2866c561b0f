//! Blocks, audits, accepted submissions and distributions.

use bitcoin::hashes::Hash as _;
use bitcoin::{Amount, BlockHash};
use rusqlite::{Connection, Row, params};
use work::RoundNumber;

use super::rows;
use crate::{
    Accepted, AuditRecord, BlockOutcome, BlockRecord, BlockStatus, SetOutcome, StoreError,
};

pub(super) fn record_block(
    db: &Connection,
    block: &BlockRecord,
) -> Result<BlockOutcome, StoreError> {
    let (status, reason) = status_columns(&block.status);
    let added = rows::execute(
        db,
        "INSERT INTO blocks (hash, height, round, miner, worker, value, at, status, reason)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT (hash) DO NOTHING",
        params![
            block.hash.to_byte_array(),
            block.height,
            block.round.get(),
            block.miner.as_bytes(),
            block.worker,
            block.value.to_sat(),
            block.at.0,
            status,
            reason
        ],
    )?;
    Ok(match added {
        0 => BlockOutcome::Known,
        _ => BlockOutcome::Recorded,
    })
}

pub(super) fn set_block_status(
    db: &Connection,
    hash: BlockHash,
    status: &BlockStatus,
) -> Result<(), StoreError> {
    let (status, reason) = status_columns(status);
    let changed = rows::execute(
        db,
        "UPDATE blocks SET status = ?2, reason = ?3 WHERE hash = ?1",
        params![hash.to_byte_array(), status, reason],
    )?;
    match changed {
        0 => Err(StoreError::UnknownBlock(hash)),
        _ => Ok(()),
    }
}

pub(super) fn blocks(db: &Connection, limit: u32) -> Result<Vec<BlockRecord>, StoreError> {
    rows::all(
        db,
        "SELECT hash, height, round, miner, worker, value, at, status, reason
         FROM blocks ORDER BY id DESC LIMIT ?1",
        [limit],
        |row| {
            Ok(BlockRecord {
                hash: rows::block_hash(row, "hash")?,
                height: row.get("height")?,
                round: rows::round(row, "round")?,
                miner: rows::address(row, "miner")?,
                worker: row.get("worker")?,
                value: Amount::from_sat(row.get("value")?),
                at: rows::time(row, "at")?,
                status: read_status(row)?,
            })
        },
    )
}

fn status_columns(status: &BlockStatus) -> (&'static str, Option<&str>) {
    match status {
        BlockStatus::Submitted => ("submitted", None),
        BlockStatus::Accepted => ("accepted", None),
        BlockStatus::Rejected(reason) => ("rejected", Some(rows::reason(reason))),
        BlockStatus::Stale => ("stale", None),
    }
}

fn read_status(row: &Row<'_>) -> Result<BlockStatus, StoreError> {
    let status: String = row.get("status")?;
    Ok(match status.as_str() {
        "submitted" => BlockStatus::Submitted,
        "accepted" => BlockStatus::Accepted,
        "rejected" => BlockStatus::Rejected(row.get("reason")?),
        "stale" => BlockStatus::Stale,
        other => return Err(rows::corrupt("block status", other)),
    })
}

pub(super) fn record_audit(db: &Connection, audit: &AuditRecord) -> Result<(), StoreError> {
    rows::execute(
        db,
        "INSERT INTO audits (round, node, cid, valid, reason, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (round, node, cid)
         DO UPDATE SET valid = excluded.valid, reason = excluded.reason, at = excluded.at",
        params![
            audit.round.get(),
            audit.node.as_bytes(),
            rows::cid_blob(&audit.cid)?,
            audit.valid,
            audit.reason.as_deref().map(rows::reason),
            audit.at.0
        ],
    )?;
    Ok(())
}

pub(super) fn audits(db: &Connection, round: RoundNumber) -> Result<Vec<AuditRecord>, StoreError> {
    rows::all(
        db,
        "SELECT round, node, cid, valid, reason, at FROM audits WHERE round = ?1 ORDER BY node, cid",
        [round.get()],
        |row| {
            Ok(AuditRecord {
                round: rows::round(row, "round")?,
                node: rows::address(row, "node")?,
                cid: rows::cid(row, "cid")?,
                valid: row.get("valid")?,
                reason: row.get("reason")?,
                at: rows::time(row, "at")?,
            })
        },
    )
}

/// `set` is sorted by node, each node once.
pub(super) fn set_accepted(
    db: &Connection,
    round: RoundNumber,
    set: &[Accepted],
) -> Result<SetOutcome, StoreError> {
    let outcome = match accepted(db, round)? {
        Some(before) if before == set => return Ok(SetOutcome::Unchanged),
        Some(_) => SetOutcome::Replaced,
        None => SetOutcome::New,
    };
    rows::execute(
        db,
        "INSERT INTO accepted_sets (round) VALUES (?1) ON CONFLICT (round) DO NOTHING",
        [round.get()],
    )?;
    rows::execute(db, "DELETE FROM accepted WHERE round = ?1", [round.get()])?;
    for Accepted { node, cid } in set {
        rows::execute(
            db,
            "INSERT INTO accepted (round, node, cid) VALUES (?1, ?2, ?3)",
            params![round.get(), node.as_bytes(), rows::cid_blob(cid)?],
        )?;
    }
    Ok(outcome)
}

pub(super) fn accepted(
    db: &Connection,
    round: RoundNumber,
) -> Result<Option<Vec<Accepted>>, StoreError> {
    let known = rows::first(
        db,
        "SELECT 1 FROM accepted_sets WHERE round = ?1",
        [round.get()],
        |_| Ok(()),
    )?;
    if known.is_none() {
        return Ok(None);
    }
    rows::all(
        db,
        "SELECT node, cid FROM accepted WHERE round = ?1 ORDER BY node",
        [round.get()],
        |row| {
            Ok(Accepted {
                node: rows::address(row, "node")?,
                cid: rows::cid(row, "cid")?,
            })
        },
    )
    .map(Some)
}

pub(super) fn set_distribution(
    db: &Connection,
    round: RoundNumber,
    body: &[u8],
) -> Result<SetOutcome, StoreError> {
    let outcome = match distribution(db, round)? {
        Some(before) if before == body => return Ok(SetOutcome::Unchanged),
        Some(_) => SetOutcome::Replaced,
        None => SetOutcome::New,
    };
    rows::execute(
        db,
        "INSERT INTO distributions (round, body) VALUES (?1, ?2)
         ON CONFLICT (round) DO UPDATE SET body = excluded.body",
        params![round.get(), body],
    )?;
    Ok(outcome)
}

pub(super) fn distribution(
    db: &Connection,
    round: RoundNumber,
) -> Result<Option<Vec<u8>>, StoreError> {
    rows::first(
        db,
        "SELECT body FROM distributions WHERE round = ?1",
        [round.get()],
        |row| Ok(row.get("body")?),
    )
}
