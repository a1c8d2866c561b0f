-- Format version 1. Never edit this file once it has been released: add the next one.
--
-- Double entry, append-only: what comes undone is reversed by another entry. Money is in sats.

CREATE TABLE entries (
    -- From 1 on, without gaps.
    number   INTEGER PRIMARY KEY CHECK (number > 0),
    -- What happened, once: subject, step, turn, and whether it is taken back.
    key      TEXT    NOT NULL UNIQUE,
    event    TEXT    NOT NULL CHECK (json_valid(event)),
    reverses INTEGER REFERENCES entries,
    -- When it was learned: Bitcoin's tip height, K2's slot.
    tip      INTEGER NOT NULL CHECK (tip BETWEEN 0 AND 4294967295),
    slot     INTEGER NOT NULL CHECK (slot >= 0),
    CHECK (reverses < number)
) STRICT;

CREATE TABLE postings (
    entry   INTEGER NOT NULL REFERENCES entries,
    place   INTEGER NOT NULL CHECK (place >= 0),
    account TEXT    NOT NULL,
    side    TEXT    NOT NULL CHECK (side IN ('debit', 'credit')),
    sats    INTEGER NOT NULL CHECK (sats > 0),
    PRIMARY KEY (entry, place)
) STRICT, WITHOUT ROWID;

CREATE INDEX postings_by_account ON postings (account, entry);

-- The newest facts that the books were held against; one row.
CREATE TABLE looked (
    id   INTEGER PRIMARY KEY CHECK (id = 1),
    tip  INTEGER NOT NULL CHECK (tip BETWEEN 0 AND 4294967295),
    slot INTEGER NOT NULL CHECK (slot >= 0)
) STRICT;

CREATE TRIGGER entries_follow_each_other BEFORE INSERT ON entries
WHEN NEW.number <> (SELECT ifnull(max(number), 0) + 1 FROM entries)
BEGIN
    SELECT RAISE(ABORT, 'entries follow each other');
END;

CREATE TRIGGER an_entry_is_not_changed BEFORE UPDATE ON entries
BEGIN
    SELECT RAISE(ABORT, 'the books are append-only');
END;

CREATE TRIGGER an_entry_is_not_removed BEFORE DELETE ON entries
BEGIN
    SELECT RAISE(ABORT, 'the books are append-only');
END;

CREATE TRIGGER a_posting_is_not_changed BEFORE UPDATE ON postings
BEGIN
    SELECT RAISE(ABORT, 'the books are append-only');
END;

CREATE TRIGGER a_posting_is_not_removed BEFORE DELETE ON postings
BEGIN
    SELECT RAISE(ABORT, 'the books are append-only');
END;
