"""The event server's store, as far as releases have to agree with it."""

import json
import os
from pathlib import Path

from cell_monitor_release import releases, systemd
from cell_monitor_release.errors import GateError
from cell_monitor_release.model import Part

# Run as the owner of the database: what SQLite puts beside it must not be root's.
_READ = """
import json, sqlite3, sys
connection = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True, timeout=10)
print(json.dumps(connection.execute("SELECT version, readable_from FROM schema_version").fetchone()))
"""
_COPY = """
import os, sqlite3, sys
os.umask(0o077)
source = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True, timeout=10)
source.backup(sqlite3.connect(sys.argv[2]), pages=-1)
"""
_KNOWN = "import event_server.store.schema as schema; print(schema.SCHEMA_VERSION)"


def known(path: Path) -> int | None:
    """Returns which schema a release of the event server works with, None if it does not tell."""
    told = releases.record(path).get("schema")
    if isinstance(told, int):
        return told
    done = systemd.run([str(path / "bin/python"), "-c", _KNOWN])
    return int(done.stdout) if done.returncode == 0 else None


def present(database: Path) -> tuple[int, int] | None:
    """Returns which schema a database has, and the oldest that a release must know to read it."""
    if not database.exists():
        return None
    done = _as_owner(database, _READ)
    version, readable_from = json.loads(done) if done else (0, 0)
    return version, readable_from


def obstacle(part: Part) -> str | None:
    """Returns why a release cannot work with the database that is there, None if it can."""
    if part.database is None or part.path is None or not (there := present(part.database)):
        return None
    version, readable_from = there
    knows = known(part.path)
    if knows is None or knows >= readable_from:
        return None
    return (
        f"the database has schema {version}, which needs a release that knows schema {readable_from}; it knows {knows}"
    )


def copy_before(part: Part, folder: Path) -> Path | None:
    """Copies the database, if the release is going to raise its schema; returns the copy.

    Raises:
        GateError: it cannot be copied.
    """
    if part.database is None or part.path is None or not (there := present(part.database)):
        return None
    knows = known(part.path)
    if knows is None or knows <= there[0] or there[0] == 0:
        return None
    copy = folder / f"schema-{there[0]}-before-{part.release}.sqlite3"
    new = part.database.with_name(f".{copy.name}")
    try:
        new.unlink(missing_ok=True)
        if _as_owner(part.database, _COPY, str(new)) is None:
            raise GateError(part.name, f"{part.database} could not be copied, which {part.release} is to change.")
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # The folder may be on another file system.
        systemd.run(["mv", "--force", str(new), str(copy)], seconds=3600)
        copy.chmod(0o600)
        os.chown(copy, 0, 0)
    finally:
        new.unlink(missing_ok=True)
    return copy


def forget_copies(folder: Path, installed: set[str]) -> None:
    """Removes the copies that were made for releases which are not there any more."""
    for copy in folder.glob("*.sqlite3"):
        if copy.stem.partition("-before-")[2] not in installed:
            copy.unlink()


def _as_owner(database: Path, code: str, *arguments: str) -> str | None:
    owner = database.stat()
    identity = [f"--reuid={owner.st_uid}", f"--regid={owner.st_gid}", "--clear-groups"]
    command = ["/usr/bin/python3", "-I", "-c", code, str(database), *arguments]
    if os.geteuid() == 0:
        command = ["setpriv", *identity, *command]
    done = systemd.run(command, seconds=3600)
    return done.stdout if done.returncode == 0 else None
