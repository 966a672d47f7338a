import base64
import hashlib
import os
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import httpx
import postgres
import pytest
from argon2 import PasswordHasher
from event_server.app import create_app
from event_server.config import Config
from event_server.store import Store
from event_server.stores import make_store
from starlette.testclient import TestClient

pytest.register_assert_rewrite("posters")

TOKEN = "a-token-of-the-class1-jupyter-host"
PASSWORD = "correct horse ひらがな"
WRITER = {"Authorization": f"Bearer {TOKEN}"}
READER = {"Authorization": "Basic " + base64.b64encode(f"teacher:{PASSWORD}".encode()).decode()}
SRC = Path(__file__).parents[1] / "src"
# Cheap: the tests are not about argon2.
PASSWORD_HASH = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("faults")
    group.addoption("--kills", type=int, default=20, help="how often the server is killed under load (%(default)s)")
    group.addoption("--fault-seconds", type=float, default=2.0, help="how long other faults last (%(default)s)")
    group.addoption("--seed", type=int, help="of the moments of the faults; a failed test shows its own")


def iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def event(event_type: str = "cell_executed", *, ago: float = 0, **fields: Any) -> dict[str, Any]:
    """An event as a stock client sends it, some seconds ago."""
    common: dict[str, Any] = {
        "eventId": str(uuid4()),
        "eventType": event_type,
        "eventTime": iso(datetime.now(UTC) - timedelta(seconds=ago)),
        "emailAddress": "taro@example.jp",
        "userName": "太郎",
        "teamName": "チームA",
        "sessionId": "11111111-1111-4111-8111-111111111111",
        "notebookPath": "lesson/1.ipynb",
    }
    if event_type == "cell_executed":
        common |= {
            "cellId": "c1",
            "cellIndex": 0,
            "cellType": "code",
            "code": "print(6*7)",
            "executionCount": 1,
            "hasError": False,
            "result": "42",
            "executionDurationMs": 12,
        }
    return common | fields


def write_secrets(folder: Path) -> dict[str, Path]:
    writers, instructors = folder / "writers", folder / "instructors"
    writers.write_text(f"class1:{hashlib.sha256(TOKEN.encode()).hexdigest()}\n")
    instructors.write_text(f"teacher:{PASSWORD_HASH}\n")
    return {"writers_file": writers, "instructors_file": instructors}


@pytest.fixture
def secrets(tmp_path: Path) -> dict[str, Path]:
    return write_secrets(tmp_path)


class Stored(NamedTuple):
    """A database of a test's own, as the configuration names it, and what it holds."""

    keys: dict[str, str]

    @property
    def path(self) -> Path:
        return Path(self.keys["database_path"])

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        if "database_url" in self.keys:
            return postgres.rows(self.keys["database_url"], query)
        with closing(sqlite3.connect(self.keys["database_path"], isolation_level=None)) as connection:
            return connection.execute(query).fetchall()

    def config(self, path: Path) -> Path:
        path.write_text("".join(f'{key} = "{value}"\n' for key, value in self.keys.items()))
        return path

    def store(self) -> Store:
        return make_store(Config.model_validate(self.keys))


@pytest.fixture(scope="session")
def postgresql() -> Iterator[postgres.Postgres]:
    with postgres.running() as server:
        yield server


@pytest.fixture
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Stored:
    """What the server of a test writes to: SQLite, unless the test is marked with ``on_both``."""
    if getattr(request, "param", "sqlite") == "sqlite":
        return Stored({"database_path": str(tmp_path / "events.sqlite3")})
    return Stored({"database_url": request.getfixturevalue("postgresql").create()})


on_both = pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)
on_postgresql = pytest.mark.parametrize("database", ["postgresql"], indirect=True)


@pytest.fixture
def make_config(database: Stored, secrets: dict[str, Path]) -> Callable[..., Config]:
    def make(**keys: Any) -> Config:
        defaults: dict[str, Any] = {} if "database_path" in keys else {**database.keys}
        return Config.model_validate(defaults | {"limits": {"min_free_bytes": 0}} | secrets | keys)

    return make


@pytest.fixture
def make_client(make_config: Callable[..., Config]) -> Iterator[Callable[..., TestClient]]:
    clients = []

    def make(peer: str = "127.0.0.1", store: Any = None, **keys: Any) -> TestClient:
        client = TestClient(create_app(make_config(**keys), store), client=(peer, 50000))
        clients.append(client.__enter__())
        return client

    yield make
    for client in clients:
        client.__exit__()


@pytest.fixture
def client(make_client: Callable[..., TestClient]) -> TestClient:
    return make_client()


@pytest.fixture
def config_file(database: Stored, tmp_path: Path) -> Path:
    """The configuration of the server that ``client`` talks to."""
    return database.config(tmp_path / "config.toml")


def post(client: TestClient | httpx.Client, *events: Any, **headers: str) -> httpx.Response:
    return client.post("/api/v1/events", json=list(events), headers=WRITER | headers)


def overview(client: TestClient | httpx.Client, time_range: str = "1h") -> Any:
    answer = client.get("/api/v1/dashboard/overview", params={"time_range": time_range}, headers=READER)
    assert answer.status_code == 200, answer.text
    return answer.json()


class Process:
    """The server as its users meet it: a process on a port."""

    def __init__(self, folder: Path, secrets: dict[str, Path], database: Stored, **keys: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.database = database
        folder.mkdir(exist_ok=True)
        self.log = folder / "log"
        self.url = f"http://127.0.0.1:{self.port}"
        self.config = folder / "config.toml"
        values = {"port": str(self.port)}
        values |= {key: f'"{value}"' for key, value in (database.keys | secrets).items()} | keys
        self.config.write_text("".join(f"{key} = {value}\n" for key, value in values.items()))

    def launch(
        self, listener: socket.socket | None = None, unix_socket: Path | None = None, **environment: str
    ) -> None:
        """Starts it; with a listener, as systemd does that listens for it."""
        command = [sys.executable, "-m", "event_server", "serve", "--config", str(self.config)]
        command += ["--unix-socket", str(unix_socket)] if unix_socket else []
        inherited = [listener.fileno()] if listener else []
        for number in inherited:
            script = f'exec 3<&{number}; LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"'
            command = ["bash", "-c", script, "bash", *command]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                env=os.environ | {"PYTHONPATH": str(SRC)} | environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=inherited,
            )

    def start(self, **environment: str) -> "Process":
        """Launches it and waits until it answers."""
        self.launch(**environment)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                time.sleep(0.02)
            else:
                return self
        raise AssertionError(f"the server did not start: {self.log.read_text()}")

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(30)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(30)


@pytest.fixture
def make_process(tmp_path: Path, secrets: dict[str, Path], database: Stored) -> Iterator[Callable[..., Process]]:
    processes: list[Process] = []

    def make(path: Path | None = None, **keys: str) -> Process:
        stored = Stored({"database_path": str(path)}) if path else database
        processes.append(Process(tmp_path / f"process{len(processes)}", secrets, stored, **keys))
        return processes[-1]

    yield make
    for process in processes:
        if hasattr(process, "process"):
            process.kill()
