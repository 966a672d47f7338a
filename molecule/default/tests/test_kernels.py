"""Kernels live longer than the server: a student's notebook while jupyterlab.service is restarted and killed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Server, eventually, exposure
from lab import browse, create_notebook, log_in, open_notebook, run_cell
from playwright.sync_api import Locator, Page, expect
from testinfra.host import Host

testinfra_hosts = ["ssh://debian12"]

# A cell that runs until it is told to end.
COUNT = """
import itertools, os, pathlib, time
kept = 'kept by ' + str(os.getpid())
for i in itertools.count():
    print(i, end=' ', flush=True)
    time.sleep(0.1)
    if pathlib.Path('enough').exists():
        pathlib.Path('enough').unlink()
        break
print('ended')
"""
WAIT = "print('begun')\ntime.sleep(600)"
NOTEBOOKS = "/var/lib/jupyterlab/notebooks"
# On a machine that is busy with other things; a few on a quiet one.
OUTAGE_SECONDS = 60


@pytest.fixture
def page(server: Server, tmp_path: Path) -> Iterator[Page]:
    """JupyterLab in a browser."""
    with browse(server, tmp_path) as page:
        log_in(page, server.password)
        page.wait_for_url("**/lab*")
        yield page


# The kernel of the notebook that the page shows.
_OPEN = """
fetch('/api/sessions').then(answer => answer.json()).then(
    sessions => sessions.find(({path}) => location.pathname.endsWith(path)).kernel.id)
"""
HOG = "hog = []\nwhile True:\n    hog.append(b'x' * (16 << 20))"


def kernels(page: Page) -> Any:
    """The ids of the kernels that the server knows."""
    return page.evaluate("fetch('/api/kernels').then(a => a.json()).then(kernels => kernels.map(k => k.id).sort())")


def act(page: Page, kernel: str, method: str, verb: str = "") -> int:
    """Have the server do something with a kernel, or start one without a name; returns the status."""
    script = """([path, method]) => fetch(path, {
        method, headers: {'X-XSRFToken': document.cookie.match(/_xsrf=([^;]*)/)[1]}
    }).then(answer => answer.status)"""
    return int(page.evaluate(script, [f"/api/kernels/{kernel}{verb}".rstrip("/"), method]))


def units(host: Host) -> dict[str, str]:
    """Main process of each kernel's unit."""
    shown = host.check_output("systemctl show --property=Id,MainPID 'jupyter-kernel@*'")
    blocks = [dict(line.split("=", 1) for line in block.splitlines()) for block in shown.split("\n\n") if block]
    return {block["Id"]: block["MainPID"] for block in blocks}


def outage(server: Server, host: Host, command: str) -> float:
    """Run a command that ends the server; returns the seconds until another one answers."""
    old = host.check_output("systemctl show --property=MainPID --value jupyterlab")
    start = time.monotonic()
    host.run_test(command)
    with server.client() as client:
        while (
            client.get("/api").status_code != 200
            or host.check_output("systemctl show --property=MainPID --value jupyterlab") == old
        ):
            assert time.monotonic() < start + 60
            time.sleep(0.05)
    return time.monotonic() - start


def output(panel: Locator, cell: int) -> str:
    """What a cell shows."""
    return panel.locator(".jp-CodeCell").nth(cell).locator(".jp-OutputArea-output").inner_text()


def test_a_running_cell_survives_the_server(page: Page, server: Server, host: Host) -> None:
    panel = open_notebook(page, create_notebook(page, COUNT, "print(kept)", "print('kept' in globals())", WAIT))
    run_cell(panel, 0, "3 4 5")
    known, running = kernels(page), units(host)

    seconds = [
        outage(server, host, command)
        for command in ("systemctl restart jupyterlab", "systemctl kill --signal=KILL jupyterlab")
    ]
    print(f"outage: {seconds[0]:.1f} s after a restart, {seconds[1]:.1f} s after a kill")
    assert max(seconds) < OUTAGE_SECONDS
    assert kernels(page) == known
    assert units(host) == running

    shown = len(output(panel, 0).split())
    eventually(lambda: len(output(panel, 0).split()), lambda words: words > shown, seconds=60)
    host.run_test(f"touch {NOTEBOOKS}/enough")
    expect(panel.locator(".jp-CodeCell").first.locator(".jp-InputPrompt")).to_have_text("[1]:", timeout=30_000)
    # JupyterLab says once that the server was away.
    if page.locator(".jp-Dialog").count():
        page.keyboard.press("Escape")
        expect(page.locator(".jp-Dialog")).to_have_count(0)
    # What a killed server had just passed on may come twice.
    words = list(dict.fromkeys(output(panel, 0).split()))
    assert words == [*map(str, range(len(words) - 1)), "ended"]
    run_cell(panel, 1, "kept by")

    # The server that took it over does with it what the one that started it could.
    kernel = page.evaluate(_OPEN)
    pid = running[f"jupyter-kernel@{kernel}.service"]
    run_cell(panel, 3, "begun")
    assert act(page, kernel, "POST", "/interrupt") == 204
    expect(panel.locator(".jp-CodeCell").nth(3)).to_contain_text("KeyboardInterrupt", timeout=30_000)
    assert act(page, kernel, "POST", "/restart") == 200
    assert units(host)[f"jupyter-kernel@{kernel}.service"] not in ("0", pid)
    run_cell(panel, 2, "False")
    assert act(page, kernel, "DELETE") == 204
    assert f"jupyter-kernel@{kernel}.service" not in units(host)


def test_a_greedy_kernel_ends_alone(page: Page, host: Host) -> None:
    assert act(page, "", "POST") == 201
    others = units(host)
    panel = open_notebook(page, create_notebook(page, "print('begun')", HOG))
    run_cell(panel, 0, "begun")
    before = host.check_output("systemctl show --property=MainPID --value jupyterlab")
    limits = host.check_output("systemctl show --property=MemoryMax 'jupyter-kernel@*'")
    assert "infinity" not in limits
    panel.locator(".jp-CodeCell").nth(1).click()
    panel.locator('[data-jp-item-name="run"]').click()
    expect(page.locator(".jp-Dialog")).to_contain_text(".ipynb", timeout=60_000)
    assert host.check_output("systemctl show --property=MainPID --value jupyterlab") == before
    assert others.items() <= units(host).items()
    for kernel in kernels(page):
        assert act(page, kernel, "DELETE") == 204


def test_a_kernel_is_confined(page: Page, host: Host) -> None:
    code = (
        "import os\n"
        "config = '/etc/jupyterlab'\n"
        "for path in (config + '/jupyter_config.json', config + '/event-server-token', '/var/lib/jupyterlab/spool'):\n"
        "    print(os.access(path, os.R_OK), end=' ')\n"
        "print(os.system('touch /opt/x 2>/dev/null') == 0, os.path.exists('/run/dbus/system_bus_socket'))\n"
        "print(len(os.listdir('/run/jupyter-kernels')), 'folder')"
    )
    assert act(page, "", "POST") == 201
    panel = open_notebook(page, create_notebook(page, code))
    run_cell(panel, 0, "False False False False False 1 folder")
    unit = next(iter(units(host)))
    assert exposure(host, unit) <= 4.0


def test_the_server_may_start_nothing_else(host: Host) -> None:
    ask = "setpriv --reuid=jupyter --regid=jupyter --clear-groups systemctl --no-ask-password %s"
    for order in ("restart jupyterlab", "start jupyter-kernel@x.service", "stop event-server", "daemon-reload"):
        assert host.run(ask % order).rc != 0, order
