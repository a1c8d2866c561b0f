//! Settled rounds: what is kept once and never changed.

use bitcoin::hashes::{Hash as _, sha256};
use rusqlite::{Connection, params};
use work::RoundNumber;

use super::rows;
use crate::{SetOutcome, StoreError};

pub(super) fn set_first_round(
    db: &Connection,
    round: RoundNumber,
) -> Result<SetOutcome, StoreError> {
    let outcome = match first_round(db)? {
        Some(before) if before == round => return Ok(SetOutcome::Unchanged),
        Some(kept) if newest(db)?.is_some() => {
            return Err(StoreError::FirstRoundSettled { kept, given: round });
        }
        Some(_) => SetOutcome::Replaced,
        None => SetOutcome::New,
    };
    rows::execute(
        db,
        "INSERT INTO history (id, first_round) VALUES (1, ?1)
         ON CONFLICT (id) DO UPDATE SET first_round = excluded.first_round",
        [round.get()],
    )?;
    Ok(outcome)
}

pub(super) fn first_round(db: &Connection) -> Result<Option<RoundNumber>, StoreError> {
    rows::first(db, "SELECT first_round FROM history", (), |row| {
        rows::round(row, "first_round")
    })
}

pub(super) fn set(
    db: &Connection,
    round: RoundNumber,
    body: &[u8],
) -> Result<SetOutcome, StoreError> {
    match get(db, round)? {
        Some(before) if before == body => return Ok(SetOutcome::Unchanged),
        Some(before) => {
            return Err(StoreError::SettledOtherwise {
                round,
                kept: sha256::Hash::hash(&before),
                given: sha256::Hash::hash(body),
            });
        }
        None => {}
    }
    if let Some(newest) = newest(db)?
        && newest.next() != round
    {
        return Err(StoreError::SettledOutOfOrder { round, newest });
    }
    rows::execute(
        db,
        "INSERT INTO settlements (round, body) VALUES (?1, ?2)",
        params![round.get(), body],
    )?;
    Ok(SetOutcome::New)
}

pub(super) fn get(db: &Connection, round: RoundNumber) -> Result<Option<Vec<u8>>, StoreError> {
    rows::first(
        db,
        "SELECT body FROM settlements WHERE round = ?1",
        [round.get()],
        |row| Ok(row.get("body")?),
    )
}

pub(super) fn newest(db: &Connection) -> Result<Option<RoundNumber>, StoreError> {
    rows::first(
        db,
        "SELECT round FROM settlements ORDER BY round DESC LIMIT 1",
        (),
        |row| rows::round(row, "round"),
    )
}
