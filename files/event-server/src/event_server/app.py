"""The ASGI application: FastAPI for everything, and one route beside it that takes the raw body."""

import copy
import re
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
from event_server.following import Following
from event_server.help_desk import HelpDesk
from event_server.live import Live
from event_server.metrics import Observed, make_registry
from event_server.release import release_id
from event_server.screen_files import ScreenFiles
from event_server.screens import Screens
from event_server.secret_files import read_secrets
from event_server.sessions import Sessions, read_key
from event_server.store import Store
from event_server.stores import make_store
from event_server.students import StudentActivity
from event_server.telemetry import Telemetry
from event_server.tokens import Tokens
from event_server.writer import Writer


def create_app(config: Config, store: Store | None = None) -> ASGIApp:
    """Builds the application.

    Args:
        config: the configuration.
        store: where events are kept; without one, where the configuration says.

    Raises:
        ConfigError: a file of secrets cannot be used.
    """
    store = store or make_store(config)
    writer = Writer(store, max_queued_events=config.limits.max_queued_events)
    writers = Writers(Tokens(config.credential("writers")), config.tokenless_networks, config.trusted_proxies)
    instructors = Instructors(read_secrets(config.credential("instructors")))
    origins = _pattern(config.cors_origins)
    desk = HelpDesk(help_lasts(config.classroom))
    live = Live(store, writer, config.classroom, desk)
    screens_of_all = Screens(live)
    sessions = Sessions(read_key(config.session_key_path), instructors.hashes)
    following = Following(store, desk, sessions, live.resolve, screens_of_all.tell_action)
    live.follow(following)
    telemetry = Telemetry()
    writer.listen(telemetry.take)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await writer.start()
        live.start()
        # Where the store is away, it is done as soon as the class's state is built.
        await following.load()
        try:
            yield
        finally:
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
    api.state.screens = screens_of_all
    api.state.instructors = instructors
    api.state.screen_files = ScreenFiles()
    api.state.sessions = sessions
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
