//! Transactions: what they spend and which redemptions they name.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::consensus::{deserialize, serialize};
use bitcoin::hashes::Hash as _;
use bitcoin::{OutPoint, Txid};
use rusqlite::{Connection, Row, params};

use super::error::JournalError;
use crate::view::Payment;

/// Remembers a transaction. `signed`: a key signs it through this journal.
pub(super) fn record(db: &Connection, payment: &Payment, signed: bool) -> Result<(), JournalError> {
    let txid = payment.txid.as_byte_array();
    db.prepare_cached(
        "INSERT INTO transactions (txid, signed) VALUES (?1, ?2)
         ON CONFLICT (txid) DO UPDATE SET signed = max(signed, excluded.signed)",
    )?
    .execute(params![txid, signed])?;
    // The id commits to both, so what is there already is the same.
    for input in &payment.inputs {
        db.prepare_cached("INSERT OR IGNORE INTO inputs (txid, outpoint) VALUES (?1, ?2)")?
            .execute(params![txid, serialize(input)])?;
    }
    for id in &payment.ids {
        db.prepare_cached("INSERT OR IGNORE INTO names (redemption, txid) VALUES (?1, ?2)")?
            .execute(params![integer(*id)?, txid])?;
    }
    Ok(())
}

/// The payments that name one of `ids`, or any redemption at all; by transaction id.
pub(super) fn naming(
    db: &Connection,
    ids: Option<&BTreeSet<u64>>,
) -> Result<Vec<Payment>, JournalError> {
    let mut found = BTreeSet::new();
    match ids {
        None => {
            let mut statement = db.prepare_cached("SELECT DISTINCT txid FROM names")?;
            let mut rows = statement.query(())?;
            while let Some(row) = rows.next()? {
                found.insert(txid(row, "txid")?);
            }
        }
        Some(ids) => {
            let mut statement =
                db.prepare_cached("SELECT txid FROM names WHERE redemption = ?1")?;
            // An id that does not fit was never written down.
            for id in ids.iter().filter_map(|id| i64::try_from(*id).ok()) {
                let mut rows = statement.query([id])?;
                while let Some(row) = rows.next()? {
                    found.insert(txid(row, "txid")?);
                }
            }
        }
    }
    found.into_iter().map(|txid| one(db, txid)).collect()
}

/// What a transaction spends and names.
pub(super) fn one(db: &Connection, txid: Txid) -> Result<Payment, JournalError> {
    let key = txid.as_byte_array();
    let inputs = db
        .prepare_cached("SELECT outpoint FROM inputs WHERE txid = ?1")?
        .query_and_then([key], outpoint)?
        .collect::<Result<BTreeSet<OutPoint>, _>>()?;
    if inputs.is_empty() {
        return Err(JournalError::Corrupt(format!(
            "transaction {txid} spends nothing"
        )));
    }
    let ids = db
        .prepare_cached("SELECT redemption FROM names WHERE txid = ?1")?
        .query_and_then([key], |row| unsigned(row, "redemption"))?
        .collect::<Result<BTreeSet<u64>, _>>()?;
    Ok(Payment {
        txid,
        inputs,
        ids,
        height: None,
    })
}

/// All transactions of batches, by id: one look at each table instead of one a batch.
pub(super) fn of_batches(
    db: &Connection,
    closed: bool,
) -> Result<BTreeMap<Txid, Payment>, JournalError> {
    let mut found: BTreeMap<Txid, Payment> = BTreeMap::new();
    let empty = |txid| Payment {
        txid,
        inputs: BTreeSet::new(),
        ids: BTreeSet::new(),
        height: None,
    };
    let mut statement = db.prepare_cached(
        "SELECT txid, outpoint FROM batches JOIN inputs USING (txid) WHERE closed <= ?1",
    )?;
    let mut rows = statement.query([closed])?;
    while let Some(row) = rows.next()? {
        let txid = txid(row, "txid")?;
        let payment = found.entry(txid).or_insert_with(|| empty(txid));
        payment.inputs.insert(outpoint(row)?);
    }
    let mut statement = db.prepare_cached(
        "SELECT txid, redemption FROM batches JOIN names USING (txid) WHERE closed <= ?1",
    )?;
    let mut rows = statement.query([closed])?;
    while let Some(row) = rows.next()? {
        let txid = txid(row, "txid")?;
        let payment = found.entry(txid).or_insert_with(|| empty(txid));
        payment.ids.insert(unsigned(row, "redemption")?);
    }
    Ok(found)
}

pub(super) fn txid(row: &Row<'_>, column: &str) -> Result<Txid, JournalError> {
    Ok(Txid::from_byte_array(row.get(column)?))
}

fn outpoint(row: &Row<'_>) -> Result<OutPoint, JournalError> {
    let bytes: [u8; 36] = row.get("outpoint")?;
    deserialize(&bytes).map_err(|error| JournalError::Corrupt(format!("an outpoint: {error}")))
}

pub(super) fn unsigned(row: &Row<'_>, column: &str) -> Result<u64, JournalError> {
    let value: i64 = row.get(column)?;
    u64::try_from(value)
        .map_err(|_| JournalError::Corrupt(format!("{column} is negative: {value}")))
}

/// SQLite's integers are signed.
pub(super) fn integer(value: u64) -> Result<i64, JournalError> {
    i64::try_from(value).map_err(|_| JournalError::TooLarge(value))
}
