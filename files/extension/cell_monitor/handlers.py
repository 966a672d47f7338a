"""The routes of the extension on the Jupyter server."""

import json
import re
import time
import uuid
from http import HTTPStatus
from typing import Any, ClassVar

from jupyter_server.auth.decorator import allow_unauthenticated
from jupyter_server.base.handlers import APIHandler
from tornado import web

from cell_monitor import __version__
from cell_monitor.collector import Collector
from cell_monitor.exposition import CONTENT_TYPE, prefers_text, prometheus_text
from cell_monitor.metrics import Metrics
from cell_monitor.notice import NoticeFile
from cell_monitor.release import RunningRelease
from cell_monitor.spool import Event, SpoolError

MAX_EVENTS = 200
MAX_BODY_BYTES = 8 * 2**20
RETRY_AFTER_SECONDS = 5
FORMATS = ("json", "prometheus")

_DROPPED = re.compile(r"[0-9]{1,6}")

_RELEASE = RunningRelease()


class InvalidEventsError(ValueError):
    """The body holds no events that could be kept.

    Attributes:
        field: the part of the body that is wrong, such as ``events[2].eventId``.
    """

    def __init__(self, field: str, problem: str) -> None:
        """Says which part of the body is wrong, and how."""
        super().__init__(f"{field} {problem}")
        self.field = field


class _Handler(APIHandler):
    route: ClassVar[str]

    def initialize(self) -> None:
        super().initialize()
        self._began = time.perf_counter()

    def on_finish(self) -> None:
        super().on_finish()
        self.metrics.request(self.route, self.get_status(), time.perf_counter() - self._began)

    @property
    def collector(self) -> Collector | None:
        collector: Collector | None = self.settings["cell_monitor_collector"]
        return collector

    @property
    def metrics(self) -> Metrics:
        metrics: Metrics = self.settings["cell_monitor_metrics"]
        return metrics

    def answer(self, status: HTTPStatus, body: dict[str, Any]) -> None:
        self.set_status(status)
        self.finish(json.dumps(body))


class _PolledHandler(_Handler):
    """What programs ask for by themselves: no sign that somebody is at work, and never out of a cache."""

    _track_activity = False

    def set_default_headers(self) -> None:
        super().set_default_headers()
        self.set_header("Cache-Control", "no-store")


class VersionHandler(_Handler):
    """``GET /cell-monitor``."""

    route = "version"

    @web.authenticated
    def get(self) -> None:
        """Answers with the extension's name and version."""
        self.answer(HTTPStatus.OK, {"name": "cell-monitor", "version": __version__})


class HealthHandler(_PolledHandler):
    """``GET /cell-monitor/health``, for probes on the host: they have no login, and it tells nothing about anybody."""

    route = "health"

    @allow_unauthenticated
    async def get(self) -> None:
        """Answers 200, or 503 where events should be collected and cannot be."""
        report: dict[str, Any] = {
            "status": "healthy",
            "version": __version__,
            "release": _RELEASE.told(),
            "collecting": self.collector is not None,
        }
        healthy = True
        if self.collector is not None:
            healthy, details = await self.collector.health()
            report |= details
        self.answer(HTTPStatus.OK if healthy else HTTPStatus.SERVICE_UNAVAILABLE, report)


class MetricsHandler(_PolledHandler):
    """``GET /cell-monitor/metrics``, open as the health is: figures, and nothing about anybody."""

    route = "metrics"

    @allow_unauthenticated
    async def get(self) -> None:
        """Answers 200 with the nine indicators in JSON, or with all metrics as Prometheus reads them.

        Which of the two is said by ``?format=``, otherwise by the ``Accept`` header. 400 for another format.
        """
        wanted = self.get_query_argument("format", None)
        self.set_header("Vary", "Accept")
        if wanted is None:
            wanted = "prometheus" if prefers_text(self.request.headers.get("Accept", "")) else "json"
        if wanted == "prometheus":
            figures = None if self.collector is None else await self.collector.figures()
            self.finish(
                prometheus_text(self.metrics, figures, __version__, _RELEASE.told()), set_content_type=CONTENT_TYPE
            )
        elif wanted == "json":
            self.answer(HTTPStatus.OK, self.metrics.indicators())
        else:
            message = f"format is {wanted[:100]!r}: it must be one of {', '.join(FORMATS)}"
            self.answer(HTTPStatus.BAD_REQUEST, {"message": message, "field": "format"})


class NoticeHandler(_PolledHandler):
    """``GET /cell-monitor/notice``: what the administrator wants to be known."""

    route = "notice"

    @web.authenticated
    def get(self) -> None:
        """Answers 200 with the notice of the moment, or 204."""
        notices: NoticeFile = self.settings["cell_monitor_notices"]
        notice = notices.current()
        if notice is None:
            self.set_status(HTTPStatus.NO_CONTENT)
            self.finish()
        else:
            self.answer(HTTPStatus.OK, notice.answer())


class EventsHandler(_Handler):
    """``POST /cell-monitor/events``: a JSON array of events, answered when they are on disk.

    The header ``X-Cell-Monitor-Dropped`` may say how many events the browser had no room for since the last request
    that was accepted.
    """

    route = "events"

    @web.authenticated
    async def post(self) -> None:
        """Answers 202, or says what is wrong; after a 503 the same events are to be sent again."""
        if self.collector is None:
            self.answer(HTTPStatus.NOT_FOUND, {"message": "this server does not collect events"})
            return
        if len(self.request.body) > MAX_BODY_BYTES:
            self.metrics.turned_away()
            self.answer(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                {"message": f"the body has {len(self.request.body)} bytes: at most {MAX_BODY_BYTES} are taken"},
            )
            return
        try:
            events = read_events(self.request.body)
            receipt = await self.collector.add(events, self._dropped())
        except InvalidEventsError as error:
            self.metrics.turned_away()
            self.answer(HTTPStatus.UNPROCESSABLE_ENTITY, {"message": str(error), "field": error.field})
        except SpoolError as error:
            self.log.warning("Cell Monitor: events were turned away: %s", error)
            self.set_header("Retry-After", str(RETRY_AFTER_SECONDS))
            self.answer(HTTPStatus.SERVICE_UNAVAILABLE, {"message": "the events are not kept; send them again later"})
        else:
            self.answer(
                HTTPStatus.ACCEPTED,
                {
                    "message": f"{len(events)} events accepted",
                    "accepted": len(events),
                    "new": receipt.new,
                    "dismissed_help": receipt.dismissed,
                },
            )

    def _dropped(self) -> int:
        value = self.request.headers.get("X-Cell-Monitor-Dropped", "")
        return int(value) if _DROPPED.fullmatch(value) else 0


def read_events(body: bytes) -> list[Event]:
    """The events of a request's body. Only what the spool needs is looked at: the rest is the event server's concern.

    Raises:
        InvalidEventsError: the body is not an array of 1 to 200 events.
    """
    try:
        events = json.loads(body)
    except (ValueError, RecursionError):
        raise InvalidEventsError("the body", "is not JSON") from None
    if not isinstance(events, list):
        raise InvalidEventsError("the body", f"is not an array of events but {_kind(events)}")
    if len(events) > MAX_EVENTS:
        raise InvalidEventsError("the body", f"has {len(events)} events: at most {MAX_EVENTS} are taken")
    for index, event in enumerate(events):
        _check(f"events[{index}]", event)
    return events


def _check(name: str, event: Any) -> None:
    if not isinstance(event, dict):
        raise InvalidEventsError(name, f"is not an object but {_kind(event)}")
    try:
        uuid.UUID(event["eventId"])
    except KeyError:
        raise InvalidEventsError(f"{name}.eventId", "is missing") from None
    except (ValueError, AttributeError, TypeError):
        raise InvalidEventsError(f"{name}.eventId", "is not a UUID") from None
    for key in ("eventType", "eventTime", "emailAddress"):
        value = event.get(key)
        if not isinstance(value, str) or not value:
            raise InvalidEventsError(f"{name}.{key}", "is missing" if value is None else "is not a text with content")


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    names = {dict: "an object", list: "an array", str: "a string", bool: "a boolean"}
    return names.get(type(value), "a number")
