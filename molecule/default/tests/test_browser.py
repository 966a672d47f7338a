"""A student and an instructor in a real browser, through nginx and TLS, to the event server's store and back."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import CREDENTIALS, Server
from playwright.sync_api import Browser, Page, expect, sync_playwright

ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
STUDENT = "student001@example.com"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Chromium that trusts the local certificate authority, as a student's machine does after it was imported."""
    home = tmp_path_factory.mktemp("home")
    database = home / ".pki" / "nssdb"
    database.mkdir(parents=True)
    authority = CREDENTIALS / "tls" / "ca.crt"
    for command in (
        ["certutil", "-N", "--empty-password"],
        ["certutil", "-A", "-n", "Cell Monitor", "-t", "C,,", "-i", str(authority)],
    ):
        subprocess.run([*command, "-d", f"sql:{database}"], check=True)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=ARGUMENTS, env={"HOME": str(home), "LANG": "ja_JP.UTF-8"}
        )
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Browser, server: Server) -> Iterator[Page]:
    """A page of a fresh browser profile."""
    context = browser.new_context(base_url=server.url)
    yield context.new_page()
    context.close()


def log_in(page: Page, password: str) -> None:
    """Type a password into JupyterLab's login page."""
    page.goto("/login?next=%2Flab")
    page.fill("#password_input", password)
    page.click("#login_submit")


def test_a_wrong_password_is_refused(page: Page) -> None:
    log_in(page, "wrong")
    expect(page.locator("#password_input")).to_be_visible()
    assert page.evaluate("fetch('/api/contents').then(answer => answer.status)") == 403


def test_a_students_work_reaches_the_instructor(page: Page, server: Server, tmp_path: Path) -> None:
    messages: list[str] = []
    page.on("console", lambda message: messages.append(message.text) if message.type == "error" else None)
    before = server.student(STUDENT) or {"cellExecutions": 0, "errorCount": 0}
    log_in(page, server.password)
    page.wait_for_url("**/lab*")
    name = f"lesson{time.time_ns()}.ipynb"
    cells: list[dict[str, Any]] = [
        {"cell_type": "code", "id": f"c{i}", "metadata": {}, "outputs": [], "execution_count": None, "source": source}
        for i, source in enumerate(["1/0", "print(6*7)"])
    ]
    kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = {"nbformat": 4, "nbformat_minor": 5, "metadata": {"kernelspec": kernelspec}, "cells": cells}
    saved = page.evaluate(
        """([path, content]) => fetch(path, {
            method: 'PUT',
            headers: {'X-XSRFToken': document.cookie.match(/_xsrf=([^;]*)/)[1]},
            body: JSON.stringify({type: 'notebook', content}),
        }).then(answer => answer.status)""",
        [f"/api/contents/{name}", notebook],
    )
    assert saved == 201
    # A workspace of its own: the notebooks of earlier runs are not opened again.
    # JupyterLab calls a notebook idle before it has a kernel, and then drops what is run.
    with page.expect_websocket(lambda socket: "/channels" in socket.url, timeout=60_000) as kernel:
        page.goto(f"/lab/workspaces/{Path(name).stem}/tree/{name}")
    kernel.value.wait_for_event("framereceived")
    panel = page.locator(".jp-NotebookPanel:visible")
    expect(panel.locator(".jp-Notebook-ExecutionIndicator")).to_have_attribute("data-status", "idle", timeout=60_000)
    panel.locator(".jp-CodeCell").first.click()
    for output in ("ZeroDivisionError", "42"):
        # The toolbar's button, because shortcuts do nothing until their settings are loaded.
        panel.locator('[data-jp-item-name="run"]').click()
        expect(panel.locator(".jp-OutputArea-output", has_text=output)).to_be_visible(timeout=60_000)
    expect(page.locator('[data-testid="cell-monitor-help"]:visible')).to_have_text("質問する")
    page.click('[data-testid="cell-monitor-help"]:visible')

    student = None
    end = time.monotonic() + 20
    while time.monotonic() < end:
        student = server.student(STUDENT)
        if student and student["isRequestingHelp"] and student["cellExecutions"] == before["cellExecutions"] + 2:
            break
        time.sleep(0.5)
    page.screenshot(path=tmp_path / "lab.png")
    assert student is not None
    assert student["cellExecutions"] == before["cellExecutions"] + 2
    assert student["errorCount"] == before["errorCount"] + 1
    assert student["status"] == "help"
    assert (student["userName"], student["teamName"]) == ("テスト学生001", "チームA")
    assert student["currentNotebook"] == name
    assert [m for m in messages if "cell-monitor" in m] == []

    page.click('[data-testid="cell-monitor-help"]:visible')
    end = time.monotonic() + 20
    while time.monotonic() < end and (server.student(STUDENT) or {}).get("isRequestingHelp"):
        time.sleep(0.5)
    assert not (server.student(STUDENT) or {})["isRequestingHelp"]
