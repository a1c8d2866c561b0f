//! Batches and what happened to them.

use std::collections::BTreeSet;

use bitcoin::consensus::{deserialize, serialize};
use bitcoin::hashes::Hash as _;
use bitcoin::{Amount, FeeRate, Psbt, Transaction, Txid};
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use work::UnixTime;

use super::batch::{Batch, BatchId, BatchState, Cost, Event, Intent, Kind};
use super::error::JournalError;
use super::payments::{self, integer, unsigned};
use crate::view::{self, Payment};

/// Longest text of an event; the rest of an error message is cut off.
const MAX_EVENT: usize = 1000;

pub(super) fn plan(
    db: &Connection,
    intent: &Intent,
    now: UnixTime,
) -> Result<BatchId, JournalError> {
    let transaction = &intent.psbt.unsigned_tx;
    let payment = Payment {
        txid: transaction.compute_txid(),
        inputs: transaction
            .input
            .iter()
            .map(|input| input.previous_output)
            .collect(),
        ids: view::named(transaction),
        height: None,
    };
    if let Some(id) = of(db, payment.txid)? {
        let batch = one(db, id)?;
        // Within one block, the same coins and redemptions are planned to the same transaction again.
        if batch.state == BatchState::Withdrawn && batch.kind == intent.kind && !batch.is_complete {
            write_state(db, id, BatchState::Planned, now)?;
            return Ok(id);
        }
    }
    insert(
        db,
        &payment,
        intent.kind,
        BatchState::Planned,
        Some(intent),
        None,
        now,
    )
}

pub(super) fn adopt(
    db: &Connection,
    payment: &Payment,
    transaction: Option<&Transaction>,
    now: UnixTime,
) -> Result<BatchId, JournalError> {
    let state = match payment.height {
        Some(height) => BatchState::Confirmed { height },
        None => BatchState::Sent,
    };
    insert(db, payment, Kind::Payout, state, None, transaction, now)
}

pub(super) fn take_up(
    db: &Connection,
    payment: &Payment,
    now: UnixTime,
) -> Result<BatchId, JournalError> {
    let state = BatchState::Loose;
    insert(db, payment, Kind::Payout, state, None, None, now)
}

fn insert(
    db: &Connection,
    payment: &Payment,
    kind: Kind,
    state: BatchState,
    intent: Option<&Intent>,
    transaction: Option<&Transaction>,
    now: UnixTime,
) -> Result<BatchId, JournalError> {
    if let Some(batch) = of(db, payment.txid)? {
        return Err(JournalError::Known {
            txid: payment.txid,
            batch,
        });
    }
    payments::record(db, payment, None)?;
    let replaces = intent.and_then(|intent| intent.replaces);
    if let Some(replaced) = replaces {
        one(db, replaced)?;
    }
    let cost = match intent {
        Some(Intent { fee, rate, .. }) => Some(Cost {
            fee: *fee,
            rate: *rate,
        }),
        None => payments::cost(db, payment.txid)?,
    };
    let fee = cost.map(|cost| integer(cost.fee.to_sat())).transpose()?;
    let rate = cost
        .map(|cost| integer(cost.rate.to_sat_per_kwu()))
        .transpose()?;
    db.prepare_cached(
        "INSERT INTO batches (kind, txid, state, height, replaces, psbt, tx, fee, rate, created, updated)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?10)",
    )?
    .execute(params![
        kind.name(),
        payment.txid.as_byte_array(),
        state.name(),
        state.height(),
        replaces.map(|id| id.0),
        intent.map(|intent| intent.psbt.serialize()),
        transaction.map(serialize),
        fee,
        rate,
        integer(now.0)?,
    ])?;
    let number = db.last_insert_rowid();
    let id = u32::try_from(number)
        .map(BatchId)
        .map_err(|_| JournalError::Corrupt(format!("batch number {number}")))?;
    let place = replaces.map_or_else(String::new, |replaced| {
        format!(" in the place of {replaced}")
    });
    let what = format!("{} as {}{place}", state.name(), payment.txid);
    event(db, Some(id), &what, now)?;
    Ok(id)
}

pub(super) fn complete(
    db: &Connection,
    id: BatchId,
    transaction: &Transaction,
    now: UnixTime,
) -> Result<(), JournalError> {
    let batch = one(db, id)?;
    let found = transaction.compute_txid();
    if found != batch.txid() {
        return Err(JournalError::OtherTransaction {
            batch: id,
            expected: batch.txid(),
            found,
        });
    }
    let state = match batch.state {
        BatchState::Planned => BatchState::Signed,
        // Other signatures of the same transaction change nothing that matters.
        _ if batch.is_complete => return Ok(()),
        BatchState::Withdrawn => return Err(refused(&batch, BatchState::Signed)),
        // It was seen before its signatures came here.
        state => state,
    };
    db.prepare_cached("UPDATE batches SET tx = ?2 WHERE id = ?1")?
        .execute(params![id.0, serialize(transaction)])?;
    if state != batch.state {
        write_state(db, id, state, now)?;
    }
    Ok(())
}

pub(super) fn sent(
    db: &Connection,
    id: BatchId,
    height: u32,
    now: UnixTime,
) -> Result<(), JournalError> {
    let batch = one(db, id)?;
    db.prepare_cached("UPDATE batches SET sent_at = coalesce(sent_at, ?2) WHERE id = ?1")?
        .execute(params![id.0, height])?;
    if batch.state == BatchState::Signed {
        write_state(db, id, BatchState::Sent, now)?;
    }
    // All that it stands in for, not only the last one. What a cancellation cancels may confirm still, and is not replaced.
    let mut replaced = batch.replaces;
    while let Some(other) = replaced {
        let other = one(db, other)?;
        if other.kind != batch.kind {
            break;
        }
        if matches!(
            other.state,
            BatchState::Sent | BatchState::Signed | BatchState::Planned
        ) {
            write_state(db, other.id, BatchState::Replaced { by: id }, now)?;
        }
        // Numbers fall: what is replaced was there before.
        replaced = other.replaces.filter(|next| *next < other.id);
    }
    Ok(())
}

pub(super) fn set_state(
    db: &Connection,
    id: BatchId,
    state: BatchState,
    now: UnixTime,
) -> Result<(), JournalError> {
    let batch = one(db, id)?;
    if batch.state == state {
        return Ok(());
    }
    if matches!(
        state,
        BatchState::Planned | BatchState::Signed | BatchState::Loose
    ) {
        return Err(refused(&batch, state));
    }
    if let Some(other) = state.other() {
        one(db, other)?;
    }
    write_state(db, id, state, now)
}

pub(super) fn close(db: &Connection, id: BatchId, now: UnixTime) -> Result<(), JournalError> {
    if one(db, id)?.is_closed {
        return Ok(());
    }
    db.prepare_cached("UPDATE batches SET closed = 1 WHERE id = ?1")?
        .execute([id.0])?;
    event(db, Some(id), "closed", now)
}

fn write_state(
    db: &Connection,
    id: BatchId,
    state: BatchState,
    now: UnixTime,
) -> Result<(), JournalError> {
    db.prepare_cached(
        "UPDATE batches SET state = ?2, height = ?3, other = ?4, updated = ?5, closed = 0 WHERE id = ?1",
    )?
    .execute(params![
        id.0,
        state.name(),
        state.height(),
        state.other().map(|other| other.0),
        integer(now.0)?,
    ])?;
    let what = match (state.height(), state.other()) {
        (Some(height), _) => format!("{} at height {height}", state.name()),
        (_, Some(other)) => format!("{} by {other}", state.name()),
        _ => state.name().to_owned(),
    };
    event(db, Some(id), &what, now)
}

pub(super) fn event(
    db: &Connection,
    batch: Option<BatchId>,
    what: &str,
    now: UnixTime,
) -> Result<(), JournalError> {
    let what: String = what.chars().take(MAX_EVENT).collect();
    db.prepare_cached("INSERT INTO events (at, batch, what) VALUES (?1, ?2, ?3)")?
        .execute(params![integer(now.0)?, batch.map(|id| id.0), what])?;
    Ok(())
}

/// Where a transaction is a batch, which.
fn of(db: &Connection, txid: Txid) -> Result<Option<BatchId>, JournalError> {
    Ok(db
        .prepare_cached("SELECT id FROM batches WHERE txid = ?1")?
        .query_row([txid.as_byte_array()], |row| row.get(0).map(BatchId))
        .optional()?)
}

const COLUMNS: &str = "id, kind, txid, state, height, other, replaces, fee, rate, sent_at, \
                       psbt IS NOT NULL AS own, tx IS NOT NULL AS complete, closed, created, updated";

pub(super) fn all(db: &Connection, closed: bool) -> Result<Vec<Batch>, JournalError> {
    let mut payments = payments::of_batches(db, closed)?;
    let sql = format!("SELECT {COLUMNS} FROM batches WHERE closed <= ?1 ORDER BY id");
    db.prepare_cached(&sql)?
        .query_and_then([closed], |row| {
            let txid = payments::txid(row, "txid")?;
            let payment = payments.remove(&txid).ok_or_else(|| {
                JournalError::Corrupt(format!("transaction {txid} spends nothing"))
            })?;
            batch(row, payment)
        })?
        .collect()
}

pub(super) fn closed(db: &Connection) -> Result<BTreeSet<Txid>, JournalError> {
    db.prepare_cached("SELECT txid FROM batches WHERE closed = 1")?
        .query_and_then((), |row| payments::txid(row, "txid"))?
        .collect()
}

pub(super) fn one(db: &Connection, id: BatchId) -> Result<Batch, JournalError> {
    let sql = format!("SELECT {COLUMNS} FROM batches WHERE id = ?1");
    let mut statement = db.prepare_cached(&sql)?;
    let mut rows = statement.query([id.0])?;
    let row = rows.next()?.ok_or(JournalError::Unknown(id))?;
    batch(row, payments::one(db, payments::txid(row, "txid")?)?)
}

pub(super) fn psbt(db: &Connection, id: BatchId) -> Result<Option<Psbt>, JournalError> {
    blob(db, id, "SELECT psbt FROM batches WHERE id = ?1")?
        .map(|bytes| {
            Psbt::deserialize(&bytes).map_err(|error| corrupt(id, "PSBT", &error.to_string()))
        })
        .transpose()
}

pub(super) fn transaction(
    db: &Connection,
    id: BatchId,
) -> Result<Option<Transaction>, JournalError> {
    blob(db, id, "SELECT tx FROM batches WHERE id = ?1")?
        .map(|bytes| {
            deserialize(&bytes).map_err(|error| corrupt(id, "transaction", &error.to_string()))
        })
        .transpose()
}

pub(super) fn events(db: &Connection, batch: Option<BatchId>) -> Result<Vec<Event>, JournalError> {
    db.prepare_cached(
        "SELECT at, batch, what FROM events WHERE ?1 IS NULL OR batch = ?1 ORDER BY id",
    )?
    .query_and_then([batch.map(|id| id.0)], |row| {
        Ok(Event {
            at: UnixTime(unsigned(row, "at")?),
            batch: row.get::<_, Option<u32>>("batch")?.map(BatchId),
            what: row.get("what")?,
        })
    })?
    .collect()
}

fn blob(db: &Connection, id: BatchId, sql: &str) -> Result<Option<Vec<u8>>, JournalError> {
    db.prepare_cached(sql)?
        .query_row([id.0], |row| row.get(0))
        .optional()?
        .ok_or(JournalError::Unknown(id))
}

fn batch(row: &Row<'_>, payment: Payment) -> Result<Batch, JournalError> {
    let id = BatchId(row.get("id")?);
    let kind: String = row.get("kind")?;
    let kind = [Kind::Payout, Kind::Cancel, Kind::Sweep]
        .into_iter()
        .find(|known| known.name() == kind)
        .ok_or_else(|| corrupt(id, "kind", &kind))?;
    let amount = |column| -> Result<Option<u64>, JournalError> {
        let value: Option<i64> = row.get(column)?;
        value
            .map(|value| u64::try_from(value).map_err(|_| corrupt(id, column, &value.to_string())))
            .transpose()
    };
    Ok(Batch {
        id,
        kind,
        payment,
        state: state(row, id)?,
        replaces: row.get::<_, Option<u32>>("replaces")?.map(BatchId),
        fee: amount("fee")?.map(Amount::from_sat),
        rate: amount("rate")?.map(FeeRate::from_sat_per_kwu),
        sent_at: row.get("sent_at")?,
        is_own: row.get("own")?,
        is_complete: row.get("complete")?,
        is_closed: row.get("closed")?,
        created: UnixTime(unsigned(row, "created")?),
        updated: UnixTime(unsigned(row, "updated")?),
    })
}

fn state(row: &Row<'_>, id: BatchId) -> Result<BatchState, JournalError> {
    let name: String = row.get("state")?;
    let height: Option<u32> = row.get("height")?;
    let other: Option<u32> = row.get("other")?;
    Ok(match (name.as_str(), height, other.map(BatchId)) {
        ("planned", ..) => BatchState::Planned,
        ("signed", ..) => BatchState::Signed,
        ("sent", ..) => BatchState::Sent,
        ("confirmed", Some(height), _) => BatchState::Confirmed { height },
        ("settled", Some(height), _) => BatchState::Settled { height },
        ("forfeited", Some(height), _) => BatchState::Forfeited { height },
        ("replaced", _, Some(by)) => BatchState::Replaced { by },
        ("cancelled", _, Some(by)) => BatchState::Cancelled { by },
        ("dead", ..) => BatchState::Dead,
        ("withdrawn", ..) => BatchState::Withdrawn,
        ("loose", ..) => BatchState::Loose,
        _ => return Err(corrupt(id, "state", &name)),
    })
}

fn refused(batch: &Batch, wanted: BatchState) -> JournalError {
    JournalError::State {
        batch: batch.id,
        state: batch.state.name(),
        wanted: wanted.name(),
    }
}

fn corrupt(id: BatchId, what: &str, why: &str) -> JournalError {
    JournalError::Corrupt(format!("{id}, {what}: {why}"))
}
