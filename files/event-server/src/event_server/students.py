"""One student's page: what was run last, and when the student was there."""

from collections.abc import Iterable

import msgspec

from event_server.classroom import Acknowledged, Student, TimeRange, iso, overview
from event_server.config import Classroom
from event_server.store import Activity

RANGE: TimeRange = "7d"
MAX_EXECUTIONS = 50
_MAX_SESSIONS = 10


class Execution(msgspec.Struct, rename="camel"):
    """A ``cell_executed`` event: the fields of the wire format, null where the client left one out."""

    event_id: str
    event_time: str
    session_id: str | None = None
    notebook_path: str | None = None
    cell_id: str | None = None
    cell_index: int | None = None
    cell_type: str | None = None
    code: str | None = None
    execution_count: int | None = None
    has_error: bool | None = None
    error_message: str | None = None
    result: str | None = None
    execution_duration_ms: int | None = None


class Session(msgspec.Struct, rename="camel"):
    """What came from one page load."""

    session_id: str
    started_at: str
    last_activity: str
    notebook_path: str | None = None
    cell_executions: int = 0
    error_count: int = 0


class StudentActivity(msgspec.Struct, rename="camel"):
    """The answer of ``GET /api/v1/dashboard/students/{email}/activity``; lists begin with the latest."""

    student: Student
    recent_executions: list[Execution]
    sessions: list[Session]


_execution_decoder = msgspec.json.Decoder(Execution)


def student_activity(
    activities: Iterable[Activity], bodies: Iterable[str], now: int, rules: Classroom, acknowledged: Acknowledged
) -> StudentActivity | None:
    """Puts a student's page together.

    Args:
        activities: the student's events since the start of ``RANGE``, in order.
        bodies: the JSON of the executions to show, the latest first.
        now: milliseconds since 1970.
        rules: what counts as active, stuck or asking for help.
        acknowledged: what no longer counts as stuck or asking for help.

    Returns:
        None if there are no activities.
    """
    seen = list(activities)
    students = overview(seen, RANGE, now, rules, acknowledged).students
    if not students:
        return None
    return StudentActivity(students[0], [_execution_decoder.decode(body) for body in bodies], _sessions(seen))


def _sessions(activities: Iterable[Activity]) -> list[Session]:
    sessions: dict[str, Session] = {}
    for activity in activities:
        if not activity.session_id:
            continue
        moment = iso(activity.occurred_at)
        # Put at the end again, so that the order is that of the latest activity.
        session = sessions.pop(activity.session_id, None) or Session(activity.session_id, moment, moment)
        sessions[activity.session_id] = session
        session.last_activity = moment
        session.notebook_path = activity.notebook_path or session.notebook_path
        if activity.event_type == "cell_executed":
            session.cell_executions += 1
            session.error_count += bool(activity.has_error)
    return list(reversed(sessions.values()))[:_MAX_SESSIONS]
