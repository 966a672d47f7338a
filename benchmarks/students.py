"""A class at work: students who post events to a site as the extension does, until told to stop.

Each student's events are due at times of their own, whatever becomes of the ones before: what cannot be delivered waits
and is sent again, and a latency is counted from when the event was due (no coordinated omission). A request that gets
no 202 is a failure, also if the next attempt succeeds. SIGTERM or the end of the time stops the class; what waits is
delivered before the summary is printed as JSON.
"""

import argparse
import asyncio
import json
import random
import signal
import ssl
import sys
import time
import uuid
from collections import Counter, deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

import httpx

_BATCH = 200
_RETRY_SECONDS = 0.5
# Longer than any outage that a class is promised.
_LAST_WORDS_SECONDS = 30.0
_SHOWN_FAILURES = 5
_CODE = "total = 0\nfor score in scores:\n    total += score\nprint(total / len(scores))\n"


@dataclass
class Record:
    """What happened so far. Latencies are in seconds, from when an event was due until it was acknowledged."""

    acknowledged: TextIO | None
    requests: int = 0
    events: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    first_failures: list[str] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)

    def fail(self, what: str) -> None:
        """Notes a request that was not answered with 202."""
        self.failures[what] += 1
        if len(self.first_failures) < _SHOWN_FAILURES:
            self.first_failures.append(f"{datetime.now(UTC).isoformat(timespec='milliseconds')} {what}")

    def take(self, events: list[dict[str, Any]], due: list[float]) -> None:
        """Notes events that have been acknowledged."""
        now = time.monotonic()
        self.events += len(events)
        self.latencies += [now - at for at in due]
        if self.acknowledged:
            self.acknowledged.writelines(f"{event['eventId']}\n" for event in events)
            self.acknowledged.flush()

    def summary(self) -> dict[str, Any]:
        """Returns the figures; times in milliseconds."""
        ordered = sorted(self.latencies)
        return {
            "requests": self.requests,
            "failed_requests": self.failures.total(),
            "failures": dict(self.failures),
            "first_failures": self.first_failures,
            "acknowledged_events": self.events,
            **{f"p{percent}_ms": _percentile(ordered, percent) for percent in (50, 99, 100)},
        }


def _percentile(ordered: list[float], percent: int) -> float | None:
    return round(1000 * ordered[min(len(ordered) - 1, len(ordered) * percent // 100)], 1) if ordered else None


class Student:
    """One page of JupyterLab: events that wait, and somebody who runs cells."""

    def __init__(self, number: int, run: str, record: Record, chance: random.Random) -> None:
        """Takes the number, and the name of the run, which ends the student's address."""
        self._record = record
        self._chance = chance
        self._waiting: deque[tuple[float, dict[str, Any]]] = deque()
        self._new = asyncio.Event()
        self._count = 0
        self._who = {
            "emailAddress": f"student{number:03}@{run}.example.jp",
            "userName": f"学生{number:03}",
            "teamName": f"チーム{1 + number % 20}",
            "sessionId": str(uuid.UUID(int=chance.getrandbits(128), version=4)),
            "notebookPath": f"lesson/{1 + number % 6}.ipynb",
        }

    @property
    def is_done(self) -> bool:
        """Whether everything has been acknowledged."""
        return not self._waiting

    async def work(self, pause: float, stopped: asyncio.Event) -> None:
        """Runs a cell every so many seconds on average, as independent students do."""
        due = time.monotonic() + self._chance.uniform(0, pause)
        while not stopped.is_set():
            try:
                await asyncio.wait_for(stopped.wait(), max(0.0, due - time.monotonic()))
            except TimeoutError:
                self._waiting.append((due, self._event()))
                self._new.set()
                due += self._chance.expovariate(1 / pause)

    async def deliver(self, client: httpx.AsyncClient) -> None:
        """Posts what waits, oldest first, until it is acknowledged; ends only by being cancelled."""
        while True:
            await self._new.wait()
            self._new.clear()
            while self._waiting:
                batch = [self._waiting[i] for i in range(min(_BATCH, len(self._waiting)))]
                if not await self._post(client, [event for _, event in batch]):
                    await asyncio.sleep(_RETRY_SECONDS)
                    continue
                for _ in batch:
                    self._waiting.popleft()
                self._record.take([event for _, event in batch], [due for due, _ in batch])

    async def _post(self, client: httpx.AsyncClient, events: list[dict[str, Any]]) -> bool:
        self._record.requests += 1
        try:
            answer = await client.post("/api/v1/events", json=events)
        except httpx.HTTPError as error:
            self._record.fail(f"{type(error).__name__} {error}".strip())
            return False
        if answer.status_code != httpx.codes.ACCEPTED:
            self._record.fail(f"{answer.status_code} {answer.text[:200]}")
        return answer.status_code == httpx.codes.ACCEPTED

    def _event(self) -> dict[str, Any]:
        self._count += 1
        kind = self._chance.choices(("cell_executed", "notebook_saved", "help", "help_stop"), (90, 6, 3, 1))[0]
        event: dict[str, Any] = {
            "eventId": _uuid7(self._chance),
            "eventType": kind,
            "eventTime": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            **self._who,
        }
        if kind == "cell_executed":
            failed = self._chance.random() < 0.2
            event |= {
                "cellId": f"cell-{self._count % 12}",
                "cellIndex": self._count % 12,
                "cellType": "code",
                "code": _CODE,
                "executionCount": self._count,
                "hasError": failed,
                "errorMessage": "NameError: name 'scores' is not defined" if failed else "",
                "result": "" if failed else "72.5",
                "executionDurationMs": self._chance.randrange(500),
            }
        return event


def _uuid7(chance: random.Random) -> str:
    value = (time.time_ns() // 1_000_000) << 80 | 7 << 76 | chance.getrandbits(12) << 64 | 2 << 62
    return str(uuid.UUID(int=value | chance.getrandbits(62)))


async def _run(options: argparse.Namespace, record: Record) -> bool:
    """Lets the class work; returns whether everything was delivered."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    if options.seconds:
        loop.call_later(options.seconds, stopped.set)
    chance = random.Random(options.run)  # noqa: S311
    class_ = [
        Student(number, options.run, record, random.Random(chance.getrandbits(64)))  # noqa: S311
        for number in range(options.students)
    ]
    async with httpx.AsyncClient(
        base_url=options.url,
        verify=ssl.create_default_context(cafile=options.authority),
        headers={"Authorization": f"Bearer {options.token_file.read_text().strip()}"} if options.token_file else {},
        limits=httpx.Limits(max_connections=options.students, max_keepalive_connections=options.students),
        timeout=30,
        trust_env=False,
    ) as client:
        posting = [asyncio.create_task(student.deliver(client)) for student in class_]
        await asyncio.gather(*(student.work(options.pause, stopped) for student in class_))
        end = time.monotonic() + _LAST_WORDS_SECONDS
        while not (done := all(student.is_done for student in class_)) and time.monotonic() < end:
            await asyncio.sleep(0.1)
        for task in posting:
            task.cancel()
        await asyncio.gather(*posting, return_exceptions=True)
    return done


def main() -> int:
    """Runs a class; returns 1 where something was not acknowledged in the end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True, help="root of the site")
    parser.add_argument("--authority", type=Path, help="certificate authority that the site's certificate is of")
    parser.add_argument("--token-file", type=Path, help="file with the writer's token")
    parser.add_argument("--run", default=uuid.uuid4().hex[:8], help="the students' addresses end in @RUN.example.jp")
    parser.add_argument("--students", type=int, default=200)
    parser.add_argument(
        "--pause", type=float, default=4.0, help="mean seconds between a student's events (%(default)s)"
    )
    parser.add_argument("--seconds", type=float, help="how long; until SIGTERM without it")
    parser.add_argument("--acknowledged", type=Path, help="file for the ids of the events that were acknowledged")
    options = parser.parse_args()
    with (options.acknowledged or Path("/dev/null")).open("a") as file:
        record = Record(file if options.acknowledged else None)
        done = asyncio.run(_run(options, record))
    print(json.dumps({"run": options.run, "students": options.students, **record.summary()}, ensure_ascii=False))
    return 0 if done else 1


if __name__ == "__main__":
    sys.exit(main())
