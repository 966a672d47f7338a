import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import READER, WRITER, event, post
from event_server import __version__
from event_server.screens import PATH
from event_server.telemetry import Histogram
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

EVENTS = "/api/v1/events"
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scrape(client: TestClient) -> Samples:
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    families = text_string_to_metric_families(answer.text)
    return {
        (sample.name.removeprefix("event_server_"), frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples[name, frozenset(labels.items())]


def count(samples: Samples, method: str, route: str, code: str) -> float:
    return value(samples, "http_request_duration_seconds_count", method=method, route=route, code=code)


def test_what_comes_in(client: TestClient) -> None:
    first = event()
    post(client, first, event("help"), event("new_one"), {"eventId": "x"}, event(code="x" * 2**20))
    post(client, first)
    client.post(EVENTS, content="{", headers=WRITER)
    client.post(EVENTS, json=[])
    client.post(EVENTS, json=[{}] * 201, headers=WRITER)
    client.post(EVENTS, json=[], headers=WRITER | {"Origin": "https://evil.example"})
    client.get(EVENTS)
    samples = scrape(client)
    kinds = ("cell_executed", "help", "help_stop", "other")
    assert [value(samples, "events_stored_total", type=kind) for kind in kinds] == [1, 1, 0, 1]
    assert value(samples, "events_duplicate_total") == 1
    assert [value(samples, "events_rejected_total", reason=reason) for reason in ("invalid", "too_large")] == [1, 1]
    refused = dict.fromkeys(("invalid", "origin", "token", "too_large"), 1.0)
    assert {reason: value(samples, "requests_rejected_total", reason=reason) for reason in refused} == refused
    codes = {"202": 2, "401": 1, "422": 1, "413": 1, "403": 1}
    assert {code: count(samples, "POST", EVENTS, code) for code in codes} == codes
    assert count(samples, "GET", EVENTS, "405") == 1
    assert value(samples, "http_request_duration_seconds_sum", method="POST", route=EVENTS, code="202") > 0
    assert value(samples, "commit_duration_seconds_count") == 2
    assert value(samples, "last_commit_timestamp_seconds") > 1e9
    assert value(samples, "queued_events") == 0
    assert value(samples, "database_size_bytes") > 0
    assert value(samples, "disk_free_bytes") > 0
    assert value(samples, "build_info", version=__version__, release="development") == 1


def test_the_process(client: TestClient) -> None:
    samples = scrape(client)
    names = ("cpu_seconds_total", "start_time_seconds", "resident_memory_bytes", "open_fds")
    assert all(value(samples, f"process_{name}") > 0 for name in names)


def test_the_class(client: TestClient) -> None:
    post(client, event("help"), event(emailAddress="hanako@example.jp", ago=500))
    post(client, *(event(emailAddress="jiro@example.jp", hasError=True) for _ in range(3)))
    with client.websocket_connect(PATH, headers=READER):
        samples = scrape(client)
    names = ("active_students", "help_requests", "stuck_students", "websocket_clients")
    assert [value(samples, name) for name in names] == [2, 1, 1, 1]
    assert value(scrape(client), "websocket_clients") == 0


def test_routes_are_ours(client: TestClient) -> None:
    client.get("/api/v1/dashboard/students/taro@example.jp/activity", headers=READER)
    client.get("/api/v1/dashboard/overview")
    for number in range(20):
        client.request(f"M{number}", f"/{number}")
    samples = scrape(client)
    assert count(samples, "GET", "/api/v1/dashboard/students/{email:path}/activity", "404") == 1
    assert count(samples, "GET", "/api/v1/dashboard/overview", "401") == 1
    assert count(samples, "other", "other", "404") == 20


def test_nothing_personal(client: TestClient) -> None:
    post(client, event(userName="太郎", teamName="チームA"))
    client.get("/api/v1/dashboard/students/taro@example.jp/activity", headers=READER)
    text = client.get("/metrics").text
    assert not any(word in text for word in ("taro", "太郎", "チーム", "teacher", "class1", "lesson"))


def test_a_store_that_is_away(make_client: Callable[..., TestClient], tmp_path: Path) -> None:
    client = make_client(database_path=tmp_path / "later" / "events.sqlite3")
    assert post(client, event()).status_code == 503
    samples = scrape(client)
    assert value(samples, "requests_rejected_total", reason="unavailable") == 1
    names = {name for name, _ in samples}
    assert not names & {"database_size_bytes", "disk_free_bytes", "active_students"}


def test_buckets() -> None:
    histogram = Histogram()
    for seconds in (0.0, 0.001, 0.02, 60.0):
        histogram.observe(seconds)
    buckets = dict(histogram.buckets())
    assert [buckets[bound] for bound in ("0.001", "0.025", "10.0", "+Inf")] == [2, 3, 3, 4]


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed")
def test_promtool(client: TestClient) -> None:
    post(client, event())
    text = client.get("/metrics").text
    found = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout + found.stderr) == (0, "")
