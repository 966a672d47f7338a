"""What a class cannot sit through: services that are down, hosts that lose their power, a database of the future."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import bundles
import httpx
import pytest
from conftest import PROJECT, Server, address, ansible_playbook, environment, event, eventually
from deploys import assert_healthy, deploy, refused, roll_back, status, succeeded
from testinfra.host import Host

testinfra_hosts = ["ssh://debian13"]

STATE = "/var/lib/cell-monitor-release"


@pytest.fixture(scope="module")
def good(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another release than the one that was built, which the host runs."""
    bundle = bundles.harmless(tmp_path_factory.mktemp("good") / "bundle", "good")
    succeeded(deploy(server, bundle))
    return bundle


@pytest.fixture(scope="module")
def other(server: Server, good: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A third one, which the host has returned from, and so has installed."""
    bundle = bundles.harmless(tmp_path_factory.mktemp("other") / "bundle", "other")
    succeeded(deploy(server, bundle))
    succeeded(roll_back(server, "-e", f"release={bundles.read_manifest(good)['bundle']}"))
    return bundle


@contextmanager
def restarted(server: Server, host: Host) -> Iterator[None]:
    """Waits for the host to be started anew in the block, and for its services to answer."""
    started = _booted(host)
    yield
    eventually(lambda: _booted(host), lambda seen: seen not in ("", started), seconds=90)
    eventually(lambda: _answers(server), bool, seconds=60)


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


def test_services_that_are_down(server: Server, host: Host, good: Path, other: Path) -> None:
    succeeded(roll_back(server, "-e", f"release={bundles.read_manifest(other)['bundle']}"))
    host.check_output("systemctl stop event-server.socket event-server.service jupyterlab.service")
    succeeded(roll_back(server, "-e", f"release={bundles.read_manifest(good)['bundle']}"))
    assert_healthy(server, host, good)


def test_a_database_that_the_release_cannot_read(server: Server, host: Host, good: Path, tmp_path: Path) -> None:
    newer = bundles.variant(
        tmp_path / "bundle", {bundles.EVENT_SERVER: bundles.newer_schema(readable_from=bundles.SCHEMA + 1)}
    )
    before, after = address("before"), address("after")
    post(server, before)
    succeeded(deploy(server, newer))
    post(server, after)
    said = refused(roll_back(server))
    assert f"needs a release that knows schema {bundles.SCHEMA + 1}" in said
    copy = f"{STATE}/databases/schema-{bundles.SCHEMA}-before-"
    assert copy in said
    assert_healthy(server, host, newer)
    # As docs/releases.md says.
    text = (PROJECT / "docs" / "releases.md").read_text()
    commands = text[text.index("systemctl stop event-server") :].partition("```")[0]
    host.check_output("set -e; " + commands.replace("<copy>", f"$(basename {copy}*)"))
    succeeded(roll_back(server))
    assert_healthy(server, host, good)
    assert server.student(before) is not None
    assert server.student(after) is None
    assert host.file("/root/events-kept.sqlite3").size > 0


def post(server: Server, email: str) -> None:
    """Has an event stored."""
    with server.client(headers={"Authorization": f"Bearer {server.token}"}) as client:
        assert client.post("/api/v1/events", json=[event(email)]).status_code == 202


# What begins a step on the host, and which playbook has it done.
STEPS = {
    "installation": ("pip install .* --requirement", "site.yml"),
    "switch of the event server": ("--result .* switch event-server", "site.yml"),
    "switch of JupyterLab": ("--result .* switch jupyterlab", "site.yml"),
    "rollback": ("--result .* rollback", "playbooks/rollback.yml"),
}


@pytest.mark.parametrize("step", os.environ.get("POWER_CUTS", "switch of JupyterLab,rollback").split(","))
def test_a_host_that_loses_its_power_in_a_step(
    server: Server, host: Host, good: Path, other: Path, tmp_path: Path, step: str
) -> None:
    """It comes back with a complete release: of a deploy with the one before, of a rollback with the one it was to."""
    begins, playbook = STEPS[step]
    wanted = bundles.harmless(tmp_path / "bundle", step) if step == "installation" else other
    options = ["-e", f"release_bundle={wanted}"]
    names = {name: bundles.read_manifest(bundle)["bundle"] for name, bundle in (("good", good), ("other", other))}
    if step == "rollback":
        options = ["-e", f"release={names['other']}"]
    command = ["ansible-playbook", "--inventory", "inventories/molecule", playbook, "--limit", server.name]
    run = subprocess.Popen(
        [*command, *options], cwd=PROJECT, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        host.check_output(f"for i in $(seq 6000); do pgrep --full -- '{begins}' && break; sleep 0.02; done")
        time.sleep(0.4)
        with restarted(server, host):
            succeeded(ansible_playbook("molecule/shared/power_cut.yml", "--limit", server.name))
    finally:
        run.terminate()
        run.wait(60)
    told = status(host)
    assert told["history"][-1]["result"] == "recovered"
    assert_healthy(server, host, other if step == "rollback" else good)
    succeeded(roll_back(server, "-e", f"release={names['good']}"))
    assert_healthy(server, host, good)
