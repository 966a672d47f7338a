"""What an administrator does with a store, from a process of its own, beside servers that are running."""

from collections.abc import Generator
from types import TracebackType
from typing import NamedTuple, Protocol, Self

from event_server.store import Usage


class KeptEvent(NamedTuple):
    """An event as it came, when, in milliseconds since 1970, and the name of the token it came with."""

    received_at: int
    writer: str | None
    body: str


class Deleted(NamedTuple):
    """What has been deleted.

    Attributes:
        events: how many events.
        acknowledgements: how many notes that an instructor has seen to a request or an error.
        is_overwritten: whether the database's log, too, no longer holds them.
    """

    events: int
    acknowledgements: int
    is_overwritten: bool = True


class Statistics(NamedTuple):
    """What the store holds. Times are milliseconds since 1970, None where there is no event."""

    events: int
    students: int
    first: int | None
    last: int | None
    by_type: dict[str, int]


class Upkeep(Protocol):
    """An administrator's connection to a store; a context manager.

    All of it raises ``StoreUnavailableError`` where waiting may help. Servers notice by themselves that someone else
    has written.

    Attributes:
        place: the store's name for people.
        left_over: where deleted events may still be found, as a sentence.
    """

    place: str
    left_over: str

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    def close(self) -> None:
        """Disconnects."""
        ...

    def count(self, email: str) -> int:
        """Returns how many events of a student there are."""
        ...

    def count_before(self, before: int) -> int:
        """Returns how many events came before a time in milliseconds since 1970."""
        ...

    def events(self, email: str) -> Generator[KeptEvent, None, None]:
        """Yields a student's events, in the order in which they came."""
        ...

    def erase(self, email: str) -> Deleted:
        """Deletes what the store holds of a student now."""
        ...

    def prune(self, before: int) -> Deleted:
        """Deletes what came before a time in milliseconds since 1970."""
        ...

    def statistics(self) -> Statistics:
        """Counts what there is."""
        ...

    def usage(self) -> Usage:
        """Returns how much room there is."""
        ...

    def damage(self) -> str | None:
        """Reads all there is, and returns a sentence on what is wrong with it first; None if nothing is."""
        ...
