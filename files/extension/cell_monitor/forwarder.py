"""Takes the events from the spool to the event server, in their order, for as long as it takes."""

import asyncio
import json
import logging
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urljoin, urlsplit

from tornado.httpclient import HTTPClientError, HTTPRequest, HTTPResponse
from tornado.simple_httpclient import SimpleAsyncHTTPClient

from cell_monitor.dismissals import Dismissals
from cell_monitor.metrics import Metrics
from cell_monitor.spool import Entry, SpoolError

EVENTS_PATH = "/api/v1/events"
MAX_BATCH_EVENTS = 200
MAX_BATCH_BYTES = 2 * 2**20
CONNECT_TIMEOUT_SECONDS = 5.0
REQUEST_TIMEOUT_SECONDS = 30.0
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0
LONGEST_RETRY_AFTER_SECONDS = 300.0
PROBE_INTERVAL_SECONDS = 30.0

# Many servers that lost the same event server must not come back in step.
_random = random.SystemRandom()


class Source(Protocol):
    """Where the events come from."""

    async def peek(self, count: int, max_bytes: int) -> list[Entry]:
        """The events that wait longest."""

    async def settle(self, delivered: Sequence[int], rejected: Sequence[tuple[int, str]] = ()) -> None:
        """Forgets the events that are delivered, and puts aside those that are refused for good."""

    async def expire(self) -> None:
        """Drops the events that have waited too long."""


@dataclass
class Status:
    """What became of the latest requests to the event server.

    Attributes:
        last_success: when it last took events, in seconds since 1970.
        reachable: whether it answered the latest request; None before the first.
        failures: how many deliveries have failed in a row.
        error: why the latest one failed, in words that name no student and no secret.
    """

    last_success: float | None = None
    reachable: bool | None = None
    failures: int = 0
    error: str | None = None


class _NotTakenError(Exception):
    """The batch was not taken; it stays in the spool."""

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


def events_url(configured: str) -> str:
    """The address that events are posted to: of the event server alone, or with the path it is reached by."""
    return urljoin(configured, EVENTS_PATH) if urlsplit(configured).path in ("", "/") else configured


class Forwarder:
    """Delivers what the spool holds; one batch is under way at a time, so that the order is kept."""

    def __init__(
        self,
        source: Source,
        url: str,
        token_file: Path | None,
        ca_file: Path | None,
        log: logging.Logger | Any,
        metrics: Metrics,
        dismissals: Dismissals,
    ) -> None:
        """Prepares the deliveries.

        Args:
            source: the spool.
            url: the event server, see `events_url`.
            token_file: holds the token that lets this server write; read for each delivery, so that it may be rotated.
            ca_file: the certificates to trust in place of the system's, in PEM form.
            log: where trouble, and its end, is told.
            metrics: where deliveries are counted.
            dismissals: where it is noted that requests for help were dismissed.
        """
        self.status = Status()
        self._source = source
        self._url = events_url(url)
        self._token_file = token_file
        self._ca_file = ca_file
        self._log = log
        self._metrics = metrics
        self._dismissals = dismissals
        self._count = MAX_BATCH_EVENTS
        self._arrived = asyncio.Event()
        self._client: SimpleAsyncHTTPClient | None = None

    def notify(self) -> None:
        """Tells that events have arrived in the spool."""
        self._arrived.set()

    async def run(self) -> None:
        """Delivers until it is cancelled."""
        self._client = SimpleAsyncHTTPClient(force_instance=True)
        try:
            while True:
                # Cleared before looking: what arrives after the look is not overlooked.
                self._arrived.clear()
                try:
                    if batch := await self._source.peek(self._count, MAX_BATCH_BYTES):
                        await self._deliver(batch)
                    else:
                        await self._wait()
                except _NotTakenError as error:
                    self._metrics.delivery_failed()
                    # Only now: even the oldest event deserves a try after this machine was off for long.
                    await self._source.expire()
                    await asyncio.sleep(self._failed(str(error), error.retry_after))
                except SpoolError as error:
                    await asyncio.sleep(self._failed(str(error), None))
        finally:
            self._client.close()

    async def _wait(self) -> None:
        try:
            # Not `wait_for`, which before Python 3.12 forgets that it was cancelled when the event is set meanwhile.
            async with asyncio.timeout(PROBE_INTERVAL_SECONDS):
                await self._arrived.wait()
        except TimeoutError:
            await self._probe()

    async def _probe(self) -> None:
        """Finds out whether the event server is there while there is nothing to send."""
        try:
            await self._fetch(HTTPRequest(urljoin(self._url, "health/simple")))
        except _NotTakenError:
            return

    async def _deliver(self, batch: list[Entry]) -> None:
        body = "[" + ",".join(entry.body for entry in batch) + "]"
        token = self._read_token()
        headers = {"Content-Type": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        response = await self._fetch(HTTPRequest(self._url, method="POST", headers=headers, body=body))
        if response.code == HTTPStatus.ACCEPTED:
            await self._accepted(batch, response)
        elif response.code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            await self._too_large(batch)
        else:
            # A token that was rotated meanwhile deserves a request at once.
            if response.code == HTTPStatus.UNAUTHORIZED and self._read_token() != token:
                return
            raise _NotTakenError(f"the event server answered {response.code}", _retry_after(response))

    async def _accepted(self, batch: list[Entry], response: HTTPResponse) -> None:
        stats = _batch_stats(response.body)
        refused = _refused(batch, stats.get("failed_events"))
        self._dismissals.note(batch, stats.get("dismissed_help"))
        await self._source.settle([entry.seq for entry in batch if entry.seq not in refused], list(refused.items()))
        self._metrics.delivered(len(batch), len(refused))
        if refused:
            self._log.warning(
                "Cell Monitor: the event server refused %d of %d events for good", len(refused), len(batch)
            )
        if self.status.failures:
            self._log.info("Cell Monitor: the event server takes events again")
        self.status.last_success = time.time()
        self.status.failures = 0
        self.status.error = None
        self._count = min(MAX_BATCH_EVENTS, 2 * self._count)

    async def _too_large(self, batch: list[Entry]) -> None:
        if len(batch) > 1:
            self._count = len(batch) // 2
            return
        await self._source.settle([], [(batch[0].seq, "larger than the event server takes")])
        self._metrics.delivered(1, 1)
        self._count = MAX_BATCH_EVENTS
        self._log.warning("Cell Monitor: one event is larger than the event server takes")

    async def _fetch(self, request: HTTPRequest) -> HTTPResponse:
        request.connect_timeout = CONNECT_TIMEOUT_SECONDS
        request.request_timeout = REQUEST_TIMEOUT_SECONDS
        request.follow_redirects = False
        request.ca_certs = str(self._ca_file) if self._ca_file else None
        if self._client is None:
            raise RuntimeError("the forwarder does not run")
        try:
            response = await self._client.fetch(request, raise_error=False)
        except (HTTPClientError, OSError, ValueError) as error:
            self.status.reachable = False
            raise _NotTakenError(f"the event server cannot be reached: {type(error).__name__}") from error
        self.status.reachable = True
        return response

    def _read_token(self) -> str:
        if self._token_file is None:
            return ""
        try:
            return self._token_file.read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            raise _NotTakenError(f"the token file {self._token_file} cannot be read") from error

    def _failed(self, reason: str, retry_after: float | None) -> float:
        """Notes a failure and returns how long to wait, in seconds."""
        if self.status.error != reason:
            self._log.warning("Cell Monitor: %s; events wait in the spool", reason)
        self.status.error = reason
        ceiling = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** min(self.status.failures, 16))
        self.status.failures += 1
        return max(_random.uniform(ceiling / 2, ceiling), min(retry_after or 0.0, LONGEST_RETRY_AFTER_SECONDS))


def _batch_stats(body: bytes) -> dict[str, Any]:
    """What an answer says about the batch; nothing where it says that in no way known."""
    try:
        stats = json.loads(body)["batch_stats"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    return stats if isinstance(stats, dict) else {}


def _refused(batch: list[Entry], failed: object) -> dict[int, str]:
    """The events of a batch that are echoed as failed, by their place in the spool, with the reason."""
    if not isinstance(failed, list):
        return {}
    by_id = {json.loads(entry.body)["eventId"]: entry.seq for entry in batch} if failed else {}
    refused: dict[int, str] = {}
    for item in failed:
        if not isinstance(item, dict):
            continue
        event = item.get("event", item)
        event_id = event.get("eventId") if isinstance(event, dict) else None
        if isinstance(event_id, str) and event_id in by_id:
            refused[by_id[event_id]] = str(item.get("reason") or item.get("error") or "refused")
    return refused


def _retry_after(response: HTTPResponse) -> float | None:
    """The seconds that the answer asks to wait for, given as a number or a date."""
    value = response.headers.get("Retry-After", "")
    if value.isdecimal():
        return float(value)
    try:
        return (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
    except (TypeError, ValueError):
        return None
