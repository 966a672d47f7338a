"""Proof that a snapshot can be restored: restored beside what runs, and compared with its manifest."""

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cell_monitor_backup import files, manifest, stores, trees
from cell_monitor_backup.config import Config
from cell_monitor_backup.errors import BackupError, DamageError
from cell_monitor_backup.manifest import Manifest
from cell_monitor_backup.restic import Repository, Snapshot

Json = dict[str, Any]

_MARGIN = 64 << 20
# Of a part's files, how many may have been written while the backup was made.
_UNSETTLED = 0.1
_UNSETTLED_LEAST = 20


def needed(written: Manifest, parts: Iterable[str], below: str = "") -> int:
    """Returns how many bytes restored parts take."""
    listed: list[int] = [
        entry[0] for part in parts for path, entry in written.trees.get(part, {}).items() if path.startswith(below)
    ]
    store: int = (written.store or {}).get("bytes", 0) if "store" in parts else 0
    return sum(listed) + store + _MARGIN


def check_store(config: Config, written: Manifest, root: Path) -> Path:
    """Checks a restored store; returns its file.

    Args:
        config: where it lies in a snapshot.
        written: what it has to be.
        root: folder that it was restored to.

    Raises:
        DamageError: it is something else.
    """
    expected = written.store or {}
    copy = root / str(manifest.store_path(config, written)).lstrip("/")
    if not copy.exists():
        raise DamageError("the store is not in the snapshot.")
    if (size := copy.stat().st_size) != expected["bytes"]:
        raise DamageError(f"the restored store has {size} bytes, and had {expected['bytes']} when it was backed up.")
    found = stores.inspect(expected["kind"], copy)
    for table, rows in expected["tables"].items():
        if found["tables"].get(table) != rows:
            raise DamageError(f"the restored store has {found['tables'].get(table)} rows in {table}, and had {rows}.")
    if files.sha256(copy) != expected["sha256"]:
        raise DamageError("the restored store has another content than the one that was backed up.")
    return copy


def check_tree(written: Manifest, part: str, root: Path, below: str = "") -> int:
    """Checks restored files; returns how many.

    Raises:
        DamageError: one of them is not as it was.
    """
    expected = {path: entry for path, entry in written.trees.get(part, {}).items() if path.startswith(below)}
    damaged, unsettled = trees.compare(expected, root)
    if damaged:
        raise DamageError(f"{len(damaged)} restored files are not as they were backed up, such as {damaged[0]}.")
    if len(unsettled) > max(_UNSETTLED_LEAST, _UNSETTLED * len(expected)):
        raise DamageError(
            f"{len(unsettled)} files of {part} are not in the snapshot as listed, such as {unsettled[0]}."
        )
    return len(expected) - len(unsettled)


def drill(config: Config, snapshot: Snapshot | None = None) -> Json:
    """Restores a snapshot, the newest one if none is given, into a scratch folder, and compares it with its manifest.

    Raises:
        DamageError: it does not come back as it was.
        BackupError: nothing could be restored.
    """
    started = time.time()
    repository = Repository(config, config.repository)
    if snapshot is None:
        snapshots = repository.snapshots()
        if not snapshots:
            raise BackupError(f"{repository.location} has no snapshot of {config.host} yet: run playbooks/backup.yml.")
        snapshot = snapshots[-1]
    written = manifest.read(config, repository, snapshot)
    scratch = config.work / "drill"
    try:
        files.empty(scratch)
        files.need_room(scratch, needed(written, ("store", *written.trees)), "a restore drill")
        repository.restore(snapshot.id, scratch)
        rows = 0
        if written.store and "file" in written.store:
            check_store(config, written, scratch)
            rows = sum(written.store["tables"].values())
        number = sum(check_tree(written, part, scratch) for part in written.trees)
    finally:
        files.remove(scratch)
    seconds = time.time() - started
    return {
        "snapshot": snapshot.short,
        "rows": rows,
        "files": number,
        "sentence": f"snapshot {snapshot.label} was restored and is whole: {rows} rows of the store and {number} files,"
        f" {seconds:.1f} s.",
        "metrics": {"backup_last_verified_restore_timestamp_seconds": round(time.time(), 3)},
    }
