"""Deploys and rollbacks as an administrator starts them, and what the host then runs."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import bundles
from conftest import PROJECT, Server, ansible_playbook, environment
from testinfra.host import Host

COMMAND = "/usr/local/sbin/cell-monitor-release"
# Whether all the moments are tried at which something may be cut off, and not some of them.
THOROUGH = "THOROUGH" in os.environ


def deploy(server: Server, bundle: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Deploys a bundle to the host."""
    run: subprocess.CompletedProcess[str] = ansible_playbook(
        "site.yml", "--limit", server.name, "-e", f"release_bundle={bundle}", *options
    )
    return run


def deployed(server: Server, bundle: Path) -> Path:
    """Deploys a bundle that works, and returns it."""
    succeeded(deploy(server, bundle))
    return bundle


def roll_back(server: Server, *options: str) -> subprocess.CompletedProcess[str]:
    """Returns the host to an earlier release."""
    run: subprocess.CompletedProcess[str] = ansible_playbook("playbooks/rollback.yml", "--limit", server.name, *options)
    return run


def deploy_until(server: Server, bundle: Path, tasks: int) -> bool:
    """Deploys a bundle, and kills the controller after so many tasks; tells whether there were so many."""
    command = ["ansible-playbook", "--inventory", "inventories/molecule", "site.yml", "--limit", server.name]
    plugin = {
        "ANSIBLE_CALLBACK_PLUGINS": str(PROJECT / "molecule/plugins"),
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
        timeout=900,
    )
    assert done.returncode in (0, -9), done.stdout
    return done.returncode == -9


def succeeded(run: subprocess.CompletedProcess[str]) -> str:
    """What a run said that did what it was to."""
    assert run.returncode == 0, run.stdout
    return re.sub(r"\s+", " ", run.stdout)


def refused(run: subprocess.CompletedProcess[str]) -> str:
    """What a run said that failed, as Ansible did not fold it."""
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
