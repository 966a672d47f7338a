"""``/metrics`` for Prometheus. Open to everyone: no word about a person."""

import resource
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request, Response
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from event_server import __version__
from event_server.telemetry import OTHER, Telemetry

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_PREFIX = "event_server_"
_STARTED_AT = time.time()

router = APIRouter(tags=["health"])


class Observed:
    """Counts the requests to an application by the route that answers them."""

    def __init__(self, app: ASGIApp, telemetry: Telemetry) -> None:
        """Takes the application and the counters."""
        self._app = app
        self._telemetry = telemetry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 500

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, note)
        finally:
            route = getattr(scope.get("route"), "path", OTHER)
            self._telemetry.observe(scope["method"], route, status, time.perf_counter() - started)


class ServerCollector(Collector):
    """Reads the parts of a server when it is asked."""

    def __init__(self, state: Any) -> None:
        """Takes the state of the application."""
        self._state = state

    def collect(self) -> Iterator[Metric]:
        """Yields every metric."""
        yield _gauge("build_info", "Which release this is.", 1, version=__version__, release=self._state.release)
        yield from _ingest(self._state.telemetry)
        yield from _store(self._state)
        yield from _class(self._state)
        yield _gauge("websocket_clients", "Screens that are connected.", self._state.screens.count)
        yield from _process()


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"example": "event_server_queued_events 0.0\n"}}}},
)
async def metrics(request: Request) -> Response:
    """The server in numbers, in the text format of Prometheus."""
    return Response(generate_latest(request.app.state.registry), media_type=CONTENT_TYPE)


def make_registry(state: Any) -> CollectorRegistry:
    """Returns what ``/metrics`` shows: the process, the interpreter and the server."""
    registry = CollectorRegistry()
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    registry.register(ServerCollector(state))
    return registry


def _ingest(telemetry: Telemetry) -> Iterator[Metric]:
    requests = HistogramMetricFamily(
        _PREFIX + "http_request_duration_seconds",
        "How long requests took to answer.",
        labels=["method", "route", "code"],
    )
    for (method, route, status), histogram in list(telemetry.requests.items()):
        requests.add_metric([method, route, str(status)], histogram.buckets(), histogram.sum)
    yield requests
    yield _counters("events_stored", "Events that are durable.", "type", telemetry.stored)
    yield CounterMetricFamily(_PREFIX + "events_duplicate", "Events stored before.", value=telemetry.duplicates)
    yield _counters("events_rejected", "Events echoed to their senders.", "reason", telemetry.rejected_events)
    yield _counters("requests_rejected", "Posts of events refused as a whole.", "reason", telemetry.rejected_requests)


def _store(state: Any) -> Iterator[Metric]:
    writer = state.writer
    yield _gauge("queued_events", "Events that wait for the writer.", writer.queued_events)
    commits = HistogramMetricFamily(_PREFIX + "commit_duration_seconds", "How long transactions took.")
    commits.add_metric([], writer.commits.buckets(), writer.commits.sum)
    yield commits
    yield _gauge("last_commit_timestamp_seconds", "When events were last stored, 0 if never.", writer.committed_at)
    size, free = state.store.usage()
    if size is not None:
        yield _gauge("database_size_bytes", "What the database takes, with its log.", size)
    if free is not None:
        yield _gauge("disk_free_bytes", "What is free where the database lies.", free)


def _class(state: Any) -> Iterator[Metric]:
    seen = state.live.metrics("1h")
    if seen is not None:
        yield _gauge("active_students", "Students who are active.", seen.total_active)
        yield _gauge("help_requests", "Students who ask for help.", seen.help_count)
        yield _gauge("stuck_students", "Students with significant errors.", seen.significant_error_count)


def _process() -> Iterator[Metric]:
    """The library's own collector is silent where the unit hides /proc but for the process."""
    cpu = "User and system CPU time spent in seconds."
    yield CounterMetricFamily("process_cpu_seconds", cpu, value=time.process_time())
    started = "Start time of the process since unix epoch in seconds."
    yield GaugeMetricFamily("process_start_time_seconds", started, value=_STARTED_AT)
    with suppress(OSError):
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        memory = "Resident memory size in bytes."
        yield GaugeMetricFamily("process_resident_memory_bytes", memory, value=pages * resource.getpagesize())
        files = sum(1 for _ in Path("/proc/self/fd").iterdir())
        yield GaugeMetricFamily("process_open_fds", "Number of open file descriptors.", value=files)


def _gauge(name: str, documentation: str, value: float, **labels: str) -> Metric:
    family = GaugeMetricFamily(_PREFIX + name, documentation, labels=list(labels))
    family.add_metric(list(labels.values()), value)
    return family


def _counters(name: str, documentation: str, label: str, counts: dict[str, int]) -> Metric:
    family = CounterMetricFamily(_PREFIX + name, documentation, labels=[label])
    for value, count in list(counts.items()):
        family.add_metric([value], count)
    return family
