"""Connections to the database: none is waited for longer than a request lives."""

import select
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Empty, Full, LifoQueue
from typing import Any, NamedTuple

import psycopg
from psycopg.conninfo import conninfo_to_dict

from event_server.store import StoreUnavailableError
from event_server.store.schema import Schema

Connection = psycopg.Connection[tuple[Any, ...]]

# Times in milliseconds. The database gives up what a server holds that has gone without a word.
_SETTINGS = {
    "statement_timeout": 30_000,
    "lock_timeout": 10_000,
    "idle_in_transaction_session_timeout": 30_000,
    "tcp_keepalives_idle": 10,
    "tcp_keepalives_interval": 5,
    "tcp_keepalives_count": 3,
}
_DEFAULTS: dict[str, Any] = {
    "application_name": "event-server",
    "client_encoding": "utf8",
    "connect_timeout": 3,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
    "options": " ".join(f"-c {name}={value}" for name, value in _SETTINGS.items()),
}
_MAX_IDLE = 8


class Database(NamedTuple):
    """Where a database is, as libpq writes it, and the file of its password; without one, libpq looks for it."""

    url: str
    password_file: Path | None = None

    def connect(self) -> Connection:
        """Connects; every statement is a transaction of its own unless one is begun.

        Raises:
            psycopg.Error: the database does not answer, or refuses.
            OSError: the password cannot be read.
        """
        found = {name: value for name, value in conninfo_to_dict(self.url).items() if value is not None}
        if self.password_file is not None:
            # Read each time: a password can be changed while the server runs.
            found["password"] = self.password_file.read_text(encoding="utf-8").strip()
        return psycopg.connect(autocommit=True, **(_DEFAULTS | found))


class Readers:
    """Connections that only read, used again by whichever thread needs one next."""

    def __init__(self, database: Database) -> None:
        """Takes the database."""
        self._database = database
        self._idle: LifoQueue[Connection] = LifoQueue(_MAX_IDLE)
        self._is_closed = False

    @contextmanager
    def one(self) -> Iterator[Connection]:
        """Gives a connection."""
        connection = self._take()
        try:
            yield connection
        except BaseException:
            connection.close()
            raise
        try:
            self._idle.put_nowait(connection)
        except Full:
            connection.close()
        if self._is_closed:
            self.close()

    def close(self) -> None:
        """Disconnects: those that are in use when they no longer are."""
        self._is_closed = True
        with suppress(Empty):
            while True:
                self._idle.get_nowait().close()

    def _take(self) -> Connection:
        with suppress(Empty):
            while True:
                connection = self._idle.get_nowait()
                # Nothing is to be heard from one that nobody has asked, unless its end.
                if not connection.closed and not select.select([connection], [], [], 0)[0]:
                    return connection
                connection.close()
        connection = self._database.connect()
        connection.read_only = True
        return connection


@contextmanager
def translated() -> Iterator[None]:
    """Turns errors of the database into the store's. Theirs may quote what was to be stored: only the first line."""
    try:
        yield
    except (psycopg.Error, OSError) as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise StoreUnavailableError(lines[0]) from error


def read_schema(connection: Connection) -> Schema:
    """Returns the version of the tables."""
    found = connection.execute("SELECT to_regclass('schema_version')").fetchone()
    if found == (None,):
        return Schema(0, 0)
    row = connection.execute("SELECT version, readable_from FROM schema_version").fetchone()
    return Schema(*row) if row else Schema(0, 0)
