-- Which journal this is, and how many writes it knows of; one row, beside the one in `journal`. The same stands in
-- generation.json, so that a copy that was put back is known for what it is.
CREATE TABLE generation (
    id      INTEGER PRIMARY KEY CHECK (id = 1),
    -- A name that no other journal has.
    journal BLOB    NOT NULL CHECK (length(journal) = 16),
    -- Raised by every write. Zero: it was kept by format version 1, which did not count.
    number  INTEGER NOT NULL CHECK (number >= 0)
) STRICT;

INSERT INTO generation (id, journal, number) SELECT 1, randomblob(16), 0 FROM journal;

CREATE TRIGGER the_generation_only_rises BEFORE UPDATE ON generation
WHEN OLD.journal <> NEW.journal OR OLD.number >= NEW.number
BEGIN
    SELECT RAISE(ABORT, 'the generation only rises');
END;

CREATE TRIGGER the_generation_is_not_removed BEFORE DELETE ON generation
BEGIN
    SELECT RAISE(ABORT, 'the generation only rises');
END;
