"""The embedded store: one SQLite file, written by one connection."""

import os
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from event_server.events import StoredEvent
from event_server.store import (
    Acknowledgement,
    AcknowledgementKind,
    Activity,
    AppendResult,
    HelpSignal,
    News,
    StoreUnavailableError,
    Usage,
)
from event_server.store.insert import insert
from event_server.store.schema import Schema, check_schema

_INSERT_ACKNOWLEDGEMENT = (
    "INSERT INTO acknowledgements (kind, acknowledged_at, covers_until, email_address, instructor)"
    " VALUES (?, ?, ?, ?, ?)"
)
_ACTIVITY = (
    "SELECT event_type, occurred_at, email_address, user_name, team_name, notebook_path, cell_id, cell_index,"
    " coalesce(has_error, 0), session_id, event_time FROM events WHERE occurred_at >= :since{}"
    " ORDER BY occurred_at, event_time, id"
)
_ACTIVITY_OF_ALL = _ACTIVITY.format("")
_ACTIVITY_OF_ONE = _ACTIVITY.format(" AND email_address = :email")
_EXECUTIONS = (
    "SELECT body FROM events WHERE occurred_at >= ? AND event_type = 'cell_executed' AND email_address = ?"
    " ORDER BY occurred_at DESC, event_time DESC, id DESC LIMIT ?"
)
_KNOWS = "SELECT 1 FROM events WHERE occurred_at >= ? AND email_address = ? ORDER BY occurred_at DESC LIMIT 1"
_HELP_SIGNALS = (
    "SELECT email_address, session_id, occurred_at, event_type = 'help_stop' FROM events"
    " WHERE occurred_at >= ? AND event_type IN ('help', 'help_stop') ORDER BY occurred_at"
)
_ACKNOWLEDGED = (
    "SELECT email_address, max(covers_until) FROM acknowledgements"
    " WHERE acknowledged_at >= ? AND kind = ? GROUP BY email_address"
)
_BUSY_TIMEOUT_SECONDS = 5.0


class SqliteStore:
    """Keeps events in a SQLite file: write-ahead log, synchronised to the disk at every commit."""

    look_seconds = 15.0

    def __init__(self, path: Path, *, min_free_bytes: int = 0) -> None:
        """Takes the file's path and the room on its disk below which ``check`` fails."""
        self._path = path
        self._min_free_bytes = min_free_bytes
        self._connection: sqlite3.Connection | None = None
        # The state of the file as the last caller of news knows it, which a connection numbers on its own.
        self._seen: tuple[sqlite3.Connection, int] | None = None

    def open(self) -> None:
        """Connects and creates the schema where there is none."""
        with self._reconnecting_after_errors():
            self._writer()

    def append(
        self, batches: Sequence[Sequence[StoredEvent]], acknowledgements: Sequence[Acknowledgement] = ()
    ) -> list[AppendResult]:
        """Stores the events of several requests, and what instructors acknowledged, in one transaction."""
        with self._reconnecting_after_errors():
            connection = self._writer()
            with transaction(connection):
                results = insert(connection, batches)
                connection.executemany(_INSERT_ACKNOWLEDGEMENT, acknowledgements)
            return results

    def check(self) -> None:
        """Writes the probe row and reads it back through a connection of its own."""
        with self._reconnecting_after_errors():
            written_at = time.time_ns()
            with transaction(self._writer()) as connection:
                connection.execute("INSERT OR REPLACE INTO probe (id, written_at) VALUES (1, ?)", (written_at,))
            with closing(self._reader()) as reader:
                row = reader.execute("SELECT written_at FROM probe WHERE id = 1").fetchone()
            if row != (written_at,):
                raise StoreUnavailableError("the probe that was written is not the one that was read")
            # A small probe may still fit where events do not.
            disk = os.statvfs(self._path)
            if (free := disk.f_bavail * disk.f_frsize) < self._min_free_bytes:
                raise StoreUnavailableError(f"{free} bytes are free on the disk; at least {self._min_free_bytes}")

    def activity(self, since: int, email: str | None = None) -> Iterator[Activity]:
        """Yields the events that occurred since a time in milliseconds since 1970."""
        query = _ACTIVITY_OF_ALL if email is None else _ACTIVITY_OF_ONE
        for row in self._read(query, {"since": since, "email": email}):
            yield Activity(*row)

    def history(self, since: int) -> Iterator[Activity]:
        """Returns the events since a time, as they are now."""
        # What is there now is known; what comes while it is read is news.
        self.news()
        try:
            reader = self._reader()
            try:
                # What a transaction reads is what was there at its first look.
                reader.execute("BEGIN")
                reader.execute("SELECT 1 FROM events LIMIT 1").fetchone()
            except BaseException:
                reader.close()
                raise
        except sqlite3.Error as error:
            raise StoreUnavailableError(str(error)) from error
        return self._rows(reader, since)

    def news(self) -> News:
        """Tells whether another connection has written since it was last asked."""
        with self._reconnecting_after_errors():
            connection = self._writer()
            (version,) = connection.execute("PRAGMA data_version").fetchone()
        before, self._seen = self._seen, (connection, version)
        return News(is_stale=before != self._seen)

    def end_session(self, session_id: str, ends_at: int) -> None:
        """Remembers that an instructor has logged out."""
        with self._reconnecting_after_errors(), transaction(self._writer()) as connection:
            connection.execute("DELETE FROM ended_sessions WHERE ends_at < ?", (int(time.time()),))
            connection.execute("INSERT INTO ended_sessions (session_id, ends_at) VALUES (?, ?)", (session_id, ends_at))

    def ended_sessions(self) -> dict[str, int]:
        """Returns the sessions that were ended, and when none of their tokens is valid any more."""
        return dict(self._read("SELECT session_id, ends_at FROM ended_sessions", ()))

    def usage(self) -> Usage:
        """Returns the size of the file and its log, and the room on their disk."""
        size = free = None
        with suppress(OSError):
            disk = os.statvfs(self._path.parent)
            free = disk.f_bavail * disk.f_frsize
            size = self._path.stat().st_size
            size += self._path.with_name(self._path.name + "-wal").stat().st_size
        return Usage(size, free)

    def executions(self, email: str, since: int, limit: int) -> list[str]:
        """Returns a student's executions as they came, the latest first."""
        return [body for (body,) in self._read(_EXECUTIONS, (since, email, limit))]

    def knows(self, email: str, since: int) -> bool:
        """Tells whether a student has sent an event since a time."""
        return any(self._read(_KNOWS, (since, email)))

    def help_signals(self, since: int) -> Iterator[HelpSignal]:
        """Yields what students' help buttons sent since a time."""
        for email, session_id, occurred_at, stops in self._read(_HELP_SIGNALS, (since,)):
            yield HelpSignal(email, session_id, occurred_at, bool(stops))

    def acknowledged(self, kind: AcknowledgementKind, since: int) -> dict[str, int]:
        """Returns until when each student's errors or requests are seen to, where that was done since a time."""
        return dict(self._read(_ACKNOWLEDGED, (since, kind)))

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
                prepare_schema(connection, self._path)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _rows(self, reader: sqlite3.Connection, since: int) -> Iterator[Activity]:
        try:
            with closing(reader):
                for row in reader.execute(_ACTIVITY_OF_ALL, {"since": since}):
                    yield Activity(*row)
        except sqlite3.Error as error:
            raise StoreUnavailableError(str(error)) from error

    def _read(self, query: str, parameters: Mapping[str, Any] | Sequence[Any]) -> Iterator[tuple[Any, ...]]:
        try:
            with closing(self._reader()) as reader:
                yield from reader.execute(query, parameters)
        except sqlite3.Error as error:
            raise StoreUnavailableError(str(error)) from error

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


def prepare_schema(connection: sqlite3.Connection, path: Path) -> None:
    """Brings the tables of a file up to date.

    Raises:
        SchemaError: a later release has made tables that this one cannot use.
    """
    if not check_schema(read_schema(connection)):
        # Slow to load, and needed once for each release at most.
        from event_server.store.migrate import migrate_sqlite

        migrate_sqlite(path, _BUSY_TIMEOUT_SECONDS)


def read_schema(connection: sqlite3.Connection) -> Schema:
    """Returns the version of the tables."""
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'schema_version'").fetchone():
        return Schema(0, 0)
    return Schema(*connection.execute("SELECT version, readable_from FROM schema_version").fetchone())


def _connect(uri: str) -> sqlite3.Connection:
    return sqlite3.connect(uri, uri=True, timeout=_BUSY_TIMEOUT_SECONDS, isolation_level=None, check_same_thread=False)


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """Runs statements together: all of them are durable at the end, or none has happened."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
