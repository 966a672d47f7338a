"""How much memory the extension adds to a student's Jupyter server.

The figure is the highest resident memory of a Jupyter server that takes 10,000 events through the extension and hands
them on, less that of one that has started without it. What a browser holds is no part of it: the scenarios' tests
measure that in Chromium.
"""

import contextlib
import http.client
import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from quality_gates.project import Project
from quality_gates.results import Measured, MeasurementError

EVENTS = 10_000
BATCH = 50
START_SECONDS = 60
MEGABYTE = 1_000_000


def memory_usage(project: Project) -> Measured:
    """How many megabytes (of 1,000,000 bytes) the extension adds while 10,000 events pass."""

    def measure() -> Measured:
        project.results.mkdir(parents=True, exist_ok=True)
        with project.log("memory").open("w", encoding="utf-8") as log:
            try:
                without = _peak(project, log.fileno(), EventServer(), 0)
                loaded = _peak(project, log.fileno(), EventServer(), EVENTS)
            except (OSError, http.client.HTTPException, TimeoutError) as error:
                raise MeasurementError(f"the Jupyter server did not work ({error}); see {log.name}") from None
        return Measured(
            max(0.0, round((loaded - without) / MEGABYTE, 1)),
            f"Jupyter server {loaded / MEGABYTE:.0f} MB after {EVENTS} events, {without / MEGABYTE:.0f} MB without us",
        )

    return project.remembered("memory", [project.extension / "cell_monitor"], measure)


class EventServer:
    """Stands for the event server: counts the events and takes them all."""

    def __init__(self) -> None:
        """Listens on a free port."""
        self.taken = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                outer.taken += len(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self._answer(202)

            def do_GET(self) -> None:
                self._answer(200)

            def _answer(self, status: int) -> None:
                self.send_response(status)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}"

    def __enter__(self) -> "EventServer":
        """Begins to answer."""
        threading.Thread(target=self._http.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Ends."""
        self._http.shutdown()
        self._http.server_close()


def _peak(project: Project, log: int, event_server: EventServer, events: int) -> int:
    """The highest resident memory in bytes of a Jupyter server, with the extension when there are events to take."""
    with event_server, _jupyter_server(project, log, event_server.url, with_extension=events > 0) as (port, token, pid):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        headers = {"Authorization": f"token {token}", "Content-Type": "application/json"}
        for start in range(0, events, BATCH):
            batch = [_event(index) for index in range(start, start + BATCH)]
            connection.request("POST", "/cell-monitor/events", json.dumps(batch), headers)
            answer = connection.getresponse()
            answer.read()
            if answer.status != 202:
                raise MeasurementError(f"the Jupyter server answered {answer.status} to events")
        connection.close()
        _wait(lambda: event_server.taken >= events, "the events did not reach the event server")
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) * 1024


@contextlib.contextmanager
def _jupyter_server(
    project: Project, log: int, event_server: str, *, with_extension: bool
) -> Iterator[tuple[int, str, int]]:
    token = secrets.token_hex()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as home:
        Path(home, "jupyter_server_config.json").write_text(
            json.dumps(
                {
                    "ServerApp": {
                        "allow_root": True,
                        "jpserver_extensions": {"cell_monitor": with_extension},
                        "open_browser": False,
                        "port": port,
                        "port_retries": 0,
                        "root_dir": home,
                    },
                    "IdentityProvider": {"token": token},
                    "CellMonitor": {"event_server_url": event_server, "spool_dir": f"{home}/spool"},
                }
            ),
            encoding="utf-8",
        )
        names = ("JUPYTER_CONFIG_DIR", "JUPYTER_CONFIG_PATH", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "HOME")
        process = subprocess.Popen(
            [sys.executable, "-m", "jupyter_server"],
            cwd=home,
            env=os.environ | dict.fromkeys(names, home) | {"PYTHONPATH": str(project.extension)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        try:
            _wait(lambda: process.poll() is not None or _listens(port), "the Jupyter server did not start")
            yield port, token, process.pid
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def _wait(condition: Callable[[], bool], problem: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(problem)
        time.sleep(0.05)


def _event(index: int) -> dict[str, object]:
    return {
        "eventId": str(uuid.uuid4()),
        "eventType": "cell_executed",
        "eventTime": f"2026-01-01T00:00:{index % 60:02}.000Z",
        "emailAddress": "taro@example.com",
        "userName": "山田 太郎",
        "teamName": "チームA",
        "sessionId": "00000000-0000-4000-8000-000000000000",
        "notebookPath": "演習/第1回.ipynb",
        "cellId": f"cell-{index}",
        "code": f"print({index})\n" * 20,
        "result": "x" * 1000,
        "hasError": False,
        "executionDurationMs": index,
    }
