"""Something takes more and more memory."""

import time
from functools import partial
from pathlib import Path

from cell_monitor_release import systemd

from cell_monitor_incident import host
from cell_monitor_incident.host import readable
from cell_monitor_incident.incident import Incident, Json

_SERVICES = ("jupyterlab.service", "event-server.service")
_KERNEL_UNIT = Path("/etc/systemd/system/jupyter-kernel@.service")
_LIMITS = ("MemoryHigh", "MemoryMax")
# A kernel that holds much data is no leak; one that grows by so much while it is watched is.
_GROWTH = 1.01
# How much more it may take before its limit ends it, and it alone.
_ROOM = 1.25


def begin(incident: Incident, options: Json) -> None:
    """Collects evidence of what leaks, limits it, and restarts it where that takes nothing from students."""
    limit = int(options["memory_bytes"])
    before = host.memory(host.processes())
    time.sleep(options["watch_seconds"])
    found = host.processes()
    now = host.memory(found)
    for unit, size in sorted(now.items(), key=lambda one: -one[1]):
        if size <= limit:
            continue
        if unit in incident.undo.get("limited", []):
            incident.see(f"{unit} takes {readable(size)}; it is limited already.")
        elif unit in _SERVICES:
            incident.see(f"{unit} takes {readable(size)}, more than {readable(limit)}.", wrong=True)
            _collect(incident, unit, found)
            _restart(incident, unit, limit)
        elif unit.startswith(host.KERNELS) and size > _GROWTH * before.get(unit, size):
            grown = readable(size - before[unit])
            incident.see(f"{unit} takes {readable(size)}, {grown} more than {options['watch_seconds']:g} s before.")
            incident.wrong = True
            _collect(incident, unit, found)
            _limit(incident, unit, {"MemoryMax": str(int(size * _ROOM))})
    if not incident.seen:
        incident.see(f"no service takes more than {readable(limit)}, and no kernel that does is growing.")
    elif incident.wrong and not incident.check:
        _watch(incident, options["watch_seconds"])


def _collect(incident: Incident, unit: str, found: list[host.Process]) -> None:
    lines = [f"{'pid':>8} {'memory':>9}  unit and name"]
    lines += [f"{p.pid:>8} {readable(p.memory):>9}  {p.unit} {p.name}" for p in sorted(found, key=lambda p: -p.memory)]
    incident.keep("processes.txt", "\n".join(lines) + "\n")
    incident.keep(f"{unit}-journal.txt", systemd.journal([unit], time.time() - 900))
    if culprit := host.largest(found, unit):
        try:
            incident.keep(f"{unit}-smaps.txt", Path(f"/proc/{culprit.pid}/smaps").read_text(errors="replace"))
        except OSError as error:
            incident.see(f"the memory map of {unit} could not be read: {error.strerror}.")
        incident.keep(f"{unit}-stacks.txt", stacks(culprit.pid))
        if not incident.check:
            incident.see(f"processes, memory map, stacks and journal of {unit} are in {incident.evidence}.")


def stacks(pid: int) -> str:
    """What each thread of a Python process does at this moment, by py-spy of a release; the process is not stopped."""
    for folder in ("/opt/jupyterlab", "/opt/event-server"):
        spy = Path(folder) / "current/bin/py-spy"
        if spy.exists():
            told = systemd.run([str(spy), "dump", "--nonblocking", "--pid", str(pid)], seconds=20)
            return told.stdout or told.stderr
    return ""


def _restart(incident: Incident, unit: str, limit: int) -> None:
    # Only afterwards the limit: below what the service takes, it would end it at once.
    if unit == "jupyterlab.service" and not _KERNEL_UNIT.exists():
        incident.left.append(f"restart {unit} after the class: here that ends every kernel.")
        _limit(incident, unit, {"MemoryHigh": str(limit)})
        return
    incident.do(f"restarted {unit}.", lambda: systemd.systemctl("restart", unit))
    _limit(incident, unit, {"MemoryHigh": str(limit), "MemoryMax": str(2 * limit)})


def _limit(incident: Incident, unit: str, limits: dict[str, str]) -> None:
    told = ", ".join(f"{name} {readable(int(value))}" for name, value in limits.items())
    incident.do(f"limited {unit} until the next start of the host: {told}.", lambda: host.limit(unit, **limits))
    incident.undo.setdefault("limited", []).append(unit)


def _watch(incident: Incident, seconds: float) -> None:
    """Looks again a few times, and says what became of what was limited."""
    most: dict[str, int] = {}
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(min(1.0, seconds / 5))
        now = host.memory(host.processes())
        for unit in incident.undo["limited"]:
            most[unit] = max(most.get(unit, 0), now.get(unit, 0))
    for unit in incident.undo["limited"]:
        if not systemd.show(unit).active:
            incident.see(f"{unit} has ended at its limit; its notebook says so and has a new kernel.")
        else:
            incident.see(f"{unit} has taken {readable(most.get(unit, 0))} at most in the {seconds:g} s since.")


def end(incident: Incident, _: Json) -> None:
    """Takes the limits back."""
    for unit in incident.undo.get("limited", []):
        incident.do(f"took the limits of {unit} back.", partial(host.unlimit, unit, _LIMITS))
