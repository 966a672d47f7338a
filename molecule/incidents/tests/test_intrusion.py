"""A suspected intrusion, after the class: what students and administrators know is of no use afterwards."""

from __future__ import annotations

import httpx
from conftest import CREDENTIALS, Server
from handling import RECORDS, changed, kernels, playbook, record, take_back
from testinfra.host import Host


def test_suspected_intrusion(server: Server, host: Host) -> None:
    before = kernels(host)
    assert before
    password, token = server.password, server.token
    administrator = (CREDENTIALS / "administrator_password").read_text()
    playbook("suspected_intrusion", limit="all,localhost")
    told = record(host, "suspected_intrusion")
    assert "froze" in told["done"]
    assert "rotated every token and password" in told["done"]
    for name in ("processes.txt", "journal.txt", "changed.txt"):
        assert host.file(f"{RECORDS}/{told['id']}/{name}").size > 0
    assert frozen(host, before)
    assert (CREDENTIALS / "administrator_password").read_text() != administrator
    with server.client() as client:
        assert not logs_in(client, password)
        assert logs_in(client, server.password)
        refused = client.post("/api/v1/events", json=[], headers={"Authorization": f"Bearer {token}"})
        assert refused.status_code == 401
    again = playbook("suspected_intrusion", limit="all,localhost")
    assert changed(again) == 0
    take_back("suspected_intrusion", limit="all,localhost")
    assert kernels(host) == before
    assert not frozen(host, before)


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
