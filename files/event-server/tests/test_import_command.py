"""``event-server import``."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import event, on_both, post
from event_server.cli import main
from event_server.config import load_config
from event_server.stores import open_upkeep
from starlette.testclient import TestClient

TARO = "taro@example.jp"
Import = Callable[..., Any]


@pytest.fixture
def run(config_file: Path, capsys: pytest.CaptureFixture[str]) -> Import:
    """Imports a file and returns the command's JSON."""

    def run(file: Path | str, code: int = 0) -> Any:
        capsys.readouterr()
        assert main(["import", "--json", "--config", str(config_file), str(file)]) == code
        return json.loads(capsys.readouterr().out)

    return run


@on_both
def test_what_was_exported_and_erased_comes_back(
    client: TestClient, config_file: Path, tmp_path: Path, run: Import
) -> None:
    config = ["--config", str(config_file), "--email", TARO]
    post(client, *[event(ago=number, code=f"x = '{number} ひ'") for number in range(200)])
    with open_upkeep(load_config(config_file)) as store:
        before = list(store.events(TARO))
    output = tmp_path / "taro.jsonl"
    assert main(["export", *config, "--output", str(output)]) == 0
    assert run(output) == {"stored": 0, "duplicates": len(before), "invalid": 0, "invalidLines": []}
    assert main(["erase", "--yes", *config]) == 0
    assert run(output) == {"stored": len(before), "duplicates": 0, "invalid": 0, "invalidLines": []}
    with open_upkeep(load_config(config_file)) as store:
        assert list(store.events(TARO)) == before
    assert len(before) == 200


@on_both
def test_events_of_clients_are_taken_and_others_named(
    client: TestClient, config_file: Path, run: Import, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert client
    good = event(ago=5)
    two = f"{json.dumps(event())}, {json.dumps(event())}"
    future = {"receivedAt": "2999-01-01T00:00:00Z", "event": event(eventTime="2999-01-01T00:00:00Z")}
    bad = event()
    del bad["emailAddress"]
    lines = [json.dumps(good), "", "{", two, json.dumps(bad), json.dumps(future), "[" * 5000, "7"]
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO("\n".join(lines).encode() + b"\n\xff\n")))
    result = run("-", code=1)
    assert (result["stored"], result["duplicates"], result["invalid"]) == (2, 0, 6)
    assert [problem["line"] for problem in result["invalidLines"]] == [3, 4, 5, 7, 8, 9]
    assert "emailAddress" in result["invalidLines"][2]["reason"]
    with open_upkeep(load_config(config_file)) as store:
        assert store.count(TARO) == 2
        assert store.statistics().last is not None
        assert store.statistics().last < 32_000_000_000_000


def test_many_problems_are_not_all_shown(
    client: TestClient, config_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert client
    file = tmp_path / "x.jsonl"
    file.write_text("x\n" * 22)
    assert main(["import", "--config", str(config_file), str(file)]) == 1
    printed = capsys.readouterr()
    assert printed.out == "0 events stored, 0 stored before, 22 refused.\n"
    assert printed.err.startswith("Line 1: it is not JSON.\n")
    assert printed.err.endswith("Line 20: it is not JSON.\nAnd 2 lines more.\n")


@on_both
def test_more_than_one_transaction(client: TestClient, tmp_path: Path, run: Import) -> None:
    assert client
    file = tmp_path / "x.jsonl"
    file.write_text("".join(json.dumps(event()) + "\n" for _ in range(600)))
    assert run(file)["stored"] == 600


def test_what_cannot_be_read(client: TestClient, config_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert client
    assert main(["import", "--config", str(config_file), "/nowhere/x"]) == 1
    assert capsys.readouterr().err == "/nowhere/x cannot be read: No such file or directory.\n"


def test_a_store_is_made_by_the_server_only(config_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import", "--config", str(config_file), "-"]) == 1
    assert "There is no store" in capsys.readouterr().err
    assert not (config_file.parent / "events.sqlite3").exists()
