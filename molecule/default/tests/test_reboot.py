"""A power cut at night: in the morning everything answers, with what it had."""

from conftest import Server, address, event, restarted
from testinfra.host import Host


def test_services_and_events_survive_a_reboot(server: Server, host: Host) -> None:
    email = address("reboot")
    server.store(event(email))
    with restarted(server, host):
        # After this command's connection is closed, which it would be counted as an error for.
        host.run_test("systemd-run --on-active=500ms systemctl reboot")
    assert server.student(email) is not None
    assert host.check_output("systemctl list-units --failed --plain --no-legend") == ""
