"""What an administrator does with the SQLite store, from a process of its own, beside a server that is running.

Every change is a row of short transactions, with pauses in which the server's writer gets its turn. The server notices
by itself that someone else has written.
"""

import sqlite3
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from event_server.store import SchemaError, StoreUnavailableError, Usage
from event_server.store.schema import Schema, check_schema
from event_server.store.sqlite import SqliteStore, prepare_schema, read_schema, transaction
from event_server.store.upkeep import Deleted, KeptEvent, Statistics

# Beside a busy server, which leaves the file to others for moments only.
_BUSY_TIMEOUT_SECONDS = 60.0
# A transaction of so many takes some milliseconds; a request waits for it.
_ROWS_PER_TRANSACTION = 250
_LEAST_PAUSE_SECONDS = 0.01
_CHECKPOINT_SECONDS = 5.0

# A row id may be given again once the latest event is gone.
_ERASE = "DELETE FROM events WHERE id = ? AND email_address = ?"
# A client's clock may be years behind: only what came long ago is old.
_COUNT_OLD = "SELECT count(*) FROM events WHERE occurred_at < :before AND received_at < :before"
_PRUNE = (
    "DELETE FROM events WHERE id IN (SELECT id FROM events"
    " WHERE occurred_at < :before AND received_at < :before ORDER BY occurred_at LIMIT :limit)"
)
_PRUNE_ACKNOWLEDGEMENTS = (
    "DELETE FROM acknowledgements WHERE id IN"
    " (SELECT id FROM acknowledgements WHERE acknowledged_at < :before LIMIT :limit)"
)


class SqliteUpkeep:
    """A connection of an administrator's to the file of a store; a context manager."""

    left_over = "The database's log may still hold them until the server is restarted."

    def __init__(self, path: Path) -> None:
        """Connects.

        Raises:
            StoreUnavailableError: there is no store, or it cannot be opened.
            SchemaError: it is not one that this release can use.
        """
        _refuse_nothing(path)
        self.place = str(path)
        self._path = path
        with _translated():
            self._connection = sqlite3.connect(
                path.absolute().as_uri() + "?mode=rw", uri=True, timeout=_BUSY_TIMEOUT_SECONDS, isolation_level=None
            )
            try:
                found = read_schema(self._connection)
                check_schema(found)
                if not found.version:
                    raise SchemaError(f"{path} is not a store of events.")
            except BaseException:
                self._connection.close()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Disconnects."""
        self._connection.close()

    def count(self, email: str) -> int:
        """Returns how many events of a student there are."""
        return int(self._one("SELECT count(*) FROM events WHERE email_address = ?", (email,)))

    def count_before(self, before: int) -> int:
        """Returns how many events came before a time in milliseconds since 1970."""
        return int(self._one(_COUNT_OLD, {"before": before}))

    def events(self, email: str) -> Generator[KeptEvent, None, None]:
        """Yields a student's events, in the order in which they came."""
        query = "SELECT received_at, writer, body FROM events WHERE email_address = ? ORDER BY id"
        with _translated(), closing(self._connection.execute(query, (email,))) as rows:
            for row in rows:
                yield KeptEvent(*row)

    def erase(self, email: str) -> Deleted:
        """Deletes what the store holds of a student now."""
        with _translated():
            self._prepare()
            found = self._connection.execute("SELECT id, email_address FROM events WHERE email_address = ?", (email,))
            ids = found.fetchall()
            parts = [ids[start : start + _ROWS_PER_TRANSACTION] for start in range(0, len(ids), _ROWS_PER_TRANSACTION)]
            events = sum(self._change(_ERASE, part) for part in parts)
            acknowledgements = self._change("DELETE FROM acknowledgements WHERE email_address = ?", [(email,)])
            return Deleted(events, acknowledgements, self._overwrite())

    def prune(self, before: int) -> Deleted:
        """Deletes what came before a time in milliseconds since 1970."""
        with _translated():
            self._prepare()
            events = self._change_all(_PRUNE, before)
            acknowledgements = self._change_all(_PRUNE_ACKNOWLEDGEMENTS, before)
            return Deleted(events, acknowledgements, self._overwrite() if events or acknowledgements else True)

    def statistics(self) -> Statistics:
        """Counts what there is."""
        with _translated():
            by_type = dict(
                self._connection.execute(
                    "SELECT event_type, count(*) FROM events GROUP BY event_type ORDER BY count(*) DESC, event_type"
                ).fetchall()
            )
        return Statistics(
            sum(by_type.values()),
            self._one("SELECT count(DISTINCT email_address) FROM events"),
            self._one("SELECT min(occurred_at) FROM events"),
            self._one("SELECT max(occurred_at) FROM events"),
            by_type,
        )

    def usage(self) -> Usage:
        """Returns the size of the file and its log, and the room on their disk."""
        return SqliteStore(self._path).usage()

    def damage(self) -> str | None:
        """Reads the whole file, and returns a sentence on what is wrong with it first; None if nothing is."""
        found = str(self._one("PRAGMA quick_check(1)"))
        return None if found == "ok" else f"{self.place} is damaged: {found}; put back a copy of it."

    def _prepare(self) -> None:
        self._connection.execute("PRAGMA synchronous = FULL")
        # Nothing of what is deleted stays behind in the file.
        self._connection.execute("PRAGMA secure_delete = ON")
        prepare_schema(self._connection, self._path)

    def _change_all(self, statement: str, before: int) -> int:
        row = {"before": before, "limit": _ROWS_PER_TRANSACTION}
        return sum(iter(lambda: self._change(statement, [row]), 0))

    def _change(self, statement: str, rows: Sequence[Mapping[str, Any] | Sequence[Any]]) -> int:
        """Changes rows in a transaction, gives the server its turn, and returns how many were changed."""
        with transaction(self._connection):
            started = time.monotonic()
            count = self._connection.executemany(statement, rows).rowcount
        time.sleep(max(_LEAST_PAUSE_SECONDS, time.monotonic() - started))
        return count

    def _overwrite(self) -> bool:
        """Empties the log, where pages as they were may still be; False if someone reads it all the time."""
        self._connection.execute("PRAGMA busy_timeout = 100")
        deadline = time.monotonic() + _CHECKPOINT_SECONDS
        while self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.1)
        return True

    def _one(self, query: str, parameters: Any = ()) -> Any:
        with _translated():
            return self._connection.execute(query, parameters).fetchone()[0]


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise StoreUnavailableError(f"The store cannot be used: {error}.") from error


def schema_of(path: Path) -> Schema:
    """Returns the version of the tables of a file, whether or not this release can use them."""
    if not path.is_file():
        return Schema(0, 0)
    with _translated(), closing(sqlite3.connect(path.absolute().as_uri() + "?mode=ro", uri=True)) as connection:
        return read_schema(connection)


def migrate(path: Path) -> tuple[int, int]:
    """Brings the tables up to date, and returns the versions before and after."""
    from event_server.store.migrate import migrate_sqlite

    _refuse_nothing(path)
    with _translated():
        return migrate_sqlite(path, _BUSY_TIMEOUT_SECONDS)


def _refuse_nothing(path: Path) -> None:
    if not path.is_file():
        raise StoreUnavailableError(f"There is no store at {path}; the server makes it when it starts.")
