"""The one statement that is executed often: many rows at once, each event only if it is not there yet.

The interpreter's lock is given up and taken again for each statement, and an event loop that is busy lets go of it
only every few milliseconds. One statement for each row would make the thread that writes wait for every row, so a
group takes few: one that is a little too large is filled with the last row again, which is there already by then.
"""

import sqlite3
from collections.abc import Sequence
from itertools import chain

from event_server.events import StoredEvent
from event_server.store import AppendResult
from event_server.store.results import results_of

# Few enough to stay in the connection's cache of statements.
_SIZES = (1024, 256, 128, 64, 32, 16, 8, 4, 2, 1)
_ROW = f"({', '.join('?' for _ in StoredEvent._fields)})"
_INSERTS = {
    size: f"INSERT INTO events ({', '.join(StoredEvent._fields)}) VALUES {', '.join([_ROW] * size)}"  # noqa: S608
    " ON CONFLICT (event_id) DO NOTHING"
    for size in _SIZES
}
_LATEST = "SELECT event_id FROM events ORDER BY id DESC LIMIT ?"


def insert(connection: sqlite3.Connection, batches: Sequence[Sequence[StoredEvent]]) -> list[AppendResult]:
    """Stores the events of several requests, within a transaction, and returns what became of each request's."""
    events = list(chain.from_iterable(batches))
    stored = _insert(connection, events)
    if stored == len(events):
        return [AppendResult(len(batch), 0) for batch in batches]
    new = {event_id for (event_id,) in connection.execute(_LATEST, (stored,))}
    return results_of(batches, new)


def _insert(connection: sqlite3.Connection, events: Sequence[StoredEvent]) -> int:
    """Returns how many are new."""
    before = connection.total_changes
    start = 0
    while rest := len(events) - start:
        size = next(size for size in _SIZES if 4 * rest > 3 * size)
        rows = [*events[start : start + size], *[events[-1]] * (size - rest)]
        connection.execute(_INSERTS[size], list(chain.from_iterable(rows)))
        start += min(size, rest)
    return connection.total_changes - before
