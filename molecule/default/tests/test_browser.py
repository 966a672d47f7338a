"""A student and an instructor in a real browser, through nginx and TLS, to the event server's store and back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Server, ansible_playbook, eventually
from lab import HELP, browse, create_notebook, log_in, open_notebook, put, run_cell
from playwright.sync_api import Page, expect

STUDENT = "student001@example.com"
STATUS = '[data-testid="cell-monitor-status"]'


@pytest.fixture
def page(server: Server, tmp_path: Path) -> Iterator[Page]:
    """A page of a fresh browser profile."""
    with browse(server, tmp_path) as page:
        yield page


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
    expect(page.locator(STATUS)).to_have_text("送信済み", timeout=20_000)

    # A request outlives a reload, and ends when the instructor has seen it.
    page.reload()
    expect(page.locator(HELP)).to_have_attribute("aria-pressed", "true", timeout=60_000)
    expect(page.locator(STATUS)).to_have_text("送信済み", timeout=20_000)

    def dismiss() -> str | None:
        with server.client(auth=server.instructor) as client:
            client.post(f"/api/v1/dashboard/students/{STUDENT}/dismiss-help", json={}).raise_for_status()
        return page.locator(HELP).get_attribute("aria-pressed")

    # The page tells of its request anew; what has not arrived yet is not dismissed.
    eventually(dismiss, lambda pressed: pressed == "false", seconds=60)
    eventually(lambda: server.student(STUDENT), lambda s: s and not s["isRequestingHelp"])
    assert [m for m in messages if "cell-monitor" in m] == []


def test_a_notice_appears_once(page: Page, server: Server) -> None:
    notice = "回答は10時30分までこの教室に保存されます"
    arguments = ["playbooks/notice.yml", "--limit", server.name, "--extra-vars"]
    told = ansible_playbook(*arguments, json.dumps({"jupyterlab_notice": notice, "jupyterlab_notice_until": "23:59"}))
    assert told.returncode == 0, told.stdout
    try:
        log_in(page, server.password)
        toast = page.locator(".Toastify__toast", has_text=notice)
        expect(toast).to_be_visible(timeout=60_000)
        page.reload()
        expect(page.locator(STATUS)).to_be_visible(timeout=60_000)
        page.wait_for_timeout(3000)
        expect(toast).to_have_count(0)
    finally:
        taken_back = ansible_playbook(*arguments, json.dumps({"jupyterlab_notice": ""}))
    assert taken_back.returncode == 0, taken_back.stdout


def test_a_student_cannot_change_the_team(page: Page, server: Server) -> None:
    log_in(page, server.password)
    page.wait_for_url("**/lab*")
    path = "/lab/api/settings/cell-monitor:plugin"
    assert put(page, path, {"raw": json.dumps({"teamName": "チームZ", "includeCode": True})}) == 204
    try:
        panel = open_notebook(page, create_notebook(page, "print('locked')"))
        run_cell(panel, 0, "locked")
        eventually(lambda: server.student(STUDENT), lambda s: s and s["teamName"] == "チームA")
    finally:
        assert put(page, path, {"raw": "{}"}) == 204
