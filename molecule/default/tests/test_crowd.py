"""1,000 students are connected at once, and the event server is restarted beneath them: nobody is refused."""

from __future__ import annotations

import asyncio
import json
import random
import resource
import ssl
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from conftest import Server, event
from testinfra.host import Host
from websockets.asyncio.client import ClientConnection, connect

# One host is enough: the kernel's limits and nginx's are the same.
testinfra_hosts = ["ssh://debian12"]

STUDENTS = 1_000
POSTS = 3
SECONDS = 6.0
# Handshakes at once: more would only wait for each other.
AT_ONCE = 50


class Student:
    """A notebook that is open: a websocket to JupyterLab, and a connection for events that stays."""

    def __init__(self, server: Server, context: ssl.SSLContext, run: str) -> None:
        self._server = server
        self._context = context
        self._run = run
        self._websocket: ClientConnection | None = None

    async def come(self, headers: dict[str, str]) -> None:
        """Connect."""
        url = f"wss://{self._server.address}/api/events/subscribe"
        self._websocket = await connect(
            url, ssl=self._context, additional_headers=headers, proxy=None, open_timeout=60, ping_interval=None
        )
        self._reader, self._writer = await asyncio.open_connection(self._server.address, 443, ssl=self._context)

    async def work(self) -> list[int]:
        """Post some events at random moments; returns the answers."""
        answers = []
        for _ in range(POSTS):
            await asyncio.sleep(random.uniform(0, 2 * SECONDS / POSTS))
            answers.append(await self._post())
        return answers

    async def is_connected(self) -> bool:
        """Whether the websocket still answers."""
        assert self._websocket is not None
        pong = await self._websocket.ping()
        return await asyncio.wait_for(pong, 60) is not None

    async def go(self) -> None:
        """Close everything."""
        self._writer.transport.abort()
        if self._websocket is not None:
            self._websocket.transport.abort()

    async def _post(self) -> int:
        body = json.dumps([event("crowd@example.com", notebookPath=self._run)]).encode()
        self._writer.write(
            b"POST /api/v1/events HTTP/1.1\r\nHost: %b\r\nAuthorization: Bearer %b\r\n"
            b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
            % (self._server.address.encode(), self._server.token.encode(), len(body), body)
        )
        head = (await asyncio.wait_for(self._reader.readuntil(b"\r\n\r\n"), 60)).decode().lower()
        lengths = [line.partition(":")[2] for line in head.splitlines() if line.startswith("content-length:")]
        await self._reader.readexactly(int(lengths[0]))
        return int(head.split()[1])


def session(server: Server) -> dict[str, str]:
    """Log in to JupyterLab; returns the headers of who has."""
    with server.client() as client:
        client.get("/login")
        form = {"password": server.password, "_xsrf": client.cookies["_xsrf"]}
        assert client.post("/login", data=form).status_code == httpx.codes.FOUND
        cookies = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
        return {"Cookie": cookies, "Origin": server.url}


@asynccontextmanager
async def crowd(server: Server, run: str) -> AsyncIterator[list[Student]]:
    """All students, connected."""
    context = ssl.create_default_context(cafile=str(server.authority))
    students = [Student(server, context, run) for _ in range(STUDENTS)]
    headers = session(server)
    door = asyncio.Semaphore(AT_ONCE)

    async def come(student: Student) -> None:
        async with door:
            await student.come(headers)

    try:
        await asyncio.gather(*map(come, students))
        yield students
    finally:
        await asyncio.gather(*(student.go() for student in students if hasattr(student, "_writer")))


async def restart(host: Host) -> None:
    """Restart the event server in the midst of it."""
    await asyncio.sleep(SECONDS / 3)
    await asyncio.to_thread(host.check_output, "systemctl restart event-server.service")


async def work(server: Server, host: Host, run: str) -> tuple[Counter[int], int]:
    """Returns how often there was which answer, and how many websockets were still open at the end."""
    async with crowd(server, run) as students:
        answers, _ = await asyncio.gather(asyncio.gather(*(student.work() for student in students)), restart(host))
        connected = await asyncio.gather(*(student.is_connected() for student in students))
    return Counter(answer for some in answers for answer in some), sum(connected)


def overflows(host: Host) -> str:
    """How often a connection found no room among those that wait."""
    names, values = host.check_output("grep ^TcpExt: /proc/net/netstat").splitlines()
    return str(dict(zip(names.split(), values.split(), strict=True))["ListenOverflows"])


@pytest.fixture
def many_files() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@pytest.mark.usefixtures("many_files")
def test_a_thousand_students(server: Server, host: Host) -> None:
    run, before = f"crowd/{uuid.uuid4()}.ipynb", overflows(host)
    answers, connected = asyncio.run(work(server, host, run))
    assert (answers, connected) == ({202: STUDENTS * POSTS}, STUDENTS)
    assert overflows(host) == before
    query = f"SELECT count(*) FROM events WHERE notebook_path = '{run}'"  # noqa: S608
    code = f"import sqlite3; print(*sqlite3.connect('/var/lib/event-server/events.sqlite3').execute(\"{query}\"))"
    assert host.check_output("python3 -c %s", code) == f"({STUDENTS * POSTS},)"
