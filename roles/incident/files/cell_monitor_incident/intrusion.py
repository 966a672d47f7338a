"""Somebody may be on the host who must not be."""

import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path

from cell_monitor_release import drift, systemd
from cell_monitor_release.state import State

from cell_monitor_incident import host
from cell_monitor_incident.incident import Incident, Json

_DAY = 86400
_COMMANDS: tuple[tuple[str, list[str]], ...] = (
    ("processes.txt", ["ps", "-eo", "pid,ppid,user,lstart,cgroup,args", "--forest"]),
    ("sockets.txt", ["ss", "--numeric", "--all", "--processes", "--tcp", "--udp"]),
    ("logins.txt", ["last", "--fullnames", "--time-format", "iso"]),
    ("units.txt", ["systemctl", "list-units", "--all", "--no-pager"]),
    ("timers.txt", ["systemctl", "list-timers", "--all", "--no-pager"]),
    ("packages.txt", ["dpkg", "--verify"]),
    ("firewall.txt", ["nft", "list", "ruleset"]),
)
_LOGS = ("/var/log/nginx/access.log", "/var/log/nginx/error.log", "/var/log/jupyterlab/jupyterlab.log")
_KEYS = ("/root/.ssh/authorized_keys", "/etc/passwd", "/etc/crontab")
_CHANGED = ("/etc", "/usr/local", "/opt", "/root", "/var/spool/cron", "/var/lib/jupyterlab/notebooks")
_LOG_BYTES = 20_000_000


def begin(incident: Incident, _: Json) -> None:
    """Keeps what is there, and freezes the kernels. The playbook then changes every token and password."""
    if incident.was_open:
        incident.see(f"it is frozen already, since {incident.record['began']}.")
        return
    incident.see("an administrator suspects an intrusion.", wrong=True)
    for name, command in _COMMANDS:
        incident.keep(name, systemd.run(command, 60).stdout)
    incident.keep("journal.txt", systemd.run(["journalctl", "--no-pager", "--since=-24h", "-n", "200000"], 120).stdout)
    for path in _LOGS:
        incident.keep(path.strip("/").replace("/", "--"), _tail(Path(path)))
    for path in _KEYS:
        incident.keep(path.strip("/").replace("/", "--"), _tail(Path(path)))
    incident.keep("changed.txt", "".join(f"{line}\n" for line in changed(_CHANGED, time.time() - _DAY)))
    state = State()
    if current := state.generation(state.number):
        told = drift.differences(current, thorough=True)
        incident.keep("drift.txt", "".join(f"{line}\n" for line in told))
        incident.see(
            f"of the release {len(told)} things are not as they were deployed{': ' if told else '.'}{' '.join(told)}"
        )
    if not incident.check:
        incident.see(f"processes, connections, logins, logs and changed files are in {incident.evidence}.")
    pids = kernels()
    incident.do(f"froze {len(pids)} kernels; their variables stay.", lambda: _send(pids, signal.SIGSTOP))
    incident.undo["frozen"] = len(pids)
    incident.left.append(
        "look at the evidence; then run this playbook with -e incident_state=absent, or restore the host anew."
    )


def kernels() -> list[int]:
    """Returns the processes of students: of kernels, without those that pass on their messages."""
    found = [process for process in host.processes() if process.unit.startswith(host.KERNELS)]
    relays = {systemd.show(unit).pid for unit in {process.unit for process in found}}
    return [process.pid for process in found if process.pid not in relays]


def _send(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def _tail(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _LOG_BYTES))
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def changed(places: Iterable[str], since: float) -> list[str]:
    """Returns the files that were changed after a time, in seconds since 1970, with when that was."""
    found = []
    for place in places:
        for folder, _, names in os.walk(place):
            for name in names:
                path = Path(folder) / name
                try:
                    when = path.lstat().st_ctime
                except OSError:
                    continue
                if when > since:
                    found.append((when, str(path)))
    return [f"{time.strftime('%FT%T', time.localtime(when))} {path}" for when, path in sorted(found)]


def end(incident: Incident, _: Json) -> None:
    """Lets the kernels go on. What was rotated stays so."""
    pids = kernels()
    incident.do(f"let {len(pids)} kernels go on.", lambda: _send(pids, signal.SIGCONT))
    incident.see("the tokens and passwords from before are not brought back.")
