"""A PostgreSQL of the tests' own, from Debian's package, and databases that are made in a moment."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
from event_server.store.postgresql.connecting import Database
from event_server.store.postgresql.store import PostgresqlStore

_TEMPLATE = "with_tables"


class Postgres:
    """A server process that listens in a folder, and belongs to someone who is not root."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs = programs
        self._folder = folder
        self._numbers = count()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._run("initdb", "--pgdata=data", "--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-sync")
        self.start()
        self.execute(f"CREATE DATABASE {_TEMPLATE}")
        store = PostgresqlStore(Database(self.url(_TEMPLATE)))
        store.open()
        store.close()

    def start(self) -> None:
        options = f"-k {self._folder} -p {self.port} -c listen_addresses=127.0.0.1"
        self._run("pg_ctl", "--pgdata=data", "--wait", "--log=log", f"--options={options}", "start")

    def stop(self, mode: str = "immediate") -> None:
        self._run("pg_ctl", "--pgdata=data", "--wait", f"--mode={mode}", "stop")

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Has it answer nobody, and end no connection."""
        pid = (self._folder / "data/postmaster.pid").read_text().split()[0]
        pids = [int(pid), *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]
        for process in pids:
            os.kill(process, signal.SIGSTOP)
        try:
            yield
        finally:
            for process in pids:
                os.kill(process, signal.SIGCONT)

    def url(self, name: str) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{name}"

    def create(self, *, empty: bool = False) -> str:
        """Makes a database and returns its URL."""
        name = f"test{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {'template1' if empty else _TEMPLATE}")
        return self.url(name)

    def execute(self, statement: str) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement)

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), *arguments]
        if os.geteuid() == 0:
            command = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", *command]
        log = self._folder / "output"
        with log.open("w") as output:
            done = subprocess.run(command, cwd=self._folder, check=False, stdout=output, stderr=output)
        assert done.returncode == 0, log.read_text()


@contextmanager
def running(place: Path | None = None) -> Iterator[Postgres]:
    """Runs one, whose folder is made in a place that everyone may enter."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    assert found, "PostgreSQL is not there: install Debian's package postgresql"
    # A socket's path is short.
    folder = Path(tempfile.mkdtemp(prefix="postgres-", dir=place))
    try:
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(folder, nobody.pw_uid, nobody.pw_gid)
        postgres = Postgres(found[-1].parent, folder)
        try:
            yield postgres
        finally:
            postgres.stop()
    finally:
        shutil.rmtree(folder)


def rows(url: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(query)
        return cursor.fetchall() if cursor.description else []
