"""The ASGI application: FastAPI for everything, and one route beside it that takes the raw body."""

import asyncio
import copy
import re
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from event_server import __version__, dashboard, health, ingest, login, metrics, screens
from event_server.auth import Instructors, Writers
from event_server.classroom import Overview, help_lasts
from event_server.config import Config
from event_server.events import Event
from event_server.examples import add_examples
from event_server.help_desk import HelpDesk
from event_server.live import Live
from event_server.metrics import Observed, make_registry
from event_server.release import release_id
from event_server.screen_files import ScreenFiles
from event_server.screens import Screens
from event_server.secret_files import read_secrets
from event_server.sessions import Sessions, read_key
from event_server.store import Store, StoreUnavailableError
from event_server.store.sqlite import SqliteStore
from event_server.students import StudentActivity
from event_server.telemetry import Telemetry
from event_server.tokens import Tokens
from event_server.writer import Writer

# A request for help that was dismissed longer ago than this, and is still on, is a new one after a restart.
_HELP_HISTORY = 24 * 3600 * 1000


def create_app(config: Config, store: Store | None = None) -> ASGIApp:
    """Builds the application.

    Args:
        config: the configuration.
        store: where events are kept; without one, in the SQLite file of the configuration.

    Raises:
        ConfigError: a file of secrets cannot be used.
    """
    store = store or SqliteStore(config.database_path, min_free_bytes=config.limits.min_free_bytes)
    writer = Writer(store, max_queued_events=config.limits.max_queued_events)
    writers = Writers(Tokens(config.credential("writers")), config.tokenless_networks, config.trusted_proxies)
    instructors = Instructors(read_secrets(config.credential("instructors")))
    origins = _pattern(config.cors_origins)
    desk = HelpDesk(help_lasts(config.classroom))
    live = Live(store, writer, config.classroom, desk)
    telemetry = Telemetry()
    writer.listen(telemetry.take)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await writer.start()
        live.start()
        loading = None if await _load(desk, store) else asyncio.create_task(_load_later(desk, store))
        try:
            yield
        finally:
            if loading is not None:
                loading.cancel()
            await live.stop()
            await writer.stop()

    # No pages of documentation: they load their scripts from elsewhere, and a class's network may have no way out.
    api = _Api(
        title="Cell Monitor event server",
        version=__version__,
        lifespan=lifespan,
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
    )
    api.state.config = config
    api.state.store = store
    api.state.writer = writer
    api.state.desk = desk
    api.state.live = live
    api.state.screens = Screens(live)
    api.state.instructors = instructors
    api.state.screen_files = ScreenFiles()
    api.state.sessions = Sessions(read_key(config.session_key_path), instructors.hashes)
    # Now and not when asked: after a switch of releases an old process must not answer for the new one.
    api.state.release = release_id()
    api.state.telemetry = telemetry
    api.state.registry = make_registry(api.state)
    api.include_router(health.router)
    api.include_router(metrics.router)
    api.include_router(dashboard.router)
    api.include_router(screens.router)
    api.include_router(login.router)
    return _Fork(
        ingest.Ingest(writer, writers, config.limits, origins, desk, telemetry), Observed(api, telemetry), origins
    )


async def _load(desk: HelpDesk, store: Store) -> bool:
    """Tells the desk what the store holds; False if the store is away."""
    since = time.time_ns() // 1_000_000 - _HELP_HISTORY
    try:
        dismissed_at = await asyncio.to_thread(store.acknowledged, "help", since)
        signals = await asyncio.to_thread(lambda: list(store.help_signals(since)))
    except StoreUnavailableError:
        return False
    desk.load(signals, dismissed_at)
    return True


async def _load_later(desk: HelpDesk, store: Store) -> None:
    await asyncio.sleep(1)
    while not await _load(desk, store):
        await asyncio.sleep(1)


class _Fork:
    """Sends the events' path to its own application, everything else to FastAPI; answers pages of other origins.

    Only pages tell an origin. Programs send most of the events, and need not pay for that.
    """

    def __init__(self, events: ASGIApp, api: ASGIApp, origins: re.Pattern[str]) -> None:
        self._events = events
        self._api = api
        self._for_pages = CORSMiddleware(
            self._forward,
            allow_origin_regex=origins.pattern,
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type"],
            max_age=3600,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if _is_for_events(scope) and not any(name == b"origin" for name, _ in scope["headers"]):
            await self._events(scope, receive, send)
        else:
            await self._for_pages(scope, receive, send)

    async def _forward(self, scope: Scope, receive: Receive, send: Send) -> None:
        await (self._events if _is_for_events(scope) else self._api)(scope, receive, send)


def _is_for_events(scope: Scope) -> bool:
    return bool(scope["type"] == "http" and scope["path"] == ingest.PATH)


class _Api(FastAPI):
    def openapi(self) -> dict[str, Any]:
        """Adds what FastAPI does not know: the route beside it, and the msgspec models."""
        if not self.openapi_schema:
            document = super().openapi()
            _, schemas = msgspec.json.schema_components(
                [Event, ingest.Receipt, Overview, StudentActivity, dashboard.Outcome],
                ref_template="#/components/schemas/{name}",
            )
            document["components"]["schemas"].update(schemas)
            document["components"]["securitySchemes"]["writer"] = {"type": "http", "scheme": "bearer"}
            document["paths"][ingest.PATH] = {"post": copy.deepcopy(ingest.OPERATION)}
            add_examples(document)
        return super().openapi()


def _pattern(origins: Sequence[str]) -> re.Pattern[str]:
    """Returns the expression that matches the origins, nothing if there are none."""
    if "*" in origins:
        return re.compile(".*")
    return re.compile("|".join(re.escape(origin).replace(r":\*", "(:[0-9]+)?") for origin in origins) or "(?!)")
