"""One student's events so far, so kept that any range of time that ends now is known at once.

Events may come in any order; the result is that of ``classroom.overview`` for the same events. Times are milliseconds
since 1970, keys those of ``help_log.order_key``: of two events with one key the later to come is the later.
"""

import sys
from bisect import bisect_left, bisect_right, insort_right
from collections.abc import Callable
from typing import NamedTuple

from event_server.classroom import RANGES, Student, iso, student_status
from event_server.config import Classroom
from event_server.events import StoredEvent
from event_server.help_log import KEY_SHIFT, HelpLog
from event_server.minutes import MINUTE, SlidingCounts
from event_server.store import Activity

Event = Activity | StoredEvent
_Cell = tuple[str | None, str | int | None]

_NEVER = -(1 << 127)


class _Window(NamedTuple):
    """What a range shows of a student until an event comes or the range has moved on."""

    version: int
    since: int
    user_name: str | None
    team_name: str | None
    notebook: str | None
    executions: int
    errors: int
    streak: int
    last_failed: bool
    last_activity: str


class StudentState:
    """What the overview knows of a student."""

    __slots__ = (
        "_closed",
        "_counts",
        "_failing",
        "_last",
        "_last_execution",
        "_last_failed",
        "_notebook",
        "_opened",
        "_resolved_until",
        "_rules",
        "_sessions",
        "_succeeded",
        "_team",
        "_team_name",
        "_user",
        "_user_name",
        "_version",
        "_windows",
        "email",
        "help",
    )

    def __init__(self, email: str, rules: Classroom, lasts: int) -> None:
        """Takes the address, and how long a request for help lives without a heartbeat, in milliseconds."""
        self.email = email
        self.help = HelpLog(lasts)
        self._rules = rules
        self._counts = SlidingCounts(len(RANGES))
        self._resolved_until = _NEVER
        self._version = 0
        self._windows: list[_Window | None] = [None] * len(RANGES)
        # The key of the latest event that says so, and what it says.
        self._last = self._user = self._team = self._opened = self._last_execution = _NEVER
        self._user_name: str | None = None
        self._team_name: str | None = None
        self._notebook: str | None = None
        self._last_failed = False
        # Notebooks closed since, the last signal of each session, the last success and the errors since, of each cell.
        self._closed: dict[str, int] = {}
        self._sessions: dict[str | None, tuple[int, bool]] = {}
        self._succeeded: dict[_Cell, int] = {}
        self._failing: dict[_Cell, list[int]] = {}

    @property
    def last_activity(self) -> int:
        """When the latest event occurred."""
        return self._last >> KEY_SHIFT

    def take(self, event: Event, key: int) -> None:
        """Takes an event; signals of help go to ``take_help`` as well."""
        self._version += 1
        if key >= self._last:
            self._last = key
        if key >= self._user and event.user_name:
            self._user, self._user_name = key, event.user_name
        if key >= self._team and event.team_name:
            self._team, self._team_name = key, event.team_name
        if event.notebook_path and key >= self._opened:
            self._take_notebook(event.notebook_path, key, closes=event.event_type == "notebook_closed")

    def take_execution(self, event: Event, key: int) -> None:
        """Takes what an event says of its cell."""
        failed = bool(event.has_error)
        self._counts.add(event.occurred_at // MINUTE, 1 if failed else 0)
        if key >= self._last_execution:
            self._last_execution, self._last_failed = key, failed
        cell = (event.notebook_path, event.cell_id or event.cell_index)
        succeeded = self._succeeded.get(cell)
        if succeeded is not None and key < succeeded:
            return
        if failed:
            self._take_error(cell, key)
        else:
            self._succeeded[cell if succeeded is not None else _interned(cell)] = key
            if cell in self._failing:
                self._cut(cell, key)

    def take_help(self, event: Event, key: int) -> list[tuple[int, int]]:
        """Takes a signal of help, and returns the times at which requests now begin (1) or no longer do (-1)."""
        stops = event.event_type == "help_stop"
        last = self._sessions.get(event.session_id)
        if last is None or key >= last[0]:
            self._sessions[event.session_id] = (key, stops)
        return self.help.take(key, event.session_id, stops=stops)

    def resolve(self, until: int) -> None:
        """Takes the errors until a time for dealt with."""
        self._resolved_until = max(until, self._resolved_until)
        self._version += 1

    def show(self, number: int, since: int, now: int, is_dismissed: Callable[[str | None], bool]) -> Student:
        """Returns the student as a range shows one.

        Args:
            number: the place of the range in ``RANGES``.
            since: where it begins, a whole minute.
            now: where it ends.
            is_dismissed: whether a session's request for help is dismissed.
        """
        window = self._windows[number]
        if window is None or window.version != self._version or window.since != since:
            window = self._windows[number] = self._window(number, since)
        asks = bool(self._sessions) and self._asks(max(since, now - self.help.lasts), is_dismissed)
        stuck = window.streak >= self._rules.significant_errors
        idle = now - self.last_activity > self._rules.active_seconds * 1000
        return Student(
            self.email,
            window.user_name,
            window.team_name,
            window.notebook,
            window.last_activity,
            student_status(asks=asks, stuck=stuck, failed=window.last_failed, idle=idle),
            asks,
            window.executions,
            window.errors,
            window.streak,
            stuck,
        )

    def forget(self, before: int) -> None:
        """Drops what no range will ask for again: what occurred before a time, a whole minute."""
        self._version += 1
        key = before << KEY_SHIFT
        self.help.forget(before)
        self._counts.forget(before // MINUTE)
        self._closed = {path: at for path, at in self._closed.items() if at >= key}
        self._sessions = {session_id: last for session_id, last in self._sessions.items() if last[0] >= key}
        self._succeeded = {cell: at for cell, at in self._succeeded.items() if at >= key}
        for cell in list(self._failing):
            self._cut(cell, key - 1)

    def _take_notebook(self, path: str, key: int, *, closes: bool) -> None:
        if closes:
            self._closed[path] = max(key, self._closed.get(path, key))
            return
        self._opened, self._notebook = key, path
        if self._closed:
            self._closed = {closed: at for closed, at in self._closed.items() if at > key}

    def _take_error(self, cell: _Cell, key: int) -> None:
        errors = self._failing.get(cell)
        if errors is None:
            self._failing[_interned(cell)] = [key]
        else:
            insort_right(errors, key)

    def _cut(self, cell: _Cell, key: int) -> None:
        """Drops a cell's errors up to a key."""
        errors = self._failing[cell]
        del errors[: bisect_right(errors, key)]
        if not errors:
            del self._failing[cell]

    def _window(self, number: int, since: int) -> _Window:
        first = since << KEY_SHIFT
        unresolved = max(since, self._resolved_until + 1) << KEY_SHIFT
        opened = self._opened >= first and self._notebook not in self._closed
        return _Window(
            self._version,
            since,
            self._user_name if self._user >= first else None,
            self._team_name if self._team >= first else None,
            self._notebook if opened else None,
            *self._counts.total(number, since // MINUTE),
            max((len(errors) - bisect_left(errors, unresolved) for errors in self._failing.values()), default=0),
            self._last_failed and self._last_execution >= unresolved,
            iso(self.last_activity),
        )

    def _asks(self, since: int, is_dismissed: Callable[[str | None], bool]) -> bool:
        return any(
            not stops and key >> KEY_SHIFT >= since and not is_dismissed(session_id)
            for session_id, (key, stops) in self._sessions.items()
        )


def _interned(cell: _Cell) -> _Cell:
    """Returns the same cell; its notebook's path is kept once for all of them."""
    path, cell_id = cell
    return (sys.intern(path) if path else path, cell_id)
