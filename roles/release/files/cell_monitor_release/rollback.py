"""The way back: to a release that ran here, or after a power cut to one that is whole."""

import dataclasses
import time

from cell_monitor_release import database, deploy, evidence, files, releases, systemd
from cell_monitor_release.errors import GateError, ReleaseError
from cell_monitor_release.model import Generation, Json
from cell_monitor_release.state import Progress, State


def obstacle(state: State, generation: Generation) -> str | None:
    """Returns why a host cannot return to a generation, None if it can."""
    for part in generation.parts:
        if part.path is None:
            continue
        if damage := releases.damage(part.path):
            return f"release {part.release} of {part.name} is not whole any more: {damage}"
        if told := state.bad.get(part.release or ""):
            return f"release {part.release} of {part.name} failed here at {told['when']}: {told['why'].rstrip('.')}"
        if reason := database.obstacle(part):
            return f"release {part.release} of {part.name} cannot be run: {reason}{_restorable(state)}"
    return None


def _restorable(state: State) -> str:
    copies = sorted((state.folder / "databases").glob("*.sqlite3"), key=lambda path: path.stat().st_mtime)
    if not copies:
        return "; restore a backup of the database from before, then try again"
    return (
        f"; the database as it was before is {copies[-1]}: with event-server.service stopped, put it in the database's"
        " place (what came since is lost), then try again"
    )


def possible(state: State) -> list[Json]:
    """Returns what there is to return to, the newest first, with reasons for what cannot be."""
    return [
        {
            "generation": generation.number,
            "bundle": generation.bundle,
            "releases": generation.releases,
            "when": generation.when,
            "current": generation.number == state.number,
            "obstacle": None if generation.number == state.number else obstacle(state, generation),
        }
        for generation in reversed(state.generations())
    ]


def choose(state: State, wanted: str) -> Generation:
    """Returns the generation that is meant: by its number, its bundle, or a release of it; the last good one for "".

    Raises:
        ReleaseError: there is none, or it cannot be run.
    """
    progress = state.progress
    if not wanted and progress and progress.verb == "rollback":
        return progress.target
    if not wanted:
        return _last_good(state)
    for generation in reversed(state.generations()):
        if wanted in (str(generation.number), generation.bundle, *generation.releases.values()):
            if reason := obstacle(state, generation):
                raise ReleaseError(f"{generation.label} cannot be returned to: {reason}.")
            return generation
    raise ReleaseError(f"release is {wanted}; allowed are the generations that -e list=true names.")


def _last_good(state: State) -> Generation:
    current = state.generation(state.number)
    reasons = []
    parent = state.generation(current.parent) if current else None
    while parent:
        if not (reason := obstacle(state, parent)):
            return parent
        reasons.append(f"{parent.label}: {reason}")
        parent = state.generation(parent.parent)
    raise ReleaseError(
        "there is no earlier release to return to" + (f" ({'; '.join(reasons)})." if reasons else " on this host.")
    )


def roll_back(state: State, wanted: str, who: str, why: str) -> Json:
    """Makes the host run an earlier generation; returns what was before, what is now, and how long each part took.

    Raises:
        ReleaseError: it cannot be run; nothing was changed.
        GateError: it does not work; the host runs what it ran before.
    """
    deploy.settle(state)
    progress = state.progress
    if progress and progress.verb == "deploy" and not wanted:
        return _break_off(state, progress, why)
    base = progress.base if progress else state.generation(state.number)
    target = _whole(state, choose(state, wanted))
    progress = Progress("rollback", base, state.number, dataclasses.replace(target, why=why), time.time(), who)
    state.progress = progress
    try:
        deploy.put_back(state, progress, target, beside=_works(base))
    except GateError as error:
        _stay(state, base, str(error))
        raise
    return _ended(state, base, target)


def _break_off(state: State, progress: Progress, why: str) -> Json:
    """Ends a deploy that was cut off: the host returns to what it ran before."""
    base = progress.base
    if base is None:
        raise ReleaseError("there is no earlier release to return to on this host.")
    progress = dataclasses.replace(progress, verb="rollback", target=base)
    state.progress = progress
    deploy.put_back(state, progress, base)
    return _ended(state, base, base, why or "a deploy that was cut off")


def _whole(state: State, generation: Generation) -> Generation:
    """Adds what later generations know of files that it did not consist of: mostly that they were not there."""
    known = {}
    for later in reversed(state.generations()):
        if later.number >= generation.number:
            known.update(later.files)
    return dataclasses.replace(generation, files=known | generation.files)


def _works(generation: Generation | None) -> bool:
    """Whether something runs that a failure would take away."""
    units = [part.unit for part in generation.parts if part.unit] if generation else []
    return all(systemd.show(unit).active for unit in units)


def _stay(state: State, base: Generation | None, reason: str) -> None:
    progress = state.going_on
    evidence.collect(state, progress, reason, [])
    if base:
        deploy.put_back(state, progress, base)
    deploy.conclude(state, progress, "failed", why=reason, to=progress.target)


def _ended(state: State, before: Generation | None, after: Generation, why: str = "") -> Json:
    progress = state.going_on
    if after.number != state.number:
        state.make_current(after)
    deploy.announce(after)
    deploy.conclude(state, progress, "done", why=why, to=after)
    return {
        "before": before.label if before else "",
        "after": after.label,
        "releases": {"before": before.releases if before else {}, "after": after.releases},
        "seconds": progress.seconds,
        "changed": True,
    }


def recover(state: State) -> Generation | None:
    """Before the services start: makes them start as one complete release, if something was cut off.

    A deploy is undone, a rollback done. Nothing is started here.
    """
    deploy.settle(state)
    progress = state.progress
    if progress is None:
        return None
    wanted = progress.target if progress.verb == "rollback" else progress.base
    if wanted is None:
        state.progress = None
        return None
    deploy.restore_files(state, wanted, set())
    for part in wanted.parts:
        if part.link:
            files.point(part.link, part.release)
    deploy.announce(wanted)
    systemd.systemctl("daemon-reload")
    if progress.verb == "rollback" and wanted.number != state.number:
        state.make_current(wanted)
    deploy.conclude(state, progress, "recovered", why="the host was restarted in between", to=wanted)
    return wanted
