"""A power cut at night: in the morning everything answers, with what it had."""

import time

import httpx
import pytest
from conftest import Server, address, event
from testinfra.host import Host

STARTED = "systemctl show --property=UserspaceTimestamp --value --timestamp=us"


def test_services_and_events_survive_a_reboot(server: Server, host: Host) -> None:
    email = address("reboot")
    with server.client(headers={"Authorization": f"Bearer {server.token}"}) as client:
        assert client.post("/api/v1/events", json=[event(email)]).status_code == 202
    started = host.check_output(STARTED)
    # After this command's connection is closed, which it would be counted as an error for.
    host.run_test("systemd-run --on-active=500ms systemctl reboot")
    end = time.monotonic() + 60
    while time.monotonic() < end:
        time.sleep(0.5)
        try:
            if host.check_output(STARTED) != started and _answers(server):
                break
        except (AssertionError, RuntimeError):
            continue
    else:
        pytest.fail(f"{server.name} did not come back within 60 s")
    assert server.student(email) is not None
    assert host.check_output("systemctl list-units --failed --plain --no-legend") == ""


def _answers(server: Server) -> bool:
    with server.client() as client:
        try:
            return all(client.get(path).status_code == 200 for path in ("/health", "/cell-monitor/health"))
        except httpx.TransportError:
            return False
