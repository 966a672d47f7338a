"""A suspected intrusion, after the class: what students and administrators know is of no use afterwards."""

from __future__ import annotations

from pathlib import Path

import httpx
from conftest import CREDENTIALS, Server, address
from handling import COMMAND, RECORDS, changed, collect, kernels, playbook, record, stored, take_back
from testinfra.host import Host

ROTATED = {
    *("debian12", "debian13"),
    *("jupyterlab_password", "jupyterlab_password_salt", "instructor_password", "instructor_password_salt"),
    *("administrator_password", "administrator_password_salt", "monitoring_password", "monitoring_password_salt"),
}
ALL = "all,localhost"


def test_a_dry_run_says_what_it_would_do_and_does_nothing(host: Host) -> None:
    before, files = kernels(host), secrets()
    said = playbook("suspected_intrusion", "--check", limit=ALL)
    assert "would be done froze" in said
    assert (kernels(host), secrets()) == (before, files)
    assert not frozen(host, before)
    assert "suspected_intrusion" not in host.check_output(f"{COMMAND} list")


def test_suspected_intrusion(server: Server, host: Host) -> None:
    before = kernels(host)
    assert before
    sent = collect(server, address("before"))
    password, token = server.password, server.token
    files = secrets()
    playbook("suspected_intrusion", limit=ALL)
    told = record(host, "suspected_intrusion")
    assert "froze" in told["done"]
    assert "rotated every token and password" in told["done"]
    for name in ("processes.txt", "journal.txt", "changed.txt"):
        assert host.file(f"{RECORDS}/{told['id']}/{name}").size > 0
    assert frozen(host, before)
    now = secrets()
    assert {path.name for path in files if now[path] != files[path]} == ROTATED
    with server.client() as client:
        assert not logs_in(client, password)
        assert logs_in(client, server.password)
        refused = client.post("/api/v1/events", json=[], headers={"Authorization": f"Bearer {token}"})
        assert refused.status_code == 401
    again = playbook("suspected_intrusion", limit=ALL)
    assert changed(again) == 0
    take_back("suspected_intrusion", limit=ALL)
    assert kernels(host) == before
    assert not frozen(host, before)
    assert stored(host, sent)


def secrets() -> dict[Path, bytes]:
    """What the controller knows of passwords and tokens."""
    return {path: path.read_bytes() for path in CREDENTIALS.rglob("*") if path.is_file() and path.parent.name != "tls"}


def frozen(host: Host, units: dict[str, str]) -> bool:
    """Whether a kernel of a unit stands still."""
    pids = " ".join(host.check_output(f"pgrep --parent {pid}").replace("\n", " ") for pid in units.values())
    return "T" in host.check_output(f"ps -o stat= -p {','.join(pids.split())}")


def logs_in(client: httpx.Client, password: str) -> bool:
    """Whether JupyterLab takes a password."""
    client.cookies.clear()
    client.get("/login")
    answer = client.post("/login", data={"_xsrf": client.cookies["_xsrf"], "password": password})
    return answer.status_code == 302
