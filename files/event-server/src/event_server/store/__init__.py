"""Where events are kept: what every store promises."""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Literal, NamedTuple, Protocol

from event_server.events import StoredEvent


class StoreUnavailableError(Exception):
    """The store cannot be read or written now; the same call may work later."""


class SchemaError(StoreUnavailableError):
    """The store was written by a release that this one does not understand: it works again under that one."""


class AppendResult(NamedTuple):
    """What became of one request's events.

    Attributes:
        stored: how many are new.
        duplicates: how many had been stored before.
        left_out: the places of those in the request.
    """

    stored: int
    duplicates: int
    left_out: frozenset[int] = frozenset()


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
    session_id: str | None = None
    event_time: int = 0


AcknowledgementKind = Literal["help", "error"]


class Acknowledgement(NamedTuple):
    """That an instructor has seen to a student's requests for help, or errors. Times are milliseconds since 1970.

    ``acknowledged_at`` is the server's clock; what occurred until ``covers_until`` is seen to.
    """

    kind: AcknowledgementKind
    acknowledged_at: int
    covers_until: int
    email_address: str
    instructor: str


class HelpSignal(NamedTuple):
    """What a help button sent at a time in milliseconds since 1970: a heartbeat, or that it went off."""

    email_address: str
    session_id: str | None
    occurred_at: int
    stops: bool


class News(NamedTuple):
    """What others have done to the store.

    Attributes:
        events: the events that they have stored.
        acknowledgements: what instructors have seen to.
        ended_sessions: who has logged out, and until when that matters, in seconds since 1970.
        is_stale: whether they have done more than that: what is known of the store is no longer true.
    """

    events: Sequence[StoredEvent] = ()
    acknowledgements: Sequence[Acknowledgement] = ()
    ended_sessions: Mapping[str, int] = MappingProxyType({})
    is_stale: bool = False


class Usage(NamedTuple):
    """The bytes that the store takes, and the bytes free where it lies; None if unknown."""

    size: int | None
    free: int | None


class Store(Protocol):
    """A store of events.

    ``open``, ``append``, ``check``, ``history``, ``news``, ``end_session`` and ``close`` are called by one thread, what
    else reads by any. All of them raise ``StoreUnavailableError`` where waiting may help. Times are milliseconds since
    1970, where nothing else is said.

    Attributes:
        look_seconds: how often to ask for news.
    """

    look_seconds: float

    def open(self) -> None:
        """Connects and brings the schema up to date.

        Raises:
            SchemaError: the schema is one that this release cannot use.
        """
        ...

    def append(
        self, batches: Sequence[Sequence[StoredEvent]], acknowledgements: Sequence[Acknowledgement] = ()
    ) -> list[AppendResult]:
        """Stores the events of several requests, and acknowledgements, in one transaction.

        They are durable when it returns, or none of them is there. An event whose id is there already is left out.
        """
        ...

    def check(self) -> None:
        """Writes a probe and reads it back, apart from the events."""
        ...

    def activity(self, since: int, email: str | None = None) -> Iterator[Activity]:
        """Yields the events, of one student or all, since a time, in the order in which they occurred."""
        ...

    def history(self, since: int) -> Iterator[Activity]:
        """Returns the events since a time, in order, as they are now: what is stored later is not among them.

        Any thread may iterate it.
        """
        ...

    def news(self) -> News:
        """Returns what anyone but ``append`` and ``check`` has done since it, or ``history``, was last asked."""
        ...

    def end_session(self, session_id: str, ends_at: int) -> None:
        """Remembers that an instructor has logged out, until a time in seconds since 1970."""
        ...

    def ended_sessions(self) -> dict[str, int]:
        """Returns the sessions that were ended, and until when that matters, in seconds since 1970."""
        ...

    def usage(self) -> Usage:
        """Returns how much room there is; raises nothing."""
        ...

    def executions(self, email: str, since: int, limit: int) -> list[str]:
        """Returns the JSON of a student's ``cell_executed`` events since a time, the latest first."""
        ...

    def knows(self, email: str, since: int) -> bool:
        """Tells whether a student has sent an event since a time."""
        ...

    def help_signals(self, since: int) -> Iterator[HelpSignal]:
        """Yields the heartbeats of help requests, and their ends, since a time."""
        ...

    def acknowledged(self, kind: AcknowledgementKind, since: int) -> dict[str, int]:
        """Returns, by student, until when the acknowledgements made since a time cover what occurred."""
        ...

    def close(self) -> None:
        """Disconnects."""
        ...
