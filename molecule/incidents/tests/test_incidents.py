"""Each incident is caused for real in a class; its playbook makes the service well, writes down what happened, and is
taken back. Nobody else in the class loses an event or a kernel."""

from __future__ import annotations

import time
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import bundles
import httpx
import pytest
from certificates import expire
from conftest import CREDENTIALS, Server, address, ansible_playbook, eventually
from deploys import deploy, status, succeeded
from handling import RECORDS, changed, collect, dry_run, kernels, playbook, record, shown, stored, take_back, wrong
from lab import create_notebook, open_notebook, run_cell
from lesson import Lesson
from playwright.sync_api import Page, expect
from testinfra.host import Host

LEAK = """import time
kept = [bytearray(150_000_000)]
def leak():
    while True:
        kept.append(bytearray(4_000_000))
        time.sleep(0.5)
print('leaking')
"""
BURN = """import multiprocessing
def burn():
    while True:
        pass
for _ in range(4):
    multiprocessing.Process(target=burn, daemon=True).start()
print('burning')
"""
# An event server that works until somebody breaks it.
FRAIL = """
import pathlib
_serve = serve
def serve(*given):
    if pathlib.Path("/run/broken").exists():
        raise SystemExit(3)
    return _serve(*given)
"""


@pytest.fixture(scope="module")
def lesson(server: Server, host: Host, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lesson]:
    """A class, from the first incident to the last."""
    with Lesson(server, host, tmp_path_factory.mktemp("lesson"), outage=True) as lesson:
        yield lesson


def another(lesson: Lesson, host: Host, *sources: str) -> tuple[Page, str]:
    """Open another notebook, whose kernel is not of those that have to go on; returns its page and its unit."""
    before = set(kernels(host))
    page = lesson.new_page()
    page.goto("/lab")
    name = create_notebook(page, *sources)
    panel = open_notebook(page, name)
    run_cell(panel, 0, "ing")
    (unit,) = set(kernels(host)) - before
    if len(sources) > 1:
        panel.locator(".jp-CodeCell").nth(1).click()
        panel.locator('[data-jp-item-name="run"]').click()
    return page, unit


def test_memory_leak(host: Host, lesson: Lesson) -> None:
    settings = ["-e", "incident_memory_bytes=200000000", "-e", "incident_watch_seconds=4"]
    page, unit = another(lesson, host, LEAK, "leak()")
    # What somebody has started in a terminal belongs to the server.
    join = f"for folder in /sys/fs/cgroup{{,/systemd,/unified,/memory}}{shown(host, 'jupyterlab', 'ControlGroup')}"
    join += "; do [ ! -d $folder ] || echo $BASHPID > $folder/cgroup.procs; done"
    hog = "import time; kept = bytearray(400_000_000); time.sleep(3600)"
    host.check_output("setsid bash -c %s >/dev/null 2>&1 </dev/null &", f"{join}; exec python3 -c '{hog}'")
    eventually(lambda: int(shown(host, unit, "MemoryCurrent") or 0), lambda used: used > 210_000_000, seconds=60)
    said = dry_run(host, "memory_leak", *settings)
    assert "would be done restarted jupyterlab.service." in said
    assert shown(host, "jupyterlab.service", "NRestarts") == "0"
    assert not host.file(RECORDS).exists
    begun, leaking = (shown(host, name, "MainPID") for name in ("jupyterlab.service", unit))
    said = playbook("memory_leak", *settings)
    assert "restarted jupyterlab.service" in said
    assert shown(host, "jupyterlab.service", "MainPID") != begun
    assert shown(host, "jupyterlab.service", "MemoryHigh") == "200000000"
    told = record(host, "memory_leak")
    assert unit in told["done"]
    assert "jupyterlab.service takes" in told["seen"]
    folder = f"{RECORDS}/{told['id']}"
    assert "leak" in host.file(f"{folder}/{unit}-stacks.txt").content_string, "py-spy has seen nothing"
    assert "Pss:" in host.file(f"{folder}/{unit}-smaps.txt").content_string
    # The leaking one alone ends, at its limit; JupyterLab may have started another in its place.
    eventually(lambda: shown(host, unit, "MainPID"), lambda pid: pid != leaking, seconds=60)
    lesson.check()
    page.close()
    assert "left to do" not in playbook("memory_leak", *settings)
    take_back("memory_leak")
    assert record(host, "memory_leak")["state"] == "over"
    assert shown(host, "jupyterlab.service", "MemoryHigh") == "infinity"
    assert changed(take_back("memory_leak")) == 0


def test_slow_class(host: Host, lesson: Lesson) -> None:
    page, unit = another(lesson, host, BURN)
    time.sleep(1)
    assert f"would be done bounded {unit}" in dry_run(host, "slow_class")
    assert shown(host, unit, "CPUQuotaPerSecUSec") == "infinity"
    playbook("slow_class")
    told = record(host, "slow_class")
    assert "the processors are what is slow" in told["seen"]
    assert unit in told["done"]
    assert shown(host, unit, "CPUQuotaPerSecUSec") != "infinity"
    assert unit in kernels(host)
    lesson.check()
    take_back("slow_class")
    assert shown(host, unit, "CPUQuotaPerSecUSec") == "infinity"
    page.close()
    host.check_output(f"systemctl stop {unit}")


def test_server_connectivity(server: Server, host: Host, lesson: Lesson) -> None:
    host.check_output("systemctl stop event-server.socket event-server.service")
    assert wrong(host)["EventServerDown"] == "playbooks/incidents/service_crash_loop.yml"
    waiting = collect(server, address("waits"))
    notice = host.run("cat /etc/jupyterlab/notice.json").stdout
    assert "would be done left events to the spool" in dry_run(host, "server_connectivity")
    assert host.run("cat /etc/jupyterlab/notice.json").stdout == notice
    said = playbook("server_connectivity")
    assert "it breaks at the event server's units: event-server.socket is inactive" in said
    assert "このサーバーに保存され" in host.file("/etc/jupyterlab/notice.json").content_string
    assert changed(playbook("server_connectivity")) == 0
    refused = ansible_playbook(
        "playbooks/incidents/server_connectivity.yml", "--limit", server.name, "-e", "incident_state=absent"
    )
    assert refused.returncode != 0
    assert record(host, "server_connectivity")["state"] == "open"
    page = lesson.new_page()
    password = (CREDENTIALS / "administrator_password").read_text().strip()
    page.set_extra_http_headers({"Authorization": f"Basic {b64encode(f'administrator:{password}'.encode()).decode()}"})
    page.goto("/status/")
    expect(page.locator('[data-incident="server_connectivity"]')).to_be_visible(timeout=60_000)
    page.close()
    host.check_output("systemctl start event-server.socket event-server.service")
    said = take_back("server_connectivity")
    assert "the spool was empty after" in said
    assert stored(host, waiting)
    assert host.file("/etc/jupyterlab/notice.json").content_string == ""
    lesson.check()


def test_service_crash_loop(server: Server, host: Host, lesson: Lesson) -> None:
    host.check_output("echo 'port = [' >> /etc/event-server/config.toml; systemctl stop nginx")
    host.run("systemctl restart event-server.service")
    assert {"EventServerDown", "ProxyDown"} <= set(wrong(host))
    assert "would be done put the files of generation" in dry_run(host, "service_crash_loop")
    assert shown(host, "nginx", "ActiveState") != "active"
    playbook("service_crash_loop")
    told = record(host, "service_crash_loop")
    assert "/etc/event-server/config.toml was changed." in told["seen"]
    assert "put the files of generation" in told["done"]
    assert f"{RECORDS}/{told['id']}/event-server.service-journal.txt" in host.check_output(f"ls {RECORDS}/*/*")
    with server.client() as client:
        assert client.get("/health").status_code == 200
    assert changed(playbook("service_crash_loop")) == 0
    take_back("service_crash_loop")
    lesson.check()


def test_a_release_that_crashes_later(server: Server, host: Host, lesson: Lesson, tmp_path: Path) -> None:
    good = bundles.read_manifest()["applications"]["event-server"]["release"]
    frail = bundles.variant(
        tmp_path / "bundle", {bundles.EVENT_SERVER: {r"event_server/server\.py": lambda text: text + FRAIL}}
    )
    release = bundles.read_manifest(frail)["applications"]["event-server"]["release"]
    succeeded(deploy(server, frail))
    host.check_output("touch /run/broken")
    host.run("systemctl restart event-server.service")
    eventually(lambda: shown(host, "event-server.service", "ActiveState"), lambda state: state == "failed")
    sent = collect(server, address("crashes"))
    assert "would be done started it anew; if that does not help, returned to" in dry_run(host, "service_crash_loop")
    playbook("service_crash_loop")
    told = record(host, "service_crash_loop")
    assert "event-server.service was given up" in told["seen"]
    assert "returned to" in told["done"]
    assert running(server) == good
    eventually(lambda: stored(host, sent), bool, seconds=60)
    assert changed(playbook("service_crash_loop")) == 0
    lesson.check()
    host.check_output("rm /run/broken")
    take_back("service_crash_loop")
    assert running(server) == release
    assert status(host)["drift"] == []
    lesson.check()


def running(server: Server) -> str:
    """The event server's release that answers."""
    with server.client() as client:
        return str(client.get("/health").json()["release"])


def test_certificate_expired(server: Server, host: Host, lesson: Lesson) -> None:
    expire(server, host)
    eventually(lambda: believed(server), lambda good: not good)
    assert "it ended 1 days ago" in dry_run(host, "certificate_expired")
    assert not believed(server)
    assert wrong(host)["CertificateExpiring"] == "playbooks/incidents/certificate_expired.yml"
    playbook("certificate_expired")
    told = record(host, "certificate_expired")
    assert "it ended 1 days ago" in told["seen"]
    assert "renewed the certificate" in told["done"]
    eventually(lambda: believed(server), bool)
    assert changed(playbook("certificate_expired")) == 0
    take_back("certificate_expired")
    lesson.check()


def believed(server: Server) -> bool:
    """Whether a client takes the certificate."""
    try:
        with server.client() as client:
            return client.get("/health").status_code == 200
    except httpx.ConnectError:
        return False


def test_disk_full(host: Host, lesson: Lesson) -> None:
    size, free = map(int, host.check_output("df --block-size=1M --output=size,avail / | tail -n 1").split())
    package, homework = "/var/cache/apt/archives/large.deb", "/var/lib/jupyterlab/notebooks/homework.bin"
    host.check_output(f"fallocate --length {size // 10}M {package}")
    host.check_output(f"fallocate --length {free - size // 10 - size // 20}M {homework}")
    assert wrong(host)["DiskFull"] == "playbooks/incidents/disk_full.yml"
    assert "would be done removed the packages" in dry_run(host, "disk_full")
    assert host.file(package).exists
    said = playbook("disk_full")
    assert "left to do" not in said
    told = record(host, "disk_full")
    assert "removed the packages that apt had downloaded" in told["done"]
    assert host.file(homework).exists
    assert not host.file(package).exists
    assert homework in host.file(f"{RECORDS}/{told['id']}/largest.txt").content_string
    assert changed(playbook("disk_full")) == 0
    take_back("disk_full")
    host.check_output(f"rm {homework}")
    lesson.check()


def test_what_the_status_says_first(server: Server) -> None:
    began = time.monotonic()
    said = succeeded(ansible_playbook("playbooks/status.yml", "--limit", server.name))
    print(f"status: {time.monotonic() - began:.1f} s")
    assert "changed last: " in said
