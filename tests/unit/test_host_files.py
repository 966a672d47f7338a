"""The module that writes a host's files, as Ansible runs it on a host."""

from __future__ import annotations

import grp
import json
import os
import pwd
import subprocess
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parents[2]
MINE = {"owner": pwd.getpwuid(os.getuid()).pw_name, "group": grp.getgrgid(os.getgid()).gr_name}


def run(*options: str, **arguments: Any) -> Any:
    """Result of the module on this machine."""
    told = subprocess.run(
        ["ansible", "localhost", "-m", "host_files", "-a", json.dumps(arguments), *options],
        cwd=PROJECT,
        env=os.environ
        | {
            "ANSIBLE_STDOUT_CALLBACK": "json",
            "ANSIBLE_LOAD_CALLBACK_PLUGINS": "1",
        },
        check=False,
        capture_output=True,
        text=True,
    )
    return json.loads(told.stdout[told.stdout.index("{") :])["plays"][0]["tasks"][0]["hosts"]["localhost"]


def test_files_are_written_once_and_removed(tmp_path: Path) -> None:
    path = tmp_path / "new" / "rules.yml"
    wanted = {"path": str(path), "content": "規則\n", "mode": "0640"} | MINE
    assert run("--check", files=[wanted])["written"] == [str(path)]
    assert not path.exists()
    assert run(files=[wanted])["changed"]
    assert (path.read_text(encoding="utf-8"), path.stat().st_mode & 0o777) == ("規則\n", 0o640)
    assert not run(files=[wanted])["changed"]
    assert run(files=[wanted | {"content": None}])["changed"]
    assert not path.exists()


def test_folders_are_made_first(tmp_path: Path) -> None:
    folder = tmp_path / "above" / "secrets"
    folders = [{"path": str(folder), "mode": "0700"} | MINE]
    files = [{"path": str(folder / "key"), "content": "key"} | MINE]
    assert run("--check", folders=folders, files=files)["written"] == [str(folder), str(folder / "key")]
    assert not folder.exists()
    assert run(folders=folders, files=files)["changed"]
    assert folder.stat().st_mode & 0o777 == 0o700
    assert not run(folders=folders, files=files)["changed"]
    folder.chmod(0o755)
    assert run(folders=folders, files=files)["written"] == [str(folder)]
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_check_has_room_to_write(tmp_path: Path) -> None:
    check = ["sh", "-c", 'sed s/good/better/ "$0" >"$1" && grep better "$1"', "%s", "%t"]
    assert run(files=[{"path": str(tmp_path / "file"), "content": "good\n", "validate": check} | MINE])["changed"]
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_where_one_is_refused_none_is_written(tmp_path: Path) -> None:
    good, bad = tmp_path / "good", tmp_path / "bad"
    files = [
        {"path": str(good), "content": "good"} | MINE,
        {"path": str(bad), "content": "bad", "validate": ["grep", "good", "%s"]} | MINE,
    ]
    answer = run(files=files)
    assert answer["failed"]
    assert f"{bad} is not accepted by grep" in answer["msg"]
    assert list(tmp_path.iterdir()) == []


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("plugh before")
    answer = run("--diff", secrets=[{"path": str(path), "content": "plugh after"} | MINE])
    assert path.read_text() == "plugh after"
    assert "plugh" not in json.dumps(answer["diff"])
    assert "plugh after" not in json.dumps(answer)
