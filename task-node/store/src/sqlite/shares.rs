//! Shares, and the jobs, claims and workers they name.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use bitcoin::BlockHash;
use bitcoin::hashes::Hash as _;
use k2_interface::K2Address;
use rusqlite::{Connection, params};
use work::{
    Claim, Extranonce, Job, JobTemplate, JobTemplateId, RoundNumber, ShareFields, UnixTime,
};

use super::{rows, tallies};
use crate::{
    Identity, MAX_ROUND_CLAIMS, MAX_ROUND_SHARES, NewShare, Recorded, RoundShares, StoreError,
    StoredShare,
};

pub(super) fn record(
    db: &Connection,
    identity: &Identity,
    new: &NewShare,
) -> Result<Recorded, StoreError> {
    let share = &new.share;
    let claim = share.job().claim();
    if claim.task != identity.task || claim.node != identity.node {
        return Err(StoreError::ForeignShare);
    }
    let hash = share.hash().to_byte_array();
    let known = rows::first(db, "SELECT 1 FROM shares WHERE hash = ?1", [hash], |_| {
        Ok(())
    })?;
    if known.is_some() {
        return Ok(Recorded::Duplicate);
    }
    let totals = rows::first(
        db,
        "SELECT closed_at IS NULL AS open, shares, work FROM rounds WHERE round = ?1",
        [claim.round.get()],
        |row| {
            let open: bool = row.get("open")?;
            Ok((open, row.get::<_, u64>("shares")?, rows::work(row, "work")?))
        },
    )?;
    let work = match totals {
        None => return Err(StoreError::RoundNotOpened(claim.round)),
        Some((false, ..)) => return Ok(Recorded::RoundClosed),
        Some((true, shares, _)) if shares >= MAX_ROUND_SHARES => return Ok(Recorded::RoundFull),
        Some((true, _, work)) => work
            .checked_add(share.work())
            .ok_or(StoreError::Range("the work of a round"))?,
    };
    let Some(claim_id) = claim_id(db, claim)? else {
        return Ok(Recorded::RoundFull);
    };

    let worker = worker_id(db, &claim.miner, &new.worker)?;
    let fields = share.fields();
    rows::execute(
        db,
        "INSERT INTO shares (claim, job, worker, hash, extranonce, ntime, nonce, version_bits, is_block, at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        params![
            claim_id,
            job_id(db, share.job())?,
            worker,
            hash,
            fields.extranonce.as_bytes(),
            fields.ntime,
            fields.nonce,
            // Always present in a credited share.
            fields.version_bits.unwrap_or(0),
            share.is_block(),
            new.at.0,
        ],
    )?;
    rows::execute(
        db,
        "UPDATE rounds SET shares = shares + 1, work = ?2 WHERE round = ?1",
        params![claim.round.get(), rows::work_blob(work)],
    )?;
    tallies::add(db, worker, claim.difficulty, new.at)?;
    Ok(Recorded::Stored)
}

fn worker_id(db: &Connection, miner: &K2Address, name: &str) -> Result<i64, StoreError> {
    let params = params![miner.as_bytes(), name];
    let known = rows::first(
        db,
        "SELECT id FROM workers WHERE miner = ?1 AND name = ?2",
        params,
        |row| Ok(row.get("id")?),
    )?;
    if let Some(id) = known {
        return Ok(id);
    }
    rows::execute(
        db,
        "INSERT INTO workers (miner, name) VALUES (?1, ?2)",
        params,
    )?;
    Ok(db.last_insert_rowid())
}

/// The row of a claim; `None` where the round has no room for another one.
fn claim_id(db: &Connection, claim: &Claim) -> Result<Option<i64>, StoreError> {
    let round = claim.round.get();
    let params = params![
        round,
        claim.miner.as_bytes(),
        rows::nbits(claim.difficulty),
        claim.extension
    ];
    let known = rows::first(
        db,
        "SELECT id FROM claims WHERE round = ?1 AND miner = ?2 AND difficulty = ?3 AND extension = ?4",
        params,
        |row| Ok(row.get("id")?),
    )?;
    if known.is_some() {
        return Ok(known);
    }
    // Counted only for a new claim, which is rare next to shares.
    let full = rows::first(
        db,
        "SELECT count(*) >= ?2 AS full FROM claims WHERE round = ?1",
        [round, MAX_ROUND_CLAIMS],
        |row| Ok(row.get("full")?),
    )?;
    if full == Some(true) {
        return Ok(None);
    }
    rows::execute(
        db,
        "INSERT INTO claims (round, miner, difficulty, extension) VALUES (?1, ?2, ?3, ?4)",
        params,
    )?;
    Ok(Some(db.last_insert_rowid()))
}

fn job_id(db: &Connection, job: &Job) -> Result<i64, StoreError> {
    let hash = job.template_id().0;
    let known = rows::first(
        db,
        "SELECT id FROM job_templates WHERE hash = ?1",
        [hash],
        |row| Ok(row.get("id")?),
    )?;
    if let Some(id) = known {
        return Ok(id);
    }
    rows::execute(
        db,
        "INSERT INTO job_templates (hash, body) VALUES (?1, ?2)",
        params![hash, job.template().encode()?],
    )?;
    Ok(db.last_insert_rowid())
}

pub(super) fn of_round(
    db: &Connection,
    identity: &Identity,
    round: RoundNumber,
) -> Result<RoundShares, StoreError> {
    let claims = claims(db, identity, round)?;
    let count: Option<u64> = rows::first(
        db,
        "SELECT shares FROM rounds WHERE round = ?1",
        [round.get()],
        |row| Ok(row.get("shares")?),
    )?;
    let count =
        usize::try_from(count.unwrap_or(0)).map_err(|_| StoreError::Range("shares of a round"))?;
    let mut shares = Vec::new();
    // All at once, because growing would hold two copies; and a damaged count must not take the node down.
    shares
        .try_reserve_exact(count)
        .map_err(|_| StoreError::Corrupt(format!("round {round} counts {count} shares")))?;
    let mut jobs = HashMap::new();
    let mut workers = HashMap::new();

    // By index and claim: the order is that of the index, so that a million rows need no sorting. Columns by number,
    // because names are looked up at every row.
    let mut statement = db.prepare_cached(
        "SELECT job, worker, hash, extranonce, ntime, nonce, version_bits, is_block, at
         FROM shares WHERE claim = ?1 ORDER BY id",
    )?;
    for (id, claim) in claims {
        let mut found = statement.query([id])?;
        while let Some(row) = found.next()? {
            let job = match jobs.entry(row.get::<_, i64>(0)?) {
                Entry::Occupied(known) => {
                    let (hash, _): &(JobTemplateId, JobTemplate) = known.get();
                    *hash
                }
                Entry::Vacant(new) => {
                    let job = job_template(db, *new.key())?;
                    new.insert(job).0
                }
            };
            let worker = match workers.entry(row.get::<_, i64>(1)?) {
                Entry::Occupied(known) => Arc::clone(known.get()),
                Entry::Vacant(new) => {
                    let name = worker_name(db, *new.key())?;
                    Arc::clone(new.insert(name))
                }
            };
            shares.push(StoredShare {
                job,
                claim: Arc::clone(&claim),
                fields: ShareFields {
                    extranonce: Extranonce::from_bytes(row.get(3)?),
                    ntime: row.get(4)?,
                    nonce: row.get(5)?,
                    version_bits: Some(row.get(6)?),
                },
                hash: BlockHash::from_byte_array(row.get(2)?),
                is_block: row.get(7)?,
                worker,
                at: UnixTime(row.get(8)?),
            });
        }
    }
    if shares.len() != count {
        return Err(StoreError::Corrupt(format!(
            "round {round} has {} shares and counts {count}",
            shares.len()
        )));
    }
    let mut jobs: Vec<_> = jobs.into_values().collect();
    jobs.sort_unstable_by_key(|(id, _)| *id);
    Ok(RoundShares { jobs, shares })
}

fn claims(
    db: &Connection,
    identity: &Identity,
    round: RoundNumber,
) -> Result<Vec<(i64, Arc<Claim>)>, StoreError> {
    rows::all(
        db,
        "SELECT id, miner, difficulty, extension FROM claims WHERE round = ?1 ORDER BY id",
        [round.get()],
        |row| {
            let claim = Claim {
                task: identity.task,
                round,
                node: identity.node,
                miner: rows::address(row, "miner")?,
                difficulty: rows::difficulty(row, "difficulty")?,
                extension: row.get("extension")?,
            };
            Ok((row.get("id")?, Arc::new(claim)))
        },
    )
}

fn job_template(db: &Connection, id: i64) -> Result<(JobTemplateId, JobTemplate), StoreError> {
    rows::first(
        db,
        "SELECT hash, body FROM job_templates WHERE id = ?1",
        [id],
        |row| {
            let body = row
                .get_ref("body")?
                .as_blob()
                .map_err(rusqlite::Error::from)?;
            let template =
                JobTemplate::decode(body).map_err(|error| rows::corrupt("job template", error))?;
            let hash = JobTemplateId(row.get("hash")?);
            if template.id()? != hash {
                return Err(rows::corrupt(
                    "job template",
                    "it is another than its hash says",
                ));
            }
            Ok((hash, template))
        },
    )?
    .ok_or_else(|| rows::corrupt("job", "its row is missing"))
}

fn worker_name(db: &Connection, id: i64) -> Result<Arc<str>, StoreError> {
    rows::first(db, "SELECT name FROM workers WHERE id = ?1", [id], |row| {
        Ok(row.get("name")?)
    })?
    .ok_or_else(|| rows::corrupt("worker", "its row is missing"))
}
