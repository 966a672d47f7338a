"""A host with a class on it is lost; a new one takes its place, with all that the last backup held."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import testinfra
from conftest import SSH_CONFIG, Server, address, ansible_playbook, event
from lesson import Students
from testinfra.host import Host

testinfra_hosts = ["ssh://debian12"]

_NOTEBOOKS = "/var/lib/jupyterlab/notebooks"
# Sixty notebooks of twenty students; names and contents as students write them.
_WRITE = f"""
import json, pathlib, random
for student in range(20):
    folder = pathlib.Path("{_NOTEBOOKS}", f"チームA/学生{{student:02}}")
    folder.mkdir(parents=True)
    for lesson in range(3):
        cells = [dict(cell_type="code", id=f"c{{i}}", metadata={{}}, outputs=[], execution_count=i,
                      source=f"print({{random.random()}})") for i in range(20)]
        notebook = dict(nbformat=4, nbformat_minor=5, metadata={{}}, cells=cells)
        (folder / f"{{lesson}} 回目.ipynb").write_text(json.dumps(notebook))
"""
_LISTING = (
    f"cd {_NOTEBOOKS} && find . -type f -exec sha256sum {{}} + -exec stat --format '%U:%G %a %y %n' {{}} + | sort"
)
_STORED = """
import json, sqlite3
db = sqlite3.connect("file:/var/lib/event-server/events.sqlite3?mode=ro", uri=True)
print(json.dumps([row[0] for row in db.execute("SELECT event_id FROM events")]))
"""


@dataclass
class Lost:
    """A class that was on a host that is no more.

    Attributes:
        acknowledged: ids of the events that were acknowledged before the backup was begun.
        after: ids of those that were later.
        notebooks: listing of the notebooks.
        seconds: how long the new host took, by step.
    """

    acknowledged: set[str]
    after: set[str]
    notebooks: str
    seconds: dict[str, float]


def run(*arguments: str) -> str:
    """Runs a playbook that succeeds; returns what it said, as Ansible did not fold it."""
    done = ansible_playbook(*arguments)
    assert done.returncode == 0, done.stdout
    return re.sub(r"\s+", " ", done.stdout)


def stored(host: Host) -> list[str]:
    """Ids of the events that the host has."""
    ids: list[str] = json.loads(host.check_output(f"python3 -c {shlex.quote(_STORED)}"))
    return ids


@pytest.fixture(scope="module")
def settings(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """Options of playbooks: a second repository on another host, by sftp, and something that a deploy changes."""
    folder = tmp_path_factory.mktemp("keeper")
    key = folder / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    keeper = testinfra.get_host("ssh://debian13", ssh_config=str(SSH_CONFIG))
    public = shlex.quote(key.with_suffix(".pub").read_text())
    keeper.check_output(
        "useradd --create-home keeper && cd ~keeper && install -d -o keeper -m 700 .ssh"
        f" && echo {public} > .ssh/authorized_keys && chown keeper .ssh/authorized_keys"
    )
    other = keeper.check_output("hostname --all-ip-addresses").split()[0]
    variables = {
        "backup_copy_repository": f"sftp:keeper@{other}:class",
        "backup_ssh_key": key.read_text(),
        "backup_ssh_known_hosts": f"{other} {keeper.check_output('cat /etc/ssh/ssh_host_ed25519_key.pub')}",
        "event_server_log_level": "debug",
    }
    (folder / "variables.json").write_text(json.dumps(variables))
    yield ["--limit", server.name, "-e", f"@{folder / 'variables.json'}"]
    keeper.run("userdel --remove keeper")


@pytest.fixture(scope="module")
def lost(server: Server, host: Host, settings: list[str], tmp_path_factory: pytest.TempPathFactory) -> Lost:
    """The class was backed up while it worked, and its host destroyed."""
    run("site.yml", *settings)
    host.check_output(f"setpriv --reuid=jupyter --regid=jupyter --clear-groups python3 -c {shlex.quote(_WRITE)}")
    folder = tmp_path_factory.mktemp("class")
    with Students(server, host, folder):
        time.sleep(5)
        acknowledged = set((folder / "acknowledged").read_text().split())
        begun = time.monotonic()
        run("playbooks/backup.yml", "--limit", server.name)
        made = time.monotonic() - begun
        time.sleep(2)
    after = set((folder / "acknowledged").read_text().split()) - acknowledged
    notebooks = host.check_output(_LISTING)
    assert notebooks.count(".ipynb") >= 120
    assert "before-deploy" in run("playbooks/backup.yml", "--limit", server.name, "-e", "list=true")
    run("playbooks/sandbox.yml", "--limit", server.name, "-e", "sandbox_host_state=absent")

    seconds = {"backup": made}
    for step, arguments in {
        "new host": ["playbooks/sandbox.yml", "--limit", server.name],
        "site.yml": ["site.yml", *settings],
        "restore.yml": ["playbooks/restore.yml", "--limit", server.name],
    }.items():
        begun = time.monotonic()
        run(*arguments)
        seconds[step] = time.monotonic() - begun
    return Lost(acknowledged, after, notebooks, seconds)


def test_no_event_from_before_the_snapshot_is_missing(host: Host, lost: Lost) -> None:
    found = stored(host)
    assert len(lost.acknowledged) > 0
    assert len(found) == len(set(found))
    assert lost.acknowledged <= set(found)
    gone = lost.after - set(found)
    recovery = sum(lost.seconds[step] for step in ("site.yml", "restore.yml"))
    print(f"RPO: {len(gone)} of {len(lost.after)} events that came after the backup was begun")
    print(
        f"RTO: {recovery:.1f} s on a host that is there; {', '.join(f'{k} {v:.1f} s' for k, v in lost.seconds.items())}"
    )


def test_notebooks_are_there_byte_for_byte(host: Host, lost: Lost) -> None:
    assert host.check_output(_LISTING) == lost.notebooks


def test_the_class_goes_on(server: Server, host: Host, lost: Lost, tmp_path: Path) -> None:
    assert lost
    email = address("after-restore")
    with server.client(headers={"Authorization": f"Bearer {server.token}"}) as client:
        assert client.post("/api/v1/events", json=[event(email)]).status_code == 202
    assert server.student(email)
    with Students(server, host, tmp_path):
        time.sleep(2)


def test_it_says_how_the_host_came_to_what_it_runs(host: Host, lost: Lost) -> None:
    assert lost
    history = host.check_output("cat /var/lib/cell-monitor-release/history.jsonl").splitlines()
    assert len(history) >= 2
    assert host.check_output("cell-monitor-release status --json")


def test_the_store_alone_and_back(server: Server, host: Host, lost: Lost) -> None:
    before = set(stored(host))
    begun = time.monotonic()
    said = run("playbooks/restore.yml", "--limit", server.name, "-e", "restore_part=store")
    print(f"RTO of the store alone: {time.monotonic() - begun:.1f} s")
    found = set(stored(host))
    assert lost.acknowledged <= found
    assert found < before
    safety = re.findall(r"what it replaced is snapshot ([0-9a-f]+)", said)[-1]
    run("playbooks/restore.yml", "--limit", server.name, "-e", f"restore_part=store restore_snapshot={safety}")
    assert set(stored(host)) >= before


def test_one_students_notebooks(server: Server, host: Host, lost: Lost) -> None:
    host.check_output(f"rm -r {_NOTEBOOKS}/チームA/学生07 && echo mine > {_NOTEBOOKS}/チームA/学生08/mine.txt")
    options = json.dumps({"restore_part": "notebooks", "restore_path": "チームA/学生07"})
    run("playbooks/restore.yml", "--limit", server.name, "-e", options)
    assert host.check_output(f"cat {_NOTEBOOKS}/チームA/学生08/mine.txt") == "mine"
    host.check_output(f"rm {_NOTEBOOKS}/チームA/学生08/mine.txt")
    assert host.check_output(_LISTING) == lost.notebooks


def test_the_drill(server: Server, lost: Lost) -> None:
    assert lost
    assert "was restored and is whole" in run("playbooks/drill.yml", "--limit", server.name)


def test_the_timers_services(host: Host, lost: Lost) -> None:
    assert lost
    for job in ("backup", "backup-check", "backup-drill"):
        host.check_output(f"systemctl start cell-monitor-{job}.service")
    for job in ("backup", "backup-copy", "backup-check", "backup-drill"):
        told = json.loads(host.check_output(f"cat /var/lib/cell-monitor/jobs/{job}.json"))
        assert told["result"] == "ok", told
        assert time.time() - told["ended"] < 120, told


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ("restore_part=everything", "value of backup_restore_part must be one of: all, store, notebooks"),
        ("restore_snapshot=ffffffff", "restore_snapshot is ffffffff, which no snapshots of debian12"),
        ("restore_at=yesterday", "restore_at is yesterday; allowed is a time such as 2026-04-01T10:30"),
        ("restore_at=2020-01-01T10:30", "has no snapshot of debian12 from before restore_at 2020-01-01"),
        ("restore_part=notebooks restore_path=../spool", "restore_path is ../spool"),
    ],
)
def test_wrong_input_changes_nothing(server: Server, host: Host, lost: Lost, options: str, sentence: str) -> None:
    assert lost
    count = host.check_output("cell-monitor-backup list | wc -l")
    done = ansible_playbook("playbooks/restore.yml", "--limit", server.name, "-e", options)
    assert done.returncode != 0
    assert sentence in re.sub(r"\s+", " ", done.stdout.replace("''", "'"))
    assert host.check_output("cell-monitor-backup list | wc -l") == count
