//! Between rows and types: every value read from the file is parsed again, never trusted.

use bitcoin::BlockHash;
use bitcoin::hashes::Hash as _;
use cid::Cid;
use k2_interface::K2Address;
use pow::{NBits, ShareDifficulty, Work};
use rusqlite::{Connection, Params, Row};
use work::{RoundNumber, UnixTime};

use crate::{MAX_CID_BYTES, MAX_REASON_BYTES, StoreError};

/// The first row a query gives.
pub(super) fn first<T>(
    db: &Connection,
    sql: &str,
    params: impl Params,
    read: impl FnOnce(&Row<'_>) -> Result<T, StoreError>,
) -> Result<Option<T>, StoreError> {
    let mut statement = db.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    rows.next()?.map(read).transpose()
}

/// All rows a query gives.
pub(super) fn all<T>(
    db: &Connection,
    sql: &str,
    params: impl Params,
    read: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    db.prepare_cached(sql)?
        .query_and_then(params, read)?
        .collect()
}

/// Runs a statement; answers how many rows it changed.
pub(super) fn execute(
    db: &Connection,
    sql: &str,
    params: impl Params,
) -> Result<usize, StoreError> {
    Ok(db.prepare_cached(sql)?.execute(params)?)
}

pub(super) fn round(row: &Row<'_>, column: &str) -> Result<RoundNumber, StoreError> {
    RoundNumber::new(row.get(column)?).ok_or_else(|| corrupt(column, "no round number"))
}

pub(super) fn time(row: &Row<'_>, column: &str) -> Result<UnixTime, StoreError> {
    Ok(UnixTime(row.get(column)?))
}

pub(super) fn block_hash(row: &Row<'_>, column: &str) -> Result<BlockHash, StoreError> {
    Ok(BlockHash::from_byte_array(row.get(column)?))
}

pub(super) fn address(row: &Row<'_>, column: &str) -> Result<K2Address, StoreError> {
    Ok(K2Address::from_bytes(row.get(column)?))
}

pub(super) fn work(row: &Row<'_>, column: &str) -> Result<Work, StoreError> {
    Ok(Work::from_hashes(u128::from_be_bytes(row.get(column)?)))
}

pub(super) fn difficulty(row: &Row<'_>, column: &str) -> Result<ShareDifficulty, StoreError> {
    let bits = NBits::from_consensus(row.get(column)?).map_err(|error| corrupt(column, error))?;
    ShareDifficulty::try_from(bits).map_err(|error| corrupt(column, error))
}

pub(super) fn cid(row: &Row<'_>, column: &str) -> Result<Cid, StoreError> {
    Cid::try_from(
        row.get_ref(column)?
            .as_blob()
            .map_err(rusqlite::Error::from)?,
    )
    .map_err(|error| corrupt(column, error))
}

pub(super) fn work_blob(work: Work) -> [u8; 16] {
    work.to_hashes().to_be_bytes()
}

pub(super) fn nbits(difficulty: ShareDifficulty) -> u32 {
    difficulty.nbits().to_consensus()
}

pub(super) fn cid_blob(cid: &Cid) -> Result<Vec<u8>, StoreError> {
    let bytes = cid.to_bytes();
    if bytes.len() > MAX_CID_BYTES {
        return Err(StoreError::Range("the length of a CID"));
    }
    Ok(bytes)
}

/// A reason cut to what is kept, at a character's end.
pub(super) fn reason(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_REASON_BYTES)]
}

pub(super) fn corrupt(column: &str, what: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt(format!("{column}: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_cut_between_characters() {
        assert_eq!(reason("short"), "short");
        let long = "\u{20ac}".repeat(400);
        assert_eq!(reason(&long).len(), MAX_REASON_BYTES / 3 * 3);
    }
}
