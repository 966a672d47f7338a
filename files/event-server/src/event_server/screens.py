"""The websocket of the dashboard: every event live, to every screen that is connected."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any

import anyio
import msgspec
from fastapi import APIRouter, Query, WebSocket, WebSocketDisconnect, WebSocketException

from event_server.auth import instructor, is_own_origin
from event_server.classroom import TimeRange
from event_server.events import StoredEvent
from event_server.live import Live

PATH = "/api/v1/dashboard/ws/dashboard"
TRY_AGAIN_LATER = 1013
LOGIN_NEEDED = 4401

# Events that come in so near together share a look at the class.
_GATHER_SECONDS = 0.05
# More than these at once are shown by the latest of each student.
_MAX_AT_ONCE = 300
# What a screen may leave unread.
_MAX_WAITING_BYTES = 8 * 2**20
_MAX_WAITING = 5000
_MAX_SCREENS = 200
_LOGIN_CHECK_SECONDS = 60.0
_CLOSE_SECONDS = 2.0

router = APIRouter()


class Screen:
    """One connection: what is sent waits here, never the sender."""

    def __init__(self, time_range: TimeRange) -> None:
        """Takes the range whose figures it shows."""
        self.time_range = time_range
        self._waiting: deque[str] = deque()
        self._size = 0
        self._ready = asyncio.Event()
        self.overrun = asyncio.Event()

    def offer(self, text: str) -> None:
        """Sends a message soon; a screen that reads too slowly gets no more."""
        self._size += len(text)
        if self._size > _MAX_WAITING_BYTES or len(self._waiting) >= _MAX_WAITING:
            self._waiting.clear()
            self.overrun.set()
        elif not self.overrun.is_set():
            self._waiting.append(text)
            self._ready.set()

    async def send_to(self, websocket: WebSocket) -> None:
        """Sends what is offered, for ever."""
        while True:
            await self._ready.wait()
            self._ready.clear()
            while self._waiting:
                text = self._waiting.popleft()
                await websocket.send_text(text)
                self._size -= len(text)


class Screens:
    """The screens that are connected. For the event loop only."""

    def __init__(self, live: Live) -> None:
        """Takes where the class's state is found."""
        self._live = live
        self._screens: set[Screen] = set()
        self._waiting: list[tuple[str, str]] = []
        self._timer: asyncio.TimerHandle | None = None

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._screens)

    def add(self, screen: Screen) -> bool:
        """Connects a screen; False if there are too many."""
        if len(self._screens) >= _MAX_SCREENS:
            return False
        self._screens.add(screen)
        self._live.listen(self._take)
        return True

    def remove(self, screen: Screen) -> None:
        """Disconnects a screen."""
        self._screens.discard(screen)
        if not self._screens:
            self._live.listen(None)
            self._waiting.clear()

    def tell_action(self, event_type: str, email: str, name: str) -> None:
        """Tells every screen what an instructor has done for a student."""
        moment = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        action = {"eventType": event_type, "eventTime": moment, "emailAddress": email, "instructor": name}
        self._gather(email, msgspec.json.encode(action).decode())

    def _take(self, event: StoredEvent) -> None:
        self._gather(event.email_address, event.body)

    def _gather(self, email: str, body: str) -> None:
        if not self._screens:
            return
        self._waiting.append((email, body))
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_GATHER_SECONDS, self._tell)

    def _tell(self) -> None:
        self._timer = None
        waiting, self._waiting = self._waiting, []
        if len(waiting) > _MAX_AT_ONCE:
            waiting = list(dict(waiting).items())
        for time_range in {screen.time_range for screen in self._screens}:
            texts = self._render(waiting, time_range)
            for screen in self._screens:
                if screen.time_range == time_range:
                    for text in texts:
                        screen.offer(text)

    def _render(self, waiting: list[tuple[str, str]], time_range: TimeRange) -> list[str]:
        metrics = msgspec.json.encode(self._live.metrics(time_range)).decode()
        students = {
            email: msgspec.json.encode(self._live.student(email, time_range)).decode() for email in dict(waiting)
        }
        # The event as it came, which is an object and not empty. Where it has keys of ours, the later ones count.
        return [
            f'{{"type":"progress_update","data":{body.strip()[:-1]},"event":{body},"student":{students[email]},'
            f'"metrics":{metrics}}}}}'
            for email, body in waiting
        ]


@router.websocket(PATH)
async def dashboard(websocket: WebSocket, time_range: Annotated[TimeRange, Query()] = "1h") -> None:
    """Serves a screen until it goes, reads too slowly or is no longer logged in."""
    origin = websocket.headers.get("origin")
    if origin is not None and not is_own_origin(origin, websocket.headers.get("host")):
        # Before it is accepted, so that it is answered 403.
        await websocket.close()
        return
    logged_in = await _is_logged_in(websocket)
    # A page can read the code of a close, where it could not read the status of a refusal.
    await websocket.accept()
    code = await _show(websocket, Screen(time_range)) if logged_in else LOGIN_NEEDED
    if code is not None:
        # Who does not read, or has gone, does not read this.
        with suppress(TimeoutError, WebSocketDisconnect):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await websocket.close(code)


async def _show(websocket: WebSocket, screen: Screen) -> int | None:
    """Returns the code to close with, None if the screen has gone."""
    screens: Screens = websocket.app.state.screens
    if not screens.add(screen):
        return TRY_AGAIN_LATER
    try:
        return await _serve(websocket, screen)
    finally:
        screens.remove(screen)


async def _serve(websocket: WebSocket, screen: Screen) -> int | None:
    """Returns the code to close with, None if the screen has gone."""
    codes: list[int | None] = []

    async def until(end: Callable[[], Awaitable[object]], code: int | None) -> None:
        with suppress(WebSocketDisconnect):
            await end()
        codes.append(code)
        group.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        group.start_soon(until, partial(screen.send_to, websocket), None)
        group.start_soon(until, partial(_receive, websocket, screen), None)
        group.start_soon(until, screen.overrun.wait, TRY_AGAIN_LATER)
        group.start_soon(until, partial(_watch_login, websocket), LOGIN_NEEDED)
    return codes[0]


async def _receive(websocket: WebSocket, screen: Screen) -> None:
    while (message := await websocket.receive())["type"] != "websocket.disconnect":
        if _is_ping(message.get("text") or message.get("bytes") or ""):
            screen.offer('{"type":"pong"}')


def _is_ping(message: str | bytes) -> bool:
    try:
        content: Any = msgspec.json.decode(message)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return False
    return isinstance(content, dict) and content.get("type") == "ping"


async def _watch_login(websocket: WebSocket) -> None:
    """Returns when the login has ended."""
    await asyncio.sleep(_LOGIN_CHECK_SECONDS)
    while await _is_logged_in(websocket):
        await asyncio.sleep(_LOGIN_CHECK_SECONDS)


async def _is_logged_in(websocket: WebSocket) -> bool:
    try:
        await instructor(websocket)
    except WebSocketException:
        return False
    return True
