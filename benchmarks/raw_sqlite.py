"""What SQLite does by itself: ``executemany`` of rows that are there, with our tables, and a commit for each group."""

import random
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

from bodies import Request
from event_server.events import StoredEvent, read_batch
from event_server.store.sqlite import prepare_schema

_INSERT = (
    f"INSERT INTO events ({', '.join(StoredEvent._fields)})"  # noqa: S608
    f" VALUES ({', '.join('?' for _ in StoredEvent._fields)}) ON CONFLICT (event_id) DO NOTHING"
)


def commit_times(database: Path, batch: int, group: int, seconds: float) -> Iterator[tuple[int, float]]:
    """Yields the events of each transaction and the seconds that it took, until those add up to so many.

    Args:
        database: the file to make.
        batch: how many events come in one request, and are alike in time.
        group: how many events to store in one transaction, at least a request's.
        seconds: when to stop.
    """
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        prepare_schema(connection, database)
        for rows in groups(batch, group):
            took = _store(connection, rows)
            yield len(rows), took
            seconds -= took
            if seconds <= 0:
                return


def groups(batch: int, group: int) -> Iterator[list[StoredEvent]]:
    """Yields the rows of one transaction after the other, for ever: so many events at least, in requests of a size."""
    chance = random.Random(1)  # noqa: S311
    requests = [Request(batch, "", chance) for _ in range(64)]
    first = 0
    while True:
        rows: list[StoredEvent] = []
        while len(rows) < group:
            body = chance.choice(requests).body(first, time.time())
            rows += read_batch(body, received_at=time.time_ns() // 10**6, writer="class1", max_event_bytes=2**20).valid
            first += batch
        yield rows


def _store(connection: sqlite3.Connection, rows: Sequence[StoredEvent]) -> float:
    began = time.perf_counter()
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany(_INSERT, rows)
    connection.execute("COMMIT")
    return time.perf_counter() - began
