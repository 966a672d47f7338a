"""What instructors read."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, HTTPException, Query, Request, Response

from event_server.auth import instructor as login
from event_server.auth import own_page_or_program
from event_server.classroom import Acknowledged, TimeRange, range_start
from event_server.config import Classroom
from event_server.help_desk import HelpDesk
from event_server.ingest import RETRY_AFTER_SECONDS
from event_server.live import Live
from event_server.store import Acknowledgement, Store, StoreUnavailableError
from event_server.students import MAX_EXECUTIONS, RANGE, StudentActivity, student_activity
from event_server.writer import Writer


class Outcome(msgspec.Struct, rename="camel"):
    """The answer to an acknowledgement that is durable."""

    success: bool
    message: str
    email_address: str


def _documented(schema: str, others: dict[int, str] | None = None) -> dict[int | str, dict[str, Any]]:
    reference = {"$ref": f"#/components/schemas/{schema}"}
    return {
        200: {"content": {"application/json": {"schema": reference}}},
        401: {"description": "An instructor's login is needed."},
        429: {"description": "Too many passwords were wrong."},
        **{status: {"description": description} for status, description in (others or {}).items()},
        503: {
            "description": "The store cannot be used now.",
            "headers": {"Retry-After": {"schema": {"type": "integer"}}},
        },
    }


_UNKNOWN = "No such student sent an event in the last seven days."
_ACKNOWLEDGED = _documented("Outcome", {403: "The request comes from another site's page.", 404: _UNKNOWN})

router = APIRouter(prefix="/api/v1/dashboard", tags=["dashboard"], dependencies=[Depends(login)])


@router.get("/overview", responses=_documented("Overview"), response_class=Response)
async def get_overview(request: Request, time_range: Annotated[TimeRange, Query()] = "1h") -> Response:
    """Every student of the time range, those who ask for help first, with the class in numbers and over time."""
    live: Live = request.app.state.live
    with _later_if_unavailable():
        return _answer(msgspec.json.encode(await live.overview(time_range)))


# An address may hold a slash; the part of the path after it does not.
@router.get(
    "/students/{email:path}/activity",
    responses=_documented("StudentActivity", {404: _UNKNOWN}),
    response_class=Response,
)
async def get_activity(request: Request, email: str) -> Response:
    """One student of the last seven days: the latest executions and the latest sessions."""
    store: Store = request.app.state.store
    rules: Classroom = request.app.state.config.classroom
    desk: HelpDesk = request.app.state.desk
    now = _now()
    since = range_start(RANGE, now)
    dismissed = desk.dismissed()

    def compute() -> StudentActivity | None:
        acknowledged = Acknowledged(store.acknowledged("error", since), dismissed)
        bodies = store.executions(email, since, MAX_EXECUTIONS)
        return student_activity(store.activity(since, email), bodies, now, rules, acknowledged)

    with _later_if_unavailable():
        found = await asyncio.to_thread(compute)
    if found is None:
        raise HTTPException(404, "unknown student")
    return _answer(msgspec.json.encode(found))


@router.post(
    "/students/{email:path}/dismiss-help",
    dependencies=[Depends(own_page_or_program)],
    responses=_ACKNOWLEDGED,
    response_class=Response,
)
async def dismiss_help(request: Request, email: str, instructor: Annotated[str, Depends(login)]) -> Response:
    """Dismisses the requests for help that the student has made until now.

    They stay dismissed, whatever heartbeats follow, until their session sends ``help_stop`` or falls silent for longer
    than a request lives. What the student asks for after that is a new request.
    """
    desk: HelpDesk = request.app.state.desk
    now = _now()
    covers_until = desk.seen(email, now)
    await _acknowledge(request, Acknowledgement("help", now, covers_until, email, instructor))
    desk.dismiss(email, covers_until)
    request.app.state.screens.tell_action("help_dismissed", email, instructor)
    return _answer(msgspec.json.encode(Outcome(True, "The request for help is dismissed.", email)))


@router.post(
    "/students/{email:path}/resolve-error",
    dependencies=[Depends(own_page_or_program)],
    responses=_ACKNOWLEDGED,
    response_class=Response,
)
async def resolve_error(request: Request, email: str, instructor: Annotated[str, Depends(login)]) -> Response:
    """Takes the student's errors until now for dealt with: the next one is the first in a row."""
    now = _now()
    await _acknowledge(request, Acknowledgement("error", now, now, email, instructor))
    request.app.state.live.resolve(email, now)
    request.app.state.screens.tell_action("error_resolved", email, instructor)
    return _answer(msgspec.json.encode(Outcome(True, "The errors are resolved.", email)))


async def _acknowledge(request: Request, acknowledgement: Acknowledgement) -> None:
    """Returns when it is durable; an unknown student is answered 404."""
    store: Store = request.app.state.store
    writer: Writer = request.app.state.writer
    since = range_start(RANGE, acknowledgement.acknowledged_at)
    with _later_if_unavailable():
        if not await asyncio.to_thread(store.knows, acknowledgement.email_address, since):
            raise HTTPException(404, "unknown student")
        await writer.acknowledge(acknowledgement)


@contextmanager
def _later_if_unavailable() -> Iterator[None]:
    try:
        yield
    except StoreUnavailableError as error:
        raise HTTPException(503, "the store cannot be used now", {"Retry-After": str(RETRY_AFTER_SECONDS)}) from error


def _now() -> int:
    return time.time_ns() // 1_000_000


def _answer(content: bytes) -> Response:
    return Response(content, media_type="application/json", headers={"Cache-Control": "no-store"})
