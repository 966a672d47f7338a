"""The instructor's screen in a real browser, through nginx and TLS."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import Server, address, event
from lab import browse
from playwright.sync_api import Page, expect

HELP = ".attention.help li"
STUCK = ".attention.significant_error li"
HOSTILE = "<img src=x onerror=\"document.title='hacked'\"><script>document.title='hacked'</script>"


@pytest.fixture(scope="module")
def page(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A page of a fresh browser profile, for all checks: a login stays."""
    home = tmp_path_factory.mktemp("instructor")
    viewport = {"width": 1920, "height": 1080}
    with browse(server, home, locale="ja-JP", timezone_id="Asia/Tokyo", viewport=viewport) as page:
        yield page


@pytest.fixture
def screen(page: Page, server: Server) -> Page:
    """The screen, logged in and live."""
    page.goto("/dashboard/")
    if page.locator("[name=password]").is_visible():
        log_in(page, *server.instructor)
    expect(page.locator(".link")).to_have_text("リアルタイム", timeout=20_000)
    # A page that was loaded anew would forget it.
    page.evaluate("window.same = true")
    return page


def log_in(page: Page, name: str, password: str) -> None:
    page.goto("/dashboard/login")
    page.fill("[name=name]", name)
    page.fill("[name=password]", password)
    page.click("button[type=submit]")


def post(server: Server, *events: dict[str, Any]) -> None:
    with server.client(headers={"Authorization": f"Bearer {server.token}"}) as client:
        assert client.post("/api/v1/events", json=list(events)).status_code == 202


def test_a_wrong_password_is_refused(page: Page, server: Server) -> None:
    log_in(page, "instructor", "wrong")
    expect(page.locator("[role=alert]")).to_have_text("名前またはパスワードが違います。")
    page.goto("/dashboard/")
    assert page.url == f"{server.url}/dashboard/login"
    assert page.evaluate("fetch('/api/v1/dashboard/overview').then(answer => answer.status)") == 401


def test_a_login_is_a_cookie_that_scripts_and_other_sites_do_not_get(screen: Page, server: Server) -> None:
    cookie = next(c for c in screen.context.cookies(server.url) if c.get("name") == "event_server_session")
    assert (cookie.get("httpOnly"), cookie.get("secure"), cookie.get("sameSite")) == (True, True, "Strict")
    assert "event_server_session" not in screen.evaluate("document.cookie")


def test_a_student_who_asks_appears_and_is_dismissed(screen: Page, server: Server) -> None:
    email, session = address("asks"), str(uuid.uuid4())
    name = f"質問 {email[5:13]}"
    post(server, event(email, eventType="help", userName=name, sessionId=session))
    row = screen.locator(HELP, has_text=name)
    expect(row).to_contain_text("待ち")
    expect(screen.locator(f'.tile[data-email="{email}"]')).to_have_attribute("data-status", "help")
    row.locator("button.act").click()
    expect(row).to_have_count(0)
    # The button's heartbeats go on until its browser is told.
    post(server, event(email, eventType="help", userName=name, sessionId=session))
    screen.wait_for_timeout(1000)
    expect(row).to_have_count(0)
    assert screen.evaluate("window.same") is True
    student = server.student(email)
    assert student is not None
    assert student["isRequestingHelp"] is False


def test_a_student_who_is_stuck_appears_with_the_error_and_is_resolved(screen: Page, server: Server) -> None:
    email = address("stuck")
    name = f"停滞 {email[6:14]}"
    fields = {"userName": name, "hasError": True, "errorMessage": "KeyError: '店舗'", "result": ""}
    post(server, *(event(email, **fields) for _ in range(3)))
    row = screen.locator(STUCK, has_text=name)
    expect(row).to_contain_text("3 回連続")
    expect(row).to_contain_text("KeyError: '店舗'")
    row.locator(".open").click()
    panel = screen.locator(".panel")
    expect(panel.locator("h2")).to_have_text(name)
    expect(panel.locator(".runs li")).to_have_count(3)
    panel.locator("button", has_text="解決済み").click()
    expect(row).to_have_count(0)
    screen.keyboard.press("Escape")
    expect(panel).to_be_hidden()
    expect(screen.locator(f'.tile[data-email="{email}"]')).to_be_focused()


def test_what_a_student_types_is_text(screen: Page, server: Server) -> None:
    email = address("hostile")
    texts = {"userName": HOSTILE, "teamName": HOSTILE, "notebookPath": HOSTILE}
    failed = {"code": HOSTILE, "hasError": True, "errorMessage": HOSTILE, "result": HOSTILE}
    post(server, *(event(email, **texts, **failed) for _ in range(3)), event(email, eventType="help", **texts))
    tile = screen.locator(f'.tile[data-email="{email}"]')
    expect(tile.locator(".name")).to_have_text(HOSTILE)
    tile.click()
    for kind in ("code", "output", "error"):
        expect(screen.locator(f".runs pre.{kind}").first).to_have_text(HOSTILE)
    assert screen.locator("img, body script").count() == 0
    assert "hacked" not in screen.title()
    screen.keyboard.press("Escape")


def test_a_lost_connection_is_said_and_recovers(screen: Page) -> None:
    screen.context.set_offline(True)
    expect(screen.locator(".banner")).to_contain_text("接続が切れています", timeout=30_000)
    screen.context.set_offline(False)
    expect(screen.locator(".banner")).to_be_hidden(timeout=30_000)
    expect(screen.locator(".link")).to_have_text("リアルタイム", timeout=30_000)


def test_two_hundred_students_fit(screen: Page, server: Server) -> None:
    people = [
        event(f"class-{i:03}@example.com", userName=f"生徒 {i:03}", teamName=f"チーム{i % 20 + 1}") for i in range(200)
    ]
    post(server, *people)
    screen.fill("input[type=search]", "class-")
    expect(screen.locator(".tile")).to_have_count(200)
    assert screen.evaluate("(box => box.scrollHeight <= box.clientHeight)(document.querySelector('.scroll'))")
    screen.click("text=絞り込みを解除")


def test_logging_out(screen: Page, server: Server) -> None:
    screen.click("text=ログアウト")
    expect(screen.locator("[name=password]")).to_be_visible()
    screen.goto("/dashboard/")
    assert screen.url == f"{server.url}/dashboard/login"
