"""A service has stopped, or starts again and again."""

import time
from collections.abc import Callable
from functools import partial

from cell_monitor_release import drift, health, rollback, systemd
from cell_monitor_release.model import Generation, Part
from cell_monitor_release.state import State

from cell_monitor_incident import host
from cell_monitor_incident.incident import Incident, Json

# Restarts of a service that has run for less than this many seconds are a loop.
_RESTARTS, _YOUNG = 3, 300
# For how long it has to run as one process, in seconds.
_SETTLED = 4
_RELEASE = "/usr/local/sbin/cell-monitor-release"


def begin(incident: Incident, options: Json) -> None:
    """Starts what has stopped; where that does not help, files and then releases become what they were."""
    state = State()
    current = state.generation(state.number)
    parts = {part.unit: part for part in current.parts if part.unit} if current else {}
    troubles = {unit: told for unit in parts if (told := trouble(unit))}
    for told in troubles.values():
        incident.see(told, wrong=True)
    broken = list(troubles)
    others = [unit for unit in failed() if unit not in parts]
    for unit in others:
        incident.see(f"{unit} has failed: {systemd.show(unit).result}.", wrong=True)
    if not broken and not others:
        incident.see(f"every service runs: {', '.join(parts) or 'nothing was deployed here'}.")
        return
    _collect(incident, state, [*broken, *others])
    for unit in others:
        incident.do(f"started {unit} once more.", partial(_start, unit, wait=False))
    if current and broken:
        _heal(incident, state, current, [parts[unit] for unit in broken], options)
    if not incident.check and others:
        time.sleep(_SETTLED)
        for unit in others:
            if systemd.show(unit).failed:
                incident.left.append(f"mend {unit}: see journalctl -u {unit}, and what is in {incident.evidence}.")


def trouble(unit: str) -> str | None:
    """Returns what is wrong with a service that has to run, None if nothing is."""
    service = systemd.show(unit)
    if service.failed:
        return f"{unit} was given up after {service.restarts} restarts: {service.result}."
    if not service.active:
        return f"{unit} does not run ({service.state}; it was restarted {service.restarts} times)."
    if service.restarts >= _RESTARTS and time.time() - service.started < _YOUNG:
        return (
            f"{unit} was restarted {service.restarts} times, the last time {time.time() - service.started:.0f} s ago."
        )
    return None


def failed() -> list[str]:
    """Returns the units that have failed, without what a student has run."""
    told = systemd.systemctl("list-units", "--failed", "--plain", "--no-legend").stdout
    names = [line.split()[0] for line in told.splitlines() if line.split()]
    return [name for name in names if name.endswith(".service") and not name.startswith(host.KERNELS)]


def _collect(incident: Incident, state: State, units: list[str]) -> None:
    for unit in units:
        incident.keep(f"{unit}-journal.txt", systemd.journal([unit], time.time() - 1800))
    incident.keep("services.txt", systemd.systemctl("status", "--no-pager", "--full", "--lines=0", *units).stdout)
    for line in state.history()[-1:]:
        incident.see(f"the last change was a {line['verb']} at {line['when']} by {line['who']} ({line['result']}).")


def _heal(incident: Incident, state: State, current: Generation, parts: list[Part], options: Json) -> None:
    changed = drift.differences(current)
    changed = [told for told in changed if told.startswith("/")]
    for told in changed:
        incident.see(told)
    steps: list[tuple[str, Callable[[], object]]] = []
    if changed:
        label = f"generation {state.number}"
        steps.append((f"put the files of {label} back", partial(_return, incident, str(state.number))))
    else:
        steps.append(("started it anew", partial(_start_all, parts)))
    good = _last_good(state)
    if good and options.get("rollback", True):
        steps.append((f"returned to {good.label}", partial(_return, incident, str(good.number))))
    if incident.check:
        # The others only where the first does not help.
        incident.do(f"{steps[0][0]}{'; if that does not help, ' + steps[1][0] if steps[1:] else ''}.")
        return
    for sentence, action in steps:
        before = state.number
        incident.do(f"{sentence}.", action)
        if state.number != before:
            incident.undo["generation"] = before
        faults = [fault for part in parts if (fault := fault_of(part))]
        if not faults:
            incident.see(f"{', '.join(part.unit or '' for part in parts)} runs and is healthy.")
            return
        for fault in faults:
            incident.see(f"{fault}.")
    incident.left.append(f"see {incident.evidence} for the journal; then repeat the deploy with site.yml.")


def fault_of(part: Part) -> str | None:
    """Returns what is wrong with a part after some seconds, None if it works."""
    end = time.monotonic() + part.seconds
    while True:
        unit = part.unit or ""
        told = f"{unit} does not stay up" if host.settle([unit], _SETTLED) else None
        if not told and part.health_url:
            told = health.fault(*health.ask(part.health_url), part.release if part.tells_release else None)
            told = f"{unit}: {told}" if told else None
        if not told or systemd.show(unit).failed or time.monotonic() > end:
            return told


def _start(unit: str, *, wait: bool = True) -> None:
    systemd.systemctl("reset-failed", unit)
    systemd.systemctl("restart", *([] if wait else ["--no-block"]), unit)


def _start_all(parts: list[Part]) -> None:
    for part in parts:
        _start(part.unit or "")


def _return(incident: Incident, generation: str) -> None:
    done = systemd.run([_RELEASE, "rollback", "--to", generation, "--why", f"incident {incident.record['id']}"], 600)
    if done.returncode:
        incident.see(f"that failed: {done.stderr.strip()}")


def _last_good(state: State) -> Generation | None:
    try:
        return rollback.choose(state, "")
    except Exception:
        return None


def end(incident: Incident, _: Json) -> None:
    """Returns to the release that ran before, where the incident was ended by an earlier one."""
    if generation := incident.undo.get("generation"):
        incident.do(f"returned to generation {generation}.", partial(_return, incident, str(generation)))
    else:
        incident.see("nothing has to be taken back.")
