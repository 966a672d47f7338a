"""Files and folders: their digests, their sizes, and whether there is room for more."""

import contextlib
import errno
import hashlib
import os
import shutil
from pathlib import Path

from cell_monitor_backup.errors import BackupError

_BLOCK = 1 << 20


def sha256(path: Path) -> str:
    """Returns the digest of a file's content."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def empty(folder: Path, mode: int = 0o700) -> Path:
    """Makes a folder with nothing in it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    folder.chmod(mode)
    return folder


def size(path: Path) -> int:
    """Returns how many bytes a file, or all files of a folder, hold; 0 where there is none."""
    if path.is_dir() and not path.is_symlink():
        return sum(size(entry) for entry in path.iterdir())
    with contextlib.suppress(FileNotFoundError):
        return path.lstat().st_size
    return 0


def need_room(folder: Path, needed: int, purpose: str) -> None:
    """Refuses what would fill a disk.

    Args:
        folder: on the disk; it need not exist.
        needed: bytes.
        purpose: such as "a copy of the store".

    Raises:
        BackupError: there are fewer bytes.
    """
    while not folder.exists():
        folder = folder.parent
    disk = os.statvfs(folder)
    free = disk.f_bavail * disk.f_frsize
    if free < needed:
        raise BackupError(
            f"{folder} has {free >> 20} MB free, and {purpose} needs {(needed >> 20) + 1}: make room there."
        )


def is_full(error: OSError) -> bool:
    """Whether it is for want of room."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def remove(folder: Path) -> None:
    """Removes a folder with all that is in it."""
    shutil.rmtree(folder, ignore_errors=True)
