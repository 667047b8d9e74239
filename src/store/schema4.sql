-- Schema 4: what the push must not forget. A program with schema 3 leaves all of it alone: it sends what comes after its
-- cursors, and what waits here waits on. Columns, units and meanings: docs/wire.md.

-- Rows that the destination has confirmed, ever. What an older program noted counts as proof that it takes rows at all.
ALTER TABLE push_cursor ADD COLUMN confirmed INTEGER NOT NULL DEFAULT 0;
UPDATE push_cursor SET confirmed = 1 WHERE last_id > 0;

-- Dead letters that were let go because of their age or number: their rows count as any that the remote has.
ALTER TABLE row_counts ADD COLUMN dead_let_go INTEGER NOT NULL DEFAULT 0;

-- The batch that is on its way: the same bytes under the same id until it is settled.
CREATE TABLE push_batch (
    destination TEXT NOT NULL,
    lane        TEXT NOT NULL,
    batch_id    TEXT NOT NULL,
    made_at     INTEGER NOT NULL,
    envelope    TEXT NOT NULL,
    ranges      TEXT NOT NULL,
    again       INTEGER NOT NULL,
    row_count   INTEGER NOT NULL,
    byte_count  INTEGER NOT NULL,
    PRIMARY KEY (destination, lane)
) STRICT, WITHOUT ROWID;

-- Rows before the cursor that the remote is to be asked again for.
CREATE TABLE push_retry (
    destination TEXT NOT NULL,
    table_name  TEXT NOT NULL,
    row_id      INTEGER NOT NULL,
    due_at      INTEGER NOT NULL,
    attempts    INTEGER NOT NULL,
    alone       INTEGER NOT NULL,
    PRIMARY KEY (table_name, row_id, destination)
) STRICT, WITHOUT ROWID;

-- Rows that the remote will never take.
CREATE TABLE dead_letters (
    destination TEXT NOT NULL,
    table_name  TEXT NOT NULL,
    row_id      INTEGER NOT NULL,
    trace_id    TEXT NOT NULL,
    died_at     INTEGER NOT NULL,
    status      INTEGER NOT NULL,
    code        TEXT,
    message     TEXT,
    attempts    INTEGER NOT NULL,
    PRIMARY KEY (table_name, row_id, destination)
) STRICT, WITHOUT ROWID;

CREATE INDEX dead_letters_by_trace ON dead_letters (trace_id);

-- Whoever deletes a row, nothing is left that speaks of it.
CREATE TRIGGER llm_traces_unsent_go AFTER DELETE ON llm_traces
BEGIN
    DELETE FROM push_retry WHERE table_name = 'llm_traces' AND row_id = OLD.id;
    DELETE FROM dead_letters WHERE table_name = 'llm_traces' AND row_id = OLD.id;
END;

CREATE TRIGGER error_events_unsent_go AFTER DELETE ON error_events
BEGIN
    DELETE FROM push_retry WHERE table_name = 'error_events' AND row_id = OLD.id;
    DELETE FROM dead_letters WHERE table_name = 'error_events' AND row_id = OLD.id;
END;

CREATE TRIGGER custom_events_unsent_go AFTER DELETE ON custom_events
BEGIN
    DELETE FROM push_retry WHERE table_name = 'custom_events' AND row_id = OLD.id;
    DELETE FROM dead_letters WHERE table_name = 'custom_events' AND row_id = OLD.id;
END;

CREATE TRIGGER system_metrics_unsent_go AFTER DELETE ON system_metrics
BEGIN
    DELETE FROM push_retry WHERE table_name = 'system_metrics' AND row_id = OLD.id;
    DELETE FROM dead_letters WHERE table_name = 'system_metrics' AND row_id = OLD.id;
END;
