"""What throw-away hosts cannot be made of is refused before anything is made."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

from conftest import PROJECT, Server, environment

testinfra_hosts = ["ssh://debian12"]


def refused(tmp_path: Path, *wrapper: str, **variables: object) -> str:
    """Try to make hosts, check that nothing changed, and return what was said."""
    command = ["ansible-playbook", "--inventory", "inventories/molecule", "playbooks/sandbox.yml"]
    run = subprocess.run(
        [*wrapper, *command, "--extra-vars", json.dumps(variables)],
        cwd=PROJECT,
        env=environment() | {"ANSIBLE_HOME": str(tmp_path)},
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode != 0, run.stdout
    assert set(re.findall(r"changed=(\d+)", run.stdout)) == {"0"}, run.stdout + run.stderr
    return re.sub(r"\s+", " ", run.stdout)


def test_not_root(tmp_path: Path) -> None:
    # A user namespace without a mapping: nobody, who can read the checkout all the same.
    assert "Sandbox hosts need root on this machine, and this is nobody." in refused(tmp_path, "unshare", "--user")


def test_a_package_is_missing(tmp_path: Path) -> None:
    output = refused(tmp_path, __sandbox_host_tools={"mmdebstrap": "/nowhere", "iproute2": "/bin/ip"})
    assert "lacks the packages mmdebstrap, which `make sandbox-packages` installs." in output


def test_the_range_is_taken(server: Server, tmp_path: Path) -> None:
    network = server.address.rpartition(".")[0]
    output = refused(tmp_path, sandbox_host_id="00000000", sandbox_host_network=network)
    assert f"sandbox_host_network is {network}, but this machine already uses {network}.0/24" in output
    assert not Path("/sys/class/net/cm-00000000").exists()
