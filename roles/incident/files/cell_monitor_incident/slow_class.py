"""The class is slow."""

import os
import time
from collections import defaultdict
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cell_monitor_release import health
from cell_monitor_release.state import State

from cell_monitor_incident import host
from cell_monitor_incident.host import readable
from cell_monitor_incident.incident import Incident, Json

# The processors are the reason where they are busy for so much of the time; one kernel is where it has so much of that.
_BUSY, _HOG = 0.8, 0.4
# Share of all processors that such a kernel keeps.
_KEEPS = 0.25
_WAITING = 0.3
_LITTLE_MEMORY = 0.05


@dataclass(frozen=True)
class Moment:
    """Counters of the host at a moment.

    Attributes:
        busy: seconds of all processors, together, in which they worked.
        waiting: in which they waited for a disk.
        idle: in which they had nothing to do.
        cpu: seconds that each unit has used.
        written: bytes that each unit has written.
        dropped: packets that were dropped or damaged.
    """

    busy: float
    waiting: float
    idle: float
    cpu: dict[str, float]
    written: dict[str, int]
    dropped: int

    @classmethod
    def now(cls) -> "Moment":
        """Looks."""
        user, nice, system, idle, waiting, *rest = map(
            float, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
        )
        cpu: dict[str, float] = defaultdict(float)
        written: dict[str, int] = defaultdict(int)
        for process in host.processes():
            cpu[process.unit] += process.cpu
            written[process.unit] += process.written
        dropped = 0
        for line in Path("/proc/net/dev").read_text().splitlines()[2:]:
            values = line.partition(":")[2].split()
            dropped += sum(int(values[at]) for at in (2, 3, 10, 11))
        return cls(user + nice + system + sum(rest[:2]), waiting, idle, dict(cpu), dict(written), dropped)


def begin(incident: Incident, options: Json) -> None:
    """Says what is at its limit, and bounds a kernel that has the processors for itself."""
    seconds = min(5.0, float(options["watch_seconds"]))
    before = Moment.now()
    time.sleep(seconds)
    now = Moment.now()
    answers = _answers()
    for name, took in answers.items():
        incident.see(f"{name} answers in {took * 1000:.0f} ms." if took >= 0 else f"{name} does not answer.")
    share, waiting = _shares(before, now)
    top = sorted(_difference(now.cpu, before.cpu).items(), key=lambda one: -one[1])[:3]
    used = ", ".join(f"{unit or 'the rest'} {value / seconds:.1f}" for unit, value in top)
    incident.keep("load.txt", _table(before, now, seconds))
    if share > _BUSY:
        incident.see(f"the processors are what is slow: {share:.0%} busy; of them use {used}.", wrong=True)
        _bound(
            incident, [(unit, value) for unit, value in top if unit.startswith(host.KERNELS)], sum(v for _, v in top)
        )
    elif waiting > _WAITING:
        writing = max(_difference(now.written, before.written).items(), key=lambda one: one[1], default=("", 0))
        incident.see(
            f"the disk is what is slow: the processors wait for it {waiting:.0%} of the time;"
            f" {writing[0] or 'the rest'} writes {readable(writing[1] / seconds)} a second.",
            wrong=True,
        )
    elif (left := _available()) < _LITTLE_MEMORY:
        incident.see(f"memory is what is slow: {left:.0%} are left.", wrong=True)
        incident.left.append("run playbooks/incidents/memory_leak.yml.")
    elif now.dropped - before.dropped > 0:
        incident.see(f"the network is what is slow: it lost {now.dropped - before.dropped} packets.", wrong=True)
    else:
        incident.see(f"nothing here is at its limit: processors {share:.0%}, of them in use by {used}.")
        if any(took > 2 or took < 0 for took in answers.values()):
            incident.wrong = True
            incident.left.append("run playbooks/incidents/service_crash_loop.yml, or server_connectivity.yml.")


def _shares(before: Moment, now: Moment) -> tuple[float, float]:
    busy, waiting, idle = now.busy - before.busy, now.waiting - before.waiting, now.idle - before.idle
    total = busy + waiting + idle or 1.0
    return busy / total, waiting / total


def _difference(now: dict[str, float] | dict[str, int], before: dict[str, float] | dict[str, int]) -> dict[str, float]:
    return {unit: value - before.get(unit, 0) for unit, value in now.items()}


def _table(before: Moment, now: Moment, seconds: float) -> str:
    cpu, written = _difference(now.cpu, before.cpu), _difference(now.written, before.written)
    rows = sorted(cpu, key=lambda unit: -cpu[unit])
    return "".join(
        f"{cpu[unit] / seconds:6.2f} processors {readable(written.get(unit, 0) / seconds):>9}/s  {unit or 'the rest'}\n"
        for unit in rows
    )


def _available() -> float:
    told = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    return int(told["MemAvailable"].split()[0]) / int(told["MemTotal"].split()[0])


def _answers() -> dict[str, float]:
    """How long each service takes to answer, in seconds; -1 if it does not."""
    state = State()
    current = state.generation(state.number)
    took = {}
    for part in current.parts if current else ():
        if part.health_url:
            began = time.monotonic()
            code, _ = health.ask(part.health_url)
            took[part.name] = time.monotonic() - began if code == 200 else -1
    return took


def _bound(incident: Incident, kernels: list[tuple[str, float]], used: float) -> None:
    for unit, value in kernels:
        if value > _HOG * used and unit not in incident.undo.get("bounded", []):
            quota = f"{_KEEPS * 100 * (os.cpu_count() or 1):.0f}%"
            incident.do(
                f"bounded {unit} to {quota} of a processor until the next start of the host; it goes on, slower.",
                partial(host.limit, unit, CPUQuota=quota),
            )
            incident.undo.setdefault("bounded", []).append(unit)
    if not incident.undo.get("bounded"):
        incident.left.append("it is not one student: fewer of them on this host, or a larger one.")


def end(incident: Incident, _: Json) -> None:
    """Lets the kernels have the processors again."""
    for unit in incident.undo.get("bounded", []):
        incident.do(f"took the bound of {unit} back.", partial(host.unlimit, unit, ["CPUQuota"]))
