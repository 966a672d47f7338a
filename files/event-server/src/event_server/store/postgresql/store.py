"""The store in a PostgreSQL database, written by one connection of each server."""

import time
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import psycopg

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
from event_server.store.postgresql.append import append, appending, text
from event_server.store.postgresql.connecting import Connection, Database, Readers, read_schema, translated
from event_server.store.postgresql.others import Others
from event_server.store.schema import check_schema

_ACTIVITY = (
    "SELECT event_type, occurred_at, email_address, user_name, team_name, notebook_path, cell_id, cell_index,"
    " coalesce(has_error, false), session_id, event_time FROM events WHERE occurred_at >= %(since)s{}"
    " ORDER BY occurred_at, event_time, id"
)
_ACTIVITY_OF_ALL = _ACTIVITY.format("")
_ACTIVITY_OF_ONE = _ACTIVITY.format(" AND email_address = %(email)s")
_EXECUTIONS = (
    "SELECT body FROM events WHERE occurred_at >= %s AND event_type = 'cell_executed' AND email_address = %s"
    " ORDER BY occurred_at DESC, event_time DESC, id DESC LIMIT %s"
)
_KNOWS = "SELECT 1 FROM events WHERE occurred_at >= %s AND email_address = %s ORDER BY occurred_at DESC LIMIT 1"
_HELP_SIGNALS = (
    "SELECT email_address, session_id, occurred_at, event_type = 'help_stop' FROM events"
    " WHERE occurred_at >= %s AND event_type IN ('help', 'help_stop') ORDER BY occurred_at"
)
_ACKNOWLEDGED = (
    "SELECT email_address, max(covers_until) FROM acknowledgements"
    " WHERE acknowledged_at >= %s AND kind = %s GROUP BY email_address"
)
# Of several servers that write their probe at once, each reads its own or a later one.
_PROBE = (
    "INSERT INTO probe (id, written_at) VALUES (1, %s)"
    " ON CONFLICT (id) DO UPDATE SET written_at = greatest(probe.written_at + 1, excluded.written_at)"
    " RETURNING written_at"
)
_DURABLE = "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
_MEASURE_SECONDS = 60.0
_ROWS_AT_ONCE = 2000


class PostgresqlStore:
    """Keeps events in a database that several servers share, durable at every commit."""

    look_seconds = 0.5

    def __init__(self, database: Database) -> None:
        """Takes where the database is."""
        self._database = database
        self._readers = Readers(database)
        self._connection: Connection | None = None
        self._others = Others()
        self._size: int | None = None
        self._measured_at = float("-inf")

    def open(self) -> None:
        """Connects and brings the schema up to date."""
        with self._reconnecting_after_errors():
            self._open()

    def append(
        self, batches: Sequence[Sequence[StoredEvent]], acknowledgements: Sequence[Acknowledgement] = ()
    ) -> list[AppendResult]:
        """Stores the events of several requests, and what instructors acknowledged, in one transaction."""
        with self._reconnecting_after_errors():
            appended = append(self._writer(), batches, acknowledgements)
            self._others.note(appended)
        return appended.results

    def check(self) -> None:
        """Writes the probe row and reads it back through a connection of its own."""
        with self._reconnecting_after_errors():
            row = self._writer().execute(_PROBE, (time.time_ns(),)).fetchone()
            written_at = row[0] if row else 0
        found = next(self._read("SELECT written_at FROM probe", ()), (0,))
        if found[0] < written_at:
            raise StoreUnavailableError("the probe that was written is not the one that was read")

    def activity(self, since: int, email: str | None = None) -> Iterator[Activity]:
        """Yields the events that occurred since a time in milliseconds since 1970."""
        if email is not None:
            for row in self._read(_ACTIVITY_OF_ONE, {"since": since, "email": text(email)}):
                yield Activity(*row)
            return
        with translated(), self._readers.one() as reader, reader.transaction():
            yield from _rows(reader, since)

    def history(self, since: int) -> Iterator[Activity]:
        """Returns the events since a time, as they are now."""
        with translated():
            reader = self._database.connect()
            try:
                reader.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                self._others.begin(reader)
            except BaseException:
                reader.close()
                raise
        history = _history(reader, since)
        # Whether or not anyone reads it.
        weakref.finalize(history, reader.close)
        return history

    def news(self) -> News:
        """Returns what other servers have done."""
        with self._reconnecting_after_errors():
            connection = self._writer()
            if time.monotonic() - self._measured_at > _MEASURE_SECONDS:
                self._measure(connection)
            return self._others.news(connection)

    def end_session(self, session_id: str, ends_at: int) -> None:
        """Remembers that an instructor has logged out."""
        with self._reconnecting_after_errors(), appending(self._writer()):
            connection = self._writer()
            connection.execute("DELETE FROM ended_sessions WHERE ends_at < %s", (int(time.time()),))
            values = (text(session_id), ends_at)
            connection.execute("INSERT INTO ended_sessions (session_id, ends_at) VALUES (%s, %s)", values)

    def ended_sessions(self) -> dict[str, int]:
        """Returns the sessions that were ended, and when none of their tokens is valid any more."""
        return dict(self._read("SELECT session_id, ends_at FROM ended_sessions", ()))

    def usage(self) -> Usage:
        """Returns the size of the database a minute ago; the room on its disk is not known here."""
        return Usage(self._size, None)

    def executions(self, email: str, since: int, limit: int) -> list[str]:
        """Returns a student's executions as they came, the latest first."""
        return [body for (body,) in self._read(_EXECUTIONS, (since, text(email), limit))]

    def knows(self, email: str, since: int) -> bool:
        """Tells whether a student has sent an event since a time."""
        return any(self._read(_KNOWS, (since, text(email))))

    def help_signals(self, since: int) -> Iterator[HelpSignal]:
        """Yields what students' help buttons sent since a time."""
        for row in self._read(_HELP_SIGNALS, (since,)):
            yield HelpSignal(*row)

    def acknowledged(self, kind: AcknowledgementKind, since: int) -> dict[str, int]:
        """Returns until when each student's errors or requests are seen to, where that was done since a time."""
        return dict(self._read(_ACKNOWLEDGED, (since, kind)))

    def close(self) -> None:
        """Disconnects."""
        self._disconnect()
        self._readers.close()

    def _writer(self) -> Connection:
        if self._connection is None:
            self._open()
        assert self._connection is not None  # noqa: S101
        return self._connection

    def _open(self) -> None:
        connection = self._database.connect()
        try:
            prepare_schema(connection, self._database)
            connection.execute(_DURABLE)
            self._measure(connection)
        except BaseException:
            connection.close()
            raise
        self._disconnect()
        self._connection = connection

    def _measure(self, connection: Connection) -> None:
        row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
        self._size = row[0] if row else None
        self._measured_at = time.monotonic()

    def _read(self, query: str, parameters: Mapping[str, Any] | Sequence[Any]) -> Iterator[tuple[Any, ...]]:
        with translated(), self._readers.one() as reader:
            found = reader.execute(query, parameters).fetchall()
        yield from found

    @contextmanager
    def _reconnecting_after_errors(self) -> Iterator[None]:
        """Turns errors of the database into the store's, and leaves the next call a fresh connection."""
        try:
            with translated():
                yield
        except StoreUnavailableError:
            self._disconnect()
            raise

    def _disconnect(self) -> None:
        if self._connection is not None:
            with suppress(psycopg.Error):
                self._connection.close()
            self._connection = None


def prepare_schema(connection: Connection, database: Database) -> None:
    """Brings the tables of a database up to date.

    Raises:
        SchemaError: a later release has made tables that this one cannot use.
    """
    if not check_schema(read_schema(connection)):
        # Slow to load, and needed once for each release at most.
        from event_server.store.migrate import migrate_postgresql

        migrate_postgresql(database.connect)


def _history(reader: Connection, since: int) -> Iterator[Activity]:
    with translated():
        yield from _rows(reader, since)


def _rows(reader: Connection, since: int) -> Iterator[Activity]:
    """Yields the events since a time, some at a time, within a transaction."""
    with reader.cursor(name="activity") as cursor:
        cursor.itersize = _ROWS_AT_ONCE
        cursor.execute(_ACTIVITY_OF_ALL, {"since": since})
        for row in cursor:
            yield Activity(*row)
