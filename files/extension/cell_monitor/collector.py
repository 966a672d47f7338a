"""What the handlers talk to: takes events, keeps them, sends them on, and says how it is."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, ParamSpec, TypeVar

from cell_monitor.dismissals import Dismissals
from cell_monitor.forwarder import Forwarder, Status
from cell_monitor.metrics import Metrics
from cell_monitor.spool import DEFAULT_MAX_AGE_SECONDS, MAX_EXPIRED_EVENTS, Depth, Entry, Event, Spool, SpoolError

OPEN_INTERVAL_SECONDS = 10.0
PROBE_LIFETIME_SECONDS = 5.0

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Health(NamedTuple):
    """Whether events are taken, and the figures that explain it."""

    healthy: bool
    report: dict[str, Any]


class Receipt(NamedTuple):
    """What became of events that were handed over.

    Attributes:
        new: how many were not in the spool already.
        dismissed: the page loads among them whose request for help the instructor has dismissed.
    """

    new: int
    dismissed: list[str]


class Figures(NamedTuple):
    """How the spool and the event server are.

    Attributes:
        trouble: why the spool cannot take events, None where it can.
        depth: what the spool holds, None where it cannot be read.
        max_bytes: how many bytes of events may wait.
        event_server: what became of the latest requests to it.
    """

    trouble: str | None
    depth: Depth | None
    max_bytes: int
    event_server: Status

    @property
    def oldest_age(self) -> float | None:
        """How long the oldest event has waited, in seconds; None where none waits."""
        oldest = self.depth.oldest if self.depth else None
        return None if oldest is None else max(0.0, round(time.time() - oldest, 3))


class Collector:
    """Keeps events in a spool and forwards them, without ever holding up the server's event loop."""

    def __init__(
        self,
        url: str,
        spool_dir: Path,
        spool_max_bytes: int,
        token_file: Path | None,
        ca_file: Path | None,
        log: logging.Logger | Any,
        spool_max_age_seconds: float = DEFAULT_MAX_AGE_SECONDS,
        metrics: Metrics | None = None,
    ) -> None:
        """Takes where events go, where they wait and where they are counted; see `Forwarder`, `Spool` and `Metrics`."""
        self._folder = spool_dir
        self._max_bytes = spool_max_bytes
        self._log = log
        self._max_age = spool_max_age_seconds
        self._metrics = metrics or Metrics()
        self._dismissals = Dismissals()
        self._forwarder = Forwarder(self, url, token_file, ca_file, log, self._metrics, self._dismissals)
        self._told_expiry = False
        self._spool: Spool | None = None
        self._trouble: str | None = None
        # Requests that come while the server starts wait for the first try, which takes milliseconds.
        self._tried = asyncio.Event()
        self._probed = float("-inf")
        # One thread: SQLite is used by one at a time, and requests are answered in their order.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="cell-monitor-spool")
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins, on the running event loop."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Ends the deliveries and lets another process have the spool; what waits in it stays."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if self._spool is not None:
            await self._in_thread(self._spool.close)
            self._spool = None
        self._thread.shutdown(wait=False)

    async def add(self, events: Sequence[Event], browser_dropped: int = 0) -> Receipt:
        """Keeps events; when it returns they are on disk.

        Args:
            events: what a browser has sent.
            browser_dropped: how many events it had no room for before.

        Raises:
            SpoolError: they are not kept, and nothing is counted.
        """
        added = await self._in_thread((await self._open_spool()).add, events, browser_dropped)
        self._forwarder.notify()
        self._metrics.took(added.new)
        return Receipt(len(added.new), self._dismissals.passing(events, added.last))

    async def peek(self, count: int, max_bytes: int) -> list[Entry]:
        """See `Spool.peek`."""
        return await self._in_thread((await self._open_spool()).peek, count, max_bytes)

    async def settle(self, delivered: Sequence[int], rejected: Sequence[tuple[int, str]] = ()) -> None:
        """See `Spool.settle`."""
        await self._in_thread((await self._open_spool()).settle, delivered, rejected)

    async def expire(self) -> None:
        """Drops the events that have waited too long; says so once, and counts them."""
        dropped = 0
        # A spool that fails is told of by the next look for events.
        with contextlib.suppress(SpoolError):
            spool = await self._open_spool()
            while count := await self._in_thread(spool.expire):
                dropped += count
                if count < MAX_EXPIRED_EVENTS:
                    break
        if dropped and not self._told_expiry:
            self._told_expiry = True
            self._log.warning(
                "Cell Monitor: %d events are dropped, which the event server has not taken for %g seconds; more are"
                " only counted",
                dropped,
                self._max_age,
            )

    async def figures(self) -> Figures:
        """How it is; whether the spool takes events is found out by writing to it, every few seconds at most."""
        depth: Depth | None = None
        try:
            spool = await self._open_spool()
            depth = await self._in_thread(spool.depth)
            await self._probe(spool)
            self._trouble = None
        except SpoolError as error:
            self._trouble = str(error)
        return Figures(self._trouble, depth, self._max_bytes, self._forwarder.status)

    async def health(self) -> Health:
        """How it is, in figures that hold nothing personal."""
        figures = await self.figures()
        depth, status = figures.depth, figures.event_server
        healthy = figures.trouble is None
        return Health(
            healthy,
            {
                "status": ("degraded" if status.failures else "healthy") if healthy else "unhealthy",
                "spool": {
                    "accepting": healthy,
                    "error": None if healthy else "the spool cannot take events; the server's log says why",
                    "depth": depth.events if depth else None,
                    "bytes": depth.size if depth else None,
                    "max_bytes": figures.max_bytes,
                    "oldest_age_seconds": figures.oldest_age,
                    "rejected": depth.rejected if depth else None,
                    "dropped": depth.dropped if depth else None,
                },
                "event_server": {
                    "reachable": status.reachable,
                    "last_success": _iso(status.last_success),
                    "consecutive_failures": status.failures,
                    "error": status.error,
                },
            },
        )

    async def _run(self) -> None:
        while self._spool is None:
            try:
                self._spool = await self._in_thread(Spool, self._folder, self._max_bytes, self._max_age)
            except SpoolError as error:
                if str(error) != self._trouble:
                    self._log.error("Cell Monitor: no events are collected: %s", error)
                self._trouble = str(error)
                self._tried.set()
                await asyncio.sleep(OPEN_INTERVAL_SECONDS)
        self._trouble = None
        self._tried.set()
        await self._forwarder.run()

    async def _open_spool(self) -> Spool:
        await self._tried.wait()
        if self._spool is None:
            raise SpoolError(self._trouble or "the spool is closed")
        return self._spool

    async def _probe(self, spool: Spool) -> None:
        # The health can be asked for by anybody who reaches the server: it must not become a way to wear out the disk.
        if time.monotonic() - self._probed < PROBE_LIFETIME_SECONDS and self._trouble is None:
            return
        await self._in_thread(spool.probe)
        self._probed = time.monotonic()

    async def _in_thread(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: function(*args, **kwargs))


def _iso(moment: float | None) -> str | None:
    return None if moment is None else datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")
