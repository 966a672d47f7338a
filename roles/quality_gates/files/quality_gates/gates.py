"""What a figure means for a gate."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from quality_gates.results import Measured, MeasurementError, NotCheckedError

PASSED, FAILED, NOT_CHECKED = "passed", "failed", "not checked"


@dataclass(frozen=True)
class Gate:
    """What a figure must be.

    Attributes:
        name: of the figure.
        bound: which side of the limit is allowed: ``at most``, ``at least`` or ``exactly``.
        limit: the limit itself, which is allowed.
        unit: of the figure and its limit.
    """

    name: str
    bound: str
    limit: float | bool
    unit: str

    def judge(self, measure: Callable[[], Measured]) -> dict[str, Any]:
        """The gate with its figure (null where there is none), status and detail, which says why it failed."""
        value: float | bool | None = None
        try:
            measured = measure()
        except NotCheckedError as reason:
            status, detail = NOT_CHECKED, str(reason)
        except MeasurementError as problem:
            status, detail = FAILED, f"{self.name} has no figure because {problem}"
        else:
            value, status, detail = measured.value, PASSED, measured.detail
            if not self.allows(value):
                status, detail = FAILED, self._refusal(measured)
        return {**asdict(self), "value": value, "status": status, "detail": detail}

    def allows(self, value: float | bool) -> bool:
        """Whether a figure passes."""
        if self.bound == "exactly":
            return value == self.limit
        return value <= self.limit if self.bound == "at most" else value >= self.limit

    def _refusal(self, measured: Measured) -> str:
        details = f" ({measured.detail})" if measured.detail else ""
        return f"{self.name} is {self._text(measured.value)}{details}; allowed is {self.bound} {self._text(self.limit)}"

    def _text(self, figure: float | bool) -> str:
        return str(figure).lower() if isinstance(figure, bool) else f"{figure} {self.unit}".strip()
