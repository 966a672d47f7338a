"""What the server counts about itself: plain numbers, since they are touched by every request."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence

from event_server.events import StoredEvent

EVENT_TYPES = ("cell_executed", "notebook_opened", "notebook_saved", "notebook_closed", "help", "help_stop")
OTHER = "other"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Histogram:
    """How often something took how long."""

    __slots__ = ("_counts", "sum")

    def __init__(self) -> None:
        self._counts = [0] * (len(_BOUNDS) + 1)
        self.sum = 0.0

    def observe(self, seconds: float) -> None:
        """Counts one."""
        self._counts[bisect_left(_BOUNDS, seconds)] += 1
        self.sum += seconds

    def buckets(self) -> list[tuple[str, float]]:
        """Returns how often it took at most so many seconds, by that bound."""
        total = 0
        found: list[tuple[str, float]] = []
        for bound, count in zip((*map(str, _BOUNDS), "+Inf"), self._counts, strict=True):
            total += count
            found.append((bound, total))
        return found


class Telemetry:
    """The server's counters. Their labels are of sets that no client can enlarge."""

    def __init__(self) -> None:
        self.requests: dict[tuple[str, str, int], Histogram] = {}
        self.stored: dict[str, int] = dict.fromkeys((*EVENT_TYPES, OTHER), 0)
        self.duplicates = 0
        self.rejected_events: Counter[str] = Counter(invalid=0, too_large=0)
        self.rejected_requests: Counter[str] = Counter()

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Counts a request that was answered; ``route`` is one of ours, not what the client has asked for."""
        key = (method if method in _METHODS else OTHER, route, status)
        histogram = self.requests.get(key)
        if histogram is None:
            histogram = self.requests[key] = Histogram()
        histogram.observe(seconds)

    def take(self, _: int, batches: Sequence[Sequence[StoredEvent]]) -> None:
        """Counts what is stored."""
        stored = self.stored
        for events in batches:
            for event in events:
                kind = event.event_type
                stored[kind if kind in stored else OTHER] += 1
