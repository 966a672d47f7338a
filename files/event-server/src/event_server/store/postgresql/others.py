"""What other servers have done since this one has last looked."""

from event_server.events import StoredEvent
from event_server.store import Acknowledgement, News
from event_server.store.postgresql.append import Appended
from event_server.store.postgresql.connecting import Connection

_POSITION = (
    "SELECT coalesce((SELECT max(id) FROM events), 0), coalesce((SELECT max(id) FROM acknowledgements), 0),"
    " coalesce((SELECT max(id) FROM ended_sessions), 0), (SELECT number FROM deletions)"
)
_EVENTS = f"SELECT {', '.join(StoredEvent._fields)} FROM events WHERE id > %s AND id <= %s ORDER BY id LIMIT %s"  # noqa: S608
_ACKNOWLEDGEMENTS = (
    "SELECT id, kind, acknowledged_at, covers_until, email_address, instructor"
    " FROM acknowledgements WHERE id > %s AND id <= %s ORDER BY id"
)
_ENDED = "SELECT session_id, ends_at FROM ended_sessions WHERE id > %s AND id <= %s"
# Beyond, it is quicker to begin anew.
_MAX_EVENTS = 10_000


class Others:
    """Knows which rows of the database are this server's own, and up to where it has read those of the others."""

    def __init__(self) -> None:
        self._seen: tuple[int, int, int, int] | None = None
        self._gaps: list[tuple[int, int]] = []
        self._own_acknowledgements: set[int] = set()
        self._is_stale = True

    def begin(self, connection: Connection) -> None:
        """Takes all that a transaction sees for known."""
        self._seen = _position(connection)
        self._gaps.clear()
        self._own_acknowledgements.clear()
        self._is_stale = False

    def note(self, appended: Appended) -> None:
        """Takes what this server has stored; whatever came between two of its transactions is the others'."""
        if self._seen is None:
            return
        self._move(appended.before)
        self._seen = (appended.after, *self._seen[1:])
        self._own_acknowledgements.update(appended.acknowledgement_ids)

    def news(self, connection: Connection) -> News:
        """Returns what is new."""
        if self._seen is None:
            return News(is_stale=True)
        position = _position(connection)
        _, acknowledgements, ended, deletions = self._seen
        self._move(max(position[0], self._seen[0]))
        if deletions != position[3]:
            self._is_stale = True
        found = News(
            self._events(connection),
            [
                Acknowledgement(*row)
                for id_, *row in connection.execute(_ACKNOWLEDGEMENTS, (acknowledgements, position[1]))
                if id_ not in self._own_acknowledgements
            ],
            dict(connection.execute(_ENDED, (ended, position[2])).fetchall()),
            self._is_stale,
        )
        self._seen = (self._seen[0], max(acknowledgements, position[1]), max(ended, position[2]), position[3])
        self._gaps.clear()
        self._own_acknowledgements.clear()
        return found

    def _move(self, events: int) -> None:
        assert self._seen is not None  # noqa: S101
        if events > self._seen[0]:
            self._gaps.append((self._seen[0], events))
        elif events < self._seen[0]:
            # Another database, or an older state of this one.
            self._is_stale = True
        self._seen = (events, *self._seen[1:])

    def _events(self, connection: Connection) -> list[StoredEvent]:
        events: list[StoredEvent] = []
        for first, last in self._gaps:
            left = _MAX_EVENTS + 1 - len(events)
            events += [StoredEvent(*row) for row in connection.execute(_EVENTS, (first, last, left))]
            if len(events) > _MAX_EVENTS:
                self._is_stale = True
                return []
        return events


def _position(connection: Connection) -> tuple[int, int, int, int]:
    row = connection.execute(_POSITION).fetchone()
    assert row is not None  # noqa: S101
    events, acknowledgements, ended, deletions = row
    return events, acknowledgements, ended, deletions
