"""systemd services that hold open what is to be replaced."""

import subprocess
from collections.abc import Iterable

from cell_monitor_backup.errors import BackupError

_SECONDS = 180
_ACTIVE = ("active", "activating", "reloading")


def active(units: Iterable[str]) -> list[str]:
    """Returns which of them run, or are about to."""
    return [unit for unit in units if _systemctl("is-active", unit).stdout.strip() in _ACTIVE]


def stop(units: Iterable[str]) -> None:
    """Stops services.

    Raises:
        BackupError: one goes on.
    """
    for unit in units:
        _demand("stop", unit)


def start(units: Iterable[str]) -> None:
    """Starts services, and waits until they work.

    Raises:
        BackupError: one does not.
    """
    for unit in units:
        _systemctl("reset-failed", unit)
        _demand("start", unit)


def restart(units: Iterable[str]) -> None:
    """Restarts services.

    Raises:
        BackupError: one does not work afterwards.
    """
    _demand("daemon-reload")
    for unit in units:
        _demand("restart", unit)


def _demand(verb: str, *unit: str) -> None:
    done = _systemctl(verb, *unit)
    if done.returncode != 0:
        told = (done.stderr.strip().splitlines() or ["no reason given"])[0]
        raise BackupError(f"systemctl {' '.join((verb, *unit))} failed: {told.rstrip('.')}.")


def _systemctl(*arguments: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(  # noqa: S603
            ["systemctl", *arguments],  # noqa: S607
            check=False,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise BackupError(f"systemctl {' '.join(arguments)} took more than {_SECONDS} s.") from None
