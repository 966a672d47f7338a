"""``/dashboard/``: the instructor's screen and the way in to it."""

import logging
from typing import Annotated
from urllib.parse import parse_qs

from fastapi import APIRouter, Depends, Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from event_server.auth import (
    SESSION_COOKIE,
    Instructors,
    instructor,
    is_secure,
    name_by_proxy,
    own_page_or_program,
    throttled_address,
)
from event_server.login_page import Problem, language_of, login_page
from event_server.screen_files import ScreenFiles, page_headers
from event_server.sessions import DEVICE_LIFETIME_SECONDS, LIFETIME_SECONDS, Session, Sessions
from event_server.store import Store, StoreUnavailableError
from event_server.throttle import TooManyAttemptsError
from event_server.writer import Writer

DEVICE_COOKIE = "event_server_device"

_LOGIN = "/dashboard/login"
_SCREEN = "/dashboard/"
_MAX_FORM_BYTES = 8192

_log = logging.getLogger(__name__)

router = APIRouter(prefix="/dashboard", include_in_schema=False)


@router.get("/")
async def get_screen(request: Request) -> Response:
    """The screen, for who has logged in; the login page for others."""
    session = _session(request)
    if session is None and name_by_proxy(request) is None:
        return RedirectResponse(_LOGIN, 303, {"Cache-Control": "no-store"})
    answer = _files(request).answer("index.html", request.headers.get("if-none-match"))
    if session is not None:
        _keep(answer, request, _sessions(request).prolong(session))
    return answer


@router.get("/assets/{path:path}")
async def get_asset(request: Request, path: str) -> Response:
    """A part of the screen; it holds nobody's data."""
    return _files(request).answer(f"assets/{path}", request.headers.get("if-none-match"))


@router.get("/login")
async def get_login(request: Request) -> Response:
    """The login page, or the screen for who has logged in."""
    if _session(request) is not None or name_by_proxy(request) is not None:
        return RedirectResponse(_SCREEN, 303, {"Cache-Control": "no-store"})
    return _page(request)


@router.post("/login", dependencies=[Depends(own_page_or_program)])
async def post_login(request: Request) -> Response:
    """Begins a session, and shows the screen."""
    form = await _form(request)
    if form is None:
        return Response(status_code=413)
    name, password = form.get("name", ""), form.get("password", "")
    instructors: Instructors = request.app.state.instructors
    sessions = _sessions(request)
    device = sessions.device(name, request.cookies.get(DEVICE_COOKIE, ""))
    try:
        right = await instructors.verify(name, password, throttled_address(request), device)
    except TooManyAttemptsError as error:
        return _page(request, 429, Problem(name, retry_after=error.retry_after))
    if not right:
        return _page(request, 401, Problem(name))
    answer = RedirectResponse(_SCREEN, 303, {"Cache-Control": "no-store"})
    _keep(answer, request, sessions.begin(name))
    _set_cookie(
        answer, request, DEVICE_COOKIE, sessions.know_device(name), path=_LOGIN, seconds=DEVICE_LIFETIME_SECONDS
    )
    return answer


@router.post("/logout", dependencies=[Depends(own_page_or_program)])
async def post_logout(request: Request) -> Response:
    """Ends the session."""
    if (session := _session(request)) is not None:
        await _end(request, session)
    answer = RedirectResponse(_LOGIN, 303, {"Cache-Control": "no-store"})
    answer.delete_cookie(SESSION_COOKIE, path="/", secure=is_secure(request), httponly=True, samesite="strict")
    return answer


@router.get("/session")
async def get_session(request: Request, name: Annotated[str, Depends(instructor)]) -> Response:
    """Says who has logged in, and keeps the session from ending; the screen asks from time to time."""
    answer = JSONResponse({"name": name}, headers={"Cache-Control": "no-store"})
    if (session := _session(request)) is not None:
        _keep(answer, request, _sessions(request).prolong(session))
    return answer


async def _end(request: Request, session: Session) -> None:
    """Ends a session here at once, and for good and everywhere as soon as the store has it."""
    store: Store = request.app.state.store
    writer: Writer = request.app.state.writer
    ends_at = _sessions(request).end(session)
    try:
        await writer.call(lambda: store.end_session(session.id, ends_at))
    except StoreUnavailableError as error:
        _log.warning("a logout is known to this process only: %s", error)


def _page(request: Request, status: int = 200, problem: Problem | None = None) -> Response:
    language = language_of(
        request.query_params.get("lang"), request.cookies.get("lang"), request.headers.get("accept-language")
    )
    answer = Response(login_page(language, problem), status, page_headers(), "text/html; charset=utf-8")
    if "lang" in request.query_params:
        # The screen's own choice: its script writes the same cookie.
        answer.set_cookie("lang", language, path="/dashboard", max_age=365 * 86400, samesite="strict")
    if problem is not None and problem.retry_after:
        answer.headers["Retry-After"] = str(problem.retry_after)
    return answer


async def _form(request: Request) -> dict[str, str] | None:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_FORM_BYTES:
            return None
    fields = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True)
    return {name: values[0] for name, values in fields.items()}


def _keep(answer: Response, request: Request, token: str) -> None:
    _set_cookie(answer, request, SESSION_COOKIE, token, path="/", seconds=LIFETIME_SECONDS)


def _set_cookie(answer: Response, request: Request, name: str, value: str, *, path: str, seconds: int) -> None:
    answer.set_cookie(
        name, value, path=path, max_age=seconds, secure=is_secure(request), httponly=True, samesite="strict"
    )


def _session(request: Request) -> Session | None:
    return _sessions(request).find(request.cookies.get(SESSION_COOKIE, ""))


def _sessions(request: Request) -> Sessions:
    sessions: Sessions = request.app.state.sessions
    return sessions


def _files(request: Request) -> ScreenFiles:
    files: ScreenFiles = request.app.state.screen_files
    return files
