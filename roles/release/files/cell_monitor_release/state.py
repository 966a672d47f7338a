"""What is remembered in /var/lib/cell-monitor-release."""

import contextlib
import dataclasses
import fcntl
import json
import os
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cell_monitor_release import files
from cell_monitor_release.errors import ReleaseError
from cell_monitor_release.model import Generation, Json, Kept, Part, known

FOLDER = Path("/var/lib/cell-monitor-release")
_LOCK_SECONDS = 120


@dataclasses.dataclass(frozen=True)
class Progress:
    """A deploy or a way back that has begun and not ended.

    Attributes:
        verb: deploy or rollback.
        base: what the host returns to when it fails; None where nothing ran before.
        base_number: number of the generation that was the current one.
        target: what the host is to run; its files are those of the moment when it is committed.
        since: seconds since 1970.
        backup: the command that makes a backup before anything is switched; empty once it was made, or for none.
    """

    verb: str
    base: Generation | None
    base_number: int
    target: Generation
    since: float
    who: str
    seconds: dict[str, float] = dataclasses.field(default_factory=dict)
    backup: tuple[str, ...] = ()

    @classmethod
    def of(cls, data: Json) -> "Progress":
        """Reads it."""
        base = Generation.of(data["base"]) if data["base"] else None
        read = {"base": base, "target": Generation.of(data["target"]), "backup": tuple(data.get("backup", ()))}
        return cls(**known(cls, data) | read)

    def json(self) -> Json:
        """Writes it."""
        base = self.base.json() if self.base else None
        return dataclasses.asdict(self) | {"base": base, "target": self.target.json()}


class State:
    """The folder with all of it, for root alone."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self.folder = folder
        self.failed = folder / "failed"
        self._generations = folder / "generations"
        self._contents = folder / "files"
        self._current = folder / "current.json"
        self._progress = folder / "in-progress.json"
        self._bad = folder / "bad.json"
        self._history = folder / "history.jsonl"

    def create(self) -> None:
        """Creates the folders."""
        for folder in (self.folder, self._generations, self._contents, self.failed):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps everybody else from changing releases; waits for who does.

        Raises:
            ReleaseError: it takes too long.
        """
        with (self.folder / "lock").open("a") as lock:
            until = time.monotonic() + _LOCK_SECONDS
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > until:
                        raise ReleaseError("another deploy or rollback goes on on this host.") from None
                    time.sleep(0.1)
            yield

    def keep(self, paths: Iterable[Path]) -> dict[Path, Kept | None]:
        """Saves files as they are now."""
        kept: dict[Path, Kept | None] = {}
        for path in paths:
            found = files.look(path)
            kept[path] = found[0] if found else None
            if found and not (self._contents / found[0].sha256).exists():
                files.write(self._contents / found[0].sha256, found[1])
        return kept

    def content(self, kept: Kept) -> bytes:
        """Returns what a file held."""
        return (self._contents / kept.sha256).read_bytes()

    @property
    def number(self) -> int:
        """Number of the current generation, 0 if there is none."""
        return int((_read(self._current) or {"number": 0})["number"])

    def generation(self, number: int) -> Generation | None:
        """Returns a generation."""
        data = _read(self._generations / f"{number}.json")
        return Generation.of(data) if data else None

    def generations(self) -> list[Generation]:
        """Returns all generations, the oldest first."""
        numbers = sorted(int(path.stem) for path in self._generations.glob("[0-9]*.json"))
        return [found for number in numbers if (found := self.generation(number))]

    def add(self, generation: Generation) -> Generation:
        """Saves a generation under the next number; it is not the current one yet."""
        numbers = [int(path.stem) for path in self._generations.glob("[0-9]*.json")]
        numbered = dataclasses.replace(generation, number=max([self.number, *numbers], default=0) + 1)
        files.write_json(self._generations / f"{numbered.number}.json", numbered.json())
        return numbered

    def amend(self, generation: Generation) -> None:
        """Saves a generation again, with more than was known of it."""
        files.write_json(self._generations / f"{generation.number}.json", generation.json())

    def make_current(self, generation: Generation) -> None:
        """The moment from which a host that loses its power comes back with this one."""
        files.write_json(self._current, {"number": generation.number})

    def forget(self, generations: Iterable[Generation]) -> None:
        """Removes generations, and the contents that no other has."""
        for generation in generations:
            files.remove(self._generations / f"{generation.number}.json")
        progress = self.progress
        others = (
            self.generations() + [g for g in (progress.base, progress.target) if g] if progress else self.generations()
        )
        used = {kept.sha256 for other in others for kept in other.files.values() if kept}
        for path in self._contents.iterdir():
            if path.name not in used:
                files.remove(path)

    @property
    def progress(self) -> Progress | None:
        """What goes on. What was committed already, but not cleared away, does not."""
        data = _read(self._progress)
        progress = Progress.of(data) if data else None
        return progress if progress and progress.base_number == self.number else None

    @progress.setter
    def progress(self, progress: Progress | None) -> None:
        if progress:
            files.write_json(self._progress, progress.json())
        else:
            files.remove(self._progress)

    @property
    def going_on(self) -> Progress:
        """What goes on.

        Raises:
            ReleaseError: nothing does.
        """
        if (progress := self.progress) is None:
            raise ReleaseError("no deploy goes on.")
        return progress

    @property
    def bad(self) -> dict[str, Json]:
        """Releases that failed, and why."""
        return _read(self._bad) or {}

    @bad.setter
    def bad(self, bad: dict[str, Json]) -> None:
        files.write_json(self._bad, bad)

    def write_down(self, line: Json) -> None:
        """Adds to the history."""
        with self._history.open("ab+") as history:
            if history.tell() and os.pread(history.fileno(), 1, history.tell() - 1) != b"\n":
                history.write(b"\n")
            history.write((json.dumps({"when": now()} | line, ensure_ascii=False) + "\n").encode())
            history.flush()
            os.fsync(history.fileno())

    def history(self) -> list[Json]:
        """Returns the history, the oldest first. A line that the power cut off is left out."""
        lines = []
        with contextlib.suppress(FileNotFoundError):
            for line in self._history.read_text(encoding="utf-8", errors="replace").splitlines():
                with contextlib.suppress(ValueError):
                    lines.append(json.loads(line))
        return lines


def now() -> str:
    """The time, in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def found(state: State, parts: Iterable[Part]) -> Generation:
    """Returns what the host runs now, as a generation without a number."""
    there = tuple(dataclasses.replace(part, release=files.pointed(part.link)) for part in parts)
    return Generation(0, there, state.keep(path for part in there for path in part.kept), when=now())


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
