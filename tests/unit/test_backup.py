"""Backups as a host makes them, with the real restic; systemd alone is played."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from cell_monitor_backup import cli, config, jobs, lock, restic, services
from cell_monitor_backup.errors import BackupError, DamageError, OverlapError
from cell_monitor_backup.postgresql import PostgresqlStore
from cell_monitor_backup.stores import inspect
from cell_monitor_host.files import write_json
from postgres import Postgres, running

PASSWORD = "a password of tests"


class Place:
    """A host in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.database = folder / "lib/event-server/events.sqlite3"
        self.notebooks = folder / "lib/jupyterlab/notebooks"
        self.etc = folder / "etc/event-server"
        self.key = folder / "lib/event-server/session-key"
        self.history = folder / "lib/cell-monitor-release/history.jsonl"
        self.repository = folder / "opt/backup"
        self.copy = folder / "elsewhere"
        self.state = folder / "lib/cell-monitor"
        self.release = folder / "opt/event-server/releases/1.2.0-aaaaaaaa"
        for path in (self.database.parent, self.notebooks, self.etc, self.history.parent, self.release):
            path.mkdir(parents=True)
        self.notebooks.chmod(0o700)
        (self.release.parents[1] / "current").symlink_to("releases/1.2.0-aaaaaaaa")
        self.knows(3)
        (self.etc / "config.toml").write_text(f'database_path = "{self.database}"\n')
        self.key.write_text("key")
        self.history.write_text('{"when": "then"}\n')
        self.config = folder / "etc/cell-monitor-backup/config.json"
        self.configure()
        self.create()

    def configure(self, **changes: Any) -> None:
        """Writes the configuration, as the role does."""
        settings = {
            "host": "class1",
            "repository": str(self.repository),
            "event_server": str(self.etc / "config.toml"),
            "release": str(self.release.parents[1] / "current"),
            "trees": {
                "notebooks": [str(self.notebooks)],
                "secrets": [str(self.key), str(self.folder / "not/there")],
                "history": [str(self.history.parent)],
                "configuration": [str(self.etc)],
            },
            "units": {"store": ["event-server.service"]},
            "keep": {"within": "1d"},
            "check_shares": 1,
            "state": str(self.state),
        }
        self.config.parent.mkdir(exist_ok=True)
        self.config.write_text(json.dumps(settings | changes))
        self.config.with_name("password").write_text(PASSWORD)

    def knows(self, schema: int) -> None:
        """Says which schema the running release knows."""
        (self.release / "release.json").write_text(json.dumps({"release": self.release.name, "schema": schema}))

    def create(self, readable_from: int = 1) -> None:
        """Makes a store."""
        with sqlite3.connect(self.database) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("CREATE TABLE events (id INTEGER PRIMARY KEY, event_id TEXT)")
            connection.execute("CREATE TABLE schema_version (version INTEGER, readable_from INTEGER)")
            connection.execute("INSERT INTO schema_version VALUES (3, ?)", [readable_from])
        connection.close()
        self.add("first", 100)

    def add(self, name: str, number: int) -> None:
        """Stores events."""
        connection = sqlite3.connect(self.database, timeout=30)
        with connection:
            connection.executemany(
                "INSERT INTO events (event_id) VALUES (?)", [(f"{name}-{i}",) for i in range(number)]
            )
        connection.close()

    def events(self) -> set[str]:
        """What is stored."""
        connection = sqlite3.connect(self.database, timeout=30)
        found = {row[0] for row in connection.execute("SELECT event_id FROM events")}
        connection.close()
        return found

    def write(self, name: str, content: str) -> Path:
        """Writes a notebook."""
        path = self.notebooks / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        return path

    def call(self, *arguments: str) -> Any:
        """Runs a command that succeeds; returns what it tells."""
        loaded = config.load(self.config)
        options = cli._parser().parse_args(["--config", str(self.config), *arguments])
        return options.command(loaded, options)

    def refused(self, *arguments: str, kind: type[BackupError] = BackupError) -> str:
        """Runs a command that fails; returns the sentence."""
        with pytest.raises(kind) as error:
            self.call(*arguments)
        return str(error.value)

    def snapshots(self) -> list[restic.Snapshot]:
        """What is in the repository."""
        return restic.Repository(config.load(self.config), str(self.repository)).snapshots()

    def job(self, name: str) -> Any:
        """What is remembered of a job."""
        return jobs.last(self.state, name)

    def metrics(self, name: str) -> str:
        """What Prometheus is told of a job."""
        return (self.state / "metrics" / f"{name}.prom").read_text()


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository that was made; making one is slow."""
    place = Place(tmp_path_factory.mktemp("made"))
    os.environ["CACHE_DIRECTORY"] = str(place.folder / "cache")
    place.call("prepare")
    return place.repository


@pytest.fixture
def place(tmp_path: Path, made: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """A host with a repository, 100 events and two notebooks."""
    monkeypatch.setenv("CACHE_DIRECTORY", str(tmp_path / "cache"))
    monkeypatch.setenv("JOURNAL_STREAM", "1:1")
    running = {"event-server.service"}
    monkeypatch.setattr(services, "active", lambda units: [unit for unit in units if unit in running])
    monkeypatch.setattr(services, "_systemctl", lambda *_: subprocess.CompletedProcess([], 0, "", ""))
    place = Place(tmp_path)
    shutil.copytree(made, place.repository)
    place.write("lesson/01.ipynb", "one")
    place.write("lesson/太郎/02 [x].ipynb", "two")
    yield place


class TestRun:
    def test_all_is_in_a_snapshot_and_it_is_said(self, place: Place) -> None:
        told = place.call("run", "--quick", "--reason", "timer")
        assert (told["events"], told["notebooks"], told["unsettled"]) == (100, 2, 0)
        assert "100 events and 2 files of notebooks" in told["sentence"]
        (snapshot,) = place.snapshots()
        assert (snapshot.host, snapshot.tags) == ("class1", ("timer",))
        assert place.job("backup")["result"] == "ok"
        assert "backup_last_success_timestamp_seconds" in place.metrics("backup")
        assert "backup_store_events 100" in place.metrics("backup")
        assert not (place.state / "backup/staging").exists()

    def test_a_store_that_is_written_to_is_copied_as_it_is_at_one_moment(self, place: Place) -> None:
        end = threading.Event()
        stored: list[float] = []

        def post() -> None:
            while not end.is_set():
                place.add(f"live-{len(stored)}", 5)
                stored.append(time.time())

        thread = threading.Thread(target=post)
        thread.start()
        try:
            begun = time.time()
            told = place.call("run", "--quick")
        finally:
            end.set()
            thread.join()
        assert told["events"] >= 100 + 5 * sum(at < begun for at in stored)
        assert told["events"] % 5 == 0
        place.call("drill")

    def test_a_run_beside_another_says_so(self, place: Place) -> None:
        with lock.exclusive(place.state / "backup/lock", "backup-drill", 0):
            assert "the backup-drill of" in place.refused("run", "--wait=0.3", kind=OverlapError)
        assert place.job("backup")["result"] == "overlap"
        assert place.snapshots() == []

    def test_a_damaged_store_is_not_backed_up_over_the_last_good_snapshot(self, place: Place) -> None:
        place.call("run", "--quick")
        success = place.job("backup")["last_success"]
        with place.database.open("r+b") as file:
            file.truncate(place.database.stat().st_size // 2)
        sentence = place.refused("run", kind=DamageError)
        assert str(place.database) in sentence or "damaged" in sentence
        assert len(place.snapshots()) == 1
        record = place.job("backup")
        assert (record["result"], record["last_success"]) == ("failed", success)

    @pytest.mark.parametrize("full", ["repository", "state"])
    def test_a_full_disk(self, place: Place, full: str) -> None:
        place.call("run", "--quick")
        place.write("large.bin", os.urandom(4 << 20).hex())
        folder = place.repository if full == "repository" else place.state / "backup"
        saved = shutil.copytree(folder, place.folder / "saved")
        assert os.system(f"mount -t tmpfs -o size=2m tmpfs {folder} && cp -r {saved}/. {folder}") == 0  # noqa: S605
        try:
            sentence = place.refused("run", "--quick")
            assert "full" in sentence or "MB free" in sentence
            assert place.job("backup")["result"] == "failed"
            if full == "repository":
                assert len(place.snapshots()) == 1
                place.call("drill")
        finally:
            os.system(f"umount {folder}")  # noqa: S605

    def test_a_repository_that_is_not_there(self, place: Place) -> None:
        shutil.rmtree(place.repository)
        assert f"there is no repository at {place.repository}" in place.refused("run", "--quick")

    def test_a_password_in_an_address_is_neither_told_nor_on_a_command_line(
        self, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lines: list[str] = []
        run = subprocess.run

        def note(argv: list[str], **options: Any) -> Any:
            lines.append(" ".join(argv))
            return run(argv, **options)

        monkeypatch.setattr(subprocess, "run", note)
        place.configure(repository="rest:http://keeper:secret@127.0.0.1:9/class1")
        said = place.refused("run", "--quick")
        assert said == "rest:http://keeper:***@127.0.0.1:9/class1 cannot be reached."
        assert lines
        assert "secret" not in "".join(lines)

    def test_a_second_repository_has_the_same(self, place: Place) -> None:
        place.configure(copy=str(place.copy))
        assert place.call("prepare")["changed"]
        assert not place.call("prepare")["changed"]
        place.call("run")
        place.call("run")
        copied = restic.Repository(config.load(place.config), str(place.copy)).snapshots()
        assert [s.time for s in copied] == [s.time for s in place.snapshots()]
        assert place.job("backup-copy")["result"] == "ok"

    def test_a_second_repository_that_is_away_leaves_the_backup_good(self, place: Place) -> None:
        place.configure(copy=str(place.folder / "away"))
        assert "there is no repository at" in place.refused("run")
        assert place.job("backup")["result"] == "ok"
        assert place.job("backup-copy")["result"] == "failed"

    def test_old_snapshots_go(self, place: Place) -> None:
        place.configure(keep={"last": 1})
        place.call("run", "--quick")
        place.call("run", "--quick")
        place.call("run")
        assert len(place.snapshots()) == 1


class TestDrill:
    def test_it_says_when_a_snapshot_was_last_seen_to_come_back(self, place: Place) -> None:
        assert "has no snapshot of class1" in place.refused("drill")
        place.call("run", "--quick")
        told = place.call("drill")
        assert (told["rows"], told["files"]) == (101, 5)
        name = "backup_last_verified_restore_timestamp_seconds"
        (value,) = [line.split()[1] for line in place.metrics("backup-drill").splitlines() if line.startswith(name)]
        assert abs(float(value) - time.time()) < 60
        assert list((place.state / "backup").glob("drill*")) == []

    def test_a_corrupted_repository(self, place: Place) -> None:
        place.call("run", "--quick")
        place.call("drill")
        before = place.metrics("backup-drill")
        for pack in (place.repository / "data").rglob("*"):
            if pack.is_file():
                pack.chmod(0o600)
                content = bytearray(pack.read_bytes())
                for at in range(0, len(content) // 2, 7):
                    content[at] ^= 0xFF
                pack.write_bytes(content)
        shutil.rmtree(place.folder / "cache")
        place.refused("drill", kind=DamageError)
        assert place.job("backup-drill")["result"] == "failed"
        assert place.metrics("backup-drill") == before
        place.refused("check", kind=DamageError)

    def test_a_truncated_database(self, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        def truncate(path: Path, data: Any, mode: int = 0o600) -> None:
            write_json(path, data, mode)
            if path.name == "manifest.json":
                os.truncate(path.parent / "store/events.sqlite3", 4096)

        monkeypatch.setattr("cell_monitor_backup.run.write_json", truncate)
        assert "lacks the store" in place.refused("run", kind=DamageError)
        assert "bytes, and had" in place.refused("drill", kind=DamageError)

    def test_another_content(self, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        def change(path: Path, data: Any, mode: int = 0o600) -> None:
            write_json(path, data, mode)
            notebook = place.notebooks / "lesson/01.ipynb"
            if path.name == "manifest.json":
                at = notebook.stat().st_mtime_ns
                notebook.write_text("eno")
                os.utime(notebook, ns=(at, at))

        monkeypatch.setattr("cell_monitor_backup.run.write_json", change)
        place.call("run", "--quick")
        assert "lesson/01.ipynb" in place.refused("drill", kind=DamageError)

    def test_a_wrong_password(self, place: Place) -> None:
        place.call("run", "--quick")
        place.config.with_name("password").write_text("another")
        sentence = place.refused("drill")
        assert f"the password of {place.repository} is wrong" in sentence
        assert "another" not in sentence
        assert place.job("backup-drill")["result"] == "failed"


class TestRestore:
    def test_the_store_as_it_was_and_what_it_replaced_is_kept(self, place: Place) -> None:
        place.call("run", "--quick")
        place.add("later", 7)
        told = place.call("restore", "--part=store")
        assert told["parts"] == {"store": 100}
        assert len(place.events()) == 100
        again = place.call("restore", "--part=store", f"--snapshot={told['safety']}")
        assert again["parts"] == {"store": 107}
        # The newest one is never the one that was given up.
        assert place.call("restore", "--part=store")["parts"] == {"store": 100}

    def test_a_damaged_store_is_replaced_and_kept(self, place: Place) -> None:
        place.call("run", "--quick")
        place.database.write_bytes(b"no database")
        told = place.call("restore", "--part=store")
        assert len(place.events()) == 100
        assert "damaged" in place.refused("restore", "--part=store", f"--snapshot={told['safety']}")

    def test_a_store_that_is_not_there(self, place: Place) -> None:
        place.call("run", "--quick")
        place.database.unlink()
        place.call("restore")
        assert len(place.events()) == 100

    def test_a_log_of_the_old_store_is_not_read_into_the_new(self, place: Place) -> None:
        place.call("run", "--quick")
        holder = sqlite3.connect(place.database)
        holder.execute("INSERT INTO events (event_id) VALUES ('in the log')")
        holder.commit()
        shutil.copy(f"{place.database}-wal", place.folder / "wal")
        holder.close()
        shutil.copy(place.folder / "wal", f"{place.database}-wal")
        place.call("restore", "--part=store")
        assert len(place.events()) == 100

    def test_notebooks_byte_for_byte_and_what_is_there_besides_stays(self, place: Place) -> None:
        place.call("run", "--quick")
        mtime = (place.notebooks / "lesson/01.ipynb").stat().st_mtime_ns
        place.write("lesson/01.ipynb", "changed")
        place.write("lesson/new.ipynb", "new")
        shutil.rmtree(place.notebooks / "lesson/太郎")
        assert place.call("restore", "--part=notebooks")["parts"] == {"notebooks": 2}
        assert (place.notebooks / "lesson/01.ipynb").read_text() == "one"
        assert (place.notebooks / "lesson/01.ipynb").stat().st_mtime_ns == mtime
        assert (place.notebooks / "lesson/太郎/02 [x].ipynb").read_text() == "two"
        assert (place.notebooks / "lesson/new.ipynb").read_text() == "new"

    def test_one_students_notebooks(self, place: Place) -> None:
        place.call("run", "--quick")
        for name in ("lesson/01.ipynb", "lesson/太郎/02 [x].ipynb"):
            place.write(name, "changed")
        place.call("restore", "--part=notebooks", "--path=lesson/太郎")
        assert (place.notebooks / "lesson/太郎/02 [x].ipynb").read_text() == "two"
        assert (place.notebooks / "lesson/01.ipynb").read_text() == "changed"
        place.call("restore", "--part=notebooks", "--path=lesson/01.ipynb")
        assert (place.notebooks / "lesson/01.ipynb").read_text() == "one"

    def test_a_link_in_the_notebooks_leads_nowhere(self, place: Place) -> None:
        place.call("run", "--quick")
        outside = place.folder / "outside"
        outside.mkdir()
        os.chown(place.notebooks, 65534, 65534)
        shutil.rmtree(place.notebooks / "lesson")
        (place.notebooks / "lesson").symlink_to(outside)
        place.folder.chmod(0o755)
        for parent in [*place.notebooks.parents][: len(place.notebooks.parts) - 2]:
            parent.chmod(parent.stat().st_mode | 0o011)
        place.call("restore", "--part=notebooks")
        assert list(outside.iterdir()) == []
        assert (place.notebooks / "lesson/01.ipynb").read_text() == "one"
        assert (place.notebooks / "lesson/01.ipynb").stat().st_uid == 65534

    def test_a_point_in_time(self, place: Place) -> None:
        place.call("run", "--quick")
        between = datetime.now(UTC).isoformat()
        place.add("later", 7)
        time.sleep(0.01)
        place.call("run", "--quick")
        assert place.call("restore", "--part=store", f"--at={between}")["parts"] == {"store": 100}
        early = (datetime.now(UTC) - timedelta(days=1)).isoformat()
        assert "the oldest is" in place.refused("restore", f"--at={early}")

    def test_a_bare_host_takes_it_from_the_second_repository(self, place: Place, made: Path) -> None:
        place.configure(copy=str(place.copy))
        place.call("prepare")
        place.call("run")
        shutil.rmtree(place.repository)
        shutil.copytree(made, place.repository)
        place.database.unlink()
        shutil.rmtree(place.notebooks / "lesson")
        place.key.unlink()
        place.history.write_text('{"when": "now"}\n')
        told = place.call("restore")
        assert told["repository"] == str(place.copy)
        assert len(place.events()) == 100
        assert (place.notebooks / "lesson/01.ipynb").read_text() == "one"
        assert place.key.read_text() == "key"
        assert place.history.read_text().splitlines() == ['{"when": "then"}', '{"when": "now"}']

    def test_the_configuration_only_where_it_is_asked_for(self, place: Place) -> None:
        place.call("run", "--quick")
        text = (place.etc / "config.toml").read_text()
        (place.etc / "config.toml").write_text(f"{text}# new\n")
        place.call("restore")
        assert "# new" in (place.etc / "config.toml").read_text()
        place.call("restore", "--part=configuration")
        assert (place.etc / "config.toml").read_text() == text

    def test_a_schema_that_the_running_release_does_not_know(self, place: Place) -> None:
        place.database.unlink()
        place.create(readable_from=3)
        place.call("run", "--quick")
        place.knows(2)
        place.add("later", 7)
        assert "needs one that knows schema 3; 1.2.0-aaaaaaaa, which runs here, knows 2" in place.refused("restore")
        assert len(place.events()) == 107

    @pytest.mark.parametrize(
        ("arguments", "sentence"),
        [
            (["--snapshot=ffffffff"], "restore_snapshot is ffffffff, which no snapshots"),
            (["--path=lesson"], "restore_path is lesson with restore_part all; allowed"),
            (["--part=notebooks", "--path=../etc"], "restore_path is ../etc"),
            (["--part=notebooks", "--path=nobody"], "restore_path is nobody, which snapshot"),
            (["--host=other"], "has no snapshot of other"),
        ],
    )
    def test_wrong_input_changes_nothing(self, place: Place, arguments: list[str], sentence: str) -> None:
        place.call("run", "--quick")
        place.add("later", 7)
        assert sentence in place.refused("restore", *arguments)
        assert (len(place.events()), len(place.snapshots())) == (107, 1)

    def test_a_damaged_snapshot_changes_nothing(self, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        def truncate(path: Path, data: Any, mode: int = 0o600) -> None:
            if path.name == "manifest.json":
                data["store"]["tables"]["events"] += 1
            write_json(path, data, mode)

        monkeypatch.setattr("cell_monitor_backup.run.write_json", truncate)
        place.call("run", "--quick")
        monkeypatch.undo()
        place.add("later", 7)
        os.environ["CACHE_DIRECTORY"] = str(place.folder / "cache")
        assert "100 rows in events, and had 101" in place.refused("restore", kind=DamageError)
        assert len(place.events()) == 107


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL."""
    with running() as postgres:
        yield postgres


class TestPostgresql:
    def test_a_dump_comes_back(self, place: Place, postgres: Postgres) -> None:
        url = postgres.create()
        (place.etc / "config.toml").write_text(f'database_url = "{url}"\n')
        (place.etc / "database-password").write_text("not asked for")
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CREATE TABLE kept (name text)")
            connection.execute("INSERT INTO kept VALUES ('tab\t and line\nend'), ('\\.')")
            told = place.call("run", "--quick")
            assert told["events"] == 0
            drilled = place.call("drill")
            connection.execute("INSERT INTO kept VALUES ('later')")
        restored = place.call("restore", "--part=store")
        with psycopg.connect(url) as connection:
            rows = connection.execute("SELECT name FROM kept ORDER BY name").fetchall()
        assert rows == [("\\.",), ("tab\t and line\nend",)]
        assert restored["store"]["tables"]["kept"] == 2
        assert drilled["rows"] == sum(restored["store"]["tables"].values())
        assert restored["store"]["schema"][0] > 0

    def test_a_dump_that_ends_too_early(self, postgres: Postgres, tmp_path: Path) -> None:
        dump = PostgresqlStore(postgres.create(), tmp_path / "none", tmp_path, "").copy(tmp_path)
        os.truncate(dump, dump.stat().st_size - 100)
        with pytest.raises(DamageError):
            inspect("postgresql", dump)

    def test_one_that_is_away(self, place: Place) -> None:
        (place.etc / "config.toml").write_text('database_url = "postgresql://nobody@127.0.0.1:1/none"\n')
        assert "of the store failed" in place.refused("run", "--quick")


def test_the_command_line_ends_with_a_code_and_one_sentence(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--config", str(place.config), "run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["events"] == 100
    assert cli.main(["--config", str(place.config), "list"]) == 0
    assert "by-hand" in capsys.readouterr().out
    assert cli.main(["--config", str(place.folder / "nothing"), "run"]) == 1
    assert capsys.readouterr().err == f"{place.folder}/nothing is not there: run site.yml.\n"
    place.config.with_name("password").write_text("another")
    assert cli.main(["--config", str(place.config), "drill"]) == 1
