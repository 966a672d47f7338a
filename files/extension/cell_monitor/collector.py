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

from cell_monitor.forwarder import Forwarder
from cell_monitor.spool import Depth, Entry, Event, Spool, SpoolError

OPEN_INTERVAL_SECONDS = 10.0
PROBE_LIFETIME_SECONDS = 5.0

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Health(NamedTuple):
    """Whether events are taken, and the figures that explain it."""

    healthy: bool
    report: dict[str, Any]


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
    ) -> None:
        """Takes where events go and where they wait; see `Forwarder` and `Spool`."""
        self._folder = spool_dir
        self._max_bytes = spool_max_bytes
        self._log = log
        self._forwarder = Forwarder(self, url, token_file, ca_file, log)
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

    async def add(self, events: Sequence[Event]) -> int:
        """Keeps events; when it returns they are on disk.

        Returns:
            How many were not in the spool already.

        Raises:
            SpoolError: they are not kept.
        """
        new = await self._in_thread((await self._open_spool()).add, events)
        self._forwarder.notify()
        return new

    async def peek(self, count: int, max_bytes: int) -> list[Entry]:
        """See `Spool.peek`."""
        return await self._in_thread((await self._open_spool()).peek, count, max_bytes)

    async def settle(self, delivered: Sequence[int], rejected: Sequence[tuple[int, str]] = ()) -> None:
        """See `Spool.settle`."""
        await self._in_thread((await self._open_spool()).settle, delivered, rejected)

    async def health(self) -> Health:
        """How it is, in figures that hold nothing personal."""
        depth: Depth | None = None
        try:
            spool = await self._open_spool()
            await self._probe(spool)
            depth = await self._in_thread(spool.depth)
            self._trouble = None
        except SpoolError as error:
            self._trouble = str(error)
        status = self._forwarder.status
        healthy = self._trouble is None
        return Health(
            healthy,
            {
                "status": ("degraded" if status.failures else "healthy") if healthy else "unhealthy",
                "spool": {
                    "accepting": healthy,
                    "error": None if healthy else "the spool cannot take events; the server's log says why",
                    "depth": depth.events if depth else None,
                    "bytes": depth.size if depth else None,
                    "max_bytes": self._max_bytes,
                    "oldest_age_seconds": _age(depth.oldest) if depth else None,
                    "rejected": depth.rejected if depth else None,
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
                self._spool = await self._in_thread(Spool, self._folder, self._max_bytes)
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


def _age(moment: float | None) -> float | None:
    return None if moment is None else max(0.0, round(time.time() - moment, 3))


def _iso(moment: float | None) -> str | None:
    return None if moment is None else datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")
