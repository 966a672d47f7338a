import asyncio
import random
import sqlite3
import time
from collections.abc import Callable, Coroutine
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from conftest import READER, event, overview, post
from event_server import class_state, live
from event_server.app import create_app
from event_server.classroom import RANGES, Acknowledged, help_lasts, range_start
from event_server.classroom import overview as compute
from event_server.config import Classroom
from event_server.events import StoredEvent
from event_server.help_desk import HelpDesk
from event_server.live import Live
from event_server.store import Acknowledgement, StoreUnavailableError
from event_server.store.sqlite import SqliteStore
from event_server.writer import Writer
from starlette.testclient import TestClient
from test_class_state import stored

RULES = Classroom()


class Server:
    """The parts of a server that the overview is made of."""

    def __init__(self, path: Path, store: SqliteStore | None = None) -> None:
        self.store = store or SqliteStore(path / "events.sqlite3")
        self.writer = Writer(self.store, max_queued_events=1_000_000)
        self.desk = HelpDesk(help_lasts(RULES))
        self.live = Live(self.store, self.writer, RULES, self.desk)

    async def __aenter__(self) -> "Server":
        await self.writer.start()
        self.live.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.live.stop()
        await self.writer.stop()

    async def check(self) -> None:
        """The overview is the one that a computation from the store gives."""
        for time_range in RANGES:
            kept = await self.live.overview(time_range)
            for student in kept.students:
                # Of the desk, which the computation does not ask.
                student.help_since = None
            now = live._now()
            since = range_start(time_range, now)
            acknowledged = Acknowledged(self.store.acknowledged("error", since), self.desk.dismissed())
            computed = compute(self.store.activity(since), time_range, now, RULES, acknowledged)
            assert msgspec.to_builtins(kept) == msgspec.to_builtins(computed)


def batch(chance: random.Random, size: int) -> list[StoredEvent]:
    now = live._now()
    return [
        stored(
            chance.choice(["cell_executed", "cell_executed", "help", "help_stop", "notebook_opened"]),
            now - int(chance.expovariate(1 / 3_600_000)) - 200,
            event_id=str(chance.randrange(10_000)),
            email_address=f"s{chance.randrange(9)}",
            session_id=f"p{chance.randrange(2)}",
            notebook_path="1.ipynb",
            cell_id=f"c{chance.randrange(3)}",
            has_error=chance.random() < 0.7,
        )
        for _ in range(size)
    ]


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(scenario, 300))


def test_it_misses_nothing_and_counts_nothing_twice(tmp_path: Path) -> None:
    """Events come in, many of them again, while the state is built from the store again and again."""
    chance = random.Random(3)

    async def ingest(server: Server) -> None:
        for number in range(150):
            await server.writer.append(batch(chance, chance.randrange(1, 30)))
            if number % 10 == 0:
                email, now = f"s{chance.randrange(9)}", live._now()
                await server.writer.acknowledge(Acknowledgement("error", now, now, email, "teacher"))
                server.live.resolve(email, now)

    async def rebuild(server: Server) -> None:
        for _ in range(8):
            await server.live._build()
            await asyncio.sleep(0.01)

    async def scenario() -> None:
        async with Server(tmp_path) as server:
            await server.live.overview("1h")
            await asyncio.gather(ingest(server), ingest(server), rebuild(server))
            await server.check()
        async with Server(tmp_path) as again:
            await asyncio.gather(ingest(again), again.live.overview("7d"))
            await again.check()

    run(scenario())


def test_what_is_answered_is_in_the_overview(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Server(tmp_path) as server:
            for number in range(20):
                events = [stored("cell_executed", live._now(), event_id=f"{number}-{place}") for place in range(500)]
                await server.writer.append(events)
                seen = await server.live.overview("1h")
                assert seen.metrics.total_executions == 500 * (number + 1)

    run(scenario())


def test_events_do_not_pile_up(tmp_path: Path) -> None:
    requests = [batch(random.Random(5), 100) for _ in range(10)]

    async def scenario() -> None:
        async with Server(tmp_path) as server:
            await server.live.overview("1h")
            most = 0
            for number in range(100):
                server.live._take(number, requests)
                await asyncio.sleep(0)
                most = max(most, sum(map(len, server.live._pending)))
            assert most < 10_000

    run(scenario())


def test_what_someone_else_changes_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SqliteStore, "look_seconds", 0.01)

    async def scenario() -> None:
        async with Server(tmp_path) as server:
            await server.writer.append(batch(random.Random(1), 100))
            assert (await server.live.overview("7d")).students
            with closing(sqlite3.connect(tmp_path / "events.sqlite3", isolation_level=None)) as other:
                other.execute("DELETE FROM events WHERE email_address <> 's1'")
            while len((await server.live.overview("7d")).students) > 1:
                await asyncio.sleep(0.01)
            await server.check()

    run(scenario())


def test_a_failure_is_mended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SqliteStore, "look_seconds", 0.01)
    take = class_state.ClassState.take
    failures = iter([RuntimeError("a mistake")])

    def fail_once(state: class_state.ClassState, taken: Any) -> Any:
        if (failure := next(failures, None)) is not None:
            raise failure
        return take(state, taken)

    async def scenario() -> None:
        async with Server(tmp_path) as server:
            await server.live.overview("1h")
            monkeypatch.setattr(class_state.ClassState, "take", fail_once)
            result = await server.writer.append([stored("help", live._now(), event_id="1")])
            assert result.stored == 1
            while not (await server.live.overview("1h")).students:
                await asyncio.sleep(0.01)

    run(scenario())


def test_too_much_comes_in_while_it_is_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "_MAX_RECORDED", 50)
    monkeypatch.setattr(live, "_RETRY_SECONDS", 0.01)
    replay = Live._replay
    slow = iter([1.0])

    def slow_once(self: Live, *arguments: Any) -> Any:
        time.sleep(next(slow, 0.0))
        return replay(self, *arguments)

    monkeypatch.setattr(Live, "_replay", slow_once)

    async def scenario() -> None:
        async with Server(tmp_path) as server:
            for _ in range(3):
                await server.writer.append(batch(random.Random(1), 100))
            with pytest.raises(StoreUnavailableError):
                await server.live.overview("1h")
            while server.live._state is None:
                await asyncio.sleep(0.01)
            await server.check()

    run(scenario())


def test_a_store_that_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "_RETRY_SECONDS", 0.01)
    later = tmp_path / "later"

    async def scenario() -> None:
        async with Server(later) as server:
            with pytest.raises(StoreUnavailableError):
                await server.live.overview("1h")
            assert (server.live.metrics("1h"), server.live.student("taro", "1h")) == (None, None)
            later.mkdir()
            await server.writer.append([stored("help", live._now(), event_id="1")])
            while server.live.student("taro", "1h") is None:
                await asyncio.sleep(0.01)
            await server.check()

    run(scenario())


def test_it_forgets_now_and_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SqliteStore, "look_seconds", 0.001)
    monkeypatch.setattr(live, "_FORGET_SECONDS", 0.0)

    async def scenario() -> None:
        async with Server(tmp_path) as server:
            now = live._now()
            await server.writer.append([stored("help", now, event_id="1")])
            assert (await server.live.overview("7d")).students
            monkeypatch.setattr(live, "_now", lambda: now + 8 * 86_400_000)
            assert server.live._state is not None
            while server.live._state._students:
                await asyncio.sleep(0.01)

    run(scenario())


def test_a_restart_changes_nothing(make_config: Callable[..., Any]) -> None:
    def seen(client: TestClient) -> list[Any]:
        found = [overview(client, time_range) for time_range in RANGES]
        for one in found:
            one.pop("activityChart")
        return found

    with TestClient(create_app(make_config()), client=("127.0.0.1", 1)) as client:
        resolved = event(ago=4, hasError=True, emailAddress="hanako@example.jp")
        post(client, *(event(ago=ago, hasError=True) for ago in (3, 2, 1, 90_000)), event("help"), resolved)
        post(client, resolved)
        url = "/api/v1/dashboard/students/hanako@example.jp/resolve-error"
        client.post(url, json={}, headers=READER)
        before = seen(client)
    assert [one["metrics"]["errorCount"] for one in before] == [4, 4, 5]
    assert before[0]["students"][1]["status"] == "active"
    with TestClient(create_app(make_config()), client=("127.0.0.1", 1)) as client:
        assert seen(client) == before
