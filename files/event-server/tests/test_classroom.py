from typing import Any

import pytest
from event_server.classroom import Acknowledged, Overview, Student, TimeRange, overview, range_start
from event_server.config import Classroom
from event_server.store import Activity

NOW = 1_800_000_000_000


def act(event_type: str = "cell_executed", ago: float = 0, **fields: Any) -> Activity:
    defaults: dict[str, Any] = {
        "email_address": "taro@example.jp",
        "user_name": "太郎",
        "team_name": "チームA",
        "notebook_path": "1.ipynb",
        "cell_id": "c1" if event_type == "cell_executed" else None,
        "cell_index": None,
        "has_error": False,
    }
    return Activity(event_type=event_type, occurred_at=NOW - int(ago * 1000), **(defaults | fields))


def see(*activities: Activity, time_range: TimeRange = "1h") -> Overview:
    return overview(activities, time_range, NOW, Classroom())


def one(*activities: Activity) -> Student:
    (student,) = see(*activities).students
    return student


def fail(ago: float = 0, **fields: Any) -> Activity:
    return act(ago=ago, has_error=True, **fields)


@pytest.mark.parametrize(("ago", "status"), [(0, "active"), (120, "active"), (121, "idle")])
def test_active(ago: float, status: str) -> None:
    assert one(act(ago=ago)).status == status


def test_an_error_lasts_until_the_next_success() -> None:
    assert one(fail(ago=600)).status == "error"
    assert one(fail(ago=5), act(cell_id="c2")).status == "active"


def test_three_errors_in_a_row_in_one_cell() -> None:
    two = [fail(4), fail(3)]
    assert not one(*two).has_significant_error
    student = one(*two, fail(2))
    assert student.has_significant_error
    assert (student.status, student.consecutive_error_count, student.error_count) == ("significant_error", 3, 3)


def test_errors_of_several_cells_do_not_add_up() -> None:
    student = one(fail(4, cell_id="a"), fail(3, cell_id="b"), fail(2, notebook_path="2.ipynb", cell_id="a"))
    assert (student.status, student.consecutive_error_count, student.error_count) == ("error", 1, 3)


def test_only_success_in_the_cell_clears_its_errors() -> None:
    errors = [fail(9), fail(8), act(ago=7, cell_id="import"), fail(6)]
    assert one(*errors, act(ago=5, cell_id="other")).status == "significant_error"
    cleared = one(*errors, act(ago=5))
    assert (cleared.status, cleared.consecutive_error_count, cleared.error_count) == ("active", 0, 3)


def test_cells_without_an_id_are_told_apart_by_their_place() -> None:
    errors = [fail(3, cell_id=None, cell_index=index) for index in (0, 1, 0, 0)]
    assert one(*errors).consecutive_error_count == 3


def test_help_comes_before_everything() -> None:
    student = one(fail(4), fail(3), fail(2), act("help", 1))
    assert (student.status, student.is_requesting_help, student.has_significant_error) == ("help", True, True)


@pytest.mark.parametrize(("ago", "asks"), [(0, True), (30, True), (31, False)])
def test_help_expires_without_heartbeats(ago: float, asks: bool) -> None:
    assert one(act("help", 600), act("help", ago)).is_requesting_help is asks


def test_help_stop() -> None:
    assert not one(act("help", 2), act("help_stop", 1)).is_requesting_help
    assert one(act("help", 3), act("help_stop", 2), act("help", 1)).is_requesting_help


def test_a_stop_is_of_its_own_session() -> None:
    both = [act("help", 5, session_id="a"), act("help", 4, session_id="b")]
    assert one(*both, act("help_stop", 3, session_id="b")).is_requesting_help
    assert not one(*both, act("help_stop", 3, session_id="b"), act("help_stop", 2, session_id="a")).is_requesting_help


def test_sessions_that_ask_at_once_are_one_request_in_the_chart() -> None:
    seen = see(*(act("help", ago, session_id=session) for ago, session in [(30, "a"), (25, "b"), (20, "a")]))
    assert sum(bar.help_count for bar in seen.activity_chart) == 1


@pytest.mark.parametrize(("sessions", "asks"), [({"a"}, True), ({"a", "b"}, False), ({None}, True)])
def test_dismissed_requests(sessions: set[str | None], asks: bool) -> None:
    acknowledged = Acknowledged(help_sessions={("taro@example.jp", session) for session in sessions})
    activities = [act("help", 5, session_id="a"), act("help", 4, session_id="b")]
    (student,) = overview(activities, "1h", NOW, Classroom(), acknowledged).students
    assert student.is_requesting_help is asks
    assert student.status == ("help" if asks else "active")


@pytest.mark.parametrize(
    ("resolved_ago", "streak", "status"),
    [(10, 3, "significant_error"), (4, 2, "error"), (2, 0, "active")],
)
def test_resolved_errors(resolved_ago: int, streak: int, status: str) -> None:
    acknowledged = Acknowledged(errors_until={"taro@example.jp": NOW - resolved_ago * 1000})
    (student,) = overview([fail(4), fail(3), fail(2)], "1h", NOW, Classroom(), acknowledged).students
    assert (student.consecutive_error_count, student.status, student.error_count) == (streak, status, 3)


def test_heartbeats_of_one_request_are_one_request_in_the_chart() -> None:
    heartbeats = [act("help", ago) for ago in (60, 50, 40)]
    again = [act("help_stop", 35), act("help", 30), act("help", 20)]
    assert sum(bar.help_count for bar in see(*heartbeats, *again).activity_chart) == 2


def test_the_notebook_is_the_one_in_use() -> None:
    opened = [act("notebook_opened", 9), act("notebook_opened", 8, notebook_path="2.ipynb")]
    assert one(*opened).current_notebook == "2.ipynb"
    assert one(*opened, act("notebook_closed", 7)).current_notebook == "2.ipynb"
    assert one(*opened, act("notebook_closed", 7, notebook_path="2.ipynb")).current_notebook is None


def test_a_later_name_wins_and_a_missing_one_does_not() -> None:
    student = one(act(ago=3), act(ago=2, user_name="Taro"), act(ago=1, user_name=None, team_name=None))
    assert (student.user_name, student.team_name) == ("Taro", "チームA")


def test_the_class() -> None:
    seen = see(
        act(ago=1000, email_address="idle@x"),
        *(fail(ago, email_address="stuck@x") for ago in (9, 8, 7)),
        fail(6, email_address="error@x"),
        act("notebook_opened", 5, email_address="active@x"),
        act("help", 4, email_address="help@x"),
    )
    statuses = [student.status for student in seen.students]
    assert statuses == ["help", "significant_error", "error", "active", "idle"]
    metrics = seen.metrics
    assert (metrics.total_students, metrics.total_active, metrics.help_count) == (5, 4, 1)
    assert (metrics.total_executions, metrics.error_count, metrics.significant_error_count) == (5, 4, 1)


@pytest.mark.parametrize(("time_range", "bars"), [("1h", 13), ("24h", 25), ("7d", 29)])
def test_the_chart_covers_the_range(time_range: TimeRange, bars: int) -> None:
    now = NOW + 1
    first = range_start(time_range, now)
    oldest = act()._replace(occurred_at=first)
    newest = fail()._replace(occurred_at=now)
    chart = overview([oldest, newest], time_range, now, Classroom()).activity_chart
    assert len(chart) == bars
    assert (chart[0].execution_count, chart[-1].execution_count, chart[-1].error_count) == (1, 1, 1)
    assert chart[0].time <= "2027-01-15T07:00:00.001Z"
    assert sum(bar.execution_count for bar in chart) == 2
