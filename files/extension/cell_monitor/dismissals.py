"""Tells browsers which requests for help the instructor has dismissed.

The event server says so in its answer to a heartbeat, which reaches this server when the browser already has its own
answer; the browser learns it with the next heartbeat.
"""

import json
import time
from collections.abc import Iterable, Sequence
from typing import Any

from cell_monitor.bounded import Clock, Recent
from cell_monitor.spool import Entry, Event

MAX_SESSIONS = 4096
LIFETIME_SECONDS = 3600.0


class Dismissals:
    """The page loads whose request for help was dismissed, for an hour; a page ends its own by `help_stop`."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        """Starts with none."""
        self._dismissed: Recent[str, None] = Recent(MAX_SESSIONS, LIFETIME_SECONDS, clock)
        # Where in the spool each page's latest `help_stop` lies: an answer about what lies before it is out of date.
        self._stopped: Recent[str, int] = Recent(MAX_SESSIONS, LIFETIME_SECONDS, clock)

    def note(self, batch: Sequence[Entry], named: object) -> None:
        """Remembers the page loads that the event server names.

        Args:
            batch: what it was sent.
            named: the list of session ids in its answer; whatever else it is, it is ignored.
        """
        if not isinstance(named, list) or not named:
            return
        asked = _latest_help(batch)
        for session in named:
            if isinstance(session, str) and asked.get(session, 0) > (self._stopped.get(session) or 0):
                self._dismissed.put(session, None)

    def passing(self, events: Iterable[Event], last: int) -> list[str]:
        """Takes note of events on their way through.

        Args:
            events: what a browser has sent, in its order.
            last: the place in the spool that none of them lies behind.

        Returns:
            The page loads among them that still ask for help although their request was dismissed.
        """
        found: dict[str, None] = {}
        for event in events:
            session, event_type = event.get("sessionId"), event.get("eventType")
            if not isinstance(session, str):
                continue
            if event_type == "help" and session in self._dismissed:
                found[session] = None
            elif event_type == "help_stop":
                found.pop(session, None)
                self._dismissed.discard(session)
                self._stopped.put(session, last)
        return list(found)


def _latest_help(batch: Sequence[Entry]) -> dict[str, int]:
    """The place of each page's latest heartbeat in a batch."""
    asked: dict[str, int] = {}
    for entry in batch:
        if '"help"' in entry.body:
            event: dict[str, Any] = json.loads(entry.body)
            session = event.get("sessionId")
            if event.get("eventType") == "help" and isinstance(session, str):
                asked[session] = entry.seq
    return asked
