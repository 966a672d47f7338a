"""The event of the wire format, and what the store keeps of it."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta

MAX_EVENTS_PER_REQUEST = 200

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)

# What every JSON reader represents exactly, and a 64-bit column holds.
_Integer = Annotated[int, Meta(ge=-(2**53), le=2**53)]
_Count = Annotated[int, Meta(ge=0, le=2**53)]
_Id = Annotated[str, Meta(min_length=1, max_length=128)]
_Name = Annotated[str, Meta(max_length=256)]


class Event(msgspec.Struct, frozen=True, rename="camel"):
    """One event as a client sends it; null is the same as missing, unknown fields are left to the stored JSON.

    Only what tells one event from another, and whose it is, has to be there: clients of every version leave out the
    rest at times, and a student's execution is worth keeping without it.
    """

    event_id: _Id
    event_type: Annotated[str, Meta(min_length=1, max_length=64)]
    event_time: datetime
    email_address: Annotated[str, Meta(min_length=1, max_length=320)]
    user_name: _Name | None = None
    team_name: _Name | None = None
    session_id: Annotated[str, Meta(max_length=128)] | None = None
    notebook_path: Annotated[str, Meta(max_length=4096)] | None = None
    cell_id: Annotated[str, Meta(max_length=128)] | None = None
    cell_index: _Count | None = None
    cell_type: Annotated[str, Meta(max_length=32)] | None = None
    code: str | None = None
    execution_count: _Integer | None = None
    has_error: bool | None = None
    error_message: str | None = None
    result: str | None = None
    execution_duration_ms: _Integer | None = None
    metadata: dict[str, Any] | None = None


class StoredEvent(NamedTuple):
    """A row of the table ``events``: the fields that are asked for, and the whole event as it came.

    Times are milliseconds since 1970. ``event_time`` is the client's clock; ``occurred_at`` is the same but never
    later than the event's arrival, so that a clock that is fast keeps nobody active or asking for help.
    """

    event_id: str
    event_type: str
    event_time: int
    received_at: int
    occurred_at: int
    email_address: str
    user_name: str | None
    team_name: str | None
    session_id: str | None
    notebook_path: str | None
    cell_id: str | None
    cell_index: int | None
    cell_type: str | None
    execution_count: int | None
    has_error: bool | None
    execution_duration_ms: int | None
    writer: str | None
    body: str


class FailedEvent(msgspec.Struct, frozen=True):
    """An event that cannot be stored, echoed to its sender.

    Attributes:
        index: its place in the request, from 0.
        reason: what is wrong with it.
        event: the event as it came.
    """

    index: int
    reason: str
    event: msgspec.Raw


class Batch(NamedTuple):
    """The events of one request, sorted into those that can be stored and those that cannot."""

    valid: list[StoredEvent]
    failed: list[FailedEvent]


class NotABatchError(ValueError):
    """The body is no JSON array, now or ever."""


class TooManyEventsError(ValueError):
    """The array is longer than a request may be."""


_array_decoder = msgspec.json.Decoder(list[msgspec.Raw])
_event_decoder = msgspec.json.Decoder(Event)


def epoch_ms(moment: datetime) -> int:
    """Returns the milliseconds since 1970 of a time; one without an offset is taken for UTC."""
    return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - EPOCH) // _MILLISECOND


def read_batch(body: bytes, *, received_at: int, writer: str | None, max_event_bytes: int) -> Batch:
    """Reads the body of one request.

    Args:
        body: the body as it came.
        received_at: its arrival in milliseconds since 1970.
        writer: the name of the token it came with.
        max_event_bytes: the size above which an event is refused.

    Raises:
        NotABatchError: the body is not UTF-8, not JSON, or not an array.
        TooManyEventsError: it holds more than ``MAX_EVENTS_PER_REQUEST`` events.
    """
    raw_events = _split(body)
    if len(raw_events) > MAX_EVENTS_PER_REQUEST:
        raise TooManyEventsError(f"{len(raw_events)} events in one request; at most {MAX_EVENTS_PER_REQUEST}")
    batch = Batch([], [])
    for index, (raw, text) in enumerate(zip(raw_events, _texts(raw_events), strict=True)):
        size = len(memoryview(raw))
        if size > max_event_bytes:
            reason = f"the event has {size} bytes; at most {max_event_bytes}"
            batch.failed.append(FailedEvent(index, reason, raw))
            continue
        try:
            event = _event_decoder.decode(raw)
        except (msgspec.DecodeError, RecursionError) as error:
            batch.failed.append(FailedEvent(index, _reason(error), raw))
        else:
            batch.valid.append(_stored(event, text, received_at, writer))
    return batch


def _split(body: bytes) -> Sequence[msgspec.Raw]:
    try:
        try:
            return _array_decoder.decode(body)
        except msgspec.ValidationError:
            raise
        except msgspec.DecodeError:
            # JavaScript sends half of a surrogate pair when a text was cut inside an emoji. It is JSON, but not text.
            if b"\\u" not in body:
                raise
            return _array_decoder.decode(
                json.dumps(json.loads(body.decode()), ensure_ascii=False).encode("utf-8", "replace")
            )
    except msgspec.ValidationError as error:
        raise NotABatchError("the body is not a JSON array of events") from error
    except (ValueError, RecursionError) as error:
        raise NotABatchError(f"the body is not JSON: {error}") from error


def _texts(raw_events: Sequence[msgspec.Raw]) -> list[str]:
    # The decoder looks only at the texts that it is asked for.
    try:
        return [str(memoryview(raw), "utf-8") for raw in raw_events]
    except UnicodeDecodeError as error:
        raise NotABatchError(f"the body is not JSON: {error}") from error


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "nested too deeply"
    message, _, place = str(error).partition(" - at `$.")
    return f"{place.rstrip('`')}: {message}" if place else message


def _stored(event: Event, body: str, received_at: int, writer: str | None) -> StoredEvent:
    event_time = epoch_ms(event.event_time)
    return StoredEvent(
        event.event_id,
        event.event_type,
        event_time,
        received_at,
        min(event_time, received_at),
        event.email_address,
        event.user_name,
        event.team_name,
        event.session_id,
        event.notebook_path,
        event.cell_id,
        event.cell_index,
        event.cell_type,
        event.execution_count,
        event.has_error,
        event.execution_duration_ms,
        writer,
        body,
    )
