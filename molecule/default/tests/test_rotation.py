"""New tokens and passwords take the old ones' place: no event is refused or lost, a later deploy changes nothing."""

from __future__ import annotations

import threading
import time

import httpx
from conftest import CREDENTIALS, Server, address, ansible_playbook, event, eventually
from testinfra.host import Host

# A password is that of all hosts.
alone = True
testinfra_hosts = ["ssh://debian13"]


class Poster(threading.Thread):
    """Posts events, one after the other, with the token that is in credentials/ at the moment."""

    def __init__(self, server: Server) -> None:
        super().__init__()
        self.email = address("rotation")
        self.answers: list[int] = []
        self._server = server
        self._done = threading.Event()

    def run(self) -> None:
        with self._server.client() as client:
            while not self._done.wait(0.05):
                headers = {"Authorization": f"Bearer {self._server.token}"}
                self.answers.append(
                    client.post("/api/v1/events", json=[event(self.email)], headers=headers).status_code
                )

    def finish(self) -> None:
        """End, after all that was begun was answered."""
        self._done.set()
        self.join()


def status(server: Server, token: str) -> int:
    with server.client(headers={"Authorization": f"Bearer {token}"}) as client:
        return client.post("/api/v1/events", json=[]).status_code


def test_a_token_is_rotated_while_events_come(server: Server, host: Host) -> None:
    # As an interrupted run has left it: its token is the one that the next run takes.
    begun = CREDENTIALS / "next_writers" / server.name
    begun.parent.mkdir(mode=0o700, exist_ok=True)
    begun.write_text(f"token-that-was-begun-{time.time_ns()}")
    old, new = server.token, begun.read_text()
    started = host.check_output("systemctl show --property=MainPID --value event-server jupyterlab")
    poster = Poster(server)
    poster.start()
    try:
        run = ansible_playbook("playbooks/rotate_tokens.yml", "-e", f"rotate_tokens_of={server.name}", "-vv", "--diff")
    finally:
        poster.finish()
    assert run.returncode == 0, run.stdout
    assert old not in run.stdout
    assert new not in run.stdout
    assert server.token == new
    assert (status(server, old), status(server, new)) == (401, 202)
    assert len(poster.answers) > 20
    assert set(poster.answers) == {202}
    student = server.student(poster.email)
    assert student is not None
    assert student["cellExecutions"] == len(poster.answers)
    assert host.check_output("systemctl show --property=MainPID --value event-server jupyterlab") == started


def test_what_jupyterlab_collects_arrives_with_the_new_token(server: Server) -> None:
    email = address("collected")
    with server.client() as client:
        assert log_in(client, server.password) == 302
        headers = {"X-XSRFToken": client.cookies["_xsrf"]}
        assert client.post("/cell-monitor/events", json=[event(email)], headers=headers).status_code == 202
    eventually(lambda: server.student(email), lambda student: student is not None)


def log_in(client: httpx.Client, password: str) -> int:
    """Log in to JupyterLab; returns the status of the answer."""
    client.get("/login")
    return client.post("/login", data={"password": password, "_xsrf": client.cookies["_xsrf"]}).status_code


def test_a_later_deploy_changes_nothing(server: Server) -> None:
    run = ansible_playbook("site.yml", "--limit", server.name)
    assert run.returncode == 0, run.stdout
    assert " changed=0 " in run.stdout.partition("PLAY RECAP")[2]


def test_passwords_are_rotated(server: Server) -> None:
    old, (_, old_instructor) = server.password, server.instructor
    run = ansible_playbook("playbooks/rotate_passwords.yml")
    assert run.returncode == 0, run.stdout
    new, (_, new_instructor) = server.password, server.instructor
    for password, status_code in ((old, 401), (new, 302)):
        with server.client() as client:
            assert log_in(client, password) == status_code
    for password, status_code in ((old_instructor, 401), (new_instructor, 200)):
        with server.client(auth=("instructor", password)) as client:
            assert client.get("/api/v1/dashboard/overview").status_code == status_code
    for secret in (old, new, old_instructor, new_instructor):
        assert secret not in run.stdout
