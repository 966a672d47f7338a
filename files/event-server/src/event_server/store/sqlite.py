"""The embedded store: one SQLite file, written by one connection."""

import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from event_server.events import StoredEvent
from event_server.store import Activity, AppendResult, SchemaError, StoreUnavailableError

SCHEMA_VERSION = 1

# A later schema that this release can still write to (columns added, none taken away) says so in readable_from.
_SCHEMA = """
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
"""
_INSERT = (
    "INSERT INTO events (event_id, event_type, event_time, received_at, occurred_at, email_address, user_name,"
    " team_name, session_id, notebook_path, cell_id, cell_index, cell_type, execution_count, has_error,"
    " execution_duration_ms, writer, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (event_id) DO NOTHING"
)
_ACTIVITY = (
    "SELECT event_type, occurred_at, email_address, user_name, team_name, notebook_path, cell_id, cell_index,"
    " coalesce(has_error, 0) FROM events WHERE occurred_at >= ? ORDER BY occurred_at, event_time, id"
)
_BUSY_TIMEOUT_SECONDS = 5.0


class SqliteStore:
    """Keeps events in a SQLite file: write-ahead log, synchronised to the disk at every commit."""

    def __init__(self, path: Path, *, min_free_bytes: int = 0) -> None:
        """Takes the file's path and the room on its disk below which ``check`` fails."""
        self._path = path
        self._min_free_bytes = min_free_bytes
        self._connection: sqlite3.Connection | None = None

    def open(self) -> None:
        """Connects and creates the schema where there is none."""
        with self._reconnecting_after_errors():
            self._writer()

    def append(self, batches: Sequence[Sequence[StoredEvent]]) -> list[AppendResult]:
        """Stores the events of several requests in one transaction."""
        with self._reconnecting_after_errors():
            connection = self._writer()
            results = []
            with _transaction(connection):
                for batch in batches:
                    before = connection.total_changes
                    connection.executemany(_INSERT, batch)
                    stored = connection.total_changes - before
                    results.append(AppendResult(stored, len(batch) - stored))
            return results

    def check(self) -> None:
        """Writes the probe row and reads it back through a connection of its own."""
        with self._reconnecting_after_errors():
            written_at = time.time_ns()
            with _transaction(self._writer()) as connection:
                connection.execute("INSERT OR REPLACE INTO probe (id, written_at) VALUES (1, ?)", (written_at,))
            with closing(self._reader()) as reader:
                row = reader.execute("SELECT written_at FROM probe WHERE id = 1").fetchone()
            if row != (written_at,):
                raise StoreUnavailableError("the probe that was written is not the one that was read")
            # A small probe may still fit where events do not.
            disk = os.statvfs(self._path)
            if (free := disk.f_bavail * disk.f_frsize) < self._min_free_bytes:
                raise StoreUnavailableError(f"{free} bytes are free on the disk; at least {self._min_free_bytes}")

    def activity(self, since: int) -> Iterator[Activity]:
        """Yields the events that occurred since a time in milliseconds since 1970."""
        try:
            with closing(self._reader()) as reader:
                for row in reader.execute(_ACTIVITY, (since,)):
                    yield Activity(*row)
        except sqlite3.Error as error:
            raise StoreUnavailableError(str(error)) from error

    def close(self) -> None:
        """Disconnects; the last connection folds the log into the file."""
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None

    def _writer(self) -> sqlite3.Connection:
        if self._connection is None:
            connection = _connect(self._path.absolute().as_uri())
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = FULL")
                _prepare_schema(connection)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _reader(self) -> sqlite3.Connection:
        return _connect(self._path.absolute().as_uri() + "?mode=ro")

    @contextmanager
    def _reconnecting_after_errors(self) -> Iterator[None]:
        """Turns errors of the database into the store's, and leaves the next call a fresh connection."""
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            self.close()
            raise StoreUnavailableError(str(error)) from error


def _connect(uri: str) -> sqlite3.Connection:
    return sqlite3.connect(uri, uri=True, timeout=_BUSY_TIMEOUT_SECONDS, isolation_level=None, check_same_thread=False)


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _prepare_schema(connection: sqlite3.Connection) -> None:
    with _transaction(connection):
        exists = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'schema_version'").fetchone()
        if not exists:
            for statement in filter(str.strip, _SCHEMA.split(";")):
                connection.execute(statement)
            connection.execute("INSERT INTO schema_version VALUES (?, ?)", (SCHEMA_VERSION, SCHEMA_VERSION))
        version, readable_from = connection.execute("SELECT version, readable_from FROM schema_version").fetchone()
    if readable_from > SCHEMA_VERSION:
        raise SchemaError(
            f"the database has schema {version}, which needs a release that knows schema {readable_from};"
            f" this one knows schema {SCHEMA_VERSION}"
        )
