"""How often something may be tried: a bucket of attempts for each key, in bounded memory."""

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable


class TooManyAttemptsError(Exception):
    """What was tried too often; ``retry_after`` is in seconds."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"too many attempts; try again in {retry_after} s")
        self.retry_after = retry_after


class Throttle:
    """Buckets that hold a number of attempts and are filled again at a steady rate. Not for several threads."""

    def __init__(
        self,
        attempts: int,
        seconds_each: float,
        *,
        max_keys: int = 10_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Takes how many attempts a full bucket holds, and how long one of them takes to come back."""
        self._capacity = attempts * seconds_each
        self._seconds_each = seconds_each
        self._max_keys = max_keys
        self._clock = clock
        # When each bucket will be full again.
        self._full_at: OrderedDict[Hashable, float] = OrderedDict()

    def take(self, key: Hashable) -> None:
        """Takes an attempt from a key's bucket.

        Raises:
            TooManyAttemptsError: it is empty.
        """
        now = self._clock()
        full_at = max(self._full_at.get(key, now), now) + self._seconds_each
        if (excess := full_at - now - self._capacity) > 0:
            raise TooManyAttemptsError(int(excess) + 1)
        self._full_at[key] = full_at
        self._full_at.move_to_end(key)
        if len(self._full_at) > self._max_keys:
            self._full_at.popitem(last=False)

    def give_back(self, key: Hashable) -> None:
        """Puts the last attempt back: it was a right one."""
        if key in self._full_at:
            self._full_at[key] -= self._seconds_each

    def __len__(self) -> int:
        return len(self._full_at)
