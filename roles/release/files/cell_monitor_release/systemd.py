"""Services, as systemd knows them."""

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

_PROPERTIES = (
    "LoadState",
    "ActiveState",
    "SubState",
    "Result",
    "MainPID",
    "NRestarts",
    "NeedDaemonReload",
    "UnitFileState",
    "ExecMainStartTimestamp",
    "StateChangeTimestamp",
    "ActiveEnterTimestamp",
    "Job",
)
_SECONDS = 120


@dataclass(frozen=True)
class Service:
    """How a service is.

    Attributes:
        started: when its process was started, in seconds since 1970; 0 if it was not.
        changed: when it was started, stopped or reloaded last, in seconds since 1970.
        entered: since when it is active, whatever it has done meanwhile, in seconds since 1970.
        restarts: how often systemd has restarted it by itself.
        pending: whether systemd is yet to start or stop it.
    """

    loaded: bool
    state: str
    result: str
    pid: int
    restarts: int
    needs_reload: bool
    enabled: bool
    started: float
    changed: float
    entered: float
    pending: bool

    @property
    def active(self) -> bool:
        """Whether it runs."""
        return self.state in ("active", "reloading")

    @property
    def failed(self) -> bool:
        """Whether systemd has given it up."""
        return self.state == "failed"


def show(unit: str) -> Service:
    """Asks for a service."""
    answer = systemctl("show", unit, f"--property={','.join(_PROPERTIES)}", "--timestamp=us+utc").stdout
    values = dict(line.split("=", 1) for line in answer.splitlines() if "=" in line)
    return Service(
        loaded=values.get("LoadState") == "loaded",
        state=values.get("ActiveState", ""),
        result=values.get("Result", ""),
        pid=int(values.get("MainPID") or 0),
        restarts=int(values.get("NRestarts") or 0),
        needs_reload=values.get("NeedDaemonReload") == "yes",
        enabled=values.get("UnitFileState") in ("enabled", "static", "enabled-runtime"),
        started=_time(values.get("ExecMainStartTimestamp", "")),
        changed=_time(values.get("StateChangeTimestamp", "")),
        entered=_time(values.get("ActiveEnterTimestamp", "")),
        pending=values.get("Job", "") not in ("", "0"),
    )


def _time(text: str) -> float:
    try:
        return datetime.strptime(text, "%a %Y-%m-%d %H:%M:%S.%f %Z").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return 0


def systemctl(*arguments: str, seconds: float = _SECONDS) -> subprocess.CompletedProcess[str]:
    """Runs systemctl; who cares looks at its code."""
    return run(["systemctl", *arguments], seconds)


def run(argv: Sequence[str], seconds: float = _SECONDS) -> subprocess.CompletedProcess[str]:
    """Runs a program for so long; what takes longer has the code 124, what is not there 127."""
    try:
        return subprocess.run(argv, check=False, capture_output=True, text=True, errors="replace", timeout=seconds)  # noqa: S603
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(argv, 124, "", f"{argv[0]} took more than {seconds:.0f} s")
    except FileNotFoundError:
        return subprocess.CompletedProcess(argv, 127, "", f"{argv[0]} is not there")


def journal(units: Sequence[str], since: float) -> str:
    """Returns what units have logged since a time, in seconds since 1970."""
    chosen = [part for unit in units for part in ("--unit", unit)]
    return run(["journalctl", "--no-pager", "--output=short-iso-precise", f"--since=@{int(since)}", *chosen]).stdout


def release_of(pid: int, folder: Path) -> str | None:
    """Returns which release of a folder a process runs."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return None
    found = re.search(re.escape(f"{folder}/releases/") + r"([^/\0]+)/", command)
    return found[1] if found else None
