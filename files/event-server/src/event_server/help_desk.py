"""Which requests for help an instructor has dismissed: kept in memory, so that every answer to a client can tell.

A request is a run of a session's heartbeats that no ``help_stop`` and no pause longer than a request lives breaks. It
is dismissed if it had begun when its student's requests were last dismissed. Both follow from what the store holds,
so nothing of it is lost with the process. Of several servers on one database each has its own, which hears of what the
others have stored.
"""

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence

from event_server.events import StoredEvent
from event_server.store import HelpSignal

HELP_TYPES = frozenset({"help", "help_stop"})

SessionKey = tuple[str, str | None]
"""A student's address and the id of a page load."""

# Signals of a session that are put in order when they come late: five minutes of heartbeats.
_KEPT = 32


class HelpSession:
    """The signals of one session's help button, in whatever order they come."""

    __slots__ = ("_before", "_lasts", "_signals")

    def __init__(self, lasts: int) -> None:
        """Takes how long a request lives without a heartbeat, in milliseconds."""
        self._lasts = lasts
        # Twice the time, and one more for a stop: sorts as it should, and takes a third of a tuple's memory.
        self._signals: list[int] = []
        # Where the run began that ended with the last signal forgotten, and when that was.
        self._before: tuple[int, int] | None = None

    def take(self, occurred_at: int, *, stops: bool) -> None:
        """Takes a signal; one that came before changes nothing."""
        signal = 2 * occurred_at + stops
        place = bisect_left(self._signals, signal)
        if self._signals[place : place + 1] == [signal] or (place == 0 and len(self._signals) == _KEPT):
            return
        self._signals.insert(place, signal)
        if len(self._signals) > _KEPT:
            self._forget()

    def began(self) -> int | None:
        """Returns when the latest request began, in milliseconds since 1970; None if it was stopped."""
        began: int | None = None
        for signal in reversed(self._signals):
            occurred_at, stops = divmod(signal, 2)
            if stops or (began is not None and began - occurred_at > self._lasts):
                return began
            began = occurred_at
        if self._before is not None and (began is None or began - self._before[1] <= self._lasts):
            return self._before[0]
        return began

    def last_heartbeat(self) -> int | None:
        """Returns when the latest heartbeat was sent, in milliseconds since 1970; None if none is remembered."""
        return next((signal // 2 for signal in reversed(self._signals) if signal % 2 == 0), None)

    def _forget(self) -> None:
        occurred_at, stops = divmod(self._signals.pop(0), 2)
        if stops:
            self._before = None
        elif self._before is not None and occurred_at - self._before[1] <= self._lasts:
            self._before = (self._before[0], occurred_at)
        else:
            self._before = (occurred_at, occurred_at)


class HelpDesk:
    """Every session's latest request for help, and when each student's were dismissed. Not for several threads."""

    def __init__(self, lasts: int, *, max_sessions: int = 5000) -> None:
        """Takes how long a request lives without a heartbeat, in milliseconds, and how many sessions to remember."""
        self._lasts = lasts
        self._max_sessions = max_sessions
        self._sessions: OrderedDict[SessionKey, HelpSession] = OrderedDict()
        self._dismissed_at: OrderedDict[str, int] = OrderedDict()

    def take(self, events: Sequence[StoredEvent]) -> list[str]:
        """Takes stored events, and returns the sessions among those asking for help whose request is dismissed."""
        asking: dict[SessionKey, None] = {}
        for event in events:
            if event.event_type in HELP_TYPES:
                key = (event.email_address, event.session_id)
                self._take(key, event.occurred_at, stops=event.event_type == "help_stop")
                if event.event_type == "help":
                    asking[key] = None
        return [key[1] for key in asking if key[1] and self.is_dismissed(key)]

    def seen(self, email: str, now: int) -> int:
        """Returns until when an instructor who looks at a student now has seen the student's help button.

        That is its latest heartbeat, by the student's clock: if that clock is slow, what is pressed after a dismissal
        still counts as later. Without any, it is now. Times are milliseconds since 1970.
        """
        heartbeats = (session.last_heartbeat() for key, session in self._sessions.items() if key[0] == email)
        return min(now, max((at for at in heartbeats if at is not None), default=now))

    def dismiss(self, email: str, at: int) -> None:
        """Dismisses the requests of a student that had begun at a time in milliseconds since 1970."""
        self._dismissed_at[email] = max(at, self._dismissed_at.get(email, at))
        self._dismissed_at.move_to_end(email)
        if len(self._dismissed_at) > self._max_sessions:
            self._dismissed_at.popitem(last=False)

    def load(self, signals: Iterable[HelpSignal], dismissed_at: dict[str, int]) -> None:
        """Takes what the store holds; what came in the meantime is kept."""
        for signal in signals:
            self._take((signal.email_address, signal.session_id), signal.occurred_at, stops=signal.stops)
        for email, at in dismissed_at.items():
            self.dismiss(email, at)

    def forget(self, known: Callable[[str], bool]) -> None:
        """Drops the students of whom nothing is stored any more."""
        for key in [key for key in self._sessions if not known(key[0])]:
            del self._sessions[key]
        for email in [email for email in self._dismissed_at if not known(email)]:
            del self._dismissed_at[email]

    def dismissed(self) -> frozenset[SessionKey]:
        """Returns the sessions whose latest request is dismissed, whether or not it has expired since."""
        return frozenset(filter(self.is_dismissed, self._sessions))

    def is_dismissed(self, key: SessionKey) -> bool:
        """Tells whether a session's latest request is dismissed, whether or not it has expired since."""
        at = self._dismissed_at.get(key[0])
        session = self._sessions.get(key)
        if at is None or session is None:
            return False
        began = session.began()
        return began is not None and began <= at

    def asking_since(self, now: int) -> dict[str, int]:
        """Returns, by student, when the earliest of the requests that are on now, and not dismissed, had begun."""
        since: dict[str, int] = {}
        for key, session in self._sessions.items():
            began, last = session.began(), session.last_heartbeat()
            if began is not None and last is not None and now - last <= self._lasts and not self.is_dismissed(key):
                since[key[0]] = min(began, since.get(key[0], began))
        return since

    def _take(self, key: SessionKey, occurred_at: int, *, stops: bool) -> None:
        session = self._sessions.get(key)
        if session is None:
            session = self._sessions[key] = HelpSession(self._lasts)
            if len(self._sessions) > self._max_sessions:
                self._sessions.popitem(last=False)
        self._sessions.move_to_end(key)
        session.take(occurred_at, stops=stops)
