"""``event-server prune``, ``stats`` and ``check``."""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from conftest import READER, Stored, event, iso, on_both, on_postgresql, post
from event_server.cli import main
from event_server.store import sqlite_upkeep
from event_server.store.postgresql import upkeep as postgresql_upkeep
from postgres import Postgres
from starlette.testclient import TestClient

DAY = 24 * 3600 * 1000
Run = Callable[..., Any]


@pytest.fixture
def run(config_file: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command and returns its JSON."""

    def run(*arguments: str, code: int = 0) -> Any:
        capsys.readouterr()
        assert main([*arguments, "--json", "--config", str(config_file)]) == code
        return json.loads(capsys.readouterr().out)

    return run


def make_older(database: Stored, days: int, where: str = "true") -> None:
    """Lets some of what is stored have come so many days before."""
    for column in ("received_at", "occurred_at"):
        database.rows(f"UPDATE events SET {column} = {column} - {days * DAY} WHERE {where}")  # noqa: S608
    database.rows(f"UPDATE acknowledgements SET acknowledged_at = acknowledged_at - {days * DAY}")  # noqa: S608


@on_both
def test_what_is_too_old_is_pruned(
    client: TestClient, database: Stored, config_file: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_upkeep, "_ROWS_PER_TRANSACTION", 3)
    monkeypatch.setattr(postgresql_upkeep, "_ROWS_PER_TRANSACTION", 3)
    post(client, *[event(code=f"old {number}") for number in range(10)])
    client.post("/api/v1/dashboard/students/taro@example.jp/resolve-error", json={}, headers=READER)
    make_older(database, 31)
    post(client, event(code="new"), event(eventTime="1970-01-02T00:00:00Z", code="clock"))
    post(client, event(code="almost old"))
    make_older(database, 29, "body LIKE '%almost%'")
    assert run("prune")["events"] == 0
    assert run("prune") == {"retentionDays": 0, "events": 0}
    config_file.write_text(config_file.read_text() + "retention_days = 30\n")
    assert run("prune", "--dry-run")["events"] == 10
    result = run("prune")
    before = result.pop("before")
    is_file = "database_path" in database.keys
    assert result == {"retentionDays": 30, "events": 10, "acknowledgements": 1, "isOverwritten": is_file}
    assert before < iso_days_ago(29.9)
    assert run("prune")["events"] == 0
    codes = [json.loads(body)["code"] for (body,) in database.rows("SELECT body FROM events ORDER BY id")]
    assert codes == ["new", "clock", "almost old"]
    if is_file:
        assert b"old 1" not in database.path.read_bytes()


def iso_days_ago(days: float) -> str:

    return iso(datetime.fromtimestamp(time.time() - days * 86_400, UTC))


def test_prune_speaks_to_people(
    client: TestClient, database: Stored, config_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    post(client, event())
    make_older(database, 8)
    assert main(["prune", "--config", str(config_file)]) == 0
    assert capsys.readouterr().out == "retention_days is 0: events are kept for ever.\n"
    config_file.write_text(config_file.read_text() + "retention_days = 7\n")
    assert main(["prune", "--dry-run", "--config", str(config_file)]) == 0
    assert capsys.readouterr().out.startswith("1 event received before 2")
    assert main(["prune", "--config", str(config_file)]) == 0
    assert capsys.readouterr().out.endswith("Z deleted.\n")


@on_both
def test_stats(
    client: TestClient, database: Stored, run: Run, config_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = run("stats")
    assert (empty["events"], empty["students"], empty["firstOccurredAt"], empty["eventTypes"]) == (0, 0, None, {})
    first, last = event(ago=60), event("help", emailAddress="hanako@example.jp")
    post(client, first, last, event(ago=30))
    stats = run("stats")
    assert (stats["events"], stats["students"]) == (3, 2)
    assert stats["eventTypes"] == {"cell_executed": 2, "help": 1}
    assert (stats["firstOccurredAt"], stats["lastOccurredAt"]) == (first["eventTime"], last["eventTime"])
    assert stats["sizeBytes"] >= 4096
    assert (stats["freeBytes"] is not None) == ("database_path" in database.keys)
    assert main(["stats", "--config", str(config_file)]) == 0
    printed = capsys.readouterr().out
    assert "students         2\n" in printed
    assert "kept             for ever\n" in printed
    assert "@" not in printed


def failed(result: Any) -> dict[str, str]:
    return {check["name"]: check["detail"] for check in result["checks"] if not check["ok"]}


@on_both
def test_a_server_that_is_well(
    client: TestClient, run: Run, config_file: Path, secrets: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    post(client, event())
    result = run("check")
    assert result["ok"] is True
    details = {check["name"]: check["detail"] for check in result["checks"]}
    assert details["writers"] == f"1 writer in {secrets['writers_file']}."
    secrets["writers_file"].unlink()
    assert main(["check", "--config", str(config_file)]) == 0
    assert "ok      writers      No file, so nobody.\n" in capsys.readouterr().out


def test_a_server_that_is_not(run: Run, config_file: Path, secrets: dict[str, Path]) -> None:
    secrets["writers_file"].write_text("class1:short\n")
    secrets["instructors_file"].write_text("teacher\n")
    folder = config_file.parent
    config_file.write_text(f'database_path = "{folder}/none.sqlite3"\nlimits.min_free_bytes = {2**62}\n')
    problems = failed(run("check", code=1))
    assert set(problems) == {"writers", "instructors", "disk", "store"}
    assert "class1" in problems["writers"]
    assert "bytes are free; at least" in problems["disk"]
    config_file.write_text('database_path = "/nowhere/at/all.sqlite3"\n')
    assert "/nowhere/at cannot be used" in failed(run("check", code=1))["disk"]
    config_file.write_text("port = 1\n")
    assert set(failed(run("check", code=1))) == {"config"}


@on_postgresql
def test_a_database_that_a_power_failure_would_destroy(client: TestClient, postgresql: Postgres, run: Run) -> None:
    assert client
    postgresql.execute("ALTER SYSTEM SET fsync = off")
    postgresql.execute("SELECT pg_reload_conf()")
    try:
        time.sleep(0.3)
        assert "fsync off" in failed(run("check", code=1))["store"]
    finally:
        postgresql.execute("ALTER SYSTEM RESET fsync")
        postgresql.execute("SELECT pg_reload_conf()")


def test_a_damaged_store(client: TestClient, run: Run, config_file: Path) -> None:
    post(client, *[event(code="x" * 5000) for _ in range(50)])
    client.__exit__()
    database = config_file.parent / "events.sqlite3"
    content = bytearray(database.read_bytes())
    for page in range(20, len(content) // 4096):
        content[page * 4096 : page * 4096 + 16] = b"\xff" * 16
    database.write_bytes(content)
    assert set(failed(run("check", code=1))) == {"store"}
