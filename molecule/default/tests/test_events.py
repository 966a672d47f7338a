"""The event server through nginx, as a client on a student's machine or a stranger meets it."""

import pytest
from conftest import Server, address, event


def test_the_same_events_count_once(server: Server) -> None:
    email = address("twice")
    batch = [event(email), event(email, hasError=True, errorMessage="NameError: x", result="")]
    with server.client(headers={"Authorization": f"Bearer {server.token}"}) as client:
        for _ in range(2):
            answer = client.post("/api/v1/events", json=batch)
            assert answer.status_code == 202
            assert answer.json()["batch_stats"]["successful_events"] == 2
    student = server.student(email)
    assert student is not None
    assert (student["cellExecutions"], student["errorCount"]) == (2, 1)
    assert (student["userName"], student["teamName"]) == ("山田 花子", "チームB")


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}, {"X-Forwarded-For": "127.0.0.1"}])
def test_nobody_writes_without_a_token(server: Server, headers: dict[str, str]) -> None:
    email = address("stranger")
    with server.client(headers=headers) as client:
        assert client.post("/api/v1/events", json=[event(email)]).status_code == 401
    assert server.student(email) is None


@pytest.mark.parametrize("auth", [None, ("instructor", "wrong"), ("nobody", "wrong")])
def test_nobody_reads_without_a_login(server: Server, auth: tuple[str, str] | None) -> None:
    with server.client(auth=auth) as client:
        answer = client.get("/api/v1/dashboard/overview")
    assert answer.status_code == 401
    assert "students" not in answer.text


def test_a_foreign_origin_is_refused(server: Server) -> None:
    with server.client(headers={"Origin": "https://evil.example"}) as client:
        preflight = client.options("/api/v1/events", headers={"Access-Control-Request-Method": "POST"})
        assert "access-control-allow-origin" not in preflight.headers
        # With a valid login, so that the origin alone is what is refused.
        page = client.get("/login", follow_redirects=True)
        assert page.status_code == 200
        xsrf = client.cookies["_xsrf"]
        client.post("/login", data={"password": server.password, "_xsrf": xsrf}, headers={"Origin": server.url})
        assert client.get("/api/contents").status_code in (403, 404)
        answer = client.post("/cell-monitor/events", json=[event("evil@example.com")], headers={"X-XSRFToken": xsrf})
        assert answer.status_code in (403, 404)
    assert server.student("evil@example.com") is None


def test_the_collector_asks_for_login_and_xsrf_token(server: Server) -> None:
    with server.client() as client:
        assert client.post("/cell-monitor/events", json=[event("x@example.com")]).status_code == 403
        client.get("/login")
        xsrf = client.cookies["_xsrf"]
        wrong = client.post("/login", data={"password": "wrong", "_xsrf": xsrf})
        assert wrong.status_code == 401
        answer = client.post("/login", data={"password": server.password, "_xsrf": xsrf})
        assert answer.status_code == 302
        assert client.post("/cell-monitor/events", json=[event("x@example.com")]).status_code == 403
        assert client.get("/api/contents").status_code == 200


def test_bad_events_are_named_and_the_good_ones_kept(server: Server) -> None:
    email = address("mixed")
    with server.client(headers={"Authorization": f"Bearer {server.token}"}) as client:
        stats = client.post("/api/v1/events", json=[event(email), {"eventType": "help"}]).json()["batch_stats"]
        assert (stats["successful_events"], len(stats["failed_events"])) == (1, 1)
        assert client.post("/api/v1/events", content="{").status_code == 422
        assert client.post("/api/v1/events", json=[event(email)] * 201).status_code == 413
    student = server.student(email)
    assert student is not None
    assert student["cellExecutions"] == 1
