import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from conftest import WRITER, event, overview, post
from event_server.events import StoredEvent
from event_server.store import AppendResult, StoreUnavailableError
from event_server.store.sqlite import SqliteStore
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

MakeClient = Callable[..., TestClient]


def test_accepted(client: TestClient) -> None:
    answer = post(client, event(), event("help"), event(eventId=5))
    assert answer.status_code == 202
    assert answer.json()["message"]
    stats = answer.json()["batch_stats"]
    assert stats["batch_id"]
    assert (stats["total_events"], stats["successful_events"], stats["duplicate_events"]) == (3, 2, 0)
    assert stats["event_types"] == {"cell_executed": 1, "help": 1}
    (failed,) = stats["failed_events"]
    assert failed["index"] == 2
    assert failed["event"]["eventId"] == 5


def test_an_event_that_is_sent_again_counts_once(client: TestClient) -> None:
    sent = event()
    for duplicates in (0, 1):
        stats = post(client, sent).json()["batch_stats"]
        assert (stats["successful_events"], stats["duplicate_events"]) == (1, duplicates)
    assert post(client, sent, sent).json()["batch_stats"]["duplicate_events"] == 2
    assert overview(client)["metrics"]["totalExecutions"] == 1


def test_nothing_received(client: TestClient) -> None:
    answer = post(client)
    assert answer.status_code == 202
    assert answer.json() == {"message": "No events received"}


def test_all_invalid(client: TestClient) -> None:
    answer = post(client, {}, 1, None)
    assert answer.status_code == 202
    assert len(answer.json()["batch_stats"]["failed_events"]) == 3
    assert overview(client)["students"] == []


@pytest.mark.parametrize("body", [b"{}", b"", b"nonsense", b"3", b"\xff"])
def test_no_array(client: TestClient, body: bytes) -> None:
    assert client.post("/api/v1/events", content=body, headers=WRITER).status_code == 422


def test_limits(make_client: MakeClient) -> None:
    client = make_client(limits={"min_free_bytes": 0, "max_body_bytes": 65536})
    assert post(client, *[{}] * 200).status_code == 202
    assert post(client, *[{}] * 201).status_code == 413
    assert client.post("/api/v1/events", content=b"[" + b" " * 65534 + b"]", headers=WRITER).status_code == 202
    assert client.post("/api/v1/events", content=b"[" + b" " * 65535 + b"]", headers=WRITER).status_code == 413
    assert client.post("/api/v1/events", content=b" " * 2**20, headers=WRITER).status_code == 413


def test_too_much_at_once_is_for_later(make_client: MakeClient) -> None:
    client = make_client(limits={"min_free_bytes": 0, "max_held_bytes": 2**20})
    large = event(code="x" * 600_000)
    assert post(client, large).status_code == 202
    assert post(client, large, event(code="x" * 600_000)).status_code == 503
    assert post(client, large).status_code == 202


def test_another_method(client: TestClient) -> None:
    answer = client.get("/api/v1/events")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


class BrokenStore(SqliteStore):
    error: Exception | None = StoreUnavailableError("database or disk is full")

    def append(self, batches: Sequence[Sequence[StoredEvent]], *rest: Any) -> list[AppendResult]:
        if self.error:
            raise self.error
        return super().append(batches, *rest)


def test_a_store_that_is_away(make_client: MakeClient, tmp_path: Path) -> None:
    store = BrokenStore(tmp_path / "events.sqlite3")
    client = make_client(store=store)
    sent = event()
    answer = post(client, sent)
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    assert post(client, {}).status_code == 202
    store.error = None
    assert post(client, sent).json()["batch_stats"]["duplicate_events"] == 0


def test_a_folder_that_appears_later(make_client: MakeClient, tmp_path: Path) -> None:
    client = make_client(database_path=tmp_path / "later" / "events.sqlite3")
    assert post(client, event()).status_code == 503
    assert client.get("/health").status_code == 503
    (tmp_path / "later").mkdir()
    assert post(client, event()).status_code == 202
    assert client.get("/health").status_code == 200


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer wrong", "Basic Y2xhc3MxOng=", "Bearer \xe9"])
def test_strangers_cannot_write(client: TestClient, authorization: str | None) -> None:
    headers = {} if authorization is None else {"Authorization": authorization.encode("latin-1")}
    answer = client.post("/api/v1/events", json=[event()], headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("peer", "forwarded", "status"),
    [
        ("192.168.10.7", None, 202),
        ("::ffff:192.168.10.7", None, 202),
        ("192.168.11.7", None, 401),
        ("127.0.0.1", None, 401),
        ("127.0.0.1", "192.168.10.7", 202),
        ("127.0.0.1", "192.168.10.7, 127.0.0.1", 202),
        ("127.0.0.1", "192.168.10.7, 8.8.8.8", 401),
        ("127.0.0.1", "unknown", 401),
        # Only a proxy's word is taken.
        ("8.8.8.8", "192.168.10.7", 401),
        ("somewhere", None, 401),
    ],
)
def test_tokenless_networks(make_client: MakeClient, peer: str, forwarded: str | None, status: int) -> None:
    client = make_client(peer=peer, tokenless_networks=["192.168.10.0/24"])
    headers = {"X-Forwarded-For": forwarded} if forwarded else {}
    assert client.post("/api/v1/events", json=[event()], headers=headers).status_code == status


def test_a_wrong_token_is_wrong_everywhere(make_client: MakeClient) -> None:
    client = make_client(peer="192.168.10.7", tokenless_networks=["192.168.10.0/24"])
    assert post(client, event(), Authorization="Bearer wrong").status_code == 401


ORIGINS = ["https://lab.example.jp", "http://localhost:*"]


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("https://lab.example.jp", True),
        ("http://localhost:8889", True),
        ("http://localhost", True),
        ("http://lab.example.jp", False),
        ("https://lab.example.jp.evil.example", False),
        ("https://evil.example", False),
        ("null", False),
    ],
)
def test_origins(make_client: MakeClient, origin: str, allowed: bool) -> None:
    client = make_client(cors_origins=ORIGINS)
    preflight = client.options(
        "/api/v1/events",
        headers={
            "Origin": origin,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "content-type",
        },
    )
    answer = post(client, event(), Origin=origin)
    assert preflight.is_success is allowed
    assert (preflight.headers.get("access-control-allow-origin") == origin) is allowed
    assert answer.status_code == (202 if allowed else 403)
    assert (answer.headers.get("access-control-allow-origin") == origin) is allowed


def test_a_browser_is_told_of_errors_too(make_client: MakeClient) -> None:
    client = make_client(cors_origins=["*"])
    answer = client.post("/api/v1/events", json=[], headers={"Origin": "https://lab.example.jp"})
    assert answer.status_code == 401
    assert answer.headers["access-control-allow-origin"] in ("*", "https://lab.example.jp")


def test_the_proxys_own_origin(client: TestClient) -> None:
    assert post(client, event(), Origin="https://class1.example", Host="class1.example").status_code == 202
    assert post(client, event(), Origin="https://class2.example", Host="class1.example").status_code == 403


@pytest.fixture(scope="module")
def tolerant_client(tmp_path_factory: pytest.TempPathFactory) -> Any:
    from event_server.app import create_app
    from event_server.config import Config

    folder = tmp_path_factory.mktemp("hypothesis")
    config = Config.model_validate(
        {
            "database_path": folder / "events.sqlite3",
            "tokenless_networks": ["127.0.0.0/8"],
            "limits": {"min_free_bytes": 0},
        }
    )
    with TestClient(create_app(config), client=("127.0.0.1", 1)) as client:
        yield client


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(), children, max_size=3),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.binary(max_size=100)
    | st.lists(
        st.fixed_dictionaries({}, optional=dict.fromkeys(event(), json_values)).map(lambda odd: event() | odd),
        max_size=3,
    ).map(lambda events: json.dumps(events).encode())
)
def test_no_server_error_whatever_comes_in(tolerant_client: TestClient, body: bytes) -> None:
    assert tolerant_client.post("/api/v1/events", content=body).status_code in (202, 422)


def test_it_is_documented(client: TestClient) -> None:
    document = client.get("/api/v1/openapi.json").json()
    operation = document["paths"]["/api/v1/events"]["post"]
    assert set(operation["responses"]) == {"202", "401", "403", "413", "422", "503"}
    items = operation["requestBody"]["content"]["application/json"]["schema"]["items"]
    assert items["$ref"] == "#/components/schemas/Event"
    schemas = document["components"]["schemas"]
    assert set(event()) <= set(schemas["Event"]["properties"])
    assert {"Overview", "Receipt", "Student"} <= set(schemas)
