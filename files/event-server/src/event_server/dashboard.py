"""What instructors read."""

import asyncio
import time
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, HTTPException, Query, Request, Response
from fastapi.openapi.models import HTTPBase
from fastapi.security.base import SecurityBase

from event_server.classroom import Overview, TimeRange, overview, range_start
from event_server.config import Classroom
from event_server.ingest import RETRY_AFTER_SECONDS
from event_server.store import Store, StoreUnavailableError


class InstructorLogin(SecurityBase):
    """A dependency that lets instructors pass; FastAPI's own knows ASCII passwords only."""

    def __init__(self) -> None:
        self.model = HTTPBase(scheme="basic")
        self.scheme_name = "instructor"

    async def __call__(self, request: Request) -> str:
        """Returns the name of the instructor who asks; anyone else is answered 401."""
        name: str | None = await request.app.state.instructors.name_of(request.headers.get("authorization", ""))
        if name is None:
            challenge = 'Basic realm="Cell Monitor", charset="UTF-8"'
            raise HTTPException(401, "an instructor's login is needed", {"WWW-Authenticate": challenge})
        return name


_DOCUMENTED: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Overview"}}}},
    401: {"description": "An instructor's login is needed."},
    503: {"description": "The store cannot be read now."},
}

router = APIRouter(prefix="/api/v1/dashboard", tags=["dashboard"], dependencies=[Depends(InstructorLogin())])


@router.get("/overview", responses=_DOCUMENTED, response_class=Response)
async def get_overview(request: Request, time_range: Annotated[TimeRange, Query()] = "1h") -> Response:
    """Every student of the time range, those who ask for help first, with the class in numbers and over time."""
    store: Store = request.app.state.store
    rules: Classroom = request.app.state.config.classroom
    now = time.time_ns() // 1_000_000

    def compute() -> Overview:
        return overview(store.activity(range_start(time_range, now)), time_range, now, rules)

    try:
        content = msgspec.json.encode(await asyncio.to_thread(compute))
    except StoreUnavailableError as error:
        raise HTTPException(503, "the store cannot be read now", {"Retry-After": str(RETRY_AFTER_SECONDS)}) from error
    return Response(content, media_type="application/json", headers={"Cache-Control": "no-store"})
