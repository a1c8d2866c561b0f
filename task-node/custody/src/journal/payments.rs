//! Transactions: what they spend and which redemptions they name.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::consensus::{deserialize, serialize};
use bitcoin::hashes::Hash as _;
use bitcoin::{Amount, FeeRate, OutPoint, Txid};
use rusqlite::{Connection, Row, params};

use super::batch::Cost;
use super::error::JournalError;
use crate::view::Payment;

/// Remembers a transaction. `signed`: what it costs, where a key signs it through this journal.
pub(super) fn record(
    db: &Connection,
    payment: &Payment,
    signed: Option<Cost>,
) -> Result<(), JournalError> {
    let txid = payment.txid.as_byte_array();
    let fee = signed.map(|cost| integer(cost.fee.to_sat())).transpose()?;
    let rate = signed
        .map(|cost| integer(cost.rate.to_sat_per_kwu()))
        .transpose()?;
    db.prepare_cached(
        "INSERT INTO transactions (txid, signed, fee, rate) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (txid) DO UPDATE SET signed = max(signed, excluded.signed),
                                          fee = coalesce(fee, excluded.fee),
                                          rate = coalesce(rate, excluded.rate)",
    )?
    .execute(params![txid, signed.is_some(), fee, rate])?;
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

/// What a transaction costs, where it was signed here.
pub(super) fn cost(db: &Connection, txid: Txid) -> Result<Option<Cost>, JournalError> {
    let mut statement = db.prepare_cached(
        "SELECT fee, rate FROM transactions WHERE txid = ?1 AND fee IS NOT NULL AND rate IS NOT NULL",
    )?;
    let mut rows = statement.query([txid.as_byte_array()])?;
    rows.next()?
        .map(|row| {
            Ok(Cost {
                fee: Amount::from_sat(unsigned(row, "fee")?),
                rate: FeeRate::from_sat_per_kwu(unsigned(row, "rate")?),
            })
        })
        .transpose()
}

/// The payments that were signed here and are no batch's, by transaction id.
pub(super) fn signed_elsewhere(db: &Connection) -> Result<Vec<Payment>, JournalError> {
    let txids = db
        .prepare_cached(
            "SELECT txid FROM transactions
             WHERE signed = 1 AND txid IN (SELECT txid FROM names) AND txid NOT IN (SELECT txid FROM batches)
             ORDER BY txid",
        )?
        .query_and_then((), |row| txid(row, "txid"))?
        .collect::<Result<Vec<Txid>, _>>()?;
    txids.into_iter().map(|txid| one(db, txid)).collect()
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
