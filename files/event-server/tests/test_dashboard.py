import base64
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import pytest
from conftest import PASSWORD, READER, event, overview, post
from event_server.auth import Instructors
from starlette.testclient import TestClient

URL = "/api/v1/dashboard/overview"


def basic(name: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def test_the_overview(client: TestClient) -> None:
    post(client, event(hasError=True, errorMessage="ZeroDivisionError: division by zero"), event())
    post(client, event("help"), event("help", emailAddress="hanako@example.jp", userName="花子", ago=1000))
    seen = overview(client)
    taro, hanako = seen["students"]
    assert taro == {
        "emailAddress": "taro@example.jp",
        "userName": "太郎",
        "teamName": "チームA",
        "currentNotebook": "lesson/1.ipynb",
        "lastActivity": taro["lastActivity"],
        "status": "help",
        "isRequestingHelp": True,
        "cellExecutions": 2,
        "errorCount": 1,
        "consecutiveErrorCount": 0,
        "hasSignificantError": False,
        "helpSince": taro["helpSince"],
    }
    assert taro["helpSince"] == taro["lastActivity"]
    assert taro["lastActivity"].endswith("Z")
    assert (hanako["userName"], hanako["status"]) == ("花子", "idle")
    assert seen["metrics"] == {
        "totalStudents": 2,
        "totalActive": 1,
        "errorCount": 1,
        "significantErrorCount": 0,
        "totalExecutions": 2,
        "helpCount": 1,
    }
    assert set(seen["activityChart"][0]) == {"time", "executionCount", "errorCount", "helpCount"}


def test_time_ranges(client: TestClient) -> None:
    post(client, event(ago=50 * 60), event(ago=20 * 3600), event(ago=6 * 86400), event(ago=8 * 86400))
    found = [overview(client, time_range)["metrics"]["totalExecutions"] for time_range in ("1h", "24h", "7d")]
    assert found == [1, 2, 3]


def test_events_out_of_order(client: TestClient) -> None:
    post(client, event("help_stop", ago=5))
    post(client, event("help", ago=10))
    assert overview(client)["students"][0]["isRequestingHelp"] is False


def test_a_bad_time_range_is_named(client: TestClient) -> None:
    answer = client.get(URL, params={"time_range": "1y"}, headers=READER)
    assert answer.status_code == 422
    assert "time_range" in answer.text


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "Basic",
        "Basic !",
        "Basic " + base64.b64encode(b"teacher").decode(),
        "Basic " + base64.b64encode(b"\xff:\xff").decode(),
        basic("teacher", "wrong"),
        basic("nobody", PASSWORD),
        "Bearer x",
    ],
)
@pytest.mark.parametrize("url", [URL, URL + "?time_range=1y"])
def test_strangers_cannot_read(client: TestClient, authorization: str | None, url: str) -> None:
    answer = client.get(url, headers={} if authorization is None else {"Authorization": authorization})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Basic")
    assert "students" not in answer.text


def test_without_instructors_nobody_reads(make_client: Callable[..., TestClient]) -> None:
    client = make_client(instructors_file=None, writers_file=None)
    assert client.get(URL, headers=READER).status_code == 401


def test_a_right_password_is_verified_once(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    verify = Mock(side_effect=Instructors._verify, autospec=True)
    monkeypatch.setattr(Instructors, "_verify", lambda *arguments: verify(*arguments))
    overview(client)
    overview(client)
    assert verify.call_count == 1
    for _ in range(2):
        client.get(URL, headers={"Authorization": basic("teacher", "wrong")})
    assert verify.call_count == 3


def test_a_store_that_cannot_be_read(make_client: Callable[..., TestClient], tmp_path: Path) -> None:
    client = make_client(database_path=tmp_path / "later" / "events.sqlite3")
    answer = client.get(URL, headers=READER)
    assert (answer.status_code, "retry-after" in answer.headers) == (503, True)
