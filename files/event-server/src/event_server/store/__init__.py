"""Where events are kept: what every store promises."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

from event_server.events import StoredEvent


class StoreUnavailableError(Exception):
    """The store cannot be read or written now; the same call may work later."""


class SchemaError(Exception):
    """The store was written by a release that this one does not understand."""


class AppendResult(NamedTuple):
    """What became of one request's events: how many are new, how many had been stored before."""

    stored: int
    duplicates: int


class Activity(NamedTuple):
    """What the overview needs to know of an event. Times are milliseconds since 1970."""

    event_type: str
    occurred_at: int
    email_address: str
    user_name: str | None
    team_name: str | None
    notebook_path: str | None
    cell_id: str | None
    cell_index: int | None
    has_error: bool


class Store(Protocol):
    """A store of events.

    ``open``, ``append``, ``check`` and ``close`` are called by one thread, ``activity`` by any. All of them raise
    ``StoreUnavailableError`` where waiting may help.
    """

    def open(self) -> None:
        """Connects and brings the schema up to date.

        Raises:
            SchemaError: the schema is one that this release cannot use.
        """
        ...

    def append(self, batches: Sequence[Sequence[StoredEvent]]) -> list[AppendResult]:
        """Stores the events of several requests in one transaction, durably when it returns, or none of them.

        An event whose id is there already is left out.
        """
        ...

    def check(self) -> None:
        """Writes a probe and reads it back, apart from the events."""
        ...

    def activity(self, since: int) -> Iterator[Activity]:
        """Yields the events that occurred at or after a time, in the order in which they occurred."""
        ...

    def close(self) -> None:
        """Disconnects."""
        ...
