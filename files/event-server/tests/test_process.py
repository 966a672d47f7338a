import http.client
import json
import random
import resource
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

import httpx
import pytest
from conftest import PASSWORD, READER, TOKEN, WRITER, Process, Stored, event, on_both, post
from posters import wait_until

MakeProcess = Callable[..., Process]


def stored_ids(database: Stored) -> list[str]:
    return [event_id for (event_id,) in database.rows("SELECT event_id FROM events")]


class Load(threading.Thread):
    """A client that posts as fast as it is answered, and remembers what was accepted."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.port = port
        self.stopped = threading.Event()
        self.accepted: list[str] = []

    def run(self) -> None:
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)) as connection:
            self.post(connection)

    def post(self, connection: http.client.HTTPConnection) -> None:
        while not self.stopped.is_set():
            events = [event() for _ in range(random.choice((1, 5)))]
            try:
                connection.request("POST", "/api/v1/events", json.dumps(events), WRITER)
                answer = connection.getresponse()
                answer.read()
            except (OSError, http.client.HTTPException):
                return
            if answer.status == 202:
                self.accepted += [sent["eventId"] for sent in events]


def fill(client: httpx.Client) -> tuple[set[str], httpx.Response]:
    """Posts until the store is full; returns the ids that were accepted and the refusal."""
    accepted: set[str] = set()
    for _ in range(1000):
        events = [event(code="x" * 5000) for _ in range(20)]
        answer = post(client, *events)
        if answer.status_code != 202:
            return accepted, answer
        accepted |= {sent["eventId"] for sent in events}
    raise AssertionError("the store did not fill")


def recovers(client: httpx.Client, process: Process, accepted: set[str]) -> None:
    sent = event()
    assert post(client, sent).status_code == 202
    assert client.get("/health").status_code == 200
    client.close()
    assert process.stop() in (0, -15)
    assert sorted(stored_ids(process.database)) == sorted({*accepted, sent["eventId"]})


def test_a_file_that_may_not_grow(make_process: MakeProcess) -> None:
    process = make_process(limits="{min_free_bytes = 0}").start()
    client = httpx.Client(base_url=process.url, timeout=20)
    _, hard = resource.prlimit(process.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(process.process.pid, resource.RLIMIT_FSIZE, (2**20, hard))
    accepted, refusal = fill(client)
    assert refusal.status_code == 503
    resource.prlimit(process.process.pid, resource.RLIMIT_FSIZE, (hard, hard))
    recovers(client, process, accepted)


def test_an_end_that_is_asked_for_answers_what_was_begun(make_process: MakeProcess) -> None:
    process = make_process().start()
    loads = [Load(process.port) for _ in range(4)]
    for load in loads:
        load.start()
    wait_until(lambda: all(load.accepted for load in loads), "all are answered")
    code = process.stop()
    for load in loads:
        load.stopped.set()
        load.join(10)
    assert code in (0, -15)
    accepted = {event_id for load in loads for event_id in load.accepted}
    assert accepted
    assert accepted == set(stored_ids(process.database))
    assert not list(process.database.path.parent.glob("*-wal"))


class NewConnections(Load):
    """A client that connects for each request, and notes what was refused or cut off."""

    def run(self) -> None:
        self.failures: list[str] = []
        while not self.stopped.is_set():
            sent = event()
            with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)) as connection:
                try:
                    connection.request("POST", "/api/v1/events", json.dumps([sent]), WRITER)
                    status: object = connection.getresponse().status
                except (OSError, http.client.HTTPException) as error:
                    status = repr(error)
            if status == 202:
                self.accepted.append(sent["eventId"])
            else:
                self.failures.append(str(status))


def has_more(loads: Sequence[Load], than: int) -> bool:
    return sum(len(load.accepted) for load in loads) > than


def test_a_restart_refuses_and_cuts_off_nobody(make_process: MakeProcess) -> None:
    process = make_process()
    with socket.create_server(("127.0.0.1", process.port), backlog=4096) as listener:
        process.launch(listener)
        loads = [NewConnections(process.port) for _ in range(8)]
        for load in loads:
            load.start()
        for _ in range(3):
            before = sum(len(load.accepted) for load in loads)
            wait_until(partial(has_more, loads, before + 50), "more is accepted")
            assert process.stop() in (0, -15)
            process.launch(listener)
        for load in loads:
            load.stopped.set()
            load.join(20)
        assert process.stop() in (0, -15)
    assert [failure for load in loads for failure in load.failures] == []
    assert {event_id for load in loads for event_id in load.accepted} == set(stored_ids(process.database))


def test_a_server_beside_another(make_process: MakeProcess, tmp_path: Path) -> None:
    process = make_process()
    process.launch(unix_socket=tmp_path / "http.sock")
    transport = httpx.HTTPTransport(uds=str(tmp_path / "http.sock"))
    with httpx.Client(transport=transport, base_url="http://localhost") as client:
        wait_until((tmp_path / "http.sock").exists, "it listens")
        assert client.get("/health").status_code == 200
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", process.port))


def test_an_answer_comes_in_one_piece(make_process: MakeProcess) -> None:
    process = make_process().start()
    request = b"POST /api/v1/events HTTP/1.1\r\nHost: x\r\nConnection: %b\r\nContent-Length: 2\r\n\r\n[]"
    # The last of them closes the connection.
    for connection in (b"keep-alive",) * 20 + (b"close",):
        with socket.create_connection(("127.0.0.1", process.port), timeout=10) as client:
            client.sendall(request % connection)
            head, _, body = client.recv(65536).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 401")
            assert json.loads(body) == {"detail": "a writer's token is needed"}


def test_the_service_manager_hears_when_it_answers(make_process: MakeProcess, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(str(tmp_path / "notify"))
        channel.settimeout(10)
        process = make_process().start(NOTIFY_SOCKET=str(tmp_path / "notify"))
        assert channel.recv(100) == b"READY=1"
        assert httpx.get(process.url + "/health").status_code == 200
        process.stop()
        assert channel.recv(100) == b"STOPPING=1"


@on_both
def test_the_log_is_json_and_holds_nobodys_data(make_process: MakeProcess) -> None:
    process = make_process().start()
    with httpx.Client(base_url=process.url) as client:
        post(client, event(), event(cellIndex=-1))
        post(client, event(), Authorization="Bearer something-else")
        client.get("/api/v1/dashboard/overview?time_range=taro@example.jp", headers=READER)
    process.stop()
    log = process.log.read_text()
    lines = [json.loads(line) for line in log.splitlines()]
    assert {"time", "level", "logger", "message"} <= set(lines[0])
    assert any("1 of 2 events" in line["message"] for line in lines)
    for private in ("taro", "太郎", "lesson", TOKEN, "something-else", PASSWORD):
        assert private not in log


def test_a_bad_configuration_does_not_start(make_process: MakeProcess, secrets: dict[str, Path]) -> None:
    process = make_process()
    secrets["writers_file"].write_text("class1:short\n")
    with pytest.raises(AssertionError, match="The writer class1 needs the SHA-256"):
        process.start()
    assert process.process.returncode == 1
