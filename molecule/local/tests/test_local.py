"""A school that has two machines: one deploys to itself, over a local connection, and to one that watches over it."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bundles
import pytest
import testinfra
from conftest import PROJECT, SSH_CONFIG, Server, eventually
from lab import browse, create_notebook, log_in, open_notebook, run_cell
from testinfra.host import Host

FOLDER = "/root/cell-monitor-deploy"
STUDENT = "hanako@school.example"
INVENTORY = """
all:
  hosts:
    class1:
      ansible_host: {class1}
      ansible_connection: local
      jupyterlab_user_name: 花子
      jupyterlab_email_address: {student}
    watch1:
      ansible_host: {watch1}
      ansible_user: root
      web_proxy_jupyterlab_upstream: ""
      web_proxy_event_server_upstreams: []
jupyterlab_hosts: {{hosts: {{class1: }}}}
event_servers: {{hosts: {{class1: }}}}
proxies: {{hosts: {{class1: , watch1: }}}}
monitoring: {{hosts: {{watch1: }}}}
"""


@dataclasses.dataclass(frozen=True)
class School:
    """The two machines, and what the administrator types on the first."""

    class1: Server
    watch1: Server
    host: Host

    def run(self, command: str) -> str:
        """Run a command in the project's folder, with its tools on the path; returns what it said."""
        return str(self.host.check_output("cd %s && PATH=$PWD/.venv/bin:$PATH && " + command, FOLDER))

    def ask(self, path: str, **parameters: str) -> Any:
        """What Prometheus answers to the administrator."""
        password = (self.watch1.credentials / "administrator_password").read_text().strip()
        with self.watch1.client(auth=("administrator", password)) as client:
            return client.get(f"/prometheus/api/v1/{path}", params=parameters).json()["data"]


@pytest.fixture(scope="module")
def school(server: Server, host: Host, tmp_path_factory: pytest.TempPathFactory) -> Iterator[School]:
    """What the two machines are after the commands of the README."""
    folder = tmp_path_factory.mktemp("school")
    watching = testinfra.get_host("ssh://debian13", ssh_config=str(SSH_CONFIG))
    school = School(
        dataclasses.replace(server, name="class1", credentials=folder / "single"),
        dataclasses.replace(Server.of(watching), name="watch1", credentials=folder / "single"),
        host,
    )
    host.check_output("apt-get -qq update && apt-get -qq install --yes make >/dev/null && mkdir %s", FOLDER)
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.check_output(listing, cwd=PROJECT)
    for path in (bundles.BUILT, bundles.BUILT.resolve()):
        names += str(path.relative_to(PROJECT)).encode() + b"\0"
    packed = subprocess.check_output(["tar", "--create", "--null", "--files-from=-"], cwd=PROJECT, input=names)
    unpack = ["ssh", "-F", str(SSH_CONFIG), "debian12", "tar", "--extract", "--no-same-owner", f"--directory={FOLDER}"]
    subprocess.run(unpack, input=packed, check=True)
    hosts = INVENTORY.format(class1=school.class1.address, watch1=school.watch1.address, student=STUDENT)
    host.check_output("printf %%s %s > %s/inventories/single/hosts.yml", hosts, FOLDER)
    key = host.check_output("ssh-keygen -q -t ed25519 -N '' -f ~/.ssh/id_ed25519 && cat ~/.ssh/id_ed25519.pub")
    watching.check_output("echo %s >> ~/.ssh/authorized_keys", key)
    host.check_output("ssh-keyscan -t ed25519 %s >> ~/.ssh/known_hosts", school.watch1.address)
    school.run("make tools")
    said = school.run("ansible-playbook -i inventories/single site.yml")
    assert f"https://{school.watch1.address}/status/" in said
    subprocess.run(["scp", "-qrF", SSH_CONFIG, f"debian12:{FOLDER}/credentials/single", folder], check=True)
    yield school


def test_the_class_works(school: School, tmp_path: Path) -> None:
    with browse(school.class1, tmp_path) as page:
        log_in(page, school.class1.password)
        page.wait_for_url("**/lab*")
        panel = open_notebook(page, create_notebook(page, "print(6*7)"))
        run_cell(panel, 0, "42")
        eventually(lambda: school.class1.student(STUDENT), lambda student: student and student["cellExecutions"] == 1)


def test_a_second_run_changes_nothing(school: School) -> None:
    said = school.run("ansible-playbook -i inventories/single site.yml")
    assert re.findall(r"(class1|watch1) .* changed=(\d+)", said) == [("class1", "0"), ("watch1", "0")]


def test_the_monitoring_host_sees_both(school: School) -> None:
    def up() -> dict[tuple[str, str], str]:
        seen = school.ask("query", query="up")["result"]
        return {(series["metric"]["instance"], series["metric"]["job"]): series["value"][1] for series in seen}

    seen = eventually(up, lambda up: set(up.values()) == {"1"}, seconds=60)
    assert {("class1", "jupyterlab"), ("class1", "event-server"), ("class1", "node"), ("watch1", "node")} <= set(seen)
    assert ("watch1", "jupyterlab") not in seen


def test_the_monitoring_host_says_what_is_wrong(school: School) -> None:
    def alerts() -> set[tuple[str, str, str]]:
        found = school.ask("alerts")["alerts"]
        return {(one["labels"]["alertname"], one["labels"].get("instance", ""), one["state"]) for one in found}

    down = ("JupyterLabDown", "class1", "firing")
    school.host.check_output("systemctl stop jupyterlab")
    try:
        eventually(alerts, lambda seen: down in seen, seconds=150)
        # It fails where something is wrong, and says which playbook to run.
        said = school.run("ansible-playbook -i inventories/single playbooks/status.yml || true")
        assert "JupyterLabDown" in said
    finally:
        school.host.check_output("systemctl start jupyterlab")
    eventually(alerts, lambda seen: down not in seen, seconds=60)


def test_nothing_else_runs_on_the_monitoring_host(school: School) -> None:
    watching = testinfra.get_host("ssh://debian13", ssh_config=str(SSH_CONFIG))
    assert json.loads(watching.check_output("systemctl list-units --output json 'jupyterlab*' 'event-server*'")) == []
    # The proxy has nothing of a class behind it.
    with school.watch1.client() as client:
        assert client.get("/lab").status_code == 404
