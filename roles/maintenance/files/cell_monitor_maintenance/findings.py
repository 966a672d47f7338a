"""What a check of the scan comes to."""

from collections.abc import Callable
from dataclasses import dataclass, field

# Of each check, in reports.
_SHOWN = 50


@dataclass(frozen=True)
class Check:
    """One check.

    Attributes:
        name: as in reports and metrics.
        result: `ok`, `found`, or `unchecked` where it could not look.
        sentence: what came of it.
        found: one line for each finding, the first of them.
        count: how many there are.
    """

    name: str
    result: str
    sentence: str
    found: list[str] = field(default_factory=list)
    count: int = 0

    @classmethod
    def of(cls, name: str, looked_at: str, found: list[str]) -> "Check":
        """Makes a check that has looked."""
        if not found:
            return cls(name, "ok", f"{looked_at}: nothing found")
        return cls(name, "found", f"{looked_at}: {len(found)} found", found[:_SHOWN], len(found))


class UncheckedError(Exception):
    """A check cannot look; the text says why."""


def guarded(name: str, check: Callable[[], Check]) -> Check:
    """Runs a check that must not take the others with it."""
    try:
        return check()
    except UncheckedError as error:
        return Check(name, "unchecked", str(error))
    except Exception as error:
        return Check(name, "unchecked", f"it broke off: {type(error).__name__} {error}")
