"""A day in figures, and what is unusual about them."""

import statistics
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

from cell_monitor_maintenance.samples import Sample

Day = dict[str, float]

# Days with a class that a comparison needs.
_FEWEST = 3
WINDOWS = (7, 28)


@dataclass(frozen=True)
class Figure:
    """A figure of a day.

    Attributes:
        name: as in reports.
        unit: seconds, bytes, ratio or count.
        floor: a smaller difference is nothing that anybody would notice, in the figure's unit.
    """

    name: str
    unit: str
    floor: float


# More of any of them is what an administrator wants to know.
FIGURES = (
    Figure("lab_answer_seconds", "seconds", 0.1),
    Figure("server_answer_seconds", "seconds", 0.02),
    Figure("error_ratio", "ratio", 0.01),
    Figure("failed_requests", "count", 5),
    Figure("help_requests", "count", 5),
    Figure("invalid_requests", "count", 5),
    Figure("unanswered_ratio", "ratio", 0.02),
    Figure("memory_bytes", "bytes", 100e6),
    Figure("active_users", "count", 10),
    Figure("events", "count", 1000),
)


def of_day(samples: Sequence[Sample]) -> Day:
    """Returns the figures of a day; what its samples do not tell is not among them."""
    lab = [sample["lab"] for sample in samples if sample.get("lab")]
    server = [sample["server"] for sample in samples if sample.get("server")]
    day: Day = {}
    if asked := [sample[part] is not None for sample in samples for part in ("lab", "server") if part in sample]:
        day["unanswered_ratio"] = 1 - sum(asked) / len(asked)
    if lab:
        busy = [one for one in lab if one["active_users"]]
        day["lab_answer_seconds"] = _mean(one["answer_seconds"] for one in busy)
        day["error_ratio"] = _mean(one["error_ratio"] for one in busy)
        day["memory_bytes"] = max(one["memory_bytes"] for one in lab)
        day["help_requests"] = increase(one["help_total"] for one in lab)
        day["invalid_requests"] = increase(one["invalid_total"] for one in lab)
        day["active_users"] = max(one["active_users"] for one in lab)
    if server:
        answers = increase(one["answers_total"] for one in server)
        day["server_answer_seconds"] = increase(one["answers_seconds_total"] for one in server) / max(answers, 1)
        day["failed_requests"] = increase(one["failed_total"] for one in server)
        day["events"] = increase(one["events_total"] for one in server)
        day["active_users"] = max(day.get("active_users", 0), *(one["active_users"] for one in server))
    return day


def increase(values: Iterable[float]) -> float:
    """Returns by how much a counter grew; one that is smaller than before has begun anew."""
    return sum(after - before if after >= before else after for before, after in pairwise(values))


def _mean(values: Iterable[float]) -> float:
    return statistics.fmean(found) if (found := list(values)) else 0.0


def had_class(day: Mapping[str, float]) -> bool:
    """Whether somebody worked on a day."""
    return bool(day.get("events") or day.get("active_users"))


@dataclass(frozen=True)
class Change:
    """A figure that is higher than it used to be.

    Attributes:
        window: days that it is compared with, before this one.
        usual: the median of those of them that had a class.
    """

    name: str
    unit: str
    value: float
    usual: float
    window: int

    @property
    def factor(self) -> float | None:
        """How many times the usual value it is; None where that is 0."""
        return self.value / self.usual if self.usual else None


def changes(history: Mapping[date, Day], today: date) -> list[Change]:
    """Returns what is unusual about a day with a class, each figure by its largest difference.

    Args:
        history: figures of this day and of earlier ones.
        today: the day.
    """
    day = history.get(today, {})
    if not had_class(day):
        return []
    found = []
    for figure in FIGURES:
        if figure.name in day:
            compared = [change for window in WINDOWS if (change := _compared(history, today, figure, window))]
            found += sorted(compared, key=lambda change: change.usual)[:1]
    return found


def usual(history: Mapping[date, Day], today: date, name: str, window: int) -> float | None:
    """Returns the median of a figure over the days with a class before this one, None if they are too few."""
    values = list(_before(history, today, name, window))
    return statistics.median(values) if len(values) >= _FEWEST else None


def _before(history: Mapping[date, Day], today: date, name: str, window: int) -> Iterator[float]:
    first = today - timedelta(days=window)
    return (day[name] for when, day in history.items() if first <= when < today and had_class(day) and name in day)


def _compared(history: Mapping[date, Day], today: date, figure: Figure, window: int) -> Change | None:
    value, middle = history[today][figure.name], usual(history, today, figure.name, window)
    if middle is None:
        return None
    # Days differ: three times their usual distance from the median, and half as much again, is no chance.
    spread = statistics.median(abs(one - middle) for one in _before(history, today, figure.name, window))
    if value - middle > max(figure.floor, 3 * spread, 0.5 * middle):
        return Change(figure.name, figure.unit, value, middle, window)
    return None


def days_left(used: Mapping[date, float], total: float, today: date) -> float | None:
    """Returns in how many days a disk is full if it goes on like this; None if it does not grow.

    Args:
        used: bytes at the end of each day.
        total: bytes of the disk.
        today: the day to look from, with at most four weeks before it.
    """
    points = [
        (when.toordinal() - today.toordinal(), size) for when, size in used.items() if 0 <= (today - when).days <= 28
    ]
    if len(points) < _FEWEST:
        return None
    growth, _ = statistics.linear_regression([x for x, _ in points], [y for _, y in points])
    now = used.get(today, max(points)[1])
    # Less than a thousandth of the disk in a day is noise.
    return max(total - now, 0) / growth if growth > total / 1000 else None


def at_end(samples: Sequence[Sample]) -> dict[str, dict[str, float]]:
    """Returns the disks as they were at the end of a day."""
    disks: dict[str, dict[str, float]] = samples[-1].get("disks", {}) if samples else {}
    return disks


def series(samples: Sequence[Sample]) -> dict[str, list[tuple[float, float]]]:
    """Returns what a day's charts show: pairs of the hour of the day, from 0 to 24, and a value."""
    shown: dict[str, list[tuple[float, float]]] = {
        "active_users": [],
        "events": [],
        "answer_seconds": [],
        "memory_bytes": [],
    }
    before: Mapping[str, Any] | None = None
    for sample in samples:
        hour = _hour(sample["at"])
        lab, server = sample.get("lab") or {}, sample.get("server")
        shown["active_users"].append((hour, max(lab.get("active_users", 0), (server or {}).get("active_users", 0))))
        shown["answer_seconds"].append((hour, lab.get("answer_seconds", 0)))
        shown["memory_bytes"].append((hour, lab.get("memory_bytes", 0) + (server or {}).get("memory_bytes", 0)))
        if server and before:
            shown["events"].append((hour, increase([before["events_total"], server["events_total"]])))
        before = server or before
    return shown


def _hour(at: float) -> float:
    local = time.localtime(at)
    return local.tm_hour + local.tm_min / 60 + local.tm_sec / 3600
