"""The metrics in Prometheus' text format, version 0.0.4."""

from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from cell_monitor.collector import Figures
from cell_monitor.metrics import INDICATORS, Metrics

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_TEXT_TYPES = ("text/plain", "application/openmetrics-text")
_JSON_TYPES = ("application/json",)
# Where Prometheus has another unit than the operations document.
_SCALES = {"averageResponseTime": 1000.0, "testCoverage": 100.0}


def prefers_text(accept: str) -> bool:
    """Whether a client would rather have the text format than JSON, by its ``Accept`` header; if it minds at all."""
    ranges = [_media_range(part) for part in accept.split(",") if part.strip()]
    return _quality(ranges, _TEXT_TYPES) > _quality(ranges, _JSON_TYPES)


def prometheus_text(metrics: Metrics, figures: Figures | None, version: str, release: str) -> bytes:
    """All metrics.

    Args:
        metrics: what was counted since the start.
        figures: the state of the spool and of the event server, None where nothing is collected.
        version: the extension's version.
        release: the id of the release that runs.
    """
    families = [*_counted(metrics), *_indicators(metrics)]
    if figures is not None:
        families += [*_spool(figures), *_event_server(figures)]
    build = GaugeMetricFamily(
        "cell_monitor_build_info",
        "The version of the extension and the release that runs",
        labels=["version", "release"],
    )
    build.add_metric([version, release], 1)
    return generate_latest(_Snapshot([build, *families]))


class _Snapshot(CollectorRegistry):
    """Nothing but the metrics of this moment, whatever else the process registers."""

    def __init__(self, families: Iterable[Metric]) -> None:
        super().__init__()
        self._families = families

    def collect(self) -> Iterator[Metric]:
        yield from self._families


def _counted(metrics: Metrics) -> Iterator[Metric]:
    received = CounterMetricFamily(
        "cell_monitor_events_received_total", "Events that were new in the spool, by type", labels=["event_type"]
    )
    for event_type, count in metrics.received.items():
        received.add_metric([event_type], count)
    yield received
    yield _counter("events_forwarded", "Events that the event server took", metrics.forwarded)
    yield _counter("delivery_failures", "Deliveries to the event server that failed", metrics.delivery_failures)
    yield _counter("help_requests", "Requests for help, without their heartbeats", metrics.help_requests)
    durations = HistogramMetricFamily(
        "cell_monitor_request_duration_seconds",
        "Time in which the routes under /cell-monitor were answered",
        labels=["route", "code"],
    )
    for (route, code), histogram in sorted(metrics.durations.items()):
        durations.add_metric([route, str(code)], histogram.buckets(), histogram.sum)
    yield durations


def _indicators(metrics: Metrics) -> Iterator[Metric]:
    values = metrics.indicators()
    for indicator in INDICATORS:
        value = values[indicator.key]
        if value is None:
            continue
        help_text = f"{indicator.meaning} ({indicator.window})"
        if indicator.metric.endswith("_total"):
            yield CounterMetricFamily(indicator.metric, help_text, value=value)
        else:
            yield GaugeMetricFamily(indicator.metric, help_text, value=value / _SCALES.get(indicator.key, 1.0))


def _spool(figures: Figures) -> Iterator[Metric]:
    yield _gauge("spool_accepting", "Whether the spool can take events", figures.trouble is None)
    yield _gauge("spool_max_bytes", "How many bytes of events may wait", figures.max_bytes)
    depth = figures.depth
    if depth is None:
        return
    yield _gauge("spool_events", "Events that wait for the event server", depth.events)
    yield _gauge("spool_bytes", "Size of the events that wait", depth.size)
    yield _gauge("spool_oldest_age_seconds", "How long the oldest event has waited", figures.oldest_age or 0.0)
    yield _counter(
        "events_rejected", "Events that the event server refused for good, since the spool exists", depth.rejected
    )
    dropped = CounterMetricFamily(
        "cell_monitor_events_dropped_total", "Events lost on this server, since the spool exists", labels=["reason"]
    )
    dropped.add_metric(["age"], depth.dropped)
    yield dropped
    yield _counter(
        "browser_dropped_events",
        "Events lost in browsers that had no room, since the spool exists",
        depth.browser_dropped,
    )


def _event_server(figures: Figures) -> Iterator[Metric]:
    status = figures.event_server
    if status.reachable is not None:
        yield _gauge("event_server_up", "Whether the event server answered the latest request", status.reachable)
    if status.last_success is not None:
        yield _gauge(
            "event_server_last_success_timestamp_seconds", "When the event server last took events", status.last_success
        )


def _counter(name: str, help_text: str, value: float) -> Metric:
    return CounterMetricFamily(f"cell_monitor_{name}_total", help_text, value=value)


def _gauge(name: str, help_text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"cell_monitor_{name}", help_text, value=value)


def _media_range(text: str) -> tuple[str, float]:
    """The type of one part of an ``Accept`` header, and how much it is wanted."""
    media_type, *parameters = (part.strip().lower() for part in text.split(";"))
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return media_type, float(value)
            except ValueError:
                return media_type, 0.0
    return media_type, 1.0


def _quality(ranges: list[tuple[str, float]], types: tuple[str, ...]) -> float:
    """How much the best of some types is wanted: a more precise part of the header overrules a wider one."""
    best = 0.0
    for name in types:
        for pattern in (name, name.partition("/")[0] + "/*", "*/*"):
            matching = [quality for media_type, quality in ranges if media_type == pattern]
            if matching:
                best = max(best, *matching)
                break
    return best
