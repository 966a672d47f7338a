"""Servers that share a database show the same class."""

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
from conftest import PASSWORD, READER, SRC, Process, Stored, event, overview, post, write_secrets
from posters import load, wait_until
from postgres import Postgres
from websockets.sync.client import connect

HANAKO = "hanako@example.jp"
# A screen elsewhere shows it within a second or two.
SOON = 2.0


class Pair:
    """Two servers, and a client of each."""

    def __init__(self, processes: list[Process]) -> None:
        self.processes = processes
        self.clients = [httpx.Client(base_url=process.url, timeout=20) for process in processes]

    def students(self, place: int) -> dict[str, Any]:
        return {student["emailAddress"]: student for student in overview(self.clients[place])["students"]}

    def acknowledge(self, place: int, verb: str, email: str) -> None:
        url = f"/api/v1/dashboard/students/{email}/{verb}"
        assert self.clients[place].post(url, json={}, headers=READER).status_code == 200


@pytest.fixture(scope="module")
def shared(postgresql: Postgres) -> Stored:
    return Stored({"database_url": postgresql.create()})


@pytest.fixture(scope="module")
def pair(shared: Stored, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("pair")
    files = write_secrets(folder) | {"session_key_file": folder / "session-key"}
    files["session_key_file"].write_bytes(bytes(range(32)))
    processes = [Process(folder / name, files, shared, log_level='"warning"').start() for name in ("first", "second")]
    pair = Pair(processes)
    for client in pair.clients:
        overview(client)
    yield pair
    for process, client in zip(processes, pair.clients, strict=True):
        client.close()
        process.kill()


@pytest.fixture
def taro() -> str:
    """A student of the test's own."""
    return f"{uuid4()}@example.jp"


def test_events_of_one_are_shown_by_the_other(pair: Pair, taro: str) -> None:
    headers = {"Authorization": READER["Authorization"]}
    url = pair.processes[1].url.replace("http", "ws") + "/api/v1/dashboard/ws/dashboard"
    with connect(url, additional_headers=headers) as screen:
        sent = event("help", emailAddress=taro)
        assert post(pair.clients[0], sent).status_code == 202
        shown = json.loads(screen.recv(timeout=SOON))
        assert shown["data"]["eventId"] == sent["eventId"]
        assert shown["data"]["student"]["isRequestingHelp"]
        # Nothing of its own twice.
        mine = event(emailAddress=HANAKO)
        post(pair.clients[1], mine)
        assert json.loads(screen.recv(timeout=SOON))["data"]["eventId"] == mine["eventId"]
        with pytest.raises(TimeoutError):
            screen.recv(timeout=1.2)
    assert {taro, HANAKO} <= pair.students(0).keys() == pair.students(1).keys()
    assert pair.students(1)[taro]["cellExecutions"] == 0
    assert pair.students(1)[HANAKO]["cellExecutions"] == 1


def test_an_event_that_both_are_sent_is_one(pair: Pair, taro: str) -> None:
    sent = [event(emailAddress=taro), event(emailAddress=taro)]
    first = post(pair.clients[0], *sent).json()["batch_stats"]
    second = post(pair.clients[1], sent[1], event(emailAddress=taro), sent[0]).json()["batch_stats"]
    assert (first["duplicate_events"], second["duplicate_events"]) == (0, 2)
    for place in range(2):
        wait_until(lambda place=place: pair.students(place)[taro]["cellExecutions"] == 3, "three events", SOON)


def test_what_is_dismissed_at_one_is_dismissed_at_the_other(pair: Pair, taro: str) -> None:
    post(pair.clients[0], event("help", ago=5, emailAddress=taro))
    wait_until(lambda: taro in pair.students(1), "student", SOON)
    pair.acknowledge(1, "dismiss-help", taro)
    wait_until(lambda: not pair.students(0)[taro]["isRequestingHelp"], "dismissal", SOON)
    assert post(pair.clients[0], event("help", emailAddress=taro)).json()["batch_stats"]["dismissed_help"]


def test_what_is_resolved_at_one_is_resolved_at_the_other(pair: Pair, taro: str) -> None:
    post(pair.clients[0], *(event(ago=ago, hasError=True, emailAddress=taro) for ago in (3, 2, 1)))
    wait_until(lambda: taro in pair.students(1), "student", SOON)
    assert pair.students(1)[taro]["hasSignificantError"]
    pair.acknowledge(0, "resolve-error", taro)
    wait_until(lambda: not pair.students(1)[taro]["hasSignificantError"], "resolution", SOON)


def test_a_login_at_one_counts_at_the_other_until_the_logout(pair: Pair) -> None:
    form = {"name": "teacher", "password": PASSWORD}
    same = {"Sec-Fetch-Site": "same-origin"}
    answer = pair.clients[0].post("/dashboard/login", data=form, headers=same)
    assert answer.status_code == 303
    cookie = {"Cookie": f"event_server_session={answer.cookies['event_server_session']}"}

    def status(place: int) -> int:
        pair.clients[place].cookies.clear()
        return pair.clients[place].get("/dashboard/session", headers=cookie).status_code

    assert (status(0), status(1)) == (200, 200)
    pair.clients[1].post("/dashboard/logout", headers=cookie | same)
    assert status(1) == 401
    wait_until(lambda: status(0) == 401, "logout", SOON)
    pair.processes[0].stop()
    pair.processes[0].start()
    assert status(0) == 401


def test_who_is_erased_is_forgotten_by_both(pair: Pair, taro: str) -> None:
    for client in pair.clients:
        post(client, event("help", emailAddress=taro))
    wait_until(lambda: taro in pair.students(0) and taro in pair.students(1), "student", SOON)
    pair.acknowledge(0, "dismiss-help", taro)
    command = [sys.executable, "-m", "event_server", "erase", "--yes", "--email", taro]
    environment = os.environ | {"PYTHONPATH": str(SRC)}
    subprocess.run([*command, "--config", str(pair.processes[0].config)], env=environment, check=True)
    for place in range(2):
        wait_until(lambda place=place: taro not in pair.students(place), "class without the student", 30)


def test_under_load_both_know_all(pair: Pair, shared: Stored) -> None:
    chance = random.Random(1)
    with load(pair.processes[0].port, chance, 4) as first, load(pair.processes[1].port, chance, 4) as second:
        time.sleep(1)
        # What is read while others write is neither missed nor counted twice.
        pair.processes[1].kill()
        pair.processes[1].start()
        time.sleep(1)
    accepted = len(first.accepted) + len(second.accepted)
    assert len(first.accepted) > 20
    assert len(second.accepted) > 20
    ((stored,),) = shared.rows("SELECT count(*) FROM events WHERE email_address = 'taro@example.jp'")
    assert stored >= accepted
    for place in range(2):
        wait_until(
            lambda place=place: pair.students(place)["taro@example.jp"]["cellExecutions"] == stored, "every event", SOON
        )
