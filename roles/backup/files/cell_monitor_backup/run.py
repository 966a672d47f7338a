"""A backup, from its beginning to the proof that all is in it."""

import json
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cell_monitor_host.files import read_json, write, write_json

from cell_monitor_backup import files, manifest, trees
from cell_monitor_backup.config import Config
from cell_monitor_backup.errors import BackupError, DamageError
from cell_monitor_backup.manifest import Manifest
from cell_monitor_backup.restic import Repository
from cell_monitor_backup.stores import Store, inspect, open_store

Json = dict[str, Any]

_MARGIN = 64 << 20
_TIDY_SECONDS = 20 * 3600


def back_up(config: Config, reason: str, *, damaged: bool = False) -> Json:
    """Makes a snapshot.

    Args:
        config: of what, and where to.
        reason: why: its tag.
        damaged: whether a store that is damaged is taken as it is; the event server must have been stopped.

    Returns:
        what was done: ``snapshot``, ``sentence``, ``metrics`` and more.

    Raises:
        BackupError: there is no new snapshot, or not everything is in it. Earlier ones are untouched.
    """
    started = time.time()
    repository = Repository(config, config.repository)
    config.work.mkdir(parents=True, exist_ok=True)
    config.work.chmod(0o711)
    files.empty(config.staging, 0o711)
    try:
        store = _stage_store(config, open_store(config), damaged=damaged)
        written = manifest.write_down(config, started, store, _known(config))
        write_json(config.staging / manifest.NAME, written.json())
        summary = repository.backup(_paths(config, written), (reason,), config.exclude)
        unsettled = _prove(config, repository, summary["snapshot_id"], written)
        _remember(config, written)
    except OSError as error:
        if files.is_full(error):
            raise BackupError(
                f"the disk of {config.work} is full; the snapshots that are there are untouched."
            ) from None
        raise
    finally:
        shutil.rmtree(config.staging, ignore_errors=True)
    return _told(written, summary, reason, unsettled)


def _stage_store(config: Config, store: Store | None, *, damaged: bool) -> Json | None:
    """Copies the store; returns what the manifest says of the copy."""
    if store is None:
        return None
    if not store.exists:
        # Before the event server has run for the first time.
        return None
    files.need_room(config.work, store.size() + _MARGIN, "a copy of the store")
    folder = files.empty(config.staging / "store")
    try:
        copy = store.copy(folder)
    except DamageError:
        if not damaged:
            raise
        folder = files.empty(config.staging / "damaged-store")
        store.copy_damaged(folder)
        return {"kind": store.kind, "damaged": folder.name}
    return {
        "kind": store.kind,
        "file": f"store/{copy.name}",
        "bytes": copy.stat().st_size,
        "sha256": files.sha256(copy),
        **inspect(store.kind, copy),
    }


def _paths(config: Config, written: Manifest) -> list[Path]:
    roots = [Path(root) for roots in written.roots.values() for root in roots]
    return [config.staging, *roots]


def _known(config: Config) -> trees.Listing:
    return read_json(config.work / "digests.json") or {}


def _remember(config: Config, written: Manifest) -> None:
    """Spares the next run from reading what has not changed."""
    digests = {path: entry for listing in written.trees.values() for path, entry in listing.items()}
    write(config.work / "digests.json", json.dumps(digests, ensure_ascii=False))


def _prove(config: Config, repository: Repository, snapshot: str, written: Manifest) -> int:
    """Looks whether a snapshot holds what the manifest says; returns how many files changed in the meantime.

    Raises:
        DamageError: something is missing.
    """
    there = repository.files(snapshot)
    unsettled = 0
    expected = {path: entry for listing in written.trees.values() for path, entry in listing.items()}
    for path, (size, mtime_ns, _) in expected.items():
        if there.get(path) == (size, mtime_ns):
            continue
        if _is_still(Path(path), size, mtime_ns):
            raise DamageError(f"snapshot {snapshot} lacks {path}, which could not be read.")
        unsettled += 1
    if written.store and "file" in written.store:
        path = config.staging / written.store["file"]
        if there.get(str(path), (0, 0))[0] != written.store["bytes"]:
            raise DamageError(f"snapshot {snapshot} lacks the store.")
    return unsettled


def _is_still(path: Path, size: int, mtime_ns: int) -> bool:
    try:
        status = path.lstat()
    except FileNotFoundError:
        return False
    return (status.st_size, status.st_mtime_ns) == (size, mtime_ns)


def _told(written: Manifest, summary: Json, reason: str, unsettled: int) -> Json:
    events = (written.store or {}).get("tables", {}).get("events")
    notebooks = len(written.trees.get("notebooks", {}))
    parts = [f"{events} events"] * (events is not None) + [f"{notebooks} files of notebooks"] * (
        "notebooks" in written.trees
    )
    seconds = time.time() - written.started
    # Versions of restic tell it in full or not.
    snapshot = summary["snapshot_id"][:8]
    return {
        "snapshot": snapshot,
        "reason": reason,
        "events": events,
        "notebooks": notebooks,
        "unsettled": unsettled,
        "sentence": f"snapshot {snapshot} ({reason}) with {' and '.join(parts) or 'the configuration'}, "
        f"{summary['data_added'] / 1e6:.1f} MB new, {seconds:.1f} s.",
        "metrics": {
            "backup_added_bytes": summary["data_added"],
            "backup_files": summary["total_files_processed"],
            "backup_bytes": summary["total_bytes_processed"],
            "backup_store_events": events or 0,
        },
    }


def copy_away(config: Config) -> Json:
    """Copies to the second repository what it lacks.

    Raises:
        BackupError: it could not be copied.
    """
    source, target = Repository(config, config.repository), Repository(config, config.copy)
    started = time.time()
    target.copy_from(source)
    number = len(target.snapshots())
    return {
        "sentence": f"{number} snapshots are in {target.location}, {time.time() - started:.1f} s.",
        "metrics": {"backup_copy_snapshots": number},
    }


def tidy(config: Config) -> Json:
    """Removes the snapshots that need not stay any more.

    Raises:
        BackupError: they could not be removed.
    """
    started = time.time()
    numbers = []
    first, *_ = both = repositories(config)
    for repository in both:
        repository.unlock()
        repository.forget()
        numbers.append(len(repository.snapshots()))
    return {
        "sentence": f"{numbers[0]} snapshots stay in {first.location}, {time.time() - started:.1f} s.",
        "metrics": {"backup_snapshots": numbers[0]},
    }


def repositories(config: Config) -> Sequence[Repository]:
    """Returns the repository, and the second one if there is one."""
    return [Repository(config, location) for location in (config.repository, config.copy) if location]


def is_tidied(last: Json | None) -> bool:
    """Whether old snapshots were removed not long ago."""
    return bool(last and last.get("last_success") and time.time() - last["last_success"] < _TIDY_SECONDS)


def prepare(config: Config) -> bool:
    """Makes the repositories that are not there yet; returns whether there were any.

    Raises:
        BackupError: one could not be made, or has another password.
    """
    config.work.mkdir(parents=True, exist_ok=True)
    made = False
    first: Repository | None = None
    for repository in repositories(config):
        if not repository.is_there:
            repository.make(like=first)
            made = True
        first = first or repository
    return made
