import json
from typing import Any

import pytest
from cell_monitor.dismissals import LIFETIME_SECONDS, MAX_SESSIONS, Dismissals
from cell_monitor.spool import Entry, Event
from conftest import Clock, EventServer, make_event, post, until
from tornado.web import RequestHandler


def beat(session: str = "s1", event_type: str = "help") -> Event:
    return make_event(eventType=event_type, sessionId=session)


def batch(*events: Event, first: int = 1) -> list[Entry]:
    return [Entry(first + index, json.dumps(event, separators=(",", ":"))) for index, event in enumerate(events)]


def test_names_a_page_until_it_stops() -> None:
    dismissals = Dismissals()
    assert dismissals.passing([beat()], 1) == []
    dismissals.note(batch(beat()), ["s1"])
    assert dismissals.passing([make_event(sessionId="s1"), beat("s2")], 3) == []
    assert dismissals.passing([beat(), beat("s2"), beat()], 6) == ["s1"]
    assert dismissals.passing([beat(), beat(event_type="help_stop")], 8) == []
    assert dismissals.passing([beat()], 9) == []


def test_an_answer_that_was_under_way_when_the_page_stopped_is_out_of_date() -> None:
    dismissals = Dismissals()
    dismissals.passing([beat(), beat(event_type="help_stop")], 2)
    dismissals.note(batch(beat()), ["s1"])
    dismissals.passing([beat()], 3)
    dismissals.note(batch(beat(), beat(event_type="help_stop")), ["s1"])
    assert dismissals.passing([beat()], 4) == []
    dismissals.note(batch(beat(), first=3), ["s1"])
    assert dismissals.passing([beat()], 5) == ["s1"]


@pytest.mark.parametrize("named", [None, "s1", {"s1": 1}, [], [7, None, ["s1"]], ["s3"], ["x" * 10_000]])
def test_ignores_what_it_cannot_understand(named: Any) -> None:
    dismissals = Dismissals()
    odd = make_event(code='"help"', sessionId=None)
    dismissals.note(batch(beat(), odd, beat("s2"), make_event(sessionId="s3", result='"help"')), named)
    assert dismissals.passing([beat(), beat("s2"), beat("s3"), beat("x" * 10_000), odd], 9) == []


def test_forgets_after_an_hour_and_the_oldest_of_too_many() -> None:
    clock = Clock()
    dismissals = Dismissals(clock)
    sessions = [f"s{number}" for number in range(MAX_SESSIONS + 1)]
    beats = [beat(session) for session in sessions]
    dismissals.note(batch(*beats), sessions)
    assert dismissals.passing(beats, 1) == sessions[1:]
    clock.now += LIFETIME_SECONDS
    assert dismissals.passing(beats, 1) == []


@pytest.mark.usefixtures("stopped")
async def test_a_browser_learns_it_with_its_next_heartbeat(jp_fetch: Any, event_server: EventServer) -> None:
    def answer(handler: RequestHandler, events: list[Event]) -> None:
        handler.set_status(202)
        asking = [event["sessionId"] for event in events if event["eventType"] == "help"]
        handler.finish({"message": "", "batch_stats": {"failed_events": [], "dismissed_help": asking}})

    async def dismissed(*events: Event) -> Any:
        return json.loads((await post(jp_fetch, list(events))).body)["dismissed_help"]

    event_server.answer = answer
    assert await dismissed(beat()) == []
    await until(lambda: len(event_server.stored) == 1)
    assert await dismissed(beat(), make_event()) == ["s1"]
    assert await dismissed(beat(event_type="help_stop")) == []
