"""restic, from version 0.14 on."""

import contextlib
import json
import os
import re
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cell_monitor_backup.config import Config
from cell_monitor_backup.errors import BackupError, DamageError

_SECONDS = 6 * 3600

# Who only reads takes no lock: it would need room on a disk that may be full, and 0.2 s. This program's own lock keeps
# away whoever removes something.
_READING = ("cat", "snapshots", "ls", "dump", "restore")

# What restic says, and what it means. The codes that tell these apart came with 0.17.
_MEANINGS = (
    ("wrong password", "the password of {repository} is wrong: it is in credentials/ on the controller"),
    ("no space left", "the disk of {repository} is full; the snapshots that are there are untouched"),
    ("disk quota exceeded", "the disk of {repository} is full; the snapshots that are there are untouched"),
    (
        "already locked",
        "{repository} is locked by another restic; `cell-monitor-backup unlock` removes what a dead one left",
    ),
    ("connection refused", "{repository} cannot be reached"),
    ("no route to host", "{repository} cannot be reached"),
    ("network is unreachable", "{repository} cannot be reached"),
    ("i/o timeout", "{repository} cannot be reached"),
    ("no such host", "{repository} cannot be reached"),
    ("could not resolve", "{repository} cannot be reached"),
    ("permission denied", "{repository} denies access"),
    ("access denied", "{repository} denies access"),
    ("unauthorized", "{repository} denies access"),
    ("unable to open config file", "there is no repository at {repository}"),
    ("repository does not exist", "there is no repository at {repository}"),
)
_DAMAGE = re.compile(
    r"ciphertext verification failed|invalid data returned|does not match|checksum|hash mismatch"
    r"|unexpected EOF|not found in (index|repository)|repository contains errors|There were \d+ errors|id .* not found"
    r"|invalid header|error loading|ReadFull\(|Load\(<",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Snapshot:
    """What restic knows of one.

    Attributes:
        time: when it was begun.
        tags: the first is why it was made.
    """

    id: str
    time: datetime
    host: str
    tags: tuple[str, ...]

    @property
    def short(self) -> str:
        """How people name it."""
        return self.id[:8]

    @property
    def label(self) -> str:
        """What people read."""
        return f"{self.short} of {self.time.astimezone().strftime('%Y-%m-%d %H:%M:%S')}"


class Repository:
    """A repository of this host's snapshots."""

    def __init__(self, config: Config, location: str) -> None:
        self._location = location
        self._config = config

    @property
    def location(self) -> str:
        """What people read: without a password."""
        return re.sub(r"(://[^/@:]*):[^/@]*@", r"\1:***@", self._location)

    def call(self, *arguments: str, source: "Repository | None" = None) -> str:
        """Runs restic; returns its output.

        Args:
            arguments: the command.
            source: another repository, for a command that knows of two.

        Raises:
            DamageError: what is in the repository is not what was put there.
            BackupError: it failed for another reason.
        """
        done = self._run(arguments, source)
        # 3: some files could not be read; the caller looks which.
        if done.returncode not in (0, 3):
            raise self._failure(arguments[0], done.stderr + done.stdout, done.returncode)
        return done.stdout

    def _run(self, arguments: Sequence[str], source: "Repository | None") -> subprocess.CompletedProcess[str]:
        options = ["--no-lock"] * (arguments[0] in _READING)
        try:
            return subprocess.run(  # noqa: S603
                ["restic", *options, *arguments],  # noqa: S607
                stdin=subprocess.DEVNULL,
                env=self._environment(source),
                check=False,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_SECONDS,
            )
        except FileNotFoundError:
            raise BackupError("restic is not installed: run site.yml.") from None
        except subprocess.TimeoutExpired:
            raise BackupError(f"restic {arguments[0]} took more than {_SECONDS // 3600} hours.") from None

    def _environment(self, source: "Repository | None") -> dict[str, str]:
        """Returns what is not for the command line, which every user sees: some locations have a password."""
        cache = os.environ.get("CACHE_DIRECTORY", "/var/cache/cell-monitor-backup")
        return {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "HOME": "/root",
            "LANG": "C.UTF-8",
            "TMPDIR": str(self._config.work),
            "RESTIC_REPOSITORY": self._location,
            "RESTIC_PASSWORD_FILE": str(self._config.password_file),
            **({"RESTIC_FROM_REPOSITORY": source._location} if source else {}),
            "RESTIC_FROM_PASSWORD_FILE": str(self._config.password_file),
            "RESTIC_CACHE_DIR": cache,
            **dict(self._config.environment),
        }

    def _failure(self, command: str, told: str, code: int) -> BackupError:
        # From 0.17 on it says in JSON why it ends, where it was asked for JSON.
        ends = [m["message"] for m in _messages(told) if m.get("message_type") == "exit_error"]
        lines = [line.strip() for line in told.splitlines() if line.strip() and not line.startswith("{")] + ends
        last = next(
            (line for line in reversed(lines) if line.startswith("Fatal")), lines[-1] if lines else f"code {code}"
        )
        for sign, meaning in _MEANINGS:
            if sign in told.lower():
                return BackupError(f"{meaning.format(repository=self.location)}.")
        kind = DamageError if _DAMAGE.search(told) else BackupError
        first = next((line for line in lines if _DAMAGE.search(line)), last)
        return kind(f"restic {command} of {self.location} failed: {first.removeprefix('Fatal: ')}.")

    @property
    def is_there(self) -> bool:
        """Whether the repository has been made.

        Raises:
            BackupError: it cannot be told, because the password is wrong or nobody answers.
        """
        try:
            self.call("cat", "config")
        except BackupError as error:
            if "there is no repository" in str(error):
                return False
            raise
        return True

    def make(self, like: "Repository | None" = None) -> None:
        """Makes the repository; one like another shares blocks with it when snapshots are copied.

        Raises:
            BackupError: it cannot be made.
        """
        self.call("init", *["--copy-chunker-params"] * (like is not None), source=like)

    def backup(self, paths: Iterable[Path], tags: Sequence[str], exclude: Iterable[Path]) -> dict[str, Any]:
        """Makes a snapshot; returns restic's summary of it.

        Raises:
            BackupError: it could not be made.
        """
        options = ["--host", self._config.host, "--tag", ",".join(tags), "--json"]
        options += [part for path in exclude for part in ("--exclude", _literal(path))]
        output = self.call("backup", *options, "--", *map(str, paths))
        return next(message for message in _messages(output) if message.get("message_type") == "summary")

    def snapshots(self, host: str | None = None) -> list[Snapshot]:
        """Returns the snapshots of a host, the oldest first."""
        found = json.loads(self.call("snapshots", "--json", "--host", host or self._config.host) or "null") or []
        parsed = [Snapshot(s["id"], _time(s["time"]), s["hostname"], tuple(s.get("tags") or ())) for s in found]
        return sorted(parsed, key=lambda snapshot: snapshot.time)

    def files(self, snapshot: str) -> dict[str, tuple[int, int]]:
        """Returns size and time (nanoseconds since 1970) of the files of a snapshot."""
        nodes = _messages(self.call("ls", "--json", snapshot))
        return {n["path"]: (n.get("size", 0), _nanoseconds(n["mtime"])) for n in nodes if n.get("type") == "file"}

    def dump(self, snapshot: str, path: Path) -> str:
        """Returns a file of a snapshot."""
        return self.call("dump", snapshot, str(path))

    def restore(self, snapshot: str, target: Path, include: Iterable[Path] = ()) -> None:
        """Restores a snapshot into an empty folder, with the whole paths.

        Raises:
            DamageError: not everything could be restored.
        """
        chosen = [part for path in include for part in ("--include", _literal(path))]
        self.call("restore", snapshot, "--target", str(target), *chosen)

    def copy_from(self, source: "Repository") -> None:
        """Copies the snapshots that it does not have."""
        self.call("copy", "--host", self._config.host, source=source)

    def unlock(self) -> None:
        """Removes locks of processes that do not live any more."""
        self.call("unlock")

    def forget(self) -> None:
        """Removes the snapshots that need not stay, and the room that they took."""
        keep = [f"--keep-{name}={value}" for name, value in self._config.keep]
        self.call("forget", "--prune", "--host", self._config.host, "--group-by", "host,tags", *keep)

    def check(self, share: int, shares: int) -> None:
        """Reads the structure, and a share of the data.

        Raises:
            DamageError: it is damaged.
        """
        self.call("check", f"--read-data-subset={share}/{shares}")


def _messages(output: str) -> Iterator[dict[str, Any]]:
    for line in output.splitlines():
        with contextlib.suppress(ValueError):
            message = json.loads(line)
            if isinstance(message, dict):
                yield message


def _literal(path: Path) -> str:
    """Returns a pattern that this path alone matches."""
    return re.sub(r"([\\*?\[])", r"\\\1", str(path))


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def _nanoseconds(text: str) -> int:
    fraction = re.search(r"\.(\d+)", text)
    seconds = int(datetime.fromisoformat(re.sub(r"\.\d+", "", text)).timestamp())
    return seconds * 10**9 + int((fraction[1] if fraction else "0").ljust(9, "0"))
