"""A disk is nearly full."""

import os
from collections.abc import Sequence
from pathlib import Path

from cell_monitor_release import systemd

from cell_monitor_incident import host
from cell_monitor_incident.host import Disk, readable
from cell_monitor_incident.incident import Incident, Json

# What comes back by itself, or is there twice; the least missed first. Nothing of the students'.
_STEPS: Sequence[tuple[str, Sequence[str]]] = (
    ("removed the packages that apt had downloaded", ("apt-get", "clean")),
    ("rotated the logs", ("systemctl", "start", "cell-monitor-rotation.service")),
    ("shortened the journal to 200 MB", ("journalctl", "--quiet", "--rotate", "--vacuum-size=200M")),
    (
        "removed the releases but the current one and the one before",
        ("/usr/local/sbin/cell-monitor-release", "prune", "--keep", "2"),
    ),
)
_LARGE = 100_000_000
_SHOWN = 5
_PLACES = ("/var", "/opt", "/home", "/root", "/srv", "/tmp")  # noqa: S108


def begin(incident: Incident, options: Json) -> None:
    """Makes room where it costs nothing, and names what takes the rest."""
    ratio = float(options["disk_ratio"])
    full = [disk for disk in host.disks() if max(disk.used, disk.inodes) > ratio]
    if not full:
        told = ", ".join(f"{disk.path} {disk.used:.0%}" for disk in host.disks())
        incident.see(f"no disk is more than {ratio:.0%} full: {told}.")
        return
    for disk in full:
        incident.see(_sentence(disk), wrong=True)
    for name, command in _STEPS:
        if incident.check:
            incident.do(f"{name}.")
            continue
        _make_room(incident, full, name, command)
        if all(_now(disk).used <= ratio for disk in full):
            break
    large = largest([Path(place) for place in _PLACES], [Path(disk.path).stat().st_dev for disk in full])
    incident.keep("largest.txt", "".join(f"{size:>14} {path}\n" for size, path in large))
    if incident.check:
        return
    for disk in full:
        incident.see(_sentence(_now(disk)))
        if _now(disk).used > ratio:
            names = ", ".join(f"{path} ({readable(size)})" for size, path in large[:_SHOWN])
            incident.left.append(
                f"make room on {disk.path}, or enlarge it; the largest files are {names or 'smaller than 100 MB'}."
            )


def _make_room(incident: Incident, full: list[Disk], name: str, command: Sequence[str]) -> None:
    before = sum(_now(disk).free for disk in full)
    done = systemd.run(command)
    freed = sum(_now(disk).free for disk in full) - before
    if done.returncode:
        told = done.stderr.strip().splitlines() or [f"code {done.returncode}"]
        incident.see(f"{' '.join(command)} failed: {told[-1].rstrip('.')}.")
    elif freed > 0:
        incident.do(f"{name}: {readable(freed)}.")


def _now(disk: Disk) -> Disk:
    return next((one for one in host.disks() if one.path == disk.path), disk)


def _sentence(disk: Disk) -> str:
    nodes = f", of its inodes {disk.inodes:.0%}" if disk.inodes > disk.used else ""
    return f"{disk.path} is {disk.used:.0%} full{nodes}; {readable(disk.free)} are free."


def largest(places: Sequence[Path], devices: Sequence[int]) -> list[tuple[int, Path]]:
    """Returns the large files on some disks, by the bytes that they take, the largest first."""
    found: dict[Path, int] = {}
    for place in places:
        for folder, below, names in os.walk(place):
            here = Path(folder)
            try:
                if here.stat().st_dev not in devices:
                    below.clear()
                    continue
                for name in names:
                    told = (here / name).lstat()
                    if told.st_blocks * 512 >= _LARGE:
                        found[here / name] = told.st_blocks * 512
            except OSError:
                continue
    return sorted(((size, path) for path, size in found.items()), reverse=True)


def end(incident: Incident, _: Json) -> None:
    """Nothing can be taken back: what was removed comes with the next deploy, or was there twice."""
    incident.see("what was removed is not needed; the next deploy brings releases that are wanted.")
