"""``event-server token``."""

import json
from pathlib import Path
from typing import Any

import pytest
from event_server.cli import main
from event_server.tokens import Tokens


def run(capsys: pytest.CaptureFixture[str], config_file: Path, *arguments: str) -> Any:
    assert main(["token", *arguments, "--json", "--config", str(config_file)]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_token_from_its_making_to_its_end(config_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = config_file.parent / "writers"
    assert run(capsys, config_file, "list")["writers"] == []
    made = run(capsys, config_file, "create", "class1")
    assert made["file"] == str(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert made["token"] not in path.read_text()
    assert Tokens(path).name_of(made["token"]) == "class1"
    path.write_text("# by hand\n" + path.read_text())
    path.chmod(0o640)
    run(capsys, config_file, "create", "class2")
    assert run(capsys, config_file, "list")["writers"] == ["class1", "class2"]
    assert path.stat().st_mode & 0o777 == 0o640
    run(capsys, config_file, "revoke", "class1")
    assert run(capsys, config_file, "list")["writers"] == ["class2"]
    assert path.read_text().startswith("# by hand\nclass2:")
    assert [entry.name for entry in config_file.parent.iterdir() if entry.name.startswith(".")] == []


def test_it_says_who_else_writes_the_file(config_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["token", "list", "--config", str(config_file)]) == 0
    assert capsys.readouterr().out == f"There are no writers in {config_file.parent}/writers.\n"
    assert main(["token", "create", "class1", "--config", str(config_file)]) == 0
    assert "The next deploy by Ansible" in capsys.readouterr().out
    assert main(["token", "revoke", "class1", "--config", str(config_file)]) == 0
    assert "within a second" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["token", "--help"])
    assert "event_server_writers" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["create", "a:b"], "a:b is no name"),
        (["create", "known"], "known has a token in"),
        (["revoke", "unknown"], "unknown has no token in"),
    ],
)
def test_what_is_refused(
    config_file: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    (config_file.parent / "writers").write_text("known:" + "0" * 64 + "\n")
    assert main(["token", *arguments, "--config", str(config_file)]) == 1
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1


def test_a_folder_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "config.toml"
    config.write_text(f'database_path = "/x"\nwriters_file = "{tmp_path}/none/writers"\n')
    assert main(["token", "create", "class1", "--config", str(config)]) == 1
    assert "cannot be written" in capsys.readouterr().err


def test_a_file_that_cannot_be_replaced_stays(
    config_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    before = (config_file.parent / "writers").write_text("known:" + "0" * 64 + "\n")
    monkeypatch.setattr("os.fsync", full)
    assert main(["token", "create", "class1", "--config", str(config_file)]) == 1
    assert "No space left on device" in capsys.readouterr().err
    assert {path.name for path in config_file.parent.iterdir()} == {"config.toml", "writers"}
    assert (config_file.parent / "writers").stat().st_size == before
