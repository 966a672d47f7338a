"""Clients that send each request until it is accepted, and the comparison of what they know with what is stored."""

import http.client
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from conftest import WRITER, event

_RETRY_SECONDS = 0.05
# Those who end get so long for the request that they are at.
_LAST_SECONDS = 60.0


def _code(event_id: str) -> str:
    """Returns what an event of that id says, so that nobody has to remember it."""
    return f"print('{event_id}')\n" * 8


class Poster(threading.Thread):
    """One client, and what it knows of its requests.

    Attributes:
        accepted: the ids of the events that were answered with 202.
        abandoned: the ids of each request that was given up, so that nobody knows whether it is stored.
        answers: how often it was answered with which status, 0 for no answer.
        duplicates: how many events were known when a request was sent again.
        complaints: what a server must not answer.
    """

    def __init__(self, port: int, seed: int) -> None:
        super().__init__(daemon=True)
        self._port = port
        self._chance = random.Random(seed)
        self._connection: http.client.HTTPConnection | None = None
        self._ending = threading.Event()
        self.accepted: list[str] = []
        self.abandoned: list[list[str]] = []
        self.answers: Counter[int] = Counter()
        self.duplicates = 0
        self.complaints: list[str] = []

    def run(self) -> None:
        try:
            while not self._ending.is_set():
                self._send()
                time.sleep(self._chance.uniform(0, 0.04))
        except Exception as error:
            self.complaints.append(repr(error))
        finally:
            self._disconnect()

    def end(self) -> None:
        """Lets it finish the request that it is at."""
        self._ending.set()

    def _send(self) -> None:
        ids = [f"{self._chance.getrandbits(128):032x}" for _ in range(self._chance.choice((1, 3, 10)))]
        body = json.dumps([event(eventId=event_id, code=_code(event_id)) for event_id in ids])
        until = None
        while not self._is_accepted(body):
            if until is None and self._ending.is_set():
                until = time.monotonic() + _LAST_SECONDS
            if self._chance.random() < 0.05 or (until is not None and time.monotonic() > until):
                self.abandoned.append(ids)
                return
            time.sleep(_RETRY_SECONDS)
        self.accepted += ids

    def _is_accepted(self, body: str) -> bool:
        try:
            if self._connection is None:
                self._connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
            self._connection.request("POST", "/api/v1/events", body, WRITER)
            response = self._connection.getresponse()
            status, retry_after, answer = response.status, response.headers["Retry-After"], response.read()
        except (OSError, http.client.HTTPException):
            self._disconnect()
            status, retry_after, answer = 0, None, b""
        self.answers[status] += 1
        if status == 202:
            self._read(json.loads(answer))
        elif status not in (0, 503) or (status == 503 and not retry_after):
            self.complaints.append(f"{status} with Retry-After: {retry_after}")
        return status == 202

    def _read(self, receipt: dict[str, Any]) -> None:
        self.duplicates += receipt["batch_stats"]["duplicate_events"]
        if failed := receipt["batch_stats"]["failed_events"]:
            self.complaints.append(f"refused: {failed}")

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class Load:
    """Clients that post at once."""

    def __init__(self, posters: Sequence[Poster]) -> None:
        self._posters = posters

    @property
    def accepted(self) -> list[str]:
        return [event_id for poster in self._posters for event_id in poster.accepted]

    @property
    def answers(self) -> Counter[int]:
        return sum((poster.answers for poster in self._posters), Counter())

    def wait_for(self, status: int, count: int = 20, seconds: float = 60) -> None:
        """Returns when there are so many more answers of a status."""
        wanted = self.answers[status] + count
        wait_until(lambda: self.answers[status] >= wanted, f"{count} answers {status}", seconds)

    def end(self) -> None:
        """Lets each finish its request."""
        for poster in self._posters:
            poster.end()
        for poster in self._posters:
            poster.join(_LAST_SECONDS + 60)
            assert not poster.is_alive()

    def compare(self, stored: Iterable[tuple[str, str]]) -> None:
        """Fails unless all that was accepted is stored, whole and once, and nothing but what was sent."""
        ids: Counter[str] = Counter()
        for event_id, body in stored:
            ids[event_id] += 1
            assert json.loads(body)["code"] == _code(event_id)
        accepted = set(self.accepted)
        abandoned = [ids for poster in self._posters for ids in poster.abandoned]
        duplicates = sum(poster.duplicates for poster in self._posters)
        print(f"{len(accepted)} events accepted, {len(abandoned)} requests given up, {duplicates} events sent again")
        print(f"answers: {dict(self.answers)}")
        assert [complaint for poster in self._posters for complaint in poster.complaints] == []
        assert accepted
        assert accepted - ids.keys() == set()
        assert [event_id for event_id, count in ids.items() if count > 1] == []
        assert [request for request in abandoned if len({event_id in ids for event_id in request}) > 1] == []
        assert ids.keys() - accepted - {event_id for request in abandoned for event_id in request} == set()


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
    """Returns when a condition is true.

    Raises:
        AssertionError: it does not become true.
    """
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"no {what} within {seconds} s"
        time.sleep(0.02)


@contextmanager
def load(port: int, chance: random.Random, clients: int = 8) -> Iterator[Load]:
    """Has clients post until the end of the block, at which the server has to accept what they are at."""
    found = Load([Poster(port, chance.getrandbits(64)) for _ in range(clients)])
    for poster in found._posters:
        poster.start()
    try:
        yield found
    finally:
        found.end()
