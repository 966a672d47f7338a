"""Whether the server works, for proxies, monitoring and the deploy. Open to everyone: no word about a person."""

import time
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from event_server import __version__
from event_server.ingest import RETRY_AFTER_SECONDS
from event_server.store import StoreUnavailableError
from event_server.writer import Writer

router = APIRouter(tags=["health"])

_UNAVAILABLE: dict[int | str, dict[str, Any]] = {503: {"description": "Events cannot be stored now."}}
_started = time.monotonic()


@router.get("/health", responses=_UNAVAILABLE)
@router.get("/api/v1/health", responses=_UNAVAILABLE)
async def health(request: Request) -> JSONResponse:
    """Writes a probe to the store, reads it back, and says which release did so."""
    writer: Writer = request.app.state.writer
    started = time.perf_counter()
    try:
        await writer.check()
        status, message = "healthy", "written and read back"
    except StoreUnavailableError as error:
        status, message = "unhealthy", str(error)
    store = {
        "status": status,
        "message": message,
        "response_time_ms": round((time.perf_counter() - started) * 1000, 3),
    }
    content = {
        "status": status,
        "release": request.app.state.release,
        "version": __version__,
        "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "services": {"store": store},
        "details": {
            "uptime_seconds": round(time.monotonic() - _started, 1),
            "queued_events": writer.queued_events,
        },
    }
    return _answer(content, healthy=status == "healthy")


@router.get("/api/v1/health/live")
async def live() -> dict[str, str]:
    """Says that the process answers."""
    return {"status": "alive"}


@router.get("/api/v1/health/ready", responses=_UNAVAILABLE)
async def ready(request: Request) -> JSONResponse:
    """Says whether events can be stored."""
    try:
        await request.app.state.writer.check()
    except StoreUnavailableError:
        return _answer({"status": "not ready"}, healthy=False)
    return _answer({"status": "ready"}, healthy=True)


@router.get("/api/v1/health/simple")
async def simple() -> dict[str, str]:
    """Says ok."""
    return {"status": "ok"}


def _answer(content: dict[str, Any], *, healthy: bool) -> JSONResponse:
    headers = {"Cache-Control": "no-store"} | ({} if healthy else {"Retry-After": str(RETRY_AFTER_SECONDS)})
    return JSONResponse(content, 200 if healthy else 503, headers)
