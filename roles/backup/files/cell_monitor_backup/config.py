"""What is backed up, and where to: written by the role."""

import json
import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cell_monitor_backup.errors import BackupError

FILE = Path("/etc/cell-monitor-backup/config.json")
STATE = Path("/var/lib/cell-monitor")

# What a restore may be asked for. "all" leaves the configuration as the deploy has written it.
PARTS = ("store", "notebooks", "secrets", "history", "configuration")
OF_ALL = ("store", "notebooks", "secrets", "history")


@dataclass(frozen=True)
class Config:
    """The role's settings.

    Attributes:
        host: name of the host in the inventory, by which its snapshots are found, on whatever machine.
        repository: where restic keeps the snapshots, as it writes it.
        copy: a second repository, "" without one.
        password_file: restic's password.
        environment: what a backend of restic takes from its environment.
        event_server: the event server's configuration, which names the store; None where it does not run.
        trees: files and folders of each part; those that are not there are left out.
        exclude: what of them is left out, as absolute paths.
        release: folder of the event server's current release.
        units: what holds a part open, in the order in which it is stopped.
        keep: how many snapshots stay, by restic's names: ``within``, ``hourly``, ``daily`` ...
        check_shares: a check reads one of so many shares of the data.
        state: folder of what is remembered.
    """

    host: str
    repository: str
    password_file: Path
    trees: dict[str, tuple[Path, ...]]
    copy: str = ""
    environment: tuple[tuple[str, str], ...] = ()
    event_server: Path | None = None
    exclude: tuple[Path, ...] = ()
    release: Path | None = None
    units: tuple[tuple[str, tuple[str, ...]], ...] = ()
    keep: tuple[tuple[str, str], ...] = ()
    check_shares: int = 8
    state: Path = STATE

    @property
    def work(self) -> Path:
        """Folder of what this program makes; others may pass through it, but see nothing of it."""
        return self.state / "backup"

    @property
    def staging(self) -> Path:
        """Folder of what is made for a snapshot: a copy of the store, and the manifest."""
        return self.work / "staging"

    def units_of(self, part: str) -> tuple[str, ...]:
        """Returns what holds a part open."""
        return dict(self.units).get(part, ())


def load(path: Path = FILE) -> Config:
    """Reads the configuration.

    Raises:
        BackupError: there is none.
    """
    try:
        data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BackupError(f"{path} is not there: run site.yml.") from None
    environment = path.with_name("environment.json")
    secrets = json.loads(environment.read_text(encoding="utf-8")) if environment.exists() else {}
    return Config(
        host=data["host"],
        repository=data["repository"],
        copy=data.get("copy") or "",
        password_file=_password_file(path),
        environment=tuple(secrets.items()),
        event_server=_path(data.get("event_server")),
        trees={name: tuple(map(Path, paths)) for name, paths in data["trees"].items()},
        exclude=tuple(map(Path, data.get("exclude", ()))),
        release=_path(data.get("release")),
        units=tuple((part, tuple(units)) for part, units in data.get("units", {}).items()),
        keep=tuple((name, str(value)) for name, value in data.get("keep", {}).items()),
        check_shares=data.get("check_shares", 8),
        state=Path(data.get("state", STATE)),
    )


def _path(text: str | None) -> Path | None:
    return Path(text) if text else None


def _password_file(config: Path) -> Path:
    """The service's credential; the file that it comes from, for who is logged in as root."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    return Path(folder) / "password" if folder else config.with_name("password")


def store_of(config: Config) -> dict[str, Any]:
    """Returns the event server's configuration, which says where the store is.

    Raises:
        BackupError: it cannot be read.
    """
    if config.event_server is None:
        return {}
    try:
        return tomllib.loads(config.event_server.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise BackupError(f"{config.event_server} does not say where the store is: {error}.") from None
