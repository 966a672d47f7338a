import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from cell_monitor import forwarder
from cell_monitor.collector import Collector
from cell_monitor.forwarder import events_url
from cell_monitor.spool import SpoolError
from conftest import EventServer, make_event, until
from tornado.web import RequestHandler

LOG = logging.getLogger("test")


@asynccontextmanager
async def collecting(url: str, folder: Path, **options: Any) -> AsyncIterator[Collector]:
    defaults: dict[str, Any] = {"spool_max_bytes": 2**24, "token_file": None, "ca_file": None, "log": LOG}
    collector = Collector(url, folder, **{**defaults, **options})
    collector.start()
    try:
        async with asyncio.timeout(10):
            while not (await collector.health()).healthy:
                await asyncio.sleep(0.01)
        yield collector
    finally:
        await collector.stop()


async def depth(collector: Collector) -> int:
    return int((await collector.health()).report["spool"]["depth"])


async def until_empty(collector: Collector) -> None:
    async with asyncio.timeout(10):
        while await depth(collector):
            await asyncio.sleep(0.01)


def test_the_address_may_be_the_server_or_the_full_path() -> None:
    assert events_url("http://h:8000") == "http://h:8000/api/v1/events"
    assert events_url("http://h:8000/") == "http://h:8000/api/v1/events"
    assert events_url("https://h/class/events") == "https://h/class/events"


async def test_delivers_in_order_with_the_token(tmp_path: Path, event_server: EventServer) -> None:
    (tmp_path / "token").write_text(" s3cret\n")
    events = [make_event() for _ in range(450)]
    async with collecting(event_server.url, tmp_path / "spool", token_file=tmp_path / "token") as collector:
        for start in range(0, 450, 150):
            await collector.add(events[start : start + 150])
        await until_empty(collector)
        report = (await collector.health()).report
    assert [event for _, batch in event_server.requests for event in batch] == events
    assert max(len(batch) for _, batch in event_server.requests) <= 200
    assert {authorization for authorization, _ in event_server.requests} == {"Bearer s3cret"}
    assert report["status"] == "healthy"
    assert report["event_server"]["reachable"] is True
    assert report["event_server"]["last_success"] is not None


@pytest.mark.parametrize("status", [200, 302, 400, 401, 403, 404, 409, 422, 429, 500, 503])
async def test_only_a_202_is_success(tmp_path: Path, event_server: EventServer, status: int) -> None:
    tries: list[int] = []

    def answer(handler: RequestHandler, events: list[dict[str, Any]]) -> None:
        tries.append(len(events))
        handler.set_status(status if len(tries) < 4 else 202)

    event_server.answer = answer
    event = make_event()
    async with collecting(event_server.url, tmp_path) as collector:
        await collector.add([event])
        await until(lambda: len(tries) >= 2)
        report = (await collector.health()).report
        assert report["status"] == "degraded"
        assert report["event_server"]["error"] == f"the event server answered {status}"
        await until_empty(collector)
        report = (await collector.health()).report
        assert report["event_server"]["error"] is None
        assert report["spool"]["rejected"] == 0
    assert event_server.stored == [event["eventId"]]


async def test_waits_for_a_server_that_is_away(tmp_path: Path, event_server: EventServer) -> None:
    event_server.stop()
    async with collecting(event_server.url, tmp_path) as collector:
        await collector.add([make_event()])
        await until(lambda: collector._forwarder.status.failures >= 2)
        health = await collector.health()
    assert health.healthy
    assert health.report["status"] == "degraded"
    assert health.report["spool"]["depth"] == 1
    assert health.report["spool"]["oldest_age_seconds"] >= 0
    assert health.report["event_server"]["reachable"] is False
    assert health.report["event_server"]["error"] == "the event server cannot be reached: ConnectionRefusedError"


async def test_resumes_after_a_restart(tmp_path: Path, event_server: EventServer) -> None:
    event_server.answer = lambda handler, _: handler.set_status(503)
    events = [make_event() for _ in range(3)]
    async with collecting(event_server.url, tmp_path) as collector:
        await collector.add(events)
    event_server.answer = lambda handler, _: handler.set_status(202)
    async with collecting(event_server.url, tmp_path) as collector:
        await until_empty(collector)
    assert event_server.stored == [event["eventId"] for event in events]


async def test_drops_old_events_only_when_nobody_takes_them(
    tmp_path: Path, event_server: EventServer, caplog: pytest.LogCaptureFixture
) -> None:
    def answer(handler: RequestHandler, _: list[dict[str, Any]]) -> None:
        # Whatever is sent has been here for longer than the limit.
        time.sleep(0.02)
        handler.set_status(status)

    status = 202
    event_server.answer = answer
    async with collecting(event_server.url, tmp_path, spool_max_age_seconds=0.01) as collector:
        for dropped in range(3):
            await collector.add([make_event()])
            await until_empty(collector)
            assert (await collector.health()).report["spool"]["dropped"] == dropped
            status = 503
    assert len(event_server.stored) == 1
    assert caplog.text.count("1 events are dropped") == 1


@pytest.mark.parametrize(
    "value",
    ["1", format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True), "soon", ""],
)
async def test_honours_retry_after(tmp_path: Path, event_server: EventServer, monkeypatch: Any, value: str) -> None:
    monkeypatch.setattr(forwarder, "LONGEST_RETRY_AFTER_SECONDS", 0.3)
    times: list[float] = []

    def answer(handler: RequestHandler, _: list[dict[str, Any]]) -> None:
        times.append(time.monotonic())
        handler.set_status(503 if len(times) == 1 else 202)
        handler.set_header("Retry-After", value)

    event_server.answer = answer
    async with collecting(event_server.url, tmp_path) as collector:
        await collector.add([make_event()])
        await until_empty(collector)
    assert (times[1] - times[0] >= 0.3) == (value not in ("soon", ""))


async def test_a_rotated_token_is_read_again_at_once(tmp_path: Path, event_server: EventServer) -> None:
    token = tmp_path / "token"
    token.write_text("old")
    seen: list[str | None] = []

    def answer(handler: RequestHandler, _: list[dict[str, Any]]) -> None:
        seen.append(handler.request.headers.get("Authorization"))
        if seen[-1] == "Bearer new":
            handler.set_status(202)
        else:
            token.write_text("new")
            handler.set_status(401)

    event_server.answer = answer
    async with collecting(event_server.url, tmp_path / "spool", token_file=token) as collector:
        await collector.add([make_event()])
        await until_empty(collector)
        assert collector._forwarder.status.failures == 0
    assert seen == ["Bearer old", "Bearer new"]


async def test_a_new_token_is_used_before_the_old_one_is_refused(tmp_path: Path, event_server: EventServer) -> None:
    token = tmp_path / "token"
    async with collecting(event_server.url, tmp_path / "spool", token_file=token) as collector:
        for text in ("old", "new"):
            token.write_text(text)
            await collector.add([make_event()])
            await until_empty(collector)
    assert [request[0] for request in event_server.requests] == ["Bearer old", "Bearer new"]


async def test_a_token_file_that_is_missing_is_waited_for(tmp_path: Path, event_server: EventServer) -> None:
    token = tmp_path / "token"
    async with collecting(event_server.url, tmp_path / "spool", token_file=token) as collector:
        await collector.add([make_event()])
        await until(lambda: collector._forwarder.status.failures >= 1)
        assert "cannot be read" in str((await collector.health()).report["event_server"]["error"])
        token.write_text("there")
        await until_empty(collector)
    assert event_server.requests[0][0] == "Bearer there"


@pytest.mark.parametrize("wrapped", [True, False])
async def test_refused_events_are_put_aside(tmp_path: Path, event_server: EventServer, wrapped: bool) -> None:
    good, bad = make_event(), make_event(eventType="x" * 100)

    def answer(handler: RequestHandler, events: list[dict[str, Any]]) -> None:
        handler.set_status(202)
        failed = [
            {"index": index, "reason": "too long", "event": event} if wrapped else event
            for index, event in enumerate(events)
            if event == bad
        ]
        handler.finish({"message": "1 of 2", "batch_stats": {"failed_events": [*failed, 7, {"event": 7}]}})

    event_server.answer = answer
    async with collecting(event_server.url, tmp_path) as collector:
        await collector.add([bad, good])
        await until_empty(collector)
        assert (await collector.health()).report["spool"]["rejected"] == 1
    assert len(event_server.requests) == 1


@pytest.mark.parametrize(
    "body",
    [
        "",
        "[]",
        "{}",
        '{"batch_stats": []}',
        '{"batch_stats": {"failed_events": null, "dismissed_help": {}}}',
        "no JSON",
    ],
)
async def test_a_202_counts_whatever_its_body(tmp_path: Path, event_server: EventServer, body: str) -> None:
    def answer(handler: RequestHandler, _: list[dict[str, Any]]) -> None:
        handler.set_status(202)
        handler.finish(body)

    event_server.answer = answer
    async with collecting(event_server.url, tmp_path) as collector:
        await collector.add([make_event()])
        await until_empty(collector)
        assert (await collector.health()).report["spool"]["rejected"] == 0


async def test_splits_a_batch_that_is_too_large(tmp_path: Path, event_server: EventServer) -> None:
    def answer(handler: RequestHandler, events: list[dict[str, Any]]) -> None:
        handler.set_status(413 if len(json.dumps(events)) > 3000 else 202)

    event_server.answer = answer
    events = [make_event() for _ in range(20)]
    events[7]["code"] = "x" * 4000
    async with collecting(event_server.url, tmp_path) as collector:
        await collector.add(events)
        await until_empty(collector)
        assert (await collector.health()).report["spool"]["rejected"] == 1
    assert event_server.stored == [event["eventId"] for event in events if len(event["code"]) < 4000]


async def test_looks_for_the_event_server_while_nothing_is_sent(
    tmp_path: Path, event_server: EventServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forwarder, "PROBE_INTERVAL_SECONDS", 0.02)
    async with collecting(event_server.url, tmp_path) as collector:
        await until(lambda: event_server.probes >= 1 and collector._forwarder.status.reachable is True)
        event_server.stop()
        await until(lambda: collector._forwarder.status.reachable is False)


async def test_a_second_collector_on_the_folder_says_so_and_takes_over(
    tmp_path: Path, event_server: EventServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("cell_monitor.collector.OPEN_INTERVAL_SECONDS", 0.05)
    second = Collector(event_server.url, tmp_path, 2**24, None, None, LOG)
    async with collecting(event_server.url, tmp_path):
        second.start()
        await until(lambda: "another process collects" in caplog.text)
        assert not (await second.health()).healthy
        with pytest.raises(SpoolError):
            await second.add([make_event()])
    async with asyncio.timeout(10):
        while not (await second.health()).healthy:
            await asyncio.sleep(0.01)
    await second.stop()
    assert caplog.text.count("another process collects") == 1
