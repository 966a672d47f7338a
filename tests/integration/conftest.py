"""JupyterLab with the extension, as a student installs both: a fresh environment for each version of JupyterLab."""

from __future__ import annotations

import http.client
import http.server
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, sync_playwright

PROJECT = Path(__file__).parents[2]
EXTENSION = PROJECT / "files" / "extension"
TOOLS = Path(sys.executable).parent


def run(*command: str | Path, cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    """Run a command of the project's tools; its output, which a failure shows."""
    environment = {**os.environ, "PATH": f"{TOOLS}{os.pathsep}{os.environ['PATH']}", **(env or {})}
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=environment, text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout + done.stderr


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that ``CELL_MONITOR_WHEEL`` names, else built from a copy: what the source tree has built stays."""
    if given := os.environ.get("CELL_MONITOR_WHEEL"):
        return Path(given)
    if not (EXTENSION / "node_modules").is_dir():
        run("jlpm", "install", "--immutable", cwd=EXTENSION)
    copy = tmp_path_factory.mktemp("sources") / "extension"
    built = shutil.ignore_patterns("node_modules", "lib", "labextension", "coverage", "*.tsbuildinfo", ".*_cache")
    shutil.copytree(EXTENSION, copy, ignore=built)
    (copy / "node_modules").symlink_to(EXTENSION / "node_modules")
    run("jlpm", "build:prod", cwd=copy)
    out = tmp_path_factory.mktemp("wheel")
    run("uv", "build", "--quiet", "--wheel", "--no-build-isolation", "--python", sys.executable, "--out-dir", out, copy)
    return next(out.glob("*.whl"))


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path="/usr/bin/chromium")
        yield chromium
        chromium.close()


@dataclass
class EventServer:
    """Takes what it is sent for an event server that keeps it."""

    events: list[dict[str, Any]] = field(default_factory=list)
    url: str = ""

    def of_type(self, event_type: str) -> list[dict[str, Any]]:
        """The events of one type that have arrived."""
        return [event for event in self.events if event["eventType"] == event_type]

    def wait_for(self, event_type: str, seconds: float = 20) -> dict[str, Any]:
        """The first event of a type, once it has arrived."""
        end = time.monotonic() + seconds
        while not (found := self.of_type(event_type)) and time.monotonic() < end:
            time.sleep(0.1)
        assert found, f"no {event_type} within {seconds} s among {self.events}"
        return found[0]


@pytest.fixture
def event_server() -> Iterator[EventServer]:
    """An event server that the Jupyter server forwards to."""
    received = EventServer()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(200, {"status": "ok"})

        def do_POST(self) -> None:
            events = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            received.events.extend(events)
            self._answer(202, {"message": "ok", "batch_stats": {"failed_events": []}})

        def log_message(self, *_: Any) -> None:
            return

        def _answer(self, status: int, body: dict[str, Any]) -> None:
            encoded = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(encoded)))
            self.end_headers()
            self.wfile.write(encoded)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        received.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield received
        server.shutdown()


@dataclass
class Environment:
    """A virtual environment with JupyterLab and the extension, and the folders of the one student who uses it."""

    path: Path
    home: Path

    @property
    def variables(self) -> dict[str, str]:
        """What keeps Jupyter to these folders."""
        return {
            "HOME": str(self.home),
            "JUPYTER_CONFIG_DIR": str(self.home / "config"),
            "JUPYTER_DATA_DIR": str(self.home / "data"),
            "JUPYTER_RUNTIME_DIR": str(self.home / "runtime"),
            "IPYTHONDIR": str(self.home / "ipython"),
            "JUPYTERLAB_SETTINGS_DIR": str(self.home / "settings"),
            "JUPYTERLAB_WORKSPACES_DIR": str(self.home / "workspaces"),
            "LANG": "C.UTF-8",
        }

    def jupyter(self, *arguments: str) -> str:
        """What ``jupyter ...`` says, without colours."""
        return run(self.path / "bin" / "jupyter", *arguments, env={**self.variables, "NO_COLOR": "1"})

    def write(self, path: Path, content: Any) -> None:
        """Write JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content), encoding="utf-8")

    def site_settings(self, plugins: dict[str, dict[str, Any]]) -> None:
        """Set site-wide values, as an administrator does."""
        self.write(self.path / "share/jupyter/lab/settings/overrides.json", plugins)

    def student_settings(self, settings: dict[str, Any]) -> None:
        """Set what is in the student's own file."""
        self.write(self.student_file, settings)

    @property
    def student_file(self) -> Path:
        """The student's own settings of the extension."""
        return self.home / "settings" / "cell-monitor" / "plugin.jupyterlab-settings"

    @contextmanager
    def lab(self, **traits: Any) -> Iterator[str]:
        """A running ``jupyter lab``; the address of its page without a login. ``traits`` are of ``CellMonitor``."""
        self.write(self.home / "config" / "jupyter_server_config.json", {"CellMonitor": traits})
        port = _free_port()
        options = [
            "--no-browser",
            "--allow-root",
            f"--port={port}",
            "--port-retries=0",
            "--IdentityProvider.token=",
            "--LabApp.expose_app_in_browser=True",
            # Neither needs the Internet; without it their threads outlive the server.
            "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
            "--LabApp.news_url=None",
            "--LabApp.extension_manager=readonly",
        ]
        work = self.home / "work"
        work.mkdir(exist_ok=True)
        log = self.home / "lab.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [self.path / "bin" / "jupyter", "lab", *options],
                cwd=work,
                env={**os.environ, **self.variables},
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            _wait_for_health(process, port, log)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _wait_for_health(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    end = time.monotonic() + 30
    while time.monotonic() < end and process.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/cell-monitor/health")
            if connection.getresponse().status == 200:
                return
        except OSError:
            time.sleep(0.1)
        finally:
            connection.close()
    raise AssertionError(f"JupyterLab did not become healthy:\n{log.read_text(encoding='utf-8')}")
