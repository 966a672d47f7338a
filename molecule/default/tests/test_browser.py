"""A student and an instructor in a real browser, through nginx and TLS, to the event server's store and back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Server, eventually
from lab import HELP, create_notebook, launch, log_in, open_notebook, run_cell, trust_authority
from playwright.sync_api import Page, expect, sync_playwright

STUDENT = "student001@example.com"


@pytest.fixture
def page(server: Server, tmp_path: Path) -> Iterator[Page]:
    """A page of a fresh browser profile."""
    trust_authority(tmp_path, server.authority)
    with sync_playwright() as playwright:
        context = launch(playwright.chromium, tmp_path, base_url=server.url)
        yield context.pages[0]
        context.close()


def test_a_wrong_password_is_refused(page: Page) -> None:
    log_in(page, "wrong")
    expect(page.locator("#password_input")).to_be_visible()
    assert page.evaluate("fetch('/api/contents').then(answer => answer.status)") == 403


def test_a_students_work_reaches_the_instructor(page: Page, server: Server, tmp_path: Path) -> None:
    messages: list[str] = []
    page.on("console", lambda message: messages.append(message.text))
    before = server.student(STUDENT) or {"cellExecutions": 0, "errorCount": 0}
    log_in(page, server.password)
    page.wait_for_url("**/lab*")
    name = create_notebook(page, "1/0", "print(6*7)")
    panel = open_notebook(page, name)
    run_cell(panel, 0, "ZeroDivisionError")
    run_cell(panel, 1, "42")
    expect(page.locator(HELP)).to_have_text("質問する")
    page.click(HELP)
    page.screenshot(path=tmp_path / "lab.png")

    student = eventually(
        lambda: server.student(STUDENT),
        lambda s: s and s["isRequestingHelp"] and s["cellExecutions"] == before["cellExecutions"] + 2,
    )
    assert student["errorCount"] == before["errorCount"] + 1
    assert student["status"] == "help"
    assert (student["userName"], student["teamName"]) == ("テスト学生001", "チームA")
    assert student["currentNotebook"] == name
    assert [m for m in messages if "cell-monitor" in m] == []

    page.click(HELP)
    eventually(lambda: server.student(STUDENT), lambda s: s and not s["isRequestingHelp"])
