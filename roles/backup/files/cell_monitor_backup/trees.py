"""Files as they were: size, time and digest of each, by its path."""

import contextlib
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from cell_monitor_backup import files

# Path to [bytes, mtime in nanoseconds since 1970, SHA-256].
Listing = dict[str, list[Any]]


def walk(roots: Iterable[Path], exclude: Iterable[Path] = ()) -> Iterator[tuple[str, os.stat_result]]:
    """Yields the regular files below folders, and those among the roots; links are not followed."""
    excluded = {str(path) for path in exclude}
    pending = [str(root) for root in roots]
    while pending:
        path = pending.pop()
        if path in excluded:
            continue
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            status = os.lstat(path)
            if stat.S_ISDIR(status.st_mode):
                pending += [entry.path for entry in os.scandir(path)]
            elif stat.S_ISREG(status.st_mode):
                yield path, status


def listing(roots: Iterable[Path], exclude: Iterable[Path], known: Listing) -> Listing:
    """Lists files with their digests.

    Args:
        roots: files and folders.
        exclude: what of them is left out.
        known: an earlier list; a file of which size and time are the same is not read again.
    """
    found: Listing = {}
    for path, status in walk(roots, exclude):
        entry = known.get(path)
        if entry is None or entry[:2] != [status.st_size, status.st_mtime_ns]:
            with contextlib.suppress(FileNotFoundError):
                entry = [status.st_size, status.st_mtime_ns, files.sha256(Path(path))]
        if entry:
            found[path] = entry
    return found


def compare(expected: Listing, root: Path) -> tuple[list[str], list[str]]:
    """Compares restored files with a list of them.

    Args:
        expected: by their paths at the time.
        root: folder that they were restored to, with their whole paths.

    Returns:
        those that are damaged; and those that the list does not speak for, because they were written or removed while
        the backup was made.
    """
    damaged, unsettled = [], []
    for path, (size, mtime_ns, digest) in expected.items():
        restored = root / path.lstrip("/")
        try:
            status = restored.lstat()
        except FileNotFoundError:
            unsettled.append(path)
            continue
        if status.st_mtime_ns != mtime_ns:
            unsettled.append(path)
        elif status.st_size != size or files.sha256(restored) != digest:
            damaged.append(path)
    return damaged, unsettled


def owners(paths: Iterable[str]) -> tuple[set[int], set[int]]:
    """Returns the users and groups that files belong to."""
    users, groups = set(), set()
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            status = os.lstat(path)
            users.add(status.st_uid)
            groups.add(status.st_gid)
    return users, groups
