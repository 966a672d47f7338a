"""What a measurement may come to."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Measured:
    """A figure.

    Attributes:
        value: the figure, in the gate's unit.
        detail: what it is made of, in a few words.
    """

    value: float | bool
    detail: str = ""


class NotCheckedError(Exception):
    """What would have to be asked cannot be; the message says why."""


class MeasurementError(Exception):
    """There is no figure because what is measured is broken; the message says how, in one sentence."""
