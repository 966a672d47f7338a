"""Makes a part run as it is to."""

import enum
import os
from pathlib import Path

from cell_monitor_release import files, gates, releases, systemd
from cell_monitor_release.errors import GateError
from cell_monitor_release.model import Part

_UNITS = Path("/etc/systemd/system")


class Need(enum.IntEnum):
    """What has to be done, the least first."""

    NOTHING = 0
    LINK = 1
    RELOAD = 2
    RESTART = 3


def need(part: Part) -> Need:
    """Finds out what a part needs to run as it is to. Asks the host, so that a run that was cut off does not matter."""
    moved = part.link is not None and files.pointed(part.link) != part.release
    if part.unit is None:
        return Need.LINK if moved else Need.NOTHING
    service = systemd.show(part.unit)
    if not (service.active and service.enabled and _listens(part)):
        return Need.RESTART
    if service.needs_reload or _newer(part.files, service.started, below=_UNITS):
        return Need.RESTART
    if part.folder and not _serves(part, service.pid):
        return Need.RESTART
    since = service.changed if part.reload else service.started
    if _newer(part.files + part.secrets, since):
        return Need.RELOAD if part.reload else Need.RESTART
    return Need.LINK if moved else Need.NOTHING


def _newer(paths: tuple[Path, ...], since: float, below: Path = Path("/")) -> bool:
    return any(path.exists() and path.stat().st_mtime > since for path in paths if path.is_relative_to(below))


def _listens(part: Part) -> bool:
    if part.socket is None:
        return True
    socket = systemd.show(part.socket)
    return socket.active and not _newer((_UNITS / part.socket,), socket.entered)


def _serves(part: Part, pid: int) -> bool:
    """Whether a process runs the release, or one that differs in nothing that it has read."""
    running = systemd.release_of(pid, part.folder) if part.folder else None
    if running == part.release:
        return True
    server = releases.record(part.path).get("server")
    return bool(
        part.folder
        and running
        and server
        and releases.record(part.folder / "releases" / running).get("server") == server
    )


def check(part: Part) -> None:
    """Refuses a release that is not whole.

    Raises:
        GateError: it is not.
    """
    if part.path and (damage := releases.damage(part.path)):
        raise GateError(part.name, f"release {part.release} of {part.name} is not whole: {damage}.")


def carry_out(part: Part, wanted: Need) -> None:
    """Does what is needed.

    Raises:
        GateError: the part does not work afterwards.
    """
    if part.link and part.release:
        files.point(part.link, part.release)
    if part.unit is None:
        return
    if wanted >= Need.RELOAD:
        _refresh(part, part.unit, wanted)
    gates.prove(part)


def _refresh(part: Part, unit: str, wanted: Need) -> None:
    service = systemd.show(unit)
    if not service.loaded or service.needs_reload:
        systemd.systemctl("daemon-reload")
    if part.socket:
        _listen(part, unit, part.socket)
    if not service.enabled:
        systemd.systemctl("enable", "--quiet", unit)
    if wanted is Need.RESTART:
        systemd.systemctl("reset-failed", unit)
    done = systemd.systemctl("reload" if wanted is Need.RELOAD else "restart", unit, seconds=part.seconds + 60)
    if done.returncode != 0:
        told = (done.stderr.strip().splitlines() or ["no reason given"])[0]
        raise GateError(part.name, f"{unit} with release {part.release} does not start: {told}")


def _listen(part: Part, unit: str, socket: str) -> None:
    if not systemd.show(socket).enabled:
        systemd.systemctl("enable", "--quiet", socket)
    if not _listens(part):
        # A service from before listens by itself, and one that runs has the old socket.
        systemd.systemctl("stop", socket, unit)
        systemd.systemctl("start", socket)


def user() -> str:
    """Who runs this."""
    return os.environ.get("SUDO_USER") or os.environ.get("USER") or "root"
