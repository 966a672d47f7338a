"""Times the overview of 200 students and a day of 100,000 events, beside the computation per request from the store.

Both answer the same questions in turn, in one run, over the same SQLite file, while events come in as from a class.
"""

import argparse
import asyncio
import json
import random
import statistics
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "build/bench/overview.json"
sys.path.insert(0, str(ROOT / "files/event-server/src"))

import msgspec  # noqa: E402
from event_server.classroom import RANGES, Acknowledged, TimeRange, help_lasts, overview, range_start  # noqa: E402
from event_server.config import Classroom  # noqa: E402
from event_server.events import StoredEvent  # noqa: E402
from event_server.help_desk import HelpDesk  # noqa: E402
from event_server.live import Live  # noqa: E402
from event_server.store.sqlite import SqliteStore  # noqa: E402
from event_server.writer import Writer  # noqa: E402

RULES = Classroom()
TARGET_MS = 20.0
_HOURS = 8
_KINDS = ("cell_executed", "help", "help_stop", "notebook_saved", "notebook_opened")
_WEIGHTS = (78, 12, 1, 7, 2)
_CODE = "x = [value for value in range(100)]\n" * 15


class Class:
    """Makes the events of a class."""

    def __init__(self, students: int) -> None:
        self.students = students
        self._chance = random.Random(1)  # noqa: S311
        self._made = 0

    def events(self, count: int, since: int, until: int) -> list[StoredEvent]:
        """Returns so many events of about 800 bytes, in order, between two times in milliseconds."""
        return [self._event(since + (until - since) * number // count) for number in range(count)]

    def _event(self, at: int) -> StoredEvent:
        chance = self._chance
        self._made += 1
        name = f"student{chance.randrange(self.students):03}"
        fields: dict[str, Any] = dict.fromkeys(StoredEvent._fields) | {
            "event_id": f"{at:012x}-{self._made}",
            "event_type": chance.choices(_KINDS, _WEIGHTS)[0],
            "event_time": at,
            "received_at": at,
            "occurred_at": at,
            "email_address": f"{name}@example.jp",
            "user_name": name,
            "team_name": "チームA",
            "session_id": f"{name}-{chance.randrange(2)}",
            "notebook_path": f"lesson/{chance.randrange(6)}.ipynb",
            "cell_id": f"cell-{chance.randrange(40)}",
            "has_error": chance.random() < 0.3,
        }
        return StoredEvent(**(fields | {"body": json.dumps({"eventId": fields["event_id"], "code": _CODE})}))


class Bench:
    """A store with a day of events, and both ways to an overview of it."""

    def __init__(self, folder: Path, students: int) -> None:
        self.store = SqliteStore(folder / "events.sqlite3")
        self.writer = Writer(self.store, max_queued_events=1_000_000)
        self.desk = HelpDesk(help_lasts(RULES))
        self.live = Live(self.store, self.writer, RULES, self.desk)
        self.classroom = Class(students)

    async def fill(self, events: int) -> None:
        """Stores a day."""
        now = time.time_ns() // 1_000_000
        day = self.classroom.events(events, now - _HOURS * 3_600_000, now)
        for start in range(0, events, 2000):
            await self.writer.append(day[start : start + 2000])

    async def from_memory(self, time_range: TimeRange) -> bytes:
        """Answers as the server does."""
        return msgspec.json.encode(await self.live.overview(time_range))

    async def from_store(self, time_range: TimeRange) -> bytes:
        """Answers as a server does that computes for each request."""
        now = time.time_ns() // 1_000_000
        since = range_start(time_range, now)
        dismissed = self.desk.dismissed()

        def compute() -> bytes:
            acknowledged = Acknowledged(self.store.acknowledged("error", since), dismissed)
            return msgspec.json.encode(overview(self.store.activity(since), time_range, now, RULES, acknowledged))

        return await asyncio.to_thread(compute)

    async def teach(self, per_second: int) -> None:
        """Sends the events of a lesson until cancelled."""
        while True:
            now = time.time_ns() // 1_000_000
            await self.writer.append(self.classroom.events(max(1, per_second // 10), now, now))
            await asyncio.sleep(0.1)


async def times(answer: Callable[[TimeRange], Awaitable[bytes]], time_range: TimeRange, count: int) -> list[float]:
    """Returns how long so many answers took, in milliseconds, in order of length."""
    found = []
    for _ in range(count):
        started = time.perf_counter()
        await answer(time_range)
        found.append((time.perf_counter() - started) * 1000)
        # Requests come now and then, each after events that have come in.
        await asyncio.sleep(0.005)
    return sorted(found)


def percentile(ordered: list[float], percent: float) -> float:
    """Returns the value that so many percent of the values do not exceed."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


async def run(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Measures, and returns the results."""
    bench = Bench(folder, options.students)
    await bench.writer.start()
    await bench.fill(options.events)
    started = time.perf_counter()
    bench.live.start()
    await bench.live.overview("7d")
    built = time.perf_counter() - started
    lesson = asyncio.create_task(bench.teach(options.rate))
    cases = []
    for time_range in RANGES:
        kept = await times(bench.from_memory, time_range, options.requests)
        computed = await times(bench.from_store, time_range, max(5, options.requests // 40))
        cases.append(
            {
                "name": time_range,
                "p50_ms": round(statistics.median(kept), 3),
                "p95_ms": round(percentile(kept, 95), 3),
                "p99_ms": round(percentile(kept, 99), 3),
                "computed_p50_ms": round(statistics.median(computed), 1),
                "ratio_to_computed": round(statistics.median(computed) / statistics.median(kept), 1),
            }
        )
    lesson.cancel()
    await bench.live.stop()
    memory = await measure_memory(bench)
    await bench.writer.stop()
    return {"students": options.students, "events": options.events, "build_seconds": round(built, 2), **memory} | {
        "cases": cases
    }


async def measure_memory(bench: Bench) -> dict[str, float]:
    """Returns the megabytes that a state built from the store holds."""
    tracemalloc.start()
    again = Live(bench.store, bench.writer, RULES, bench.desk)
    await again._build()
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return {"memory_mb": round(held / 2**20, 1)}


def main() -> int:
    """Prints a table, writes it to build/bench/overview.json, and returns 1 if an overview takes too long."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--students", type=int, default=200)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--requests", type=int, default=400, help="for each range")
    parser.add_argument("--rate", type=int, default=50, help="events that come in each second")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-overview-") as folder:
        found = asyncio.run(run(Path(folder), options))
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(found, indent=2) + "\n")
    print(f"{found['students']} students, {found['events']} events: built in {found['build_seconds']} s,", end=" ")
    print(f"holds {found['memory_mb']} MB; {options.rate} events/s come in")
    print(f"{'range':6}{'p50 ms':>9}{'p95 ms':>9}{'p99 ms':>9}{'computed p50 ms':>18}{'times faster':>15}")
    for case in found["cases"]:
        print(
            f"{case['name']:6}{case['p50_ms']:9.2f}{case['p95_ms']:9.2f}{case['p99_ms']:9.2f}"
            f"{case['computed_p50_ms']:18.1f}{case['ratio_to_computed']:15.1f}"
        )
    return 0 if all(case["p95_ms"] < TARGET_MS for case in found["cases"]) else 1


if __name__ == "__main__":
    sys.exit(main())
