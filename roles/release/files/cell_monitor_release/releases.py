"""Folders of releases: whether they are whole, who lives in them, which may go."""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from cell_monitor_release import files
from cell_monitor_release.model import Json

RECORD = "release.json"
LIST = "files.json"


def record(path: Path | None) -> Json:
    """Returns what a release says of itself, nothing where it is not complete."""
    try:
        data: Any = json.loads((path / RECORD).read_bytes()) if path else {}
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}


def seal(path: Path) -> None:
    """Lists a release's files, so that damage is noticed. To be called before its record is written."""
    names = sorted(name for name in _names(path) if name not in (LIST, RECORD))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        entries = dict(zip(names, pool.map(lambda name: _entry(path / name), names), strict=True))
    files.write(path / LIST, json.dumps(entries).encode(), 0o644)


def _names(path: Path) -> Iterator[str]:
    for folder, folders, names in os.walk(path):
        links = [name for name in folders if Path(folder, name).is_symlink()]
        for name in names + links:
            yield os.path.relpath(os.path.join(folder, name), path)  # noqa: PTH118


def _entry(path: Path) -> list[Any]:
    """Size and time for a quick look, and a digest for a thorough one."""
    status = path.lstat()
    if path.is_symlink():
        return [0, 0, str(path.readlink())]
    return [status.st_size, status.st_mtime_ns, _digest(path)]


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def damage(path: Path, *, thorough: bool = False) -> str | None:
    """Returns the first thing that is not as it was installed.

    Args:
        path: folder of the release.
        thorough: whether to read every file; otherwise sizes and times count.
    """
    if not record(path):
        return f"{path} has no {RECORD}"
    try:
        entries: dict[str, list[Any]] = json.loads((path / LIST).read_bytes())
    except FileNotFoundError:
        # Installed before there were lists.
        return None
    except ValueError:
        return f"{path / LIST} cannot be read"
    for name, (size, mtime_ns, digest) in entries.items():
        if fault := _fault(os.path.join(path, name), size, mtime_ns, digest):  # noqa: PTH118
            return f"{path / name} {fault}"
    if thorough:
        return _altered(path, entries)
    return None


def _fault(path: str, size: int, mtime_ns: int, digest: str) -> str | None:
    try:
        status = os.lstat(path)
        if not mtime_ns:
            return None if os.readlink(path) == digest else "leads elsewhere"  # noqa: PTH115
    except OSError:
        return "is missing"
    return None if (status.st_size, status.st_mtime_ns) == (size, mtime_ns) else "was changed"


def _altered(path: Path, entries: dict[str, list[Any]]) -> str | None:
    read = [(name, digest) for name, (_, mtime_ns, digest) in entries.items() if mtime_ns]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        digests = pool.map(lambda pair: _digest(path / pair[0]), read)
        return next(
            (f"{path / name} is damaged" for (name, digest), seen in zip(read, digests, strict=True) if seen != digest),
            None,
        )


def lived_in(folders: Iterable[Path]) -> set[Path]:
    """Returns which releases of these folders a process runs from."""
    pattern = re.compile("|".join(re.escape(f"{folder}/releases/") + r"[^/\0\s]+" for folder in folders) or "(?!)")
    found: set[Path] = set()
    for process in Path("/proc").glob("[0-9]*"):
        found |= {Path(match) for text in _traces(process) for match in pattern.findall(text)}
    return found


def _traces(process: Path) -> Iterator[str]:
    for name in ("exe", "cwd", "root"):
        try:
            yield str((process / name).readlink())
        except OSError:
            continue
    for name in ("cmdline", "maps"):
        try:
            yield (process / name).read_text(errors="replace")
        except OSError:
            continue


def installed(folder: Path) -> list[Path]:
    """Returns the releases of a folder, and what is left of some."""
    return [path for path in (folder / "releases").glob("[!.]*") if path.is_dir()]


def remove(path: Path) -> None:
    """Removes a release. What is left when that is cut off is no release."""
    files.remove(path / RECORD)
    shutil.rmtree(path, ignore_errors=True)
