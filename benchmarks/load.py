"""Sends events over many connections and times the answers; prints what it saw as JSON.

Without a rate each connection sends again when it is answered: that finds what a server can do, not how long it takes.
With one, a request is due at its time whether or not others are answered; it waits for a connection if none is free,
and its latency is counted from when it was due. So a server that stands still for a while is charged for all that
would have come in meanwhile (no coordinated omission).
"""

import argparse
import json
import random
import re
import select
import socket
import time
from collections import deque
from typing import Any

from bodies import Request

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_BUFFER = 2**20
# Bodies of each connection: more of them would only be more memory.
_REQUESTS = 4
_DRAIN_SECONDS = 60.0


class Connection:
    """One request at a time, on a socket that stays open."""

    def __init__(self, port: int, requests: list[Request]) -> None:
        """Connects."""
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
        self.socket.setblocking(False)
        self.due = 0.0
        self.first = 0
        self._requests = deque(requests)
        self._unsent = memoryview(b"")
        self._answer = b""

    def send(self, first: int, due: float) -> bool:
        """Sends the next request, with events from a number on; False if there is more to send."""
        self.first, self.due, self._answer = first, due, b""
        self._requests.rotate()
        self._unsent = memoryview(self._requests[0].fill(first, time.time()))
        return self.send_rest()

    def send_rest(self) -> bool:
        """Sends what did not fit; False if there is still more."""
        try:
            while self._unsent:
                self._unsent = self._unsent[self.socket.send(self._unsent) :]
        except BlockingIOError:
            return False
        return True

    def receive(self) -> int:
        """Returns the status when the answer is complete, 0 before.

        Raises:
            ConnectionError: the server has gone.
        """
        received = self.socket.recv(65536)
        if not received:
            raise ConnectionError("the server has closed a connection")
        self._answer += received
        head, end, body = self._answer.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if not end or length is None or len(body) < int(length[1]):
            return 0
        return int(head[9:12])


class Load:
    """A run against a server."""

    def __init__(self, options: argparse.Namespace) -> None:
        """Connects."""
        chance = random.Random(options.first)  # noqa: S311
        self._batch: int = options.batch
        self._number: int = options.first
        self._requests = [Request(options.batch, options.token, chance) for _ in range(options.connections * _REQUESTS)]
        self._connections: dict[int, Connection] = {}
        for place in range(options.connections):
            own = self._requests[place * _REQUESTS : (place + 1) * _REQUESTS]
            connection = Connection(options.port, own)
            self._connections[connection.socket.fileno()] = connection
        self._idle = deque(self._connections.values())
        self._epoll = select.epoll()
        for number in self._connections:
            self._epoll.register(number, select.EPOLLIN)
        self._accepted: list[int] = []
        self._refused = 0
        # When a request was due, and how long it took, in seconds.
        self._latencies: list[tuple[float, float]] = []

    def run(self, seconds: float, warm_up: float, rate: float | None) -> dict[str, Any]:
        """Sends for a while, and returns what was seen after the warm-up."""
        cpu, began = time.process_time(), time.perf_counter()
        counted, end = began + warm_up, began + warm_up + seconds
        waiting: deque[float] = deque()
        due = began
        while (now := time.perf_counter()) < end:
            if rate is None:
                waiting.extend([now] * len(self._idle))
            while rate is not None and due <= now:
                waiting.append(due)
                due += 1 / rate
            self._send(waiting)
            self._wait((end if rate is None else min(due, end)) - time.perf_counter())
        spent = (time.process_time() - cpu) / (time.perf_counter() - began)
        # What was due is sent, however late.
        while (waiting or self._busy()) and time.perf_counter() < end + _DRAIN_SECONDS:
            self._send(waiting)
            self._wait(0.1)
        seen = [(at, took) for at, took in self._latencies if at >= counted]
        in_time = sum(counted <= at + took < end for at, took in self._latencies)
        took = sorted(seconds for _, seconds in seen)
        return {
            "requests_per_second": in_time / seconds,
            "p50_ms": _percentile(took, 50) * 1000,
            "p99_ms": _percentile(took, 99) * 1000,
            "refused": self._refused,
            "unanswered": self._busy() + len(waiting),
            "cpu": spent,
            "event_bytes": sum(request.size for request in self._requests) / len(self._requests),
            "next": self._number,
            "accepted": self._accepted,
        }

    def _busy(self) -> int:
        return len(self._connections) - len(self._idle)

    def _send(self, waiting: deque[float]) -> None:
        while waiting and self._idle:
            connection = self._idle.popleft()
            if not connection.send(self._number, waiting.popleft()):
                self._epoll.modify(connection.socket.fileno(), select.EPOLLIN | select.EPOLLOUT)
            self._number += self._batch

    def _wait(self, seconds: float) -> None:
        # epoll itself counts in milliseconds.
        select.select([self._epoll.fileno()], [], [], max(0.0, seconds))
        for number, events in self._epoll.poll(0):
            connection = self._connections[number]
            if events & select.EPOLLOUT and connection.send_rest():
                self._epoll.modify(number, select.EPOLLIN)
            if events & ~select.EPOLLOUT and (status := connection.receive()):
                self._note(connection, status)

    def _note(self, connection: Connection, status: int) -> None:
        self._latencies.append((connection.due, time.perf_counter() - connection.due))
        self._idle.append(connection)
        if status == 202:
            self._accepted.append(connection.first)
        else:
            self._refused += 1


def _percentile(ordered: list[float], percent: float) -> float:
    """Returns the value that so many percent of the values do not exceed."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] if ordered else float("nan")


def main() -> None:
    """Runs once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--token", required=True)
    parser.add_argument("--batch", type=int, required=True, help="events in each request")
    parser.add_argument("--connections", type=int, required=True)
    parser.add_argument("--first", type=int, required=True, help="the number of the first event")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--warm-up", type=float, required=True, help="seconds before those that count")
    parser.add_argument("--rate", type=float, help="requests in each second; without it, as many as are answered")
    options = parser.parse_args()
    print(json.dumps(Load(options).run(options.seconds, options.warm_up, options.rate)))


if __name__ == "__main__":
    main()
