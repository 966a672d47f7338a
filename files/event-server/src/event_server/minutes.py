"""Counts by the minute: what slides out of a range of time is subtracted, not counted again."""

from array import array
from bisect import bisect_left
from collections.abc import Iterable

MINUTE = 60_000

_COUNTS = 3
Counts = list[int]
"""Executions, errors, requests for help."""


class SlidingCounts:
    """One student's executions and errors in several ranges that all end now. Minutes count from 1970."""

    __slots__ = ("_errors", "_executions", "_fresh", "_minutes", "_since", "_totals")

    def __init__(self, ranges: int) -> None:
        """Takes how many ranges there are."""
        self._minutes = array("q")
        self._executions = array("Q")
        self._errors = array("Q")
        self._since = [0] * ranges
        self._totals = [(0, 0)] * ranges
        # A minute, and the executions and errors of it that the rest does not know yet: most follow one another.
        self._fresh = [0, 0, 0]

    def add(self, minute: int, failed: int) -> None:
        """Counts an execution; ``failed`` is 1 or 0."""
        fresh = self._fresh
        if fresh[0] != minute:
            self._settle()
            fresh[0] = minute
        fresh[1] += 1
        fresh[2] += failed

    def total(self, number: int, since: int) -> tuple[int, int]:
        """Returns the executions and errors of a range from a minute on."""
        self._settle()
        before = self._since[number]
        if since != before:
            first = bisect_left(self._minutes, min(since, before))
            last = bisect_left(self._minutes, max(since, before))
            sign = 1 if since < before else -1
            executions, errors = self._totals[number]
            self._totals[number] = (
                executions + sign * sum(self._executions[first:last]),
                errors + sign * sum(self._errors[first:last]),
            )
            self._since[number] = since
        return self._totals[number]

    def forget(self, before: int) -> None:
        """Drops what no range will ask for again: the minutes before one."""
        for number, since in enumerate(self._since):
            self.total(number, max(since, before))
        count = bisect_left(self._minutes, before)
        del self._minutes[:count], self._executions[:count], self._errors[:count]

    def _settle(self) -> None:
        minute, executions, errors = self._fresh
        if not executions:
            return
        self._fresh[1] = self._fresh[2] = 0
        place = bisect_left(self._minutes, minute)
        if place == len(self._minutes) or self._minutes[place] != minute:
            self._minutes.insert(place, minute)
            self._executions.insert(place, 0)
            self._errors.insert(place, 0)
        self._executions[place] += executions
        self._errors[place] += errors
        for number, since in enumerate(self._since):
            if minute >= since:
                all_executions, all_errors = self._totals[number]
                self._totals[number] = (all_executions + executions, all_errors + errors)


class ChartCounts:
    """The class's executions, errors and requests for help, in bars of several widths. Times are milliseconds."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        """Takes the widths: whole minutes."""
        self._bars: dict[int, dict[int, Counts]] = {width: {} for width in (MINUTE, *widths)}
        # A minute, and what has happened in it that the bars do not know yet.
        self._fresh_minute = 0
        self._fresh = [0] * _COUNTS

    def add(self, at: int, executions: int, errors: int, helps: int) -> None:
        """Counts what happened at a time."""
        minute = at // MINUTE
        if minute != self._fresh_minute:
            self._settle()
            self._fresh_minute = minute
        fresh = self._fresh
        fresh[0] += executions
        fresh[1] += errors
        fresh[2] += helps

    def _settle(self) -> None:
        if not any(self._fresh):
            return
        fresh, self._fresh = self._fresh, [0] * _COUNTS
        at = self._fresh_minute * MINUTE
        for width, bars in self._bars.items():
            start = at // width * width
            bars[start] = _sum([bars[start], fresh]) if start in bars else list(fresh)

    def bars(self, width: int, since: int, now: int) -> list[Counts]:
        """Returns the bars from the one that holds ``since``, a whole minute, to now's; what is later is now's too."""
        self._settle()
        first = since // width * width
        minutes, wide = self._bars[MINUTE], self._bars[width]
        nothing = [0] * _COUNTS
        bars = [_sum(minutes.get(start, nothing) for start in range(since, first + width, MINUTE))]
        bars.extend(list(wide.get(start, nothing)) for start in range(first + width, now + 1, width))
        end = first + len(bars) * width
        if any(start >= end for start in reversed(wide)):
            bars[-1] = _sum([bars[-1], *(bar for start, bar in wide.items() if start >= end)])
        return bars

    def forget(self, before: int) -> None:
        """Drops what no bar will ask for again."""
        self._settle()
        for width, bars in self._bars.items():
            for start in [start for start in bars if start + width <= before]:
                del bars[start]


def _sum(bars: Iterable[Counts]) -> Counts:
    total = [0] * _COUNTS
    for bar in bars:
        for place, count in enumerate(bar):
            total[place] += count
    return total
