"""The event server's store where it is an SQLite file."""

import contextlib
import os
import shutil
import sqlite3
from pathlib import Path
from typing import Any

from cell_monitor_backup import files, owner
from cell_monitor_backup.errors import BackupError, DamageError

_TABLES = "SELECT name FROM sqlite_master WHERE type = 'table' AND substr(name, 1, 7) != 'sqlite_' ORDER BY name"
_SIDES = ("", "-wal", "-shm")


class SqliteStore:
    """A file, which the event server may be writing to."""

    kind = "sqlite"
    file_name = "events.sqlite3"

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def exists(self) -> bool:
        """Whether there is one."""
        return self.path.exists()

    def size(self) -> int:
        """Returns how large a copy is going to be, at most."""
        return sum(files.size(Path(f"{self.path}{side}")) for side in _SIDES[:2])

    def copy(self, folder: Path) -> Path:
        """Copies it as it is at this moment into a folder, which becomes its owner's; returns the copy.

        Raises:
            DamageError: it is damaged.
            BackupError: it cannot be read.
        """
        status = self.path.stat()
        os.chown(folder, status.st_uid, status.st_gid)
        target = folder / self.file_name
        done = owner.run("sqlite_copy.py", status.st_uid, status.st_gid, self.path, target)
        if done.returncode != 0:
            told = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            kind = DamageError if "malformed" in told or "not a database" in told else BackupError
            raise kind(f"the store {self.path} cannot be copied: {told}.")
        return target

    def copy_damaged(self, folder: Path) -> None:
        """Copies the files as they are. The event server must have been stopped.

        Raises:
            OSError: they cannot be read.
        """
        for side in _SIDES:
            source = Path(f"{self.path}{side}")
            if source.exists():
                shutil.copy2(source, folder / source.name)

    def replace(self, copy: Path) -> None:
        """Puts a copy into its place. The event server must have been stopped.

        Raises:
            OSError: it does not fit there; what was there still is.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        new = self.path.with_name(f".{self.path.name}.new")
        shutil.move(copy, new)
        folder = self.path.parent.stat()
        os.chown(new, folder.st_uid, folder.st_gid)
        new.chmod(0o600)
        with new.open("rb") as file:
            os.fsync(file.fileno())
        # Its log belongs to the one that goes: it would be read into the new one. A power cut in between leaves a
        # database without the log's last events, and those are in the safety snapshot.
        for side in _SIDES[1:]:
            Path(f"{self.path}{side}").unlink(missing_ok=True)
        new.replace(self.path)

    def is_as(self, expected: dict[str, Any]) -> bool:
        """Whether the database is what a manifest says; before the event server has been started again."""
        return files.sha256(self.path) == str(expected["sha256"])


def inspect(copy: Path) -> dict[str, Any]:
    """Reads a whole copy; returns its schema, and the number of rows of each table.

    Raises:
        DamageError: it is damaged.
    """
    try:
        with contextlib.closing(sqlite3.connect(f"file:{copy}?immutable=1", uri=True)) as connection:
            (told,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
            if told != "ok":
                raise DamageError(f"the copy of the store is damaged: {told}.")
            names = [name for (name,) in connection.execute(_TABLES)]
            tables = {name: connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in names}  # noqa: S608
            schema = (0, 0)
            if "schema_version" in tables:
                schema = connection.execute("SELECT version, readable_from FROM schema_version").fetchone()
    except sqlite3.Error as error:
        raise DamageError(f"the copy of the store is damaged: {error}.") from None
    return {"schema": list(schema), "tables": tables}
