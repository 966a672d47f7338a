"""Figures over the last while, in memory that does not grow with what comes in."""

import time
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

_K = TypeVar("_K", bound=Hashable)
_V = TypeVar("_V")

Clock = Callable[[], float]


class Window:
    """A sum over the last while, kept in a ring of buckets; what is older leaves it by a bucket at a time."""

    def __init__(self, seconds: float, buckets: int = 30, clock: Clock = time.monotonic) -> None:
        """Starts empty.

        Args:
            seconds: how far back the sum reaches, to within a bucket.
            buckets: into how many parts that time is cut.
            clock: tells seconds that never go back.
        """
        self.seconds = seconds
        self._width = seconds / buckets
        self._clock = clock
        self._sums = [0.0] * buckets
        self._slots = [-buckets] * buckets

    def add(self, amount: float = 1.0) -> None:
        """Adds to the sum, as of now."""
        slot = self._slot()
        index = slot % len(self._sums)
        if self._slots[index] != slot:
            self._slots[index] = slot
            self._sums[index] = 0.0
        self._sums[index] += amount

    def total(self) -> float:
        """What was added in the last `seconds`."""
        first = self._slot() - len(self._sums)
        return sum(amount for slot, amount in zip(self._slots, self._sums, strict=True) if slot > first)

    def _slot(self) -> int:
        return int(self._clock() / self._width)


class Recent(Generic[_K, _V]):
    """A mapping that forgets what was not put for a while, and the oldest of too much."""

    def __init__(self, capacity: int, seconds: float, clock: Clock = time.monotonic) -> None:
        """Starts empty.

        Args:
            capacity: how many keys are kept at most.
            seconds: how long a key is kept after it was last put.
            clock: tells seconds that never go back.
        """
        self._capacity = capacity
        self._seconds = seconds
        self._clock = clock
        # In the order in which they were put: the next to go comes first.
        self._items: dict[_K, tuple[float, _V]] = {}

    def get(self, key: _K) -> _V | None:
        """The value that was put last for a key, None where it is forgotten."""
        self._forget()
        item = self._items.get(key)
        return None if item is None else item[1]

    def put(self, key: _K, value: _V) -> None:
        """Remembers a value from now on, in place of the key's former one."""
        self._items.pop(key, None)
        self._items[key] = (self._clock(), value)
        self._forget()

    def discard(self, key: _K) -> None:
        """Forgets a key, if it is known."""
        self._items.pop(key, None)

    def values(self) -> list[_V]:
        """What is remembered, the oldest first."""
        self._forget()
        return [value for _, value in self._items.values()]

    def __len__(self) -> int:
        self._forget()
        return len(self._items)

    def __contains__(self, key: _K) -> bool:
        self._forget()
        return key in self._items

    def _forget(self) -> None:
        expired = self._clock() - self._seconds
        while self._items:
            key = next(iter(self._items))
            if len(self._items) <= self._capacity and self._items[key][0] > expired:
                return
            del self._items[key]
