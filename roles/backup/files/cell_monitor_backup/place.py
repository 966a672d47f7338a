"""Puts restored files into their places; run as who owns the place, so that no link there leads anywhere else."""

import contextlib
import errno
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path


def place(source: Path, target: Path, owner: Callable[[os.stat_result], tuple[int, int]] | None = None) -> int:
    """Makes a folder hold what another holds; what it has besides stays. Returns how many files were written.

    Args:
        source: a folder or a file; what is needed of it is moved away.
        target: its place.
        owner: of what is written; the user's own without.

    Raises:
        OSError: something does not fit; each file is there whole, old or new.
    """
    status = source.lstat()
    if not source.is_symlink() and source.is_dir():
        # A link where a folder has to be: what it leads to is somebody else's.
        if target.is_symlink() or not target.is_dir():
            with contextlib.suppress(FileNotFoundError):
                target.unlink()
            target.mkdir(parents=True)
            _give(target, status, owner)
        return sum(place(entry, target / entry.name, owner) for entry in sorted(source.iterdir()))
    if not (source.is_symlink() or source.is_file()) or _is_same(source, target):
        return 0
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_dir() and not target.is_symlink():
        shutil.rmtree(target)
    new = target.with_name(f".{target.name[:200]}.restored")
    with contextlib.suppress(FileNotFoundError):
        new.unlink()
    try:
        source.rename(new)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        shutil.copy2(source, new, follow_symlinks=False)
    _give(new, status, owner)
    new.replace(target)
    return 1


def _give(path: Path, status: os.stat_result, owner: Callable[[os.stat_result], tuple[int, int]] | None) -> None:
    if owner:
        os.chown(path, *owner(status), follow_symlinks=False)
    if not path.is_symlink():
        path.chmod(status.st_mode & 0o7777)


def _is_same(source: Path, target: Path) -> bool:
    if source.is_symlink() or target.is_symlink():
        return source.is_symlink() and target.is_symlink() and source.readlink() == target.readlink()
    if not target.is_file() or source.stat().st_size != target.stat().st_size:
        return False
    try:
        with source.open("rb") as one, target.open("rb") as other:
            while block := one.read(1 << 20):
                if block != other.read(1 << 20):
                    return False
    except PermissionError:
        return False
    return True


if __name__ == "__main__":
    try:
        print(place(Path(sys.argv[1]), Path(sys.argv[2])))
    except OSError as error:
        sys.exit(str(error))
