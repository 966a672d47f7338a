"""A power cut at night: in the morning everything answers, with what it had."""

import time

import pytest
from conftest import Server, event
from testinfra.host import Host


def test_services_and_events_survive_a_reboot(server: Server, host: Host) -> None:
    email = f"reboot@{server.name}.example.com"
    with server.client(headers={"Authorization": f"Bearer {server.token}"}) as client:
        assert client.post("/api/v1/events", json=[event(email)]).status_code == 202
    boot = host.file("/proc/sys/kernel/random/boot_id").content_string
    started = host.check_output("systemctl show --property=UserspaceTimestampMonotonic --value; stat -c %Y /proc/1")
    host.run("systemctl reboot")
    end = time.monotonic() + 60
    while time.monotonic() < end:
        time.sleep(0.5)
        try:
            if host.check_output("stat -c %Y /proc/1") not in started and _answers(server):
                break
        except (AssertionError, RuntimeError):
            continue
    else:
        pytest.fail(f"{server.name} did not come back within 60 s (boot {boot.strip()})")
    assert server.student(email) is not None
    assert host.check_output("systemctl list-units --failed --plain --no-legend") == ""


def _answers(server: Server) -> bool:
    import httpx

    with server.client() as client:
        try:
            return all(client.get(path).status_code == 200 for path in ("/health", "/cell-monitor/health"))
        except httpx.TransportError:
            return False
