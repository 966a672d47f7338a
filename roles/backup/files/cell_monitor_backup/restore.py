"""The way back: what a snapshot holds, in the place of what is there now."""

import contextlib
import dataclasses
import grp
import os
import pwd
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any

from cell_monitor_host.files import read_json, write

from cell_monitor_backup import files, manifest, owner, run, services, verify
from cell_monitor_backup.config import Config
from cell_monitor_backup.errors import BackupError, DamageError
from cell_monitor_backup.manifest import Manifest
from cell_monitor_backup.place import place
from cell_monitor_backup.restic import Repository, Snapshot
from cell_monitor_backup.stores import Store, open_store

Json = dict[str, Any]

SAFETY = "before-restore"


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What is to be restored.

    Attributes:
        parts: which of config.PARTS.
        snapshot: beginning of its id; None for the newest.
        at: the newest one that was begun by then.
        path: of the notebooks, one folder or file, relative to theirs; "" for all.
        host: whose snapshot.
    """

    parts: tuple[str, ...]
    snapshot: str | None = None
    at: datetime | None = None
    path: str = ""
    host: str = ""


def restore(config: Config, wanted: Wanted) -> Json:
    """Restores, after a proof that the snapshot is whole, and a safety snapshot of what is replaced.

    Returns:
        what was done: ``snapshot``, ``safety`` (the snapshot of what was there), ``age`` of the data in seconds,
        ``parts`` with the number of events or files, ``seconds`` of each step, and ``sentence``.

    Raises:
        BackupError: it cannot be done, or failed; what was there is there.
    """
    clock = _Clock()
    repository, snapshot = choose(config, wanted)
    written = manifest.read(config, repository, snapshot)
    parts = _available(config, wanted, written, snapshot)
    store = open_store(config) if "store" in parts else None
    if store:
        _refuse_store(config, written, snapshot, store)
    below = _below(config, wanted, written, snapshot)
    scratch = config.work / "restore"
    clock.lap("look")
    try:
        files.empty(scratch)
        files.need_room(scratch, verify.needed(written, parts, below), "what is to be restored")
        repository.restore(snapshot.id, scratch, _included(config, written, parts, below))
        copy = verify.check_store(config, written, scratch) if store else None
        for part in parts:
            if part != "store":
                verify.check_tree(written, part, scratch, below)
        clock.lap("fetch")
        with _stopped(config, parts):
            safety = run.back_up(config, SAFETY, damaged=True)
            clock.lap("safety")
            done = _replace(config, written, scratch, parts, below, store, copy)
            clock.lap("replace")
        clock.lap("start")
    finally:
        files.remove(scratch)
    counts = ", ".join(f"{part}: {number}" for part, number in done.items())
    return {
        "snapshot": snapshot.short,
        "repository": repository.location,
        "time": snapshot.time.isoformat(timespec="seconds"),
        "age": round(manifest.age(written)),
        "safety": safety["snapshot"],
        "parts": done,
        "store": written.store and {"tables": written.store["tables"], "schema": written.store["schema"]},
        "seconds": clock.laps,
        "sentence": f"snapshot {snapshot.label} was restored ({counts}) in {clock.total:.1f} s; what it replaced is"
        f" snapshot {safety['snapshot']}.",
    }


class _Clock:
    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = self._begun = time.monotonic()

    def lap(self, name: str) -> None:
        now = time.monotonic()
        self.laps[name], self._last = round(now - self._last, 2), now

    @property
    def total(self) -> float:
        return self._last - self._begun


def choose(config: Config, wanted: Wanted) -> tuple[Repository, Snapshot]:
    """Returns the snapshot that is meant, and where it is: the second repository is asked where the first has none.

    Raises:
        BackupError: there is none.
    """
    reasons = []
    for repository in run.repositories(config):
        try:
            snapshots = repository.snapshots(wanted.host or config.host)
            return repository, _chosen(repository, snapshots, wanted)
        except BackupError as error:
            reasons.append(str(error).rstrip("."))
    raise BackupError(f"{'; '.join(reasons)}.")


def _chosen(repository: Repository, snapshots: list[Snapshot], wanted: Wanted) -> Snapshot:
    host = wanted.host
    if not snapshots:
        raise BackupError(f"{repository.location} has no snapshot of {host}")
    if wanted.snapshot:
        meant = [s for s in snapshots if s.id.startswith(wanted.snapshot)]
        if len(meant) != 1:
            raise BackupError(
                f"restore_snapshot is {wanted.snapshot}, which {len(meant) or 'no'} snapshots of {host} in"
                f" {repository.location} begin with; allowed are those that -e list=true names"
            )
        return meant[0]
    # Of what was given up, only who names it wants it back.
    regular = [s for s in snapshots if SAFETY not in s.tags]
    if wanted.at:
        regular = [s for s in regular if s.time <= wanted.at]
    if not regular:
        then = f" from before restore_at {wanted.at:%Y-%m-%dT%H:%M}" if wanted.at else ""
        raise BackupError(f"{repository.location} has no snapshot of {host}{then}; the oldest is {snapshots[0].label}")
    return regular[-1]


def _available(config: Config, wanted: Wanted, written: Manifest, snapshot: Snapshot) -> tuple[str, ...]:
    """Returns the parts that there are; one that was asked for by its name has to be there."""
    there = {part for part in written.trees if written.roots.get(part)} & set(config.trees)
    if written.store and config.event_server:
        there.add("store")
    parts = tuple(part for part in wanted.parts if part in there)
    if not parts or (len(wanted.parts) == 1 and parts != wanted.parts):
        raise BackupError(
            f"restore_part is {wanted.parts[0]}; allowed with snapshot {snapshot.label} on this host:"
            f" {', '.join(sorted(there)) or 'nothing'}."
        )
    if "store" in parts and "file" not in (written.store or {}):
        raise BackupError(f"snapshot {snapshot.label} has a damaged store, kept as it was; choose an earlier snapshot.")
    return parts


def _refuse_store(config: Config, written: Manifest, snapshot: Snapshot, store: Store) -> None:
    """Refuses a store that the running release cannot use, or that another kind of database keeps."""
    if (kind := (written.store or {})["kind"]) != store.kind:
        raise BackupError(
            f"the store in snapshot {snapshot.label} is of {kind}, and this host's event server uses {store.kind};"
            " allowed is a snapshot of the same."
        )
    readable_from = (written.store or {})["schema"][1]
    knows = _known_schema(config)
    if knows is not None and readable_from > knows:
        raise BackupError(
            f"the store in snapshot {snapshot.label} was written by release {written.release} and needs one that knows"
            f" schema {readable_from}; {manifest.release_of(config)}, which runs here, knows {knows}: deploy"
            f" {written.release} first, or choose an earlier snapshot."
        )


def _known_schema(config: Config) -> int | None:
    record = read_json(config.release / "release.json") if config.release else None
    known = (record or {}).get("schema")
    return int(known) if known else None


def _below(config: Config, wanted: Wanted, written: Manifest, snapshot: Snapshot) -> str:
    """Returns the whole path that the notebooks' files have to begin with, "" for all."""
    if not wanted.path:
        return ""
    path = PurePosixPath(wanted.path)
    if path.is_absolute() or ".." in path.parts or wanted.parts != ("notebooks",):
        raise BackupError(
            f"restore_path is {wanted.path} with restore_part {wanted.parts[0] if len(wanted.parts) == 1 else 'all'};"
            " allowed is a folder or file, relative to the notebooks' folder, with restore_part notebooks."
        )
    below = str(config.trees["notebooks"][0] / path)
    if not any(name == below or name.startswith(f"{below}/") for name in written.trees["notebooks"]):
        raise BackupError(f"restore_path is {wanted.path}, which snapshot {snapshot.label} does not have.")
    return below


def _included(config: Config, written: Manifest, parts: tuple[str, ...], below: str) -> list[Path]:
    if below:
        return [Path(below)]
    roots = [Path(root) for part in parts if part != "store" for root in written.roots[part]]
    return roots + [manifest.store_path(config, written)] * ("store" in parts)


@contextlib.contextmanager
def _stopped(config: Config, parts: tuple[str, ...]) -> Iterator[None]:
    """Stops who holds the parts open, and starts them again, whatever happens in between."""
    units = list(dict.fromkeys(unit for part in parts for unit in config.units_of(part)))
    running = services.active(units)
    try:
        services.stop(running)
        yield
    finally:
        services.start(running)


def _replace(
    config: Config,
    written: Manifest,
    scratch: Path,
    parts: tuple[str, ...],
    below: str,
    store: Store | None,
    copy: Path | None,
) -> dict[str, int]:
    done = {}
    if store and copy and written.store:
        store.replace(copy)
        if not store.is_as(written.store):
            raise DamageError("the store is not what was restored: the disk does not keep what is written to it.")
        done["store"] = written.store["tables"].get("events", 0)
    owned = _owner_here(written)
    for part in parts:
        for root in map(Path, written.roots.get(part, ())):
            source, target = (Path(below),) * 2 if below else (root, root)
            if part == "history":
                done[part] = _merge_history(scratch / str(source).lstrip("/"), target)
            elif part == "notebooks":
                done[part] = _place_as_owner(config, scratch / str(source).lstrip("/"), target)
            elif part != "store":
                done[part] = done.get(part, 0) + place(scratch / str(source).lstrip("/"), target, owned)
    if "configuration" in parts:
        services.restart(services.active(config.units_of("reload")))
    return done


def _owner(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_uid, status.st_gid


def _owner_here(written: Manifest) -> Callable[[os.stat_result], tuple[int, int]]:
    """Returns who owns here what somebody of that name has owned there: another host has other numbers."""

    def owner(status: os.stat_result) -> tuple[int, int]:
        uid, gid = status.st_uid, status.st_gid
        with contextlib.suppress(KeyError):
            uid = pwd.getpwnam(written.users[str(uid)]).pw_uid
        with contextlib.suppress(KeyError):
            gid = grp.getgrnam(written.groups[str(gid)]).gr_gid
        return uid, gid

    return owner


def _place_as_owner(config: Config, source: Path, target: Path) -> int:
    """Puts students' files into their places as their user: a link that one has made there leads nowhere new."""
    uid, gid = _owner(config.trees["notebooks"][0])
    handed = files.empty(config.work / "handed")
    try:
        given = handed / target.name
        source.rename(given)
        _give_away(handed, uid, gid)
        done = owner.run("place.py", uid, gid, given, target)
    finally:
        files.remove(handed)
    if done.returncode != 0:
        raise BackupError(f"not all notebooks could be written: {done.stderr.strip()}.")
    return int(done.stdout)


def _give_away(folder: Path, uid: int, gid: int) -> None:
    for path, folders, names in os.walk(folder):
        # Who owns it has to get in.
        Path(path).chmod(Path(path).stat().st_mode & 0o7777 | 0o700)
        for name in [".", *folders, *names]:
            os.chown(Path(path) / name, uid, gid, follow_symlinks=False)


def _merge_history(source: Path, target: Path) -> int:
    """Puts the earlier lines of a host's history before its own; returns how many. Its releases are its own."""
    earlier, own = (_lines(folder / "history.jsonl") for folder in (source, target))
    missing = [line for line in earlier if line not in own]
    if missing:
        write(target / "history.jsonl", "".join(f"{line}\n" for line in missing + own))
    return len(missing)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []
