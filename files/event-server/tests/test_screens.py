import asyncio
import base64
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from conftest import PASSWORD, READER, WRITER, Process, event, overview, post
from event_server import screens
from event_server.screens import PATH, Screen
from starlette.testclient import TestClient, WebSocketDenialResponse, WebSocketTestSession
from starlette.websockets import WebSocketDisconnect
from websockets.asyncio.client import connect

TARO = "taro@example.jp"


@pytest.fixture
def screen(client: TestClient) -> Iterator[WebSocketTestSession]:
    with client.websocket_connect(PATH, headers=READER) as session:
        yield session


def told(session: WebSocketTestSession) -> Any:
    message = session.receive_json()
    assert message["type"] == "progress_update"
    return message["data"]


def act(client: TestClient, verb: str) -> None:
    answer = client.post(f"/api/v1/dashboard/students/{TARO}/{verb}", json={}, headers=READER)
    assert answer.status_code == 200


TYPES = ["cell_executed", "notebook_opened", "notebook_saved", "notebook_closed", "help", "help_stop", "new_one"]


def test_every_type_of_event_is_live(client: TestClient, screen: WebSocketTestSession) -> None:
    for event_type in TYPES:
        sent = event(event_type, extra={"kept": ["}", '"', "絵文字😀"]}, event="mine")
        post(client, sent)
        data = told(screen)
        assert data["event"] == sent
        assert {key: data[key] for key in sent if key != "event"} == {key: sent[key] for key in sent if key != "event"}
        seen = overview(client)
        assert data["student"] == seen["students"][0]
        assert data["metrics"] == seen["metrics"]


def test_what_was_stored_before_is_not_told_again(client: TestClient, screen: WebSocketTestSession) -> None:
    first, second = event(), event("help")
    post(client, first)
    assert told(screen)["event"] == first
    post(client, first, second, {"eventId": "x"})
    assert told(screen)["event"] == second


def test_several_screens_agree_on_what_an_instructor_does(client: TestClient, screen: WebSocketTestSession) -> None:
    post(client, event("help", ago=1), *(event(ago=ago, hasError=True) for ago in (4, 3, 2)))
    assert [told(screen)["student"]["status"] for _ in range(4)][-1] == "help"
    with client.websocket_connect(PATH + "?time_range=7d", headers=READER) as other:
        act(client, "dismiss-help")
        for session in (screen, other):
            data = told(session)
            assert (data["eventType"], data["emailAddress"], data["instructor"]) == ("help_dismissed", TARO, "teacher")
            assert data["student"]["status"] == "significant_error"
            assert data["metrics"]["helpCount"] == 0
        act(client, "resolve-error")
        for session in (screen, other):
            data = told(session)
            assert (data["event"]["eventType"], data["student"]["status"]) == ("error_resolved", "active")


def test_each_screen_has_its_range(client: TestClient, screen: WebSocketTestSession) -> None:
    with client.websocket_connect(PATH + "?time_range=24h", headers=READER) as other:
        post(client, event(ago=7200))
        data = told(screen)
        assert (data["student"], data["metrics"]["totalExecutions"]) == (None, 0)
        data = told(other)
        assert (data["student"]["cellExecutions"], data["metrics"]["totalExecutions"]) == (1, 1)
    with pytest.raises(WebSocketDisconnect), client.websocket_connect(PATH + "?time_range=1y", headers=READER):
        pass


def test_a_ping_is_answered_and_nothing_else(screen: WebSocketTestSession) -> None:
    for text in ("", "x", "[]", '"ping"', "[" * 3000, '{"type": "pong"}', '{"type": ["ping"]}', "\ud83d"):
        screen.send_text(text)
    screen.send_bytes(b"\xff")
    screen.send_json({"type": "ping"})
    assert screen.receive_json() == {"type": "pong"}


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Basic eDp4"}, {"Cookie": "event_server_session=x.y"}])
def test_strangers_see_nothing(client: TestClient, headers: dict[str, str]) -> None:
    with client.websocket_connect(PATH, headers=headers) as session:
        post(client, event())
        with pytest.raises(WebSocketDisconnect) as closed:
            session.receive_json()
    assert closed.value.code == 4401


def test_an_other_sites_page_is_refused(client: TestClient) -> None:
    with (
        pytest.raises((WebSocketDisconnect, WebSocketDenialResponse)),
        client.websocket_connect(PATH, headers=READER | {"Origin": "https://evil.example"}),
    ):
        pass
    with client.websocket_connect(PATH, headers=READER | {"Origin": "http://testserver"}) as session:
        session.send_json({"type": "ping"})
        assert session.receive_json() == {"type": "pong"}


def test_a_login_that_ends(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screens, "_LOGIN_CHECK_SECONDS", 0.05)
    state = client.app._api._app.state  # type: ignore[attr-defined]
    token = state.sessions.begin("teacher")
    with client.websocket_connect(PATH, headers={"Cookie": f"event_server_session={token}"}) as session:
        session.send_json({"type": "ping"})
        assert session.receive_json() == {"type": "pong"}
        state.sessions.end(state.sessions.find(token))
        with pytest.raises(WebSocketDisconnect) as closed:
            session.receive_json()
    assert closed.value.code == 4401
    assert state.screens.count == 0


@pytest.mark.usefixtures("screen")
def test_there_may_be_so_many(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screens, "_MAX_SCREENS", 1)
    with client.websocket_connect(PATH, headers=READER) as session, pytest.raises(WebSocketDisconnect) as closed:
        session.receive_json()
    assert closed.value.code == screens.TRY_AGAIN_LATER


def test_a_flood_is_shown_by_the_latest_of_each_student(
    client: TestClient, screen: WebSocketTestSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(screens, "_MAX_AT_ONCE", 3)
    sent = [event("help", ago=10 - number, emailAddress=f"s{number % 2}") for number in range(10)]
    post(client, *sent)
    assert [told(screen)["event"] for _ in range(2)] == sent[-2:]


def test_a_screen_that_does_not_read_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        for limit, value in (("_MAX_WAITING", 3), ("_MAX_WAITING_BYTES", 30)):
            with monkeypatch.context() as patch:
                patch.setattr(screens, limit, value)
                screen = Screen("1h")
                for _ in range(3):
                    screen.offer("x" * 10)
                assert not screen.overrun.is_set()
                screen.offer("x")
                assert screen.overrun.is_set()
                screen.offer("x")
                assert not screen._waiting

    asyncio.run(scenario())


def test_in_a_process(make_process: Callable[..., Process]) -> None:
    """Over a real connection: a reader that reads, one that does not, and one that comes again after a restart."""
    process = make_process().start()
    url = process.url.replace("http", "ws") + PATH
    big = "x" * 500_000

    async def scenario() -> None:
        headers = {"Authorization": "Basic " + base64.b64encode(f"teacher:{PASSWORD}".encode()).decode()}
        async with (
            connect(url, additional_headers=headers, max_size=None) as reader,
            connect(url, additional_headers=headers, max_queue=1, max_size=None) as stuck,
        ):
            stuck.transport.pause_reading()
            await reader.send('{"type":"ping"}')
            assert json.loads(await reader.recv()) == {"type": "pong"}
            longest = 0.0
            for _ in range(25):
                sent = event(result=big)
                began = time.monotonic()
                answer = await asyncio.to_thread(send, process, sent)
                longest = max(longest, time.monotonic() - began)
                assert answer == 202
                assert json.loads(await asyncio.wait_for(reader.recv(), 10))["data"]["event"] == sent
            # It waits for nobody; how long it takes is not measured here.
            assert longest < 5
            stuck.transport.resume_reading()
            with pytest.raises(Exception, match=r"1013|no close frame"):
                while True:
                    await asyncio.wait_for(stuck.recv(), 10)
        process.stop()
        process.start()
        async with connect(url, additional_headers=headers) as reader:
            assert await asyncio.to_thread(send, process, event()) == 202
            assert json.loads(await asyncio.wait_for(reader.recv(), 10))["data"]["student"]["cellExecutions"] == 26

    asyncio.run(scenario())


def send(process: Process, sent: dict[str, Any]) -> int:
    return httpx.post(process.url + "/api/v1/events", json=[sent], headers=WRITER, timeout=20).status_code
