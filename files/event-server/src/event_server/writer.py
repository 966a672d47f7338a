"""Group commit: one thread writes, many requests share its transactions, each is answered after its own."""

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

from event_server.events import StoredEvent
from event_server.store import Acknowledgement, AppendResult, SchemaError, Store, StoreUnavailableError
from event_server.telemetry import Histogram

_T = TypeVar("_T")

_log = logging.getLogger(__name__)

# Enough to make the cost of a commit small, few enough that its latency stays in milliseconds.
_EVENTS_PER_TRANSACTION = 4000


StoredListener = Callable[[int, Sequence[Sequence[StoredEvent]]], None]
"""Is told the number of a transaction and the events that are new by it."""


class _Item(NamedTuple):
    """What waits in the queue: events, an acknowledgement, a call, or none of them for a check of the store."""

    answer: "asyncio.Future[Any]"
    events: Sequence[StoredEvent] = ()
    acknowledgement: Acknowledgement | None = None
    call: Callable[[], Any] | None = None

    @property
    def is_append(self) -> bool:
        return bool(self.events) or self.acknowledgement is not None


class Writer:
    """Owns the store's writing side.

    ``commits`` is how long its transactions took, ``committed_at`` when the last one ended, in seconds since 1970.

    Requests wait in a queue while a transaction is under way; the next one takes all of them. A queue that would grow
    beyond ``max_queued_events``, or an answer that takes longer than ``timeout_seconds``, is a store that is
    unavailable: the client sends its events again later, and what was stored after all is not stored twice.
    """

    def __init__(self, store: Store, *, max_queued_events: int, timeout_seconds: float = 15.0) -> None:
        """Takes the store, which nobody else may write to."""
        self._store = store
        self._max_queued_events = max_queued_events
        self._timeout_seconds = timeout_seconds
        self._queue: queue.SimpleQueue[_Item | None] = queue.SimpleQueue()
        self._waiting: list[_Item] = []
        self._queued_events = 0
        self._accepting = False
        self._available = True
        self._thread = threading.Thread(target=self._run, name="event-writer", daemon=True)
        self._transactions = 0
        self.commits = Histogram()
        self.committed_at = 0.0
        self._listeners: list[StoredListener] = []

    def listen(self, listener: StoredListener) -> None:
        """Has a function called on the event loop with what was stored, before the requests are answered."""
        self._listeners.append(listener)

    @property
    def transactions(self) -> int:
        """The number of the latest transaction; for ``call``."""
        return self._transactions

    @property
    def queued_events(self) -> int:
        """How many events wait for the end of their transaction."""
        return self._queued_events

    async def start(self) -> None:
        """Opens the store and starts the thread. A store that is away does not keep the server from starting.

        Raises:
            SchemaError: the store belongs to a newer release.
        """
        self._loop = asyncio.get_running_loop()
        try:
            await asyncio.to_thread(self._store.open)
        except SchemaError:
            raise
        except StoreUnavailableError as error:
            self._note(error)
        self._accepting = True
        self._thread.start()

    async def stop(self) -> None:
        """Writes what is queued and closes the store."""
        self._accepting = False
        self._hand_over()
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    async def append(self, events: Sequence[StoredEvent]) -> AppendResult:
        """Returns when the events are durable.

        Raises:
            StoreUnavailableError: they are not, or not yet.
        """
        if self._queued_events + len(events) > self._max_queued_events:
            raise StoreUnavailableError(f"{self._queued_events} events are waiting to be written")
        if not events:
            return AppendResult(0, 0)
        result: AppendResult = await self._request(events=events)
        return result

    async def acknowledge(self, acknowledgement: Acknowledgement) -> None:
        """Returns when it is durable.

        Raises:
            StoreUnavailableError: it is not, or not yet.
        """
        await self._request(acknowledgement=acknowledgement)

    async def check(self) -> None:
        """Returns when the store has written a probe and read it back.

        Raises:
            StoreUnavailableError: it could not.
        """
        await self._request()

    async def call(self, function: Callable[[], _T]) -> _T:
        """Returns what a function returns, or raises what it raises, called between two transactions."""
        result: _T = await self._request(call=function)
        return result

    async def _request(
        self,
        events: Sequence[StoredEvent] = (),
        acknowledgement: Acknowledgement | None = None,
        call: Callable[[], Any] | None = None,
    ) -> Any:
        if not self._accepting:
            raise StoreUnavailableError("the server is stopping")
        item = _Item(self._loop.create_future(), events, acknowledgement, call)
        # Counted down with the answer and not here: a request that gives up still has its events in the queue.
        self._queued_events += len(events)
        # Together at the end of the loop's turn: the first one wakes the thread, and takes the interpreter from others.
        self._waiting.append(item)
        if len(self._waiting) == 1:
            self._loop.call_soon(self._hand_over)
        # A tenth of what asyncio.timeout costs.
        alarm = self._loop.call_later(self._timeout_seconds, self._give_up, item.answer)
        try:
            return await item.answer
        finally:
            alarm.cancel()

    def _hand_over(self) -> None:
        for item in self._waiting:
            self._queue.put(item)
        self._waiting.clear()

    def _give_up(self, answer: "asyncio.Future[Any]") -> None:
        if not answer.done():
            answer.set_exception(StoreUnavailableError(f"no answer from the store in {self._timeout_seconds:g} s"))

    def _run(self) -> None:
        running = True
        while running:
            group, running = self._next_group()
            if appends := [item for item in group if item.is_append]:
                self._append(appends)
            if checks := [item for item in group if not item.is_append and item.call is None]:
                self._check(checks)
            for item in group:
                if item.call is not None:
                    self._answer([item], [_outcome(item.call)])
        self._store.close()

    def _next_group(self) -> tuple[list[_Item], bool]:
        """Waits for work and takes all there is, up to one transaction's worth; False when it is the last."""
        group: list[_Item] = []
        size = 0
        item = self._queue.get()
        while item is not None:
            group.append(item)
            size += len(item.events)
            if size >= _EVENTS_PER_TRANSACTION:
                return group, True
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                return group, True
        return group, False

    def _append(self, group: list[_Item]) -> None:
        started = time.perf_counter()
        try:
            outcomes: Sequence[AppendResult | Exception] = self._store.append(
                [item.events for item in group],
                [item.acknowledgement for item in group if item.acknowledgement is not None],
            )
        except StoreUnavailableError as error:
            self._note(error)
            outcomes = [error] * len(group)
        except Exception as error:
            # The events of one request must not take the others' with them.
            if len(group) > 1:
                for item in group:
                    self._append([item])
                return
            _log.exception("a request could not be stored")
            outcomes = [error]
        else:
            self._transactions += 1
            self.commits.observe(time.perf_counter() - started)
            self.committed_at = time.time()
            self._note(None)
        self._answer(group, outcomes)

    def _check(self, group: list[_Item]) -> None:
        outcome: Exception | None = None
        try:
            self._store.check()
        except Exception as error:
            outcome = error
        self._note(outcome)
        self._answer(group, [outcome] * len(group))

    def _answer(self, group: Sequence[_Item], outcomes: Sequence[Any]) -> None:
        number = self._transactions
        new = [_new(item.events, outcome) for item, outcome in zip(group, outcomes, strict=True) if item.events]

        def answer() -> None:
            if any(new):
                self._tell(number, new)
            for item, outcome in zip(group, outcomes, strict=True):
                self._queued_events -= len(item.events)
                if item.answer.done():
                    continue
                if isinstance(outcome, Exception):
                    item.answer.set_exception(outcome)
                else:
                    item.answer.set_result(outcome)

        self._loop.call_soon_threadsafe(answer)

    def _tell(self, number: int, new: Sequence[Sequence[StoredEvent]]) -> None:
        for listener in self._listeners:
            try:
                listener(number, new)
            except Exception:
                # What is stored is stored, whoever hears of it.
                _log.exception("a listener failed")

    def _note(self, error: Exception | None) -> None:
        """Logs when the store goes away and when it is back, not every request between."""
        if self._available != (error is None):
            self._available = error is None
            if error is None:
                _log.warning("the store is available again")
            else:
                _log.error("the store is unavailable: %s", error)


def _new(events: Sequence[StoredEvent], outcome: object) -> Sequence[StoredEvent]:
    if not isinstance(outcome, AppendResult) or outcome.duplicates == len(events):
        return ()
    if not outcome.duplicates:
        return events
    return [event for place, event in enumerate(events) if place not in outcome.left_out]


def _outcome(function: Callable[[], Any]) -> Any:
    try:
        return function()
    except Exception as error:
        return error
