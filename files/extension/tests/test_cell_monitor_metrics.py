import gc
import json
import shutil
import subprocess
import tracemalloc
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cell_monitor import memory
from cell_monitor.exposition import prefers_text, prometheus_text
from cell_monitor.memory import resident_bytes
from cell_monitor.metrics import EVENT_TYPES, INDICATORS, MAX_KNOWN, Metrics
from conftest import Clock, EventServer, make_event, post, refused, until
from prometheus_client.parser import text_string_to_metric_families
from tornado.web import RequestHandler

KEYS = {
    *("averageResponseTime", "memoryUsage", "eventProcessingRate", "errorRate", "dataValidationFailures"),
    *("testCoverage", "activeUsers", "eventsPerSession", "helpRequestFrequency"),
}
PROMETHEUS_ACCEPTS = (
    "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1",
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=1.0.0;q=0.4,*/*;q=0.2",
    "text/plain",
    "text/plain; version=0.0.4",
    "text/*, application/json;q=0.5",
    "TEXT/PLAIN;Q=0.9",
)
OTHER_ACCEPTS = (
    "",
    "*/*",
    "application/json",
    "application/json, text/plain, */*",
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8",
    "text/plain;q=0, */*",
    "text/plain;q=much",
    "image/png",
    ",;=,",
)


def values(text: bytes) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """The samples of an answer, by their names and labels."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def metrics(clock: Clock) -> Metrics:
    return Metrics(93.4, clock)


def test_has_the_nine_indicators_of_the_operations_document(metrics: Metrics) -> None:
    indicators = metrics.indicators()
    assert indicators.keys() == KEYS == {indicator.key for indicator in INDICATORS}
    assert isinstance(indicators["memoryUsage"], int)
    assert indicators["memoryUsage"] > 10_000_000
    assert {**indicators, "memoryUsage": 0} == {**dict.fromkeys(KEYS, 0), "testCoverage": 93.4}
    assert Metrics().indicators()["testCoverage"] is None


def test_requests_count_for_five_minutes(metrics: Metrics, clock: Clock) -> None:
    for code, seconds in ((202, 0.1), (202, 0.2), (422, 0.3), (503, 0.6)):
        metrics.request("events", code, seconds)
    assert metrics.indicators()["averageResponseTime"] == 300
    assert metrics.indicators()["errorRate"] == 0.25
    metrics.delivered(200, 0)
    for _ in range(3):
        metrics.delivery_failed()
    assert metrics.indicators()["errorRate"] == 0.5
    clock.now += 300
    assert (metrics.indicators()["averageResponseTime"], metrics.indicators()["errorRate"]) == (0, 0)


def test_the_rate_is_that_of_five_minutes_or_since_the_start(metrics: Metrics, clock: Clock) -> None:
    clock.now += 20
    metrics.delivered(200, 10)
    assert metrics.indicators()["eventProcessingRate"] == 10
    clock.now += 180
    metrics.delivered(100, 0)
    assert metrics.indicators()["eventProcessingRate"] == 1.5
    clock.now += 250
    assert metrics.indicators()["eventProcessingRate"] == pytest.approx(1 / 3, abs=1e-6)
    clock.now += 60
    assert metrics.indicators()["eventProcessingRate"] == 0


def test_what_is_turned_away_or_refused_is_counted_since_the_start(metrics: Metrics, clock: Clock) -> None:
    metrics.turned_away()
    metrics.delivered(10, 3)
    clock.now += 100_000
    assert metrics.indicators()["dataValidationFailures"] == 4


def test_users_are_active_for_two_minutes(metrics: Metrics, clock: Clock) -> None:
    metrics.took([make_event(emailAddress=f"s{number % 3}@example.com") for number in range(9)])
    clock.now += 119
    metrics.took([make_event(emailAddress="s0@example.com", eventType="unheard of")])
    assert metrics.indicators()["activeUsers"] == 3
    clock.now += 1
    assert metrics.indicators()["activeUsers"] == 1


def test_sessions_are_those_of_the_last_hour(metrics: Metrics, clock: Clock) -> None:
    metrics.took([make_event(sessionId="a") for _ in range(5)])
    metrics.took([make_event(sessionId="b")])
    assert metrics.indicators()["eventsPerSession"] == 3
    clock.now += 3000
    metrics.took([make_event(sessionId="b")])
    clock.now += 3000
    assert metrics.indicators()["eventsPerSession"] == 2
    clock.now += 3600
    assert metrics.indicators()["eventsPerSession"] == 0


def test_a_request_for_help_counts_once_whatever_its_heartbeats(metrics: Metrics, clock: Clock) -> None:
    def send(event_type: str, **fields: Any) -> None:
        metrics.took([make_event(**{"eventType": event_type, "sessionId": "a", "notebookPath": "x.ipynb", **fields})])

    for _ in range(30):
        send("help")
        clock.now += 10
    assert metrics.indicators()["helpRequestFrequency"] == 1
    assert metrics.indicators()["eventsPerSession"] == 1
    send("help_stop")
    send("help")
    assert metrics.indicators()["helpRequestFrequency"] == 2
    send("help", notebookPath="y.ipynb")
    send("help", sessionId="b")
    assert metrics.indicators()["helpRequestFrequency"] == 4
    clock.now += 61
    send("help")
    assert metrics.indicators()["helpRequestFrequency"] == 5
    clock.now += 3600
    assert metrics.indicators()["helpRequestFrequency"] == 0
    assert metrics.help_requests == 5


def test_whatever_comes_in_is_counted_and_little_of_it_remembered(metrics: Metrics) -> None:
    for number in range(MAX_KNOWN + 1000):
        metrics.took([{"eventType": f"t{number}", "emailAddress": f"{number}\ud83d", "sessionId": [number] * 9}])
    assert metrics.indicators()["activeUsers"] == MAX_KNOWN
    assert metrics.received["other"] == MAX_KNOWN + 1000
    assert metrics.received.keys() == {*EVENT_TYPES, "other"}


def test_the_memory_is_null_where_the_system_does_not_tell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(memory, "_STATM", tmp_path / "statm")
    assert resident_bytes() is None
    metrics = Metrics()
    assert metrics.indicators()["memoryUsage"] is None
    text = prometheus_text(metrics, None, "1", "r").decode()
    assert "resident_memory" not in text
    assert "test_coverage" not in text
    monkeypatch.setattr("sys.platform", "darwin")
    assert isinstance(resident_bytes(), int)
    monkeypatch.setattr("sys.platform", "win32")
    assert resident_bytes() is None


def test_prometheus_has_seconds_and_ratios(metrics: Metrics) -> None:
    metrics.request("events", 202, 2.0)
    metrics.request("events", 202, 0.004)
    metrics.request("health", 503, 60.0)
    samples = values(prometheus_text(metrics, None, "1.2.0", 'a "release"\n'))
    assert samples["cell_monitor_test_coverage_ratio", ()] == pytest.approx(0.934)
    assert samples["cell_monitor_average_response_time_seconds", ()] == pytest.approx(62.004 / 3, abs=1e-3)
    assert samples["cell_monitor_build_info", (("release", 'a "release"\n'), ("version", "1.2.0"))] == 1
    events = (("code", "202"), ("route", "events"))
    buckets = {
        bound: samples["cell_monitor_request_duration_seconds_bucket", (events[0], ("le", bound), events[1])]
        for bound in ("0.005", "1.0", "2.0", "+Inf")
    }
    assert buckets == {"0.005": 1, "1.0": 1, "2.0": 2, "+Inf": 2}
    assert samples["cell_monitor_request_duration_seconds_count", events] == 2
    assert samples["cell_monitor_request_duration_seconds_sum", events] == pytest.approx(2.004)


@pytest.mark.parametrize("accept", PROMETHEUS_ACCEPTS)
def test_a_prometheus_server_gets_text(accept: str) -> None:
    assert prefers_text(accept)


@pytest.mark.parametrize("accept", OTHER_ACCEPTS)
def test_others_get_json(accept: str) -> None:
    assert not prefers_text(accept)


@pytest.mark.usefixtures("stopped")
class TestRoute:
    async def fetch(self, jp_fetch: Any, accept: str = "*/*", **params: str) -> Any:
        headers = {"Accept": accept, "Authorization": "token wrong"}
        return await jp_fetch("cell-monitor", "metrics", headers=headers, params=params)

    async def test_measures_what_really_happens(
        self, jp_fetch: Any, jp_serverapp: Any, event_server: EventServer
    ) -> None:
        def answer(handler: RequestHandler, events: list[dict[str, Any]]) -> None:
            handler.set_status(202)
            failed = [event for event in events if event["eventType"] == "bad"]
            handler.finish({"batch_stats": {"failed_events": failed}})

        event_server.answer = answer
        events = [make_event(sessionId="s", eventType=event_type) for event_type in ("help", "help", "bad")]
        await post(jp_fetch, events, headers={"X-Cell-Monitor-Dropped": "7"})
        await refused(post(jp_fetch, [{}]))
        await until(lambda: jp_serverapp.web_app.settings["cell_monitor_metrics"].forwarded == 2)
        response = await self.fetch(jp_fetch)
        assert response.headers["Content-Type"] == "application/json"
        indicators = json.loads(response.body)
        assert indicators.keys() == KEYS
        assert 0 < indicators["averageResponseTime"] < 2000
        assert indicators["memoryUsage"] > 10_000_000
        assert indicators["eventProcessingRate"] > 0
        assert indicators["errorRate"] == 0
        assert indicators["dataValidationFailures"] == 2
        assert indicators["testCoverage"] is None
        assert (indicators["activeUsers"], indicators["eventsPerSession"]) == (1, 2)
        assert indicators["helpRequestFrequency"] == 1

        response = await self.fetch(jp_fetch, PROMETHEUS_ACCEPTS[0])
        assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert b"taro" not in response.body
        samples = values(response.body)
        assert samples["cell_monitor_events_received_total", (("event_type", "help"),)] == 2
        assert samples["cell_monitor_events_received_total", (("event_type", "other"),)] == 1
        assert samples["cell_monitor_events_dropped_total", (("reason", "age"),)] == 0
        plain = {
            "events_forwarded_total": 2,
            "events_rejected_total": 1,
            "browser_dropped_events_total": 7,
            "validation_failures_total": 2,
            "delivery_failures_total": 0,
            "spool_accepting": 1,
            "spool_events": 0,
            "spool_bytes": 0,
            "spool_max_bytes": 256 * 2**20,
            "spool_oldest_age_seconds": 0,
            "event_server_up": 1,
            "active_users": 1,
            "help_requests_total": 1,
        }
        assert {name: samples[f"cell_monitor_{name}", ()] for name in plain} == plain
        assert samples["cell_monitor_event_server_last_success_timestamp_seconds", ()] > 1e9
        turned_away = (("code", "422"), ("route", "events"))
        assert samples["cell_monitor_request_duration_seconds_count", turned_away] == 1

    async def test_the_form_may_be_named(self, jp_fetch: Any) -> None:
        response = await self.fetch(jp_fetch, PROMETHEUS_ACCEPTS[0], format="json")
        assert json.loads(response.body).keys() == KEYS
        response = await self.fetch(jp_fetch, "application/json", format="prometheus")
        assert response.body.startswith(b"# HELP cell_monitor_build_info ")
        code, answer, _ = await refused(self.fetch(jp_fetch, format="xml"))
        assert code == 400
        assert answer == {"message": "format is 'xml': it must be one of json, prometheus", "field": "format"}

    @pytest.mark.parametrize("dropped", ["-1", "1.5", "x", "", "1, 2", "\u00b2", "1234567"])
    async def test_only_a_small_number_of_dropped_events_is_believed(self, jp_fetch: Any, dropped: str) -> None:
        response = await post(jp_fetch, [], headers={"X-Cell-Monitor-Dropped": dropped})
        assert response.code == 202
        samples = values((await self.fetch(jp_fetch, format="prometheus")).body)
        assert samples["cell_monitor_browser_dropped_events_total", ()] == 0

    async def test_a_spool_that_fails_is_seen(self, jp_fetch: Any, jp_serverapp: Any) -> None:
        await post(jp_fetch, [])
        spool = jp_serverapp.web_app.settings["cell_monitor_collector"]._spool
        spool._max_bytes = 0
        samples = values((await self.fetch(jp_fetch, format="prometheus")).body)
        assert samples["cell_monitor_spool_accepting", ()] == 0
        spool.close()
        samples = values((await self.fetch(jp_fetch, format="prometheus")).body)
        assert samples["cell_monitor_spool_accepting", ()] == 0
        assert ("cell_monitor_spool_events", ()) not in samples

    async def test_promtool_has_nothing_to_say(self, jp_fetch: Any) -> None:
        promtool = shutil.which("promtool")
        if promtool is None:
            pytest.skip("promtool is not installed")
        await post(jp_fetch, [make_event()])
        text = (await self.fetch(jp_fetch, format="prometheus")).body
        check = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, check=False)
        assert (check.returncode, check.stdout, check.stderr) == (0, b"", b"")

    @pytest.mark.usefixtures("traced")
    async def test_the_memory_is_flat_over_ten_thousand_executions(
        self, jp_fetch: Any, jp_serverapp: Any, event_server: EventServer
    ) -> None:
        def answer(handler: RequestHandler, _: list[dict[str, Any]]) -> None:
            handler.set_status(202)
            event_server.requests.clear()

        metrics = jp_serverapp.web_app.settings["cell_monitor_metrics"]
        event_server.answer = answer

        async def execute(requests: int) -> int:
            forwarded = metrics.forwarded
            for _ in range(requests):
                await post(jp_fetch, [make_event(result="x" * 1000) for _ in range(100)])
            await until(lambda: metrics.forwarded == forwarded + 100 * requests)
            gc.collect()
            return tracemalloc.get_traced_memory()[0]

        before = await execute(10)
        assert await execute(100) - before < 5_000_000


@pytest.fixture
def traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


def test_ids_are_unlike_in_each_process() -> None:
    address = str(uuid.uuid4())
    assert Metrics()._hash(address) != Metrics()._hash(address)
