import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import event, post
from event_server import __version__
from starlette.testclient import TestClient


@pytest.mark.parametrize("path", ["/health", "/api/v1/health"])
def test_healthy(client: TestClient, path: str) -> None:
    post(client, event())
    answer = client.get(path)
    assert answer.status_code == 200
    health = answer.json()
    assert health["status"] == "healthy"
    assert health["timestamp"].endswith("Z")
    assert set(health["services"]["store"]) == {"status", "message", "response_time_ms"}
    assert health["release"] == "development"
    assert health["version"] == __version__
    assert "example.jp" not in answer.text


def test_the_release_is_the_one_it_was_started_from(
    make_client: Callable[..., TestClient], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "release.json"
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    path.write_text(json.dumps({"release": "1.2.0-1a2b3c4d"}))
    client = make_client()
    path.write_text(json.dumps({"release": "1.3.0-5e6f7a8b"}))
    assert client.get("/health").json()["release"] == "1.2.0-1a2b3c4d"


def test_unhealthy(make_client: Callable[..., TestClient], tmp_path: Path) -> None:
    client = make_client(database_path=tmp_path / "later" / "events.sqlite3")
    answer = client.get("/health")
    assert answer.status_code == 503
    assert answer.json()["status"] == answer.json()["services"]["store"]["status"] == "unhealthy"
    ready = client.get("/api/v1/health/ready")
    assert (ready.status_code, ready.json()["status"]) == (503, "not ready")
    assert client.get("/api/v1/health/live").status_code == 200


def test_the_small_ones(client: TestClient) -> None:
    answers = {name: client.get(f"/api/v1/health/{name}").json() for name in ("live", "ready", "simple")}
    assert answers == {"live": {"status": "alive"}, "ready": {"status": "ready"}, "simple": {"status": "ok"}}
