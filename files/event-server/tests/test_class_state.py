import random
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from event_server.class_state import ClassState
from event_server.classroom import RANGES, Acknowledged, TimeRange, help_lasts, overview, range_start
from event_server.config import Classroom
from event_server.events import StoredEvent
from event_server.help_desk import HELP_TYPES, HelpDesk
from event_server.store import Activity
from hypothesis import given, settings
from hypothesis import strategies as st

NOW = 1_800_000_000_000
RULES = Classroom(active_seconds=120, significant_errors=3)
LASTS = help_lasts(RULES)
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000


def stored(event_type: str, occurred_at: int, **fields: Any) -> StoredEvent:
    defaults: dict[str, Any] = dict.fromkeys(StoredEvent._fields) | {
        "event_id": "",
        "event_type": event_type,
        "event_time": occurred_at,
        "received_at": occurred_at,
        "occurred_at": occurred_at,
        "email_address": "taro",
        "body": "{}",
    }
    return StoredEvent(**(defaults | fields))


def activity(event: StoredEvent) -> Activity:
    fields = {field: getattr(event, field) for field in Activity._fields}
    return Activity(**(fields | {"has_error": bool(event.has_error)}))


class Reference:
    """The overview as it is computed from the store for one request."""

    def __init__(self) -> None:
        self.events: list[StoredEvent] = []
        self.resolved: dict[str, int] = {}

    def overview(self, time_range: TimeRange, now: int, desk: HelpDesk) -> Any:
        since = range_start(time_range, now)
        ordered = sorted(self.events, key=lambda event: (event.occurred_at, event.event_time))
        activities = [activity(event) for event in ordered if event.occurred_at >= since]
        acknowledged = Acknowledged(self.resolved, desk.dismissed())
        return overview(activities, time_range, now, RULES, acknowledged)


class Pair:
    """The state kept up to date, and what it has to be equal to."""

    def __init__(self, now: int = NOW) -> None:
        self.now = now
        self.desk = HelpDesk(LASTS)
        self.state = ClassState(RULES, self.desk, now)
        self.reference = Reference()

    def take(self, events: Sequence[StoredEvent]) -> None:
        self.desk.take(events)
        for event in events:
            self.state.take(event)
        self.reference.events.extend(events)

    def resolve(self, email: str) -> None:
        self.state.resolve(email, self.now)
        self.reference.resolved[email] = max(self.now, self.reference.resolved.get(email, 0))

    def dismiss(self, email: str) -> None:
        self.desk.dismiss(email, self.desk.seen(email, self.now))

    def forget(self) -> None:
        for _ in self.state.forget(self.now):
            pass

    def restart(self) -> None:
        """What a process that starts now learns from the store."""
        self.state = ClassState(RULES, self.desk, self.now)
        for event in sorted(self.reference.events, key=lambda event: (event.occurred_at, event.event_time)):
            self.state.take(activity(event))
        self.state.resolve_all(self.reference.resolved)

    def check(self) -> None:
        for time_range in RANGES:
            kept = msgspec.to_builtins(self.state.overview(time_range, self.now))
            computed = msgspec.to_builtins(self.reference.overview(time_range, self.now, self.desk))
            assert kept == computed, time_range
            for student in computed["students"]:
                shown = self.state.student(student["emailAddress"], time_range, self.now)
                assert msgspec.to_builtins(shown) == student


types = st.sampled_from(
    ["cell_executed"] * 4 + ["help"] * 4 + ["help_stop", "notebook_opened", "notebook_closed", "notebook_saved", "else"]
)
# Near together, so that runs of heartbeats and errors come about; and near the edges of what is shown.
agos = st.one_of(
    st.integers(0, 90).map(lambda seconds: seconds * 1000),
    st.sampled_from([HOUR, DAY, 7 * DAY, 2 * HOUR, 8 * DAY]).flatmap(
        lambda edge: st.integers(-100, 100).map(lambda seconds: max(0, edge + seconds * 1000))
    ),
    st.integers(0, 8 * DAY),
)


some_fields = st.fixed_dictionaries(
    {
        "email_address": st.sampled_from(["taro", "hanako"]),
        "user_name": st.sampled_from([None, "", "a", "b"]),
        "team_name": st.sampled_from([None, "A", "B"]),
        "notebook_path": st.sampled_from([None, "", "1", "2"]),
        "cell_id": st.sampled_from([None, "", "c", "d"]),
        "cell_index": st.sampled_from([None, 0, 1]),
        "has_error": st.sampled_from([None, False, True, True]),
        "session_id": st.sampled_from([None, "s", "t"]),
    }
)
# By how much the student's clock is ahead.
leads = st.sampled_from([0, 0, 0, 1, 5000, 10**15])
batches = st.lists(st.tuples(types, agos, some_fields, leads), max_size=12)


def at(now: int, taken: tuple[str, int, dict[str, Any], int]) -> StoredEvent:
    event_type, ago, fields, ahead = taken
    return stored(event_type, now - ago, **fields)._replace(event_time=now - ago + ahead)


steps = st.lists(
    st.one_of(
        st.tuples(st.just("take"), batches),
        st.tuples(st.just("wait"), st.sampled_from([1, 9_000, 31_000, MINUTE, 125_000, HOUR, DAY, 3 * DAY, -HOUR])),
        st.tuples(st.sampled_from(["resolve", "dismiss"]), st.sampled_from(["taro", "hanako"])),
        st.tuples(st.sampled_from(["restart", "forget"]), st.none()),
    ),
    max_size=10,
)


@settings(max_examples=150, deadline=None)
@given(steps)
def test_it_is_what_a_computation_from_the_store_gives(taken: list[tuple[str, Any]]) -> None:
    """Late events, events out of order, time that passes and is put back, acknowledgements, restarts, forgetting."""
    pair = Pair()
    lowest = pair.now
    for step, what in taken:
        if step == "take":
            pair.take([at(pair.now, one) for one in what])
        elif step == "wait":
            # Put back an hour at most from the latest: what is older than every range was forgotten by then.
            lowest = max(lowest, pair.now - HOUR)
            pair.now = max(pair.now + what, lowest)
        elif step == "forget":
            pair.forget()
        elif step == "restart":
            pair.restart()
        else:
            getattr(pair, step)(what)
        pair.check()


help_signals = st.lists(
    st.tuples(st.integers(0, 200), st.sampled_from(["help", "help", "help", "help_stop"]), st.sampled_from("st")),
    max_size=30,
)


@settings(max_examples=100, deadline=None)
@given(help_signals, st.integers(0, 250))
def test_requests_in_the_chart(signals: list[tuple[int, str, str]], passed: int) -> None:
    """The edge of a range lies among heartbeats, in whatever order they came."""
    pair = Pair()
    pair.take([stored(kind, NOW - HOUR + second * 1000, session_id=session) for second, kind, session in signals])
    pair.check()
    pair.now += passed * 1000
    pair.check()


def test_a_week_of_a_class() -> None:
    chance = random.Random(1)
    pair = Pair()
    kinds = ["cell_executed"] * 8 + ["help", "help", "help_stop", "notebook_opened", "notebook_closed"]
    for _ in range(8):
        pair.take(
            [
                stored(
                    chance.choice(kinds),
                    pair.now - int(chance.expovariate(1 / DAY)),
                    email_address=f"s{chance.randrange(30)}",
                    notebook_path=f"{chance.randrange(3)}.ipynb",
                    cell_id=f"c{chance.randrange(20)}",
                    has_error=chance.random() < 0.6,
                    session_id=f"p{chance.randrange(3)}",
                )
                for _ in range(800)
            ]
        )
        pair.check()
        pair.now += DAY
        pair.forget()
        pair.check()


def test_it_forgets() -> None:
    pair = Pair()
    pair.take([stored(kind, NOW, notebook_path="1", has_error=True) for kind in ("cell_executed", "help")])
    assert pair.state.knows("taro", NOW)
    pair.resolve("taro")
    assert pair.state.take(stored("help", NOW - 8 * DAY)) is None
    pair.now += 8 * DAY
    pair.forget()
    assert not pair.state.knows("taro", 0)
    assert pair.state.student("taro", "7d", NOW) is None
    assert pair.state._resolved_until == {}
    assert not any(pair.state._chart._bars.values())


def test_help_types() -> None:
    """The state tells signals of help by the same names as the desk."""
    pair = Pair()
    for kind in HELP_TYPES:
        student = pair.state.take(stored(kind, NOW))
        assert student is not None
        assert student.help._keys


@pytest.mark.parametrize("time_range", RANGES)
def test_a_clock_that_is_put_back(time_range: TimeRange) -> None:
    pair = Pair()
    pair.take([stored("cell_executed", NOW - minute * MINUTE, has_error=minute % 2 == 0) for minute in range(0, 90, 5)])
    for passed in (RANGES[time_range][0], -HOUR, 2 * HOUR, -HOUR):
        pair.now += passed
        pair.forget()
        pair.check()


@pytest.mark.parametrize("time_range", RANGES)
def test_a_student_is_shown_while_in_the_range(time_range: TimeRange) -> None:
    pair = Pair()
    pair.take([stored("help", range_start(time_range, NOW) - 1)])
    assert pair.state.student("taro", time_range, NOW) is None
    assert pair.state.student("nobody", time_range, NOW) is None
