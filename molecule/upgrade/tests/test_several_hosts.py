"""With several hosts a release is tried on one, then goes to the rest; where it fails, all of them return."""

from __future__ import annotations

import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import bundles
import pytest
import testinfra
from conftest import SSH_CONFIG, Server, ansible_playbook, eventually
from deploys import refused, status, succeeded
from testinfra.host import Host

HOSTS = ("debian12", "debian13")


def failing_on(host: str, folder: Path) -> tuple[Path, str]:
    """A bundle whose JupyterLab does not start on one of the hosts, and that release."""
    text = f"import socket, sys\nif socket.gethostname() == {host!r}:  # {folder.name}\n    sys.exit(3)\n"
    change = {r"cell_monitor/__init__\.py": lambda before: f"{before}\n{text}"}
    bundle = bundles.variant(folder / "bundle", {bundles.EXTENSION: change})
    return bundle, bundles.read_manifest(bundle)["applications"]["jupyterlab"]["release"]


def deploy_to_all(bundle: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Deploys to both of them."""
    run: subprocess.CompletedProcess[str] = ansible_playbook(
        "site.yml", "--limit", ",".join(HOSTS), "-e", f"release_bundle={bundle}", *options
    )
    return run


@pytest.fixture
def hosts() -> list[Host]:
    """Both of them."""
    return [testinfra.get_host(f"ssh://{name}", ssh_config=str(SSH_CONFIG)) for name in HOSTS]


@pytest.mark.parametrize("number", [0, 1])
def test_a_release_that_fails_on_one_host(hosts: list[Host], tmp_path: Path, number: int) -> None:
    before = [status(host)["current"] for host in hosts]
    process = hosts[1].check_output("systemctl show jupyterlab --property=MainPID")
    bad, release = failing_on(HOSTS[number], tmp_path)
    assert f"{HOSTS[number]}: release {release} of jupyterlab does not work" in refused(deploy_to_all(bad))
    for host, current in zip(hosts, before, strict=True):
        told = status(host)
        assert (told["current"], told["in_progress"], told["drift"]) == (current, None, [])
        assert told["history"][-1]["result"] == "failed"
    assert [release in status(host)["bad"] for host in hosts] == [number == 0, number == 1]
    # The first one is tried alone.
    if number == 0:
        assert hosts[1].check_output("systemctl show jupyterlab --property=MainPID") == process


def running(hosts: list[Host]) -> list[str]:
    """The releases of JupyterLab that answer."""
    releases = []
    for host in hosts:
        with Server.of(host).client() as client:
            releases.append(client.get("/cell-monitor/health").json()["release"])
    return releases


def reached(host: Host) -> bool:
    """Whether it can be logged in to."""
    try:
        return bool(host.run("true").rc == 0)
    except RuntimeError:
        return False


@pytest.mark.parametrize("switched", [0, 1], ids=["when its turn comes", "when it is switched"])
def test_a_host_that_is_lost(hosts: list[Host], tmp_path: Path, switched: int) -> None:
    """The one that was switched before it returns; what was lost is told, and ends by a rollback."""
    before = running(hosts)
    bundle = bundles.harmless(tmp_path / "bundle", f"lost {switched}")
    # Nobody reaches it, nor is anybody told.
    cut = "systemctl stop ssh.socket ssh.service; pkill sshd; sleep 25; systemctl start ssh"

    def lose() -> None:
        look = "until pgrep --full -- '--result .* switch [j]upyterlab'; do sleep 0.02; done"
        hosts[switched].check_output("timeout 300 bash -c %s", look)
        hosts[1].check_output("systemd-run --quiet --collect --unit=cut bash -c %s", cut)

    with ThreadPoolExecutor() as pool:
        losing = pool.submit(lose)
        said = refused(deploy_to_all(bundle))
        losing.result(timeout=10)
    assert re.search(rf"{HOSTS[1]}: .*(remote host|via ssh).*; it did not return", said), said
    assert running(hosts[:1]) == before[:1]
    eventually(lambda: reached(hosts[1]), bool, seconds=60)
    succeeded(ansible_playbook("playbooks/rollback.yml", "--limit", HOSTS[1]))
    assert running(hosts) == before


def test_hosts_that_are_to_keep_what_fails_on_another(hosts: list[Host], tmp_path: Path) -> None:
    bad, release = failing_on(HOSTS[1], tmp_path)
    before, current = running(hosts), [status(host)["current"] for host in hosts]
    refused(deploy_to_all(bad, "-e", "release_rollback_all=false"))
    assert running(hosts) == [release, before[1]]
    # As if the deploy had been cut off.
    succeeded(ansible_playbook("playbooks/rollback.yml", "--limit", HOSTS[0]))
    assert running(hosts) == before
    assert [status(host)["current"] for host in hosts] == current
