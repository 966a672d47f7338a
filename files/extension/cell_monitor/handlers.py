"""The routes of the extension on the Jupyter server."""

import json
import uuid
from http import HTTPStatus
from typing import Any

from jupyter_server.auth.decorator import allow_unauthenticated
from jupyter_server.base.handlers import APIHandler
from tornado import web

from cell_monitor import __version__
from cell_monitor.collector import Collector
from cell_monitor.release import running_release
from cell_monitor.spool import Event, SpoolError

MAX_EVENTS = 200
MAX_BODY_BYTES = 8 * 2**20
MAX_EVENT_TYPE_LENGTH = 64
RETRY_AFTER_SECONDS = 5

# Of the release that this process was started from, not of one that was activated since.
_RELEASE = running_release()


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
    @property
    def collector(self) -> Collector | None:
        collector: Collector | None = self.settings["cell_monitor_collector"]
        return collector

    def answer(self, status: HTTPStatus, body: dict[str, Any]) -> None:
        self.set_status(status)
        self.finish(json.dumps(body))


class VersionHandler(_Handler):
    """``GET /cell-monitor``."""

    @web.authenticated
    def get(self) -> None:
        """Answers with the extension's name and version."""
        self.answer(HTTPStatus.OK, {"name": "cell-monitor", "version": __version__})


class HealthHandler(_Handler):
    """``GET /cell-monitor/health``, for probes on the host: they have no login, and it tells nothing about anybody."""

    @allow_unauthenticated
    async def get(self) -> None:
        """Answers 200, or 503 where events should be collected and cannot be."""
        report: dict[str, Any] = {
            "status": "healthy",
            "version": __version__,
            "release": _RELEASE,
            "collecting": self.collector is not None,
        }
        healthy = True
        if self.collector is not None:
            healthy, details = await self.collector.health()
            report |= details
        self.answer(HTTPStatus.OK if healthy else HTTPStatus.SERVICE_UNAVAILABLE, report)


class EventsHandler(_Handler):
    """``POST /cell-monitor/events``: a JSON array of events, answered when they are on disk."""

    @web.authenticated
    async def post(self) -> None:
        """Answers 202, or says what is wrong; after a 503 the same events are to be sent again."""
        if self.collector is None:
            self.answer(HTTPStatus.NOT_FOUND, {"message": "this server does not collect events"})
            return
        if len(self.request.body) > MAX_BODY_BYTES:
            self.answer(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                {"message": f"the body has {len(self.request.body)} bytes: at most {MAX_BODY_BYTES} are taken"},
            )
            return
        try:
            events = read_events(self.request.body)
            new = await self.collector.add(events)
        except InvalidEventsError as error:
            self.answer(HTTPStatus.UNPROCESSABLE_ENTITY, {"message": str(error), "field": error.field})
        except SpoolError as error:
            self.log.warning("Cell Monitor: events were turned away: %s", error)
            self.set_header("Retry-After", str(RETRY_AFTER_SECONDS))
            self.answer(HTTPStatus.SERVICE_UNAVAILABLE, {"message": "the events are not kept; send them again later"})
        else:
            self.answer(
                HTTPStatus.ACCEPTED, {"message": f"{len(events)} events accepted", "accepted": len(events), "new": new}
            )


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
