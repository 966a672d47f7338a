"""What a snapshot holds, written down when it was made and kept in it."""

import grp
import json
import pwd
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cell_monitor_backup import trees as file_trees
from cell_monitor_backup.config import Config
from cell_monitor_backup.errors import DamageError
from cell_monitor_backup.restic import Repository, Snapshot

_FORMAT = 1
NAME = "manifest.json"


@dataclass(frozen=True)
class Manifest:
    """A snapshot's content.

    Attributes:
        host: name in the inventory.
        started: when the backup was begun, in seconds since 1970: every event acknowledged before is in it.
        release: of the event server that ran.
        store: ``kind``, ``file`` (its path below the staging folder), ``bytes``, ``sha256``, ``schema`` (version, and
            the oldest that a release must know), ``tables`` (number of rows of each); ``damaged`` instead, where that
            is all there was. None without a store.
        trees: the files of each part.
        roots: what each part consists of.
        users: names of the users that the files belong to, by number.
        groups: the same of groups.
    """

    host: str
    started: float
    release: str | None = None
    store: dict[str, Any] | None = None
    trees: dict[str, file_trees.Listing] = field(default_factory=dict)
    roots: dict[str, list[str]] = field(default_factory=dict)
    users: dict[str, str] = field(default_factory=dict)
    groups: dict[str, str] = field(default_factory=dict)
    format: int = _FORMAT

    def json(self) -> dict[str, Any]:
        """Writes it."""
        return asdict(self)


def write_down(config: Config, started: float, store: dict[str, Any] | None, known: file_trees.Listing) -> Manifest:
    """Lists what there is.

    Args:
        config: what belongs to it.
        started: seconds since 1970.
        store: what is known of the copy of the store.
        known: files of an earlier manifest, which need not be read again.
    """
    listed = {part: file_trees.listing(roots, config.exclude, known) for part, roots in config.trees.items()}
    users, groups = file_trees.owners(path for listing in listed.values() for path in listing)
    return Manifest(
        config.host,
        round(started, 3),
        release_of(config),
        store,
        listed,
        {part: [str(root) for root in roots if root.exists()] for part, roots in config.trees.items()},
        {str(uid): pwd.getpwuid(uid).pw_name for uid in users if _is_user(uid)},
        {str(gid): grp.getgrgid(gid).gr_name for gid in groups if _is_group(gid)},
    )


def _is_user(uid: int) -> bool:
    return any(entry.pw_uid == uid for entry in pwd.getpwall())


def _is_group(gid: int) -> bool:
    return any(entry.gr_gid == gid for entry in grp.getgrall())


def release_of(config: Config) -> str | None:
    """Returns which release of the event server is the current one."""
    return config.release.resolve().name if config.release and config.release.exists() else None


def read(config: Config, repository: Repository, snapshot: Snapshot) -> Manifest:
    """Reads the manifest of a snapshot.

    Raises:
        DamageError: it has none that this program understands.
    """
    text = repository.dump(snapshot.id, config.staging / NAME)
    try:
        data = json.loads(text)
        if data["format"] > _FORMAT:
            raise DamageError(
                f"snapshot {snapshot.label} was made by a later version of cell-monitor-backup: deploy that one first."
            )
        return Manifest(**data)
    except (ValueError, TypeError, KeyError) as error:
        raise DamageError(f"snapshot {snapshot.label} has no manifest that can be read: {error}.") from None


def age(manifest: Manifest) -> float:
    """Returns how many seconds ago a snapshot was begun."""
    return time.time() - manifest.started


def store_path(config: Config, manifest: Manifest) -> Path:
    """Returns where the store lies in a snapshot."""
    return config.staging / str((manifest.store or {})["file"])
