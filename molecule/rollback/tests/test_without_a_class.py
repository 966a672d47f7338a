"""Services that are down, files that were changed, hosts that lose their power, a database of the future."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import bundles
import pytest
from conftest import PROJECT, Server, address, ansible_playbook, environment, event, eventually, restarted
from deploys import THOROUGH, assert_healthy, deploy, deployed, refused, roll_back, status, succeeded
from testinfra.host import Host

testinfra_hosts = ["ssh://debian13"]

STATE = "/var/lib/cell-monitor-release"


@pytest.fixture(scope="module")
def other(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A third one, which the host has returned from, and so has installed."""
    bundle = deployed(server, bundles.harmless(tmp_path_factory.mktemp("other") / "bundle", "other"))
    succeeded(roll_back(server, "-e", f"release={bundles.read_manifest(bundles.BUILT)['bundle']}"))
    return bundle


def test_services_that_are_down(server: Server, host: Host, other: Path) -> None:
    succeeded(roll_back(server, "-e", f"release={bundles.read_manifest(other)['bundle']}"))
    host.check_output("systemctl stop event-server.socket event-server.service jupyterlab.service")
    succeeded(roll_back(server, "-e", f"release={bundles.read_manifest(bundles.BUILT)['bundle']}"))
    assert_healthy(server, host, bundles.BUILT)


def test_what_is_not_as_it_was_deployed_is_named_and_made_so_again(server: Server, host: Host) -> None:
    path = "/opt/event-server/current/lib/python3*/site-packages/event_server/login.py"
    unit = "/etc/systemd/system/event-server-prune.service"
    host.check_output(f"rm {path} && echo '# by hand' >> {unit}")
    drift = status(host)["drift"]
    assert any("login.py is missing" in line for line in drift), drift
    assert any(unit in line for line in drift), drift
    shown = succeeded(ansible_playbook("playbooks/status.yml", "--limit", server.name))
    assert "login.py is missing" in shown
    assert "event-server healthy" in shown.replace("  ", " ") or re.search(r"event-server +\S+ +healthy", shown)
    succeeded(deploy(server, bundles.BUILT))
    assert_healthy(server, host, bundles.BUILT)
    host.check_output(f"ls {path}")


def test_a_database_that_the_release_cannot_read(server: Server, host: Host, tmp_path: Path) -> None:
    newer = bundles.variant(
        tmp_path / "bundle", {bundles.EVENT_SERVER: bundles.newer_schema(readable_from=bundles.SCHEMA + 1)}
    )
    before, after = address("before"), address("after")
    server.store(event(before))
    succeeded(deploy(server, newer))
    server.store(event(after))
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
    assert_healthy(server, host, bundles.BUILT)
    assert server.student(before) is not None
    assert server.student(after) is None
    assert host.file("/root/events-kept.sqlite3").size > 0


def test_kernels_that_are_to_survive_from_now_on(server: Server, host: Host) -> None:
    """Those that the server itself runs end with it once more; the next ones do not."""
    look = "systemctl list-units --plain --no-legend 'jupyter-kernel@*'"
    succeeded(deploy(server, bundles.BUILT, "-e", "jupyterlab_kernels_survive_restart=false"))
    with server.jupyter() as client:
        assert client.post("/api/kernels", json={"name": "python3"}).status_code == 201
    assert not host.check_output(look)
    succeeded(deploy(server, bundles.BUILT))
    assert_healthy(server, host, bundles.BUILT)
    with server.jupyter() as client:
        assert client.get("/api/kernels").json() == []
        kernel = client.post("/api/kernels", json={"name": "python3"}).json()["id"]
        assert kernel in host.check_output(look)
        host.check_output("systemctl restart jupyterlab")
        eventually(lambda: client.get("/api/kernels").status_code, lambda code: code == 200)
        assert client.delete(f"/api/kernels/{kernel}").status_code == 204


# What begins a step on the host, and which playbook has it done.
STEPS = {
    "installation": ("pip install .* --requirement", "site.yml"),
    "switch of the event server": ("--result .* switch event-server", "site.yml"),
    "switch of JupyterLab": ("--result .* switch jupyterlab", "site.yml"),
    "rollback": ("--result .* rollback", "playbooks/rollback.yml"),
}


@pytest.mark.parametrize("step", STEPS if THOROUGH else ["switch of JupyterLab", "rollback"])
def test_a_host_that_loses_its_power_in_a_step(
    server: Server, host: Host, other: Path, tmp_path: Path, step: str
) -> None:
    """It comes back with a complete release: of a deploy with the one before, of a rollback with the one it was to."""
    begins, playbook = STEPS[step]
    wanted = bundles.harmless(tmp_path / "bundle", step) if step == "installation" else other
    options = ["-e", f"release_bundle={wanted}"]
    names = [bundles.read_manifest(bundle)["bundle"] for bundle in (bundles.BUILT, other)]
    if step == "rollback":
        options = ["-e", f"release={names[1]}"]
    command = ["ansible-playbook", "--inventory", "inventories/molecule", playbook, "--limit", server.name]
    run = subprocess.Popen(
        [*command, *options], cwd=PROJECT, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        # In brackets, so that the shell that looks does not find itself; stopped, because a power cut takes a while.
        look = f"pgrep --full -- '[{begins[0]}]{begins[1:]}'"
        host.check_output(
            f"for i in $(seq 6000); do test -e {STATE}/in-progress.json && {look} && break; sleep 0.02; done; "
            f"sleep 0.3; kill -STOP $({look})"
        )
        with restarted(server, host):
            succeeded(ansible_playbook("molecule/shared/power_cut.yml", "--limit", server.name))
    finally:
        run.terminate()
        run.wait(60)
    told = status(host)
    assert told["history"][-1]["result"] == "recovered"
    assert_healthy(server, host, other if step == "rollback" else bundles.BUILT)
    succeeded(roll_back(server, "-e", f"release={names[0]}"))
    assert_healthy(server, host, bundles.BUILT)
