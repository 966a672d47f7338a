"""The event server's store where it is a PostgreSQL database."""

import contextlib
import os
import pwd
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from cell_monitor_host.files import write

from cell_monitor_backup.errors import BackupError, DamageError

_SECONDS = 3600
_SNAPSHOT = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY; SELECT pg_export_snapshot();"
_TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema() ORDER BY tablename;"
_ROWS = re.compile(r"^COPY (?:\S+\.)?\"?([^\s\"]+)\"? \(")


class PostgresqlStore:
    """A database, which event servers may be writing to."""

    kind = "postgresql"
    file_name = "events.pgdump"

    def __init__(self, url: str, password_file: Path, work: Path, user: str) -> None:
        """Takes the name of the user that the event server runs as: a socket asks who that is."""
        self._url = url
        self._password_file = password_file
        self._work = work
        self._as: dict[str, Any] = {}
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(user)
            self._as = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}

    @property
    def exists(self) -> bool:
        """Whether it has tables."""
        return bool(self._psql(_TABLES))

    def size(self) -> int:
        """Returns how large a copy is going to be, at most."""
        return int(self._psql("SELECT pg_database_size(current_database());")[0])

    def copy(self, folder: Path) -> Path:
        """Dumps it as it is at one moment, and counts its rows at the same; returns the dump.

        Raises:
            BackupError: it cannot be dumped.
        """
        target = folder / self.file_name
        if self._as:
            os.chown(folder, self._as["user"], self._as["group"])
        with self._environment() as environment, self._moment(environment) as snapshot:
            # Uncompressed: restic compresses, and finds again what has not changed.
            self._run(
                [
                    *("pg_dump", "--format=custom", "--compress=0", "--no-owner", "--no-privileges"),
                    *(f"--snapshot={snapshot}", f"--file={target}", f"--dbname={self._url}"),
                ],
                environment,
            )
        return target

    @contextlib.contextmanager
    def _moment(self, environment: dict[str, str]) -> Iterator[str]:
        """Holds a snapshot of the database; yields its name."""
        with subprocess.Popen(  # noqa: S603
            ["psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", f"--dbname={self._url}"],  # noqa: S607
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd="/",
            **self._as,
        ) as psql:
            if psql.stdin is None or psql.stdout is None or psql.stderr is None:
                raise BackupError("psql could not be started.")
            psql.stdin.write(_SNAPSHOT + "\n")
            psql.stdin.flush()
            name = psql.stdout.readline().strip()
            if not name:
                raise BackupError(f"the store cannot be read: {psql.stderr.readline().strip()}.")
            yield name
            psql.stdin.close()

    def copy_damaged(self, folder: Path) -> None:
        """Refuses: a server's files are not for others.

        Raises:
            BackupError: always.
        """
        raise BackupError(f"the store {self._url} cannot be dumped; {folder} has no copy of it.")

    def replace(self, copy: Path) -> None:
        """Makes the database hold what a dump holds: all of it, or nothing has happened.

        Raises:
            BackupError: the database does not take it.
        """
        # By its input: the user has no way to where the dump is.
        with self._environment() as environment, copy.open("rb") as dump:
            self._run(
                [
                    *("pg_restore", "--clean", "--if-exists", "--single-transaction", "--no-owner", "--no-privileges"),
                    f"--dbname={self._url}",
                ],
                environment,
                dump,
            )

    def is_as(self, expected: dict[str, Any]) -> bool:
        """Whether the database has the rows of a manifest."""
        return all(
            int(self._psql(f'SELECT count(*) FROM "{table}";')[0]) >= rows  # noqa: S608
            for table, rows in expected["tables"].items()
        )

    def _psql(self, query: str) -> list[str]:
        options = ["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1"]
        with self._environment() as environment:
            told = self._run(["psql", *options, f"--dbname={self._url}", f"--command={query}"], environment)
        return told.splitlines()

    @contextlib.contextmanager
    def _environment(self) -> Iterator[dict[str, str]]:
        """Yields where the password is: in a file, for the time of the command."""
        path = self._work / ".pgpass"
        environment = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "HOME": "/nonexistent", "LANG": "C.UTF-8"}
        if self._password_file.exists():
            password = re.sub(r"([\\:])", r"\\\1", self._password_file.read_text(encoding="utf-8").strip())
            write(path, f"*:*:*:*:{password}\n")
            if self._as:
                os.chown(path, self._as["user"], self._as["group"])
            environment["PGPASSFILE"] = str(path)
        try:
            yield environment
        finally:
            path.unlink(missing_ok=True)

    def _run(self, argv: list[str], environment: dict[str, str], source: IO[bytes] | None = None) -> str:
        try:
            done: subprocess.CompletedProcess[str] = subprocess.run(  # noqa: S603
                argv,
                env=environment,
                stdin=source or subprocess.DEVNULL,
                check=False,
                capture_output=True,
                text=True,
                timeout=_SECONDS,
                cwd="/",
                **self._as,
            )
        except FileNotFoundError:
            raise BackupError(f"{argv[0]} is not installed: run site.yml.") from None
        if done.returncode != 0:
            told = (done.stderr.strip().splitlines() or ["no reason given"])[0]
            raise BackupError(f"{argv[0]} of the store failed: {told.rstrip('.')}.")
        return done.stdout


def inspect(copy: Path) -> dict[str, Any]:
    """Reads a whole dump, without a server; returns its schema, and the number of rows of each table.

    Raises:
        DamageError: it is damaged.
    """
    tables: dict[str, int] = {}
    schema = [0, 0]
    with subprocess.Popen(  # noqa: S603
        ["pg_restore", "--data-only", "--file=-", str(copy)],  # noqa: S607
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    ) as dump:
        if dump.stdout is None or dump.stderr is None:
            raise BackupError("pg_restore could not be started.")
        table = None
        for line in dump.stdout:
            if table is None:
                if found := _ROWS.match(line):
                    table = found[1]
                    tables[table] = 0
            elif line == "\\.\n":
                table = None
            else:
                tables[table] += 1
                if table == "schema_version":
                    schema = [int(value) for value in line.split()[:2]]
        told = dump.stderr.read().strip()
    if dump.returncode != 0 or table is not None:
        raise DamageError(f"the dump of the store is damaged: {told or 'it ends too early'}.")
    return {"schema": schema, "tables": tables}
