-- Format version 1. Never edit this file once it has been released: add the next one.
--
-- Transaction ids and outpoints are in the byte order of the wire (an outpoint: txid, then vout u32 little-endian); money is
-- in sats, times are Unix seconds, heights are Bitcoin's.

-- One row. What was signed up to this height may be missing here.
CREATE TABLE journal (
    id   INTEGER PRIMARY KEY CHECK (id = 1),
    born INTEGER NOT NULL CHECK (born BETWEEN 0 AND 4294967295)
) STRICT;

-- Every transaction that was handed out, signed, or seen.
CREATE TABLE transactions (
    txid   BLOB    PRIMARY KEY CHECK (length(txid) = 32),
    -- Whether a key was let sign it through this journal.
    signed INTEGER NOT NULL CHECK (signed IN (0, 1)),
    -- What it costs, where it was reviewed here; a transaction that is to take its place must cost more.
    fee    INTEGER CHECK (fee BETWEEN 0 AND 2100000000000000),
    -- Sats per 1000 weight units.
    rate   INTEGER CHECK (rate >= 0)
) STRICT, WITHOUT ROWID;

CREATE TABLE inputs (
    txid     BLOB NOT NULL REFERENCES transactions,
    outpoint BLOB NOT NULL CHECK (length(outpoint) = 36),
    PRIMARY KEY (txid, outpoint)
) STRICT, WITHOUT ROWID;

-- The redemptions a transaction names.
CREATE TABLE names (
    redemption INTEGER NOT NULL CHECK (redemption >= 0),
    txid       BLOB    NOT NULL REFERENCES transactions,
    PRIMARY KEY (redemption, txid)
) STRICT, WITHOUT ROWID;

CREATE INDEX names_by_transaction ON names (txid);

CREATE TABLE batches (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    kind     TEXT    NOT NULL CHECK (kind IN ('payout', 'cancel', 'sweep')),
    txid     BLOB    NOT NULL UNIQUE REFERENCES transactions,
    state    TEXT    NOT NULL CHECK (state IN ('planned', 'signed', 'sent', 'confirmed', 'settled', 'forfeited', 'replaced',
                                               'cancelled', 'dead', 'withdrawn', 'loose')),
    -- Of the block, while it has one.
    height   INTEGER CHECK (height BETWEEN 0 AND 4294967295),
    -- The batch that took its place.
    other    INTEGER REFERENCES batches,
    -- The batch whose place it takes.
    replaces INTEGER REFERENCES batches,
    -- None: it was found on the chain.
    psbt     BLOB,
    tx       BLOB,
    fee      INTEGER CHECK (fee BETWEEN 0 AND 2100000000000000),
    -- Sats per 1000 weight units.
    rate     INTEGER CHECK (rate >= 0),
    -- The tip's height when it was sent first.
    sent_at  INTEGER CHECK (sent_at BETWEEN 0 AND 4294967295),
    -- Nothing can happen to it any more.
    closed   INTEGER NOT NULL DEFAULT 0 CHECK (closed IN (0, 1)),
    created  INTEGER NOT NULL CHECK (created >= 0),
    updated  INTEGER NOT NULL CHECK (updated >= 0),
    CHECK ((state IN ('confirmed', 'settled', 'forfeited')) = (height IS NOT NULL)),
    CHECK ((state IN ('replaced', 'cancelled')) = (other IS NOT NULL))
) STRICT;

CREATE INDEX open_batches ON batches (id) WHERE closed = 0;

-- The newest finalized slot of K2 that was looked at; one row.
CREATE TABLE k2 (
    id   INTEGER PRIMARY KEY CHECK (id = 1),
    slot INTEGER NOT NULL CHECK (slot >= 0)
) STRICT;

CREATE TABLE events (
    id    INTEGER PRIMARY KEY AUTOINCREMENT,
    at    INTEGER NOT NULL CHECK (at >= 0),
    batch INTEGER REFERENCES batches,
    what  TEXT    NOT NULL CHECK (length(what) <= 1000)
) STRICT;

CREATE INDEX events_by_batch ON events (batch, id);

-- The double payment that this journal prevents is one it has forgotten about.
CREATE TRIGGER the_birth_is_not_changed BEFORE UPDATE ON journal
BEGIN
    SELECT RAISE(ABORT, 'a journal is born once');
END;

CREATE TRIGGER the_birth_is_not_removed BEFORE DELETE ON journal
BEGIN
    SELECT RAISE(ABORT, 'a journal is born once');
END;

CREATE TRIGGER a_transaction_is_not_removed BEFORE DELETE ON transactions
BEGIN
    SELECT RAISE(ABORT, 'a transaction is never forgotten');
END;

CREATE TRIGGER a_signature_is_not_taken_back BEFORE UPDATE ON transactions
WHEN OLD.txid <> NEW.txid OR OLD.signed > NEW.signed
BEGIN
    SELECT RAISE(ABORT, 'a transaction is never forgotten');
END;

CREATE TRIGGER an_input_is_not_removed BEFORE DELETE ON inputs
BEGIN
    SELECT RAISE(ABORT, 'a transaction is never forgotten');
END;

CREATE TRIGGER an_input_is_not_changed BEFORE UPDATE ON inputs
BEGIN
    SELECT RAISE(ABORT, 'a transaction is never forgotten');
END;

CREATE TRIGGER a_name_is_not_removed BEFORE DELETE ON names
BEGIN
    SELECT RAISE(ABORT, 'a transaction is never forgotten');
END;

CREATE TRIGGER a_name_is_not_changed BEFORE UPDATE ON names
BEGIN
    SELECT RAISE(ABORT, 'a transaction is never forgotten');
END;
