import asyncio
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from event_server.events import StoredEvent
from event_server.store import Acknowledgement, AppendResult, StoreUnavailableError
from event_server.store.sqlite import SqliteStore
from event_server.writer import Writer
from test_store import row


class SlowStore(SqliteStore):
    """A store whose transactions end when they are told to."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.go_on = threading.Event()
        self.transactions: list[int] = []

    def append(self, batches: Sequence[Sequence[StoredEvent]], *rest: Any) -> list[AppendResult]:
        self.go_on.wait(10)
        self.transactions.append(len(batches))
        for batch in batches:
            if any(event.event_id == "poison" for event in batch):
                raise OverflowError("Python int too large to convert to SQLite INTEGER")
        return super().append(batches, *rest)


@pytest.fixture
def store(tmp_path: Path) -> SlowStore:
    return SlowStore(tmp_path / "events.sqlite3")


async def append_all(writer: Writer, *batches: list[StoredEvent]) -> list[Any]:
    return await asyncio.gather(*(writer.append(batch) for batch in batches), return_exceptions=True)


def test_requests_that_wait_share_a_transaction(store: SlowStore) -> None:
    async def scenario() -> None:
        writer = Writer(store, max_queued_events=100)
        await writer.start()
        first = asyncio.create_task(writer.append([row("first")]))
        while not writer.queued_events:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        others = asyncio.create_task(append_all(writer, *([row(f"e{number}")] for number in range(20))))
        await asyncio.sleep(0.05)
        assert not first.done()
        store.go_on.set()
        assert await first == AppendResult(1, 0)
        assert await others == [AppendResult(1, 0)] * 20
        assert store.transactions == [1, 20]
        assert writer.queued_events == 0
        await writer.stop()

    asyncio.run(scenario())


def test_a_full_queue_and_a_slow_store_are_unavailable(store: SlowStore) -> None:
    async def scenario() -> None:
        writer = Writer(store, max_queued_events=2, timeout_seconds=0.1)
        await writer.start()
        too_many, *slow = await append_all(writer, [row("a"), row("b"), row("c")], [row("d")], [row("e")])
        assert "waiting" in str(too_many)
        assert {type(error) for error in (too_many, *slow)} == {StoreUnavailableError}
        assert all("no answer" in str(error) for error in slow)
        store.go_on.set()
        await writer.check()
        assert await writer.append([row("d")]) == AppendResult(0, 1, frozenset({0}))
        await writer.stop()

    asyncio.run(scenario())


def test_one_request_does_not_take_the_others_with_it(store: SlowStore) -> None:
    async def scenario() -> None:
        writer = Writer(store, max_queued_events=100)
        await writer.start()
        waiting = asyncio.create_task(append_all(writer, [row("first")], [row("a")], [row("poison")], [row("b")]))
        await asyncio.sleep(0.05)
        store.go_on.set()
        first, a, poison, b = await waiting
        assert first == a == b == AppendResult(1, 0)
        assert isinstance(poison, OverflowError)
        await writer.stop()

    asyncio.run(scenario())


def test_an_acknowledgement_shares_the_transaction(store: SlowStore) -> None:
    seen = Acknowledgement("help", 1000, 1000, "taro@example.jp", "teacher")

    async def scenario() -> None:
        writer = Writer(store, max_queued_events=100)
        await writer.start()
        first = asyncio.create_task(writer.append([row("first")]))
        await asyncio.sleep(0.05)
        waiting = asyncio.gather(writer.append([row("a")]), writer.acknowledge(seen), writer.append([]))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        store.go_on.set()
        assert await first == AppendResult(1, 0)
        assert (await waiting)[::2] == [AppendResult(1, 0), AppendResult(0, 0)]
        assert store.transactions == [1, 2]
        await writer.stop()

    asyncio.run(scenario())
    assert store.acknowledged("help", 0) == {"taro@example.jp": 1000}


def test_what_is_queued_is_written_before_the_end(store: SlowStore) -> None:
    async def scenario() -> None:
        writer = Writer(store, max_queued_events=100)
        await writer.start()
        waiting = asyncio.create_task(append_all(writer, [row("a")], [row("b")], [row("c")]))
        await asyncio.sleep(0.05)
        threading.Timer(0.05, store.go_on.set).start()
        await writer.stop()
        assert await waiting == [AppendResult(1, 0)] * 3
        for refused in (writer.append([row("d")]), writer.check()):
            with pytest.raises(StoreUnavailableError, match="stopping"):
                await refused

    asyncio.run(scenario())
    assert len(list(store.activity(0))) == 3
