from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from conftest import READER, event, iso, post
from starlette.testclient import TestClient

URL = "/api/v1/dashboard/students/taro@example.jp/activity"


def page(client: TestClient) -> Any:
    answer = client.get(URL, headers=READER)
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    return answer.json()


def test_a_students_page(client: TestClient) -> None:
    failed = event(ago=5, hasError=True, errorMessage="NameError: x", metadata={"x": 1}, unknown="kept")
    post(client, event("notebook_opened", ago=20), failed, event(emailAddress="hanako@example.jp"))
    seen = page(client)
    assert (seen["student"]["emailAddress"], seen["student"]["status"]) == ("taro@example.jp", "error")
    (execution,) = seen["recentExecutions"]
    left_out = ("eventType", "emailAddress", "userName", "teamName", "metadata", "unknown")
    assert execution == {key: value for key, value in failed.items() if key not in left_out}
    (session,) = seen["sessions"]
    assert session == {
        "sessionId": failed["sessionId"],
        "startedAt": session["startedAt"],
        "lastActivity": failed["eventTime"],
        "notebookPath": "lesson/1.ipynb",
        "cellExecutions": 1,
        "errorCount": 1,
    }
    assert session["startedAt"] < session["lastActivity"]


def test_the_latest_come_first_and_there_are_so_many(client: TestClient) -> None:
    agos = [*range(30), *reversed(range(30, 60))]
    post(client, *(event(ago=ago, sessionId=f"s{ago % 12}", executionCount=ago) for ago in agos))
    seen = page(client)
    assert [execution["executionCount"] for execution in seen["recentExecutions"]] == list(range(50))
    assert [session["sessionId"] for session in seen["sessions"]] == [f"s{number}" for number in range(10)]
    assert sum(session["cellExecutions"] for session in seen["sessions"]) == 50


def test_acknowledged_here_too(client: TestClient) -> None:
    post(client, event("help", ago=5), *(event(hasError=True, ago=ago) for ago in (9, 8, 7)))
    for verb in ("dismiss-help", "resolve-error"):
        client.post(URL.replace("activity", verb), json={}, headers=READER)
    found = page(client)["student"]
    assert (found["isRequestingHelp"], found["hasSignificantError"], found["errorCount"]) == (False, False, 3)


@pytest.mark.parametrize("events", [[], [event(emailAddress="hanako@example.jp")], [event(ago=8 * 86400)]])
def test_an_unknown_student(client: TestClient, events: list[dict[str, Any]]) -> None:
    post(client, *events)
    answer = client.get(URL, headers=READER)
    assert (answer.status_code, answer.json()) == (404, {"detail": "unknown student"})


def test_events_that_leave_fields_out(client: TestClient) -> None:
    moment = iso(datetime.now(UTC) - timedelta(seconds=1))
    bare = {"eventId": "1", "eventType": "cell_executed", "eventTime": moment, "emailAddress": "taro@example.jp"}
    post(client, bare, bare | {"eventId": "2", "code": None, "cellIndex": None, "hasError": None})
    seen = page(client)
    assert seen["sessions"] == []
    assert [execution["eventId"] for execution in seen["recentExecutions"]] == ["2", "1"]
    assert seen["recentExecutions"][0]["code"] is None


def test_strangers_cannot_read(client: TestClient) -> None:
    post(client, event())
    answer = client.get(URL)
    assert answer.status_code == 401
    assert "print" not in answer.text
