"""Wrong input stops the play before anything changes, with one sentence: the variable, its value, what is allowed."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from conftest import PROJECT, ansible_playbook
from testinfra.host import Host

# Nothing here depends on the release of Debian.
testinfra_hosts = ["ssh://debian13"]

CASES: list[tuple[dict[str, object], list[str]]] = [
    ({"jupyterlab_team_name": "チーム0"}, ["jupyterlab_team_name is チーム0", "チームA to チームZ"]),
    ({"jupyterlab_port": 70000}, ["jupyterlab_port is 70000", "1024 to 65535"]),
    ({"jupyterlab_kernel_memory_max": "lots"}, ["jupyterlab_kernel_memory_max is lots", "2G or 512M"]),
    ({"jupyterlab_kernel_tasks_max": 1}, ["jupyterlab_kernel_tasks_max is 1", "32 to 100000"]),
    ({"jupyterlab_kernel_idle_hours": -1}, ["jupyterlab_kernel_idle_hours is -1", "0 to 8760"]),
    ({"event_server_port": 0}, ["event_server_port is 0", "1024 to 65535"]),
    ({"event_server_retention_days": 1}, ["event_server_retention_days is 1", "7 to 36500"]),
    ({"event_server_tokenless_networks": ["192.168.0.0/33"]}, ["event_server_tokenless_networks", "192.168.0.0/33"]),
    (
        {"event_server_database_url": "postgresql://u:hunter2@db/e"},
        ["event_server_database_url", "postgresql://user@host"],
    ),
    ({"event_server_login_proxies": ["proxy"]}, ["event_server_login_proxies", "proxy"]),
    ({"web_proxy_event_server_upstreams": ["http://x"]}, ["web_proxy_event_server_upstreams", "address:port"]),
    ({"web_proxy_https_port": 0}, ["web_proxy_https_port is 0", "65535"]),
    ({"monitoring_error_ratio": 5}, ["monitoring_error_ratio is 5", "between 0 and 1"]),
    ({"monitoring_mail_to": ["a@example.jp"]}, ["monitoring_mail_server is ''", "mail.example.jp:587"]),
    ({"monitoring_retention_size": "lots"}, ["monitoring_retention_size is lots", "512MB or 1GB"]),
    ({"monitoring_slack_url": "slack"}, ["monitoring_slack_url is not an address", "https://"]),
    ({"log_rotation_size": "big"}, ["log_rotation_size is big", "such as 64M"]),
    ({"maintenance_keep_days": 7}, ["maintenance_keep_days is 7", "35 to 36500"]),
    ({"jobs_changes": {"backup": {}}}, ["jobs_changes names backup", "cell-monitor-backup"]),
    ({"release_keep": 1}, ["release_keep is 1", "2 to 100"]),
    ({"backup_repository": "backup"}, ["backup_repository is backup", "/opt/backup"]),
    ({"backup_copy_repository": "sftp:k@nas:/b"}, ["backup_ssh_key and backup_ssh_known_hosts are not both set; nas"]),
    ({"backup_keep": {"hourly": 0}}, ["backup_keep is {", "35d after within"]),
    ({"release_bundle": "/nowhere"}, ["release_bundle is /nowhere", "make build"]),
]


def refused(host: Host, *arguments: str, changes: int = 0) -> str:
    """Run site.yml, check that it stopped without a change, or with so many, and return what it said."""
    run = ansible_playbook("site.yml", "--limit", host.backend.hostname, *arguments)
    print(run.stdout)
    assert run.returncode != 0
    recap = run.stdout.partition("PLAY RECAP")[2]
    assert re.findall(r"changed=(\d+)", recap)
    assert set(re.findall(r"changed=(\d+)", recap)) == {str(changes)}, recap
    # Ansible folds long messages.
    return re.sub(r"\s+", " ", run.stdout)


@pytest.mark.parametrize(("variables", "sentence"), CASES, ids=[next(iter(v)) for v, _ in CASES])
def test_wrong_value(host: Host, variables: dict[str, object], sentence: list[str]) -> None:
    output = refused(host, "--extra-vars", json.dumps(variables))
    for part in sentence:
        assert part in output


def test_damaged_bundle(host: Host, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(PROJECT / "build" / "bundles" / "current", bundle, copy_function=_link)
    version = host.check_output("python3 -c 'import sys; print(*sys.version_info[:2], sep=\".\")'")
    archive = bundle / f"event-server-{version}.tar"
    content = archive.read_bytes()
    archive.unlink()
    archive.write_bytes(content[:-1] + b"x")
    output = refused(host, "--extra-vars", f"release_bundle={bundle}")
    assert f"release_bundle is {bundle}" in output
    assert archive.name in output
    assert "SHA256SUMS" in output


def test_a_release_that_the_disk_has_no_room_for(host: Host, tmp_path: Path) -> None:
    name = host.backend.hostname
    bundle = tmp_path / "bundle"
    shutil.copytree(PROJECT / "build" / "bundles" / "current", bundle, copy_function=_link)
    manifest = bundle / "manifest.json"
    content = json.loads(manifest.read_text())
    content["applications"]["event-server"]["release"] = "1.2.0-00000000"
    sums = bundle / "SHA256SUMS"
    lines = [line for line in sums.read_text().splitlines() if not line.endswith(manifest.name)]
    for file, text in ((manifest, json.dumps(content)), (sums, "\n".join(lines) + "\n")):
        file.unlink()
        file.write_text(text)
    host.run_test("fallocate --length $(($(df --block-size=1M --output=avail /opt | tail -n 1) - 100))M /opt/filler")
    try:
        # The host writes down that a deploy failed.
        output = refused(host, "--extra-vars", f"release_bundle={bundle}", changes=1)
    finally:
        host.run_test("rm --force /opt/filler")
    assert re.search(rf"{name} has \d+ MB free in /opt; event-server of release_bundle .* may need \d+", output)
    assert not host.file("/opt/event-server/releases/.1.2.0-00000000").exists


def _link(source: str, target: str) -> None:
    Path(target).hardlink_to(Path(source).resolve())


def test_a_host_that_is_not_debian(host: Host) -> None:
    name = host.backend.hostname
    host.run_test(
        "cp --dereference /etc/os-release /tmp/os-release && rm /etc/os-release && mv /etc/debian_version /tmp/"
    )
    host.run_test("sed 's/^ID=.*/ID=ubuntu/; s/Debian/Ubuntu/g' /tmp/os-release > /etc/os-release")
    try:
        output = refused(host)
    finally:
        host.run_test("ln --symbolic --force ../usr/lib/os-release /etc/os-release && mv /tmp/debian_version /etc/")
    assert f"{name} runs Ubuntu" in output
    assert "allowed are Debian 12 and 13" in output
