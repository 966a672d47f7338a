"""What PostgreSQL does by itself: ``COPY`` of rows that are there, with our tables, and a commit for each group."""

import time
from collections.abc import Iterator, Sequence
from contextlib import closing

import psycopg
from event_server.events import StoredEvent
from event_server.store.postgresql.connecting import Database
from event_server.store.postgresql.store import prepare_schema
from raw_sqlite import groups

_COPY = f"COPY events ({', '.join(StoredEvent._fields)}) FROM STDIN"


def commit_times(url: str, batch: int, group: int, seconds: float) -> Iterator[tuple[int, float]]:
    """Yields the events of each transaction and the seconds that it took, until those add up to so many.

    Args:
        url: the database, which is empty.
        batch: how many events come in one request, and are alike in time.
        group: how many events to store in one transaction, at least a request's.
        seconds: when to stop.
    """
    with closing(psycopg.connect(url, autocommit=True)) as connection:
        prepare_schema(connection, Database(url))
        for rows in groups(batch, group):
            took = _store(connection, rows)
            yield len(rows), took
            seconds -= took
            if seconds <= 0:
                return


def _store(connection: psycopg.Connection[tuple[object, ...]], rows: Sequence[StoredEvent]) -> float:
    began = time.perf_counter()
    with connection.transaction(), connection.cursor() as cursor, cursor.copy(_COPY) as copy:
        for row in rows:
            copy.write_row(row)
    return time.perf_counter() - began
