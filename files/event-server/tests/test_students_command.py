"""``event-server export`` and ``erase``."""

import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from io import StringIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import READER, SRC, WRITER, Process, event, on_both, overview, post
from event_server.cli import main
from event_server.config import load_config
from event_server.store import sqlite_upkeep
from event_server.store.sqlite import SqliteStore
from event_server.store.sqlite_upkeep import SqliteUpkeep
from event_server.stores import open_upkeep
from posters import wait_until
from starlette.testclient import TestClient

TARO, HANAKO = "taro@example.jp", "hanako@example.jp"


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def exported(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@on_both
def test_an_export_has_the_events_as_they_came(
    client: TestClient, config_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sent = [event(code="print('ひ\n')", future={"x": [1, None]}), event("help")]
    post(client, *sent, event(emailAddress=HANAKO))
    assert main(["export", "--config", str(config_file), "--email", TARO]) == 0
    lines = exported(capsys)
    assert [line["event"] for line in lines] == sent
    assert {line["writer"] for line in lines} == {"class1"}
    assert all(line["receivedAt"] >= line["event"]["eventTime"] for line in lines)


def test_an_event_of_several_lines_is_one_in_an_export(
    client: TestClient, config_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sent = event()
    client.post("/api/v1/events", content=json.dumps([sent], indent=2).replace("\n", "\r\n"), headers=WRITER)
    assert main(["export", "--config", str(config_file), "--email", TARO]) == 0
    assert [line["event"] for line in exported(capsys)] == [sent]


@on_both
def test_an_export_to_a_file_is_its_owners_and_overwrites_nothing(
    client: TestClient, config_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sent = event()
    post(client, sent)
    output = tmp_path / "taro.jsonl"
    command = ["export", "--config", str(config_file), "--email", TARO, "--output", str(output)]
    assert main(command) == 0
    assert capsys.readouterr() == ("", f"1 event of {TARO} written to {output}.\n")
    assert json.loads(output.read_text())["event"] == sent
    assert output.stat().st_mode & 0o777 == 0o600
    assert main(command) == 1
    assert capsys.readouterr().err == f"{output} cannot be made: File exists.\n"


@on_both
@pytest.mark.parametrize("command", [["export"], ["erase", "--yes"]])
def test_of_nobody_there_is_nothing(
    client: TestClient, config_file: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    post(client, event())
    assert main([*command, "--config", str(config_file), "--email", "nobody@example.jp"]) == 1
    assert capsys.readouterr() == ("", "Nothing is stored of nobody@example.jp.\n")


def test_without_a_store_there_is_one_sentence(config_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "--config", str(config_file), "--email", TARO]) == 1
    assert "There is no store at" in capsys.readouterr().err
    assert not (config_file.parent / "events.sqlite3").exists()


def test_another_database_is_not_touched(config_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with closing(sqlite3.connect(config_file.parent / "events.sqlite3")) as other:
        other.execute("CREATE TABLE x (y)")
    assert main(["erase", "--yes", "--config", str(config_file), "--email", TARO]) == 1
    assert "is not a store of events." in capsys.readouterr().err
    (config_file.parent / "events.sqlite3").write_bytes(b"no database" * 100)
    assert main(["export", "--config", str(config_file), "--email", TARO]) == 1
    assert "The store cannot be used" in capsys.readouterr().err


def test_usage(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], ["erase"], ["erode", "--email", TARO]):
        with pytest.raises(SystemExit) as error:
            main(arguments)
        assert error.value.code == 2
    with pytest.raises(SystemExit) as error:
        main(["erase", "--help"])
    assert error.value.code == 0
    assert "for ever" in capsys.readouterr().out


def test_who_is_erased_is_gone(
    client: TestClient, config_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    post(client, event(code="SECRET-OF-TARO"), event("help"), event(emailAddress=HANAKO))
    dismiss = client.post(f"/api/v1/dashboard/students/{TARO}/dismiss-help", json={}, headers=READER)
    assert dismiss.status_code == 200
    command = ["erase", "--config", str(config_file), "--email", TARO]
    assert main(command) == 1
    assert "--yes" in capsys.readouterr().err
    monkeypatch.setattr("sys.stdin", Terminal("n\n"))
    assert main(command) == 1
    assert "Erase 2 events of taro@example.jp for ever?" in capsys.readouterr().err
    monkeypatch.setattr("sys.stdin", Terminal("y\n"))
    assert main(command) == 0
    assert capsys.readouterr().out == "2 events of taro@example.jp erased.\n"
    with SqliteUpkeep(config_file.parent / "events.sqlite3") as store:
        assert (store.count(TARO), store.count(HANAKO)) == (0, 1)
        assert store._one("SELECT count(*) FROM acknowledgements") == 0
    files = [path.read_bytes() for path in config_file.parent.glob("events.sqlite3*")]
    assert not any(b"SECRET-OF-TARO" in content or b"taro@" in content for content in files)
    assert any(b"hanako@" in content for content in files)


def test_a_log_that_is_being_read_is_reported(
    client: TestClient, config_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sqlite_upkeep, "_CHECKPOINT_SECONDS", 0.0)
    post(client, event())
    with closing(sqlite3.connect(config_file.parent / "events.sqlite3", isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM events").fetchall()
        command = ["erase", "--yes", "--config", str(config_file), "--email", TARO]
        assert main(command) == 0
        assert "log may still hold them" in capsys.readouterr().out
        post(client, event())
        assert main([*command, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result == {"emailAddress": TARO, "events": 1, "acknowledgements": 0, "isOverwritten": False}


@on_both
def test_the_overview_forgets_who_is_erased(
    make_client: Callable[..., TestClient], config_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SqliteStore, "look_seconds", 0.05)
    client = make_client()
    post(client, event(), event(emailAddress=HANAKO))
    assert overview(client)["metrics"]["totalStudents"] == 2
    assert main(["erase", "--yes", "--config", str(config_file), "--email", TARO]) == 0
    deadline = time.monotonic() + 10
    while overview(client)["metrics"]["totalStudents"] == 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert [student["emailAddress"] for student in overview(client)["students"]] == [HANAKO]


@on_both
def test_under_load_every_request_is_stored_and_the_student_erased(
    make_process: Callable[..., Process], capsys: pytest.CaptureFixture[str]
) -> None:
    process = make_process(log_level='"warning"').start()
    with httpx.Client(base_url=process.url) as client:
        for _ in range(30):
            post(client, *[event() for _ in range(100)])
    stop = threading.Event()
    answers: list[tuple[int, float, str]] = []

    def send() -> None:
        with httpx.Client(base_url=process.url) as client:
            while not stop.is_set():
                sent = event(emailAddress=HANAKO)
                started = time.perf_counter()
                status = post(client, sent).status_code
                answers.append((status, time.perf_counter() - started, sent["eventId"]))

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: len(answers) > 20, "answers")
        assert main(["erase", "--yes", "--json", "--config", str(process.config), "--email", TARO]) == 0
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert json.loads(capsys.readouterr().out)["events"] == 3000
    assert {status for status, _, _ in answers} == {202}
    assert max(seconds for _, seconds, _ in answers) < 3
    assert process.stop() in (0, -15)
    with open_upkeep(load_config(process.config)) as store:
        assert store.count(TARO) == 0
        kept = {json.loads(kept.body)["eventId"] for kept in store.events(HANAKO)}
    assert kept == {sent for _, _, sent in answers}


@on_both
def test_a_reader_may_leave_early(make_process: Callable[..., Process]) -> None:
    process = make_process().start()
    with httpx.Client(base_url=process.url) as client:
        for _ in range(5):
            post(client, *[event(code="x" * 5000) for _ in range(100)])
    command = [sys.executable, "-m", "event_server", "export", "--config", str(process.config), "--email", TARO]
    with subprocess.Popen(
        command, env=os.environ | {"PYTHONPATH": str(SRC)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as export:
        assert export.stdout is not None
        assert export.stderr is not None
        assert json.loads(export.stdout.readline())["writer"] == "class1"
        export.stdout.close()
        assert export.stderr.read() == b""
    assert export.returncode == 1
