"""Databases of other releases, of both kinds."""

import json
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from conftest import Stored, on_both
from earlier import STEPS
from event_server.cli import main
from event_server.store import Acknowledgement, SchemaError, StoreUnavailableError, migrate
from event_server.store.insert import insert
from event_server.store.schema import READABLE_FROM, SCHEMA_VERSION
from event_server.store.sqlite import SqliteStore
from postgres import Postgres
from test_store import row

VERSION = "SELECT version, readable_from FROM schema_version"


@pytest.fixture(params=STEPS)
def earlier(request: pytest.FixtureRequest, database: Stored) -> Stored:
    """A file as an earlier release left it."""
    with closing(sqlite3.connect(database.path)) as connection:
        for version in range(1, request.param + 1):
            connection.executescript(STEPS[version])
        connection.execute("UPDATE schema_version SET version = ?", (request.param,))
        insert(connection, [[row("old")]])
        connection.commit()
    return database


def tables(database: Stored) -> list[tuple[Any, ...]]:
    return database.rows(
        'SELECT t.name, c.name, c."notnull", c.pk, upper(c.type) FROM sqlite_master t, pragma_table_info(t.name) c'
        " UNION SELECT tbl_name, name, 0, 0, type FROM sqlite_master WHERE type = 'index' ORDER BY 1, 2"
    )


def test_a_file_of_an_earlier_release(earlier: Stored, tmp_path: Path) -> None:
    store = earlier.store()
    for _ in range(2):
        store.open()
        assert earlier.rows(VERSION) == [(SCHEMA_VERSION, READABLE_FROM)]
        store.close()
    store.open()
    store.append([[row("new", 2000)]], [Acknowledgement("help", 1000, 1000, "taro@example.jp", "teacher")])
    assert [activity.occurred_at for activity in store.activity(0)] == [1000, 2000]
    assert store.acknowledged("help", 0) == {"taro@example.jp": 1000}
    store.close()
    fresh = Stored({"database_path": str(tmp_path / "fresh.sqlite3")})
    other = fresh.store()
    other.open()
    other.close()
    # Alembic writes NOT NULL at a key that is never null.
    assert [part[:2] for part in tables(earlier)] == [part[:2] for part in tables(fresh)]


def test_an_earlier_release_can_be_rolled_back_to(earlier: Stored) -> None:
    (before,) = earlier.rows(VERSION)
    store = earlier.store()
    store.open()
    store.append([], [Acknowledgement("help", 1000, 1000, "taro@example.jp", "teacher")])
    store.close()
    # What that release looks at when it starts.
    version, readable_from = earlier.rows(VERSION)[0]
    assert version >= before[0] >= readable_from
    with closing(sqlite3.connect(earlier.path)) as connection:
        insert(connection, [[row("rolled back", 3000)]])
        connection.commit()
    store.open()
    assert [activity.occurred_at for activity in store.activity(0)] == [1000, 3000]
    assert store.acknowledged("help", 0) == {"taro@example.jp": 1000}
    store.close()


def test_a_step_that_fails_leaves_nothing(earlier: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    before = tables(earlier)
    take_steps = migrate._take_steps

    def fail(*arguments: Any) -> None:
        take_steps(*arguments)
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(migrate, "_take_steps", fail)
    store = earlier.store()
    with pytest.raises(StoreUnavailableError, match="full"):
        store.open()
    assert tables(earlier) == before
    monkeypatch.undo()
    store.open()
    assert [activity.occurred_at for activity in store.activity(0)] == [1000]
    store.close()


@on_both
@pytest.mark.parametrize(("readable_from", "usable"), [(SCHEMA_VERSION, True), (SCHEMA_VERSION + 1, False)])
def test_a_newer_schema(
    database: Stored, config_file: Path, readable_from: int, usable: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    store = database.store()
    store.open()
    store.close()
    database.rows(f"UPDATE schema_version SET version = 9, readable_from = {readable_from:d}")  # noqa: S608
    if usable:
        store.open()
        store.append([[row("a")]])
    else:
        with pytest.raises(SchemaError, match="schema 9"):
            store.open()
        with pytest.raises(SchemaError, match="schema 9"):
            store.append([[row("a")]])
    store.close()
    assert main(["migrate", "--config", str(config_file)]) == (0 if usable else 1)
    assert main(["stats", "--config", str(config_file)]) == (0 if usable else 1)
    capsys.readouterr()
    assert main(["schema", "--json", "--config", str(config_file)]) == (0 if usable else 1)
    assert json.loads(capsys.readouterr().out) == {
        "store": {"version": 9, "readableFrom": readable_from},
        "release": {"version": SCHEMA_VERSION, "readableFrom": READABLE_FROM},
        "usable": usable,
    }
    assert database.rows(VERSION) == [(9, readable_from)]


def test_the_commands_on_an_earlier_file(
    earlier: Stored, config_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (before,) = earlier.rows(VERSION)
    assert main(["schema", "--config", str(config_file)]) == 0
    assert f"store         {before[0]}, readable from {before[1]}" in capsys.readouterr().out
    for expected in (f"it had {before[0]}.", f"The store has schema {SCHEMA_VERSION}."):
        assert main(["migrate", "--config", str(config_file)]) == 0
        assert expected in capsys.readouterr().out


def test_nothing_to_migrate(config_file: Path, database: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["migrate", "--config", str(config_file)]) == 1
    assert "There is no store" in capsys.readouterr().err
    assert not database.path.exists()
    assert main(["schema", "--config", str(config_file)]) == 0
    assert "store         none" in capsys.readouterr().out


def test_several_start_at_once_with_a_file(database: Stored) -> None:
    _start_at_once(lambda: SqliteStore(database.path))
    assert database.rows(VERSION) == [(SCHEMA_VERSION, READABLE_FROM)]


def test_several_start_at_once_on_a_server(postgresql: Postgres) -> None:
    database = Stored({"database_url": postgresql.create(empty=True)})
    _start_at_once(database.store)
    assert database.rows(VERSION) == [(SCHEMA_VERSION, READABLE_FROM)]


@pytest.mark.parametrize("fails_at", ["CREATE TABLE acknowledgements", "CREATE TABLE deletions", "COMMIT"])
def test_a_server_dies_while_it_makes_tables(
    postgresql: Postgres, monkeypatch: pytest.MonkeyPatch, fails_at: str
) -> None:
    database = Stored({"database_url": postgresql.create(empty=True)})
    execute = psycopg.Cursor.execute
    commit = psycopg.Connection.commit

    def die(connection: psycopg.Connection[Any]) -> None:
        connection.close()
        raise psycopg.OperationalError("killed")

    def execute_or_die(cursor: psycopg.Cursor[Any], query: Any, *arguments: Any, **options: Any) -> Any:
        if fails_at in str(query):
            die(cursor.connection)
        return execute(cursor, query, *arguments, **options)

    def commit_or_die(connection: psycopg.Connection[Any]) -> None:
        if fails_at == "COMMIT":
            die(connection)
        commit(connection)

    monkeypatch.setattr(psycopg.Cursor, "execute", execute_or_die)
    monkeypatch.setattr(psycopg.Connection, "commit", commit_or_die)
    with pytest.raises(StoreUnavailableError):
        database.store().open()
    monkeypatch.undo()
    assert database.rows("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == [(0,)]
    store = database.store()
    store.open()
    store.close()
    assert database.rows(VERSION) == [(SCHEMA_VERSION, READABLE_FROM)]


def _start_at_once(make: Callable[[], Any]) -> None:
    errors = []

    def start() -> None:
        store = make()
        try:
            store.open()
            store.append([[row("a")]])
        except Exception as error:
            errors.append(error)
        finally:
            store.close()

    threads = [threading.Thread(target=start) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
