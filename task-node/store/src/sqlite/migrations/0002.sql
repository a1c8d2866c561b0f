-- Format version 2. Never edit this file once it has been released: add the next one.
--
-- Settled rounds beside the provisional distributions: what a settlement says is money on K2, so it never changes.

-- Where settling begins: the first round of the task's history; one row.
CREATE TABLE history (
    id          INTEGER PRIMARY KEY CHECK (id = 1),
    first_round INTEGER NOT NULL CHECK (first_round BETWEEN 0 AND 9007199254740991)
) STRICT;

CREATE TABLE settlements (
    round INTEGER PRIMARY KEY CHECK (round BETWEEN 0 AND 9007199254740991),
    body  BLOB    NOT NULL CHECK (length(body) <= 68157440)
) STRICT;

-- The store checks this too; the file itself refuses, whoever writes to it.
CREATE TRIGGER settlements_follow_each_other BEFORE INSERT ON settlements
WHEN (SELECT max(round) + 1 <> NEW.round FROM settlements)
BEGIN
    SELECT RAISE(ABORT, 'rounds settle one after the other');
END;

CREATE TRIGGER a_settlement_is_not_changed BEFORE UPDATE ON settlements
BEGIN
    SELECT RAISE(ABORT, 'a settled round is final');
END;

CREATE TRIGGER a_settlement_is_not_removed BEFORE DELETE ON settlements
BEGIN
    SELECT RAISE(ABORT, 'a settled round is final');
END;

CREATE TRIGGER the_first_round_stays_where_it_is BEFORE UPDATE ON history
WHEN OLD.first_round <> NEW.first_round AND EXISTS (SELECT 1 FROM settlements)
BEGIN
    SELECT RAISE(ABORT, 'rounds have been settled from the first one on');
END;
