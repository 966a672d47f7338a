import logging
from pathlib import Path

import pytest
from event_server.sessions import LIFETIME_SECONDS, Sessions, read_key

KEY = b"k" * 32
HASHES = {"teacher": "hash", "先生": "other hash"}


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def test_a_session_outlives_the_process() -> None:
    token = Sessions(KEY, HASHES).begin("先生")
    session = Sessions(KEY, HASHES).find(token)
    assert session is not None
    assert session.name == "先生"


def test_a_session_ends_when_it_is_not_used() -> None:
    clock = Clock()
    sessions = Sessions(KEY, HASHES, clock=clock)
    token = sessions.begin("teacher")
    clock.now += LIFETIME_SECONDS - 1
    session = sessions.find(token)
    assert session is not None
    longer = sessions.prolong(session)
    clock.now += 1
    assert sessions.find(token) is None
    assert sessions.find(longer) is not None


def test_logging_out_ends_all_tokens_of_a_session_and_no_other() -> None:
    sessions = Sessions(KEY, HASHES)
    token, other = sessions.begin("teacher"), sessions.begin("teacher")
    session = sessions.find(token)
    assert session is not None
    longer = sessions.prolong(session)
    sessions.end(session)
    assert [sessions.find(each) for each in (token, longer)] == [None, None]
    assert sessions.find(other) is not None


@pytest.mark.parametrize("hashes", [{"teacher": "a new hash"}, {}])
def test_another_password_ends_sessions(hashes: dict[str, str]) -> None:
    token = Sessions(KEY, HASHES).begin("teacher")
    assert Sessions(KEY, hashes).find(token) is None


def test_another_key_ends_sessions() -> None:
    assert Sessions(b"x" * 32, HASHES).find(Sessions(KEY, HASHES).begin("teacher")) is None


def test_forged_tokens() -> None:
    sessions = Sessions(KEY, HASHES)
    token = sessions.begin("teacher")
    content, signature = token.split(".")
    forged = [
        "",
        ".",
        "x",
        "é.é",
        content,
        content + ".",
        "." + signature,
        content + "A." + signature,
        content + "." + "A" * 43,
    ]
    assert [sessions.find(each) for each in forged] == [None] * len(forged)


def test_a_browser_is_known_for_one_name_and_is_no_login() -> None:
    sessions = Sessions(KEY, HASHES)
    token = sessions.know_device("teacher")
    assert sessions.device("teacher", token)
    assert sessions.device("先生", token) is None
    assert sessions.find(token) is None
    assert sessions.device("teacher", sessions.begin("teacher")) is None


def test_the_key_is_made_once_for_the_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "session-key"
    key = read_key(path)
    assert len(key) == 32
    assert read_key(path) == key
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_without_a_key_file_sessions_end_with_the_process(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert read_key(tmp_path / "no" / "session-key") != read_key(tmp_path / "no" / "session-key")
        (tmp_path / "short").write_bytes(b"x")
        assert len(read_key(tmp_path / "short")) == 32
    assert len(caplog.records) == 3
