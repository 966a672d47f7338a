"""JupyterLab as a student uses it: a browser that trusts the certificate authority, notebooks, cells."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from conftest import Server
from playwright.sync_api import BrowserContext, BrowserType, Locator, Page, expect, sync_playwright

# JupyterLab reads its configuration from the page; %s is a function that changes it first.
_CONFIGURE = """
new MutationObserver((_, observer) => {
  const config = document.getElementById('jupyter-config-data');
  if (config?.nextSibling) {
    observer.disconnect();
    config.textContent = JSON.stringify((%s)(JSON.parse(config.textContent)));
  }
}).observe(document, {childList: true, subtree: true});
"""
# What to make of JupyterLab's configuration to have a page with the extension, or without it.
WITH = "config => config"
WITHOUT = """config => ({
  ...config, federated_extensions: config.federated_extensions.filter(({name}) => name !== 'cell-monitor')
})"""
HELP = '[data-testid="cell-monitor-help"]:visible'


def trust_authority(home: Path, authority: Path) -> None:
    """Import a certificate authority for a Chromium with this home, as is done once on a student's machine."""
    database = home / ".pki" / "nssdb"
    database.mkdir(parents=True)
    for command in (
        ["certutil", "-N", "--empty-password"],
        ["certutil", "-A", "-n", "Cell Monitor", "-t", "C,,", "-i", str(authority)],
    ):
        subprocess.run([*command, "-d", f"sql:{database}"], check=True)


def launch(chromium: BrowserType, home: Path, *arguments: str, **options: Any) -> BrowserContext:
    """Start a browser whose profile lies in a home, where another start finds what the first has left."""
    return chromium.launch_persistent_context(
        home / "profile",
        executable_path="/usr/bin/chromium",
        args=arguments,
        env={"HOME": str(home), "LANG": "ja_JP.UTF-8"},
        **options,
    )


@contextmanager
def browse(server: Server, home: Path, **options: Any) -> Iterator[Page]:
    """A page of a browser that trusts a host, with a profile in an empty home."""
    trust_authority(home, server.authority)
    with sync_playwright() as playwright, launch(playwright.chromium, home, base_url=server.url, **options) as context:
        yield context.pages[0]


def configure(page: Page, change: str) -> None:
    """Let a JavaScript function, from configuration to configuration, change JupyterLab's on this page.

    Run its commands by ``run_all`` afterwards: they are there for the page's scripts.
    """
    page.add_init_script(_CONFIGURE % f"config => ({{...({change})(config), exposeAppInBrowser: true}})")


def log_in(page: Page, password: str) -> None:
    """Type a password into JupyterLab's login page."""
    page.goto("/login?next=%2Flab")
    page.fill("#password_input", password)
    page.click("#login_submit")


def create_notebook(page: Page, *sources: str) -> str:
    """Put a notebook with these code cells on the server; returns its name. The page must be one of JupyterLab's."""
    name = f"lesson{time.time_ns()}.ipynb"
    cells: list[dict[str, Any]] = [
        {"cell_type": "code", "id": f"c{i}", "metadata": {}, "outputs": [], "execution_count": None, "source": source}
        for i, source in enumerate(sources)
    ]
    kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = {"nbformat": 4, "nbformat_minor": 5, "metadata": {"kernelspec": kernelspec}, "cells": cells}
    assert put(page, f"/api/contents/{name}", {"type": "notebook", "content": notebook}) == 201
    return name


def put(page: Page, path: str, body: dict[str, Any]) -> int:
    """Send something to the Jupyter server as the page's own scripts do; returns the status."""
    # Chromium breaks requests off when the machine gets a network interface, as it does when a host is started.
    return int(
        page.evaluate(
            """async ([path, body]) => {
                for (let tries = 5; ; tries--) {
                    try {
                        return (await fetch(path, {
                            method: 'PUT',
                            headers: {'X-XSRFToken': document.cookie.match(/_xsrf=([^;]*)/)[1]},
                            body: JSON.stringify(body),
                        })).status;
                    } catch (error) {
                        if (tries === 1) throw error;
                        await new Promise(resolve => setTimeout(resolve, 500));
                    }
                }
            }""",
            [path, body],
        )
    )


def open_notebook(page: Page, name: str, seconds: float = 60) -> Locator:
    """Open a notebook in a workspace of its own, so that those of earlier runs are not opened again."""
    # JupyterLab calls a notebook idle before it has a kernel, and drops what is run then.
    answers: list[str] = []
    page.on(
        "websocket",
        lambda socket: (
            socket.on("framereceived", lambda _: answers.append(socket.url)) if "/channels" in socket.url else None
        ),
    )
    page.goto(f"/lab/workspaces/{Path(name).stem}/tree/{name}")
    end = time.monotonic() + seconds
    while not answers and time.monotonic() < end:
        page.wait_for_timeout(100)
    assert answers, f"the notebook got no kernel within {seconds} s"
    panel = page.locator(".jp-NotebookPanel:visible")
    indicator = panel.locator(".jp-Notebook-ExecutionIndicator")
    expect(indicator).to_have_attribute("data-status", "idle", timeout=1000 * seconds)
    return panel


def run_cell(panel: Locator, index: int, output: str) -> None:
    """Run a cell and wait for a part of its output."""
    cell = panel.locator(".jp-CodeCell").nth(index)
    cell.click()
    # The toolbar's button, because shortcuts do nothing until their settings are loaded.
    panel.locator('[data-jp-item-name="run"]').click()
    expect(cell.locator(".jp-OutputArea-output", has_text=output)).to_be_visible(timeout=60_000)


def run_all(page: Page) -> float:
    """Run all cells of the open notebook; returns how long that took, in milliseconds of the page's clock."""
    return float(
        page.evaluate(
            """async () => {
                const start = performance.now();
                await window.jupyterapp.commands.execute('notebook:run-all-cells');
                return performance.now() - start;
            }"""
        )
    )
