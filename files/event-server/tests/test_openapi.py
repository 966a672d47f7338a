"""The server's own description of itself: complete, with examples, and true whatever comes in."""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import msgspec
import pytest
import requests
import schemathesis
from conftest import READER, WRITER, Process, event, post
from event_server.classroom import Overview
from event_server.dashboard import Outcome
from event_server.examples import ANSWERS, REQUESTS
from event_server.ingest import PATH as EVENTS
from event_server.ingest import Receipt
from event_server.students import StudentActivity
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

DOCUMENT = "/api/v1/openapi.json"


def operations(client: TestClient) -> Iterator[tuple[str, str, Any]]:
    for path, item in client.get(DOCUMENT).json()["paths"].items():
        for method, operation in item.items():
            yield method, path, operation


def test_every_route_is_described(client: TestClient) -> None:
    found = {(method, path) for method, path, _ in operations(client)}
    dashboard = "/api/v1/dashboard"
    assert {
        ("post", EVENTS),
        ("get", "/health"),
        ("get", "/metrics"),
        ("get", dashboard + "/overview"),
        ("get", dashboard + "/students/{email}/activity"),
        ("post", dashboard + "/students/{email}/dismiss-help"),
        ("post", dashboard + "/students/{email}/resolve-error"),
    } <= found
    assert {path for _, path in found} >= set(ANSWERS) | set(REQUESTS)


def test_every_answer_has_an_example(client: TestClient) -> None:
    for method, path, operation in operations(client):
        assert operation["summary"], path
        for status, answer in operation["responses"].items():
            contents = answer["content"].values()
            assert contents, (method, path, status)
            assert all("example" in content for content in contents), (method, path, status)


@pytest.mark.parametrize("model", [Receipt, Overview, StudentActivity, Outcome])
def test_examples_are_what_is_answered(model: type[msgspec.Struct]) -> None:
    candidates = [example for answers in ANSWERS.values() for status, example in answers.items() if status[0] == "2"]
    fields = {field.encode_name for field in msgspec.structs.fields(model)}
    matching = [example for example in candidates if set(example) == fields]
    assert matching
    for example in matching:
        msgspec.json.decode(msgspec.json.encode(example), type=model)


def test_the_example_of_events_is_stored(client: TestClient) -> None:
    answer = client.post(EVENTS, json=REQUESTS[EVENTS], headers=WRITER)
    assert answer.json()["batch_stats"]["successful_events"] == 1


@pytest.fixture
def process(make_process: Callable[..., Process]) -> Process:
    started = make_process().start()
    with httpx.Client(base_url=started.url) as client:
        post(client, event(), event("help"))
    return started


def test_no_server_error_whatever_comes_in(process: Process) -> None:
    """Requests that the document allows, and requests that it does not, with and without the right to ask."""
    schema = schemathesis.openapi.from_url(process.url + DOCUMENT)
    results: Any = schema.get_all_operations()
    strategies = [
        result.ok().as_strategy(generation_mode=mode) for result in results for mode in schemathesis.GenerationMode
    ]
    sent: Counter[str] = Counter()

    @settings(max_examples=300, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.one_of(strategies), st.sampled_from([{}, WRITER, READER, READER | {"Content-Type": "application/json"}]))
    def ask(case: schemathesis.Case[Any], login: dict[str, str]) -> None:
        answer = case.call(session=session, headers=login, timeout=20)
        sent[f"{case.method} {case.operation.path}"] += 1
        assert answer.status_code < 500, answer.text

    with requests.Session() as session:
        ask()
    assert len(sent) == len(strategies) / len(schemathesis.GenerationMode)
    assert "Traceback" not in process.log.read_text()
