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

    __slots__ = ("_errors", "_executions", "_minutes", "_since", "_totals")

    def __init__(self, ranges: int) -> None:
        """Takes how many ranges there are."""
        self._minutes = array("q")
        self._executions = array("Q")
        self._errors = array("Q")
        self._since = [0] * ranges
        self._totals = [(0, 0)] * ranges

    def add(self, minute: int, *, failed: bool) -> None:
        """Counts an execution."""
        minutes = self._minutes
        place = len(minutes) - 1
        if place < 0 or minutes[place] != minute:
            place = bisect_left(minutes, minute)
            if place == len(minutes) or minutes[place] != minute:
                minutes.insert(place, minute)
                self._executions.insert(place, 0)
                self._errors.insert(place, 0)
        self._executions[place] += 1
        self._errors[place] += failed
        for number, since in enumerate(self._since):
            if minute >= since:
                executions, errors = self._totals[number]
                self._totals[number] = (executions + 1, errors + failed)

    def total(self, number: int, since: int) -> tuple[int, int]:
        """Returns the executions and errors of a range from a minute on."""
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


class ChartCounts:
    """The class's executions, errors and requests for help, in bars of several widths. Times are milliseconds."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        """Takes the widths: whole minutes."""
        self._bars: dict[int, dict[int, Counts]] = {width: {} for width in (MINUTE, *widths)}

    def add(self, at: int, executions: int, errors: int, helps: int) -> None:
        """Counts what happened at a time."""
        for width, bars in self._bars.items():
            start = at // width * width
            bar = bars.get(start)
            if bar is None:
                bar = bars[start] = [0] * _COUNTS
            bar[0] += executions
            bar[1] += errors
            bar[2] += helps

    def bars(self, width: int, since: int, now: int) -> list[Counts]:
        """Returns the bars from the one that holds ``since``, a whole minute, to now's; what is later is now's too."""
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
        for width, bars in self._bars.items():
            for start in [start for start in bars if start + width <= before]:
                del bars[start]


def _sum(bars: Iterable[Counts]) -> Counts:
    total = [0] * _COUNTS
    for bar in bars:
        for place, count in enumerate(bar):
            total[place] += count
    return total
