"""What an administrator does with the database, beside servers that are running."""

from collections.abc import Generator
from contextlib import closing
from types import TracebackType
from typing import Any, Self

import psycopg

from event_server.store import StoreUnavailableError, Usage
from event_server.store.postgresql.append import text
from event_server.store.postgresql.connecting import Database, read_schema, translated
from event_server.store.postgresql.store import prepare_schema
from event_server.store.schema import Schema, check_schema
from event_server.store.upkeep import Deleted, KeptEvent, Statistics

_ROWS_PER_TRANSACTION = 5000
_COUNT_OLD = "SELECT count(*) FROM events WHERE occurred_at < %(before)s AND received_at < %(before)s"
_PRUNE = (
    "DELETE FROM events WHERE id IN (SELECT id FROM events"
    " WHERE occurred_at < %(before)s AND received_at < %(before)s ORDER BY occurred_at LIMIT %(limit)s)"
)
_PRUNE_ACKNOWLEDGEMENTS = (
    "DELETE FROM acknowledgements WHERE id IN"
    " (SELECT id FROM acknowledgements WHERE acknowledged_at < %(before)s LIMIT %(limit)s)"
)


class PostgresqlUpkeep:
    """An administrator's connection to the database of a store; a context manager."""

    left_over = "The database's log may still hold them until it has been written anew."

    def __init__(self, database: Database) -> None:
        """Connects.

        Raises:
            StoreUnavailableError: there is no store, or it cannot be reached.
            SchemaError: it is not one that this release can use.
        """
        self._database = database
        with translated():
            self._connection = database.connect()
        try:
            with translated():
                # An administrator has the time.
                self._connection.execute("SELECT set_config('statement_timeout', '0', false)")
                self.place = f"The database {self._connection.info.dbname} on {self._connection.info.host}"
                found = read_schema(self._connection)
            if not found.version:
                raise StoreUnavailableError(f"{self.place} holds no store; the server makes it when it starts.")
            check_schema(found)
        except StoreUnavailableError:
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
        return int(self._one("SELECT count(*) FROM events WHERE email_address = %s", (text(email),)))

    def count_before(self, before: int) -> int:
        """Returns how many events came before a time in milliseconds since 1970."""
        return int(self._one(_COUNT_OLD, {"before": before}))

    def events(self, email: str) -> Generator[KeptEvent, None, None]:
        """Yields a student's events, in the order in which they came."""
        query = "SELECT received_at, writer, body FROM events WHERE email_address = %s ORDER BY id"
        with translated(), self._connection.transaction(), self._connection.cursor(name="events") as rows:
            rows.execute(query, (text(email),))
            for row in rows:
                yield KeptEvent(*row)

    def erase(self, email: str) -> Deleted:
        """Deletes what the store holds of a student now."""
        with translated():
            prepare_schema(self._connection, self._database)
            with self._connection.transaction():
                events = self._change("DELETE FROM events WHERE email_address = %s", (text(email),))
                acknowledgements = self._change("DELETE FROM acknowledgements WHERE email_address = %s", (text(email),))
                self._tell()
            return Deleted(events, acknowledgements, self._overwrite())

    def prune(self, before: int) -> Deleted:
        """Deletes what came before a time in milliseconds since 1970."""
        with translated():
            prepare_schema(self._connection, self._database)
            events = self._change_all(_PRUNE, before)
            acknowledgements = self._change_all(_PRUNE_ACKNOWLEDGEMENTS, before)
            return Deleted(events, acknowledgements, self._overwrite() if events or acknowledgements else True)

    def statistics(self) -> Statistics:
        """Counts what there is."""
        with translated():
            by_type: dict[str, int] = dict(
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
        """Returns the database's size; the room on its disk is not known here."""
        return Usage(int(self._one("SELECT pg_database_size(current_database())")), None)

    def damage(self) -> str | None:
        """Reads every event, and returns a sentence on what is wrong first; None if nothing is."""
        if self._one("SHOW fsync") != "on":
            return f"{self.place} has fsync off: a power failure would destroy it."
        try:
            self._connection.execute("SELECT count(*), sum(length(body)) FROM events")
        except psycopg.errors.DataCorrupted as error:
            return f"{self.place} is damaged: {error.diag.message_primary}; put back a copy of it."
        return None

    def _change_all(self, statement: str, before: int) -> int:
        total = 0
        while True:
            with self._connection.transaction():
                changed = self._change(statement, {"before": before, "limit": _ROWS_PER_TRANSACTION})
                if changed:
                    self._tell()
            total += changed
            if not changed:
                return total

    def _change(self, statement: str, parameters: Any) -> int:
        return self._connection.execute(statement, parameters).rowcount

    def _tell(self) -> None:
        """Has the servers look again: what they know is no longer there."""
        self._connection.execute("UPDATE deletions SET number = number + 1")

    def _overwrite(self) -> bool:
        """Frees the room for new events; the write-ahead log still holds the old ones, so it is False."""
        self._connection.execute("VACUUM events, acknowledgements")
        return False

    def _one(self, query: str, parameters: Any = ()) -> Any:
        with translated():
            row = self._connection.execute(query, parameters).fetchone()
        return row[0] if row else None


def schema_of(database: Database) -> Schema:
    """Returns the version of the tables of a database, whether or not this release can use them."""
    with translated(), closing(database.connect()) as connection:
        return read_schema(connection)


def migrate(database: Database) -> tuple[int, int]:
    """Brings the tables up to date, and returns the versions before and after."""
    from event_server.store.migrate import migrate_postgresql

    with translated():
        return migrate_postgresql(database.connect)
