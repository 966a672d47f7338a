"""A host in a folder: releases, files, services that really run; only systemd is played."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cell_monitor_release import deploy, health, releases, systemd
from cell_monitor_release.model import Generation, Part
from cell_monitor_release.state import State

SERVER = Path(__file__).with_name("release_service.py")
UNIT = "app.service"


class Host:
    """One application ``app`` with its service, and ``extra``, which has releases and no service."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = State(folder / "state")
        self.state.create()
        self.config = folder / "etc/app.conf"
        self.secret = folder / "etc/secret"
        self.config.parent.mkdir()
        self.secret.write_text("s1")
        self.units = folder / "units.json"
        self.units.write_text("{}")
        self.has_candidates = True
        self.calls: list[str] = []
        self.database: Path | None = None
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]

    # What a deploy does.

    def install(self, release: str, behaviour: str = "healthy", application: str = "app", **record: Any) -> Path:
        """Installs a release."""
        path = self.folder / "opt" / application / "releases" / release
        path.mkdir(parents=True)
        (path / "behaviour").write_text(behaviour)
        (path / "link").symlink_to("behaviour")
        releases.seal(path)
        (path / "release.json").write_text(json.dumps({"release": release} | record))
        return path

    def part(self, release: str) -> Part:
        """The application."""
        return Part(
            "app",
            self.folder / "opt/app",
            release,
            UNIT,
            files=(self.config,),
            served=(self.folder / "etc/served",),
            secrets=(self.secret,),
            health_url=f"http://127.0.0.1:{self.port}/health",
            candidate="app-candidate@",
            candidate_socket=str(self.folder / "%i.sock"),
            database=self.database,
            seconds=2,
        )

    def target(self, release: str, *parts: Part) -> Generation:
        """What a deploy wants."""
        return Generation(0, (self.part(release), *parts), {}, bundle=f"bundle-{release}")

    def configure(self, text: str) -> None:
        """Writes the configuration, as a role does."""
        if not self.config.exists() or self.config.read_text() != text:
            self.config.write_text(text)

    def deploy(self, release: str, config: str) -> Generation | None:
        """A whole deploy."""
        deploy.begin(self.state, self.target(release), "tester")
        self.configure(config)
        deploy.turn(self.state, "app")
        return deploy.commit(self.state, 3)

    # What is there afterwards.

    def answer(self) -> Any:
        """What the service tells, or why it does not."""
        return health.ask(f"http://127.0.0.1:{self.port}/health")[1]

    def runs(self) -> tuple[str, str]:
        """Release and configuration of what runs."""
        answer = self.answer()
        return (answer["release"], answer["config"]) if isinstance(answer, dict) else ("", str(answer))

    def there(self) -> tuple[str, str]:
        """Release and configuration that the service would start with."""
        return (self.folder / "opt/app/current").readlink().name, self.config.read_text()

    @property
    def pid(self) -> int:
        """The service's process."""
        return int(self._load().get(UNIT, {}).get("pid", 0))

    # systemd.

    def run(self, argv: Sequence[str], seconds: float = 0) -> subprocess.CompletedProcess[str]:  # noqa: ARG002
        """Stands in for ``systemd.run``; what it knows is in a file, as systemd outlives who asks it."""
        if argv[0] != "systemctl":
            return subprocess.run(argv, check=False, capture_output=True, text=True)
        verb, *rest = [part for part in argv[1:] if not part.startswith("--")] or [""]
        self.calls.append(" ".join([verb, *rest]))
        unit = rest[0] if rest else ""
        code, text = 0, ""
        if verb == "show":
            text = self._show(unit)
        elif verb in ("start", "restart"):
            self._stop(unit)
            code = self._start(unit, is_awaited="--no-block" not in argv)
        elif verb in ("stop", "disable"):
            self._stop(unit)
        elif verb == "enable":
            self._change(unit, enabled=True)
        return subprocess.CompletedProcess(argv, code, text, "Job failed." if code else "")

    def reboot(self) -> None:
        """Ends all processes, and starts the service as it is enabled."""
        for unit in self._load():
            self._stop(unit)

    def start(self) -> None:
        """Starts the service."""
        self._start(UNIT, is_awaited=True)

    def close(self) -> None:
        """Ends all processes."""
        self.reboot()

    def _load(self) -> dict[str, dict[str, Any]]:
        return dict(json.loads(self.units.read_text()))

    def _change(self, unit: str, **values: Any) -> None:
        units = self._load()
        units.setdefault(unit, {}).update(values)
        new = self.units.with_suffix(".new")
        new.write_text(json.dumps(units))
        new.rename(self.units)

    def _start(self, unit: str, *, is_awaited: bool) -> int:
        if unit == UNIT:
            release, where = (self.folder / "opt/app/current").resolve(), str(self.port)
        else:
            name = unit.removeprefix("app-candidate@").removesuffix(".service")
            release, where = self.folder / "opt/app/releases" / name, str(self.folder / f"{name}.sock")
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", SERVER, f"{release}/", self.config, where], stdin=subprocess.DEVNULL
        )
        # On a busy machine systemd takes its time, and the unit is inactive until then.
        self._change(unit, pid=process.pid, started=time.time(), queued=0 if is_awaited else 2)
        if not is_awaited:
            return 0
        end = time.monotonic() + 5
        while time.monotonic() < end and _alive(process.pid):
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return 0
            except OSError:
                time.sleep(0.01)
        return 1

    def _stop(self, unit: str) -> None:
        pid = self._load().get(unit, {}).get("pid", 0)
        if pid and _alive(pid):
            os.kill(pid, signal.SIGKILL)
            while _alive(pid):
                time.sleep(0.005)
        if pid:
            self._change(unit, pid=0)

    def _show(self, unit: str) -> str:
        known = self._load().get(unit, {})
        pid = known.get("pid", 0)
        if queued := known.get("queued", 0):
            self._change(unit, queued=queued - 1)
        state = "inactive" if queued else "active" if pid and _alive(pid) else "failed" if pid else "inactive"
        started = datetime.fromtimestamp(known.get("started", 0), UTC).strftime("%a %Y-%m-%d %H:%M:%S.%f UTC")
        loaded = "loaded" if unit == UNIT or self.has_candidates else "not-found"
        return (
            f"LoadState={loaded}\nActiveState={state}\nMainPID={pid}\nNeedDaemonReload=no\n"
            f"UnitFileState={'enabled' if known.get('enabled') else 'disabled'}\nExecMainStartTimestamp={started}\n"
            f"Job={int(queued > 0) or ''}\n"
        )


def _alive(pid: int) -> bool:
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def use(host: Host, monkeypatch: Any) -> None:
    """Has the program talk to the played systemd."""
    monkeypatch.setattr(systemd, "run", host.run)
