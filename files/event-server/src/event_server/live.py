"""Keeps the class's state up to date with what is stored: built from the store, then brought on by each event."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Protocol

from event_server.class_state import KEPT, ClassState
from event_server.classroom import Metrics, Overview, Student, TimeRange, iso
from event_server.config import Classroom
from event_server.events import StoredEvent
from event_server.help_desk import HELP_TYPES, HelpDesk
from event_server.store import Activity, News, Store, StoreUnavailableError
from event_server.writer import Writer

_log = logging.getLogger(__name__)

# Requests are answered between two slices.
_SLICE = 200
# What comes in while the state is built; beyond, it is built again.
_MAX_RECORDED = 200_000
_RETRY_SECONDS = 1.0
_FORGET_SECONDS = 600.0
_WAIT_SECONDS = 20.0


class Follower(Protocol):
    """Who else has to know what others have done to the store."""

    async def load(self) -> bool:
        """Takes what the store holds; False if it is away."""
        ...

    def take(self, news: News) -> None:
        """Takes what is new, after the class's state knows it."""
        ...


class Live:
    """The class's state, for the event loop only.

    It is built from the store at the start, and again when someone else has changed what is stored (an erased student,
    imported events). Until the first time is through, requests wait for it. What the writer stores in the meantime is
    recorded: the store's history is that of a moment between two transactions, so nothing is missed or counted twice.
    What other servers on the same store do is asked of the store as often as it says.
    """

    def __init__(self, store: Store, writer: Writer, rules: Classroom, desk: HelpDesk) -> None:
        """Takes where events are kept, who tells of new ones, what the overview calls stuck, and who knows of help."""
        self._store = store
        self._writer = writer
        self._rules = rules
        self._desk = desk
        self._state: ClassState | None = None
        self._pending: deque[Sequence[StoredEvent]] = deque()
        self._drain_is_due = False
        self._recorded: list[tuple[int, Sequence[StoredEvent]]] | None = None
        self._recorded_events = 0
        self._resolved: list[tuple[str, int]] = []
        self._tried = asyncio.Event()
        self._is_stale = False
        self._is_away = False
        self._build_at = 0.0
        self._follower: Follower | None = None
        self._stopping = False
        self._task: asyncio.Task[None] | None = None
        self._listener: Callable[[StoredEvent], None] | None = None
        writer.listen(self._take)

    def listen(self, listener: Callable[[StoredEvent], None] | None) -> None:
        """Has a function called with each event after the state knows it; None to have none called."""
        self._listener = listener

    def follow(self, follower: Follower) -> None:
        """Has someone told, too, of what others have done."""
        self._follower = follower

    def start(self) -> None:
        """Begins to build the state; the writer has been started."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Ends what ``start`` began."""
        self._stopping = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def overview(self, time_range: TimeRange) -> Overview:
        """Returns the overview as it is now.

        Raises:
            StoreUnavailableError: the state could not be built yet.
        """
        state = await self._current()
        now = _now()
        found = state.overview(time_range, now)
        if found.metrics.help_count:
            since = self._desk.asking_since(now)
            for student in found.students:
                _add_help_since(student, since)
        return found

    def metrics(self, time_range: TimeRange) -> Metrics | None:
        """Returns the class in numbers, None if they are not known yet."""
        return None if self._state is None else self._state.metrics(time_range, _now())

    def student(self, email: str, time_range: TimeRange) -> Student | None:
        """Returns a student as the overview shows one, None if it does not."""
        now = _now()
        student = None if self._state is None else self._state.student(email, time_range, now)
        if student is not None and student.is_requesting_help:
            _add_help_since(student, self._desk.asking_since(now))
        return student

    def resolve(self, email: str, until: int) -> None:
        """Takes a student's errors until a time for dealt with."""
        if self._recorded is not None:
            self._resolved.append((email, until))
        if self._state is not None:
            self._state.resolve(email, until)

    def _take(self, number: int, batches: Sequence[Sequence[StoredEvent]]) -> None:
        for events in batches:
            if helps := [event for event in events if event.event_type in HELP_TYPES]:
                self._desk.take(helps)
            if self._recorded is not None:
                self._record(number, events)
        if self._state is not None:
            self._pending.extend(batches)
            self._drain_soon()

    def _record(self, number: int, events: Sequence[StoredEvent]) -> None:
        if self._recorded is None:
            return
        self._recorded.append((number, events))
        self._recorded_events += len(events)
        if self._recorded_events > _MAX_RECORDED:
            self._recorded = None

    def _drain_soon(self) -> None:
        if not self._drain_is_due:
            self._drain_is_due = True
            asyncio.get_running_loop().call_soon(self._drain_slice)

    def _drain_slice(self) -> None:
        self._drain_is_due = False
        # A share of them all: they are held in memory, and must not come in faster for long than they are taken.
        self._drain(max(_SLICE, sum(map(len, self._pending)) // 4))
        if self._pending:
            self._drain_soon()

    def _drain(self, count: float = float("inf")) -> None:
        """Brings the state on by so many events, to the end of a request's."""
        state, pending = self._state, self._pending
        while pending and state is not None and count > 0:
            events = pending.popleft()
            count -= len(events)
            for event in events:
                try:
                    state.take(event)
                    if self._listener is not None:
                        self._listener(event)
                except Exception:
                    _log.exception("the overview could not take an event")
                    self._is_stale = True

    async def _current(self) -> ClassState:
        if self._state is None:
            with suppress(TimeoutError):
                async with asyncio.timeout(_WAIT_SECONDS):
                    await self._tried.wait()
        if self._state is None:
            raise StoreUnavailableError("the overview is not ready yet")
        self._drain()
        return self._state

    async def _run(self) -> None:
        forgot_at = time.monotonic()
        while True:
            await self._look_around()
            self._tried.set()
            if self._state is not None and time.monotonic() - forgot_at > _FORGET_SECONDS:
                forgot_at = time.monotonic()
                for _ in self._state.forget(_now()):
                    await asyncio.sleep(0)
            await asyncio.sleep(_RETRY_SECONDS if self._state is None else self._store.look_seconds)

    async def _look_around(self) -> None:
        try:
            if self._state is not None:
                self._take_news(await self._writer.call(self._store.news))
            if self._state is None or (self._is_stale and time.monotonic() >= self._build_at):
                began_at = time.monotonic()
                await self._build()
                # However much others write, most of the time is for what is asked.
                self._build_at = time.monotonic() + 20 * (time.monotonic() - began_at)
        except StoreUnavailableError as error:
            if not self._is_away:
                _log.info("the overview is not brought up to date: %s", error)
            self._is_away = True
        except Exception:
            _log.exception("the overview could not be built")
            self._is_stale = True
        else:
            self._is_away = False

    def _take_news(self, news: News) -> None:
        self._is_stale |= news.is_stale
        if news.events:
            self._desk.take(news.events)
            self._pending.append(news.events)
            self._drain_soon()
        if self._follower is not None:
            self._follower.take(news)

    async def _build(self) -> None:
        self._recorded, self._recorded_events, self._resolved = [], 0, []
        now = _now()
        try:
            number, history = await self._writer.call(lambda: self._look(now - KEPT))
            if self._follower is not None and not await self._follower.load():
                raise StoreUnavailableError("the store is away")
            state = await asyncio.to_thread(self._replay, history, now)
            if self._recorded is None:
                raise StoreUnavailableError("too much came in meanwhile")
            later = [events for at, events in self._recorded if at > number]
            self._replace(state, later)
            self._is_stale = False
        finally:
            self._recorded = None

    def _replace(self, state: ClassState, later: Sequence[Sequence[StoredEvent]]) -> None:
        for email, until in self._resolved:
            state.resolve(email, until)
        if self._state is None:
            self._state = state
            self._pending.extend(later)
            self._drain_soon()
            return
        # Who listens has heard of these, or does now.
        self._drain()
        for events in later:
            for event in events:
                state.take(event)
        self._state = state
        self._desk.forget(state.has)

    def _look(self, since: int) -> tuple[int, Iterator[Activity]]:
        return self._writer.transactions, self._store.history(since)

    def _replay(self, history: Iterator[Activity], now: int) -> ClassState:
        state = ClassState(self._rules, self._desk, now)
        state.resolve_all(self._store.acknowledged("error", now - KEPT))
        for number, activity in enumerate(history):
            state.take(activity)
            if number % _SLICE == 0:
                # Requests go first.
                time.sleep(0)
                if self._stopping:
                    break
        return state


def _now() -> int:
    return time.time_ns() // 1_000_000


def _add_help_since(student: Student, since: dict[str, int]) -> None:
    if student.is_requesting_help and (began := since.get(student.email_address)) is not None:
        student.help_since = iso(began)
