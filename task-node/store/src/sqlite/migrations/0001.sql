-- Format version 1. Never edit this file once it has been released: add the next one.
--
-- Hashes, keys and ids are 32-byte blobs in internal byte order. Work is a 16-byte big-endian blob, because SQLite's
-- integers end at 2^63. Times are seconds since 1970 in UTC, values are satoshis. Difficulties are compact targets.

-- Whom the file belongs to; one row.
CREATE TABLE store (
    id    INTEGER PRIMARY KEY CHECK (id = 1),
    task  BLOB    NOT NULL CHECK (length(task) = 32),
    node  BLOB    NOT NULL CHECK (length(node) = 32),
    boots INTEGER NOT NULL DEFAULT 0 CHECK (boots BETWEEN 0 AND 4294967295)
) STRICT;

CREATE TABLE rounds (
    round               INTEGER PRIMARY KEY CHECK (round BETWEEN 0 AND 9007199254740991),
    opened_at           INTEGER NOT NULL CHECK (opened_at >= 0),
    opened_tip_hash     BLOB    NOT NULL CHECK (length(opened_tip_hash) = 32),
    opened_tip_height   INTEGER NOT NULL CHECK (opened_tip_height BETWEEN 0 AND 4294967295),
    closed_at           INTEGER CHECK (closed_at >= 0),
    closed_tip_hash     BLOB    CHECK (length(closed_tip_hash) = 32),
    closed_tip_height   INTEGER CHECK (closed_tip_height BETWEEN 0 AND 4294967295),
    sealed_at           INTEGER CHECK (sealed_at >= 0),
    seal_cid            BLOB    CHECK (length(seal_cid) BETWEEN 1 AND 96),
    seal_root           BLOB    CHECK (length(seal_root) = 32),
    seal_shares         INTEGER CHECK (seal_shares BETWEEN 0 AND shares),
    seal_work           BLOB    CHECK (length(seal_work) = 16 AND seal_work <= work),
    -- What the round's shares add up to, kept with every insert so that nobody needs to count a million rows.
    shares              INTEGER NOT NULL DEFAULT 0 CHECK (shares >= 0),
    work                BLOB    NOT NULL CHECK (length(work) = 16),
    CHECK ((closed_at IS NULL) = (closed_tip_hash IS NULL) AND (closed_at IS NULL) = (closed_tip_height IS NULL)),
    CHECK ((sealed_at IS NULL) = (seal_cid IS NULL) AND (sealed_at IS NULL) = (seal_root IS NULL)
       AND (sealed_at IS NULL) = (seal_shares IS NULL) AND (sealed_at IS NULL) = (seal_work IS NULL)),
    CHECK (sealed_at IS NULL OR closed_at IS NOT NULL)
) STRICT;

CREATE TABLE job_templates (
    id   INTEGER PRIMARY KEY,
    hash BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
    body BLOB NOT NULL CHECK (length(body) BETWEEN 1 AND 16384)
) STRICT;

-- Who earns a share; task and node are the store's.
CREATE TABLE claims (
    id         INTEGER PRIMARY KEY,
    round      INTEGER NOT NULL REFERENCES rounds (round),
    miner      BLOB    NOT NULL CHECK (length(miner) = 32),
    difficulty INTEGER NOT NULL CHECK (difficulty BETWEEN 0 AND 4294967295),
    extension  BLOB    NOT NULL CHECK (length(extension) <= 1024),
    UNIQUE (round, miner, difficulty, extension)
) STRICT;

CREATE TABLE workers (
    id    INTEGER PRIMARY KEY,
    miner BLOB NOT NULL CHECK (length(miner) = 32),
    name  TEXT NOT NULL CHECK (octet_length(name) <= 64),
    UNIQUE (miner, name)
) STRICT;

CREATE TABLE shares (
    id           INTEGER PRIMARY KEY,
    claim        INTEGER NOT NULL REFERENCES claims (id),
    job          INTEGER NOT NULL REFERENCES job_templates (id),
    worker       INTEGER NOT NULL REFERENCES workers (id),
    hash         BLOB    NOT NULL UNIQUE CHECK (length(hash) = 32),
    extranonce   BLOB    NOT NULL CHECK (length(extranonce) = 12),
    ntime        INTEGER NOT NULL CHECK (ntime BETWEEN 0 AND 4294967295),
    nonce        INTEGER NOT NULL CHECK (nonce BETWEEN 0 AND 4294967295),
    version_bits INTEGER NOT NULL CHECK (version_bits BETWEEN 0 AND 4294967295),
    is_block     INTEGER NOT NULL CHECK (is_block IN (0, 1)),
    at           INTEGER NOT NULL CHECK (at >= 0)
) STRICT;
CREATE INDEX shares_by_claim ON shares (claim);

-- The store checks this too; the file itself refuses, whoever writes to it.
CREATE TRIGGER no_share_into_a_closed_round BEFORE INSERT ON shares
WHEN (SELECT closed_at IS NOT NULL FROM rounds WHERE round = (SELECT round FROM claims WHERE id = NEW.claim))
BEGIN
    SELECT RAISE(ABORT, 'the round is closed');
END;

-- Shares per worker, difficulty and minute: what statistics read instead of the shares.
CREATE TABLE tallies (
    minute     INTEGER NOT NULL CHECK (minute >= 0),
    worker     INTEGER NOT NULL REFERENCES workers (id),
    difficulty INTEGER NOT NULL CHECK (difficulty BETWEEN 0 AND 4294967295),
    shares     INTEGER NOT NULL CHECK (shares > 0),
    last_at    INTEGER NOT NULL CHECK (last_at >= 0),
    PRIMARY KEY (minute, worker, difficulty)
) STRICT, WITHOUT ROWID;

-- Blocks, audits and what K2 decided may concern rounds this node never opened: no reference to rounds.
CREATE TABLE blocks (
    id     INTEGER PRIMARY KEY,
    hash   BLOB    NOT NULL UNIQUE CHECK (length(hash) = 32),
    height INTEGER NOT NULL CHECK (height BETWEEN 0 AND 4294967295),
    round  INTEGER NOT NULL CHECK (round BETWEEN 0 AND 9007199254740991),
    miner  BLOB    NOT NULL CHECK (length(miner) = 32),
    worker TEXT    NOT NULL CHECK (octet_length(worker) <= 64),
    value  INTEGER NOT NULL CHECK (value BETWEEN 0 AND 2100000000000000),
    at     INTEGER NOT NULL CHECK (at >= 0),
    status TEXT    NOT NULL CHECK (status IN ('submitted', 'accepted', 'rejected', 'stale')),
    reason TEXT    CHECK (octet_length(reason) <= 512),
    CHECK ((status = 'rejected') = (reason IS NOT NULL))
) STRICT;

CREATE TABLE audits (
    round  INTEGER NOT NULL CHECK (round BETWEEN 0 AND 9007199254740991),
    node   BLOB    NOT NULL CHECK (length(node) = 32),
    cid    BLOB    NOT NULL CHECK (length(cid) BETWEEN 1 AND 96),
    valid  INTEGER NOT NULL CHECK (valid IN (0, 1)),
    reason TEXT    CHECK (octet_length(reason) <= 512),
    at     INTEGER NOT NULL CHECK (at >= 0),
    PRIMARY KEY (round, node, cid)
) STRICT, WITHOUT ROWID;

-- That a set was noted at all: an empty one is not the same as none.
CREATE TABLE accepted_sets (
    round INTEGER PRIMARY KEY CHECK (round BETWEEN 0 AND 9007199254740991)
) STRICT;

CREATE TABLE accepted (
    round INTEGER NOT NULL REFERENCES accepted_sets (round),
    node  BLOB    NOT NULL CHECK (length(node) = 32),
    cid   BLOB    NOT NULL CHECK (length(cid) BETWEEN 1 AND 96),
    PRIMARY KEY (round, node)
) STRICT, WITHOUT ROWID;

CREATE TABLE distributions (
    round INTEGER PRIMARY KEY CHECK (round BETWEEN 0 AND 9007199254740991),
    body  BLOB    NOT NULL CHECK (length(body) <= 67108864)
) STRICT;
