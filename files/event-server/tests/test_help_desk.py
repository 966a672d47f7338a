import sys
from typing import Any

from event_server.events import StoredEvent
from event_server.help_desk import _KEPT, HelpDesk, HelpSession
from event_server.store import HelpSignal
from hypothesis import given
from hypothesis import strategies as st

LASTS = 30_000
EMAIL = "taro@example.jp"


def signal(event_type: str, seconds: float, session: str | None = "s", email: str = EMAIL) -> StoredEvent:
    at = int(seconds * 1000)
    return StoredEvent(
        f"{event_type}{seconds}{session}", event_type, at, at, at, email, None, None, session,
        None, None, None, None, None, None, None, None, "{}",
    )  # fmt: skip


def press(*seconds: float, **fields: Any) -> list[StoredEvent]:
    return [signal("help", second, **fields) for second in seconds]


def stop(second: float, **fields: Any) -> list[StoredEvent]:
    return [signal("help_stop", second, **fields)]


def test_the_heartbeats_after_a_dismissal_are_dismissed() -> None:
    desk = HelpDesk(LASTS)
    assert desk.take(press(100)) == []
    desk.dismiss(EMAIL, 105_000)
    assert desk.take(press(110)) == desk.take(press(140)) == ["s"]
    assert desk.dismissed() == {(EMAIL, "s")}


def test_what_is_pressed_after_an_end_is_new() -> None:
    for ended in (stop(106), []):
        desk = HelpDesk(LASTS)
        desk.take(press(100))
        desk.dismiss(EMAIL, 105_000)
        assert desk.take(ended + press(107 if ended else 130.001)) == []
        assert desk.dismissed() == set()


def test_a_stop_in_the_same_batch() -> None:
    desk = HelpDesk(LASTS)
    desk.dismiss(EMAIL, 105_000)
    assert desk.take(press(100) + stop(101)) == []
    assert desk.take(press(102)) == ["s"]


def test_a_dismissal_is_of_one_student_and_of_every_session_that_asked() -> None:
    desk = HelpDesk(LASTS)
    asked = press(100, session="a") + press(101, session="b") + press(102, session=None)
    desk.take(asked + press(100, email="hanako@example.jp"))
    desk.dismiss(EMAIL, 105_000)
    later = press(110, session="a") + press(106, session="new")
    assert desk.take(later + press(110, email="hanako@example.jp")) == ["a"]
    assert desk.dismissed() == {(EMAIL, "a"), (EMAIL, "b"), (EMAIL, None)}


def test_a_session_without_an_id_is_not_told() -> None:
    desk = HelpDesk(LASTS)
    desk.dismiss(EMAIL, 105_000)
    assert desk.take(press(100, session=None)) == []
    assert desk.dismissed() == {(EMAIL, None)}


def test_a_session_is_named_once() -> None:
    desk = HelpDesk(LASTS)
    desk.dismiss(EMAIL, 105_000)
    assert desk.take(press(100, 101, 102)) == ["s"]


def test_an_earlier_dismissal_does_not_undo_a_later_one() -> None:
    desk = HelpDesk(LASTS)
    desk.dismiss(EMAIL, 105_000)
    desk.dismiss(EMAIL, 95_000)
    assert desk.take(press(100)) == ["s"]


def test_what_an_instructor_has_seen() -> None:
    desk = HelpDesk(LASTS)
    assert desk.seen(EMAIL, 200_000) == 200_000
    desk.take(press(100, session="a") + press(110, session="b") + stop(120) + press(150, email="hanako@example.jp"))
    assert desk.seen(EMAIL, 200_000) == 110_000
    assert desk.seen(EMAIL, 50_000) == 50_000


def test_since_when_who_asks() -> None:
    desk = HelpDesk(LASTS)
    desk.take(press(100, 110, 120, session="a") + press(115, session="b") + press(112, email="hanako@example.jp"))
    desk.take(press(10, email="gone@example.jp"))
    assert desk.asking_since(125_000) == {EMAIL: 100_000, "hanako@example.jp": 112_000}
    desk.dismiss(EMAIL, 110_000)
    assert desk.asking_since(125_000)[EMAIL] == 115_000
    desk.take(stop(121, session="b"))
    assert EMAIL not in desk.asking_since(125_000)


def test_it_remembers_so_many_sessions() -> None:
    desk = HelpDesk(LASTS, max_sessions=2)
    for email in ("a", "b", "c"):
        desk.take(press(100, email=email))
        desk.dismiss(email, 105_000)
    assert desk.dismissed() == {("b", "s"), ("c", "s")}
    assert desk.take(press(110, email="a")) == []


def test_a_day_of_heartbeats_takes_no_more_memory_than_an_hour() -> None:
    session = HelpSession(LASTS)
    for beat in range(24 * 360):
        session.take(beat * 10_000, stops=False)
    assert session.began() == 0
    assert sys.getsizeof(session._signals) < 1000
    session.take(0, stops=True)
    assert session.began() == 0


Signals = list[tuple[int, bool]]


def began(signals: Signals) -> int | None:
    """What HelpSession computes, as its definition says it."""
    found = last = None
    for second, stops in sorted(signals):
        if stops:
            found = None
        elif found is None or last is None or second - last > LASTS // 1000:
            found = second
        last = second
    return None if found is None else found * 1000


def one_session(size: int) -> st.SearchStrategy[Signals]:
    signals = st.tuples(st.integers(0, 400), st.sampled_from([False, False, False, True]))
    return st.lists(signals, max_size=size)


def take_all(signals: Signals) -> int | None:
    session = HelpSession(LASTS)
    for second, stops in signals:
        session.take(second * 1000, stops=stops)
    return session.began()


@given(one_session(_KEPT))
def test_signals_count_by_when_they_were_sent(signals: Signals) -> None:
    assert take_all(signals) == take_all(signals * 2) == began(signals)


@given(one_session(4 * _KEPT).map(sorted))
def test_signals_that_come_in_order(signals: Signals) -> None:
    assert take_all(signals) == began(signals)


@given(one_session(4 * _KEPT).map(sorted), st.randoms(use_true_random=False))
def test_signals_that_come_a_little_late(signals: Signals, random: Any) -> None:
    order = sorted(range(len(signals)), key=lambda place: place + random.uniform(0, _KEPT / 3))
    assert take_all([signals[place] for place in order]) == began(signals)


sessions = st.sampled_from(["a", "b"])
steps = st.lists(
    st.tuples(st.sampled_from(["help", "help", "help_stop"]), st.integers(0, 200), sessions), min_size=1, max_size=20
)


@given(steps, st.integers(0, 200), st.integers(0, 20))
def test_a_restart_changes_nothing(taken: list[tuple[str, int, str]], dismissed_at: int, restart: int) -> None:
    """A desk that lived through it all, and one that was told by the store in the middle, give the same answers."""
    events = [signal(event_type, second, session) for event_type, second, session in taken]
    whole, again = HelpDesk(LASTS), HelpDesk(LASTS)
    for desk in (whole, again):
        desk.dismiss(EMAIL, dismissed_at * 1000)
    before, after = events[:restart], events[restart:]
    whole.take(before)
    stored = sorted(before, key=lambda event: event.occurred_at)
    again.load(
        [HelpSignal(EMAIL, event.session_id, event.occurred_at, event.event_type == "help_stop") for event in stored],
        {EMAIL: dismissed_at * 1000},
    )
    assert whole.take(after) == again.take(after)
    assert whole.dismissed() == again.dismissed()


def test_who_is_erased_is_forgotten() -> None:
    desk = HelpDesk(30_000)
    for email in ("taro", "hanako"):
        desk.load([HelpSignal(email, "s", 1000, False)], {email: 2000})
    desk.forget({"hanako"}.__contains__)
    assert desk.dismissed() == {("hanako", "s")}
    assert "taro" not in repr((desk._sessions, desk._dismissed_at))
