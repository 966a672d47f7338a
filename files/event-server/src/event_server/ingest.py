"""``POST /api/v1/events``: the one route that is fast because it takes the body as it comes."""

import logging
import random
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from starlette.types import Receive, Scope, Send

from event_server.auth import Writers, is_own_origin
from event_server.config import Limits
from event_server.events import (
    MAX_EVENTS_PER_REQUEST,
    Batch,
    FailedEvent,
    NotABatchError,
    TooManyEventsError,
    read_batch,
)
from event_server.help_desk import HELP_TYPES, HelpDesk
from event_server.store import AppendResult, StoreUnavailableError
from event_server.telemetry import Telemetry
from event_server.writer import Writer

PATH = "/api/v1/events"
RETRY_AFTER_SECONDS = 5

_log = logging.getLogger(__name__)


OPERATION: dict[str, Any] = {
    "tags": ["events"],
    "summary": "Store events",
    "description": (
        f"Takes a JSON array of up to {MAX_EVENTS_PER_REQUEST} events. Answered when they are durable; events that"
        " were stored before are left out and counted as successful, those that cannot be stored are echoed."
    ),
    "operationId": "store_events",
    "security": [{"writer": []}, {}],
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "array",
                    "items": {"$ref": "#/components/schemas/Event"},
                    "maxItems": MAX_EVENTS_PER_REQUEST,
                }
            }
        },
    },
    "responses": {
        "202": {
            "description": "The events are durable.",
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Receipt"}}},
        },
        "401": {"description": "A writer's token is needed."},
        "403": {"description": "The page's origin is not one that may write."},
        "413": {"description": "The body is too large, or holds too many events."},
        "422": {"description": "The body is not a JSON array."},
        "503": {
            "description": "The events are not stored; send them again.",
            "headers": {"Retry-After": {"schema": {"type": "integer"}}},
        },
    },
}


class BatchStats(msgspec.Struct, frozen=True):
    """What became of the events of a request.

    Attributes:
        dismissed_help: the sessions among the ``help`` events of the request whose button may go off: an instructor
            has dismissed their request.
    """

    batch_id: str
    total_events: int
    successful_events: int
    duplicate_events: int
    failed_events: list[FailedEvent]
    event_types: dict[str, int]
    processing_time_ms: float
    dismissed_help: list[str]


class Receipt(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer to a request whose events are durable."""

    message: str
    batch_stats: BatchStats | None = None


class _ClientGoneError(Exception):
    """The client closed the connection before its body was complete."""


class _BodyTooLargeError(Exception):
    """The body is over the limit."""


class Ingest:
    """An ASGI application that stores the events it is sent, and answers when they are durable.

    Stock clients take every 4xx for success and drop what they sent: only a request that can never work gets one.
    """

    def __init__(
        self,
        writer: Writer,
        writers: Writers,
        limits: Limits,
        origins: re.Pattern[str],
        desk: HelpDesk,
        telemetry: Telemetry,
    ) -> None:
        """Takes the writer to the store, who may write, how much, from which pages, who hears of help, who counts."""
        self._writer = writer
        self._writers = writers
        self._limits = limits
        self._origins = origins
        self._desk = desk
        self._telemetry = telemetry
        self._held_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        started = time.perf_counter()
        status = await self._handle(scope, receive, send)
        if status is not None:
            self._telemetry.observe(scope["method"], PATH, status, time.perf_counter() - started)

    async def _handle(self, scope: Scope, receive: Receive, send: Send) -> int | None:
        """Answers, and returns the status; None if the client has gone."""
        if scope["method"] != "POST":
            return await _respond(send, 405, {"detail": f"{PATH} takes POST"}, allow="POST")
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        if (refusal := self._refusal(headers)) is not None:
            self._telemetry.rejected_requests["origin"] += 1
            return await _respond(send, 403, {"detail": refusal})
        allowed, writer = self._sender(scope, headers)
        if not allowed:
            self._telemetry.rejected_requests["token"] += 1
            return await _respond(send, 401, {"detail": "a writer's token is needed"}, www_authenticate="Bearer")
        started = time.perf_counter()
        try:
            async with self._body(receive) as body:
                batch = read_batch(
                    body,
                    received_at=time.time_ns() // 1_000_000,
                    writer=writer,
                    max_event_bytes=self._limits.max_event_bytes,
                )
                result = await self._writer.append(batch.valid)
        except _ClientGoneError:
            return None
        except (_BodyTooLargeError, TooManyEventsError) as error:
            self._telemetry.rejected_requests["too_large"] += 1
            return await _respond(send, 413, {"detail": str(error)})
        except NotABatchError as error:
            self._telemetry.rejected_requests["invalid"] += 1
            return await _respond(send, 422, {"detail": str(error)})
        except StoreUnavailableError:
            self._telemetry.rejected_requests["unavailable"] += 1
            return await _respond(
                send,
                503,
                {"detail": "the events are not stored; send them again"},
                retry_after=str(RETRY_AFTER_SECONDS),
            )
        return await _respond(send, 202, self._receipt(batch, result, time.perf_counter() - started))

    def _refusal(self, headers: dict[bytes, str]) -> str | None:
        """A page of a foreign origin must not write with its visitor's address; programs send no origin."""
        origin = headers.get(b"origin")
        if origin is None or self._origins.fullmatch(origin):
            return None
        if is_own_origin(origin, headers.get(b"host")):
            return None
        return "events are not taken from this origin"

    def _sender(self, scope: Scope, headers: dict[bytes, str]) -> tuple[bool, str | None]:
        authorization = headers.get(b"authorization")
        if authorization is not None:
            writer = self._writers.name_of(authorization)
            return writer is not None, writer
        peer = scope.get("client")
        return self._writers.may_write_without_token(peer[0] if peer else None, headers.get(b"x-forwarded-for")), None

    @asynccontextmanager
    async def _body(self, receive: Receive) -> AsyncIterator[bytes]:
        """Holds a request's body, and answers for the memory that all of them take."""
        limit = self._limits.max_body_bytes
        chunks: list[bytes] = []
        size = held = 0
        more = True
        try:
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise _ClientGoneError
                chunk = message.get("body", b"")
                more = message.get("more_body", False)
                size += len(chunk)
                # Read to its end, within reason: a client that is still sending does not see the answer.
                if size > limit:
                    chunks.clear()
                    if size > 8 * limit:
                        break
                    continue
                chunks.append(chunk)
                held += len(chunk)
                self._held_bytes += len(chunk)
                if self._held_bytes > self._limits.max_held_bytes:
                    raise StoreUnavailableError("too much is being received at once")
            if size > limit:
                raise _BodyTooLargeError(f"the body is larger than {limit} bytes")
            yield b"".join(chunks)
        finally:
            self._held_bytes -= held

    def _receipt(self, batch: Batch, result: AppendResult, seconds: float) -> Receipt:
        total = len(batch.valid) + len(batch.failed)
        if not total:
            return Receipt("No events received")
        if batch.failed:
            self._note_failed(batch.failed)
            _log.info("%d of %d events were refused", len(batch.failed), total)
        self._telemetry.duplicates += result.duplicates
        types: dict[str, int] = {}
        for event in batch.valid:
            types[event.event_type] = types.get(event.event_type, 0) + 1
        return Receipt(
            f"{len(batch.valid)} of {total} events accepted",
            BatchStats(
                batch_id=_uuid4(),
                total_events=total,
                successful_events=len(batch.valid),
                duplicate_events=result.duplicates,
                failed_events=batch.failed,
                event_types=types,
                processing_time_ms=round(seconds * 1000, 3),
                dismissed_help=[] if HELP_TYPES.isdisjoint(types) else self._desk.take(batch.valid),
            ),
        )

    def _note_failed(self, failed: list[FailedEvent]) -> None:
        for event in failed:
            too_large = len(memoryview(event.event)) > self._limits.max_event_bytes
            self._telemetry.rejected_events["too_large" if too_large else "invalid"] += 1


def _uuid4() -> str:
    """Returns a name, not a secret: the system's random numbers would cost more, and a turn of the writer's thread."""
    digits = f"{random.getrandbits(128):032x}"
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"


async def _respond(send: Send, status: int, content: dict[str, Any] | Receipt, **headers: str) -> int:
    body = msgspec.json.encode(content)
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [
                (b"content-type", b"application/json"),
                (b"content-length", str(len(body)).encode()),
                *((name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()),
            ],
        }
    )
    await send({"type": "http.response.body", "body": body})
    return status
