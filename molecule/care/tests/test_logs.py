"""Logs stay small and whole: no line is lost when they are rotated, and a kernel that runs wild fills nothing."""

from __future__ import annotations

import asyncio
import json
import shlex
import ssl
import uuid
from collections.abc import Iterator

import httpx
import pytest
from conftest import Server, eventually
from testinfra.host import Host
from websockets.asyncio.client import connect
from websockets.typing import Origin

ROTATION = "cell-monitor-rotation.service"
LINES = 400
# What a class's journal may grow by while a kernel writes a gigabyte to it.
MOST = 100 << 20

_STORM = """
import subprocess
subprocess.run("timeout 60 sh -c 'yes $(seq 900 | xargs) | head --bytes=1G | systemd-cat -t storm'", shell=True)
print("the storm is over")
"""


@pytest.fixture(scope="module", autouse=True)
def _only_the_checks_rotate(host: Host) -> Iterator[None]:
    host.check_output("systemctl stop cell-monitor-rotation.timer")
    yield
    host.check_output("systemctl start cell-monitor-rotation.timer")


def used(host: Host) -> int:
    """Bytes that are taken on the disk of the logs."""
    return int(host.check_output("df --block-size=1 --output=used /var/log | tail -n 1"))


def test_no_line_is_lost_when_logs_are_rotated(server: Server, host: Host) -> None:
    mark = uuid.uuid4().hex
    with server.jupyter() as client:
        for number in range(LINES):
            # JupyterLab warns of it in its own log, nginx notes it in its.
            assert client.get(f"/api/contents/{mark}-{number}-").status_code == 404
            if number % 100 == 50:
                host.check_output("logrotate --force --state /tmp/rotation /etc/cell-monitor-logrotate.conf")
    for log in ("/var/log/nginx/access.log", "/var/log/jupyterlab/jupyterlab.log"):
        found = host.check_output(
            f"zgrep --no-filename --only-matching '{mark}-[0-9]*-' {log}* | sort --unique | wc -l"
        )
        assert int(found) == LINES, log
        assert int(host.check_output(f"ls {log}.*.gz | wc -l")) >= 2


def test_a_rotation_that_is_killed_loses_nothing(host: Host) -> None:
    log = "/var/log/jupyterlab/killed.log"
    host.check_output(f"install --owner=jupyter --group=jupyter /dev/null {log}")
    # As it is when the power fails while the second file is compressed.
    host.check_output(
        f"seq 3000000 > {log}.1 && chown jupyter: {log}.1 && gzip -c {log}.1 | head --bytes=1000 > {log}.2.gz"
    )
    host.check_output(
        f"mv {log}.1 {log}.2 && chown jupyter: {log}.2.gz && seq 3 > {log} && touch --date='2 days ago' {log}"
    )
    host.check_output("logrotate --force --state /tmp/rotation /etc/cell-monitor-logrotate.conf")
    host.run_test(f"systemctl start {ROTATION}")
    assert host.check_output(f"cat {log}.1") == "1\n2\n3"
    assert "3000000" in host.check_output(f"tail -n 1 {log}.2 2>/dev/null || zcat {log}.3.gz 2>/dev/null | tail -n 1")
    host.check_output(f"rm --force {log}*")


def test_a_large_file_does_not_wait_for_the_day_to_end(host: Host) -> None:
    log = "/var/log/nginx/large.log"
    host.check_output(f"head --bytes=70M /dev/zero > {log} && chown www-data:adm {log}")
    host.run_test(f"systemctl start {ROTATION}")
    host.run_test(f"systemctl start {ROTATION}")
    assert int(host.check_output(f"stat --format=%s {log}")) == 0
    host.check_output(f"rm --force {log}*")


def test_a_kernel_that_runs_wild_fills_nothing(server: Server, host: Host) -> None:
    before = used(host)
    with server.jupyter() as client:
        kernel = client.post("/api/kernels", json={"name": "python3"}).json()["id"]
        try:
            asyncio.run(_run(server, client, kernel, _STORM))
        finally:
            assert client.delete(f"/api/kernels/{kernel}").status_code == 204
    assert used(host) - before < MOST
    written = int(host.check_output("journalctl --no-pager --identifier=storm --output=cat | wc --bytes"))
    assert 0 < written < MOST
    # Others are heard all the same.
    said = uuid.uuid4().hex
    host.check_output(f"logger {said}")
    eventually(lambda: host.run(f"journalctl --no-pager --since=-5min | grep {said}").rc, lambda code: code == 0)
    limits = shlex.split(host.check_output("systemd-analyze cat-config systemd/journald.conf | grep -v '^#' | xargs"))
    assert {"Storage=persistent", "MaxRetentionSec=7day", "SystemMaxUse=1G"} <= set(limits)


async def _run(server: Server, client: httpx.Client, kernel: str, code: str) -> None:
    url = f"wss://{server.address}/api/kernels/{kernel}/channels"
    cookies = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
    context = ssl.create_default_context(cafile=str(server.authority))
    headers = {"Cookie": cookies}
    async with connect(
        url, ssl=context, additional_headers=headers, origin=Origin(server.url), max_size=None
    ) as socket:
        header = {
            "msg_id": uuid.uuid4().hex,
            "msg_type": "execute_request",
            "username": "",
            "session": uuid.uuid4().hex,
        }
        content = {"code": code, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": False}
        message = {"header": header | {"version": "5.3"}, "parent_header": {}, "metadata": {}, "content": content}
        await socket.send(json.dumps(message | {"channel": "shell", "buffers": []}))
        async with asyncio.timeout(120):
            async for answer in socket:
                if isinstance(answer, str) and "the storm is over" in answer and '"stream"' in answer:
                    return
