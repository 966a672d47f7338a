"""Units and timers, as systemd knows them."""

import json
import subprocess
import time
from dataclasses import dataclass

_PROPERTIES = (
    "ActiveState",
    "Description",
    "ExecMainExitTimestamp",
    "ExecMainStartTimestampMonotonic",
    "InvocationID",
    "LoadState",
    "Result",
    "StatusText",
)
_SECONDS = 30


@dataclass(frozen=True)
class Unit:
    """A service.

    Attributes:
        status: what it said of itself last.
        result: `success`, or why it ended.
        seconds: since its process was started, by a clock that nobody sets.
    """

    name: str
    description: str
    active: str
    status: str
    result: str
    seconds: float


def show(name: str) -> Unit:
    """Asks for a service."""
    answer = run("systemctl", "show", name, f"--property={','.join(_PROPERTIES)}")
    values = dict(line.split("=", 1) for line in answer.splitlines() if "=" in line)
    begun = int(values.get("ExecMainStartTimestampMonotonic") or 0) / 1e6
    return Unit(
        name,
        values.get("Description", ""),
        values.get("ActiveState", ""),
        values.get("StatusText", ""),
        values.get("Result", ""),
        round(time.monotonic() - begun, 3) if begun else 0,
    )


def next_runs() -> dict[str, float]:
    """Returns when each timer of ours elapses next, in seconds since 1970, by the unit that it starts."""
    answer = run("systemctl", "list-timers", "--all", "--output=json", "cell-monitor-*")
    timers = json.loads(answer or "[]")
    services = (timer for timer in timers if timer["activates"].endswith(".service"))
    return {timer["activates"]: (timer["next"] or 0) / 1e6 for timer in services}


def run(*argv: str) -> str:
    """Returns what a program says, nothing where it fails."""
    done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=_SECONDS)  # noqa: S603
    return done.stdout if done.returncode == 0 else ""
