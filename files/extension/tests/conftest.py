import asyncio
import importlib
import json
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pytest_jupyter import jupyter_core, jupyter_server
from tornado.httpclient import HTTPClientError
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from tornado.web import Application, RequestHandler

SOURCES = Path(__file__).parent.parent
# Used from the source tree, without an installation.
sys.path.insert(0, str(SOURCES))
forwarder = importlib.import_module("cell_monitor.forwarder")


# Not `pytest_plugins`, which only the topmost conftest may have and which would reach the tests of other folders.
_PLUGIN_NAMES = ("echo_", "http_", "io_loop", "jp_", "pytest_", "send_request")
globals().update({name: value for name, value in vars(jupyter_server).items() if name.startswith(_PLUGIN_NAMES)})
globals().update({name: value for name, value in vars(jupyter_core).items() if name.startswith(_PLUGIN_NAMES)})


def make_event(**fields: Any) -> dict[str, Any]:
    return {
        "eventId": str(uuid.uuid4()),
        "eventType": "cell_executed",
        "eventTime": "2026-11-23T01:02:03.456Z",
        "emailAddress": "taro@example.com",
        "userName": "山田 太郎",
        "teamName": "チームA",
        "sessionId": str(uuid.uuid4()),
        "notebookPath": "a.ipynb",
        "cellId": "c1",
        "code": "1/0",
        "hasError": True,
        "result": "",
        "executionDurationMs": 3,
        **fields,
    }


class EventServer:
    """Stands for the event server: answers what the test tells it to, and notes what it was sent."""

    def __init__(self) -> None:
        self.requests: list[tuple[str | None, list[dict[str, Any]]]] = []
        self.probes = 0
        self.answer: Callable[[RequestHandler, list[dict[str, Any]]], None] = lambda handler, _: handler.set_status(202)
        self._socket, self.port = bind_unused_port()
        self._http: HTTPServer | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def stored(self) -> list[str]:
        return [event["eventId"] for _, events in self.requests for event in events]

    def start(self) -> None:
        server = self

        class Events(RequestHandler):
            def post(self) -> None:
                events = json.loads(self.request.body)
                server.answer(self, events)
                if self.get_status() == 202:
                    server.requests.append((self.request.headers.get("Authorization"), events))

        class Probe(RequestHandler):
            def get(self) -> None:
                server.probes += 1
                self.finish({"status": "ok"})

        self._http = HTTPServer(Application([("/api/v1/events", Events), ("/api/v1/health/simple", Probe)]))
        self._http.add_socket(self._socket)

    def stop(self) -> None:
        if self._http is not None:
            self._http.stop()
        self._socket.close()


@pytest.fixture
def event_server(jp_asyncio_loop: asyncio.AbstractEventLoop) -> Iterator[EventServer]:
    server = EventServer()

    async def start() -> None:
        server.start()

    jp_asyncio_loop.run_until_complete(start())
    yield server
    server.stop()


@pytest.fixture
def jp_server_config(tmp_path: Path, event_server: EventServer) -> dict[str, Any]:
    return {
        "ServerApp": {
            "jpserver_extensions": {"cell_monitor": True},
            "allow_unauthenticated_access": False,
            "terminals_enabled": False,
        },
        "CellMonitor": {
            "event_server_url": event_server.url,
            "spool_dir": str(tmp_path / "spool"),
            "notice_file": str(tmp_path / "notice.json"),
        },
    }


@pytest.fixture
def stopped(jp_serverapp: Any, jp_asyncio_loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Ends the extension after the test, as the server does."""
    yield
    jp_asyncio_loop.run_until_complete(jp_serverapp.cleanup_extensions())


async def post(jp_fetch: Any, body: Any, **options: Any) -> Any:
    text = body if isinstance(body, str | bytes) else json.dumps(body)
    return await jp_fetch("cell-monitor", "events", method="POST", body=text, **options)


async def refused(request: Any) -> tuple[int, dict[str, Any], Any]:
    with pytest.raises(HTTPClientError) as error:
        await request
    response = error.value.response
    assert response is not None
    return response.code, json.loads(response.body), response.headers


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits that are long in a class would be long in a test."""
    monkeypatch.setattr(forwarder, "FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(forwarder, "LONGEST_PAUSE_SECONDS", 0.05)


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)
