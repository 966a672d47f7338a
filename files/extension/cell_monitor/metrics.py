"""What this server extension measures about itself: the nine indicators of the operations document, and counters."""

import hashlib
import secrets
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from cell_monitor.bounded import Clock, Recent, Window
from cell_monitor.memory import resident_bytes
from cell_monitor.spool import Event

EVENT_TYPES = ("cell_executed", "notebook_opened", "notebook_saved", "notebook_closed", "help", "help_stop")
OTHER = "other"

RECENT_SECONDS = 300.0
ACTIVE_SECONDS = 120.0
HOUR_SECONDS = 3600.0
# A request for help sends a heartbeat every 10 seconds; some may be late.
HELP_SECONDS = 60.0
# A Jupyter server has a few hundred users at most; beyond this many the figures stop rising.
MAX_KNOWN = 4096

# In seconds; with the operations document's limit of 2 seconds among them.
DURATION_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0)


class Indicator(NamedTuple):
    """One of the nine indicators.

    Attributes:
        key: its name in the operations document and in the JSON answer.
        metric: its name in the Prometheus answer.
        meaning: what is measured.
        unit: the unit in the JSON answer; Prometheus has seconds and ratios, as is its custom.
        window: the time that it speaks of.
    """

    key: str
    metric: str
    meaning: str
    unit: str
    window: str


INDICATORS = (
    Indicator(
        "averageResponseTime",
        "cell_monitor_average_response_time_seconds",
        "Mean time in which the routes under /cell-monitor were answered, 0 where none was asked for",
        "milliseconds",
        "the last 5 minutes",
    ),
    Indicator(
        "memoryUsage",
        "cell_monitor_resident_memory_bytes",
        "Resident memory of the Jupyter server's process, on macOS its peak, null where the system does not tell",
        "bytes",
        "now",
    ),
    Indicator(
        "eventProcessingRate",
        "cell_monitor_event_processing_rate",
        "Events that the event server took or refused for good, per second",
        "events per second",
        "the last 5 minutes, or since the start",
    ),
    Indicator(
        "errorRate",
        "cell_monitor_error_ratio",
        "Share that failed of all requests to /cell-monitor (answered 5xx) and deliveries to the event server",
        "ratio, 0 to 1",
        "the last 5 minutes",
    ),
    Indicator(
        "dataValidationFailures",
        "cell_monitor_validation_failures_total",
        "Requests turned away for what is in them (422, 413), and events that the event server refused for good",
        "count",
        "since the start",
    ),
    Indicator(
        "testCoverage",
        "cell_monitor_test_coverage_ratio",
        "Lines that the release's tests ran, the lower of TypeScript and Python, null outside a release",
        "percent, 0 to 100",
        "when the release was built",
    ),
    Indicator(
        "activeUsers",
        "cell_monitor_active_users",
        "Addresses that an event came from",
        "count",
        "the last 2 minutes",
    ),
    Indicator(
        "eventsPerSession",
        "cell_monitor_events_per_session",
        "Mean number of events of the page loads that an event came from, since each began, without the heartbeats of"
        " a request for help",
        "events per session",
        "sessions of the last hour",
    ),
    Indicator(
        "helpRequestFrequency",
        "cell_monitor_help_requests_last_hour",
        "Requests for help, each counted once however long it stays on",
        "requests per hour",
        "the last hour",
    ),
)


class Histogram:
    """How many durations were below each of some bounds."""

    def __init__(self) -> None:
        """Starts with none."""
        self._counts = [0] * (len(DURATION_BOUNDS) + 1)
        self.sum = 0.0

    def add(self, seconds: float) -> None:
        """Counts a duration."""
        self._counts[bisect_left(DURATION_BOUNDS, seconds)] += 1
        self.sum += seconds

    def buckets(self) -> list[tuple[str, float]]:
        """Each bound with the number of durations up to it; the last is ``+Inf``, with all of them."""
        total = 0
        rows: list[tuple[str, float]] = []
        for bound, count in zip((*map(str, DURATION_BOUNDS), "+Inf"), self._counts, strict=True):
            total += count
            rows.append((bound, total))
        return rows


class Metrics:
    """Counts what happens. Its memory is bounded, and addresses are kept as hashes that nobody can turn back."""

    def __init__(self, coverage: float | None = None, clock: Clock = time.monotonic) -> None:
        """Starts at zero.

        Args:
            coverage: the test coverage of the release in percent, None where it is not known.
            clock: tells seconds that never go back.
        """
        self.received: Counter[str] = Counter(dict.fromkeys((*EVENT_TYPES, OTHER), 0))
        self.forwarded = 0
        self.delivery_failures = 0
        self.validation_failures = 0
        self.help_requests = 0
        self.durations: dict[tuple[str, int], Histogram] = {}
        self._coverage = coverage
        self._clock = clock
        self._started = clock()
        self._secret = secrets.token_bytes(16)
        self._seconds = Window(RECENT_SECONDS, clock=clock)
        self._requests = Window(RECENT_SECONDS, clock=clock)
        self._deliveries = Window(RECENT_SECONDS, clock=clock)
        self._failures = Window(RECENT_SECONDS, clock=clock)
        self._processed = Window(RECENT_SECONDS, clock=clock)
        self._help_requests = Window(HOUR_SECONDS, 60, clock=clock)
        self._users: Recent[bytes, None] = Recent(MAX_KNOWN, ACTIVE_SECONDS, clock)
        self._sessions: Recent[bytes, int] = Recent(MAX_KNOWN, HOUR_SECONDS, clock)
        self._asking: Recent[bytes, None] = Recent(MAX_KNOWN, HELP_SECONDS, clock)

    def request(self, route: str, code: int, seconds: float) -> None:
        """Counts a request to one of the extension's routes, answered with an HTTP status after some time."""
        self.durations.setdefault((route, code), Histogram()).add(seconds)
        self._requests.add()
        self._seconds.add(seconds)
        if code >= 500:
            self._failures.add()

    def turned_away(self) -> None:
        """Counts a request that is refused for what is in it."""
        self.validation_failures += 1

    def took(self, events: Iterable[Event]) -> None:
        """Counts events that are new in the spool."""
        for event in events:
            event_type = str(event.get("eventType"))
            self.received[event_type if event_type in EVENT_TYPES else OTHER] += 1
            self._users.put(self._hash(event.get("emailAddress")), None)
            session = self._hash(event.get("sessionId"))
            request = self._hash(event.get("sessionId"), event.get("notebookPath"))
            known = self._sessions.get(session) or 0
            self._sessions.put(session, known + (not self._is_heartbeat(event_type, request)))

    def delivered(self, events: int, refused: int) -> None:
        """Counts a delivery that the event server answered for.

        Args:
            events: how many it held.
            refused: how many of them the event server refused for good.
        """
        self._deliveries.add()
        self._processed.add(events)
        self.forwarded += events - refused
        self.validation_failures += refused

    def delivery_failed(self) -> None:
        """Counts a delivery that is to be tried again."""
        self.delivery_failures += 1
        self._deliveries.add()
        self._failures.add()

    def indicators(self) -> dict[str, float | int | None]:
        """The nine indicators by the names of the operations document, as `INDICATORS` explains them."""
        requests = self._requests.total()
        sessions = self._sessions.values()
        uptime = min(RECENT_SECONDS, max(1.0, self._clock() - self._started))
        return {
            "averageResponseTime": round(1000 * _share(self._seconds.total(), requests), 3),
            "memoryUsage": resident_bytes(),
            "eventProcessingRate": round(self._processed.total() / uptime, 6),
            "errorRate": round(_share(self._failures.total(), requests + self._deliveries.total()), 6),
            "dataValidationFailures": self.validation_failures,
            "testCoverage": self._coverage,
            "activeUsers": len(self._users),
            "eventsPerSession": round(_share(sum(sessions), len(sessions)), 3),
            "helpRequestFrequency": int(self._help_requests.total()),
        }

    def _is_heartbeat(self, event_type: str, request: bytes) -> bool:
        """Whether an event only says that a request for help, which is counted here, is still on."""
        if event_type == "help_stop":
            self._asking.discard(request)
        if event_type != "help":
            return False
        known = request in self._asking
        self._asking.put(request, None)
        if not known:
            self.help_requests += 1
            self._help_requests.add()
        return known

    def _hash(self, *values: object) -> bytes:
        text = "\0".join(map(str, values))
        return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8, key=self._secret).digest()


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
