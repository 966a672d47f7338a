"""A Jupyter server that tests may kill and start again; its kernels run on."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
import tomllib
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import pytest
import websockets
from jupyter_client.session import Session

EXTENSIONS = ("jupyterlab", "jupyter_lsp", "jupyter_server_terminals", "notebook_shim", "cell_monitor")
PROJECT = Path(__file__).parents[1]
SYSTEMCTL = Path(__file__).with_name("systemctl")


# Starts servers without importing anew what takes most of their start.
FORKER = """
import os, sys
from jupyter_server.serverapp import ServerApp
import systemd_kernels.connection, systemd_kernels.manager
for line in sys.stdin:
    verb, *rest = line.split()
    if verb == "start":
        pid = os.fork()
        if not pid:
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            log = os.open(rest[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(log, 1)
            os.dup2(log, 2)
            sys.exit(ServerApp.launch_instance([f"--config={rest[0]}"]))
        print(pid, flush=True)
    else:
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


class Server:
    """A Jupyter server with our kernel manager."""

    def __init__(self, home: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.home = home
        self.runtime = home / "kernels"
        self.notes = home / "units"
        for folder in (self.runtime, self.notes, home / "notebooks"):
            folder.mkdir()
        _install(home / "installed")
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=30, trust_env=False)
        self.pid = 0
        self.status: int | None = None
        (home / "config.json").write_text(json.dumps(self._config()))
        environment = os.environ | {
            "FAKE_SYSTEMD": str(self.notes),
            "FAKE_RUNTIME": str(self.runtime),
            "HOME": str(home),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "JUPYTER_PATH": str(home / "share"),
            "CREDENTIALS_DIRECTORY": "the server's own",
            "PYTHONPATH": f"{PROJECT / 'src'}:{home / 'installed'}",
        }
        command = [sys.executable, "-c", FORKER]
        self._forker = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def _config(self) -> dict[str, Any]:
        server = {
            "port": self.port,
            "port_retries": 0,
            "open_browser": False,
            "allow_root": True,
            "root_dir": str(self.home / "notebooks"),
            "kernel_manager_class": "systemd_kernels.manager.SystemdKernelManager",
            "kernel_websocket_connection_class": "systemd_kernels.connection.SystemdKernelConnection",
            "disable_check_xsrf": True,
            # They are found by their installation, and take seconds to load.
            "jpserver_extensions": dict.fromkeys(EXTENSIONS, False),
        }
        return {
            "ServerApp": server,
            "IdentityProvider": {"token": ""},
            "KernelProvisionerFactory": {"default_provisioner_name": "systemd"},
            "SystemdProvisioner": {"runtime_dir": str(self.runtime), "systemctl": str(SYSTEMCTL)},
            "SessionManager": {"database_filepath": str(self.home / "sessions.sqlite")},
            # Kernelspecs of tests have their own.
            "MappingKernelManager": {"cull_idle_timeout": 3600, "cull_interval": 1},
            "KernelRestarter": {"time_to_dead": 0.3, "restart_limit": 2},
            "ZMQChannelsWebsocketConnection": {"iopub_msg_rate_limit": 100},
        }

    def add_kernelspec(self, name: str, **changes: Any) -> None:
        """Let kernels differ from the usual one."""
        spec = {"argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"], "language": "python"}
        folder = self.home / "share/kernels" / name
        folder.mkdir(parents=True)
        (folder / "kernel.json").write_text(json.dumps(spec | {"display_name": name} | changes))

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.pid = self._ask(f"start {self.home / 'config.json'} {self.home / 'server.log'}")
        self.status = None
        self.wait(lambda: self.client.get("/api").status_code == 200, 60)

    def stop(self, signum: int = signal.SIGTERM) -> None:
        """End it."""
        os.kill(self.pid, signum)
        self.status = self._ask("wait")
        self.pid = 0

    def _ask(self, question: str) -> int:
        assert self._forker.stdin is not None
        assert self._forker.stdout is not None
        self._forker.stdin.write(f"{question}\n")
        self._forker.stdin.flush()
        return int(self._forker.stdout.readline())

    def restart(self, signum: int = signal.SIGTERM) -> None:
        """End it and start another."""
        self.stop(signum)
        self.start()

    def wait(self, check: Callable[[], Any], seconds: float = 20) -> Any:
        """Wait for something to be true; returns it."""
        end = time.monotonic() + seconds
        while True:
            try:
                if seen := check():
                    return seen
            except (httpx.HTTPError, OSError):
                pass
            assert time.monotonic() < end, (self.home / "server.log").read_text()[-4000:]
            time.sleep(0.05)

    def begin_session(self, name: str = "lesson.ipynb", kernel: str = "python3") -> httpx.Response:
        """Ask for a session, as a notebook does."""
        body = {"path": name, "name": name, "type": "notebook", "kernel": {"name": kernel}}
        return self.client.post("/api/sessions", json=body)

    def open_notebook(self, name: str = "lesson.ipynb", kernel: str = "python3") -> str:
        """Begin a session; returns the kernel's id."""
        answer = self.begin_session(name, kernel)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["kernel"]["id"])

    def kernels(self) -> dict[str, dict[str, Any]]:
        """The kernels that it knows."""
        return {kernel["id"]: kernel for kernel in self.client.get("/api/kernels").json()}

    def unit(self, kernel_id: str) -> dict[str, Any]:
        """What is noted about a kernel's unit."""
        return dict(json.loads((self.notes / f"jupyter-kernel@{kernel_id}.service").read_text()))

    def remove(self) -> None:
        """End it and all that it has started."""
        if self.pid:
            self.stop(signal.SIGKILL)
        self._forker.communicate()
        units = [note.name for note in self.notes.glob("*.service")]
        environment = os.environ | {"FAKE_SYSTEMD": str(self.notes)}
        subprocess.run([sys.executable, SYSTEMCTL, "stop", *units], env=environment, check=True)
        self.client.close()


def _install(folder: Path) -> None:
    """Let Jupyter find the entry points, as the wheel does."""
    groups = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["entry-points"]
    lines = [f"[{group}]\n" + "\n".join(f"{k} = {v}" for k, v in points.items()) for group, points in groups.items()]
    metadata = folder / "systemd_kernels-0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: systemd-kernels\nVersion: 0\n")
    (metadata / "entry_points.txt").write_text("\n".join(lines))


@pytest.fixture(scope="session")
def shared_server() -> Iterator[Server]:
    """It takes seconds to start."""
    # A path of pytest's is too long for a socket.
    with TemporaryDirectory(prefix="kernels-") as folder:
        server = Server(Path(folder))
        server.start()
        yield server
        server.remove()


@pytest.fixture
def server(shared_server: Server) -> Iterator[Server]:
    """A server without kernels, as it is configured for a class."""
    if not shared_server.pid:
        shared_server.start()
    yield shared_server
    if shared_server.pid:
        for kernel in shared_server.kernels():
            shared_server.client.delete(f"/api/kernels/{kernel}")


class Browser:
    """A browser's connection to a kernel, which it opens again under the same name when it breaks."""

    def __init__(self, server: Server, kernel_id: str) -> None:
        self.server = server
        self.kernel_id = kernel_id
        self.session = Session(key=b"")
        self.messages: list[dict[str, Any]] = []
        self._socket: Any = None

    async def connect(self) -> None:
        """Open the connection."""
        url = (
            f"ws://127.0.0.1:{self.server.port}/api/kernels/{self.kernel_id}/channels?session_id={self.session.session}"
        )
        self._socket = await websockets.connect(url, max_size=None, proxy=None)

    async def close(self) -> None:
        """Leave the page."""
        await self._socket.close()

    def sleep(self) -> None:
        """Take nothing any more, as a computer that sleeps; the server does not know."""
        self._socket.transport.pause_reading()

    def lose_connection(self) -> None:
        """Lose the connection, without a farewell."""
        self._socket.transport.abort()

    async def execute(self, code: str) -> str:
        """Run a cell; returns the request's id."""
        content = {"code": code, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": True}
        return await self.send("shell", "execute_request", content)

    async def send(self, channel: str, kind: str, content: dict[str, Any], **header: Any) -> str:
        """Send a message; returns its id."""
        message = self.session.msg(kind, content)
        header = message["header"] | {"date": "2026-11-24T00:00:00Z"} | header
        body = {**message, "channel": channel, "header": header}
        await self._socket.send(json.dumps(body, default=str))
        return str(message["header"]["msg_id"])

    async def receive(self, until: Callable[[dict[str, Any]], Any], seconds: float = 20) -> dict[str, Any]:
        """Take messages until one is what is waited for."""
        async with asyncio.timeout(seconds):
            while True:
                message = json.loads(await self._socket.recv())
                self.messages.append(message)
                if until(message):
                    return message

    async def finished(self, request: str, seconds: float = 20) -> dict[str, Any]:
        """Wait until a cell is no longer marked as running; returns the reply."""

        def about(kind: str) -> list[dict[str, Any]]:
            return [
                m
                for m in self.messages
                if m["parent_header"].get("msg_id") == request and m["header"]["msg_type"] == kind
            ]

        def done(_: object = None) -> bool:
            idle = any(m["content"]["execution_state"] == "idle" for m in about("status"))
            return idle and bool(about("execute_reply"))

        if not done():
            await self.receive(done, seconds)
        return about("execute_reply")[0]

    def text(self, request: str) -> str:
        """What a cell has written."""
        return "".join(
            m["content"]["text"]
            for m in self.messages
            if m["parent_header"].get("msg_id") == request and m["header"]["msg_type"] == "stream"
        )

    async def run(self, code: str) -> str:
        """Run a cell to its end; returns what it has written."""
        request = await self.execute(code)
        await self.finished(request)
        return self.text(request)


@pytest.fixture
async def browse() -> AsyncIterator[Callable[[Server, str], Awaitable[Browser]]]:
    """Opens browsers."""
    opened: list[Browser] = []

    async def open_browser(server: Server, kernel_id: str) -> Browser:
        opened.append(Browser(server, kernel_id))
        await opened[-1].connect()
        await opened[-1].send("shell", "kernel_info_request", {})
        await opened[-1].receive(lambda m: m["header"]["msg_type"] == "kernel_info_reply")
        return opened[-1]

    yield open_browser
    for browser in opened:
        browser.lose_connection()


def new_id() -> str:
    """An id as kernels have."""
    return str(uuid.uuid4())
