"""The services on the host: confined, answering for their release, coming back by themselves."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest
from conftest import Server, address, event, exposure, manifest
from testinfra.host import Host

EXPOSURE = {"event-server": 1.5, "event-server-prune": 1.5, "jupyterlab": 4.0}


@pytest.mark.parametrize("unit", EXPOSURE)
def test_the_unit_is_confined(host: Host, unit: str) -> None:
    assert exposure(host, f"{unit}.service") <= EXPOSURE[unit]


def test_the_services_answer_for_the_release_of_the_bundle(server: Server, host: Host) -> None:
    releases = {name: application["release"] for name, application in manifest()["applications"].items()}
    with server.client() as client:
        assert client.get("/health").json()["release"] == releases["event-server"]
        assert client.get("/cell-monitor/health").json()["release"] == releases["jupyterlab"]
    kernelspec = host.file("/opt/jupyter-kernel/current/share/jupyter/kernels/python3/kernel.json").content_string
    assert releases["kernel"] in kernelspec


def test_only_the_proxy_and_ssh_listen_to_the_network(host: Host) -> None:
    sockets = [line.split()[3] for line in host.check_output("ss -Htln").splitlines()]
    outside = {s.rpartition(":")[2] for s in sockets if not s.startswith(("127.", "[::1]"))}
    assert outside == {"22", "80", "443"}


def test_secrets_are_for_their_service_alone(server: Server, host: Host) -> None:
    for path, group, mode in (
        ("/etc/event-server/writers", "event-server", 0o640),
        ("/etc/event-server/instructors", "root", 0o600),
        ("/etc/jupyterlab/event-server-token", "jupyter", 0o640),
    ):
        file = host.file(path)
        assert (file.user, file.group, file.mode) == ("root", group, mode)
    visible = host.check_output("cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null; journalctl --no-pager")
    hashes = host.file("/etc/event-server/instructors").content_string.splitlines()
    for secret in (server.token, server.password, server.instructor[1], *hashes):
        assert secret not in visible


def test_jupyterlab_logs_to_its_file_and_the_journal(host: Host) -> None:
    assert "ServerApp" in host.file("/var/log/jupyterlab/jupyterlab.log").content_string
    assert "ServerApp" in host.check_output("journalctl --no-pager --unit jupyterlab")


def test_acknowledged_events_survive_a_kill(server: Server, host: Host) -> None:
    email = address("killed")
    with server.client(headers={"Authorization": f"Bearer {server.token}"}) as client:
        assert client.post("/api/v1/events", json=[event(email)]).status_code == 202
        host.run_test("systemctl kill --signal=KILL event-server")
        answer = _retry(lambda: client.post("/api/v1/events", json=[event(email)]).status_code == 202)
    assert answer
    student = server.student(email)
    assert student is not None
    assert student["cellExecutions"] == 2


def test_a_student_is_exported_and_erased_on_the_host(server: Server, host: Host) -> None:
    email = address("leaving")
    sent = event(email)
    with server.client(headers={"Authorization": f"Bearer {server.token}"}) as client:
        assert client.post("/api/v1/events", json=[sent]).status_code == 202
    command = "/opt/event-server/current/bin/event-server"
    line = json.loads(host.check_output(f"{command} export --email %s", email))
    assert (line["event"], line["writer"]) == (sent, server.name)
    assert json.loads(host.check_output(f"{command} check --json"))["ok"]
    assert json.loads(host.check_output(f"{command} erase --yes --json --email %s", email))["events"] == 1
    assert host.run(f"{command} export --email %s", email).rc == 1
    assert _retry(lambda: server.student(email) is None)
    with server.client() as client:
        assert client.get("/health").status_code == 200


def test_old_events_are_deleted_daily(host: Host) -> None:
    host.run_test("systemctl start cell-monitor-prune.service")
    assert "0 events received before" in host.check_output("journalctl --no-pager --unit event-server-prune")


def test_jupyterlab_comes_back_after_a_kill(server: Server, host: Host) -> None:
    before = host.check_output("systemctl show --property=MainPID --value jupyterlab")
    host.run_test("kill -9 %s", before)
    with server.client() as client:
        assert _retry(lambda: client.get("/cell-monitor/health").status_code == 200)
    assert host.check_output("systemctl show --property=MainPID --value jupyterlab") != before


def test_memory_limits_bite(host: Host) -> None:
    hog = "systemd-run --wait --property=MemoryMax=%s python3 -c 'b\"x\" * (200 << 20)' 2>&1 || true"
    assert "Finished with result: success" in host.check_output(hog, "500M")
    # Where the kernel has cgroup v1 only, systemd sees the signal and not its reason.
    assert "code=killed" in host.check_output(hog, "50M")


def _retry(check: Callable[[], bool], seconds: float = 30) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if check():
            return True
        time.sleep(0.3)
    return False
