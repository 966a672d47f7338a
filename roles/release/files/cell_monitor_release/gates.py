"""Proof that a release works: its own answer, never the bare fact that it was started."""

import time
from collections.abc import Callable

from cell_monitor_release import health, systemd
from cell_monitor_release.errors import GateError
from cell_monitor_release.model import Part

_PAUSE = 0.05
# How long something may answer otherwise than it is to, in seconds: its store may be busy.
_PATIENCE = 10


def prove(part: Part) -> None:
    """Waits until a service answers for its release.

    Raises:
        GateError: it does not.
    """
    if part.unit is None:
        return
    before = systemd.show(part.unit).restarts

    def ended() -> str | None:
        service = systemd.show(part.unit or "")
        if service.failed or service.restarts > before + 1:
            return f"its service ends by itself ({service.result})"
        if part.health_url is None and service.active:
            return None
        return "" if part.health_url else f"its service is {service.state}"

    if part.health_url is None:
        if fault := ended():
            raise GateError(part.name, f"{_called(part)} does not work: {fault}.")
        return
    _wait(part, ended, None)


def prove_beside(part: Part) -> None:
    """Starts a release where no user reaches it, and waits until it answers for itself.

    Raises:
        GateError: it does not.
    """
    if part.candidate is None or part.release is None:
        return
    unit = f"{part.candidate}{part.release}.service"
    if not systemd.show(unit).loaded:
        return

    def ended() -> str | None:
        service = systemd.show(unit)
        return (
            None
            if service.pending or service.state in ("activating", "active")
            else f"it ends by itself ({service.result})"
        )

    systemd.systemctl("reset-failed", unit)
    systemd.systemctl("start", "--no-block", unit)
    try:
        _wait(part, ended, (part.candidate_socket or "").replace("%i", part.release))
    finally:
        systemd.systemctl("stop", unit)


def _wait(part: Part, ended: Callable[[], str | None], unix_socket: str | None) -> None:
    until = time.monotonic() + part.seconds
    expected = part.release if part.tells_release else None
    while True:
        status, answer = health.ask(part.health_url or "", unix_socket)
        fault = health.fault(status, answer, expected)
        if fault is None:
            return
        if status:
            until = min(until, time.monotonic() + _PATIENCE)
        over = ended()
        if over or time.monotonic() > until:
            raise GateError(part.name, f"{_called(part)} does not work: {over or fault}.")
        time.sleep(_PAUSE)


def _called(part: Part) -> str:
    return f"release {part.release} of {part.name}" if part.release else part.name
