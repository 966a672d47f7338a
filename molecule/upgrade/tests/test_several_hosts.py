"""With several hosts a release is tried on one, then goes to the rest; where it fails, all of them return."""

from __future__ import annotations

from pathlib import Path

import bundles
import pytest
import testinfra
from conftest import SSH_CONFIG, ansible_playbook
from deploys import refused, status
from testinfra.host import Host

HOSTS = ("debian12", "debian13")


def failing_on(host: str) -> bundles.Change:
    """A server extension that does not start on one of the hosts."""
    return lambda text: f"{text}\nimport socket, sys\nif socket.gethostname() == {host!r}:\n    sys.exit(3)\n"


def hosts() -> list[Host]:
    """Both of them."""
    return [testinfra.get_host(f"ssh://{name}", ssh_config=str(SSH_CONFIG)) for name in HOSTS]


@pytest.mark.parametrize("number", [0, 1])
def test_a_release_that_fails_on_one_host(tmp_path: Path, number: int) -> None:
    before = [status(host)["current"] for host in hosts()]
    process = hosts()[1].check_output("systemctl show jupyterlab --property=MainPID")
    change = {"cell_monitor/__init__.py": failing_on(HOSTS[number])}
    bad = bundles.variant(tmp_path / "bundle", {bundles.EXTENSION: change})
    release = bundles.read_manifest(bad)["applications"]["jupyterlab"]["release"]
    run = ansible_playbook("site.yml", "--limit", ",".join(HOSTS), "-e", f"release_bundle={bad}")
    assert f"{HOSTS[number]}: release {release} of jupyterlab does not work" in refused(run)
    for host, current in zip(hosts(), before, strict=True):
        told = status(host)
        assert (told["current"], told["in_progress"], told["drift"]) == (current, None, [])
        assert told["history"][-1]["result"] == "failed"
    assert [release in status(host)["bad"] for host in hosts()] == [number == 0, number == 1]
    # The first one is tried alone.
    if number == 0:
        assert hosts()[1].check_output("systemctl show jupyterlab --property=MainPID") == process
