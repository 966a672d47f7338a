import json
import logging
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cell_monitor.notice import MAX_FILE_BYTES, NoticeFile
from conftest import post, refused

LOG = logging.getLogger("test")
LATER = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
EARLIER = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "notice.json"


def write(file: Path, notice: Any, age: float = 60.0) -> None:
    file.write_text(notice if isinstance(notice, str) else json.dumps(notice), encoding="utf-8")
    moment = file.stat().st_mtime - age
    os.utime(file, (moment, moment))


def test_reads_a_notice_as_long_as_it_lasts(file: Path) -> None:
    notices = NoticeFile(file, LOG)
    assert notices.current() is None
    write(
        file,
        {"message": " 10:30まで\u3000答えは\u0007この端末に残ります\n🙂\ud83d ", "until": LATER, "severity": "warning"},
    )
    notice = notices.current()
    assert notice is not None
    first = notice.answer()
    assert first["message"] == "10:30まで\u3000答えはこの端末に残ります\n🙂"
    assert (first["until"], first["severity"]) == (LATER, "warning")
    assert notices.current() == notice
    write(file, {"message": "10:30まで", "until": EARLIER}, age=50)
    assert notices.current() is None
    write(file, {"message": "ずっと"}, age=40)
    notice = notices.current()
    assert notice is not None
    assert (notice.answer()["until"], notice.severity) == (None, "info")
    assert notice.answer()["id"] != first["id"]
    file.unlink()
    assert notices.current() is None


def test_the_id_is_the_same_for_the_same_text_and_end(file: Path) -> None:
    ids = []
    for notice in ({"message": "x"}, {"message": "x", "until": ""}, {"message": "x", "until": LATER}):
        write(file, notice)
        current = NoticeFile(file, LOG).current()
        assert current is not None
        ids.append(current.answer()["id"])
    assert ids[0] == ids[1] != ids[2]


def test_is_read_when_it_has_changed(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[Path] = []
    path_open = Path.open
    notices = NoticeFile(file, LOG)

    def counting(path: Path, *args: Any, **options: Any) -> Any:
        reads.append(path)
        return path_open(path, *args, **options)

    write(file, {"message": "a"})
    monkeypatch.setattr(Path, "open", counting)
    for _ in range(3):
        assert notices.current() is not None
    assert len(reads) == 1


def test_a_change_at_once_is_seen_although_the_time_of_change_is_the_same(file: Path) -> None:
    notices = NoticeFile(file, LOG)
    write(file, {"message": "a"}, age=0)
    status = file.stat()
    assert notices.current() is not None
    file.write_text('{"message": "b"}')
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    notice = notices.current()
    assert notice is not None
    assert notice.message == "b"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ('{"message": "half a wri', "it is not JSON"),
        ("[" * 10_000, "it is not JSON"),
        ("[]", "it is not a JSON object"),
        ({}, "its message is not a text with content"),
        ({"message": " \n"}, "its message is not a text with content"),
        ({"message": ["x"]}, "its message is not a text with content"),
        ({"message": "x" * 1001}, "its message has more than 1000 characters"),
        ({"message": "x", "severity": "fatal"}, "its severity is 'fatal', not one of info, warning"),
        ({"message": "x", "until": "10:30"}, "its until is '10:30', not a time such as"),
        ({"message": "x", "until": "2026-11-24T10:30:00"}, "not a time such as"),
        ({"message": "x", "until": 7}, "its until is 7, not a time"),
        ("x" * (MAX_FILE_BYTES + 1), f"it has more than {MAX_FILE_BYTES} bytes"),
    ],
)
def test_says_once_what_is_wrong_with_a_file(
    file: Path, content: Any, problem: str, caplog: pytest.LogCaptureFixture
) -> None:
    notices = NoticeFile(file, LOG)
    write(file, content)
    for _ in range(3):
        assert notices.current() is None
    (record,) = caplog.records
    assert problem in record.getMessage()
    write(file, {"message": "whole"})
    assert notices.current() is not None


def test_an_empty_file_is_no_notice(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(file, " \n")
    assert NoticeFile(file, LOG).current() is None
    assert NoticeFile(None, LOG).current() is None
    assert caplog.records == []


@pytest.mark.skipif(os.name != "posix", reason="pipes in folders are POSIX")
def test_does_not_wait_for_a_pipe(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    os.mkfifo(file)
    assert NoticeFile(file, LOG).current() is None
    assert "it is not a file" in caplog.text


def test_a_file_that_cannot_be_reached_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").touch()
    notices = NoticeFile(tmp_path / "file" / "notice.json", LOG)
    assert notices.current() is None
    assert notices.current() is None
    assert len(caplog.records) == 1


@pytest.mark.usefixtures("stopped")
async def test_whoever_is_logged_in_gets_it(jp_fetch: Any, jp_serverapp: Any, file: Path) -> None:
    await post(jp_fetch, [])
    activity = jp_serverapp.web_app.settings["api_last_activity"]
    response = await jp_fetch("cell-monitor", "notice")
    assert (response.code, response.body) == (204, b"")
    write(file, {"message": "まもなく再開します", "until": LATER})
    response = await jp_fetch("cell-monitor", "notice")
    assert (response.code, response.headers["Cache-Control"]) == (200, "no-store")
    answer = json.loads(response.body)
    assert answer.keys() == {"id", "message", "until", "severity"}
    assert answer["message"] == "まもなく再開します"
    # A page that is left open must not keep the server from being stopped as idle.
    assert jp_serverapp.web_app.settings["api_last_activity"] == activity
    code, _, _ = await refused(jp_fetch("cell-monitor", "notice", headers={"Authorization": "token wrong"}))
    assert code == 403
