"""What the checks share: where a host is, its secrets, and the certificate authority that browsers trust."""

from __future__ import annotations

import fcntl
import json
import os
import re
import ssl
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
from testinfra.host import Host
from xdist.scheduler import LoadScopeScheduling

PROJECT = Path(__file__).parents[1]
CREDENTIALS = PROJECT / "credentials" / "molecule"
SSH_CONFIG = PROJECT / "build" / "sandbox" / "inventories" / "molecule" / "ssh_config"


@dataclass(frozen=True)
class Server:
    """A deployed host as its users meet it: an address, the passwords and tokens, TLS that has to be valid."""

    name: str
    address: str
    # Folder with the secrets of the deploy.
    credentials: Path = CREDENTIALS

    @classmethod
    def of(cls, host: Host) -> Self:
        """The server that a host is."""
        name = host.backend.hostname
        command = ["ssh", "-F", SSH_CONFIG, "-G", name]
        answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        settings = dict(line.split(" ", 1) for line in answer.splitlines() if " " in line)
        return cls(name, settings["hostname"])

    @property
    def url(self) -> str:
        """Root of the site, without a trailing slash."""
        return f"https://{self.address}"

    @property
    def authority(self) -> Path:
        """Certificate of the local certificate authority."""
        return self.credentials / "tls" / "ca.crt"

    @property
    def password(self) -> str:
        """Password of JupyterLab's login page."""
        return (self.credentials / "jupyterlab_password").read_text().strip()

    @property
    def token(self) -> str:
        """Token that this host's JupyterLab writes events with."""
        return (self.credentials / "writers" / self.name).read_text().strip()

    @property
    def instructor(self) -> tuple[str, str]:
        """Login of the instructor."""
        return "instructor", (self.credentials / "instructor_password").read_text().strip()

    def client(self, **options: Any) -> httpx.Client:
        """An HTTP client that trusts the local certificate authority and nothing else."""
        context = ssl.create_default_context(cafile=str(self.authority))
        return httpx.Client(base_url=self.url, verify=context, trust_env=False, timeout=30, **options)

    @contextmanager
    def jupyter(self) -> Iterator[httpx.Client]:
        """A client of somebody who has logged in to JupyterLab."""
        with self.client() as client:
            client.get("/login")
            answer = client.post("/login", data={"password": self.password, "_xsrf": client.cookies["_xsrf"]})
            assert answer.status_code == 302
            client.headers["X-XSRFToken"] = client.cookies["_xsrf"]
            yield client

    def store(self, *events: dict[str, Any]) -> None:
        """Have events stored, as this host's JupyterLab does."""
        with self.client(headers={"Authorization": f"Bearer {self.token}"}) as client:
            assert client.post("/api/v1/events", json=list(events)).status_code == 202

    def overview(self, time_range: str = "1h") -> Any:
        """The instructor's overview."""
        with self.client(auth=self.instructor) as client:
            answer = client.get("/api/v1/dashboard/overview", params={"time_range": time_range})
            answer.raise_for_status()
            return answer.json()

    def student(self, email: str) -> dict[str, Any] | None:
        """One student of the overview, or None."""
        return next((s for s in self.overview()["students"] if s["emailAddress"] == email), None)


@pytest.fixture(scope="module")
def server(host: Host) -> Server:
    """The host under test."""
    return Server.of(host)


@pytest.fixture(scope="module", autouse=True)
def turn(request: pytest.FixtureRequest) -> Iterator[None]:
    """Keep the other host's checks out of a module that changes all hosts, which it says by ``alone = True``."""
    with (PROJECT / "build" / "checks.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX if getattr(request.module, "alone", False) else fcntl.LOCK_SH)
        yield


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run a module that names its hosts on these alone, which ``--hosts`` would not."""
    left_out = [
        item
        for item in items
        if isinstance(item, pytest.Function)
        and (hosts := getattr(item.module, "testinfra_hosts", None))
        and "host" in item.fixturenames
        and not any(name in item.callspec.id for name in hosts)
    ]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]
    # Last, when the other worker has least left to do.
    items.sort(key=lambda item: getattr(getattr(item, "module", None), "alone", False))


class ByHost(LoadScopeScheduling):  # type: ignore[misc]
    """Hosts side by side; the checks of one host one after another, and so those that need the controller alone."""

    def _split_scope(self, nodeid: str) -> str:
        found = re.search(r"\[(ssh://[^]-]+)", nodeid)
        return found[1] if found else "controller"


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByHost:
    """Hand the checks out by host."""
    return ByHost(config, log)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Add the host's journal to the report of a check that failed."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    host = getattr(item, "funcargs", {}).get("host")
    if report.when == "call" and report.failed and host is not None:
        try:
            journal = host.run("journalctl --no-pager --lines 60 -u jupyterlab -u event-server -u nginx").stdout
        except RuntimeError as error:
            journal = str(error)
        report.sections.append((f"journal of {host.backend.hostname}", journal))


def eventually(look: Callable[[], Any], wanted: Callable[[Any], Any], seconds: float = 20) -> Any:
    """Look again and again until what is seen is what is wanted; returns it, or fails with what was seen last."""
    end = time.monotonic() + seconds
    while not wanted(seen := look()):
        assert time.monotonic() < end, f"not within {seconds} s, only {seen}"
        time.sleep(0.5)
    return seen


def exposure(host: Host, unit: str) -> float:
    """How much of the host a unit may touch, from 0 to 10, in the opinion of systemd."""
    report = host.check_output("systemd-analyze security --no-pager %s", unit)
    return float(report.rpartition("Overall exposure level for")[2].split(":")[1].split()[0])


@contextmanager
def restarted(server: Server, host: Host) -> Iterator[None]:
    """Wait for the host to be started anew in the block, and for its services to answer."""
    started = _started(host)
    yield
    eventually(lambda: _started(host), lambda seen: seen not in ("", started), seconds=90)
    eventually(lambda: _answers(server), bool, seconds=60)


def _started(host: Host) -> str:
    try:
        return str(host.check_output("systemctl show --property=UserspaceTimestamp --value --timestamp=us"))
    except (AssertionError, RuntimeError):
        return ""


def _answers(server: Server) -> bool:
    with server.client() as client:
        try:
            return all(client.get(path).status_code == 200 for path in ("/health", "/cell-monitor/health"))
        except httpx.TransportError:
            return False


def address(purpose: str) -> str:
    """An e-mail address that no other check and no other run uses."""
    return f"{purpose}-{uuid.uuid4().hex[:8]}@example.com"


def event(email: str, **fields: Any) -> dict[str, Any]:
    """An event as a client sends it."""
    return {
        "eventId": str(uuid.uuid4()),
        "eventType": "cell_executed",
        "eventTime": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "emailAddress": email,
        "userName": "山田 花子",
        "teamName": "チームB",
        "sessionId": str(uuid.uuid4()),
        "notebookPath": "lesson/01.ipynb",
        "cellId": "c1",
        "cellType": "code",
        "code": "print(6*7)",
        "executionCount": 1,
        "hasError": False,
        "result": "42",
        "executionDurationMs": 3,
    } | fields


def environment() -> dict[str, str]:
    """The environment of a playbook: Molecule's own settings, such as its inventory, are not for it."""
    own = {k: v for k, v in os.environ.items() if not k.startswith(("ANSIBLE_", "MOLECULE_"))}
    return own | {"ANSIBLE_NOCOLOR": "1"}


def ansible_playbook(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a playbook of the project on the scenario's hosts."""
    return subprocess.run(
        ["ansible-playbook", "--inventory", "inventories/molecule", *arguments],
        cwd=PROJECT,
        env=environment(),
        check=False,
        capture_output=True,
        text=True,
        timeout=900,
    )


def manifest() -> Any:
    """The manifest of the bundle that was deployed."""
    return json.loads((PROJECT / "build" / "bundles" / "current" / "manifest.json").read_text())
