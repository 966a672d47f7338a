import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from conftest import READER, Process, Stored, event, on_both, overview, post
from event_server.app import create_app
from event_server.store import Acknowledgement, StoreUnavailableError
from starlette.testclient import TestClient

TARO = "taro@example.jp"
OTHER_SESSION = "22222222-2222-4222-8222-222222222222"
SESSION = event()["sessionId"]

pytestmark = on_both


def url(verb: str, email: str = TARO) -> str:
    return f"/api/v1/dashboard/students/{quote(email, safe='')}/{verb}"


def acknowledge(
    client: TestClient | httpx.Client, verb: str = "dismiss-help", email: str = TARO, **headers: str
) -> httpx.Response:
    return client.post(url(verb, email), json={}, headers=READER | headers)


def student(client: TestClient | httpx.Client, time_range: str = "1h") -> Any:
    (found,) = overview(client, time_range)["students"]
    return found


def told(answer: httpx.Response) -> Any:
    assert answer.status_code == 202, answer.text
    return answer.json()["batch_stats"]["dismissed_help"]


def failures(*agos: float) -> list[dict[str, Any]]:
    return [event(ago=ago, hasError=True, errorMessage="NameError: x") for ago in agos]


def test_a_request_is_dismissed_until_it_ends(client: TestClient) -> None:
    assert told(post(client, event("help", ago=20))) == []
    assert student(client)["isRequestingHelp"]
    answer = acknowledge(client)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json() == {"success": True, "message": answer.json()["message"], "emailAddress": TARO}
    assert told(post(client, event("help", ago=10), event())) == [SESSION]
    seen = overview(client)
    assert (seen["students"][0]["isRequestingHelp"], seen["students"][0]["status"]) == (False, "active")
    assert seen["metrics"]["helpCount"] == 0
    assert told(post(client, event())) == told(post(client, event("help_stop", ago=5))) == []
    assert told(post(client, event("help", ago=4))) == []
    assert student(client)["isRequestingHelp"]


def test_after_a_pause_it_is_a_new_request(client: TestClient) -> None:
    post(client, event("help", ago=60))
    acknowledge(client)
    assert told(post(client, event("help", ago=35))) == [SESSION]
    assert told(post(client, event("help", ago=1))) == []
    assert student(client)["isRequestingHelp"]


def test_a_press_that_the_instructor_could_not_see_yet(client: TestClient) -> None:
    """The student's clock is slow, or the events were on their way."""
    post(client, event("help", ago=12))
    acknowledge(client)
    assert told(post(client, event("help_stop", ago=8), event("help", ago=7))) == []
    assert student(client)["isRequestingHelp"]
    acknowledge(client)
    assert not student(client)["isRequestingHelp"]


def test_heartbeats_out_of_order(client: TestClient) -> None:
    post(client, event("help", ago=20))
    acknowledge(client)
    for ago in (1, 18, 9, 22):
        assert told(post(client, event("help", ago=ago))) == [SESSION]
    assert not student(client)["isRequestingHelp"]
    assert told(post(client, event("help_stop", ago=5))) == []
    assert student(client)["isRequestingHelp"]


def test_two_sessions_of_one_student(client: TestClient) -> None:
    post(client, event("help", ago=20), event("help", ago=15, sessionId=OTHER_SESSION))
    acknowledge(client)
    assert not student(client)["isRequestingHelp"]
    assert told(post(client, event("help_stop", ago=10), event("help", ago=5))) == []
    assert student(client)["isRequestingHelp"]
    assert told(post(client, event("help", ago=5, sessionId=OTHER_SESSION))) == [OTHER_SESSION]
    acknowledge(client)
    assert not student(client)["isRequestingHelp"]


def test_another_student_still_asks(client: TestClient) -> None:
    hanako = event("help", ago=1, emailAddress="hanako@example.jp")
    post(client, event("help", ago=2), hanako)
    acknowledge(client)
    asking = {found["emailAddress"]: found["isRequestingHelp"] for found in overview(client)["students"]}
    assert asking == {TARO: False, "hanako@example.jp": True}


def test_a_request_may_be_older_than_the_range(client: TestClient, make_client: Callable[..., TestClient]) -> None:
    post(client, event("help", ago=3700))
    acknowledge(client)
    assert told(post(client, *(event("help", ago=ago) for ago in range(3675, 0, -25)))) == [SESSION]
    assert not student(client)["isRequestingHelp"]
    after_a_restart = make_client()
    assert not student(after_a_restart)["isRequestingHelp"]
    assert told(post(after_a_restart, event("help"))) == [SESSION]


def test_errors_are_resolved_until_now(client: TestClient) -> None:
    post(client, *failures(9, 8, 7))
    assert student(client)["status"] == "significant_error"
    assert acknowledge(client, "resolve-error").json()["success"]
    resolved = student(client)
    assert (resolved["status"], resolved["hasSignificantError"], resolved["consecutiveErrorCount"]) == (
        "active",
        False,
        0,
    )
    assert resolved["errorCount"] == 3
    post(client, *failures(6))
    assert student(client)["status"] == "active"
    post(client, *failures(0, 0))
    again = student(client)
    assert (again["status"], again["consecutiveErrorCount"]) == ("error", 2)
    post(client, *failures(0))
    assert student(client)["status"] == "significant_error"


def test_resolving_errors_leaves_help_alone(client: TestClient) -> None:
    post(client, event("help", ago=1), *failures(9, 8, 7))
    acknowledge(client, "resolve-error")
    assert student(client)["isRequestingHelp"]
    acknowledge(client)
    post(client, *failures(0, 0, 0))
    assert student(client)["status"] == "significant_error"


@pytest.mark.parametrize("verb", ["dismiss-help", "resolve-error"])
def test_there_may_be_nothing_to_acknowledge(client: TestClient, verb: str) -> None:
    post(client, event())
    assert [acknowledge(client, verb).status_code for _ in range(2)] == [200, 200]
    assert student(client)["status"] == "active"


@pytest.mark.parametrize("verb", ["dismiss-help", "resolve-error"])
@pytest.mark.parametrize("email", ["hanako@example.jp", "", "TARO@example.jp", "taro", "%", "taro@example.jp/"])
def test_an_unknown_student(client: TestClient, verb: str, email: str) -> None:
    post(client, event())
    answer = acknowledge(client, verb, email)
    assert (answer.status_code, answer.json()) == (404, {"detail": "unknown student"})


@pytest.mark.parametrize("verb", ["dismiss-help", "resolve-error"])
def test_strangers_cannot_acknowledge(client: TestClient, verb: str) -> None:
    post(client, event("help"))
    answer = client.post(url(verb), json={})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Basic")
    assert student(client)["isRequestingHelp"]


FORM = {"Content-Type": "application/x-www-form-urlencoded"}
TEXT = {"Content-Type": "text/plain; x=application/json"}
JSON = {"Content-Type": "application/json; charset=utf-8"}


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        (JSON, True),
        ({}, False),
        (FORM, False),
        (TEXT, False),
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Origin": "http://testserver"}, True),
        ({"Origin": "http://testserver", "Sec-Fetch-Site": "same-origin"} | FORM, True),
        ({"Origin": "http://testserver", "Sec-Fetch-Site": "same-site"} | JSON, False),
        ({"Sec-Fetch-Site": "cross-site"} | JSON, False),
        ({"Sec-Fetch-Site": "none"} | JSON, False),
        ({"Origin": "https://evil.example"} | JSON, False),
        ({"Origin": "https://evil.example", "Sec-Fetch-Site": "same-origin"} | JSON, False),
        ({"Origin": "http://testserver.evil.example"} | JSON, False),
        ({"Origin": "http://testserver:8080"} | JSON, False),
        ({"Origin": "null"} | FORM, False),
    ],
)
@pytest.mark.parametrize("verb", ["dismiss-help", "resolve-error"])
def test_another_sites_page_cannot_acknowledge(
    make_client: Callable[..., TestClient], verb: str, headers: dict[str, str], allowed: bool
) -> None:
    client = make_client(cors_origins=["*"])
    post(client, event())
    assert client.post(url(verb), headers=READER | headers).status_code == (200 if allowed else 403)


def test_a_get_acknowledges_nothing(client: TestClient) -> None:
    post(client, event("help"))
    assert client.get(url("dismiss-help"), headers=READER).status_code == 405
    assert student(client)["isRequestingHelp"]


@pytest.mark.parametrize("verb", ["dismiss-help", "resolve-error"])
def test_what_cannot_be_stored_is_not_done(
    make_client: Callable[..., TestClient], database: Stored, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    def fail(*_: Any) -> Any:
        raise StoreUnavailableError("database or disk is full")

    store = database.store()
    client = make_client(store=store)
    post(client, event("help", ago=20), *failures(9, 8, 7))
    with monkeypatch.context() as full:
        full.setattr(store, "append", fail)
        answer = acknowledge(client, verb)
    assert (answer.status_code, "retry-after" in answer.headers) == (503, True)
    assert told(post(client, event("help"))) == []
    seen = student(client)
    assert (seen["isRequestingHelp"], seen["hasSignificantError"]) == (True, True)


def test_a_store_that_cannot_be_read(make_client: Callable[..., TestClient], tmp_path: Path) -> None:
    client = make_client(database_path=tmp_path / "later" / "events.sqlite3")
    for answer in (acknowledge(client), client.get(url("activity"), headers=READER)):
        assert (answer.status_code, "retry-after" in answer.headers) == (503, True)


def test_a_store_that_comes_back_after_the_start(
    make_config: Callable[..., Any], database: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was dismissed is learned as soon as the store can be read."""
    with TestClient(create_app(make_config()), client=("127.0.0.1", 1)) as client:
        post(client, event("help", ago=20))
        acknowledge(client)

    store = database.store()
    help_signals = store.help_signals
    mounted = threading.Event()

    def away_at_first(since: int) -> Any:
        if not mounted.is_set():
            raise StoreUnavailableError("not mounted")
        return help_signals(since)

    monkeypatch.setattr(store, "help_signals", away_at_first)
    with TestClient(create_app(make_config(), store), client=("127.0.0.1", 1)) as client:
        assert told(post(client, event("help", ago=12))) == []
        mounted.set()
        deadline = time.monotonic() + 10
        while not told(post(client, event("help", ago=5))):
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_heartbeats_while_it_is_dismissed(client: TestClient) -> None:
    """From the answer to the dismissal on, every heartbeat is told."""
    post(client, event("help", ago=5))
    dismissed = threading.Event()

    def beat(_: int) -> tuple[bool, list[str]]:
        after = dismissed.is_set()
        return after, told(post(client, event("help")))

    with ThreadPoolExecutor(8) as threads:
        beats = threads.map(beat, range(200))
        acknowledge(client)
        dismissed.set()
        answers = list(beats)
    assert all(names == [SESSION] for after, names in answers if after)
    assert not student(client)["isRequestingHelp"]


ADDRESSES = [
    "taro+class@example.jp",
    "100%@example.jp",
    "50%25@example.jp",
    "%2F@example.jp",
    "a/b@example.jp",
    "a//b/dismiss-help",
    "太郎@例え.jp",
    "t\u0301@example.jp",
    "two words@example.jp",
    "who?me#you@example.jp",
    "a&b=c;d\\'\"<>@example.jp",
]


def test_any_address_and_a_kill(make_process: Callable[..., Process]) -> None:
    process = make_process().start()
    with closing(httpx.Client(base_url=process.url, timeout=20)) as client:
        for number, email in enumerate(ADDRESSES):
            post(client, event("help", ago=8, emailAddress=email, sessionId=f"s{number}"), *failures(9, 8, 7))
            for verb in ("dismiss-help", "resolve-error"):
                answer = acknowledge(client, verb, email)
                assert (answer.status_code, answer.json().get("emailAddress")) == (200, email)
            page = client.get(url("activity", email), headers=READER)
            assert page.json()["student"]["emailAddress"] == email
        assert acknowledge(client, "resolve-error").status_code == 200
    process.kill()
    process.start()
    with closing(httpx.Client(base_url=process.url, timeout=20)) as client:
        seen = overview(client)["students"]
        assert {found["emailAddress"] for found in seen} == {*ADDRESSES, TARO}
        assert not any(found["isRequestingHelp"] or found["hasSignificantError"] for found in seen)
        beats = [event("help", emailAddress=email, sessionId=f"s{number}") for number, email in enumerate(ADDRESSES)]
        assert told(post(client, *beats)) == [f"s{number}" for number in range(len(ADDRESSES))]


def test_who_acknowledged_is_kept(client: TestClient, database: Stored) -> None:
    post(client, event())
    acknowledge(client)
    (row,) = database.rows(
        "SELECT kind, acknowledged_at, covers_until, email_address, instructor FROM acknowledgements"
    )
    kept = Acknowledgement(*row)
    assert (kept.kind, kept.email_address, kept.instructor) == ("help", TARO, "teacher")
    assert kept.covers_until == kept.acknowledged_at


def test_it_is_documented(client: TestClient) -> None:
    document = client.get("/api/v1/openapi.json").json()
    for verb in ("dismiss-help", "resolve-error"):
        operation = document["paths"]["/api/v1/dashboard/students/{email}/" + verb]["post"]
        assert {"200", "401", "403", "404", "503"} <= set(operation["responses"])
    assert {"Outcome", "StudentActivity", "Execution", "Session"} <= set(document["components"]["schemas"])
    assert "dismissed_help" in document["components"]["schemas"]["BatchStats"]["properties"]
