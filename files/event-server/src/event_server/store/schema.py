"""The tables of the SQLite store, and the steps from one version of them to the next."""

import sqlite3

from event_server.store import SchemaError

_STEPS = {
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
SCHEMA_VERSION = max(_STEPS)
# Steps only add what an earlier release does not look at, so that one can be rolled back to. A step after which that
# is no longer true raises this to its own number.
_READABLE_FROM = 1


def prepare_schema(connection: sqlite3.Connection) -> None:
    """Brings the tables up to date; to be called within a transaction.

    Raises:
        SchemaError: a later release has made tables that this one cannot use.
    """
    version = check_schema(connection)
    if version >= SCHEMA_VERSION:
        return
    for step in range(version + 1, SCHEMA_VERSION + 1):
        for statement in filter(str.strip, _STEPS[step].split(";")):
            connection.execute(statement)
    connection.execute("UPDATE schema_version SET version = ?, readable_from = ?", (SCHEMA_VERSION, _READABLE_FROM))


def check_schema(connection: sqlite3.Connection) -> int:
    """Returns the tables' version, 0 if there are none.

    Raises:
        SchemaError: a later release has made tables that this one cannot use.
    """
    version, readable_from = _version(connection)
    if readable_from > SCHEMA_VERSION:
        raise SchemaError(
            f"the database has schema {version}, which needs a release that knows schema {readable_from};"
            f" this one knows schema {SCHEMA_VERSION}"
        )
    return version


def _version(connection: sqlite3.Connection) -> tuple[int, int]:
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'schema_version'").fetchone():
        return 0, 0
    version, readable_from = connection.execute("SELECT version, readable_from FROM schema_version").fetchone()
    return version, readable_from
