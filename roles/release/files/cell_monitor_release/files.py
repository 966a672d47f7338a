"""Files and links that are there whole or not at all, whenever the power fails."""

import contextlib
import hashlib
import json
import os
import stat
from pathlib import Path
from typing import Any

from cell_monitor_release.model import Kept


def write(path: Path, content: bytes, mode: int = 0o600, owner: tuple[int, int] | None = None) -> None:
    """Replaces a file."""
    new = path.with_name(f".{path.name}.new")
    with contextlib.suppress(FileNotFoundError):
        new.unlink()
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        if owner is not None:
            os.fchown(descriptor, *owner)
        os.fchmod(descriptor, mode)
        file.flush()
        os.fsync(descriptor)
    new.replace(path)
    sync(path.parent)


def write_json(path: Path, data: Any) -> None:
    """Replaces a file by a JSON document."""
    write(path, (json.dumps(data, indent=1, ensure_ascii=False) + "\n").encode())


def remove(path: Path) -> None:
    """Removes a file that may be there."""
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
        sync(path.parent)


def point(link: Path, release: str | None) -> None:
    """Makes a link name a release, or none."""
    target = f"releases/{release}"
    if release is None:
        remove(link)
    elif not link.is_symlink() or str(link.readlink()) != target:
        new = link.with_name(f".{link.name}.new")
        with contextlib.suppress(FileNotFoundError):
            new.unlink()
        new.symlink_to(target)
        new.replace(link)
        sync(link.parent)


def pointed(link: Path | None) -> str | None:
    """Returns the release that a link names."""
    if link is None or not link.is_symlink():
        return None
    return link.readlink().name


def look(path: Path) -> tuple[Kept, bytes] | None:
    """Returns how a file is and what it holds."""
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            content = file.read()
    except FileNotFoundError:
        return None
    digest = hashlib.sha256(content).hexdigest()
    return Kept(digest, stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid, status.st_mtime_ns), content


def set_time(path: Path, mtime_ns: int) -> None:
    """Sets when a file was written, in nanoseconds since 1970."""
    os.utime(path, ns=(mtime_ns, mtime_ns))


def sync(folder: Path) -> None:
    """Has a folder's entries on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
