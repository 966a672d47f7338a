"""One transaction of events: copied as they are, and once more with care if one of them was stored before.

Who appends holds a lock until its transaction is durable. So ids are given in the order in which transactions end, and
whoever has read up to an id has missed nothing below it; and no two servers that are sent the same events wait for each
other for ever.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import NamedTuple

import psycopg

from event_server.events import StoredEvent
from event_server.store import Acknowledgement, AppendResult
from event_server.store.postgresql.connecting import Connection
from event_server.store.results import results_of

_BEGIN = "BEGIN; SELECT pg_advisory_xact_lock(1667591276, 1)"
_LAST_ID = "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM events_id_seq"
_COLUMNS = ", ".join(StoredEvent._fields)
_COPY = f"COPY events ({_COLUMNS}) FROM STDIN"
_COPY_ASIDE = f"COPY arrivals (place, {_COLUMNS}) FROM STDIN"
_ASIDE = f"CREATE TEMP TABLE arrivals ON COMMIT DROP AS SELECT 0 AS place, {_COLUMNS} FROM events WITH NO DATA"  # noqa: S608
_INSERT = (
    f"INSERT INTO events ({_COLUMNS}) SELECT {_COLUMNS} FROM arrivals ORDER BY place"  # noqa: S608
    " ON CONFLICT (event_id) DO NOTHING RETURNING event_id"
)
_INSERT_ACKNOWLEDGEMENT = (
    "INSERT INTO acknowledgements (kind, acknowledged_at, covers_until, email_address, instructor)"
    " VALUES (%s, %s, %s, %s, %s) RETURNING id"
)


class Appended(NamedTuple):
    """What a transaction has stored: ids from above ``before`` up to ``after``, and those of the acknowledgements."""

    results: list[AppendResult]
    before: int
    after: int
    acknowledgement_ids: list[int]


def append(
    connection: Connection, batches: Sequence[Sequence[StoredEvent]], acknowledgements: Sequence[Acknowledgement]
) -> Appended:
    """Stores the events of several requests, and acknowledgements, in one transaction."""
    events = list(chain.from_iterable(batches))
    try:
        with appending(connection):
            before = _last_id(connection)
            _copy(connection, _COPY, events)
            ids = _acknowledge(connection, acknowledgements)
            after = _last_id(connection)
    except (psycopg.errors.UniqueViolation, psycopg.DataError):
        return _append_with_care(connection, batches, acknowledgements)
    return Appended([AppendResult(len(batch), 0) for batch in batches], before, after, ids)


@contextmanager
def appending(connection: Connection) -> Iterator[None]:
    """Runs statements in a transaction, one server at a time."""
    connection.execute(_BEGIN)
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if not connection.broken:
            connection.execute("ROLLBACK")
        raise


def text(value: str) -> str:
    """Returns a text as the database can keep it: it has no null character."""
    return value.replace("\0", "\ufffd")


def _append_with_care(
    connection: Connection, batches: Sequence[Sequence[StoredEvent]], acknowledgements: Sequence[Acknowledgement]
) -> Appended:
    batches = [[_clean(event) for event in batch] for batch in batches]
    with appending(connection):
        before = _last_id(connection)
        connection.execute(_ASIDE)
        _copy(connection, _COPY_ASIDE, [(place, *event) for place, event in enumerate(chain.from_iterable(batches))])
        new = {event_id for (event_id,) in connection.execute(_INSERT)}
        ids = _acknowledge(connection, acknowledgements)
        after = _last_id(connection)
    return Appended(results_of(batches, new), before, after, ids)


def _clean(event: StoredEvent) -> StoredEvent:
    return StoredEvent._make(text(value) if isinstance(value, str) else value for value in event)


def _copy(connection: Connection, statement: str, rows: Sequence[tuple[object, ...]]) -> None:
    if rows:
        with connection.cursor() as cursor, cursor.copy(statement) as copy:
            for row in rows:
                copy.write_row(row)


def _acknowledge(connection: Connection, acknowledgements: Sequence[Acknowledgement]) -> list[int]:
    ids = []
    for kind, acknowledged_at, covers_until, email, instructor in acknowledgements:
        values = (kind, acknowledged_at, covers_until, text(email), text(instructor))
        ids += [id_ for (id_,) in connection.execute(_INSERT_ACKNOWLEDGEMENT, values)]
    return ids


def _last_id(connection: Connection) -> int:
    row = connection.execute(_LAST_ID).fetchone()
    return row[0] if row else 0
