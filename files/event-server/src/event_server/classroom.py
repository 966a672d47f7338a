"""Who needs help and who is stuck: the overview of a class, computed from its events."""

from collections.abc import Collection, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal

import msgspec

from event_server.config import Classroom
from event_server.events import EPOCH
from event_server.help_desk import SessionKey
from event_server.minutes import MINUTE
from event_server.store import Activity

TimeRange = Literal["1h", "24h", "7d"]
Status = Literal["help", "significant_error", "error", "active", "idle"]

_HOUR = 60 * MINUTE
# The range and the width of a bar of its chart, in milliseconds.
RANGES: dict[TimeRange, tuple[int, int]] = {
    "1h": (_HOUR, 5 * MINUTE),
    "24h": (24 * _HOUR, _HOUR),
    "7d": (7 * 24 * _HOUR, 6 * _HOUR),
}
_URGENCY: dict[Status, int] = {"help": 0, "significant_error": 1, "error": 2, "active": 3, "idle": 4}


class Student(msgspec.Struct, rename="camel"):
    """A student as the dashboard shows one; ``help_since`` is null where it is not known."""

    email_address: str
    user_name: str | None
    team_name: str | None
    current_notebook: str | None
    last_activity: str
    status: Status
    is_requesting_help: bool
    cell_executions: int
    error_count: int
    consecutive_error_count: int
    has_significant_error: bool
    help_since: str | None = None


class Metrics(msgspec.Struct, rename="camel"):
    """The class in numbers; students, but for errors and executions."""

    total_students: int = 0
    total_active: int = 0
    error_count: int = 0
    significant_error_count: int = 0
    total_executions: int = 0
    help_count: int = 0


class Bar(msgspec.Struct, rename="camel"):
    """What happened from ``time`` until the next bar."""

    time: str
    execution_count: int = 0
    error_count: int = 0
    help_count: int = 0


class Overview(msgspec.Struct, rename="camel"):
    """The answer of ``GET /api/v1/dashboard/overview``."""

    students: list[Student]
    metrics: Metrics
    activity_chart: list[Bar]


def range_start(time_range: TimeRange, now: int) -> int:
    """Returns where a range that ends now begins, in milliseconds since 1970: at a whole minute."""
    return (now - RANGES[time_range][0]) // MINUTE * MINUTE


@dataclass(frozen=True)
class Acknowledged:
    """What instructors have seen to.

    Attributes:
        errors_until: the time, in milliseconds since 1970, up to which a student's errors are resolved.
        help_sessions: the sessions whose request for help is dismissed.
    """

    errors_until: Mapping[str, int] = field(default_factory=dict)
    help_sessions: AbstractSet[SessionKey] = frozenset()


_NOTHING = Acknowledged()


@dataclass
class _Record:
    """A student's events so far."""

    errors_resolved_until: int
    user_name: str | None = None
    team_name: str | None = None
    notebook: str | None = None
    last_activity: int = 0
    executions: int = 0
    errors: int = 0
    last_failed: bool = False
    # The last heartbeat, for each session whose request was not stopped.
    help_heartbeats: dict[str | None, int] = field(default_factory=dict)
    # Errors in a row, for each cell whose last execution failed.
    streaks: dict[tuple[str | None, str | int | None], int] = field(default_factory=dict)


def help_lasts(rules: Classroom) -> int:
    """Returns how long a request for help lives without a heartbeat, in milliseconds."""
    return rules.help_interval_seconds * rules.help_missed_intervals * 1000


def overview(
    activities: Iterable[Activity],
    time_range: TimeRange,
    now: int,
    rules: Classroom,
    acknowledged: Acknowledged = _NOTHING,
) -> Overview:
    """Computes the overview.

    Args:
        activities: what happened since ``range_start``, in order.
        time_range: the range asked for.
        now: its end, in milliseconds since 1970.
        rules: what counts as active, stuck or asking for help.
        acknowledged: what no longer counts as stuck or asking for help.
    """
    width = RANGES[time_range][1]
    first = range_start(time_range, now) // width * width
    bars = [Bar(iso(start)) for start in range(first, now + 1, width)]
    records: dict[str, _Record] = {}
    lasts = help_lasts(rules)
    for activity in activities:
        email = activity.email_address
        if (record := records.get(email)) is None:
            record = records[email] = _Record(acknowledged.errors_until.get(email, -1))
        bar = bars[min((activity.occurred_at - first) // width, len(bars) - 1)]
        _take(record, activity, bar, lasts)
    students = [
        _student(email, record, now, rules, asks=_asks(email, record, now - lasts, acknowledged))
        for email, record in records.items()
    ]
    students.sort(key=by_urgency)
    active_since = now - rules.active_seconds * 1000
    active = sum(record.last_activity >= active_since for record in records.values())
    return Overview(students, summarize(students, active), bars)


def by_urgency(student: Student) -> tuple[int, str, str]:
    """Returns what students are sorted by: those who ask for help first."""
    return _URGENCY[student.status], student.user_name or "", student.email_address


def summarize(students: Collection[Student], active: int) -> Metrics:
    """Returns the class in numbers, of which so many are active."""
    return Metrics(
        total_students=len(students),
        total_active=active,
        error_count=sum(student.error_count for student in students),
        significant_error_count=sum(student.has_significant_error for student in students),
        total_executions=sum(student.cell_executions for student in students),
        help_count=sum(student.is_requesting_help for student in students),
    )


def student_status(*, asks: bool, stuck: bool, failed: bool, idle: bool) -> Status:
    """Returns the most urgent of what is true of a student."""
    if asks:
        return "help"
    if stuck:
        return "significant_error"
    if failed:
        return "error"
    return "idle" if idle else "active"


def _take(record: _Record, activity: Activity, bar: Bar, lasts: int) -> None:
    record.user_name = activity.user_name or record.user_name
    record.team_name = activity.team_name or record.team_name
    record.last_activity = activity.occurred_at
    if activity.event_type == "notebook_closed":
        if record.notebook == activity.notebook_path:
            record.notebook = None
    elif activity.notebook_path:
        record.notebook = activity.notebook_path
    if activity.event_type == "cell_executed":
        _take_execution(record, activity, bar)
    elif activity.event_type == "help":
        # Heartbeats of one request count once in the chart.
        if not any(activity.occurred_at - last <= lasts for last in record.help_heartbeats.values()):
            bar.help_count += 1
        record.help_heartbeats[activity.session_id] = activity.occurred_at
    elif activity.event_type == "help_stop":
        record.help_heartbeats.pop(activity.session_id, None)


def _take_execution(record: _Record, activity: Activity, bar: Bar) -> None:
    record.executions += 1
    bar.execution_count += 1
    cell = (activity.notebook_path, activity.cell_id or activity.cell_index)
    if activity.has_error:
        record.errors += 1
        bar.error_count += 1
    if activity.has_error and activity.occurred_at > record.errors_resolved_until:
        record.last_failed = True
        record.streaks[cell] = record.streaks.get(cell, 0) + 1
    else:
        record.last_failed = False
        record.streaks.pop(cell, None)


def _asks(email: str, record: _Record, since: int, acknowledged: Acknowledged) -> bool:
    return any(
        last >= since and (email, session_id) not in acknowledged.help_sessions
        for session_id, last in record.help_heartbeats.items()
    )


def _student(email: str, record: _Record, now: int, rules: Classroom, *, asks: bool) -> Student:
    longest = max(record.streaks.values(), default=0)
    stuck = longest >= rules.significant_errors
    idle = now - record.last_activity > rules.active_seconds * 1000
    return Student(
        email_address=email,
        user_name=record.user_name,
        team_name=record.team_name,
        current_notebook=record.notebook,
        last_activity=iso(record.last_activity),
        status=student_status(asks=asks, stuck=stuck, failed=record.last_failed, idle=idle),
        is_requesting_help=asks,
        cell_executions=record.executions,
        error_count=record.errors,
        consecutive_error_count=longest,
        has_significant_error=stuck,
    )


def iso(moment: int) -> str:
    """Returns a time in milliseconds since 1970 as the wire format writes it."""
    return (EPOCH + timedelta(milliseconds=moment)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
