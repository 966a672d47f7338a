"""Whatever goes wrong with a release, the host goes on with the one before, and keeps what is known of the failure."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bundles
import httpx
import pytest
from conftest import PROJECT, Server, ansible_playbook, environment, eventually
from testinfra.host import Host

COMMAND = "/usr/local/sbin/cell-monitor-release"
DATABASE = "/var/lib/event-server/events.sqlite3"


def deploy(server: Server, bundle: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Deploys a bundle to the host."""
    run: subprocess.CompletedProcess[str] = ansible_playbook(
        "site.yml", "--limit", server.name, "-e", f"release_bundle={bundle}", *options
    )
    return run


def sentence(run: subprocess.CompletedProcess[str]) -> str:
    """What a run said, as Ansible did not fold it."""
    assert run.returncode != 0, run.stdout
    return re.sub(r"\s+", " ", run.stdout.replace("''", "'"))


def status(host: Host) -> Any:
    """What the host tells of itself."""
    return json.loads(host.check_output(f"{COMMAND} status --json"))


def assert_healthy(server: Server, host: Host, bundle: Path) -> None:
    """The host runs a bundle: by its own words, by the services' and through the proxy, with nothing left over."""
    wanted = bundles.read_manifest(bundle)
    told = status(host)
    assert (told["current"]["bundle"], told["in_progress"], told["drift"]) == (wanted["bundle"], None, [])
    assert {part["name"]: part["health"] for part in told["parts"] if "health" in part} == {
        "event-server": "healthy",
        "jupyterlab": "healthy",
        "nginx": "healthy",
    }
    with server.client() as client:
        assert client.get("/health").json()["release"] == wanted["applications"]["event-server"]["release"]
        assert client.get("/cell-monitor/health").json()["release"] == wanted["applications"]["jupyterlab"]["release"]


@pytest.fixture(scope="module")
def good(server: Server, host: Host, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another release than the one that was built, which the host runs."""
    bundle = bundles.harmless(tmp_path_factory.mktemp("good") / "bundle", "good")
    run = deploy(server, bundle)
    assert run.returncode == 0, run.stdout
    assert_healthy(server, host, bundle)
    return bundle


@pytest.mark.parametrize("fault", bundles.FAULTS)
def test_a_release_that_does_not_work(server: Server, host: Host, good: Path, tmp_path: Path, fault: str) -> None:
    bad = bundles.variant(tmp_path / "bundle", bundles.FAULTS[fault])
    application = next(iter(bundles.FAULTS[fault]))[0]
    release = bundles.read_manifest(bad)["applications"][application]["release"]
    said = sentence(deploy(server, bad))
    assert f"release {release}" in said
    assert "the host runs" in said
    assert_healthy(server, host, good)
    folder = host.file(f"/var/lib/cell-monitor-release/failed/{release}")
    assert "journal.txt" in folder.listdir()
    assert release in status(host)["bad"]
    assert f"release {release} of {application} failed here at" in sentence(deploy(server, bad))


def test_a_broken_wheel(server: Server, host: Host, good: Path, tmp_path: Path) -> None:
    bad = bundles.harmless(tmp_path / "bundle", "broken")
    bundles.break_wheel(bad, "jupyterlab")
    pid = host.check_output("systemctl show event-server --property=MainPID")
    assert "jupyterlab of release_bundle" in sentence(deploy(server, bad))
    assert_healthy(server, host, good)
    assert host.check_output("systemctl show event-server --property=MainPID") == pid


def test_a_disk_that_fills_up_during_the_installation(server: Server, host: Host, good: Path, tmp_path: Path) -> None:
    bad = bundles.harmless(tmp_path / "bundle", "large")
    release = bundles.read_manifest(bad)["applications"]["jupyterlab"]["release"]
    staging = f"/opt/jupyterlab/releases/.{release}"
    size = max(path.stat().st_size for path in bad.glob("jupyterlab-*.tar")) + (4 << 20)
    host.check_output(f"mkdir {staging} && mount -t tmpfs -o size={size} tmpfs {staging}")
    try:
        assert "No space left on device" in sentence(deploy(server, bad))
    finally:
        host.check_output(f"umount {staging}")
    assert_healthy(server, host, good)
    assert deploy(server, bad).returncode == 0
    assert ansible_playbook("playbooks/rollback.yml", "--limit", server.name).returncode == 0
    assert_healthy(server, host, good)


def test_a_database_that_the_release_cannot_read(server: Server, host: Host, good: Path, tmp_path: Path) -> None:
    other = bundles.harmless(tmp_path / "bundle", "other")
    assert deploy(server, other).returncode == 0
    _set_readable_from(host, 99)
    try:
        run = ansible_playbook("playbooks/rollback.yml", "--limit", server.name)
        assert "needs a release that knows schema 99" in sentence(run)
        assert_healthy(server, host, other)
    finally:
        _set_readable_from(host, 1)
    assert ansible_playbook("playbooks/rollback.yml", "--limit", server.name).returncode == 0
    assert_healthy(server, host, good)


def _set_readable_from(host: Host, version: int) -> None:
    update = f"UPDATE schema_version SET readable_from = {int(version)}"  # noqa: S608
    code = f"import sqlite3; c = sqlite3.connect('{DATABASE}'); c.execute('{update}'); c.commit()"
    host.check_output("setpriv --reuid=event-server --regid=event-server --clear-groups python3 -c %s", code)


def test_a_rollback_and_forward_again(server: Server, host: Host, good: Path, tmp_path: Path) -> None:
    other = bundles.harmless(tmp_path / "bundle", "next")
    assert deploy(server, other).returncode == 0
    host.check_output("systemctl stop event-server.socket event-server.service jupyterlab.service 2>/dev/null || true")
    run = ansible_playbook("playbooks/rollback.yml", "--limit", server.name)
    assert run.returncode == 0, run.stdout
    names = [bundles.read_manifest(bundle)["bundle"] for bundle in (other, good)]
    assert re.search(rf"before: {names[0]}, .*now: +{names[1]}, .*event-server \d+\.\d s", run.stdout, re.DOTALL)
    assert_healthy(server, host, good)
    back = ansible_playbook("playbooks/rollback.yml", "--limit", server.name, "-e", f"release={names[0]}")
    assert back.returncode == 0, back.stdout
    assert_healthy(server, host, other)
    assert ansible_playbook("playbooks/rollback.yml", "--limit", server.name).returncode == 0


def test_the_front_end_is_switched_without_a_restart(server: Server, host: Host, good: Path, tmp_path: Path) -> None:
    assert deploy(server, bundles.BUILT).returncode == 0
    pid = host.check_output("systemctl show jupyterlab --property=MainPID")
    other = bundles.front_end(tmp_path / "bundle", "new")
    assert deploy(server, other).returncode == 0
    assert_healthy(server, host, other)
    assert host.check_output("systemctl show jupyterlab --property=MainPID") == pid
    assert ansible_playbook("playbooks/rollback.yml", "--limit", server.name).returncode == 0
    assert host.check_output("systemctl show jupyterlab --property=MainPID") == pid
    assert deploy(server, good).returncode == 0


def test_a_damaged_release_is_named_and_installed_again(server: Server, host: Host, good: Path) -> None:
    path = "/opt/event-server/current/lib/python3*/site-packages/event_server/login.py"
    host.check_output(f"rm {path}")
    assert any("login.py is missing" in line for line in status(host)["drift"])
    assert deploy(server, good).returncode == 0
    assert_healthy(server, host, good)
    host.check_output(f"ls {path}")


def test_without_a_network(server: Server, host: Host, good: Path, tmp_path: Path) -> None:
    """Only the controller is in reach, which is the host's neighbour."""
    other = bundles.harmless(tmp_path / "bundle", "offline")
    route = host.check_output("ip route show default")
    host.check_output("ip route del default && ! timeout 2 bash -c '</dev/tcp/9.9.9.9/53' 2>/dev/null")
    try:
        assert deploy(server, other).returncode == 0
        assert_healthy(server, host, other)
        assert ansible_playbook("playbooks/rollback.yml", "--limit", server.name).returncode == 0
        assert_healthy(server, host, good)
    finally:
        host.check_output(f"ip route replace {route}")


@pytest.fixture
def interrupted(server: Server) -> Iterator[Callable[[Path, int], bool]]:
    """Deploys a bundle, and kills the controller after so many tasks; tells whether there were so many."""

    def run(bundle: Path, tasks: int) -> bool:
        command = ["ansible-playbook", "--inventory", "inventories/molecule", "site.yml", "--limit", server.name]
        plugin = {
            "ANSIBLE_CALLBACK_PLUGINS": str(PROJECT / "molecule/rollback/plugins"),
            "ANSIBLE_CALLBACKS_ENABLED": "interrupt",
            "INTERRUPT_AFTER": str(tasks),
        }
        done = subprocess.run(
            [*command, "-e", f"release_bundle={bundle}"],
            cwd=PROJECT,
            env=environment() | plugin,
            check=False,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode in (0, -9), done.stdout
        return done.returncode == -9

    yield run


def test_a_controller_that_is_killed_after_each_task(
    server: Server, host: Host, good: Path, tmp_path: Path, interrupted: Callable[[Path, int], bool]
) -> None:
    """Each run is killed INTERRUPT_STRIDE tasks later than the one before, until one is not."""
    other = bundles.harmless(tmp_path / "bundle", "killed")
    releases = {
        bundles.read_manifest(bundle)["applications"]["event-server"]["release"]: bundle for bundle in (good, other)
    }
    stride = int(os.environ.get("INTERRUPT_STRIDE", "8"))
    tasks = 1
    while interrupted(other, tasks):
        tasks += stride
        with server.client() as client:
            assert client.get("/health").json()["release"] in releases, tasks
            assert client.get("/cell-monitor/health").status_code == 200, tasks
    assert tasks > 30
    assert_healthy(server, host, other)
    assert ansible_playbook("playbooks/rollback.yml", "--limit", server.name).returncode == 0
    assert_healthy(server, host, good)


def test_a_host_that_is_restarted_in_the_middle(
    server: Server, host: Host, good: Path, tmp_path: Path, interrupted: Callable[[Path, int], bool]
) -> None:
    """With the link and the files of the new release in place, and no one there to go on."""
    other = bundles.harmless(tmp_path / "bundle", "restarted")
    assert deploy(server, other).returncode == 0
    assert ansible_playbook("playbooks/rollback.yml", "--limit", server.name).returncode == 0
    assert interrupted(other, 40)
    assert status(host)["in_progress"] is not None
    started = host.check_output("systemctl show --property=UserspaceTimestamp --value --timestamp=us")
    # After this command's connection is closed, which it would be counted as an error for.
    host.run_test("systemd-run --on-active=500ms systemctl reboot")
    eventually(lambda: _booted(host), lambda seen: seen not in ("", started), seconds=90)
    eventually(lambda: _answers(server), bool, seconds=60)
    assert_healthy(server, host, good)
    assert status(host)["history"][-1]["result"] == "recovered"


def _booted(host: Host) -> str:
    try:
        return str(host.check_output("systemctl show --property=UserspaceTimestamp --value --timestamp=us"))
    except (AssertionError, RuntimeError):
        return ""


def _answers(server: Server) -> bool:
    with server.client() as client:
        try:
            return all(client.get(path).status_code == 200 for path in ("/health", "/cell-monitor/health"))
        except httpx.TransportError:
            return False
