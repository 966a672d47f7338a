"""The host: processes and the units that they belong to, disks, limits of units."""

import os
import re
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cell_monitor_release import systemd

KERNELS = "jupyter-kernel@"
_CONTROL = Path("/run/systemd/system.control")
_UNIT = re.compile(r"/([^/\n]+\.(?:service|scope))(?=[/\n]|$)")
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Process:
    """A process.

    Attributes:
        unit: the innermost unit that it belongs to, "" if none.
        memory: bytes that it takes, its part of what it shares counted in proportion (PSS).
        cpu: seconds of a processor that it has used.
        written: bytes that it has caused to be written.
    """

    pid: int
    name: str
    unit: str
    memory: int
    cpu: float
    written: int


def processes(root: Path = Path("/proc")) -> list[Process]:
    """Returns all processes that have memory of their own. One that ends meanwhile is left out."""
    found = []
    for folder in root.glob("[0-9]*"):
        try:
            memory = _kilobytes((folder / "smaps_rollup").read_text(), "Pss")
            # After the name in parentheses, which may hold anything.
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            found.append(
                Process(
                    int(folder.name),
                    (folder / "comm").read_text().strip(),
                    _unit((folder / "cgroup").read_text()),
                    memory,
                    (int(fields[11]) + int(fields[12])) / _TICKS,
                    _number((folder / "io").read_text(), "write_bytes"),
                )
            )
        except (OSError, ValueError, IndexError):
            continue
    return found


def _unit(cgroup: str) -> str:
    """The unit, from the cgroup that systemd itself uses: its own hierarchy, or the only one there is."""
    lines = [line for line in cgroup.splitlines() if re.match(r"\d+:name=systemd:", line)]
    lines += [line for line in cgroup.splitlines() if line.startswith("0::")]
    for line in lines:
        if units := _UNIT.findall(line):
            return str(units[-1])
    return ""


def _kilobytes(text: str, name: str) -> int:
    return _number(text, name) * 1024


def _number(text: str, name: str) -> int:
    found = re.search(rf"(?m)^{name}:\s*(\d+)", text)
    return int(found[1]) if found else 0


def memory(found: Iterable[Process]) -> dict[str, int]:
    """Returns the bytes that each unit takes."""
    total: dict[str, int] = defaultdict(int)
    for process in found:
        total[process.unit] += process.memory
    return dict(total)


def largest(found: Iterable[Process], unit: str) -> Process | None:
    """Returns the process of a unit that takes most memory."""
    return max((process for process in found if process.unit == unit), key=lambda one: one.memory, default=None)


@dataclass(frozen=True)
class Disk:
    """A file system.

    Attributes:
        used: share of it that is in use, of what is not reserved for root, 0 to 1.
        inodes: share of its inodes that are in use.
        free: bytes for everybody.
    """

    path: str
    used: float
    inodes: float
    free: int


def disks(mounts: Path = Path("/proc/mounts")) -> list[Disk]:
    """Returns the file systems on disks, each once."""
    found: dict[int, Disk] = {}
    for line in mounts.read_text().splitlines():
        source, path, kind = line.split()[:3]
        if not (source.startswith("/dev/") or kind in ("overlay", "btrfs", "zfs")) or kind in ("squashfs", "devtmpfs"):
            continue
        try:
            device = Path(path).stat().st_dev
            told = os.statvfs(path)
        except OSError:
            continue
        if device in found or not told.f_blocks or not Path(path).is_dir():
            continue
        taken = told.f_blocks - told.f_bfree
        inodes = (told.f_files - told.f_ffree) / told.f_files if told.f_files else 0.0
        found[device] = Disk(path, taken / (taken + told.f_bavail), inodes, told.f_bavail * told.f_frsize)
    return list(found.values())


def limit(unit: str, **properties: str) -> None:
    """Sets limits of a unit until the host is restarted, or `unlimit`."""
    systemd.systemctl("set-property", "--runtime", unit, *(f"{name}={value}" for name, value in properties.items()))


def unlimit(unit: str, names: Iterable[str]) -> None:
    """Takes limits back: those of the unit's own files count again."""
    for name in names:
        (_CONTROL / f"{unit}.d" / f"50-{name}.conf").unlink(missing_ok=True)
    systemd.systemctl("daemon-reload")


def settle(units: Iterable[str], seconds: float) -> list[str]:
    """Waits until units have run for some seconds as one process; returns those that have not."""
    wanted = list(units)
    pids = {unit: systemd.show(unit).pid for unit in wanted}
    time.sleep(seconds)
    shown = {unit: systemd.show(unit) for unit in wanted}
    return [unit for unit in wanted if not shown[unit].active or not pids[unit] or shown[unit].pid != pids[unit]]


def readable(size: float) -> str:
    """A number of bytes, for people."""
    for name in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {name}"
        size /= 1000
    return f"{size:.1f} GB"
