"""What can go wrong, each as one sentence for the administrator."""


class ReleaseError(Exception):
    """Something that was asked for cannot be done; nothing was changed for it."""


class GateError(Exception):
    """A release has not proven that it works.

    Attributes:
        part: name of the part that failed.
    """

    def __init__(self, part: str, reason: str) -> None:
        """Names the part and says why."""
        super().__init__(reason)
        self.part = part
