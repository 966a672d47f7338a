"""How often a student has asked for help: the chart's count, for any range of time, whatever order events come in.

Heartbeats of one request count once, in the bar of the first. A range sees only what lies within it: of a request that
had begun before, its own first heartbeat counts.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator

KEY_SHIFT = 48
"""An event's place in the order of events: when it occurred, then, in the lower bits, how far its clock was ahead."""

# Eleven hours of heartbeats. Of older ones is forgotten only what a range that begins among them would need.
_KEPT = 4096


def order_key(occurred_at: int, event_time: int) -> int:
    """Returns an event's place in the order of events; what has the same place is in the order of its arrival."""
    if event_time == occurred_at:
        return occurred_at << KEY_SHIFT
    return (occurred_at << KEY_SHIFT) + min(max(event_time - occurred_at, 0), (1 << KEY_SHIFT) - 1)


class HelpLog:
    """The signals of one student's help buttons, in order."""

    __slots__ = ("_begins", "_keys", "_signals", "lasts")

    def __init__(self, lasts: int) -> None:
        """Takes how long a request lives without a heartbeat, in milliseconds."""
        self.lasts = lasts
        self._keys: list[int] = []
        self._signals: list[tuple[str | None, bool]] = []
        # Whether a request begins with the signal.
        self._begins = bytearray()

    def take(self, key: int, session_id: str | None, *, stops: bool) -> list[tuple[int, int]]:
        """Takes a signal, and returns the times at which requests now begin (1) or no longer do (-1)."""
        place = bisect_right(self._keys, key)
        # Nearly all come in order, and few begin a request.
        settled = place == len(self._keys) and (stops or self._is_asked(key))
        self._keys.insert(place, key)
        self._signals.insert(place, (session_id, stops))
        self._begins.insert(place, 0)
        changes = [] if settled else self._changes(place)
        if len(self._keys) > _KEPT:
            self._drop(_KEPT // 8)
        return changes

    def begun_in_range_only(self, since: int) -> list[int]:
        """Returns the times at which requests begin for a range that sees nothing earlier, and else do not."""
        found = self._requests(since, since + self.lasts)
        return [self._keys[place] >> KEY_SHIFT for place, begins in found if begins and not self._begins[place]]

    def forget(self, before: int) -> None:
        """Drops what occurred before a time in milliseconds since 1970."""
        self._drop(bisect_left(self._keys, before << KEY_SHIFT))

    def _is_asked(self, key: int) -> bool:
        """Tells whether the latest signal is a heartbeat of a request that lives on at a later place."""
        if not self._keys or self._signals[-1][1]:
            return False
        return (key >> KEY_SHIFT) - (self._keys[-1] >> KEY_SHIFT) <= self.lasts

    def _changes(self, place: int) -> list[tuple[int, int]]:
        """Brings what begins up to date from a place on, and returns what has changed."""
        # A signal matters for as long as a request lives, and depends on what came as long before.
        at = self._keys[place] >> KEY_SHIFT
        changes = []
        for other, begins in self._requests(at - self.lasts, at + self.lasts):
            if other >= place and begins != self._begins[other]:
                self._begins[other] = begins
                changes.append((self._keys[other] >> KEY_SHIFT, 1 if begins else -1))
        return changes

    def _drop(self, count: int) -> None:
        del self._keys[:count], self._signals[:count], self._begins[:count]

    def _requests(self, since: int, until: int) -> Iterator[tuple[int, bool]]:
        """Yields the places of the heartbeats of a range, and whether a request begins there for who sees only it."""
        last: dict[str | None, int] = {}
        first = bisect_left(self._keys, since << KEY_SHIFT)
        for place in range(first, bisect_left(self._keys, (until + 1) << KEY_SHIFT)):
            session_id, stops = self._signals[place]
            if stops:
                last.pop(session_id, None)
                continue
            at = self._keys[place] >> KEY_SHIFT
            yield place, not any(at - seen <= self.lasts for seen in last.values())
            last[session_id] = at
