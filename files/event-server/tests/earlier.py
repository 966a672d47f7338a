"""The tables as releases before Alembic made them in SQLite, for those who have them still."""

STEPS = {
    1: """
CREATE TABLE schema_version (version INTEGER NOT NULL, readable_from INTEGER NOT NULL);
CREATE TABLE events (
    id INTEGER PRIMARY KEY,
    event_id TEXT NOT NULL UNIQUE,
    event_type TEXT NOT NULL,
    event_time INTEGER NOT NULL,
    received_at INTEGER NOT NULL,
    occurred_at INTEGER NOT NULL,
    email_address TEXT NOT NULL,
    user_name TEXT,
    team_name TEXT,
    session_id TEXT,
    notebook_path TEXT,
    cell_id TEXT,
    cell_index INTEGER,
    cell_type TEXT,
    execution_count INTEGER,
    has_error INTEGER,
    execution_duration_ms INTEGER,
    writer TEXT,
    body TEXT NOT NULL
);
CREATE INDEX events_occurred_at ON events (occurred_at);
CREATE TABLE probe (id INTEGER PRIMARY KEY CHECK (id = 1), written_at INTEGER NOT NULL);
INSERT INTO schema_version VALUES (1, 1);
""",
    # An index that begins with the address would cost a third of the ingest rate: its pages are written at random.
    # This one grows at its end, and finds a student in a range of time without touching the events of the others.
    2: """
CREATE TABLE acknowledgements (
    id INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    acknowledged_at INTEGER NOT NULL,
    covers_until INTEGER NOT NULL,
    email_address TEXT NOT NULL,
    instructor TEXT NOT NULL
);
CREATE INDEX acknowledgements_by_time ON acknowledgements (acknowledged_at, kind, email_address);
CREATE INDEX events_by_time ON events (occurred_at, event_type, email_address);
DROP INDEX events_occurred_at;
""",
}
