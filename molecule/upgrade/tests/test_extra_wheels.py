"""Another v1.1.x client in the place of our extension: a front end alone, which posts straight to the event server."""

from __future__ import annotations

import base64
import hashlib
import json
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import bundles
import pytest
from conftest import Server, ansible_playbook, eventually
from deploys import assert_healthy, deploy, succeeded
from lab import browse, create_notebook, log_in, open_notebook, run_cell
from testinfra.host import Host

testinfra_hosts = ["ssh://debian13"]

VERSION = "1.1.3"
STUDENT = "student001@example.com"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of an earlier client: our front end, without the server's side."""
    folder = tmp_path_factory.mktemp("client")
    with tarfile.open(bundles.BUILT / "jupyterlab-3.13.tar") as archive:
        ours = next(member for member in archive if "/cell_monitor-" in member.name)
        archive.extract(ours, folder, filter="data")
    built, old = folder / ours.name, Path(ours.name).name.split("-")[1]
    wheel = folder / built.name.replace(old, VERSION)
    info = f"cell_monitor-{VERSION}.dist-info"
    files = {f"{info}/METADATA": f"Metadata-Version: 2.1\nName: cell_monitor\nVersion: {VERSION}\n".encode()}
    files["cell_monitor/__init__.py"] = f'__version__ = "{VERSION}"\n'.encode()
    with zipfile.ZipFile(built) as zipped:
        for name in zipped.namelist():
            if "/labextensions/" in name:
                files[name.replace(f"-{old}.", f"-{VERSION}.")] = zipped.read(name)
            elif name.endswith(".dist-info/WHEEL"):
                files[f"{info}/WHEEL"] = zipped.read(name)
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, content in files.items():
            zipped.writestr(name, content)
        zipped.writestr(f"{info}/RECORD", "".join(f"{_line(*file)}\n" for file in files.items()) + f"{info}/RECORD,,\n")
    return wheel


def _line(name: str, content: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    return f"{name},sha256={digest},{len(content)}"


@pytest.fixture(scope="module")
def settings(client: Path) -> str:
    """What the inventory says of it."""
    return json.dumps({"jupyterlab_extra_wheels": [str(client)], "event_server_tokenless_networks": ["10.0.0.0/8"]})


@pytest.fixture(scope="module")
def deployed(server: Server, host: Host, settings: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The host has it; ours is back afterwards."""
    output = tmp_path_factory.mktemp("bundles")
    # Our own sources have passed the gates for the bundle that is there.
    gates = {"bundle_output_dir": str(output), "quality_gates_skip": ["testCoverage", "memoryUsage"]}
    succeeded(ansible_playbook("playbooks/build.yml", "-e", settings, "-e", json.dumps(gates)))
    succeeded(deploy(server, output / "current", "-e", settings))
    yield
    succeeded(deploy(server, bundles.BUILT))
    assert_healthy(server, host, bundles.BUILT)


@pytest.mark.usefixtures("deployed")
def test_its_events_reach_the_instructor(server: Server, host: Host, tmp_path: Path) -> None:
    version = "import cell_monitor; print(cell_monitor.__version__)"
    assert host.check_output("/opt/jupyterlab/current/bin/python -c %s", version) == VERSION
    before = server.student(STUDENT) or {"cellExecutions": 0, "errorCount": 0}
    with browse(server, tmp_path) as page:
        log_in(page, server.password)
        page.wait_for_url("**/lab*")
        panel = open_notebook(page, create_notebook(page, "1/0", "print(6*7)"))
        run_cell(panel, 0, "ZeroDivisionError")
        run_cell(panel, 1, "42")
        student = eventually(
            lambda: server.student(STUDENT), lambda s: s and s["cellExecutions"] == before["cellExecutions"] + 2
        )
    assert student["errorCount"] == before["errorCount"] + 1


@pytest.mark.usefixtures("deployed")
def test_it_brings_no_collector(server: Server) -> None:
    with server.client() as client:
        assert client.get("/cell-monitor/health").status_code == 404
