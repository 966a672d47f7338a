"""A deploy, from its beginning to its end, whichever that is."""

import dataclasses
import time
from collections.abc import Iterable
from pathlib import Path

from cell_monitor_release import database, evidence, files, gates, releases, switch, systemd
from cell_monitor_release.errors import GateError, ReleaseError
from cell_monitor_release.model import Generation, Json, Part
from cell_monitor_release.state import Progress, State, found, now

_UNITS = Path("/etc/systemd/system")
# Most changes of the configuration alone that are kept of each release.
_GENERATIONS = 5


def begin(
    state: State, target: Generation, who: str, *, is_forced: bool = False, backup: Iterable[str] = ()
) -> Progress:
    """Saves the way back, before anything changes.

    Args:
        state: where to.
        target: what the host is to run; its files do not count yet.
        who: who wants it.
        is_forced: whether a release that failed may be tried again.
        backup: the command that makes a backup before the first switch.

    Raises:
        ReleaseError: a release failed here before.
    """
    settle(state)
    refuse(state, target.parts, is_forced=is_forced)
    going_on = state.progress
    base = going_on.base if going_on else state.generation(state.number) or _found(state, target.parts)
    if base:
        base = _complete(state, base, target.parts)
    progress = Progress(
        "deploy",
        base,
        state.number,
        target,
        going_on.since if going_on else time.time(),
        who,
        # There is nothing to lose where nothing runs.
        backup=tuple(backup) if base else (),
    )
    state.progress = progress
    announce(target)
    return progress


def settle(state: State) -> None:
    """Clears away what a run that was cut off has left after its end."""
    if state.progress is None:
        state.progress = None


def refuse(state: State, parts: Iterable[Part], *, is_forced: bool) -> None:
    """Refuses releases that failed here before.

    Raises:
        ReleaseError: one of them did.
    """
    bad = state.bad
    for part in parts:
        if part.release in bad and not is_forced:
            told = bad[part.release]
            raise ReleaseError(
                f"release {part.release} of {part.name} failed here at {told['when']}: {told['why'].rstrip('.')};"
                " build another one, or try it again with -e release_force=true."
            )


def _found(state: State, parts: tuple[Part, ...]) -> Generation | None:
    """Saves what runs on a host that has no history; None where nothing does."""
    there = found(state, parts)
    if not there.releases or not all(systemd.show(part.unit).active for part in there.parts if part.unit):
        return None
    there = state.add(there)
    state.make_current(there)
    return there


def _complete(state: State, base: Generation, parts: Iterable[Part]) -> Generation:
    """Adds to what the host returns to the files that it did not consist of, but that may be changed now."""
    added = [path for part in parts for path in part.kept if path not in base.files]
    if not added:
        return base
    base = dataclasses.replace(base, files=base.files | state.keep(added))
    if base.number:
        state.amend(base)
    return base


def announce(generation: Generation) -> None:
    """Makes the links ``next``, by which roles check their files with the release that is to read them."""
    for part in generation.parts:
        if part.folder:
            part.folder.mkdir(parents=True, exist_ok=True)
            files.point(part.folder / "next", part.release)


def wanted_part(state: State, name: str) -> Part:
    """Returns a part as the deploy that goes on wants it; without one, as it is to be here anyway.

    Raises:
        ReleaseError: there is no such part.
    """
    progress = state.progress
    generation = progress.target if progress else state.generation(state.number)
    if part := generation.part(name) if generation else None:
        return part
    raise ReleaseError(f"{name} is not deployed here: run site.yml.")


def turn(state: State, name: str) -> switch.Need:
    """Makes a part run as it is to; returns what that needed.

    Raises:
        GateError: it does not work; the host has returned to what it ran before the deploy.
    """
    part = wanted_part(state, name)
    wanted = switch.need(part)
    try:
        if wanted is switch.Need.NOTHING:
            gates.prove(part)
        else:
            _turn_part(state, part, wanted)
    except GateError as error:
        try:
            give_up(state, str(error), error.part)
        except GateError as again:
            raise GateError(error.part, f"{str(error).rstrip('.')}; the way back failed, too: {again}") from error
        raise
    return wanted


def _turn_part(state: State, part: Part, wanted: switch.Need) -> None:
    _back_up(state)
    started = time.monotonic()
    _prepare(state, part, wanted, beside=True)
    switch.carry_out(part, wanted)
    _note(state, {part.name: time.monotonic() - started})


def _back_up(state: State) -> None:
    """Makes a backup, once in a deploy.

    Raises:
        ReleaseError: it was not made.
    """
    progress = state.progress
    if progress is None or not progress.backup:
        return
    started = time.monotonic()
    done = systemd.run(progress.backup, seconds=3600)
    if done.returncode != 0:
        told = (done.stderr.strip().splitlines() or [f"code {done.returncode}"])[-1]
        raise ReleaseError(
            f"there is no backup of what a switch may harm: {told.rstrip('.')}; nothing was switched."
            " Repair that, or go without a backup by -e release_backup=false."
        )
    state.progress = dataclasses.replace(progress, backup=())
    _note(state, {"backup": time.monotonic() - started})


def _prepare(state: State, part: Part, wanted: switch.Need, *, beside: bool) -> None:
    """Makes sure that a release can be run, if possible by running it beside the present one.

    Raises:
        GateError: it cannot.
    """
    switch.check(part)
    if reason := database.obstacle(part):
        raise GateError(part.name, f"release {part.release} of {part.name} cannot be run: {reason}.")
    if beside and wanted is switch.Need.RESTART:
        database.copy_before(part, state.folder / "databases")
        gates.prove_beside(part)


def _note(state: State, seconds: dict[str, float]) -> None:
    """Notes how long parts took, in seconds."""
    if progress := state.progress:
        added = {name: round(progress.seconds.get(name, 0) + value, 2) for name, value in seconds.items()}
        state.progress = dataclasses.replace(progress, seconds=progress.seconds | added)


def commit(state: State, keep: int) -> Generation | None:
    """Makes what runs now what the host comes back with; returns it if it is something new.

    Raises:
        ReleaseError: nothing was begun, or something is not as it was to be.
    """
    progress = state.going_on
    for part in progress.target.parts:
        if part.folder and files.pointed(part.link) != part.release:
            raise ReleaseError(f"{part.name} is not release {part.release}.")
    kept = state.keep(path for part in progress.target.parts for path in part.kept)
    done = dataclasses.replace(progress.target, files=kept, when=now(), who=progress.who, parent=state.number)
    before = state.generation(state.number)
    if before and before.runs_as(done):
        if (before.bundle, before.parts) != (done.bundle, done.parts):
            state.amend(dataclasses.replace(done, number=before.number, parent=before.parent, when=before.when))
        state.progress = None
        return None
    done = state.add(done)
    state.make_current(done)
    conclude(state, progress, "done", to=done)
    prune(state, keep)
    return done


def conclude(state: State, progress: Progress, result: str, *, why: str = "", to: Generation | None) -> None:
    """Writes down how something ended, and that nothing goes on any more."""
    state.write_down(
        {
            "who": progress.who,
            "verb": progress.verb,
            "from": _named(progress.base),
            "to": _named(to or progress.target),
            "result": result,
            "why": why or progress.target.why,
            "seconds": progress.seconds,
        }
    )
    state.progress = None


def _named(generation: Generation | None) -> Json | None:
    if generation is None:
        return None
    return {"generation": generation.number, "bundle": generation.bundle, "releases": generation.releases}


def give_up(state: State, reason: str, part: str | None = None) -> Generation | None:
    """Returns to what the host ran before; returns that, or None where there was nothing.

    Raises:
        GateError: what ran before does not work either.
    """
    progress = state.progress
    if progress is None:
        return None
    started = time.monotonic()
    culprits = _culprits(progress, part)
    kept = evidence.collect(state, progress, reason, culprits)
    if progress.base:
        # First: the way back may be cut off as well.
        state.bad = state.bad | {key: {"when": now(), "why": reason, "evidence": str(kept)} for key in culprits}
        put_back(state, progress, progress.base)
        announce(progress.base)
    _note(state, {"return": time.monotonic() - started})
    conclude(state, state.progress or progress, "failed", why=reason, to=None)
    return progress.base


def _culprits(progress: Progress, part: str | None) -> list[str]:
    """Returns the new releases that are to blame: the part's, or none where only its files are new."""
    before = progress.base.releases if progress.base else {}
    new = {name: release for name, release in progress.target.releases.items() if before.get(name) != release}
    return [new[part]] if part in new else []


def put_back(state: State, progress: Progress, generation: Generation, *, beside: bool = False) -> None:
    """Makes a host run a generation.

    Raises:
        GateError: it does not work.
    """
    for part in progress.target.parts:
        if part.link and not generation.part(part.name):
            files.remove(part.link)
    untouched = set() if progress.verb == "rollback" else _untouched(progress, generation)
    is_unit = restore_files(state, generation, {path for part in untouched for path in part.kept})
    if is_unit or any(systemd.show(part.unit).needs_reload for part in generation.parts if part.unit):
        systemd.systemctl("daemon-reload")
    due: dict[Part, switch.Need] = {}
    for part in generation.parts:
        if (wanted := switch.need(part)) is not switch.Need.NOTHING:
            due[part] = wanted
    # After a failure there is no choice.
    if progress.verb == "rollback":
        for part, wanted in due.items():
            _prepare(state, part, wanted, beside=beside)
    _carry_out_all(state, due)


def _carry_out_all(state: State, due: dict[Part, switch.Need]) -> None:
    """Does what parts need, one after another: side by side, JupyterLab would be away for as long as all take."""
    faults: list[GateError] = []
    for part, wanted in due.items():
        started = time.monotonic()
        try:
            switch.carry_out(part, wanted)
        except GateError as error:
            faults.append(error)
        _note(state, {part.name: time.monotonic() - started})
    if faults:
        raise faults[0]


def _untouched(progress: Progress, generation: Generation) -> set[Part]:
    """Returns the parts whose service has not been started since, so that it runs with its old files."""
    return {part for part in generation.parts if not part.unit or systemd.show(part.unit).started < progress.since}


def restore_files(state: State, generation: Generation, unread: set[Path]) -> bool:
    """Puts files back; returns whether a unit is among those that were changed.

    Args:
        state: where they are kept.
        generation: the one that they belong to.
        unread: those of them that no process has read since; they keep their time, so that nothing is restarted.
    """
    changed = []
    for path, kept in generation.files.items():
        there = files.look(path)
        if kept is None and there:
            changed.append(path)
            _dismiss(path)
            files.remove(path)
        elif kept and not (there and kept.same(there[0])):
            changed.append(path)
            path.parent.mkdir(parents=True, exist_ok=True)
            files.write(path, state.content(kept), kept.mode, (kept.uid, kept.gid))
        if kept and path in unread:
            files.set_time(path, kept.mtime_ns)
    return any(path.is_relative_to(_UNITS) for path in changed)


def _dismiss(path: Path) -> None:
    if path.parent == _UNITS and "@" not in path.name:
        systemd.systemctl("disable", "--now", "--quiet", path.name)


def _kept(generations: list[Generation], current: int, keep: int) -> list[Generation]:
    """Returns the current generation, its parent, and of the others those that are likely to be returned to."""
    by_number = {generation.number: generation for generation in generations}
    line = []
    while current in by_number:
        line.append(by_number.pop(current))
        current = line[-1].parent
    kept = line[:2]
    others = line[2:] + sorted(by_number.values(), key=lambda generation: -generation.number)
    for generation in others[: _GENERATIONS * keep]:
        if len({tuple(g.releases.items()) for g in [*kept, generation]}) <= keep:
            kept.append(generation)
    return kept


def prune(state: State, keep: int) -> list[str]:
    """Removes old generations, and the releases that none of the others has and nobody lives in."""
    generations = state.generations()
    kept = _kept(generations, state.number, max(keep, 2))
    needed = {path for g in kept for path in g.folders()}
    folders = {part.folder for g in generations for part in g.parts if part.folder}
    gone = [path for folder in folders for path in releases.installed(folder) if path not in needed]
    if gone:
        alive = releases.lived_in(folders)
        gone = [path for path in gone if path not in alive]
    state.forget(g for g in generations if g not in kept)
    for path in gone:
        releases.remove(path)
    database.forget_copies(state.folder / "databases", {path.name for f in folders for path in releases.installed(f)})
    evidence.forget(state)
    return sorted(path.name for path in gone)
