import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from conftest import event
from event_server.events import NotABatchError, TooManyEventsError, epoch_ms, read_batch
from hypothesis import given
from hypothesis import strategies as st

NOW = 1_800_000_000_000


def read(body: bytes, max_event_bytes: int = 100_000) -> Any:
    return read_batch(body, received_at=NOW, writer="class1", max_event_bytes=max_event_bytes)


def read_one(**fields: Any) -> Any:
    return read(json.dumps([event() | fields]).encode())


def test_a_stock_event_is_kept_with_every_field() -> None:
    sent = event()
    batch = read(json.dumps([sent]).encode())
    assert not batch.failed
    (stored,) = batch.valid
    assert json.loads(stored.body) == sent
    assert stored.email_address == "taro@example.jp"
    assert stored.cell_id == "c1"
    assert stored.has_error is False
    assert stored.writer == "class1"


def test_unknown_types_and_fields_are_kept() -> None:
    (stored,) = read_one(eventType="kernel_restarted", shoeSize=25.5).valid
    assert stored.event_type == "kernel_restarted"
    assert json.loads(stored.body)["shoeSize"] == 25.5


def test_null_is_missing() -> None:
    optional = set(event()) - {"eventId", "eventType", "eventTime", "emailAddress"}
    batch = read_one(**dict.fromkeys(optional), metadata=None)
    assert not batch.failed


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("eventId", None),
        ("eventId", ""),
        ("eventId", 7),
        ("eventId", "x" * 129),
        ("eventType", None),
        ("eventType", ""),
        ("eventTime", "yesterday"),
        ("eventTime", 1_800_000_000),
        ("emailAddress", None),
        ("emailAddress", ""),
        ("cellIndex", -1),
        ("cellIndex", "3"),
        ("hasError", "no"),
        ("executionDurationMs", 2**60),
        ("metadata", []),
    ],
)
def test_a_bad_value_is_named_and_echoed(field: str, value: object) -> None:
    sent = event() | {field: value}
    batch = read(json.dumps([event(), sent]).encode())
    assert len(batch.valid) == 1
    (failed,) = batch.failed
    assert failed.index == 1
    assert failed.reason.startswith(f"{field}: ")
    assert json.loads(bytes(failed.event)) == sent


def test_a_missing_field_is_named() -> None:
    sent = event()
    del sent["eventId"]
    assert "`eventId`" in read(json.dumps([sent]).encode()).failed[0].reason


def test_a_large_event_fails_alone() -> None:
    batch = read(json.dumps([event(), event(code="x" * 5000)]).encode(), max_event_bytes=4096)
    assert (len(batch.valid), len(batch.failed)) == (1, 1)
    assert "at most 4096" in batch.failed[0].reason


def test_half_a_surrogate_pair_costs_no_event() -> None:
    body = json.dumps([event(result="\ud83d"), event()]).encode()
    assert b"\\ud83d" in body
    batch = read(body)
    assert len(batch.valid) == 2
    assert json.loads(batch.valid[0].body)["result"] == "?"


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"null", b"[", b"[1] 2", b'"\xff"', b'[{"a":"\xff"}]', b"\\u", b"[" * 10**5]
)
def test_what_is_no_array_is_refused(body: bytes) -> None:
    with pytest.raises(NotABatchError):
        read(body)


def test_a_deep_event_does_not_take_the_server_with_it() -> None:
    body = b'[{"metadata": ' + b'{"a":' * 900 + b"1" + b"}" * 900 + b"}]"
    assert len(read(body).failed) == 1


def test_too_many_events_are_refused() -> None:
    assert len(read(json.dumps([{}] * 200).encode()).failed) == 200
    with pytest.raises(TooManyEventsError, match="201"):
        read(json.dumps([{}] * 201).encode())


def test_times() -> None:
    moment = datetime(2026, 11, 23, 12, 0, 0, 123_456, UTC)
    tokyo = moment.astimezone(timezone(timedelta(hours=9)))
    assert epoch_ms(moment) == epoch_ms(tokyo) == epoch_ms(moment.replace(tzinfo=None)) == 1795435200123


@pytest.mark.parametrize(("client", "occurred"), [(NOW - 5000, NOW - 5000), (NOW + 5000, NOW)])
def test_a_fast_clock_does_not_reach_into_the_future(client: int, occurred: int) -> None:
    time = datetime.fromtimestamp(client / 1000, UTC).isoformat()
    (stored,) = read_one(eventTime=time).valid
    assert (stored.event_time, stored.occurred_at) == (client, occurred)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(), children, max_size=3),
    max_leaves=8,
)
almost_events = st.fixed_dictionaries({}, optional=dict.fromkeys(event(), json_values)).map(lambda odd: event() | odd)


@given(st.lists(almost_events | json_values, max_size=5))
def test_every_event_is_either_stored_or_echoed(sent: list[object]) -> None:
    batch = read(json.dumps(sent).encode())
    assert len(batch.valid) + len(batch.failed) == len(sent)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    try:
        read(body)
    except NotABatchError as error:
        assert str(error)
