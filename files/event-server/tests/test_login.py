from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
from conftest import PASSWORD, event, post
from event_server.auth import Instructors
from event_server.screen_files import ScreenFiles
from starlette.testclient import TestClient

OVERVIEW = "/api/v1/dashboard/overview"
SAME_SITE = {"Origin": "http://testserver", "Sec-Fetch-Site": "same-origin"}


def log_in(client: TestClient, password: str = PASSWORD, name: str = "teacher", **headers: str) -> Any:
    form = {"name": name, "password": password}
    return client.post("/dashboard/login", data=form, headers=SAME_SITE | headers, follow_redirects=False)


def test_a_session_reads_and_acknowledges(client: TestClient) -> None:
    post(client, event("help"))
    answer = log_in(client)
    assert (answer.status_code, answer.headers["location"]) == (303, "/dashboard/")
    assert client.get(OVERVIEW).json()["metrics"]["helpCount"] == 1
    url = "/api/v1/dashboard/students/taro@example.jp/dismiss-help"
    assert client.post(url, headers={"Origin": "https://evil.example"}).status_code == 403
    assert client.post(url, headers=SAME_SITE).status_code == 200
    assert client.get(OVERVIEW).json()["metrics"]["helpCount"] == 0


def test_the_cookie_is_kept_from_scripts_and_other_sites(client: TestClient) -> None:
    cookie = log_in(client, **{"X-Forwarded-Proto": "https"}).headers["set-cookie"]
    for attribute in ("event_server_session=", "HttpOnly", "Secure", "SameSite=strict", "Path=/", "Max-Age=43200"):
        assert attribute in cookie


def test_who_is_no_trusted_proxy_does_not_say_what_is_secure(make_client: Callable[..., TestClient]) -> None:
    client = make_client(peer="192.0.2.1")
    assert "Secure" not in log_in(client, **{"X-Forwarded-Proto": "https"}).headers["set-cookie"]


def test_a_session_outlives_the_server(make_client: Callable[..., TestClient]) -> None:
    first = make_client()
    log_in(first)
    second = make_client()
    second.cookies.update(first.cookies)
    assert second.get("/dashboard/session").json() == {"name": "teacher"}


def test_logging_out(client: TestClient) -> None:
    log_in(client)
    kept = client.cookies["event_server_session"]
    answer = client.post("/dashboard/logout", headers=SAME_SITE, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/dashboard/login")
    assert "event_server_session" not in client.cookies
    client.cookies.set("event_server_session", kept)
    assert client.get(OVERVIEW).status_code == 401


@pytest.mark.parametrize("path", ["/dashboard/login", "/dashboard/logout"])
def test_forms_of_other_sites_are_refused(client: TestClient, path: str) -> None:
    form = {"name": "teacher", "password": PASSWORD}
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {}):
        assert client.post(path, data=form, headers=headers).status_code == 403


def test_a_wrong_password(client: TestClient) -> None:
    answer = log_in(client, "wrong", '"><script>alert(1)</script>', **{"Accept-Language": "ja-JP,ja;q=0.9,en;q=0.8"})
    assert answer.status_code == 401
    assert "名前またはパスワードが違います" in answer.text
    assert "<script>alert" not in answer.text
    assert "set-cookie" not in answer.headers
    assert client.get(OVERVIEW).status_code == 401


def test_many_wrong_passwords(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    verified = []
    monkeypatch.setattr(Instructors, "_verify", lambda _, name, password: verified.append(name) or password == PASSWORD)
    answers = [log_in(client, "wrong", f"name{number}") for number in range(12)]
    assert [answer.status_code for answer in answers] == [401] * 10 + [429] * 2
    assert 0 < int(answers[-1].headers["retry-after"]) <= 7
    assert len(verified) == 10
    assert log_in(client).status_code == 429
    assert client.get(OVERVIEW, auth=("x", "y")).status_code == 429


def test_a_name_is_limited_from_everywhere_but_the_browser_it_was_used_with(
    make_client: Callable[..., TestClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Instructors, "_verify", lambda _, _name, password: password == PASSWORD)
    client = make_client()
    log_in(client)
    known = client.cookies["event_server_device"]
    client.cookies.clear()
    for number in range(10):
        assert log_in(client, "wrong", **{"X-Forwarded-For": f"192.0.2.{number}"}).status_code == 401
    assert log_in(client, **{"X-Forwarded-For": "192.0.2.99"}).status_code == 429
    client.cookies.set("event_server_device", known)
    assert log_in(client, **{"X-Forwarded-For": "192.0.2.99"}).status_code == 303


def test_right_passwords_are_not_limited(client: TestClient) -> None:
    assert [log_in(client).status_code for _ in range(15)] == [303] * 15


def test_a_form_that_is_too_long(client: TestClient) -> None:
    assert log_in(client, "x" * 10_000).status_code == 413


def test_the_screen_is_for_instructors(client: TestClient) -> None:
    answer = client.get("/dashboard/", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/dashboard/login")
    log_in(client)
    assert client.get("/dashboard/login", follow_redirects=False).status_code == 303


def test_a_page_is_told_to_log_in_without_the_browsers_own_prompt(client: TestClient) -> None:
    answer = client.get(OVERVIEW, headers={"Sec-Fetch-Mode": "cors"})
    assert answer.headers["www-authenticate"].startswith("Session")
    assert client.get(OVERVIEW, headers={"Sec-Fetch-Mode": "navigate"}).headers["www-authenticate"].startswith("Basic")


@pytest.mark.parametrize(
    ("query", "accepted", "language"),
    [
        ("", "ja-JP,ja;q=0.9,en;q=0.8", "ja"),
        ("", "en-GB,ja;q=0.5", "en"),
        ("", "fr, ja;q=0.5", "ja"),
        ("", "fr", "en"),
        ("?lang=ja", "en", "ja"),
        ("?lang=xx", "en", "en"),
    ],
)
def test_the_language_of_the_login_page(client: TestClient, query: str, accepted: str, language: str) -> None:
    answer = client.get("/dashboard/login" + query, headers={"Accept-Language": accepted})
    assert f'<html lang="{language}">' in answer.text
    assert "script-src" not in answer.headers["content-security-policy"]
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    if query == "?lang=ja":
        assert '<html lang="ja">' in client.get("/dashboard/login", headers={"Accept-Language": "en"}).text


def test_files_of_the_screen(tmp_path: Path) -> None:
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "main.js").write_text("export {};")
    screen = ScreenFiles(tmp_path)
    answer = screen.answer("assets/main.js")
    assert (answer.status_code, answer.media_type) == (200, "text/javascript; charset=utf-8")
    assert screen.answer("assets/main.js", f"W/{answer.headers['etag']}").status_code == 304
    assert screen.answer("assets/../../secret").status_code == 404


def test_a_build_without_the_screen(tmp_path: Path) -> None:
    assert ScreenFiles(tmp_path / "none").answer("index.html").status_code == 503


class TestAProxyThatLogsIn:
    HEADER: ClassVar = {"X-Forwarded-User": "suzuki"}

    def test_is_believed(self, make_client: Callable[..., TestClient]) -> None:
        client = make_client(peer="192.0.2.7", login_proxies=["192.0.2.7/32"])
        post(client, event("help"))
        assert client.get("/dashboard/", follow_redirects=False, headers=self.HEADER).status_code != 303
        assert client.get("/dashboard/session", headers=self.HEADER).json() == {"name": "suzuki"}
        assert client.get(OVERVIEW, headers=self.HEADER).status_code == 200
        url = "/api/v1/dashboard/students/taro@example.jp/dismiss-help"
        assert client.post(url, headers=self.HEADER | {"Origin": "https://evil.example"}).status_code == 403
        assert client.post(url, headers=self.HEADER | SAME_SITE).status_code == 200
        with client.websocket_connect("/api/v1/dashboard/ws/dashboard", headers=self.HEADER) as screen:
            screen.send_json({"type": "ping"})
            assert screen.receive_json() == {"type": "pong"}

    def test_has_to_name_somebody(self, make_client: Callable[..., TestClient]) -> None:
        client = make_client(peer="192.0.2.7", login_proxies=["192.0.2.7/32"])
        for headers in ({}, {"X-Forwarded-User": " "}):
            assert client.get(OVERVIEW, headers=headers).status_code == 401

    @pytest.mark.parametrize("proxies", [[], ["192.0.2.7/32"]])
    def test_is_not_anybody(self, make_client: Callable[..., TestClient], proxies: list[str]) -> None:
        client = make_client(login_proxies=proxies)
        headers = self.HEADER | {"X-Forwarded-For": "192.0.2.7"}
        assert client.get(OVERVIEW, headers=headers).status_code == 401
        assert client.get("/dashboard/", follow_redirects=False, headers=headers).status_code == 303
