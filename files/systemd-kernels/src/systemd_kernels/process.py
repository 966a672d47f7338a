"""A process that another one has started, safe from a reuse of its number."""

import os
import select
import signal
from typing import Self


class Process:
    """A running process, held by a descriptor that never stands for another one.

    Args:
        descriptor: of the process.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)

    @classmethod
    def find(cls, pid: int) -> Self | None:
        """The process that has a number now; None if there is none."""
        try:
            return cls(os.pidfd_open(pid))
        except (OSError, ValueError):
            return None

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return not self._poll.poll(0)

    def send(self, signum: int) -> None:
        """Sends it a signal; one that has ended takes none."""
        try:
            signal.pidfd_send_signal(self._descriptor, signum)
        except ProcessLookupError:
            return

    def close(self) -> None:
        """Lets go of the process."""
        self._poll.unregister(self._descriptor)
        os.close(self._descriptor)
