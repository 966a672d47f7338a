"""The class as it is now: every student's state, and the chart, brought up to date by each event."""

from collections.abc import Iterator, Mapping

from event_server.classroom import (
    RANGES,
    Bar,
    Metrics,
    Overview,
    Student,
    TimeRange,
    by_urgency,
    help_lasts,
    iso,
    range_start,
    summarize,
)
from event_server.config import Classroom
from event_server.help_desk import HelpDesk
from event_server.help_log import order_key
from event_server.minutes import MINUTE, ChartCounts
from event_server.student_state import Event, StudentState

_NUMBERS: dict[TimeRange, int] = {time_range: number for number, time_range in enumerate(RANGES)}
KEPT = RANGES["7d"][0] + 120 * MINUTE
"""How long events matter, in milliseconds: more than the longest range, for a clock that is put back."""


class ClassState:
    """Gives the overview of the events taken so far, as ``classroom.overview`` would. Not for several threads."""

    def __init__(self, rules: Classroom, desk: HelpDesk, now: int) -> None:
        """Takes what counts as active, stuck or asking for help, who knows what is dismissed, and the time in ms."""
        self._rules = rules
        self._desk = desk
        self._lasts = help_lasts(rules)
        self._students: dict[str, StudentState] = {}
        self._chart = ChartCounts(tuple(width for _, width in RANGES.values()))
        self._resolved_until: dict[str, int] = {}
        self._horizon = now - KEPT

    def take(self, event: Event) -> StudentState | None:
        """Takes an event that was not taken before; None if it is older than every range."""
        at = event.occurred_at
        if at < self._horizon:
            return None
        student = self._students.get(event.email_address)
        if student is None:
            student = self._add(event.email_address)
        key = order_key(at, event.event_time)
        student.take(event, key)
        if event.event_type == "cell_executed":
            student.take_execution(event, key)
            self._chart.add(at, 1, 1 if event.has_error else 0, 0)
        elif event.event_type in ("help", "help_stop"):
            for began_at, change in student.take_help(event, key):
                self._chart.add(began_at, 0, 0, change)
        return student

    def resolve(self, email: str, until: int) -> None:
        """Takes a student's errors until a time for dealt with."""
        self._resolved_until[email] = max(until, self._resolved_until.get(email, until))
        if email in self._students:
            self._students[email].resolve(until)

    def resolve_all(self, errors_until: Mapping[str, int]) -> None:
        """Does so for several students."""
        for email, until in errors_until.items():
            self.resolve(email, until)

    def overview(self, time_range: TimeRange, now: int) -> Overview:
        """Returns what ``classroom.overview`` computes."""
        students, metrics = self._show_all(time_range, now)
        students.sort(key=by_urgency)
        return Overview(students, metrics, self._bars(time_range, now))

    def metrics(self, time_range: TimeRange, now: int) -> Metrics:
        """Returns the class in numbers."""
        return self._show_all(time_range, now)[1]

    def student(self, email: str, time_range: TimeRange, now: int) -> Student | None:
        """Returns a student as the overview shows one; None if it does not."""
        student = self._students.get(email)
        since = range_start(time_range, now)
        if student is None or student.last_activity < since:
            return None
        return self._show(student, time_range, since, now)

    def has(self, email: str) -> bool:
        """Tells whether any event of a student is remembered."""
        return email in self._students

    def knows(self, email: str, since: int) -> bool:
        """Tells whether a student has sent an event since a time."""
        return email in self._students and self._students[email].last_activity >= since

    def forget(self, now: int) -> Iterator[None]:
        """Drops what no range will ask for again, one student at each step."""
        self._horizon = (now - KEPT) // MINUTE * MINUTE
        self._chart.forget(self._horizon)
        for email, student in list(self._students.items()):
            if student.last_activity < self._horizon:
                del self._students[email]
            else:
                student.forget(self._horizon)
            yield
        self._resolved_until = {email: until for email, until in self._resolved_until.items() if until >= self._horizon}

    def _add(self, email: str) -> StudentState:
        student = self._students[email] = StudentState(email, self._rules, self._lasts)
        if (until := self._resolved_until.get(email)) is not None:
            student.resolve(until)
        return student

    def _show_all(self, time_range: TimeRange, now: int) -> tuple[list[Student], Metrics]:
        since = range_start(time_range, now)
        active_since = now - self._rules.active_seconds * 1000
        seen = [student for student in self._students.values() if student.last_activity >= since]
        students = [self._show(student, time_range, since, now) for student in seen]
        return students, summarize(students, sum(student.last_activity >= active_since for student in seen))

    def _show(self, student: StudentState, time_range: TimeRange, since: int, now: int) -> Student:
        def is_dismissed(session_id: str | None) -> bool:
            return self._desk.is_dismissed((student.email, session_id))

        return student.show(_NUMBERS[time_range], since, now, is_dismissed)

    def _bars(self, time_range: TimeRange, now: int) -> list[Bar]:
        since = range_start(time_range, now)
        width = RANGES[time_range][1]
        first = since // width * width
        counts = self._chart.bars(width, since, now)
        for student in self._students.values():
            for at in student.help.begun_in_range_only(since):
                counts[min((at - first) // width, len(counts) - 1)][2] += 1
        return [Bar(iso(first + place * width), *count) for place, count in enumerate(counts)]
